"""Runs a trained detector in the app: an ONNX file behind the interface that all detectors share."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.detection.geometry import OVERLAP, blend
from models.detectors import Detection, Image, Window, cut_window
from models.probe import open_model
from models.registry import ModelError

if TYPE_CHECKING:
    import onnxruntime

Array = npt.NDArray[np.float32]
MIN_SCORE: Final = 0.4
NAMES: Final = ("scores", "boxes", "points")
SIDES: Final = (32, 2048)
"""Smallest and largest input."""
MOST: Final = 1000
"""Number of boxes that are examined, the best first."""
REACH: Final = 10.0
"""How far boxes and points may lie outside the input, in its sides."""


class OnnxDetector:
    """A detector of this project's form (tools/detection/export.py), shipped or trained by the user.

    Args:
        path: The .onnx file; it is opened on first use.
        threads: Threads of the session.
        min_score: Least score of a face, 0..1.
    """

    def __init__(self, path: Path, threads: int = 1, min_score: float = MIN_SCORE) -> None:
        self.path = path
        self._threads = threads
        self.min_score = min_score

    @cached_property
    def _opened(self) -> tuple[onnxruntime.InferenceSession, int]:
        session = open_model(self.path, self._threads)
        inputs, outputs = session.get_inputs(), [o.name for o in session.get_outputs()]
        shape: list[Any] = list(inputs[0].shape) if len(inputs) == 1 else []
        form = len(shape) == 4 and shape[0] in (1, "N", "batch") and shape[1] == shape[2] and shape[3] == 3
        named = bool(inputs) and (inputs[0].name, inputs[0].type) == ("image", "tensor(uint8)")
        if not form or not named or not isinstance(shape[1], int) or set(NAMES) - set(outputs):
            raise ModelError(
                f"{self.path} is an ONNX model, but not a face detector of this program's form; "
                "tools/train_detector.py export writes such files."
            )
        if not SIDES[0] <= shape[1] <= SIDES[1]:
            raise ModelError(
                f"{self.path} needs images of {shape[1]} px; only {SIDES[0]} to {SIDES[1]} px are supported."
            )
        return session, shape[1]

    @property
    def size(self) -> int:
        """Side of the network's input in pixels.

        Raises:
            ModelError: The file is not a detector.
        """
        return self._opened[1]

    def __call__(self, rgb: Image, window: Window | None = None) -> list[Detection]:
        """Find faces.

        Args:
            rgb: (H, W, 3) uint8.
            window: Where to look; the whole image if None.

        Returns:
            Detections in image pixels, highest score first.

        Raises:
            ModelError: The file is not a detector.
        """
        session, size = self._opened
        image, back = cut_window(rgb, window or Window.whole(*rgb.shape[:2]), size)
        scores, boxes, points = self._checked(session.run(list(NAMES), {"image": image[None]}), size)
        order = np.argsort(-scores, kind="stable")[:MOST]
        keep = order[scores[order] >= self.min_score]
        keep = keep[(boxes[keep, 2] - boxes[keep, 0] >= 1) & (boxes[keep, 3] - boxes[keep, 1] >= 1)]
        if not len(keep):
            return []
        merged = blend(boxes[keep], points[keep], scores[keep], OVERLAP)
        return [_detection(box, five, float(score), back) for box, five, score in zip(*merged, strict=True)]

    def _checked(self, answer: list[Any], size: int) -> tuple[Array, Array, Array]:
        """(N,) scores, (N, 4) boxes and (N, 5, 2) points, if the network's output is valid.

        Raises:
            ModelError: It is not.
        """
        values = [np.asarray(value) for value in answer]
        n = values[0].shape[1] if values[0].ndim == 2 else 0
        for name, value, shape in zip(NAMES, values, ((1, n), (1, n, 4), (1, n, 5, 2)), strict=True):
            if value.shape != shape or value.dtype.kind != "f":
                raise ModelError(
                    f"{self.path} is not a face detector of this program's form: its output {name} has the shape "
                    f"{value.shape} and the type {value.dtype}."
                )
        scores, boxes, points = (np.asarray(value[0], np.float32) for value in values)
        if not all(np.isfinite(value).all() for value in (scores, boxes, points)):
            raise ModelError(f"{self.path} outputs numbers that are not finite; it is damaged or badly trained.")
        seen = scores >= self.min_score
        if any((np.abs(value[seen]) > REACH * size).any() for value in (boxes, points)):
            raise ModelError(f"{self.path} finds faces far outside the image; it is damaged or badly trained.")
        return scores, boxes, points


def _detection(box: Array, five: Array, score: float, back: Array) -> Detection:
    """Convert a box and five points in corner-based pixels of the window; ears are estimated from the eyes."""
    corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]]) - 0.5
    left, right, nose, *mouth = five - 0.5
    across = right - left
    six = np.stack([left, right, nose, (mouth[0] + mouth[1]) / 2, left - across / 2, right + across / 2])
    turn, shift = back[:, :2], back[:, 2]
    if abs(turn[0, 1]) < 1e-6 * abs(turn[0, 0]):
        quad = corners @ turn.T + shift
        low, high = quad.min(axis=0), quad.max(axis=0)
    else:  # rotated window: the box around the inscribed ellipse, as a face has no corners
        centre = (corners[0] + corners[2]) / 2 @ turn.T + shift
        reach = np.sqrt(np.square(turn * (corners[2] - corners[0]) / 2).sum(axis=1))
        low, high = centre - reach, centre + reach
    return Detection(
        np.concatenate([low, high]).astype(np.float32), (six @ turn.T + shift).astype(np.float32), score
    )  # fmt: skip
