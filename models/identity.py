"""Distinguishes two people in one clip, so that a face passing in front doesn't take over the one behind.

A coarse aligned image of the face is compared with a slow mean of the earlier ones. This is not face recognition: it
only has to notice that the person changes from one frame to the next. Measured on 2,100 frames of eight clips: the same
person never below 0.83; 80 unrelated portraits: half of the pairs below 0.52, nine tenths below 0.77.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

SIDE: Final = 12
"""Side of the aligned image in pixels."""
INNER: Final = slice(2, 10)
"""The part of it that lies inside every face."""
ANCHORS: Final = ((4.0, 4.5), (8.0, 4.5), (6.0, 9.25))
"""Positions of the eyes and the mouth in it."""
OVERSAMPLING: Final = 4
SAME: Final = 0.7
"""Likeness from which two faces may belong to the same person."""
MEMORY: Final = 0.9
"""Weight of the old mean when a new frame is added."""
CUT: Final = 20.0
"""Mean brightness change of a thumbnail between two frames that indicates a cut rather than a passer-by."""


def appearance(rgb: Image, eyes: Array, mouth: Array) -> Array:
    """Brightness pattern of a face, independent of place, size, roll, exposure and contrast.

    Args:
        rgb: (H, W, 3) uint8.
        eyes: (2, 2) eye centres in pixels.
        mouth: (2,) mouth centre.

    Returns:
        Unit vector; the product of two is their likeness, -1..1.
    """
    points = np.concatenate([eyes, mouth[None]]).astype(np.float32)
    matrix = np.array(cv2.getAffineTransform(points, np.array(ANCHORS, np.float32)) * OVERSAMPLING, np.float64)
    matrix[:, 2] += (OVERSAMPLING - 1) / 2
    size = (SIDE * OVERSAMPLING, SIDE * OVERSAMPLING)
    large = cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    grey = small[INNER, INNER].mean(axis=2).ravel()
    grey = np.subtract(grey, grey.mean())
    return np.asarray(grey / (np.linalg.norm(grey) + 1e-3), dtype=np.float32)


class Identity:
    """Remembers the appearance of the followed face."""

    def __init__(self) -> None:
        self._mean: Array | None = None
        self._thumbnail: Array | None = None

    def likeness(self, look: Array) -> float:
        """Likeness of a face to the remembered one, -1..1; 0 if there is none."""
        return 0.0 if self._mean is None else float(look @ self._mean)

    def is_like(self, look: Array) -> bool:
        """Whether a face may be the remembered one; always True if there is none."""
        return self._mean is None or float(look @ self._mean) >= SAME

    def learn(self, look: Array) -> None:
        """Add an accepted face to the mean; one that isn't like it replaces it."""
        if self._mean is None or not self.is_like(look):
            self._mean = look
        else:
            mean = MEMORY * self._mean + (1 - MEMORY) * look
            self._mean = mean / np.linalg.norm(mean)

    def saw_cut(self, rgb: Image) -> bool:
        """Whether the whole image differs from that of the previous call."""
        rows, columns = max(rgb.shape[0] // 64, 1), max(rgb.shape[1] // 64, 1)
        sampled = np.ascontiguousarray(rgb[::rows, ::columns, 1])
        thumbnail = cv2.resize(sampled, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._thumbnail = self._thumbnail, thumbnail
        if before is None:
            return False
        return float(np.abs(before - thumbnail).mean()) > CUT
