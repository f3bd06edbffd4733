"""Commands for saved expressions and presets: their menus, import and export."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QMenu, QPushButton

from app.errors import AppError
from app.expressions import expression_from
from app.gui import store
from app.gui.dialogs.messages import NameDialog, PresetDialog, QuestionDialog
from app.gui.localize import menu_text, tooltip_text
from app.gui.prompts import Prompts
from app.gui.session import Session
from app.gui.studio import Studio
from app.gui.translate import tr
from app.gui.widgets.basic import tool_button
from app.gui.widgets.controls import ExpressionBar
from app.presets import BUILT_IN, Preset

if TYPE_CHECKING:
    from app.gui.window import MainWindow


class SavedCommands(QObject):
    """Saves, lists and uses expressions and presets.

    Args:
        window: The window.
        studio: What they act on.
        prompts: Opens their dialogs and menus.
    """

    def __init__(self, window: MainWindow, studio: Studio, prompts: Prompts) -> None:
        super().__init__(window)
        self.window, self.studio, self.prompts = window, studio, prompts
        self.expressions = ExpressionBar()
        self.expressions.chosen.connect(self.use_expression)
        self.expression_menu_button = tool_button("more", tr("Saved expressions"), 16)
        self.expression_menu_button.clicked.connect(self._show_expression_menu)
        self.preset_bar = QPushButton(tr("Presets"))
        self.preset_bar.setProperty("icon_name", "star")
        self.preset_bar.setToolTip(tr("Sets of option values: choose, save, import, export."))
        self.preset_bar.clicked.connect(self._show_preset_menu)
        self.found: list[store.Saved] = []
        self.presets: list[Preset] = []

    # ---- saved things ---------------------------------------------------------------------------------------------
    def list_saved(self) -> None:
        """Read expressions and presets, and show them."""

        def done(found: tuple[list[store.Saved], list[Any]]) -> None:
            self.found, self.presets = found
            self.expressions.show_names([saved.name for saved in self.found])
            self.window.order_focus()

        self.studio.list_saved(done)

    def use_expression(self, name: str) -> None:
        """Use a saved expression."""
        for saved in self.found:
            if saved.name == name:
                self.studio.set_expression(saved.expression)

    def save_expression(self) -> None:
        """Ask for a name and save the sliders."""
        self._ask_name(
            tr("Save expression"),
            {saved.path.stem for saved in self.found if saved.path is not None},
            lambda name: self.studio.store(
                partial(store.save_expression, name, self.studio.session.expression), tr("The expression was saved.")
            ),
        )

    def save_preset(self) -> None:
        """Ask for a name and for what to save of what is on screen."""
        taken = {preset.path.stem for preset in self.presets if preset.path is not None}
        dialog = PresetDialog(self.window, taken)

        def save() -> None:
            values = store.on_screen(self.studio.session, dialog.parts)
            self.studio.store(partial(store.save_preset, dialog.name, values), tr("The preset was saved."))

        dialog.accepted.connect(save)
        self.prompts.open(dialog)

    def _ask_name(self, title: str, taken: set[str], done: Callable[[str], None]) -> None:
        dialog = NameDialog(title, tr("Name"), self.window, taken)
        dialog.accepted.connect(lambda: done(dialog.name))
        self.prompts.open(dialog)

    def _show_expression_menu(self) -> None:
        menu = QMenu(self.window)
        menu.addAction(tr("Save expression…"), self.save_expression)
        menu.addAction(tr("Import expression…"), partial(self._import, "json", store.import_expression))
        menu.addAction(tr("Export expression…"), self._export_expression)
        own = [saved for saved in self.found if saved.path is not None]
        if own:
            delete = menu.addMenu(tr("Delete"))
            for saved in own:
                assert saved.path is not None
                delete.addAction(
                    menu_text(saved.name),
                    partial(self._delete, saved.name, saved.path, tr("The expression was deleted.")),
                )
        self.prompts.popup(menu, self.expression_menu_button)

    def _show_preset_menu(self) -> None:
        menu = QMenu(self.window)
        for name, (text, values) in BUILT_IN.items():
            action = menu.addAction(menu_text(tr(name)), partial(self.use_preset, Preset(name, values, text)))
            action.setToolTip(tooltip_text(tr(text)))
        menu.setToolTipsVisible(True)
        if self.presets:
            menu.addSeparator()
        for preset in self.presets:
            action = menu.addAction(menu_text(preset.name), partial(self.use_preset, preset))
            action.setToolTip(tooltip_text(preset.description or str(preset.path or "")))
        menu.addSeparator()
        menu.addAction(tr("Save preset…"), self.save_preset)
        menu.addAction(tr("Import preset…"), partial(self._import, "toml", store.import_preset))
        menu.addAction(tr("Export preset…"), self._export_preset)
        own = [preset for preset in self.presets if preset.path is not None]
        if own:
            delete = menu.addMenu(tr("Delete"))
            for preset in own:
                assert preset.path is not None
                call = partial(self._delete, preset.name, preset.path, tr("The preset was deleted."))
                delete.addAction(menu_text(preset.name), call)
        menu.addSeparator()
        menu.addAction(tr("No preset: reset the options"), lambda: self.use_preset(Preset("", {})))
        self.prompts.popup(menu, self.preset_bar)

    def _delete(self, name: str, path: Path, done: str) -> None:
        """Delete a saved file after confirmation; this can't be undone."""
        question = QuestionDialog(
            tr("Delete"), tr("{name} will be deleted permanently.", name=name), tr("Delete"), self.window
        )  # fmt: skip
        question.accepted.connect(lambda: self.studio.store(path.unlink, done))
        self.prompts.open(question)

    def use_preset(self, preset: Preset) -> None:
        """Apply a preset; options that it does not contain are reset, unless it holds only a pose or an expression."""
        text = tr("use preset {name}", name=tr(preset.name)) if preset.name else tr("reset the options")

        def look() -> tuple[dict[str, Any], list[str]]:
            return store.present_files(store.preset_values(preset))

        def apply(found: tuple[dict[str, Any], list[str]]) -> None:
            values, missing = found
            self.studio.change(partial(use, values), text)
            if missing:
                names = ", ".join(missing)
                more = tr("{name} refers to missing files: {files}.", name=preset.name, files=names)
                hint = tr("These parts follow the driver instead.")
                self.window.toast.say(f"{more} {hint}", "warning")

        def use(values: dict[str, Any], session: Session) -> Session:
            posed = expression_from(values.pop("expression", ""), values.pop("sliders", ""))
            session = session if posed is not None and not values else session.with_values(values)
            return session if posed is None else session.with_named(posed)

        if store.names_files(preset):
            self.studio.background.run(look, apply, self.studio.failed.emit)
            return
        try:
            apply((store.preset_values(preset), []))
        except AppError as error:
            self.studio.failed.emit(error, "")

    def _import(self, ending: str, work: Callable[[Path], Path]) -> None:
        pattern = f"{tr('Expressions')} (*.json)" if ending == "json" else f"{tr('Presets')} (*.toml *.json)"
        name, _ = QFileDialog.getOpenFileName(self.window, tr("Import"), self.prompts.folder("output"), pattern)
        if name:
            self.studio.store(partial(work, Path(name)), tr("It was imported."))

    def _export_expression(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self.window,
            tr("Export expression"),
            self.prompts.in_home("expression.json"),
            f"{tr('Expressions')} (*.json)",
        )
        if name:
            (path, _), session = store.with_ending(Path(name), (".json",), ".json"), self.studio.session
            work = partial(store.save_expression, path.stem, session.expression, path)
            self.studio.store(work, tr("{name} is ready.", name=path.name))

    def _export_preset(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self.window, tr("Export preset"), self.prompts.in_home("preset.toml"), f"{tr('Presets')} (*.toml)"
        )
        if name:
            path, _ = store.with_ending(Path(name), (".toml",), ".toml")
            work = partial(store.save_preset, path.stem, store.on_screen(self.studio.session), "", path)
            self.studio.store(work, tr("{name} is ready.", name=path.name))
