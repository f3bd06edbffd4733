"""Faces: landmarks of one face, the choice among several, and the tracker that finds and follows them."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from models.choices import EMBEDDED, DetectorChoice, FaceChoice
from models.covered import PRESENCE, Half, agreed, covered_half, turns_of
from models.detection.choose import open_detector
from models.detectors import BlazeFace, Detection, Image, Kind, Window, iou
from models.identity import Identity, appearance
from models.insight import InsightDetector, pack_folder
from models.mesh import FaceMesh, Roi
from models.messages import msg
from models.rest import RestingRegion
from models.search import BORDERS, Pass, full_search
from models.topology import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    EYES,
    FACE_POINTS,
    JAW,
    LIPS_OUTER,
    MOUTH_CORNERS,
)

Array = npt.NDArray[np.float32]
Detector = Callable[[Image, Window], list[Detection]]

LID_PAIRS: Final = ((159, 145), (386, 374))
"""Middle of the upper and lower lid, left and right eye."""
INNER_LIP_PAIR: Final = (13, 14)
CROP_POINTS: Final = (*BROW_LEFT, *BROW_RIGHT, *JAW, *EYE_LEFT.ring, *EYE_RIGHT.ring, *LIPS_OUTER)
"""What LivePortrait's 203 points span: brows to chin and ear to ear, without the forehead."""

QUARTERS: Final = (0.0, math.pi, math.pi / 2, -math.pi / 2)
"""Turns tried where the mesh can't read a detection as it stands."""
NUDGES: Final = ((0.25, 1.1), (0.0, 0.8), (-0.25, 1.1), (0.0, 1.3))
"""Extra roll in radians and scale of the regions that a face must read alike from."""
SPREAD: Final = 0.036
"""Most difference between such readings as a share of the face, mean over points and regions. Measured: 271 faces of
clips and portraits up to 0.021, 24 px faces with noise 0.034; 497 false readings from 0.024 upward, 1 of 500 below
this, median 0.08."""
TRACKED_SPREAD: Final = 0.05
"""The same for a face that is followed: it was seen before, so a blurred or half-hidden frame gets the benefit."""
ALIKE: Final = 0.95
"""Share of the largest face's size from which another one is as good as equally large: readings of one face at other
sizes of the picture differ by 1-2 %."""
LOOKS: Final = 4
"""Most looks until the region settles."""


@dataclass(frozen=True)
class Face:
    """One face in one picture.

    Attributes:
        points: (478, 3) float32 in pixels of that picture; z in the same unit, away from the camera.
        score: Presence score 0..1 of the mesh network.
        covered: Half that a mask or goggles hide: "upper", "lower" or ""; the points there are a guess.
        placed: The landmarks were placed by hand, on something that need not be human.
    """

    points: Array
    score: float = 1.0
    covered: Half = ""
    placed: bool = False

    @property
    def box(self) -> Array:
        """(4,) x0, y0, x1, y1 around the 468 face points."""
        flat = self.points[:FACE_POINTS, :2]
        return np.concatenate([flat.min(axis=0), flat.max(axis=0)])

    @property
    def centre(self) -> Array:
        """(2,) centre of the box."""
        box = self.box
        return ((box[:2] + box[2:]) / 2).astype(np.float32, copy=False)

    @property
    def size(self) -> float:
        """Longer side of the box in pixels."""
        box = self.box
        return float(max(box[2] - box[0], box[3] - box[1]))

    @property
    def roll(self) -> float:
        """In-plane rotation in radians, clockwise as seen; 0 is upright."""
        across = self.points[EYE_RIGHT.outer, :2] - self.points[EYE_LEFT.outer, :2]
        return math.atan2(float(across[1]), float(across[0]))

    @property
    def eye_centers(self) -> Array:
        """(2, 2) left and right eye: mean of both corners and both lids, so that gaze doesn't move it."""
        ids = [(eye.outer, upper, eye.inner, lower) for eye, (upper, lower) in zip(EYES, LID_PAIRS, strict=True)]
        return self.points[np.array(ids), :2].mean(axis=1)

    @property
    def lip_center(self) -> Array:
        """(2,) middle between the mouth corners."""
        return self.points[list(MOUTH_CORNERS), :2].mean(axis=0)

    @property
    def eye_ratios(self) -> Array:
        """(2,) lid gap over eye width, left and right; about 0.3 open, under 0.08 shut."""
        gaps = [
            self._distance(u, d) / (self._distance(eye.outer, eye.inner) + 1e-6)
            for eye, (u, d) in zip(EYES, LID_PAIRS, strict=True)
        ]
        return np.array(gaps, dtype=np.float32)

    @property
    def lip_ratio(self) -> float:
        """Inner lip gap over mouth width; 0 shut."""
        return self._distance(*INNER_LIP_PAIR) / (self._distance(*MOUTH_CORNERS) + 1e-6)

    @property
    def gaze(self) -> Array:
        """(2, 2) iris position inside the left and right eye: x from -1 (left corner) to 1, y in the same unit."""
        rows = []
        for eye, (left, right) in zip(
            EYES, ((EYE_LEFT.outer, EYE_LEFT.inner), (EYE_RIGHT.inner, EYE_RIGHT.outer)), strict=True
        ):
            start, end = self.points[left, :2], self.points[right, :2]
            half = float(np.linalg.norm(end - start)) / 2 + 1e-6
            along = (end - start) / (2 * half)
            offset = self.points[eye.iris, :2] - (start + end) / 2
            rows.append((float(offset @ along) / half, float(offset @ np.array([-along[1], along[0]])) / half))
        return np.array(rows, dtype=np.float32)

    def crop_points(self) -> Array:
        """(P, 2) points whose extent sets the crop (CROP_POINTS)."""
        return self.points[list(CROP_POINTS), :2]

    def transformed(self, matrix: npt.NDArray[np.floating]) -> Face:
        """The face after an affine map of the picture.

        Args:
            matrix: (2, 3) similarity from picture pixels to new pixels; z is scaled alike.
        """
        flat = self.points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        depth = self.points[:, 2:] * math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
        return replace(self, points=np.concatenate([flat, depth], axis=1).astype(np.float32))

    def _distance(self, a: int, b: int) -> float:
        return float(np.linalg.norm(self.points[a, :2] - self.points[b, :2]))


def select_face(faces: Sequence[Face], choice: FaceChoice | str, size: tuple[int, int]) -> Face:
    """Choose one of several faces.

    Args:
        faces: Faces of one picture, as FaceTracker.detect returns them (largest first).
        choice: "largest" (of those that are as good as equally large the one nearest to the middle, so that a preview
            of another size takes the same one), "left" (leftmost), "right", "centre" (nearest to the middle), a number
            counted from 1 in order of size, or "x,y": the face at that pixel, else the nearest one.
        size: (width, height) of the picture.

    Raises:
        ValueError: No faces, a number too high, a point outside the picture, or a text of another form.
    """
    choice = FaceChoice.parse(choice) if isinstance(choice, str) else choice
    if not faces:
        raise ValueError(msg("There is no face to choose from."))
    count = f"the picture has {len(faces)} face{'s' if len(faces) > 1 else ''}"
    if choice.point is not None:
        return _face_at(faces, choice, size, count)
    if choice.number:
        if choice.number > len(faces):
            raise ValueError(
                msg("Face {choice} does not exist; {count}, counted from 1 in order of size.", choice, count)
            )
        return faces[choice.number - 1]
    if choice.word in ("left", "right"):
        return (min if choice.word == "left" else max)(faces, key=lambda face: float(face.centre[0]))
    most = max(face.size for face in faces) if choice.word == "largest" else 0.0
    alike = [face for face in faces if face.size >= ALIKE * most]
    return _nearest(alike, (size[0] - 1) / 2, (size[1] - 1) / 2)


def _face_at(faces: Sequence[Face], choice: FaceChoice, size: tuple[int, int], count: str) -> Face:
    x, y = choice.point or (-1.0, -1.0)
    if not (0 <= x < size[0] and 0 <= y < size[1]):
        raise ValueError(
            msg(
                "Point {choice} is outside the picture of {size}x{size2} pixels; {count}.",
                choice, size[0], size[1], count
            )
        )  # fmt: skip
    inside = [f for f in faces if f.box[0] <= x <= f.box[2] and f.box[1] <= y <= f.box[3]]
    return _nearest(inside or faces, x, y)


def _nearest(faces: Sequence[Face], x: float, y: float) -> Face:
    return min(faces, key=lambda face: math.hypot(face.centre[0] - x, face.centre[1] - y))


class FaceTracker:
    """Finds faces in pictures and follows one through a clip.

    The detectors propose, the mesh judges. A face counts only if the mesh reports presence and reads the same
    landmarks from regions that differ a little in roll and size: on true faces the readings differ by 1-2 % of the
    face, on other things, an upside-down reading included, by several times that although presence may be high.

    While a face is followed only the mesh runs, in the region that the frame before gave. After a loss each frame gets
    a cheap search and a slice of the full one, so that no frame is slow, and the face nearest to the last known place
    and size is taken.

    Args:
        min_presence: Least presence score of the mesh, 0..1.
        threads: Threads a session; 1 is fastest on a shared machine.
        detector: "embedded"; "insightface" asks that package first (see models.insight), "auto" does so if its model
            pack is on the disk; "detect/NAME" or the path of an ONNX file asks that detector first
            (models.detection.choose), then the embedded ones where it finds nothing.

    Raises:
        ValueError: The threshold is out of range, or what is asked for isn't there.

    Attributes:
        steady: Whether the region that is read stands still while the face does; the official release's never does.
    """

    SLICE: Final = 4
    """Windows of the full search that a frame without a face gets on top of the cheap search."""
    CHECK_EVERY: Final = 10
    """Frames between checks that what is followed still is a face, and whether others are in the picture; doubtful
    scores are checked at once."""
    COMPANY: Final = 60
    """Frames that another face is remembered for; while it is, looks count, so that it can't take over."""
    PATIENCE: Final = 25
    """Frames to wait for the right face when only others are seen, unless the film was cut."""

    def __init__(self, min_presence: float = 0.5, threads: int = 1, detector: DetectorChoice | str = EMBEDDED) -> None:
        if not 0.0 < min_presence < 1.0:
            raise ValueError(msg("The presence threshold must lie between 0 and 1, not {min_presence}.", min_presence))
        self.min_presence = min_presence
        self._detectors: dict[Kind, Detector] = {
            "full": BlazeFace("full", threads),
            "short": BlazeFace("short", threads),
        }
        detector = DetectorChoice.parse(detector) if isinstance(detector, str) else detector
        if detector.kind == "insightface" or (detector.kind == "auto" and pack_folder() is not None):
            self._detectors = {"insight": InsightDetector(), **self._detectors}
        elif detector.name:
            self._detectors = {"own": open_detector(detector, threads), **self._detectors}
        self._quick: Kind = "own" if "own" in self._detectors else "full"
        self._mesh = FaceMesh(threads)
        self.steady = True
        self.reset()

    def reset(self) -> None:
        """Forget the face that was followed."""
        self._roi: Roi | None = None
        self._last: Face | None = None
        self._plan: Iterator[Pass] | None = None
        self._age = 0
        self._rest = RestingRegion()
        self._company = 0
        self._identity = Identity()
        self.lost = 0
        """Frames since the face was last seen."""

    def release(self) -> None:
        """Give the memory of the embedded networks back (40 MB); the next use opens them again."""
        for network in (self._mesh, *self._detectors.values()):
            if isinstance(network, (FaceMesh, BlazeFace)):
                network.release()

    def twin(self) -> FaceTracker:
        """Another tracker on the same networks, for another face of the same pictures."""
        other = copy.copy(self)
        other.reset()
        return other

    def start(self, face: Face, rgb: Image | None = None) -> Face:
        """Follow this face from the next frame on.

        Args:
            face: The face, as :meth:`detect` gives it.
            rgb: The picture that it is in, to read it as the frames that follow will be read.
        """
        self.reset()
        self._age = self.CHECK_EVERY  # look around at once
        if self.steady and rgb is not None:
            picture = checked(rgb)
            face = self._rest.settle(lambda region: self._look(picture, region), face)
        return self._remember(face)

    def detect(self, rgb: Image, limit: int | None = None, *, covered: bool = False) -> list[Face]:
        """All faces of a picture.

        Args:
            rgb: (H, W, 3 or 4) uint8 RGB(A), or (H, W) grey.
            limit: Most faces to return.
            covered: Where no whole face is found, look for faces of which a mask or goggles hide one half.

        Returns:
            Faces, largest first; none if the full search finds nothing.
        """
        rgb = checked(rgb)
        faces: list[Face] = []
        refused: list[Array] = []
        doubtful: list[Detection] = []
        group = 0
        for step in full_search(rgb, tuple(self._detectors)):
            if step.group != group:
                if faces and not step.always:
                    break
                group, refused = step.group, []
            for detection in self._detectors[step.detector](rgb, step.window):
                doubtful.append(detection)
                if any(_same(box, detection.box) for box in (*(face.box for face in faces), *refused)):
                    continue
                found = self._judge(rgb, detection, QUARTERS)
                if covered and found and turns_of(detection) == 0 and turns_of(detection, found.roll) == 2:
                    found = self._half_seen(rgb, detection) or found  # a mask reads like a forehead
                if found is None:
                    refused.append(detection.box)
                else:
                    _add(faces, found)
        if covered and not faces:
            for place in agreed(doubtful):
                found = next((face for one in place if (face := self._half_seen(rgb, one)) is not None), None)
                if found is not None:
                    _add(faces, found)
        faces.sort(key=lambda face: -face.size)
        return faces[:limit]

    def glance(self, rgb: Image, known: Sequence[Face] = ()) -> list[Face]:
        """Faces that a quick look at the whole picture finds, largest first, but those that are known."""
        rgb = checked(rgb)
        faces: list[Face] = []
        for border in BORDERS:
            for detection in self._detectors["full"](rgb, Window.whole(rgb.shape[0], rgb.shape[1], border)):
                if any(_same(face.box, detection.box) for face in (*known, *faces)):
                    continue
                found = self._judge(rgb, detection, (0.0,))
                if found is not None and not any(_same(face.box, found.box) for face in known):
                    _add(faces, found)
        return sorted(faces, key=lambda face: -face.size)

    def detections(self, rgb: Image) -> list[Detection]:
        """What the detectors see in the whole picture, (H, W, 3) uint8, read by the mesh or not."""
        height, width = rgb.shape[:2]
        return [
            one
            for kind in ("full", "short")
            for border in BORDERS
            for one in self._detectors[kind](rgb, Window.whole(height, width, border))
        ]

    def track(self, rgb: Image) -> Face | None:
        """Follow the chosen face into the next frame; the largest one if none was chosen.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            The face, or None if it isn't there.
        """
        rgb = checked(rgb)
        if self._company and self._identity.saw_cut(rgb):
            self._identity, self._company = Identity(), 0
        face = None if self._roi is None else self._look(rgb, self._roi)
        if face is None or not self._still_a_face(rgb, face) or not self._may_be_the_one(rgb, face):
            face = self._first(rgb) if self._last is None and self.lost == 0 else self._search(rgb)
        if face is None:
            self._roi = None
            self.lost += 1
            return None
        if self._roi is None and self.steady:
            face = self._rest.settle(lambda region: self._look(rgb, region), face)
        self._company = max(self._company - 1, 0)
        self._identity.learn(look_of(rgb, face))
        return self._remember(face)

    def _remember(self, face: Face) -> Face:
        region = self._rest.next(face, steady=self.steady)
        self._roi, self._last, self._plan, self.lost = region, face, None, 0
        return face

    def _first(self, rgb: Image) -> Face | None:
        faces = self.detect(rgb)
        self._company = self.COMPANY if len(faces) > 1 else 0
        return faces[0] if faces else None

    def _may_be_the_one(self, rgb: Image, face: Face) -> bool:
        """Whether this can be the followed person; asked only where others are about."""
        if not self._company or self.lost >= self.PATIENCE:
            return True
        return self._identity.is_like(look_of(rgb, face))

    def _look_around(self, rgb: Image, face: Face) -> None:
        """Notice other faces in the picture."""
        seen = self._detectors[self._quick](rgb, Window.whole(*rgb.shape[:2]))
        if any(iou(face.box, other.box[None])[0] < 0.1 for other in seen):
            self._company = self.COMPANY

    def _still_a_face(self, rgb: Image, face: Face) -> bool:
        self._age += 1
        if face.score > 0.9 and self._age < self.CHECK_EVERY:
            return True
        self._age = 0
        self._look_around(rgb, face)
        return self._spread(rgb, face, NUDGES[:2]) < TRACKED_SPREAD

    def _search(self, rgb: Image) -> Face | None:
        """One frame's share of the search for a lost face."""
        height, width = rgb.shape[:2]
        if self._last is not None:
            x, y = (float(v) for v in self._last.centre)
            near = Window(x, y, 4 * self._last.size, self._last.roll)
            if (face := self._best(rgb, [Pass(self._quick, near)])) is not None:
                return face
        for border in BORDERS:
            whole = Window.whole(height, width, border)
            if (face := self._best(rgb, [Pass(kind, whole) for kind in self._detectors])) is not None:
                return face
        if self._plan is None:
            self._plan = full_search(rgb, tuple(self._detectors))
        piece = list(itertools.islice(self._plan, self.SLICE))
        if len(piece) < self.SLICE:
            self._plan = None
        return self._best(rgb, piece)

    def _best(self, rgb: Image, passes: Sequence[Pass]) -> Face | None:
        """The acceptable face of some passes that is nearest to the last one; the largest if there was none."""
        turns = QUARTERS if self._last is None else (0.0,)
        found = [d for step in passes for d in self._detectors[step.detector](rgb, step.window)]
        judged = (self._judge(rgb, detection, turns) for detection in sorted(found, key=self._distance))
        return next((face for face in judged if face is not None and self._may_be_the_one(rgb, face)), None)

    def _distance(self, detection: Detection) -> float:
        """How far a detection is from the face that was followed, in face sizes and octaves of size."""
        if self._last is None:
            return -detection.size
        centre = (detection.box[:2] + detection.box[2:]) / 2
        size = max(self._last.size, 1.0)
        away = float(np.linalg.norm(centre - self._last.centre)) / size
        return away + abs(math.log2(max(detection.size, 1.0) / size))

    def _judge(self, rgb: Image, detection: Detection, turns: Sequence[float]) -> Face | None:
        """The mesh's opinion on a detection: looks until the region settles, then from nudged regions."""
        for turn in turns:
            face = self._settle(rgb, Roi.of_detection(detection).turned(turn))
            if face is not None and _near(face, detection) and self._spread(rgb, face, NUDGES) < SPREAD:
                return face
        return None

    def _half_seen(self, rgb: Image, detection: Detection) -> Face | None:
        """The face of a detection if one half of it reads alike from nudged regions, marked as covered."""
        face = self._settle(rgb, Roi.of_detection(detection))
        if face is None or face.score < PRESENCE or not _near(face, detection):
            return None
        roi = Roi.of_points(face.points)
        readings = [self._mesh(rgb, roi.turned(angle, scale))[0] for angle, scale in NUDGES]
        half = covered_half(readings, face.points, face.size)
        return replace(face, covered=half) if half else None

    def _settle(self, rgb: Image, roi: Roi) -> Face | None:
        for look in range(LOOKS):
            face = self._look(rgb, roi)
            if face is None:
                return None
            before, roi = roi, Roi.of_points(face.points)
            moved = math.hypot(roi.x - before.x, roi.y - before.y) + abs(roi.side - before.side)
            if look and moved < 0.04 * roi.side:
                break
        return face

    def _spread(self, rgb: Image, face: Face, nudges: Sequence[tuple[float, float]]) -> float:
        """Mean difference between the readings from nudged regions; infinite if one sees no face."""
        roi, total = Roi.of_points(face.points), 0.0
        for angle, scale in nudges:
            points, score = self._mesh(rgb, roi.turned(angle, scale))
            if score < self.min_presence:
                return math.inf
            total += float(np.linalg.norm(points[:, :2] - face.points[:, :2], axis=1).mean())
        return total / (len(nudges) * face.size)

    def _look(self, rgb: Image, roi: Roi) -> Face | None:
        points, score = self._mesh(rgb, roi)
        if score < self.min_presence or not np.isfinite(points).all():
            return None
        face = Face(points, score)
        return face if _plausible(face, rgb.shape[1], rgb.shape[0]) else None


def checked(rgb: Image) -> Image:
    """A picture in the layout that OpenCV can read.

    Args:
        rgb: (H, W, 3) uint8 RGB; (H, W, 4) RGBA, whose alpha is left out; or (H, W) or (H, W, 1) grey. Any strides.

    Returns:
        (H, W, 3) uint8, contiguous.

    Raises:
        ValueError: Another shape or type.
    """
    channels = 1 if rgb.ndim == 2 else rgb.shape[2] if rgb.ndim == 3 else 0
    if rgb.dtype != np.uint8 or channels not in (1, 3, 4) or not rgb.size:
        raise ValueError(
            msg(
                "A picture must be uint8, (height, width, 3 or 4) in RGB or RGBA or (height, width) in grey, "
                "not {shape} {dtype}.",
                rgb.shape, rgb.dtype
            )
        )  # fmt: skip
    if channels == 1:
        return np.repeat(rgb.reshape(*rgb.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(rgb[..., :3])


def look_of(rgb: Image, face: Face) -> Array:
    """What a face looks like (models.identity.appearance)."""
    return appearance(rgb, face.eye_centers, face.lip_center)


def _plausible(face: Face, width: int, height: int) -> bool:
    """Whether the face has a size that can be read and lies, for the greater part, in the picture."""
    if not 8.0 <= face.size <= 3.0 * max(width, height):
        return False
    flat = face.points[:FACE_POINTS, :2]
    inside = (flat >= -0.5).all(axis=1) & (flat <= (width - 0.5, height - 0.5)).all(axis=1)
    return bool(inside.mean() >= 0.3)


def _near(face: Face, detection: Detection) -> bool:
    """Whether the mesh stayed with the face that the detector saw."""
    away = np.linalg.norm(face.centre - (detection.box[:2] + detection.box[2:]) / 2)
    return bool(away < 0.5 * detection.size and 0.5 * detection.size < face.size < 2.0 * detection.size)


def overlap(face: Face, box: Array) -> float:
    """Shared area of a face's box and another box over that of both together, 0..1."""
    return float(iou(face.box, box[None])[0])


def _same(a: Array, b: Array) -> bool:
    return bool(iou(a, b[None])[0] > 0.35)


def _add(faces: list[Face], face: Face) -> None:
    """Keep the better one of two readings of the same face."""
    for index, other in enumerate(faces):
        if _same(other.box, face.box):
            if face.score > other.score:
                faces[index] = face
            return
    faces.append(face)
