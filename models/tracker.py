"""Finds faces in images and follows them through clips."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from models.choices import EMBEDDED, DetectorChoice
from models.covered import PRESENCE, agreed, covered_half, turns_of
from models.detection.choose import open_detector
from models.detectors import BlazeFace, Detection, Image, Kind, Window, iou
from models.face import Array, Face, checked
from models.identity import Identity, appearance
from models.insight import InsightDetector, pack_folder
from models.mesh import FaceMesh, Roi
from models.messages import msg
from models.rest import RestingRegion
from models.search import BORDERS, Pass, full_search
from models.topology import (
    FACE_POINTS,
)

Detector = Callable[[Image, Window], list[Detection]]

QUARTERS: Final = (0.0, math.pi, math.pi / 2, -math.pi / 2)
"""Rotations tried if the mesh can't read a detection as it is."""
NUDGES: Final = ((0.25, 1.1), (0.0, 0.8), (-0.25, 1.1), (0.0, 1.3))
"""Extra roll in radians and scale of the regions in which a face must give the same reading."""
SPREAD: Final = 0.036
"""Largest difference between such readings as a share of the face, mean over points and regions. Measured: 271 faces of
clips and portraits up to 0.021, 24 px faces with noise 0.034; 497 false readings from 0.024 up, 1 of 500 below this,
median 0.08."""
TRACKED_SPREAD: Final = 0.05
"""The same for a followed face: it was seen before, so a blurred or half-hidden frame gets the benefit of the doubt."""
LOOKS: Final = 4
"""Limit of readings until the region settles."""


class FaceTracker:
    """Finds faces in images and follows one through a clip.

    The detectors propose, the mesh decides. A face counts only if the mesh reports presence and reads the same
    landmarks from regions of slightly different roll and size: on true faces the readings differ by 1-2 % of the
    face; on other things, including an upside-down reading, by several times that, although presence may be high.

    While a face is followed, only the mesh runs, in the region given by the previous frame. After a loss, each frame
    gets a cheap search and a slice of the full one, so that no frame is slow, and the face nearest to the last known
    position and size is chosen.

    Args:
        min_presence: Least presence score of the mesh, 0..1.
        threads: Threads per session; 1 is fastest on a shared machine.
        detector: "embedded"; "insightface" uses that package first (see models.insight), "auto" does so if its model
            pack is installed; "detect/NAME" or the path of an ONNX file uses that detector first
            (models.detection.choose), then the embedded ones if it finds nothing.

    Raises:
        ValueError: The threshold is out of range, or the detector is not available.

    Attributes:
        steady: Whether the region in which a face is read stands still while the face does; the official release's
            never does.
    """

    SLICE: Final = 4
    """Windows of the full search per frame without a face, in addition to the cheap search."""
    CHECK_EVERY: Final = 10
    """Frames between checks that the followed region still is a face, and whether others are in the image; doubtful
    scores are checked at once."""
    COMPANY: Final = 60
    """Frames for which another face is remembered; meanwhile looks are compared, so that it can't take over."""
    PATIENCE: Final = 25
    """Frames to wait for the right face if only others are seen, unless there was a cut."""

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
        """Forget the followed face."""
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
        """Free the memory of the embedded networks (40 MB); the next use opens them again."""
        for network in (self._mesh, *self._detectors.values()):
            if isinstance(network, (FaceMesh, BlazeFace)):
                network.release()

    def twin(self) -> FaceTracker:
        """Another tracker on the same networks, for another face of the same images."""
        other = copy.copy(self)
        other.reset()
        return other

    def start(self, face: Face, rgb: Image | None = None) -> Face:
        """Follow this face from the next frame on.

        Args:
            face: The face, as returned by :meth:`detect`.
            rgb: Its image, to read it the same way as later frames.
        """
        self.reset()
        self._age = self.CHECK_EVERY  # check for other faces at once
        if self.steady and rgb is not None:
            picture = checked(rgb)
            face = self._rest.settle(lambda region: self._look(picture, region), face)
        return self._remember(face)

    def detect(self, rgb: Image, limit: int | None = None, *, covered: bool = False) -> list[Face]:
        """All faces of an image.

        Args:
            rgb: (H, W, 3 or 4) uint8 RGB(A), or (H, W) grey.
            limit: Maximum number of faces to return.
            covered: If no whole face is found, look for faces with one half hidden by a mask or goggles.

        Returns:
            Faces, largest first; empty if the full search finds nothing.
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
                    found = self._half_seen(rgb, detection) or found  # a mask resembles a forehead
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
        """Faces, except known ones, that a quick search of the whole image finds, largest first."""
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
        """Detections in the whole image, (H, W, 3) uint8, whether the mesh can read them or not."""
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
            The face, or None if it was not found.
        """
        rgb = checked(rgb)
        if self._company and self._identity.saw_cut(rgb):
            self._identity, self._company = Identity(), 0
        face = None if self._roi is None else self._look(rgb, self._roi)
        if face is None or not self._still_a_face(rgb, face) or not self._may_be_followed(rgb, face):
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

    def _may_be_followed(self, rgb: Image, face: Face) -> bool:
        """Whether this can be the followed person; only needed if other faces are near."""
        if not self._company or self.lost >= self.PATIENCE:
            return True
        return self._identity.is_like(look_of(rgb, face))

    def _look_around(self, rgb: Image, face: Face) -> None:
        """Notice other faces in the image."""
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
        """Do one frame's share of the search for a lost face."""
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
        return next((face for face in judged if face is not None and self._may_be_followed(rgb, face)), None)

    def _distance(self, detection: Detection) -> float:
        """Distance of a detection from the followed face, in face sizes and octaves of size."""
        if self._last is None:
            return -detection.size
        centre = (detection.box[:2] + detection.box[2:]) / 2
        size = max(self._last.size, 1.0)
        away = float(np.linalg.norm(centre - self._last.centre)) / size
        return away + abs(math.log2(max(detection.size, 1.0) / size))

    def _judge(self, rgb: Image, detection: Detection, turns: Sequence[float]) -> Face | None:
        """Let the mesh check a detection: readings until the region settles, then from nudged regions."""
        for turn in turns:
            face = self._settle(rgb, Roi.of_detection(detection).turned(turn))
            if face is not None and _near(face, detection) and self._spread(rgb, face, NUDGES) < SPREAD:
                return face
        return None

    def _half_seen(self, rgb: Image, detection: Detection) -> Face | None:
        """The face of a detection if one half of it reads the same from nudged regions, marked as covered."""
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
        """Mean difference between the readings from nudged regions; infinite if one contains no face."""
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


def look_of(rgb: Image, face: Face) -> Array:
    """Appearance of a face (models.identity.appearance)."""
    return appearance(rgb, face.eye_centers, face.lip_center)


def _plausible(face: Face, width: int, height: int) -> bool:
    """Whether the face has a readable size and lies mostly inside the image."""
    if not 8.0 <= face.size <= 3.0 * max(width, height):
        return False
    flat = face.points[:FACE_POINTS, :2]
    inside = (flat >= -0.5).all(axis=1) & (flat <= (width - 0.5, height - 0.5)).all(axis=1)
    return bool(inside.mean() >= 0.3)


def _near(face: Face, detection: Detection) -> bool:
    """Whether the mesh stayed on the detected face."""
    away = np.linalg.norm(face.centre - (detection.box[:2] + detection.box[2:]) / 2)
    return bool(away < 0.5 * detection.size and 0.5 * detection.size < face.size < 2.0 * detection.size)


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
