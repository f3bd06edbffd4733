"""A person cut out of a picture, and what is laid behind.

The engine gets a square with alpha and carries that along with the pixels, so that the edge follows the head and
nothing of the head at rest is left behind it. Engines that draw no alpha get it from the matte of what they have drawn.
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
"""Side of the square around a face that is looked at closely, in sides of the face's box."""
LOOK: Final = 1024
"""Most pixels of that square's side."""
SOFT: Final = 0.12
"""Width of its soft border, as a share of its side."""
SMOOTH: Final = 0.7
"""Radius in pixels within which colours are averaged before they are told apart."""
BAND: Final = 0.010
"""Half width of the band along the edge in which colours decide, as a share of the square."""
EVEN: Final = 0.03, 8.0
"""Radius, as a share of the square, within which a background is compared with its mean, and the difference in grey
levels from which on its colours tell little."""
DIFFER: Final = 40.0
"""Difference in grey levels at which two colours are half trusted to be told apart."""
COLOURS: Final = 512
"""Most pixels of the picture in which the colours of person and background are told apart."""
DOUBT: Final = 0.2
"""Share of a body's matte below which a pixel is background, and above 1 less this the person's."""
PIECE: Final = 0.006
"""Share of the picture below which a hole in a person, or something beside, is a fault of the matte."""
SURE: Final = 0.02
"""Alpha closer than this to 0 or 1 counts as that."""
LEAST: Final = 0.002
"""Share of the picture below which there is nobody in it."""


class NobodyError(ValueError):
    """There is no person in the picture to be cut out."""


@dataclass(frozen=True)
class Cut:
    """A picture whose people were cut out.

    Attributes:
        source: (H, W, 3 or 4) uint8, the picture itself.
        people: (H, W, 4) uint8.
        behind: (H, W, 3) uint8, what is laid behind them; None leaves it clear.
    """

    source: Image
    people: Image
    behind: Image | None = None

    def shown(self) -> Image:
        """(H, W, 3 or 4) the people on what is laid behind them."""
        return self.people if self.behind is None else laid(self.people, self.behind)


def laid(people: Image, behind: Image) -> Image:
    """A picture with alpha (H, W, 4) on another one (H, W, 3) of the same size."""
    share = np.asarray(cv2.extractChannel(people, 3), np.float32) / np.float32(255)
    colours = np.ascontiguousarray(people[..., :3])
    return np.asarray(cv2.blendLinear(colours, np.ascontiguousarray(behind), share, 1 - share), np.uint8)


class Cutter:
    """Cuts people out of pictures.

    Args:
        matte: Finds them; one of its own by default.
    """

    def __init__(self, matte: PersonMatte | None = None) -> None:
        self._matte = matte or PersonMatte()

    def __call__(self, image: Image, faces: Sequence[Face]) -> Image:
        """A picture (H, W, 4) whose alpha is 0 where it shows no person.

        Args:
            image: (H, W, 3) uint8.
            faces: Faces in its pixels; around them the edge is looked at closely.

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
        """A square (S, S, 3) that an engine has drawn, with alpha."""
        alpha = _settled(by_colour(square, np.asarray(self._matte(square), np.float32)))
        return np.dstack([own_colours(square, alpha), np.rint(255 * alpha).astype(np.uint8)])

    def _look_closely(self, image: Image, face: Face, whole: Mask) -> None:
        """Take over the matte of the square around a face."""
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
    """The one that all pictures share; its networks are loaded at first use."""
    return Cutter()


def by_colour(image: Image, alpha: Mask) -> Mask:
    """The matte with its edge where the colours say it is.

    The network's matte is soft and may lie a few pixels outside. In a band along its edge each pixel is placed between
    the colours of the person and the background near by, as far as those differ and their mix explains the pixel.

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
    """The matte of bodies, whose outlines are sharper than hair: what is doubtful there is mostly cloth."""
    return np.clip((alpha - DOUBT) / (1 - 2 * DOUBT), 0, 1)


def _closed(alpha: Mask) -> Mask:
    """The matte without small holes inside a person, and without small specks beside."""
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
    """(h, w) 1 in connected pieces of a mask that are smaller than a number of pixels and don't touch the border."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    left, top, width, height, area = stats.T
    inner = (left > 0) & (top > 0) & (left + width < mask.shape[1]) & (top + height < mask.shape[0])
    chosen = inner & (area < limit)
    chosen[0] = False
    return np.asarray(chosen[parts], np.uint8)


def _settled(alpha: Mask) -> Mask:
    """Alpha whose ends are whole: no veil over the background, no holes in the person."""
    return np.clip((alpha - SURE) / (1 - 2 * SURE), 0, 1)


def own_colours(image: Image, alpha: Mask) -> Image:
    """The picture with the person's own colours where it shows a mix of person and background.

    What is seen there is alpha * person + (1 - alpha) * background; both are first taken from the surely known pixels
    near by, then what is left over goes to the person (Forte, "Approximate Fast Foreground Colour Estimation", 2021).
    Beyond the edge the person's colours go on for a little, so that they can be moved without a rim.

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
    """Rows of a small picture brought to a size (width, height)."""
    width, height = size
    sx, sy = small.shape[1] / width, small.shape[0] / height
    matrix = np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, sy * (rows.start + 0.5) - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(small, matrix, (width, rows.stop - rows.start), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    )
