"""A photo that is larger than its result may be, brought to a smaller size with all that was found on it."""

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
    """Brings a picture and places on it to another size.

    Args:
        shape: (H, W, ...) of the picture.
        size: (width, height) wanted; None leaves everything as it is.
    """

    def __init__(self, shape: tuple[int, ...], size: tuple[int, int] | None) -> None:
        self._size = size
        if size is not None:
            # one scale for both axes, so that squares stay squares: even sides may differ from it by a pixel
            scale = (size[0] / shape[1] + size[1] / shape[0]) / 2
            shift = (scale - 1) / 2  # pixel centres are whole numbers
            self._scale, self._matrix = scale, np.array([[scale, 0, shift], [0, scale, shift]])

    def picture(self, picture: Pixels) -> Pixels:
        """The picture (H, W, 3 or 4)."""
        return picture if self._size is None else scale_to(picture, self._size)

    def faces(self, faces: Sequence[Face]) -> list[Face]:
        """Faces in its pixels."""
        return list(faces) if self._size is None else [face.transformed(self._matrix) for face in faces]

    def crop(self, crop: Crop | None) -> Crop | None:
        """A square on it, as many pixels wide as before when cut out."""
        if self._size is None or crop is None:
            return crop
        box = crop.box
        x, y = (float(v) for v in transform(self._matrix, [[box.x, box.y]])[0])
        return Crop.of_box(replace(box, x=x, y=y, size=box.size * self._scale), crop.size)
