"""Detects what covers a face in a photo with the shipped parser: things in front of it, worn things, and hair.

A hand, a microphone or a cup in front of the face stays where it is in the photo. A mask, an eye patch or sunglasses
turn with the head: they don't bend, and no lids or lips are drawn on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.compose import Mask
from liveportrait.engines.mesh.geometry import polygon_mask
from liveportrait.occlusion import (
    CLEAR,
    TEMPLATE,
    Paste,
    PasteMasks,
    fill,
    front_edge,
    grown,
    over_features,
    sharpened,
    widened,
)
from liveportrait.warp import Image
from models.covered import LOWER
from models.face import Face
from models.parsing.parser import FaceParser
from models.parsing.polygons import odd_colours
from models.topology import EYE_LEFT, EYE_RIGHT, LIPS_OUTER, OVAL

Points = npt.NDArray[Any]
Known = npt.NDArray[np.bool_]

AUTO: Final = "auto"
PARSER: Final = "parse/osa_micro"
EYES: Final = frozenset({"eye_left", "eye_right"})
OUTLINES: Final = {"mouth": LIPS_OUTER, "eye_left": EYE_LEFT.ring, "eye_right": EYE_RIGHT.ring}
"""Features that can be hidden, and their outlines."""
PART: Final = (0.012, 0.57, 0.66)
"""Least share of the face, and least mean probability around eyes or mouth and elsewhere, of a patch that counts.
Measured: on 250 uncovered portraits, one patch exceeds 0.004 of the face, with 0.005 and 0.55; a shadow on a painted
cheek has 0.096 and 0.60; 28 of 36 drawn covers exceed the limits."""
AROUND: Final = 2.0
"""Reach of the surroundings of eyes and mouth, relative to their own sizes."""
HIDES: Final = 0.6
"""Least share of the surroundings of eyes or mouth that a patch must fill to hide them."""
HELD: Final = 0.45
"""HIDES for things in front: a partly hidden mouth is kept still rather than torn."""
LENS: Final = 0.1
"""HIDES for things over an eye within the outline of the face: only lenses and patches lie there."""
ON_HEAD: Final = ((1.15, 0.85), (1.4, 0.97))
"""Worn things lie, by at least this share, inside the outline of the face grown by this factor. Measured on drawn
covers: 39 of 40 masks meet one of the two limits; hands extend to an arm."""
WIDE: Final = 0.7
"""Least width of a mask over the mouth, as a share of the face's: a microphone or a hand is narrower."""
DARK: Final = (0.36, 0.5, 80)
"""Dark glass: brightness of the eye's surroundings relative to bare skin, for one eye, for the second eye next to such
a lens, and the percentile. Measured: black and brown lenses up to 0.34, tinted ones 0.5; 250 portraits 0.42 or more."""
HAIR: Final = 0.12
"""Least share of hair in the surroundings of eyes or mouth; none of 250 portraits has that much."""
CHEEKS: Final = (50, 280, 205, 425, 187, 411)
FOREHEAD: Final = (8, 9, 151, 107, 336)


class AutoMasks:
    """Keeps things that cover a face in front, and otherwise uses the soft border of the template.

    Args:
        front: False ignores things in front of the face: a bare crop has nothing that could stay in front.
    """

    def __init__(self, front: bool = True) -> None:
        self._front = front

    @cached_property
    def _parser(self) -> FaceParser:
        return FaceParser(PARSER)

    def __call__(self, square: Image, face: Face) -> Paste | None:
        """Find covers in one crop of a photo.

        Args:
            square: (S, S, 3 or 4) uint8 crop.
            face: Landmarks in its pixels.

        Returns:
            None if nothing covers the face; always None for a face placed by hand, since the parser only knows people.
        """
        if face.placed:
            return None
        return find_covers(square, face, self._parser, front=self._front)


def paste_masks(kind: str, *, pasted: bool = True) -> Callable[[Image, Face], Paste | None] | None:
    """Factory of masks of a kind.

    Args:
        kind: "auto", "template", "matte", "parse/NAME" or the path of a parser's ONNX file.
        pasted: Whether the crop is pasted back into the image.

    Returns:
        None for "template", which is only the soft border.

    Raises:
        ModelError: There is no such parser.
    """
    if kind == AUTO:
        return AutoMasks(front=pasted)
    return PasteMasks(kind) if pasted and kind != TEMPLATE else None


def find_covers(square: Image, face: Face, parser: FaceParser, *, front: bool = True) -> Paste | None:
    """Find what covers a face.

    Args:
        square: (S, S, 3 or 4) uint8 crop.
        face: Landmarks in its pixels.
        parser: Must have the classes "hair" and "occluder".
        front: Whether things in front of the face count.

    Returns:
        None if the face is not covered.
    """
    rgb, points = np.ascontiguousarray(square[..., :3]), face.points
    size = rgb.shape[0]
    parsed = parser(rgb, points)
    share = parsed.share(["occluder"])
    near = {name: _grown(size, points[list(ring)], 1.2) for name, ring in OUTLINES.items()}
    oval = polygon_mask(size, size, points[list(OVAL), :2]) > CLEAR
    around = np.logical_or.reduce([_grown(size, points[list(ring)], AROUND) for ring in OUTLINES.values()])
    patches = list(_patches(share, oval, around))
    worn, hidden = _on_head(patches, face, near)
    before = np.zeros((size, size), bool)
    for patch in patches:
        if front and not (patch & worn).any():
            before |= patch
            hidden |= _hits(patch, near, HELD)
    hidden |= {"lower": {"mouth"}, "upper": {"eye_left", "eye_right"}}.get(face.covered, set())
    hidden |= _behind_glass(rgb, points, {name for name in EYES if not (before & near[name]).any()}, hidden)
    hair = over_features(parsed.share(["hair"]), points, size, HAIR)
    if hair is not None:
        hair = sharpened(rgb, hair)
    if not (before.any() or hidden or hair is not None):
        return None
    fixed = mask = None
    if before.any():
        person = np.ones((size, size), np.float32)
        fixed = _touching(grown(sharpened(rgb, share), odd_colours(rgb, points, person)), before)
        mask, square = front_edge(fixed), fill(square, fixed, points)
    return Paste(square, mask, hair, fixed, _worn(worn, hidden, points) if hidden else None, frozenset(hidden))


def _patches(share: Mask, face: Known, near: Known) -> Iterator[Known]:
    """(S, S) connected patches that the parser is certain of and that cover enough of the face."""
    count, parts = cv2.connectedComponents((share > CLEAR).astype(np.uint8))
    least, sure, surer = PART
    for number in range(1, count):
        part = parts == number
        enough = sure if (part & near).any() else surer
        if (part & face).sum() >= least * face.sum() and share[part].mean() >= enough:
            yield part


def _hits(patch: Known, near: Mapping[str, Known], least: float = HIDES) -> set[str]:
    """Features that a patch hides, by the least share of their surroundings."""
    return {name for name, where in near.items() if (patch & where).sum() > least * where.sum()}


def _on_head(patches: Sequence[Known], face: Face, near: Mapping[str, Known]) -> tuple[Known, set[str]]:
    """(S, S) worn patches, which lie on the head and over eyes or mouth, and the features they hide."""
    points = face.points
    size = len(near["mouth"])
    heads = [(_grown(size, points[list(OVAL)], grow), least) for grow, least in ON_HEAD]
    none = np.zeros((size, size), bool)
    inside = [one for one in patches if any((one & head).sum() >= least * one.sum() for head, least in heads)]
    whole = np.logical_or.reduce([none, *inside])  # a mask may consist of several patches
    ys, xs = np.nonzero(whole)
    left, right = points[234, :2], points[454, :2]
    along = (np.stack([xs, ys], axis=1) - left) @ (right - left) / max(float((right - left) @ (right - left)), 1e-6)
    if face.covered or ("mouth" in _hits(whole, near) and np.ptp(along) > WIDE):
        return whole, _hits(whole, near)
    lenses = [one for one in patches if _hits(one, near, LENS) and not (one & near["mouth"]).any()]
    pair = len(lenses) == 2 and any(lens is one for lens in lenses for one in inside)  # one may extend to the temple
    over_eyes = [lens for lens in lenses if pair or any(lens is one for one in inside)]
    worn = np.logical_or.reduce([none, *over_eyes])
    return worn, _hits(worn, near, LENS)


def _behind_glass(rgb: Image, points: Points, eyes: set[str], hidden: set[str]) -> set[str]:
    """Those of some eyes that are behind dark glass: their surroundings are darker than the bare skin."""
    light = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (5, 5), 0)
    bare = points[list(FOREHEAD if "mouth" in hidden else CHEEKS), :2]
    at = np.clip(np.round(bare).astype(int), 0, rgb.shape[0] - 1)
    skin = max(float(np.median(light[at[:, 1], at[:, 0]])), 1.0)
    share, beside, percentile = DARK
    dark = {}
    for name in eyes - hidden:
        around = light[_grown(rgb.shape[0], points[list(OUTLINES[name])], 1.25, 1.9)]
        dark[name] = float(np.percentile(around, percentile)) / skin if len(around) else 1.0
    found = {name for name, level in dark.items() if level < share}
    if len(found | (hidden & EYES)) == 1:  # the other lens may be lighter
        found |= {name for name, level in dark.items() if level < beside}
    return found


def _worn(patches: Known, hidden: set[str], points: Points) -> Mask:
    """(S, S) 0..1 of what turns with the head: patches, and the surroundings of hidden features; soft at the edge."""
    size = patches.shape[0]
    whole = patches.astype(np.float32)
    for name in hidden & EYES:
        whole = np.maximum(whole, _grown(size, points[list(OUTLINES[name])], 1.4, 2.2))
    if "mouth" in hidden:
        hull = cv2.convexHull(points[list(LOWER), :2].astype(np.float32))[:, 0]
        whole = np.maximum(whole, _grown(size, hull, 1.1))
    step = max(round(0.01 * size), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * step + 1, 2 * step + 1))
    return np.asarray(cv2.GaussianBlur(cv2.dilate(whole, disc), (0, 0), 0.6 * step), np.float32)


def _touching(whole: Mask, patches: Known) -> Known:
    """(S, S) pixels found by the parser that are connected to some patches, grown by their soft edge."""
    _, parts = cv2.connectedComponents(((whole > CLEAR) | patches).astype(np.uint8))
    return widened(np.isin(parts, np.unique(parts[patches])))


def _grown(size: int, outline: Points, across: float, down: float | None = None) -> Known:
    """(S, S) inside of an outline (N, 2 or 3) that is scaled about its middle."""
    flat = outline[:, :2]
    middle = flat.mean(axis=0)
    return np.asarray(polygon_mask(size, size, middle + (flat - middle) * (across, down or across)) > CLEAR)
