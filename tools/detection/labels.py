"""Labels: the faces of one image, for training and evaluation of a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
MIRRORED: Final = (1, 0, 2, 4, 3)
"""Order of eye, eye, nose, mouth corner, mouth corner in a mirrored image."""


@dataclass(frozen=True)
class Labels:
    """Boxes and points of N faces.

    Coordinates are measured from the corner of the image: the first pixel spans 0..1.

    Attributes:
        boxes: (N, 4) x0, y0, x1, y1.
        points: (N, 5, 2) eyes, nose tip, mouth corners; left before right as in an upright face. NaN where not marked.
        ignore: (N,) whether to ignore this face: finding it is neither right nor wrong.
    """

    boxes: Array
    points: Array
    ignore: npt.NDArray[np.bool_]

    @staticmethod
    def none() -> Labels:
        """Labels of an image without a face."""
        return Labels(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.bool_))

    @staticmethod
    def join(parts: list[Labels]) -> Labels:
        """Merge several labels of the same image."""
        parts = [Labels.none(), *parts]
        return Labels(
            np.concatenate([p.boxes for p in parts]),
            np.concatenate([p.points for p in parts]),
            np.concatenate([p.ignore for p in parts]),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Labels:
        """Some of the faces."""
        return Labels(self.boxes[which], self.points[which], self.ignore[which])

    def sizes(self) -> Array:
        """(N,) square root of the area of each box."""
        sides = np.clip(self.boxes[:, 2:] - self.boxes[:, :2], 0, None)
        return np.sqrt(sides[:, 0] * sides[:, 1]).astype(np.float32)

    def mapped(self, matrix: npt.NDArray[np.floating], width: float | None = None) -> Labels:
        """Apply an affine map of the image; boxes become the boxes around their transformed ellipses.

        Args:
            matrix: (2, 3) from old to new corner-based pixels.
            width: Width of the new image if the map mirrors it: left and right points are then exchanged.
        """
        linear = matrix[:, :2]
        centres = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2 @ linear.T + matrix[:, 2]
        half = (self.boxes[:, 2:] - self.boxes[:, :2]) / 2
        # The ellipse x = c + L (h * u), |u| = 1 reaches sqrt((L h)^2 summed) along each axis.
        reach = np.sqrt(np.square(linear[None] * half[:, None]).sum(axis=2))
        boxes = np.concatenate([centres - reach, centres + reach], axis=1)
        points = self.points @ linear.T + matrix[:, 2]
        if np.linalg.det(linear) < 0:
            points = points[:, list(MIRRORED)]
        return Labels(boxes.astype(np.float32), points.astype(np.float32), self.ignore)
