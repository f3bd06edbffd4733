"""BlazeFace detectors: boxes and six key points of all faces in a window of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from models.sessions import create_session
from models.weights import model_path

if TYPE_CHECKING:
    import onnxruntime

Array = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Kind = Literal["full", "short", "insight", "own"]

OVERLAP: Final = 0.3
"""Intersection over union from which two raw boxes count as the same face."""


@dataclass(frozen=True)
class Detection:
    """One detected face.

    Attributes:
        box: (4,) x0, y0, x1, y1 in pixels of the image.
        points: (6, 2) eye left, eye right (left in an upright face), nose, mouth, two ears.
        score: 0..1.
    """

    box: Array
    points: Array
    score: float

    @property
    def size(self) -> float:
        """Longer side of the box in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


@dataclass(frozen=True)
class Window:
    """A square part of an image that a detector examines; it may extend beyond the image.

    Attributes:
        x: Centre in pixels.
        y: Centre in pixels.
        side: Side in pixels.
        angle: Clockwise roll in radians; a face of that roll appears upright in the window.
        lift: Brighten a dark window first.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0
    lift: bool = False

    @staticmethod
    def whole(height: int, width: int, border: float = 0.0, angle: float = 0.0) -> Window:
        """The whole image, with a border on all sides as a share of its longer side."""
        return Window((width - 1) / 2, (height - 1) / 2, max(height, width) * (1 + 2 * border), angle)


@dataclass(frozen=True)
class DetectorKind:
    """Constants of one network: registry name, input side, (stride, anchors per cell) of each level, least score."""

    model: str
    size: int
    levels: tuple[tuple[int, int], ...]
    min_score: float


KINDS: Final[dict[Kind, DetectorKind]] = {
    "full": DetectorKind("detect/blaze_full", 192, ((4, 1),), 0.6),
    "short": DetectorKind("detect/blaze_short", 128, ((8, 2), (16, 6)), 0.5),
}


class BlazeFace:
    """One BlazeFace network; the session is opened on first use.

    "full" finds faces between a fifteenth and nine tenths of the window, "short" those from a seventh up, including
    strongly rolled ones (paper: Bazarevsky et al., "BlazeFace", 2019).

    Args:
        kind: "full" or "short".
        threads: Threads of the session.
        min_score: Least score of a box; the network's own default if None.
    """

    def __init__(self, kind: Kind = "full", threads: int = 1, min_score: float | None = None) -> None:
        self._kind = KINDS[kind]
        self._threads = threads
        self.min_score = self._kind.min_score if min_score is None else min_score
        self._anchors = anchors(self._kind.size, self._kind.levels)

    def release(self) -> None:
        """Free the network's memory; the next use opens it again."""
        self.__dict__.pop("_session", None)

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return create_session(model_path(self._kind.model), self._threads)

    def __call__(self, rgb: Image, window: Window | None = None) -> list[Detection]:
        """Find faces.

        Args:
            rgb: (H, W, 3) uint8.
            window: Where to look; the whole image if None.

        Returns:
            Detections in image pixels, highest score first.
        """
        size = self._kind.size
        image, back = cut_window(rgb, window or Window.whole(*rgb.shape[:2]), size)
        boxes, logits = self._session.run(None, {"image": image[None]})
        score = 1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0)))
        keep = np.flatnonzero(score >= self.min_score)
        if not len(keep):
            return []
        raw = boxes[keep].reshape(-1, 8, 2) / size
        centre = raw[:, 0] + self._anchors[keep]
        corners = np.stack([centre - raw[:, 1] / 2, centre + raw[:, 1] / 2], axis=1)
        points = raw[:, 2:] + self._anchors[keep, None]
        # Shares of the input side to input pixels (centres at integers), then to the image.
        return [
            _to_picture(box * size - 0.5, pts * size - 0.5, s, back)
            for box, pts, s in weighted_nms(corners, points, score[keep])
        ]


def _to_picture(corners: Array, points: Array, score: float, back: Array) -> Detection:
    quad = corners @ back[:, :2].T + back[:, 2]
    box = np.concatenate([quad.min(axis=0), quad.max(axis=0)])
    return Detection(box.astype(np.float32), (points @ back[:, :2].T + back[:, 2]).astype(np.float32), score)


def anchors(size: int, levels: tuple[tuple[int, int], ...]) -> Array:
    """(A, 2) anchor centres in shares of the input side, cell by cell, for (stride, anchors per cell) levels."""
    parts = []
    for stride, count in levels:
        cells = size // stride
        y, x = np.mgrid[:cells, :cells]
        centres = np.stack([(x + 0.5) / cells, (y + 0.5) / cells], axis=-1).reshape(-1, 2)
        parts.append(np.repeat(centres, count, axis=0))
    return np.concatenate(parts).astype(np.float32)


def weighted_nms(corners: Array, points: Array, scores: Array) -> list[tuple[Array, Array, float]]:
    """Merge overlapping boxes into their score-weighted mean.

    Args:
        corners: (N, 2, 2) top-left and bottom-right.
        points: (N, P, 2) key points, merged with the same weights.
        scores: (N,).

    Returns:
        (corners, points, best score) of each face, highest score first.
    """
    order = np.argsort(-scores, kind="stable")
    merged = []
    while len(order):
        first = order[0]
        same = iou(corners[first].ravel(), corners[order].reshape(-1, 4)) > OVERLAP
        same[0] = True
        group = order[same]
        weight = (scores[group] / scores[group].sum())[:, None, None]
        merged.append(
            ((corners[group] * weight).sum(axis=0), (points[group] * weight).sum(axis=0), float(scores[first]))
        )
        order = order[~same]
    return merged


def iou(box: Array, boxes: Array) -> Array:
    """(N,) intersection over union of one box (4,) with boxes (N, 4), all x0, y0, x1, y1."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    area = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(shared / (area - shared + 1e-9), dtype=np.float32)


def cut_window(rgb: Image, window: Window, size: int) -> tuple[Image, Array]:
    """Resample a window to size x size pixels.

    Args:
        rgb: (H, W, 3) uint8.
        window: The window; black where it extends beyond the image.
        size: Side of the result.

    Returns:
        (size, size, 3) uint8 and the (2, 3) matrix from its pixels to those of the image.
    """
    height, width = rgb.shape[:2]
    step = window.side / size
    cos, sin = math.cos(window.angle), math.sin(window.angle)
    turn = np.array([[cos, -sin], [sin, cos]], dtype=np.float64) * step
    centre = np.array([window.x, window.y])
    back = np.concatenate([turn, (centre - turn @ np.full(2, (size - 1) / 2))[:, None]], axis=1)

    # Only the part of the image that the window covers is read, shrunk by area means first.
    reach = window.side / 2 * (abs(cos) + abs(sin))
    x0, y0 = (max(int(np.floor(c - reach)) - 1, 0) for c in centre)
    x1, y1 = (min(int(np.ceil(c + reach)) + 2, n) for c, n in zip(centre, (width, height), strict=True))
    if x1 <= x0 or y1 <= y0:
        return np.zeros((size, size, 3), dtype=np.uint8), back.astype(np.float32)
    part = np.ascontiguousarray(rgb[y0:y1, x0:x1])
    to_part = back.copy()
    to_part[:, 2] -= (x0, y0)
    shrink = int(step)
    if shrink >= 2:
        target = (max(part.shape[1] // shrink, 1), max(part.shape[0] // shrink, 1))
        small = cv2.resize(part, target, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        factor = np.array([small.shape[1] / part.shape[1], small.shape[0] / part.shape[0]])
        to_part = to_part * factor[:, None]
        to_part[:, 2] += (factor - 1) / 2
        part = small
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(part, to_part, (size, size), flags=flags).astype(np.uint8, copy=False)
    if window.lift:
        image = lift_shadows(image)
    return image, back.astype(np.float32)


def lift_shadows(image: Image, target: float = 0.6) -> Image:
    """Brighten a dark image by a gamma curve that brings its 95th percentile to the target.

    Args:
        image: (H, W, 3) uint8.
        target: 0..1; an image that is already as bright is returned unchanged.
    """
    level = float(np.percentile(image[::4, ::4, 1], 95)) / 255.0
    if level >= target or level < 2 / 255:
        return image
    gamma = np.log(target) / np.log(level)
    table = (255.0 * (np.arange(256) / 255.0) ** gamma).round().astype(np.uint8)
    return np.asarray(table[image])
