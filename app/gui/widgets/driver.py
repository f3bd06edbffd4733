"""The driver panel: choice of the driver, its file or camera, and a thumbnail."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.choices import StreamAddress, TrackingAddress
from app.gui import icons
from app.gui.localize import menu_text, tooltip_text
from app.gui.session import LIVE_ONLY, Driver, DriverKind
from app.gui.translate import mark, tr
from app.gui.widgets.basic import ComboBox, SliderRow, Switch, colours, tool_button
from app.gui.widgets.tracker import TrackerPage
from app.speech_options import LIVELY

KINDS: Final[tuple[tuple[DriverKind, str, str, str], ...]] = (
    (
        "sliders",
        "sliders",
        mark("Sliders"),
        mark("Pose the portrait with the sliders; idle motion makes it breathe and blink."),
    ),
    ("file", "film", mark("Clip"), mark("Follow a video, played in a loop.")),
    ("camera", "camera", mark("Camera"), mark("Follow a camera in real time.")),
    ("still", "image", mark("Image"), mark("Copy the expression in an image.")),
    ("template", "motion", mark("Voice or template"), mark("Speak like a sound, or follow a template or keyframes.")),
    ("tracking", "face", mark("Tracker"), mark("Follow a phone or tracking app (OSC, Live Link Face, iFacialMocap).")),
)
CLIPS: Final = "*.mp4 *.mov *.mkv *.webm *.avi *.m4v *.gif"
STILLS: Final = "*.jpg *.jpeg *.png *.webp *.bmp *.tif *.tiff *.heic *.avif"
TEMPLATES: Final = "*.motion *.speech *.pkl *.yaml *.yml"
TRACKS: Final = "*.json *.toml"
"""Expression tracks too, but dropped files of these types are expressions and presets unless dropped on the driver."""
MOTIONS: Final = (".motion", ".pkl")  # templates of a face that somebody filmed
SOUNDS: Final = "*.wav *.mp3 *.m4a *.aac *.flac *.ogg *.opus"
"""A sound is a voice; like a template it drives without images."""

LOWEST: Final = 64  # height of the image of the driver, pixels; it has the room that the controls below leave
GAP: Final = 8  # pixels between the parts


class Thumb(QWidget):
    """A small rounded image that fits its space.

    Signals:
        clicked: It was clicked.
    """

    clicked = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setMinimumHeight(LOWEST)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(name)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(tr("Show drivers as thumbnails"))
        self._image: QImage | None = None
        self._text = self._note = ""

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As low as it may be; it takes the room that is left."""
        return QSize(200, LOWEST)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Emit ``clicked``."""
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.clicked.emit()

    @property
    def empty(self) -> bool:
        """Whether there is no image."""
        return self._image is None

    def show_image(self, image: QImage | None) -> None:
        """Show an image."""
        self._image = image
        self.update()

    def show_text(self, text: str) -> None:
        """Show a text instead of an image."""
        self._text, self._image, self._note = text, None, ""
        self.setAccessibleDescription(text)
        self.update()

    def show_note(self, text: str) -> None:
        """Show a text over the image; empty for none."""
        if text != self._note:
            self._note = text
            self.setAccessibleDescription(text)
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the image."""
        c = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        path = QPainterPath()
        path.addRoundedRect(QRectF(self.rect()), 10, 10)
        painter.fillPath(path, QColor(c.stage))
        if self._image is None:
            painter.setPen(QColor(c.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(10, 4, -10, -4), flags, self._text)
            return
        painter.setClipPath(path)
        size = self._image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        left, top = (self.width() - size.width()) / 2, (self.height() - size.height()) / 2
        target = QRectF(left, top, size.width(), size.height())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(target, self._image)
        if self._note:
            self._draw_note(painter)

    def _draw_note(self, painter: QPainter) -> None:
        room = QRectF(0, self.height() - 26, self.width(), 26)
        painter.fillRect(room, QColor(0, 0, 0, 170))
        painter.setPen(QColor("#ffffff"))
        painter.drawText(room, Qt.AlignmentFlag.AlignCenter, self._note)


class DriverPanel(QWidget):
    """Choice of the driver.

    Signals:
        driver_chosen: The driver.
        browse_requested: Kind of the file to choose.
        cameras_requested: The list of cameras is to be refreshed.
        gallery_requested: The gallery of drivers is to be shown beside this widget.
        keyed: Whether keyframes play with the sliders.
        life_changed: How lively the portrait is, as in the option "idle".
        mirror_changed: Whether the camera is mirrored.
        stream_requested: The dialog for a network camera's URL is to be opened.
    """

    driver_chosen = Signal(object)
    browse_requested = Signal(str)
    cameras_requested = Signal()
    gallery_requested = Signal(object)
    life_changed = Signal(str)
    keyed = Signal(bool)
    mirror_changed = Signal(bool)
    stream_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[str, str] = {}
        self._streams: list[str] = []  # URLs of cameras of the network
        self._driver: Driver | None = None
        self._buttons: dict[str, QToolButton] = {}
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(GAP)
        box.addWidget(self._make_segments())
        self._body = QWidget()  # of one height for all drivers, so that the buttons above stay where they are
        box.addWidget(self._body)
        box = QVBoxLayout(self._body)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(GAP)
        self.thumb = Thumb(tr("Image of the driver"))
        self.thumb.clicked.connect(lambda: self.gallery_requested.emit(self.thumb))
        box.addWidget(self.thumb, 1)
        self._stack = QStackedWidget()
        self._stack.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.tracker = TrackerPage()
        self._pages = self._make_hint(), self._make_file(), self._make_camera(), self.tracker
        for page in self._pages:
            self._stack.addWidget(page)
        self.tracker.address_chosen.connect(lambda address: self.driver_chosen.emit(Driver("tracking", address)))
        self.tracker.mirror_changed.connect(self.mirror_changed)
        box.addWidget(self._stack)
        self.life = SliderRow(
            tr("Idle motion"), tr("The portrait breathes, blinks and looks around by itself."), 0.0, 1.0, 0.05, 0.0
        )
        self.life.changed.connect(self._life_moved)
        box.addWidget(self.life)
        self.show_driver(Driver())

    def _make_segments(self) -> QWidget:
        frame = QFrame()
        frame.setObjectName("segments")
        frame.setProperty("dense", True)
        line = QHBoxLayout(frame)
        line.setContentsMargins(1, 1, 1, 1)
        line.setSpacing(0)
        group = QButtonGroup(self)
        for kind, icon, title, text in KINDS:
            button = QToolButton()
            button.setCheckable(True)
            button.setProperty("icon_name", icon)
            button.setIconSize(QSize(18, 18))
            button.setText(tr(title))
            button.setToolTip(tooltip_text(f"{tr(title)}\n{tr(text)}"))
            button.setAccessibleName(tr(title))
            button.setAccessibleDescription(tr(text))
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, k=kind: self._choose(k))
            group.addButton(button)
            line.addWidget(button)
            self._buttons[kind] = button
        return frame

    def _make_hint(self) -> QWidget:
        room = QWidget()
        box = QVBoxLayout(room)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        hint = QLabel(tr("The sliders on the right pose the portrait."))
        hint.setObjectName("muted")
        hint.setWordWrap(True)
        self.keys = Switch(tr("Keyframes"), tr("Set poses at points in time; the portrait moves from one to the next."))
        self.keys.clicked.connect(self.keyed)
        box.addWidget(hint)
        box.addWidget(self.keys)
        return room

    def _make_file(self) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(6)
        self.file_button = QPushButton()
        self.file_button.setAccessibleName(tr("Choose a file…"))
        self.file_button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.file_button.clicked.connect(lambda: self.browse_requested.emit(self._kind))
        recent = tool_button("gallery", tr("Show drivers as thumbnails"))
        recent.clicked.connect(lambda: self.gallery_requested.emit(self.thumb))
        line.addWidget(self.file_button, 1)
        line.addWidget(recent)
        self.recent_button = recent
        return row

    def _make_camera(self) -> QWidget:
        room = QWidget()
        box = QVBoxLayout(room)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        line = QHBoxLayout()
        line.setSpacing(6)
        self.cameras = ComboBox()
        self.cameras.setAccessibleName(tr("Camera"))
        self.cameras.setToolTip(tr("Camera"))
        self.cameras.activated.connect(self._camera_chosen)
        stream = tool_button("broadcast", tr("Network camera…"))
        stream.clicked.connect(self.stream_requested)
        again = tool_button("reset", tr("Look for cameras again"))
        again.clicked.connect(self.cameras_requested)
        shots = tool_button("gallery", tr("Show cameras as thumbnails"))
        shots.clicked.connect(lambda: self.gallery_requested.emit(self.thumb))
        line.addWidget(self.cameras, 1)
        for button in (shots, stream, again):
            line.addWidget(button)
        box.addLayout(line)
        self.mirror = Switch(tr("Mirror"), tr("Left and right are swapped as in a mirror."))
        self.mirror.setChecked(True)
        self.mirror.clicked.connect(self.mirror_changed)
        box.addWidget(self.mirror)
        return room

    def show_driver(self, driver: Driver, idle: str = "", *, spoken: bool = False) -> None:
        """Show the current driver.

        Args:
            driver: The driver.
            idle: How lively the portrait is: the option of that name.
            spoken: Whether the option "voice" names a sound, which speaks where sliders alone drive.
        """
        fresh, self._driver = driver != self._driver, driver
        self._kind: DriverKind = driver.kind
        if fresh and driver.kind in ("file", "still", "camera"):
            self.thumb.show_text(tr("Starting…"))  # the previous driver's image is no longer valid
        if driver.kind not in ("sliders", *LIVE_ONLY):
            self._files[driver.kind] = driver.source
        self._buttons[driver.kind].setChecked(True)
        if driver.kind == "camera":
            self._stack.setCurrentIndex(2)
            self._add_stream(driver.source)
            index = self.cameras.findData(driver.source)
            self.cameras.setCurrentIndex(max(index, 0) if self.cameras.count() else -1)
        elif driver.kind == "tracking":
            self._stack.setCurrentIndex(3)
            with suppress(ValueError):
                self.tracker.show_address(TrackingAddress.parse(driver.source) or self.tracker.address)
        elif driver.kind == "sliders":
            self._stack.setCurrentIndex(0)
            if fresh:
                self.thumb.show_text(tr("Sliders only"))
        else:
            self._stack.setCurrentIndex(1)
            name = Path(driver.source).name if driver.source else tr("Choose a file…")
            width = max(80, self.width() - 80)
            self.file_button.setText(
                menu_text(self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, width))
            )
            self.file_button.setToolTip(tooltip_text(driver.source or tr("Choose a file…")))
            self.file_button.setAccessibleName(tr("File of the driver: {name}", name=name))
        if driver.kind == "template" and fresh:
            self.thumb.show_text(tr("Starting…"))
        self._show_life(driver, idle, is_sound(driver.source) or (spoken and driver.kind == "sliders"))
        shown = self._stack.currentWidget()
        self._stack.setFixedHeight(max(34, shown.sizeHint().height() if shown is not None else 0))
        pages = [page.sizeHint().height() for page in self._pages]
        highest = max(*pages, max(pages[:2]) + GAP + self.life.sizeHint().height())  # life is below the first two
        self._body.setFixedHeight(max(self._body.minimumHeight(), LOWEST + GAP + highest))
        self.refresh()

    def _show_life(self, driver: Driver, idle: str, speaks: bool) -> None:
        motion = driver.kind == "template" and Path(driver.source).suffix.lower() in MOTIONS
        self.life.setVisible(driver.kind in ("sliders", "template") and not motion)
        self.life.slider.default = float(LIVELY) if speaks else 0.0
        self.life.show_value(float(idle) if idle else self.life.slider.default)

    def _life_moved(self, life: float) -> None:
        self.life_changed.emit("" if life == self.life.slider.default else f"{life:g}")

    def show_cameras(self, names: list[str]) -> None:
        """Show the available cameras."""
        chosen = self.cameras.currentData()
        self.cameras.clear()
        for name in names:
            self.cameras.addItem(name, name)
        if not names:
            self.cameras.addItem(tr("No camera found"), "")
        for url in self._streams:
            self.cameras.addItem(str(StreamAddress(url)), url)
        self.cameras.setEnabled(bool(names or self._streams))
        self.cameras.setCurrentIndex(max(0, self.cameras.findData(chosen)))

    def _add_stream(self, source: str) -> None:
        """Add a camera of the network to the list, shown without its password."""
        try:
            address = StreamAddress.parse(source)
        except ValueError:
            return
        if address is not None and self.cameras.findData(source) < 0:
            self._streams.append(source)
            self.cameras.addItem(str(address), source)
            self.cameras.setEnabled(True)

    def refresh(self) -> None:
        """Draw the icons in the current colours."""
        c = colours()
        for button in self._buttons.values():
            button.setIcon(icons.icon(button.property("icon_name"), c.muted, c.faint, c.accent))

    def _choose(self, kind: DriverKind) -> None:
        if kind == "sliders":
            self.driver_chosen.emit(Driver())
        elif kind == "camera":
            self.cameras_requested.emit()
            self.driver_chosen.emit(Driver("camera", self.cameras.currentData() or ""))
        elif kind == "tracking":
            self.driver_chosen.emit(Driver("tracking", str(self.tracker.address)))
        elif self._files.get(kind):
            self.driver_chosen.emit(Driver(kind, self._files[kind]))
        else:
            self._buttons[self._kind].setChecked(True)
            self.browse_requested.emit(kind)

    def _camera_chosen(self) -> None:
        self.driver_chosen.emit(Driver("camera", self.cameras.currentData() or ""))


def is_sound(path: str) -> bool:
    """Whether a driver file is a sound, by its extension."""
    return f"*{Path(path).suffix.lower()}" in SOUNDS.split()


def driver_kind(path: str) -> DriverKind:
    """Kind of a driver file, by its extension."""
    ending = f"*{Path(path).suffix.lower()}"
    if ending in (*TEMPLATES.split(), *TRACKS.split()) or is_sound(path):
        return "template"
    return "still" if ending in STILLS.split() else "file"
