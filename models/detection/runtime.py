"""A trained detector in the app: an ONNX file behind the call that all detectors share."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.detection.geometry import OVERLAP, blend
from models.detectors import Detection, Image, Window, cut_window
from models.registry import ModelError
from models.sessions import create_session

if TYPE_CHECKING:
    import onnxruntime

Array = npt.NDArray[np.float32]
MIN_SCORE: Final = 0.4
NAMES: Final = ("scores", "boxes", "points")


class OnnxDetector:
    """A detector of this project's form (models.detection.export), shipped or trained by the user.

    Args:
        path: The .onnx file; it opens at first use.
        threads: Threads of the session.
        min_score: Least score of a face, 0..1.
    """

    def __init__(self, path: Path, threads: int = 1, min_score: float = MIN_SCORE) -> None:
        self.path = path
        self._threads = threads
        self.min_score = min_score

    @cached_property
    def _opened(self) -> tuple[onnxruntime.InferenceSession, int]:
        session = create_session(self.path, self._threads)
        inputs, outputs = session.get_inputs(), [o.name for o in session.get_outputs()]
        shape: list[Any] = list(inputs[0].shape) if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or inputs[0].type != "tensor(uint8)":
            shape = []
        if not shape or not isinstance(shape[1], int) or set(NAMES) - set(outputs):
            raise ModelError(
                f"{self.path} is an ONNX model, but no face detector of this program's form; "
                "tools/train_detector.py export writes such files."
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
            window: Where to look; the whole picture if None.

        Returns:
            Detections in picture pixels, highest score first.

        Raises:
            ModelError: The file is not a detector.
        """
        session, size = self._opened
        image, back = cut_window(rgb, window or Window.whole(*rgb.shape[:2]), size)
        scores, boxes, points = (value[0] for value in session.run(list(NAMES), {"image": image[None]}))
        keep = scores >= self.min_score
        if not keep.any():
            return []
        merged = blend(boxes[keep], points[keep], scores[keep], OVERLAP)
        return [_detection(box, five, float(score), back) for box, five, score in zip(*merged, strict=True)]


def _detection(box: Array, five: Array, score: float, back: Array) -> Detection:
    """From a box and five points in corner pixels of the window; ears are guessed from the eyes."""
    corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]]) - 0.5
    left, right, nose, *mouth = five - 0.5
    across = right - left
    six = np.stack([left, right, nose, (mouth[0] + mouth[1]) / 2, left - across / 2, right + across / 2])
    turn, shift = back[:, :2], back[:, 2]
    if abs(turn[0, 1]) < 1e-6 * abs(turn[0, 0]):
        quad = corners @ turn.T + shift
        low, high = quad.min(axis=0), quad.max(axis=0)
    else:  # of a turned window: the box around the ellipse in it, as a face has no corners
        centre = (corners[0] + corners[2]) / 2 @ turn.T + shift
        reach = np.sqrt(np.square(turn * (corners[2] - corners[0]) / 2).sum(axis=1))
        low, high = centre - reach, centre + reach
    return Detection(
        np.concatenate([low, high]).astype(np.float32), (six @ turn.T + shift).astype(np.float32), score
    )  # fmt: skip
