"""Mouths: teeth, artefacts inside the mouth, and similarity of two mouths."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.geometry import closed_curve, polygon_mask
from measuring.heads import Float, Head, Image
from measuring.pictures import detail, ssim
from models.topology import CHEEKS, EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER

Mask = npt.NDArray[np.bool_]
LIP_OUTLINE, LIP_EDGES = (37, 267, 84, 314, 0, 17), (82, 312, 87, 317, 13, 14)
UPPER_OUTER, UPPER_INNER = (39, 37, 0, 267, 269), (81, 82, 13, 312, 311)
SIDE = 160
"""Side in pixels of a square crop around the mouth; a mesh pixel is 1/250 of the face's width."""
SPAN = 0.64
"""Side of that crop in face widths."""
PARTED = 0.025
"""Height of the mouth opening in face widths below which the inside is not measured."""
DARK, BRIGHT, LIGHTER, GREY_BRIGHT = 0.45, 0.58, 0.95, 0.72
"""Lightness relative to the cheeks': below the first, the inside is dark; above the second, it may be a tooth if it is
less red than skin; above the third, slightly less red is enough; the fourth is for black and white images, where only
lightness separates teeth from gums."""
SKIN_RED, LIP_RED = 0.72, 0.5
"""Redness (a of CIELAB) relative to the cheeks' and the lips', below which a light pixel may be a tooth."""
COLOURLESS = 3.5
"""Redness of cheeks below which an image counts as black and white."""
THICKER = 1.3
"""Height of an upper lip relative to its resting height up to which it counts as lip."""
LIP_EDGE = 0.012
"""Face widths by which the outline of a lip may be tracked too high."""


@dataclass(frozen=True)
class Inside:
    """The inside of an open mouth.

    Attributes:
        height: Height of the opening in face widths.
        area: Area of the inside in squared face widths.
        teeth: Area of the teeth in squared face widths.
        slab: Flesh between the upper lip and the teeth or dark area below, beyond the lip's own height, relative to the
            area of the inside: gums, or an artefact in their place.
        wedge: Share of the inside that is dark and beside the row of teeth, on the worse side.
    """

    height: float
    area: float
    teeth: float
    slab: float
    wedge: float

    @property
    def teeth_share(self) -> float:
        """Share of the inside that is teeth."""
        return self.teeth / self.area if self.area else 0.0


def mouth_matrix(head: Head, span: float = SPAN, side: int = SIDE) -> Float:
    """(2, 3) transform from pixels to the upright crop around the lips."""
    lips = head.points[list(LIPS_OUTER)].astype(np.float64)
    eyes = head.points[EYE_RIGHT.outer] - head.points[EYE_LEFT.outer]
    along = eyes / max(float(np.linalg.norm(eyes)), 1e-6)
    scale = side / (span * head.width)
    turn = scale * np.array([[along[0], along[1]], [-along[1], along[0]]])
    local = lips @ turn.T
    centre = (local.min(0) + local.max(0)) / 2
    return np.column_stack([turn, side / 2 - 0.5 - centre])


def cut(picture: Image, matrix: Float, side: int = SIDE) -> Image:
    """A square crop (side, side, 3) of an image, without aliasing."""
    scale = float(np.hypot(*matrix[0, :2]))
    if scale < 0.7:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 / scale), np.uint8)
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side), flags=flags, borderMode=border), np.uint8)


def lab_of(picture: Image) -> npt.NDArray[np.float32]:
    """CIELAB (H, W, 3): lightness 0..100, a and b around 0."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


@dataclass(frozen=True)
class Colours:
    """Reference colours for the inside of a mouth.

    Attributes:
        light: Lightness of the lighter cheek, 0..100, so that a shadow on one side is ignored.
        red: Redness (a of CIELAB) of the cheeks.
        lip: Redness of the lips.
    """

    light: float
    red: float
    lip: float

    @classmethod
    def of(cls, picture: Image, head: Head) -> Colours:
        """Colours of one face."""
        cheeks = np.array([_around(picture, head.points[i]) for i in CHEEKS])
        left, right = np.median(cheeks[0::2], axis=0), np.median(cheeks[1::2], axis=0)
        skin = left if left[0] > right[0] else right
        between = (head.points[list(LIP_OUTLINE)] + head.points[list(LIP_EDGES)]) / 2
        lip = np.median([_around(picture, point) for point in between], axis=0)
        return cls(max(float(skin[0]), 1.0), float(skin[1]), float(lip[1]))


def _around(picture: Image, point: Float) -> Float:
    """(3,) mean CIELAB of the nine pixels around a point."""
    x, y = np.clip(np.round(point), 1, (picture.shape[1] - 2, picture.shape[0] - 2)).astype(int)
    return np.asarray(lab_of(picture[y - 1 : y + 2, x - 1 : x + 2]).mean((0, 1)))


def classes(lab: npt.NDArray[np.float32], face: Colours) -> tuple[Mask, Mask]:
    """Masks of the pixels (H, W) of CIELAB that are dark, and that have the colour of teeth."""
    light, red = lab[..., 0] / face.light, lab[..., 1]
    if face.red < COLOURLESS:
        tooth = light > GREY_BRIGHT
    else:
        limit = max(SKIN_RED * face.red, LIP_RED * face.lip)
        tooth = (light > BRIGHT) & (red < limit) | (light > LIGHTER) & (red < max(face.red, limit))
    return light < DARK, tooth


def upper_lip(head: Head) -> float:
    """Height of the upper lip in face widths, mean of its middle."""
    tops, edges = head.points[list(UPPER_OUTER)], head.points[list(UPPER_INNER)]
    return float(np.linalg.norm(tops - edges, axis=1).mean()) / head.width


def inside(picture: Image, head: Head, lip: float) -> Inside:
    """Measure an open mouth; zeros if the lips are (nearly) closed.

    Args:
        picture: (H, W, 3).
        head: Its head.
        lip: Resting height of the person's upper lip, in face widths. A tracker takes gums for a part of the lip, so
            that only the height reveals them.
    """
    matrix = mouth_matrix(head)
    outer, inner = (
        polygon_mask(SIDE, SIDE, closed_curve(head.points[list(ring)] @ matrix[:, :2].T + matrix[:, 2], 3)) > 0.6
        for ring in (LIPS_OUTER, LIPS_INNER)
    )
    mask = inner
    columns = mask.sum(0)
    pixel = SPAN / SIDE
    height = float(np.quantile(columns[columns > 0], 0.8)) * pixel if columns.any() else 0.0
    if height < PARTED:
        return Inside(height, 0.0, 0.0, 0.0, 0.0)
    dark, tooth = classes(lab_of(cut(picture, matrix)), Colours.of(picture, head))
    area = int(mask.sum())
    slab = _flesh_above(mask, outer, dark, tooth, (THICKER * lip + LIP_EDGE) / pixel) / area
    dark, tooth = dark & mask, _solid(tooth & mask)
    wedge = max(_beside(mask, dark, tooth), _beside(mask[:, ::-1], dark[:, ::-1], tooth[:, ::-1])) / area
    return Inside(height, area * pixel**2, float(tooth.sum()) * pixel**2, slab, wedge)


def _solid(mask: Mask) -> Mask:
    """Remove specks: highlights on a wet lip are not teeth."""
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), bool)


def _flesh_above(mask: Mask, outer: Mask, dark: Mask, tooth: Mask, lip: float) -> float:
    """Pixels of flesh above the first tooth, or above the dark area if there is none.

    Counted from the outline of the upper lip, minus its height, and inside the lips, minus the tracker's inaccuracy: in
    some mouths gums are tracked as part of the lip, in others as part of the inside.
    """
    below = _solid(tooth | dark) & mask
    columns, ends = below.any(0), _first_row(below)
    edge = (2 * LIP_EDGE) / (SPAN / SIDE)
    runs = (ends - _first_row(outer) - lip, ends - _first_row(mask) - edge)
    return max(float(np.maximum(run, 0)[columns].sum()) for run in runs)


def _first_row(mask: Mask) -> npt.NDArray[np.int_]:
    return np.asarray(np.argmax(mask, 0))


def _beside(mask: Mask, dark: Mask, tooth: Mask) -> int:
    """Dark pixels between the left corner and the row of teeth, at the height of that row."""
    columns = tooth.sum(0)
    shown = columns >= max(3, 0.3 * columns.max())
    if shown.sum() < 8:  # no row of teeth
        return 0
    start = int(np.argmax(shown))
    row = np.flatnonzero(shown)[: max(6, int(shown.sum() // 4))]  # the nearest quarter of the row
    top, bottom = np.median(_first_row(tooth)[row]), np.median(len(tooth) - 1 - _first_row(tooth[::-1])[row])
    rows = np.arange(len(mask))[:, None]
    # the upper lip rises toward the middle and falls toward a corner: the band has the row's height, from the lip down
    band = (rows >= _first_row(mask)) & (rows <= _first_row(mask) + (bottom - top) + 2) & mask
    part = (band & dark)[:, :start]
    count, _, stats, _ = cv2.connectedComponentsWithStats(part.astype(np.uint8))
    return int(stats[1:, cv2.CC_STAT_AREA].max()) if count > 1 else 0


@dataclass(frozen=True)
class Alike:
    """Similarity of two images of one mouth.

    Attributes:
        ssim: Structural similarity; 1 is identical.
        l1: Mean difference in grey levels.
        detail: Fine detail of the second relative to the first; 1 is equally sharp.
    """

    ssim: float
    l1: float
    detail: float


def alike(truth: Image, picture: Image, head: Head) -> Alike:
    """Compare two images of the same size at the position of the first one's mouth."""
    matrix = mouth_matrix(head)
    a, b = cut(truth, matrix), cut(picture, matrix)
    sharp = detail(a)
    return Alike(ssim(a, b), float(np.abs(a.astype(np.float32) - b).mean()), detail(b) / max(sharp, 1e-6))
