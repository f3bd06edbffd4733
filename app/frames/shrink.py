"""Scale down a photo that is larger than its result may be, with everything found on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from app.media.sizing import scale_to
from liveportrait.crop import Crop
from liveportrait.warp import transform
from models.face import Face

Pixels = npt.NDArray[np.uint8]


class Shrink:
    """Scales an image and positions on it to another size.

    Args:
        shape: (H, W, ...) of the image.
        size: Target (width, height); None leaves everything unchanged.
    """

    def __init__(self, shape: tuple[int, ...], size: tuple[int, int] | None) -> None:
        self._size = size
        if size is not None:
            # one scale for both axes, so that squares stay square; rounding to even sides may differ by a pixel
            scale = (size[0] / shape[1] + size[1] / shape[0]) / 2
            shift = (scale - 1) / 2  # pixel centres are whole numbers
            self._scale, self._matrix = scale, np.array([[scale, 0, shift], [0, scale, shift]])

    def picture(self, picture: Pixels) -> Pixels:
        """Scale an image (H, W, 3 or 4)."""
        return picture if self._size is None else scale_to(picture, self._size)

    def faces(self, faces: Sequence[Face]) -> list[Face]:
        """Convert faces to the scaled image."""
        return list(faces) if self._size is None else [face.transformed(self._matrix) for face in faces]

    def crop(self, crop: Crop | None) -> Crop | None:
        """Convert a crop; it keeps its width in pixels when extracted."""
        if self._size is None or crop is None:
            return crop
        box = crop.box
        x, y = (float(v) for v in transform(self._matrix, [[box.x, box.y]])[0])
        return Crop.of_box(replace(box, x=x, y=y, size=box.size * self._scale), crop.size)
