"""Colours, spacing and style sheet of the window, light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final, Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

Scheme = Literal["system", "light", "dark"]
FAMILIES: Final = ("Inter", "Segoe UI Variable", "Segoe UI", "SF Pro Text", "Helvetica Neue", "Cantarell", "Noto Sans")


@dataclass(frozen=True)
class Colours:
    """One colour scheme; all as "#rrggbb"."""

    window: str
    surface: str
    raised: str
    hover: str
    line: str
    text: str
    muted: str
    faint: str
    accent: str
    accent_hover: str
    on_accent: str
    stage: str
    ok: str
    warning: str
    danger: str


DARK: Final = Colours(
    window="#14161b", surface="#1b1e25", raised="#262a33", hover="#313642", line="#2d323d", text="#eceef4",
    muted="#a3abbd", faint="#757d92", accent="#7b8cff", accent_hover="#93a1ff", on_accent="#0e1020", stage="#0d0e12",
    ok="#5bd0a0", warning="#f2b84b", danger="#ff7b7b",
)  # fmt: skip
LIGHT: Final = Colours(
    window="#f2f3f7", surface="#ffffff", raised="#eef0f5", hover="#e1e5ee", line="#dde1ea", text="#181b23",
    muted="#596174", faint="#7d8599", accent="#4a5be0", accent_hover="#3b4bcc", on_accent="#ffffff", stage="#e6e8ef",
    ok="#0e7350", warning="#8a5800", danger="#bb2a2a",
)  # fmt: skip


class Theme(QObject):
    """Applies a colour scheme to the whole program.

    Signals:
        changed: Another scheme is in use; icons must be redrawn.
    """

    changed = Signal()

    def __init__(self, app: QApplication, scheme: Scheme = "system") -> None:
        super().__init__(app)
        self._app = app
        self.scheme: Scheme = scheme
        app.setStyle("Fusion")
        app.setFont(_font(app.font()))
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)
        self.apply(scheme)

    @property
    def is_dark(self) -> bool:
        """Whether the dark colours are in use."""
        if self.scheme != "system":
            return self.scheme == "dark"
        return QGuiApplication.styleHints().colorScheme() != Qt.ColorScheme.Light

    @property
    def colours(self) -> Colours:
        """The current colours."""
        return DARK if self.is_dark else LIGHT

    def apply(self, scheme: Scheme) -> None:
        """Use a scheme."""
        self.scheme = scheme
        c = self.colours
        self._app.setPalette(_palette(c))
        self._app.setStyleSheet(style_sheet(c))
        self.changed.emit()

    def _system_changed(self) -> None:
        if self.scheme == "system":
            self.apply("system")


def _font(font: QFont) -> QFont:
    known = set(QFontDatabase.families())
    families = [name for name in FAMILIES if name in known]
    result = QFont(font)
    if families:
        result.setFamilies([families[0], font.family()])
    result.setPixelSize(13)
    return result


def _palette(c: Colours) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for roles, colour in (
        ((role.Window,), c.window),
        ((role.Base, role.ToolTipBase), c.surface),
        ((role.AlternateBase, role.Button, role.Mid, role.Midlight), c.raised),
        ((role.WindowText, role.Text, role.ButtonText, role.ToolTipText, role.BrightText), c.text),
        ((role.PlaceholderText,), c.muted),
        ((role.Highlight, role.Link, role.Accent), c.accent),
        ((role.HighlightedText,), c.on_accent),
        ((role.Light, role.Dark, role.Shadow), c.line),
    ):
        for one in roles:
            palette.setColor(one, QColor(colour))
    for one in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, one, QColor(c.faint))
    return palette


def style_sheet(c: Colours) -> str:
    """The style sheet in these colours."""
    text = (Path(__file__).parent / "style.qss").read_text(encoding="utf-8")
    arrow = Path(__file__).parent / ("arrow-dark.svg" if c is DARK else "arrow-light.svg")
    values = {name: getattr(c, name) for name in Colours.__dataclass_fields__}
    check = Path(__file__).parent / ("check-dark.svg" if c is DARK else "check-light.svg")
    return Template(text).substitute(values, arrow=arrow.as_posix(), check=check.as_posix())
