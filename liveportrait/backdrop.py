"""Background of a source clip over time: completes the background of one frame from others.

A strip beside the jaw that the animated head uncovers was often visible in another frame, so one image of the
background is collected over the frames. It is used where the camera stands still, that is, where the background near by
has not moved; elsewhere the engine fills the strip from the current frame only, as it does for a photo.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.crop import Crop
from liveportrait.engines.mesh.background import push_pull
from liveportrait.warp import Image, Matrix, scale_of, shifted, transform

Mask = npt.NDArray[np.bool_]
Map = npt.NDArray[np.float32]

CLEAN: Final = 0.04
"""Distance from the person, as a share of the crop, from which a pixel shows no part of the head."""
GRID: Final = 224
"""Pixels along the side of the grid on which shifts of the background and changes of light are measured."""
NOISE: Final = 3.0
"""Difference in grey levels that does not count as a shift: noise and compression artefacts."""
SHIFT: Final = (0.5, 1.2)
"""Shift in pixels of a 512 px crop below which the background counts as still, and above which it doesn't."""
MOVED: Final = 2.0
"""Mean shift of the whole background in such pixels from which the camera has moved, or the film was cut."""
OVERLAP: Final = 0.01
"""Least share of the crop that must be background in both this frame and the others to compare them."""


class Backdrop:
    """The background of one clip, in pixels of its frames.

    Needs memory for one frame only. Crops larger than the engine's are kept at the engine's resolution.
    """

    def __init__(self) -> None:
        self._image: Image = np.zeros((0, 0, 3), np.uint8)
        self._away = np.zeros((0, 0), np.uint8)  # distance in pixels from the person when seen; 0: never seen
        self._scale = 1.0

    def at(self, crop: Crop, shape: tuple[int, ...]) -> View:
        """The part inside a crop.

        Args:
            crop: The crop.
            shape: (H, W, ...) of the frame; if it changes, the backdrop starts again.
        """
        scale = min(1.0, scale_of(crop.matrix))
        if scale < 1 and self._image.size and abs(scale / self._scale - 1) < 0.5:
            scale = self._scale
        size = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
        if self._away.shape != size:
            self._image, self._away, self._scale = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), scale
        half = 0.5 * scale - 0.5
        to_own = np.array([[scale, 0, half], [0, scale, half]])
        matrix = np.concatenate(
            [to_own[:, :2] @ crop.inverse[:, :2], to_own[:, :2] @ crop.inverse[:, 2:] + to_own[:, 2:]], axis=1
        )
        return View(self._image, self._away, matrix, crop.size)


class View:
    """A crop of a backdrop.

    Args:
        image: (h, w, 3) uint8, written in place.
        away: (h, w) uint8, written in place.
        matrix: (2, 3) pixels of the crop to those of the backdrop.
        size: Side of the crop.
    """

    def __init__(self, image: Image, away: npt.NDArray[np.uint8], matrix: Matrix, size: int) -> None:
        self._image = image
        self._away = away
        self._matrix = matrix
        self._size = size

    def __call__(self, square: Image, known: Mask) -> tuple[Image, Mask]:
        """Complete the background of a crop, and update the backdrop from it.

        Args:
            square: (S, S, 3) uint8 crop.
            known: (S, S) its background, without any people.

        Returns:
            The crop with pixels from other frames where they can be trusted, and (S, S) which pixels are then known.
        """
        seen, away = self._taken()
        both = known & (away > 0)
        out, complete = square, known
        if both.mean() >= OVERLAP:
            now, before = _small(square), _small(seen)
            weight = (_small(both * np.uint8(255)) > 254.5).astype(np.float32)
            shift, overall = _shift(now, before, weight)
            if overall > MOVED:
                self._away[:] = 0
                away = np.zeros_like(away)
            else:
                still = cv2.resize(shift, (self._size, self._size)) < np.mean(SHIFT)
                trusted = ~known & (away > 0) & still
                if trusted.any():
                    light = push_pull((now - before) * weight[..., None], weight)
                    out, complete = _placed(square, seen, light, trusted), known | trusted
        self._learn(square, known, away)
        return out, complete

    def _taken(self) -> tuple[Image, npt.NDArray[np.uint8]]:
        """The backdrop inside the crop."""
        flags, size = cv2.WARP_INVERSE_MAP, (self._size, self._size)
        image = cv2.warpAffine(
            self._image, self._matrix, size, flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        away = cv2.warpAffine(self._away, self._matrix, size, flags=flags | cv2.INTER_NEAREST)
        return np.asarray(image, np.uint8), np.asarray(away, np.uint8)

    def _learn(self, square: Image, known: Mask, away: npt.NDArray[np.uint8]) -> None:
        """Store visible background; pixels close to the person only if none were seen further away."""
        distance = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 3)
        fresh = np.clip(np.ceil(distance), 0, 255).astype(np.uint8)
        clean = np.uint8(np.clip(round(CLEAN * self._size), 1, 255))
        better = known & (fresh >= np.minimum(away, clean))
        corner = np.array([-0.5, self._size - 0.5])
        ends = transform(self._matrix, [[x, y] for x in corner for y in corner])
        height, width = self._away.shape
        x0, y0 = np.clip(np.floor(ends.min(axis=0)).astype(int), 0, (width, height))
        x1, y1 = np.clip(np.ceil(ends.max(axis=0)).astype(int) + 1, 0, (width, height))
        if x1 <= x0 or y1 <= y0:
            return
        matrix, size = shifted(self._matrix, target=(x0, y0)), (int(x1 - x0), int(y1 - y0))
        level = cv2.warpAffine(np.where(better, fresh, 0).astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
        pixels = cv2.warpAffine(square, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        part = np.s_[y0:y1, x0:x1]
        np.copyto(self._image[part], np.asarray(pixels, np.uint8), where=(level > 0)[..., None])
        np.copyto(self._away[part], np.asarray(level, np.uint8), where=level > 0)


def _small(image: npt.NDArray[np.uint8]) -> Map:
    """An image (S, S) or (S, S, 3) uint8 at the size at which frames are compared."""
    return np.asarray(cv2.resize(image, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)


def _shift(now: Map, before: Map, weight: Map) -> tuple[Map, float]:
    """Shift of the background against the backdrop, in pixels of a 512 px crop: (GRID, GRID), and the mean.

    Args:
        now: (GRID, GRID, 3) this frame.
        before: The backdrop.
        weight: (GRID, GRID) 1 where both are background.
    """
    grey = cv2.cvtColor(now, cv2.COLOR_RGB2GRAY)
    change = (grey - cv2.cvtColor(before, cv2.COLOR_RGB2GRAY)) * weight
    width = (0, 0), 0.03 * GRID
    common = cv2.GaussianBlur(change, *width) / np.maximum(cv2.GaussianBlur(weight, *width), 1e-3)
    # A change of light is not a shift: only the deviation from it counts, relative to the effect of a shift by one
    # pixel.
    differs = np.maximum(np.abs(change - common) - NOISE, 0) * weight
    across, down = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    slope = cv2.magnitude(across, down) * weight
    unit = 512 / GRID
    near = [cv2.GaussianBlur(part, *width) for part in (differs, slope, weight)]
    shift = np.asarray(unit * near[0] / (near[1] + 2 * near[2] + 1e-6), np.float32)
    filled = push_pull(shift[..., None], (near[2] > 0.05).astype(np.float32))[..., 0]
    return filled, unit * float(differs.sum()) / (float(slope.sum()) + 2 * float(weight.sum()) + 1e-6)


def _placed(square: Image, seen: Image, light: Map, trusted: Mask) -> Image:
    """The crop (S, S, 3) with pixels of other frames, in the light of this one: (GRID, GRID, 3) difference."""
    size = square.shape[0]
    out = square.copy()
    out[trusted] = np.clip(seen[trusted] + cv2.resize(light, (size, size))[trusted] + 0.5, 0, 255).astype(np.uint8)
    return out
