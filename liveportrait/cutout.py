"""Cuts people out of an image, and places them on another background.

The engine gets a crop with alpha and moves the alpha along with the pixels, so that the edge follows the head and
nothing of the head at rest remains behind it. Engines that draw no alpha get it from the matte of their output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.compose import crop_window, edge_ramp, strips
from liveportrait.crop import Box, Crop
from liveportrait.engines.mesh.background import find_person, person_mask, push_pull
from liveportrait.warp import Image, shifted, warp
from models.face import Face
from models.matte import PersonMatte

Mask = npt.NDArray[np.float32]

AROUND: Final = 3.2
"""Side of the square around a face that is refined, relative to the face's box."""
LOOK: Final = 1024
"""Limit of that square's side in pixels."""
SOFT: Final = 0.12
"""Width of its soft border, as a share of its side."""
SMOOTH: Final = 0.7
"""Radius in pixels over which colours are averaged before they are compared."""
BAND: Final = 0.010
"""Half width of the band along the edge in which colours decide, as a share of the square's side."""
EVEN: Final = 0.03, 8.0
"""Radius, as a share of the square's side, within which a background is compared with its mean, and the difference in
grey levels from which its colours are unreliable."""
DIFFER: Final = 40.0
"""Difference in grey levels at which the distinction of two colours is half trusted."""
COLOURS: Final = 512
"""Limit of the image's side in pixels for the comparison of the colours of person and background."""
DOUBT: Final = 0.2
"""Value of a body's matte below which a pixel is background, and above 1 minus which it is the person's."""
PIECE: Final = 0.006
"""Share of the image below which a hole in a person, or a separate piece, is a fault of the matte."""
SURE: Final = 0.02
"""Alpha closer than this to 0 or 1 is rounded to it."""
LEAST: Final = 0.002
"""Share of the image below which it contains no person."""


class NobodyError(ValueError):
    """The image contains no person to cut out."""


@dataclass(frozen=True)
class Cut:
    """An image whose people were cut out.

    Attributes:
        source: (H, W, 3 or 4) uint8, the image itself.
        people: (H, W, 4) uint8.
        behind: (H, W, 3) uint8, the new background; None leaves it transparent.
    """

    source: Image
    people: Image
    behind: Image | None = None

    def shown(self) -> Image:
        """(H, W, 3 or 4) the people on the new background."""
        return self.people if self.behind is None else laid(self.people, self.behind)


def laid(people: Image, behind: Image) -> Image:
    """An image with alpha (H, W, 4) on another one (H, W, 3) of the same size."""
    share = np.asarray(cv2.extractChannel(people, 3), np.float32) / np.float32(255)
    colours = np.ascontiguousarray(people[..., :3])
    return np.asarray(cv2.blendLinear(colours, np.ascontiguousarray(behind), share, 1 - share), np.uint8)


class Cutter:
    """Cuts people out of images.

    Args:
        matte: Person matte; a new one by default.
    """

    def __init__(self, matte: PersonMatte | None = None) -> None:
        self._matte = matte or PersonMatte()

    def __call__(self, image: Image, faces: Sequence[Face]) -> Image:
        """An image (H, W, 4) whose alpha is 0 where it shows no person.

        Args:
            image: (H, W, 3) uint8.
            faces: Faces in its pixels; the edge is refined around them.

        Raises:
            NobodyError: There is no person.
        """
        alpha = self.alpha(image, faces)
        if float(alpha.mean()) < LEAST:
            raise NobodyError("no person was found that could be cut out.")
        return np.dstack([own_colours(image, alpha), np.rint(255 * alpha).astype(np.uint8)])

    def alpha(self, image: Image, faces: Sequence[Face]) -> Mask:
        """(H, W) share of each pixel that belongs to a person, 0 to 1."""
        whole = _decided(np.asarray(self._matte(image), np.float32))
        for face in faces:
            self._look_closely(image, face, whole)
        return _settled(_closed(whole))

    def drawn(self, square: Image) -> Image:
        """A crop (S, S, 3) drawn by an engine, with alpha."""
        alpha = _settled(by_colour(square, np.asarray(self._matte(square), np.float32)))
        return np.dstack([own_colours(square, alpha), np.rint(255 * alpha).astype(np.uint8)])

    def _look_closely(self, image: Image, face: Face, whole: Mask) -> None:
        """Insert the matte of the square around a face."""
        low, high = face.points[:, :2].min(axis=0), face.points[:, :2].max(axis=0)
        side = AROUND * float((high - low).max())
        x, y = (low + high) / 2
        crop = Crop.of_box(Box(float(x), float(y), side), min(LOOK, max(64, round(side))))
        window = crop_window(crop, image.shape)
        if window is None:
            return
        square, own = crop.apply(image), crop.face(face)
        seen = find_person(square, own.points.astype(np.float64), self._matte)
        if seen is None:
            return
        close = by_colour(square, person_mask(seen, own.points))
        x0, y0, x1, y1 = window
        up = warp(close, shifted(crop.inverse, target=(x0, y0)), (x1 - x0, y1 - y0))
        share = edge_ramp(crop.matrix, crop.size, window, SOFT)
        part = whole[y0:y1, x0:x1]
        part += share * (up - part)


@lru_cache(maxsize=1)
def cutter() -> Cutter:
    """The shared instance; its networks are loaded on first use."""
    return Cutter()


def by_colour(image: Image, alpha: Mask) -> Mask:
    """Refine the edge of a matte by colours.

    The network's matte is soft and may lie a few pixels outside. In a band along its edge, each pixel's alpha is
    computed from the colours of the person and the background near by, as far as those differ and their mix explains
    the pixel.

    Args:
        image: (S, S, 3) uint8, a square around a head.
        alpha: (S, S) float32, 0 to 1.
    """
    size = alpha.shape[0]
    reach = max(3, round(2 * BAND * size) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    inner = cv2.erode(np.asarray(alpha > 0.95, np.uint8), disc)
    outer = cv2.erode(np.asarray(alpha < 0.05, np.uint8), disc)
    if not inner.any() or not outer.any():
        return alpha
    scale = min(1.0, COLOURS / size)
    half = (max(1, round(size * scale)),) * 2
    small = cv2.resize(image, half, interpolation=cv2.INTER_AREA).astype(np.float32)
    sure = [cv2.resize(part, half, interpolation=cv2.INTER_NEAREST).astype(np.float32) for part in (inner, outer)]
    known = [push_pull(small, part) for part in sure]
    uneven = np.abs(small - cv2.GaussianBlur(known[1], (0, 0), EVEN[0] * half[0])).mean(axis=2, keepdims=True)
    person, behind, pattern = (
        _rows(part, slice(0, size), (size, size)) for part in (*known, push_pull(uneven, sure[1]))
    )
    across = person - behind
    length = cv2.multiply(across, across).sum(axis=2)
    colours = cv2.GaussianBlur(image, (0, 0), SMOOTH).astype(np.float32) - behind
    share = np.clip((colours * across).sum(axis=2) / np.maximum(length, 1), 0, 1)
    left = colours - share[..., None] * across
    trust = length / (length + DIFFER**2) * np.exp(-(left * left).sum(axis=2) / DIFFER**2)
    trust *= (1 - inner) * (1 - outer) * np.exp(-((pattern / EVEN[1]) ** 2))
    return np.asarray(alpha + trust * (share - alpha), np.float32)


def _decided(alpha: Mask) -> Mask:
    """The matte of bodies, whose outlines are sharper than hair: doubtful pixels there are mostly cloth."""
    return np.clip((alpha - DOUBT) / (1 - 2 * DOUBT), 0, 1)


def _closed(alpha: Mask) -> Mask:
    """The matte without small holes inside a person, and without small separate specks."""
    height, width = alpha.shape
    scale = min(1.0, COLOURS / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    limit = PIECE * small.size
    holes, specks = _pieces(small < 0.9, limit), _pieces(small > 0.1, limit)
    if holes.any():
        filled = cv2.GaussianBlur(cv2.dilate(holes, np.ones((3, 3), np.uint8)).astype(np.float32), (3, 3), 0)
        alpha = np.maximum(alpha, cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR))
    if specks.any():
        free = 1 - cv2.dilate(specks, np.ones((3, 3), np.uint8)).astype(np.float32)
        alpha = alpha * cv2.resize(free, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(alpha, np.float32)


def _pieces(mask: npt.NDArray[np.bool_], limit: float) -> Image:
    """(h, w) 1 in connected pieces of a mask below a number of pixels that don't touch the border."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    left, top, width, height, area = stats.T
    inner = (left > 0) & (top > 0) & (left + width < mask.shape[1]) & (top + height < mask.shape[0])
    chosen = inner & (area < limit)
    chosen[0] = False
    return np.asarray(chosen[parts], np.uint8)


def _settled(alpha: Mask) -> Mask:
    """Alpha with exact ends: no veil over the background, no holes in the person."""
    return np.clip((alpha - SURE) / (1 - 2 * SURE), 0, 1)


def own_colours(image: Image, alpha: Mask) -> Image:
    """Restore the person's own colours where the image shows a mix of person and background.

    A mixed pixel is alpha * person + (1 - alpha) * background; both are first estimated from the certain pixels near
    by, then the residual goes to the person (Forte, "Approximate Fast Foreground Colour Estimation", 2021). Beyond the
    edge the person's colours continue for a little, so that they can be moved without a rim.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) float32, 0 to 1.
    """
    height, width = alpha.shape
    scale = min(1.0, COLOURS / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    person = push_pull(small, np.asarray(share > 1 - SURE, np.float32))
    behind = push_pull(small, np.asarray(share < SURE, np.float32))
    reach = max(3, round(0.01 * max(height, width)) | 1)
    near = cv2.dilate(alpha, np.ones((reach, reach), np.uint8))
    out = image.copy()
    for top, bottom in strips((0, 0, width, height)):
        rows = slice(top, bottom)
        a = alpha[rows, :, None]
        f, b = (_rows(part, rows, (width, height)) for part in (person, behind))
        mixed = image[rows].astype(np.float32)
        own = np.clip(f + a * (mixed - a * f - (1 - a) * b), 0, 255)
        blend = np.clip(near[rows, :, None] * 2, 0, 1) * (a < 1 - SURE)
        out[rows] = np.rint(mixed + blend * (own - mixed)).astype(np.uint8)
    return out


def _rows(small: Mask, rows: slice, size: tuple[int, int]) -> Mask:
    """Rows of a small image resized to (width, height)."""
    width, height = size
    sx, sy = small.shape[1] / width, small.shape[0] / height
    matrix = np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, sy * (rows.start + 0.5) - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(small, matrix, (width, rows.stop - rows.start), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    )
