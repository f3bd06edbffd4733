"""Line icons, drawn for this program: 24 x 24, one colour, sharp at any size."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

LINES: Final[dict[str, str]] = {
    "add": '<path d="M12 5v14M5 12h14"/>',
    "remove": '<path d="M5 12h14"/>',
    "close": '<path d="M6.5 6.5l11 11M17.5 6.5l-11 11"/>',
    "undo": '<path d="M8 5L4 9l4 4"/><path d="M4 9h9.5a5.5 5.5 0 0 1 0 11H9"/>',
    "redo": '<path d="M16 5l4 4-4 4"/><path d="M20 9h-9.5a5.5 5.5 0 0 0 0 11H15"/>',
    "play": '<path d="M8 5.5v13l10.5-6.5z"/>',
    "pause": '<path d="M9 6v12M15 6v12"/>',
    "step-back": '<path d="M16.5 6v12l-8.5-6z"/><path d="M6 6.5v11"/>',
    "step-forward": '<path d="M7.5 6v12l8.5-6z"/><path d="M18 6.5v11"/>',
    "to-start": '<path d="M19 6.5v11l-6-5.5zM12 6.5v11L6 12z"/><path d="M4.5 6.5v11"/>',
    "gallery": '<rect x="4" y="4" width="7" height="7" rx="1.5"/><rect x="13" y="4" width="7" height="7" rx="1.5"/>'
    '<rect x="4" y="13" width="7" height="7" rx="1.5"/><rect x="13" y="13" width="7" height="7" rx="1.5"/>',
    "loop": '<path d="M16.5 3.5L20 7l-3.5 3.5"/><path d="M20 7H8a4 4 0 0 0-4 4v1"/>'
    '<path d="M7.5 20.5L4 17l3.5-3.5"/><path d="M4 17h12a4 4 0 0 0 4-4v-1"/>',
    "stop": '<rect x="6.5" y="6.5" width="11" height="11" rx="1.5"/>',
    "centre": '<circle cx="12" cy="12" r="3"/><path d="M12 3v4M12 17v4M3 12h4M17 12h4"/>',
    "film": '<rect x="3.5" y="5.5" width="17" height="13" rx="2"/><path d="M8 5.5v13M16 5.5v13M3.5 12h17"/>',
    "camera": '<rect x="3.5" y="6.5" width="11.5" height="11" rx="2"/><path d="M15 10.5l5.5-3v9l-5.5-3z"/>',
    "image": '<rect x="3.5" y="4.5" width="17" height="15" rx="2"/><circle cx="8.7" cy="9.6" r="1.5"/>'
    '<path d="M4 17l5-4.5 3.5 3 3.5-4 4 4"/>',
    "motion": '<path d="M3.5 12c2.5-7 5-7 7 0s4.5 7 10 0"/><circle cx="10.5" cy="12" r="1"/>',
    "sliders": '<path d="M5 4v9M5 17v3M12 4v3M12 11v9M19 4v11M19 19v1"/>'
    '<circle cx="5" cy="15" r="2"/><circle cx="12" cy="9" r="2"/><circle cx="19" cy="17" r="2"/>',
    "crop": '<path d="M7 3v14h14"/><path d="M3 7h14v14"/>',
    "result": '<circle cx="12" cy="9" r="3.5"/><path d="M5.5 20c.5-4 3-6 6.5-6s6 2 6.5 6"/>',
    "side": '<rect x="3.5" y="5" width="7.2" height="14" rx="1.5"/>'
    '<rect x="13.3" y="5" width="7.2" height="14" rx="1.5"/>',
    "over": '<rect x="3.5" y="5" width="17" height="14" rx="2"/><path d="M12 3v18M9.5 12h-3M14.5 12h3"/>',
    "fit": '<path d="M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5"/>',
    "folder": '<path d="M3.5 7.5a2 2 0 0 1 2-2h4l2 2.5h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-13a2 2 0 0 1-2-2z"/>',
    "save": '<path d="M12 4v11M7.5 11l4.5 4.5 4.5-4.5"/><path d="M4.5 19.5h15"/>',
    "render": '<rect x="3.5" y="5.5" width="17" height="13" rx="2"/><path d="M10.5 9v6l4.5-3z"/>',
    "record": '<circle cx="12" cy="12" r="8"/><circle cx="12" cy="12" r="3.5" fill="COLOUR"/>',
    "broadcast": '<circle cx="12" cy="12" r="2"/><path d="M8 8a5.6 5.6 0 0 0 0 8M16 8a5.6 5.6 0 0 1 0 8"/>'
    '<path d="M5.2 5.2a9.6 9.6 0 0 0 0 13.6M18.8 5.2a9.6 9.6 0 0 1 0 13.6"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "more": '<circle cx="6" cy="12" r="1.2"/><circle cx="12" cy="12" r="1.2"/><circle cx="18" cy="12" r="1.2"/>',
    "chevron-down": '<path d="M6 9.5l6 6 6-6"/>',
    "chevron-up": '<path d="M6 14.5l6-6 6 6"/>',
    "chevron-right": '<path d="M9.5 6l6 6-6 6"/>',
    "check": '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
    "warning": '<path d="M12 4l9 16H3z"/><path d="M12 10v4.5M12 17.2v.3"/>',
    "info": '<circle cx="12" cy="12" r="8.5"/><path d="M12 11v5.5M12 7.7v.3"/>',
    "reset": '<path d="M5 5v5h5"/><path d="M5.5 10a7.5 7.5 0 1 1-1 4"/>',
    "face": '<circle cx="12" cy="12" r="8.5"/><path d="M9 10v.5M15 10v.5M8.5 14.5c2 2.5 5 2.5 7 0"/>',
    "chip": '<rect x="6.5" y="6.5" width="11" height="11" rx="1.5"/>'
    '<path d="M9.5 3.5v3M14.5 3.5v3M9.5 17.5v3M14.5 17.5v3M3.5 9.5h3M3.5 14.5h3M17.5 9.5h3M17.5 14.5h3"/>',
    "download": '<path d="M12 3.5v11M7.5 10.5L12 15l4.5-4.5"/>'
    '<path d="M4.5 15.5v3a2 2 0 0 0 2 2h11a2 2 0 0 0 2-2v-3"/>',
    "keyboard": '<rect x="3" y="6.5" width="18" height="11" rx="2"/>'
    '<path d="M6.5 10h.5M10 10h.5M13.5 10h.5M17 10h.5M8 14h8"/>',
    "moon": '<path d="M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z"/>',
    "globe": '<circle cx="12" cy="12" r="8.5"/><path d="M3.5 12h17M12 3.5c3 3 3 14 0 17M12 3.5c-3 3-3 14 0 17"/>',
    "sound": '<path d="M4 9.5v5h3.5L12 19V5L7.5 9.5z"/><path d="M15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11"/>',
    "mute": '<path d="M4 9.5v5h3.5L12 19V5L7.5 9.5z"/><path d="M15.5 9.5l5 5M20.5 9.5l-5 5"/>',
    "star": '<path d="M12 4l2.5 5.2 5.5.8-4 4 1 5.6-5-2.7-5 2.7 1-5.6-4-4 5.5-.8z"/>',
}  # fmt: skip
SIZE: Final = 24


def app_icon() -> QIcon:
    """Icon of the program."""
    import assets

    return QIcon(str(Path(str(assets.__file__)).parent / "icons" / "portrait-animate.svg"))


@lru_cache(maxsize=512)
def pixmap(name: str, colour: str, size: int = SIZE, ratio: float = 2.0) -> QPixmap:
    """Render one icon.

    Args:
        name: Key of LINES.
        colour: "#rrggbb".
        size: Side in logical pixels.
        ratio: Device pixels per logical pixel.
    """
    body = LINES[name].replace("COLOUR", colour)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="{colour}" '
        f'stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round">{body}</svg>'
    )
    renderer = QSvgRenderer(QByteArray(svg.encode()))
    side = round(size * ratio)
    picture = QPixmap(side, side)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    renderer.render(painter, QRectF(0, 0, side, side))
    painter.end()
    picture.setDevicePixelRatio(ratio)
    return picture


def icon(name: str, colour: str, disabled: str = "#888888", checked: str = "") -> QIcon:
    """An icon with its disabled and checked states."""
    result = QIcon()
    result.addPixmap(pixmap(name, colour), QIcon.Mode.Normal, QIcon.State.Off)
    result.addPixmap(pixmap(name, disabled), QIcon.Mode.Disabled, QIcon.State.Off)
    if checked:
        for mode in (QIcon.Mode.Normal, QIcon.Mode.Active, QIcon.Mode.Selected):
            result.addPixmap(pixmap(name, checked), mode, QIcon.State.On)
    return result
