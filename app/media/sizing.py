"""Output sizes that differ from the source's: scaling, with borders or cropped edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from app.errors import UsageError
from app.option_parsers import parse_size
from liveportrait.patched import Patched
from models.messages import msg

if TYPE_CHECKING:
    from app.options import OutputOptions

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sizing:
    """How finished frames are brought to the size of the result.

    Attributes:
        size: (width, height) of the result.
        inner: (width, height) that the frame is scaled to.
        border: Colour around it; transparent if the frames have alpha.
    """

    size: tuple[int, int]
    inner: tuple[int, int]
    border: tuple[int, int, int] = (255, 255, 255)

    @classmethod
    def of(cls, options: OutputOptions, native: tuple[int, int]) -> Sizing:
        """The sizing that output options request.

        Args:
            options: size, max_side, fit, fill and background are used.
            native: (width, height) of the frames.

        Raises:
            UsageError: Both size and max_side are given.
        """
        colour = options.fill_colour
        wanted = parse_size(options.size)
        if wanted is not None and options.max_side:
            raise UsageError(
                msg("{option:size} and {option:max_side} both set the size of the result."), "Give one of them."
            )
        if wanted is None:
            longest = max(native)
            if not options.max_side or longest <= options.max_side:
                return cls(native, native, colour)
            width, height = (_even(side * options.max_side / longest) for side in native)
            return cls((width, height), (width, height), colour)
        return cls.fitted(native, wanted, colour, cover=options.fit == "cover")

    @classmethod
    def fitted(
        cls, native: tuple[int, int], wanted: tuple[int, int], border: tuple[int, int, int], *, cover: bool = False
    ) -> Sizing:
        """The sizing for another aspect ratio: with borders, or filled and cropped."""
        scale = (max if cover else min)(want / side for want, side in zip(wanted, native, strict=True))
        width, height = (max(1, round(side * scale)) for side in native)
        return cls(wanted, (width, height), border)

    def apply(self, picture: Patched) -> Patched:
        """A frame in the size of the result; the same object if nothing changes.

        Args:
            picture: (H, W, 3 or 4).
        """
        height, width = picture.shape[:2]
        if (width, height) == self.size == self.inner:
            return picture
        scaled = scale_to(picture.whole(), self.inner)
        return Patched(scaled if self.inner == self.size else self._placed(scaled))

    def _placed(self, scaled: Pixels) -> Pixels:
        """The scaled frame centred in the result, with borders or cropped edges."""
        (width, height), (w, h) = self.size, self.inner
        left, top = (width - w) // 2, (height - h) // 2
        shown = scaled[max(0, -top) : max(0, -top) + height, max(0, -left) : max(0, -left) + width]
        if shown.shape[:2] == (height, width):
            return np.ascontiguousarray(shown)
        colour = (*self.border, 0)[: scaled.shape[2]]
        canvas: Pixels = np.empty((height, width, scaled.shape[2]), np.uint8)
        canvas[:] = np.array(colour, np.uint8)
        y, x = max(0, top), max(0, left)
        canvas[y : y + shown.shape[0], x : x + shown.shape[1]] = shown
        return canvas


def scale_to(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Scale an image (H, W, 3 or 4) to (width, height); colours of transparent pixels don't bleed into others."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    how = cv2.INTER_AREA if size[0] <= width and size[1] <= height else cv2.INTER_CUBIC
    if picture.shape[2] == 3:
        return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)
    cover = picture[..., 3:].astype(np.float32) / 255
    layers = np.concatenate([picture[..., :3] * cover, cover * 255], axis=2)
    scaled = cv2.resize(layers, size, interpolation=how)
    share = np.clip(scaled[..., 3:] / 255, 1e-6, 1)
    colours = np.where(scaled[..., 3:] > 0.5, scaled[..., :3] / share, 255)
    out = np.clip(np.rint(np.concatenate([colours, scaled[..., 3:]], axis=2)), 0, 255)
    return np.asarray(out, np.uint8)


def _even(side: float) -> int:
    """The nearest even number of pixels, as most codecs require."""
    return max(2, 2 * round(side / 2))
