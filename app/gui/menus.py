"""The window's menu: all commands by group, then theme and language."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QMenu

from app.gui.command_table import COMMANDS
from app.gui.translate import LANGUAGES, tr

if TYPE_CHECKING:
    from app.gui.window import MainWindow


def fill_menu(menu: QMenu, window: MainWindow) -> None:
    """Fill the menu."""
    group = ""
    for command in COMMANDS:
        if command.group != group:
            group = command.group
            part = menu.addMenu(tr(group)) if group != "Program" else menu
            if part is menu:
                menu.addSeparator()
                _add_looks(menu, window)
            if group == "File":
                recent = part.addMenu(tr("Recent projects"))
                recent.setToolTipsVisible(True)
                recent.aboutToShow.connect(partial(window.commands.projects.fill_recent, recent))
        part.addAction(window.actions_[command.name])


def _add_looks(menu: QMenu, window: MainWindow) -> None:
    theme, languages = window.theme, window.languages
    looks = menu.addMenu(tr("Appearance"))

    def use_scheme(scheme: Any) -> None:
        window.studio.settings.setValue("window/scheme", scheme)
        theme.apply(scheme)

    for scheme, title in (("system", tr("As the system")), ("light", tr("Light")), ("dark", tr("Dark"))):
        action = looks.addAction(title, partial(use_scheme, scheme))
        action.setCheckable(True)
        action.setChecked(theme.scheme == scheme)

    def mark_scheme() -> None:
        for action, scheme in zip(looks.actions(), ("system", "light", "dark"), strict=True):
            action.setChecked(theme.scheme == scheme)

    looks.aboutToShow.connect(mark_scheme)
    tongues = menu.addMenu(tr("Language"))
    for key, title in LANGUAGES.items():
        action = tongues.addAction(title, partial(window.language_chosen.emit, key))
        action.setCheckable(True)
        action.setChecked(languages.current == key)
