"""Crop editor: the crop of the source that is animated, its faces, and the driver of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import (
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.choices import SMALLEST_SQUARE, FaceDriver, Faces, Square, Subject
from app.errors import AppError
from app.frames.resources import open_tracker
from app.frames.scene import pixels_of
from app.gui import qt_images
from app.gui.dialogs.base import Dialog
from app.gui.dialogs.placing import PlacingPanel, keep
from app.gui.localize import localized
from app.gui.qt_images import Pixels
from app.gui.session import PortraitItem
from app.gui.threads import Background, LatestWorker
from app.gui.translate import tr
from app.gui.widgets.basic import ComboBox, Switch, scrolled
from app.gui.widgets.faces import FaceList
from app.gui.widgets.keys import FieldKeys
from app.gui.widgets.placeview import PlaceView
from app.placed_faces import guess_without_face
from liveportrait.crop import Box, Crop, face_box
from liveportrait.options import AnimationOptions
from liveportrait.placed import Handles, centred_handles, handles_of_face
from models.choices import EMBEDDED, LARGEST, DetectorChoice, FaceChoice
from models.face import Face, select_face

SHOWN = 1600  # longest side of the image in the editor
PREVIEW = 220


@dataclass(frozen=True)
class Loaded:
    """A source image and its faces."""

    pixels: Pixels
    image: QImage
    size: tuple[int, int]
    faces: list[Face]
    thumbs: list[QImage] = field(default_factory=list)
    guess: Handles | None = None
    moves: bool = False


def load(path: Path, detector: DetectorChoice = EMBEDDED, ratio: float = 1.0) -> Loaded:
    """Read a source and find its faces; must not run in the window's thread.

    Args:
        path: The source.
        detector: Face detector.
        ratio: Screen pixels per logical pixel.

    Raises:
        AppError: It can't be read.
    """
    from app.media.reader import open_clip

    with open_clip(path) as reader:
        moves = reader.info.kind != "image"
        pixels = pixels_of(next(iter(reader)))
    small = qt_images.shrink(pixels, SHOWN, SHOWN)
    faces = open_tracker(detector).detect(np.ascontiguousarray(pixels[..., :3]), covered=True)
    thumbs = []
    for face in faces:
        box = face_box(face, 1.7)
        thumb = qt_images.to_image(Crop.of_box(box, FaceList.thumb_size(ratio).width()).apply(pixels))
        thumb.setDevicePixelRatio(ratio)
        thumbs.append(thumb)
    guess = None if faces or moves else guess_without_face(np.ascontiguousarray(pixels[..., :3]), None)
    placed = guess[0] if guess is not None and guess[1] == "likeness" else None
    return Loaded(pixels, qt_images.to_image(small), (pixels.shape[1], pixels.shape[0]), faces, thumbs, placed, moves)


def face_number(loaded: Loaded, choice: FaceChoice) -> int:
    """Index of the face that a choice refers to.

    Raises:
        ValueError: There is no such face.
    """
    chosen = select_face(loaded.faces, choice, loaded.size)
    return next(i for i, face in enumerate(loaded.faces) if face is chosen)


def chosen_faces(item: PortraitItem, loaded: Loaded) -> tuple[set[int], dict[int, str]]:
    """Faces of a portrait that move, and those with their own driver; choices that no longer apply are dropped."""
    moving: set[int] = set(range(len(loaded.faces))) if item.subject.faces.everybody else set()
    drivers: dict[int, str] = {}
    own = {driver.face: str(driver.path) for driver in item.subject.drivers}
    for choice in (*item.subject.faces.choices, *own):
        try:
            number = face_number(loaded, choice)
        except ValueError:
            continue
        moving.add(number)
        if choice in own:
            drivers[number] = own[choice]
    return moving, drivers


class CropDialog(Dialog):
    """Edits the crop of one portrait.

    Args:
        item: The portrait.
        options: Options for a crop that follows the face.
        background: Reads the image.
        parent: Window.
        detector: Face detector.

    Attributes:
        item: The portrait with the user's choices, once accepted.
        list: The list of faces and their drivers.
    """

    def __init__(
        self, item: PortraitItem, options: AnimationOptions, background: Background, parent: QWidget | None = None,
        detector: DetectorChoice = EMBEDDED,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.item = item
        self._options = options
        self._loaded: Loaded | None = None
        self._chosen = -1
        self._fixed = item.subject.square is not None
        self.list = FaceList()
        self.list.changed.connect(self._faces_changed)
        self.list.hide()
        self.setWindowTitle(tr("Crop and face"))
        self.resize(1000, 640)
        self.view = PlaceView()
        self.placing = PlacingPanel(self.view, PREVIEW)
        self.placing.toggled.connect(self._place)
        self.placing.changed.connect(self._automatic)
        self.view.box_changed.connect(self._by_hand)
        self.view.face_clicked.connect(self._choose_face)
        self._preview = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self._preview.setFixedSize(PREVIEW, PREVIEW)
        self._preview.setAccessibleName(tr("Crop for the engine"))
        self._worker = LatestWorker(self._cut, "crop preview", self)
        self._worker.done.connect(self._show_cut)
        main = QHBoxLayout()
        main.setSpacing(20)
        main.addWidget(self.list)
        main.addWidget(self.view, 1)
        column = QWidget()
        column.setLayout(self._make_side())
        side = scrolled(column)
        side.setFixedWidth(PREVIEW + 16)
        main.addWidget(side)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.button(QDialogButtonBox.StandardButton.Ok).setObjectName("primary")
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.setContentsMargins(20, 20, 20, 20)
        box.setSpacing(16)
        box.addLayout(main, 1)
        box.addWidget(buttons)
        self._ok = buttons.button(QDialogButtonBox.StandardButton.Ok)
        self._ok.setEnabled(False)
        self.finished.connect(lambda _: self._worker.stop())
        background.run(
            partial(load, Path(item.path), detector, self.devicePixelRatioF()),
            self._show_loaded,
            self._show_failure,
        )
        self._enable(on=False)

    def _make_side(self) -> QVBoxLayout:
        side = QVBoxLayout()
        side.setContentsMargins(0, 0, 0, 0)
        side.setSpacing(10)
        self.faces = ComboBox()
        self.faces.setAccessibleName(tr("Face"))
        self.faces.setToolTip(tr("The face to animate"))
        self.faces.activated.connect(self._choose_face)
        form = QFormLayout()
        form.setSpacing(8)
        form.addRow(tr("Face"), self.faces)
        self.fields: dict[str, QDoubleSpinBox] = {}
        for name, title, low, high, unit, hint in (
            ("x", tr("Centre x"), -20000, 40000, " px", tr("Centre of the crop, from the left edge of the image")),
            ("y", tr("Centre y"), -20000, 40000, " px", tr("Centre of the crop, from the top edge of the image")),
            ("size", tr("Side"), 16, 40000, " px", tr("Side of the crop, in pixels of the image")),
            ("angle", tr("Angle"), -180, 180, "°", tr("Rotation of the crop, clockwise")),
        ):  # fmt: skip
            spin = QDoubleSpinBox()
            spin.setRange(low, high)
            spin.setDecimals(1)
            spin.setSuffix(unit)
            spin.lineEdit().setTextMargins(8, 0, 8, 0)
            spin.setFixedHeight(32)
            spin.setAccessibleName(title)
            spin.setToolTip(hint)
            FieldKeys(spin, self._show_fields)
            spin.setKeyboardTracking(False)
            spin.valueChanged.connect(self._typed)
            form.addRow(title, spin)
            self.fields[name] = spin
        heading = QLabel(tr("Crop for the engine"))
        heading.setObjectName("heading")
        side.addWidget(heading)
        side.addWidget(self._preview)
        side.addWidget(self.placing)
        form.setContentsMargins(0, 0, 0, 0)
        host = QWidget()  # fixed height, even if there is more room
        host.setLayout(form)
        host.setFixedWidth(PREVIEW)
        host.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        side.addWidget(host)
        self.follow = QPushButton(tr("Follow the face"))
        self.follow.setToolTip(tr("Find the crop from the face instead of setting it by hand."))
        self.follow.setFixedWidth(PREVIEW)
        self.follow.clicked.connect(self._automatic)
        side.addWidget(self.follow)
        for text, hint, name in (
            (tr("Show landmarks"), tr("Landmarks found on the face."), "show_landmarks"),
            (tr("Show mask"), tr("The shaded part stays unchanged; at the soft border both are blended."),
             "show_mask"),
        ):  # fmt: skip
            switch = Switch(text, hint)
            switch.setChecked(True)
            switch.setFixedWidth(PREVIEW)
            switch.toggled.connect(partial(self._show_part, name))
            side.addWidget(switch)
        self._status = QLabel(tr("Looking for faces…"))
        self._status.setObjectName("muted")
        self._status.setWordWrap(True)
        self._status.setFixedWidth(PREVIEW)
        side.addWidget(self._status)
        side.addStretch(1)
        return side

    def _show_part(self, name: str, on: bool) -> None:
        setattr(self.view, name, on)
        self.view.update()

    def _enable(self, *, on: bool) -> None:
        """Enable the controls once the image has been read."""
        for widget in (self.faces, self.follow, self.placing, *self.fields.values()):
            widget.setEnabled(on)
        self._ok.setEnabled(on)

    def _show_failure(self, error: Exception, _: str) -> None:
        """Show why the image can't be read."""
        text = localized(str(error))
        self._status.setText("")
        self.view.show_message(text)

    # ---- what was loaded ------------------------------------------------------------------------------------------
    def _show_loaded(self, loaded: Loaded) -> None:
        if not self.isVisible():
            return
        self._loaded = loaded
        self._enable(on=True)
        self.faces.setEnabled(bool(loaded.faces))
        self.follow.setEnabled(bool(loaded.faces))
        self.view.set_picture(loaded.image, loaded.size)
        self.view.set_faces([face.box for face in loaded.faces])
        for number, _ in enumerate(loaded.faces, 1):
            self.faces.addItem(tr("Face {number}", number=number))
        count = len(loaded.faces)
        text = tr("No face was found. Place it by hand here.") if not count else tr("Faces found: {count}", count=count)
        if loaded.moves and not count:
            text = tr("No face was found. Set the crop by hand.")
        self._status.setText(text)
        try:
            self._chosen = face_number(loaded, self.item.subject.faces.first)
        except ValueError:
            self._chosen = 0 if loaded.faces else -1
        self._mark_face()
        if count > 1:
            moving, drivers = chosen_faces(self.item, loaded)
            self.list.show_faces(loaded.thumbs, moving or {self._chosen}, drivers)
            self.list.show()
            self._widen()
            self._show_several()
        square = None if self._several else self.item.subject.square
        if square is not None:
            self._show_box(Box(square.x, square.y, square.side, math.radians(square.angle)))
        elif loaded.faces:
            self._automatic()
        else:
            side = 0.8 * min(loaded.size)
            self._by_hand(Box(loaded.size[0] / 2, loaded.size[1] / 2, side))
        self.placing.begin(Path(self.item.path), loaded.size, self._first_guess(loaded), self.item.subject.landmarks)
        if loaded.moves:
            self.placing.refuse(tr("A face can be placed by hand only on photos."))
        elif not loaded.faces and self.item.subject.landmarks is None:
            self.placing.switch.setChecked(True)

    def _widen(self) -> None:
        """Make room for the list of faces, within the screen."""
        self.resize(max(self.width(), 1160), max(self.height(), 660))
        self.fit()

    def _mark_face(self) -> None:
        if self._loaded is None or self._chosen < 0:
            self.view.set_chosen(-1, None)
            return
        self.faces.setCurrentIndex(self._chosen)
        self.view.set_chosen(self._chosen, self._loaded.faces[self._chosen].points)

    # ---- a face placed by hand -------------------------------------------------------------------------------------
    def _first_guess(self, loaded: Loaded) -> Handles:
        """Initial handles: on the selected face, else in the middle of the crop."""
        box = self.view.box
        if self._chosen >= 0:
            return handles_of_face(loaded.faces[self._chosen])
        if loaded.guess is not None and self.item.subject.square is None:
            return loaded.guess
        assert box is not None
        return centred_handles(box.x, box.y, box.size, box.angle)

    def _place(self, on: bool) -> None:
        """Switch placing by hand on or off."""
        found = self._loaded is not None and bool(self._loaded.faces)
        self.list.setVisible(not on and len(self.list.rows) > 1)
        self.faces.setEnabled(found and not on)
        self.follow.setEnabled(found and not on)
        for spin in self.fields.values():
            spin.setEnabled(on or not self._several)
        self.view.set_chosen(-1, None)
        if not on:
            self._mark_face()
        if on or found:
            self._automatic()

    # ---- the square -----------------------------------------------------------------------------------------------
    @property
    def _several(self) -> bool:
        """Whether several faces move or one has its own driver; then each crop follows its face."""
        driven = bool(self.list.moving & self.list.drivers.keys())
        return self.view.placing is None and (len(self.list.moving) > 1 or driven)

    def _faces_changed(self) -> None:
        if self._chosen not in self.list.moving:
            self._chosen = min(self.list.moving)
        self._show_several()
        self._mark_face()
        if self._several or not self._fixed:
            self._automatic()

    def _show_several(self) -> None:
        """Disable setting the crop by hand for several faces."""
        for spin in self.fields.values():
            spin.setEnabled(not self._several)
        self.follow.setVisible(not self._several)
        count = len(self.list.rows)
        text = tr("Faces found: {count}", count=count)
        more = tr("With several faces, each crop follows its face.")
        self._status.setText(f"{text}. {more}" if self._several else text)

    def _choose_face(self, index: int) -> None:
        if self.list.rows and not self._several:
            self.list.set_moving([index])  # also marks it
        self._chosen = index
        self._mark_face()
        self._automatic()

    def _automatic(self) -> None:
        o = self._options
        if self.view.placing is not None:
            self._fixed = False
            self._show_box(self.view.placing.box(o.crop_scale, o.crop_x, o.crop_y))
            return
        if self._loaded is None or self._chosen < 0:
            return
        box = face_box(self._loaded.faces[self._chosen], o.crop_scale, o.crop_x, o.crop_y)
        self._fixed = False
        self._show_box(box if o.crop_rotate else Box(box.x, box.y, box.size))

    def _by_hand(self, box: Box) -> None:
        if self._several:
            self._automatic()
            return
        if self.view.placing is not None:
            self._carry(box)
            return
        self._fixed = True
        self._show_box(box)

    def _carry(self, box: Box) -> None:
        """Move the placed face along with the box."""
        placing, o = self.view.placing, self._options
        if placing is not None:
            placing.carry(placing.box(o.crop_scale, o.crop_x, o.crop_y), box)
            self.placing.show_state()

    def _typed(self) -> None:
        if self.view.box is not None:
            values = {name: spin.value() for name, spin in self.fields.items()}
            if self.view.placing is not None:
                self.view.placing.begin()
            self._by_hand(Box(values["x"], values["y"], values["size"], math.radians(values["angle"])))

    def _show_box(self, box: Box | None) -> None:
        if box is None:
            return
        self.view.set_box(box)
        self._show_fields()
        self._worker.request((box, self.devicePixelRatioF()))

    def _show_fields(self) -> None:
        """Write the crop into the fields."""
        box = self.view.box
        if box is None:
            return
        shown = {"x": box.x, "y": box.y, "size": box.size, "angle": math.degrees(box.angle)}
        for name, spin in self.fields.items():
            before = spin.blockSignals(True)
            spin.setValue(shown[name])
            spin.blockSignals(before)

    def _cut(self, request: tuple[Box, float]) -> QImage | None:
        """The crop as the engine gets it; called in the worker's thread."""
        box, ratio = request
        if self._loaded is None:
            return None
        crop = Crop.of_box(box, round(PREVIEW * ratio))
        image = qt_images.to_image(crop.apply(self._loaded.pixels))
        image.setDevicePixelRatio(ratio)
        return image

    def _show_cut(self) -> None:
        image = self._worker.take()
        if image is not None:
            from PySide6.QtGui import QPixmap

            self._preview.setPixmap(QPixmap.fromImage(image))

    def accept(self) -> None:
        """Apply the choices and close."""
        if self.view.placing is not None:
            try:
                path = keep(self.placing.file(), Path(self.item.path))
            except AppError as error:
                self._status.setText(localized(str(error)))
                return
            self.item = PortraitItem(self.item.path, Subject(landmarks=path))
            super().accept()
            return
        subject = Subject(self.item.subject.faces)
        if self._loaded is not None and self._chosen >= 0:
            subject = self._chosen_subject(self._loaded)
        if self._fixed and self.view.box is not None:
            subject = replace(subject, square=square_of(self.view.box))
        self.item = PortraitItem(self.item.path, subject)
        super().accept()

    def _chosen_subject(self, loaded: Loaded) -> Subject:
        """The faces that move, and their drivers."""
        points = [FaceChoice(point=(round(face.centre[0]), round(face.centre[1]))) for face in loaded.faces]
        if not self._several:
            largest = self._chosen == face_number(loaded, LARGEST)
            return Subject() if largest else Subject(Faces((points[self._chosen],)))
        moving = sorted(self.list.moving)
        everybody = len(moving) == len(points) > 1
        own = [(number, self.list.drivers.get(number, "")) for number in moving]
        return Subject(
            Faces(() if everybody else tuple(points[number] for number in moving)),
            drivers=tuple(FaceDriver(points[number], Path(path)) for number, path in own if path),
        )


def square_of(box: Box) -> Square:
    """Round a crop for saving, to tenths of a pixel and of a degree."""
    return Square(
        round(box.x, 1), round(box.y, 1), round(max(box.size, SMALLEST_SQUARE), 1), round(math.degrees(box.angle), 1)
    )
