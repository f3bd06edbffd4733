"""A popup with thumbnails to choose a driver from: recent files, the sample clip, cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QIcon, QImage, QPixmap
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QToolButton, QVBoxLayout, QWidget

from app.gui import icons
from app.gui.localize import menu_text, tooltip_text
from app.gui.session import Driver
from app.gui.translate import tr
from app.gui.widgets.basic import FlowLayout, colours

TILE: Final = QSize(104, 78)
ICONS: Final = {"sliders": "sliders", "file": "film", "camera": "camera", "still": "image", "template": "motion",
    "tracking": "face",
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """One entry of the gallery.

    Attributes:
        driver: The driver.
        title: Name shown below.
    """

    driver: Driver
    title: str


class Gallery(QFrame):
    """Shows choices as thumbnails, in groups.

    Args:
        parent: Widget that it belongs to.

    Signals:
        chosen: The driver that was clicked.
        browse_requested: The file dialog is to be opened.
        pictures_requested: Camera images are requested; the cameras are not opened before.
    """

    chosen = Signal(object)
    browse_requested = Signal()
    pictures_requested = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("gallery")
        self.setAccessibleName(tr("Choose a driver"))
        self.tiles: dict[Driver, QToolButton] = {}
        content = QWidget()
        self._groups = QVBoxLayout(content)
        self._groups.setContentsMargins(14, 10, 14, 6)
        self._groups.setSpacing(6)
        self._groups.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._area = QScrollArea()
        self._area.setWidget(content)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._content = content
        self.browse = QPushButton(tr("Choose a file…"))
        self.browse.setToolTip(tr("Choose a file…"))
        self.browse.clicked.connect(self._browse)
        self.pictures = QPushButton(tr("Show camera images"))
        self.pictures.setToolTip(tr("Switches each camera on for a moment, and off again."))
        self.pictures.setAccessibleDescription(self.pictures.toolTip())
        self.pictures.clicked.connect(self._show_pictures)
        self.pictures.hide()
        line = QHBoxLayout()
        line.setContentsMargins(14, 0, 14, 0)
        line.addWidget(self.pictures)
        line.addStretch(1)
        line.addWidget(self.browse)
        box = QVBoxLayout(self)
        box.setContentsMargins(1, 4, 1, 12)
        box.setSpacing(4)
        box.addWidget(self._area, 1)
        box.addLayout(line)
        self.setFixedWidth(4 * (TILE.width() + 18) + 48)

    def add_group(self, title: str, choices: list[Choice]) -> None:
        """Add a heading and its choices; nothing if there are none."""
        if not choices:
            return
        head = QLabel(title)
        head.setObjectName("heading")
        self._groups.addWidget(head)
        host = QWidget()
        flow = FlowLayout(6)
        host.setLayout(flow)
        for choice in choices:
            tile = self._tile(choice)
            flow.addWidget(tile)
            self.tiles[choice.driver] = tile
        self._groups.addWidget(host)
        if any(choice.driver.kind == "camera" for choice in choices):
            self.pictures.show()
        self._fit()

    def set_picture(self, driver: Driver, image: QImage | None, text: str = "") -> None:
        """Show the thumbnail of a choice, or why there is none."""
        tile = self.tiles.get(driver)
        if tile is None:
            return
        if image is not None:
            tile.setIcon(QIcon(QPixmap.fromImage(image)))
        if text:
            tile.setToolTip(tooltip_text(text))
            tile.setAccessibleDescription(text)

    def open_at(self, corner: QPoint) -> None:
        """Show the popup with its upper left corner at a point of the screen, or where there is room."""
        self._fit()
        screen = self.screen().availableGeometry()
        corner.setX(max(screen.left(), min(corner.x(), screen.right() - self.width())))
        corner.setY(max(screen.top(), min(corner.y(), screen.bottom() - self.height())))
        self.move(corner)
        self.show()
        first = next(iter(self.tiles.values()), self.browse)
        first.setFocus(Qt.FocusReason.PopupFocusReason)

    def _fit(self) -> None:
        wanted = self._groups.totalHeightForWidth(self.width() - 4)
        wanted = wanted if wanted > 0 else self._content.sizeHint().height()
        self.resize(self.width(), min(max(140, wanted + 72), 620))

    def _tile(self, choice: Choice) -> QToolButton:
        tile = QToolButton()
        tile.setObjectName("tile")
        tile.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        tile.setIconSize(TILE)
        tile.setFixedSize(TILE.width() + 16, TILE.height() + 38)
        tile.setIcon(QIcon(self._placeholder(choice.driver.kind)))
        tile.setText(menu_text(self.fontMetrics().elidedText(choice.title, Qt.TextElideMode.ElideMiddle, TILE.width())))
        tile.setToolTip(tooltip_text(choice.driver.source or choice.title))
        tile.setAccessibleName(choice.title)
        tile.clicked.connect(lambda _=False, driver=choice.driver: self._choose(driver))
        return tile

    @staticmethod
    def _placeholder(kind: str) -> QPixmap:
        """An icon centred on an empty tile."""
        from PySide6.QtGui import QColor, QPainter, QPainterPath

        c, ratio = colours(), 2.0
        picture = QPixmap(round(TILE.width() * ratio), round(TILE.height() * ratio))
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        path = QPainterPath()
        path.addRoundedRect(0, 0, TILE.width(), TILE.height(), 8, 8)
        painter.fillPath(path, QColor(c.stage))
        sign = icons.pixmap(ICONS[kind], c.muted, 28)
        painter.drawPixmap(QPoint((TILE.width() - 28) // 2, (TILE.height() - 28) // 2), sign)
        painter.end()
        return picture

    def _choose(self, driver: Driver) -> None:
        self.chosen.emit(driver)
        self.close()

    def _browse(self) -> None:
        self.close()
        self.browse_requested.emit()

    def _show_pictures(self) -> None:
        self.pictures.setEnabled(False)
        self.pictures_requested.emit()
