"""The photo moved by a field, over the background that a moving head uncovers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh import background
from liveportrait.engines.mesh.far_side import Hidden
from liveportrait.engines.mesh.field import Field, Piece, Window, common

Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

# Shift in pixels (of a 512 px crop) over which the background changes from moving along to standing still. Background
# that the photo shows stands still at once; beside the outline, where it is only guessed, it moves along first.
STILL_SHIFT, ELSEWHERE_SHIFT, GUESSED_SHIFT = (-1.0, -0.5), (0.3, 2.8), (2.0, 8.0)

REACH = 0.1
"""Share of the face's size by which eyes and mouth may be drawn beyond its points."""


@dataclass(frozen=True)
class Ground:
    """What lies behind the person of a photo.

    Attributes:
        person: (S, S) 0..1, what belongs to the person.
        plate: (S, S, 3) the background, completed behind the person.
        others: (S, S) 0..1, other people, who must not move along; None if there are none.
        start: (S, S) shift in pixels up to which the background moves along.
        growth: (S, S) 1 / pixels over which it then comes to a stand.
    """

    person: Map
    plate: Image
    others: Map | None
    start: Map
    growth: Map

    @classmethod
    def of(cls, person: Map, plate: Image, doubt: Map, others: Map | None) -> Ground:
        """The ground of a plate with doubt (S, S) 0..1 about its pixels, see background.background_plate."""
        levels = np.linspace(0, 1, 256)
        guessed = np.array(GUESSED_SHIFT) * doubt.shape[0] / 512
        start, end = (
            np.interp(levels, [0, background.ELSEWHERE, 1], [still, elsewhere, far])
            for still, elsewhere, far in zip(STILL_SHIFT, ELSEWHERE_SHIFT, guessed, strict=True)
        )
        index = np.rint(doubt * 255).astype(np.uint8)
        growth = (1 / (end - start)).astype(np.float32)[index]
        return cls(person, plate, others, start.astype(np.float32)[index], growth)

    def shares(self, piece: Piece) -> Map:
        """(h, w) 0..1 share of the moved photo in each pixel of a part of the crop; the rest is the plate."""
        away = piece.shift()
        theirs = None if self.others is None else _carried(self.others, piece) * np.clip(away * 4, 0, 1)
        away -= self.start[piece.part]
        away *= self.growth[piece.part]
        np.clip(away, 0, 1, out=away)
        if theirs is not None:
            away = np.maximum(away, theirs)
        out: Map = _carried(self.person, piece)
        np.subtract(1, out, out=out)
        out *= away
        return np.subtract(1, out, out=out)


def move(source: Image, field: Field, ground: Ground | None, hidden: Hidden | None) -> Image:
    """The photo with its person moved.

    Args:
        source: (S, S, 3) photo.
        field: Source positions.
        ground: What lies behind the person; None moves everything.
        hidden: The far side of the face, or None if it isn't drawn.

    Returns:
        (S, S, 3).
    """
    out = source.copy()
    for band in field.bands():
        shares = None
        drawn = band
        if ground is not None:
            shares = ground.shares(band)
            if hidden is not None:
                _raise_within(shares, band.window, hidden)
            out[band.part] = ground.plate[band.part]
            x, _, width, _ = cv2.boundingRect((shares > 0).view(np.uint8))
            if not width:
                continue
            drawn, shares = band.columns(x, x + width), shares[:, x : x + width]
        moved = _carried(source, drawn, cv2.INTER_CUBIC)
        if hidden is not None:
            hidden.draw(moved, drawn.window)
        if shares is None or ground is None:
            out[drawn.part] = moved
        else:
            cv2.blendLinear(moved, ground.plate[drawn.part], shares, 1 - shares, out[drawn.part])
    return out


@dataclass(frozen=True)
class Covered:
    """The face as it is before eyes and mouth are drawn, and what lies over them, as hair does.

    Attributes:
        part: Where they may be drawn, as an index of the crop.
        bare: (h, w, 3) pixels there.
        share: (h, w) 0..1 how much is covered.
    """

    part: tuple[slice, slice]
    bare: Image
    share: Map

    @classmethod
    def of(cls, cover: Map, field: Field, image: Image, points: npt.NDArray[Any]) -> Covered:
        """What covers the moved face of an image (S, S, 3).

        Args:
            cover: (S, S) 0..1 of the photo.
            field: Source positions.
            image: The moved photo.
            points: (N, 2) points of the moved face in pixels.
        """
        low, high = points.min(0), points.max(0)
        margin = REACH * (high - low).max() + 1
        x0, y0 = np.floor(low - margin).astype(int).clip(0, field.size - 1).tolist()
        x1, y1 = np.ceil(high + margin).astype(int).clip(1, field.size).tolist()
        piece = field.at((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))
        return cls(piece.part, image[piece.part].copy(), _carried(cover, piece))

    def draw(self, image: Image) -> None:
        """Draw it over a crop, in place."""
        part = image[self.part]
        cv2.blendLinear(self.bare, part, self.share, 1 - self.share, part)


def move_map(values: Any, field: Field) -> Any:
    """(S, S) values of the photo, as its alpha, moved with it."""
    out = values.copy()
    for band in field.bands():
        out[band.part] = _carried(values, band)
    return out


def _carried(values: Any, piece: Piece, interpolation: int = cv2.INTER_LINEAR) -> Any:
    return cv2.remap(values, piece.x, piece.y, interpolation, borderMode=cv2.BORDER_REPLICATE)


def _raise_within(shares: Map, window: Window, hidden: Hidden) -> None:
    """Raise the shares of a window, in place, to what the far side of the face covers."""
    if (shared := common(window, hidden.window)) is not None:
        own, theirs = shared
        shares[own] = np.maximum(shares[own], hidden.share[theirs])
