"""Paste-back masks that follow the person, and things in front of a face that stay in front of the animated one.

A hand or a microphone in front of the face does not move with it. It is removed from the crop that the engine animates
(the hole is filled from its surroundings, so that no copy of it moves), and stays as it is in the image. Hair over eyes
or mouth moves with the face, but nothing is drawn over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.compose import Mask
from liveportrait.engines.mesh.background import push_pull
from liveportrait.engines.mesh.geometry import polygon_mask
from liveportrait.ramps import smoothstep
from liveportrait.warp import Image
from models.face import Face
from models.matte import PersonMatte, guided_coefficients
from models.parsing.parser import FaceParser, parser_path
from models.parsing.polygons import odd_colours
from models.topology import EYE_LEFT, EYE_RIGHT, LIPS_OUTER, OVAL

TEMPLATE: Final = "template"
MATTE: Final = "matte"
ROOM: Final = 0.16
"""Distance beyond the person's outline in which the animated crop is used, as a share of its side: head room."""
CLEAR: Final = 0.5
"""Share from which a pixel counts as hidden by something."""
DOUBT: Final = 0.3
"""Share from which a pixel counts if it is connected to others that are above CLEAR."""
TOUCH: Final = 0.2
"""A patch of an unusual colour counts if the parser is certain of this share of it."""
GUIDE: Final = 384
"""Side of the image to whose edges a parser's result is aligned."""
LEAST: Final = 0.002
"""Smallest share of the crop that counts as something in front of the face."""
EDGE: Final = 0.006
"""Width of the soft edge around what stays in front, as a share of the side."""


@dataclass(frozen=True)
class Paste:
    """How one crop is animated and pasted back.

    Attributes:
        square: (S, S, 3 or 4) uint8 crop to animate: things in front of the face are removed.
        mask: (S, S) 0..1, where the animated crop is used; None: everywhere.
        cover: (S, S) 0..1, hair over the face; None if there is none.
        hidden: (S, S) bool, things that stay in front; None if there are none.
        worn: (S, S) 0..1, things worn on the face; None if there are none.
        features: Which of "mouth", "eye_left" and "eye_right" the worn things hide.
    """

    square: Image
    mask: Mask | None
    cover: Mask | None = None
    hidden: npt.NDArray[np.bool_] | None = None
    worn: Mask | None = None
    features: frozenset[str] = frozenset()


class PasteMasks:
    """Makes paste-back masks of one kind; models are opened on first use.

    Args:
        kind: "matte" (person matte, and objects that differ from the skin in colour), or a parser: "parse/NAME" or the
            path of its ONNX file.

    Raises:
        ModelError: There is no such parser.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        if kind != MATTE:
            parser_path(kind)

    @cached_property
    def _matte(self) -> PersonMatte:
        return PersonMatte()

    @cached_property
    def _parser(self) -> FaceParser:
        return FaceParser(self.kind)

    def __call__(self, square: Image, face: Face) -> Paste:
        """Make the masks of one crop.

        Args:
            square: (S, S, 3 or 4) uint8 crop.
            face: Landmarks in its pixels.

        Raises:
            ModelError: The file is not a face parser.
        """
        rgb = np.ascontiguousarray(square[..., :3])
        size = rgb.shape[0]
        cover = None
        if self.kind == MATTE:
            person = self._matte(rgb)
            occluder = odd_colours(rgb, face.points, person)
        else:
            parsed = self._parser(rgb, face.points)
            person = np.asarray(1 - parsed.share(["background"]), np.float32)
            occluder = odd_colours(rgb, face.points, person)
            if "occluder" in parsed.names:
                occluder = grown(sharpened(rgb, parsed.share(["occluder"])), occluder)
            cover = over_features(sharpened(rgb, parsed.share(["hair"])), face.points, size)
        reach = reach_of(np.maximum(person, polygon_mask(size, size, face.points[list(OVAL), :2])), size)
        hidden = _before_face(occluder, face.points, size)
        if hidden is None:
            return Paste(square, reach, cover)
        mask = np.asarray(reach * front_edge(hidden), np.float32)
        return Paste(fill(square, hidden, face.points), mask, cover, hidden)


def reach_of(person: Mask, size: int) -> Mask:
    """(S, S) 0..1 where the animated crop is used: the person (S, S) 0..1 and a soft margin around it."""
    away = cv2.distanceTransform((person < CLEAR).astype(np.uint8), cv2.DIST_L2, 5) / np.float32(size)
    return smoothstep(ROOM, 0.5 * ROOM, np.asarray(away, np.float32))


def sharpened(rgb: Image, share: Mask) -> Mask:
    """A parser's coarse share (S, S), with its edges aligned to those of the image."""
    size = rgb.shape[0]
    side = min(size, GUIDE)
    guide = np.asarray(cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255, np.float32)
    coarse = np.asarray(cv2.resize(share, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    slope, offset = guided_coefficients(guide, coarse, max(side // 64, 1))
    fine = np.asarray((slope * guide).sum(axis=-1) + offset, np.float32)
    return np.asarray(np.clip(cv2.resize(fine, (size, size), interpolation=cv2.INTER_LINEAR), 0, 1), np.float32)


def grown(occluder: Mask, odd: Mask) -> Mask:
    """Certain patches (S, S) and what is connected to them: less certain neighbours and adjacent unusual colours."""
    sure = occluder > CLEAR
    _, weak = cv2.connectedComponents((occluder > DOUBT).astype(np.uint8))
    out = np.isin(weak, np.unique(weak[sure])) & (weak > 0)
    _, parts = cv2.connectedComponents((odd > 0).astype(np.uint8))
    for part in np.unique(parts[sure & (parts > 0)]):
        here = parts == part
        if float((sure & here).sum()) > TOUCH * float(here.sum()):
            out |= here
    return out.astype(np.float32)


def _before_face(occluder: Mask, points: npt.NDArray[np.floating], size: int) -> npt.NDArray[np.bool_] | None:
    """(S, S) patches of something that touches the head, grown by their soft edge; None if there are none."""
    solid = (occluder > CLEAR).astype(np.uint8)
    if not solid.any():
        return None
    oval = points[list(OVAL), :2]
    centre = oval.mean(axis=0)
    head = polygon_mask(size, size, centre + (oval - centre) * 1.25) > 0
    _, parts, stats, _ = cv2.connectedComponentsWithStats(solid)
    touching = np.unique(parts[head & (solid > 0)])
    kept = [part for part in touching if part > 0 and stats[part, cv2.CC_STAT_AREA] >= LEAST * size * size]
    if not kept:
        return None
    return widened(np.isin(parts, kept))


def widened(patches: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Patches (S, S) grown by their soft edge."""
    step = max(round(0.008 * patches.shape[0]), 2)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * step + 1, 2 * step + 1))
    return np.asarray(cv2.dilate(patches.astype(np.uint8), disc) > 0)


def front_edge(hidden: npt.NDArray[np.bool_]) -> Mask:
    """(S, S) 0..1, where the animated crop is used: not on things that stay in front, with a soft edge around them."""
    away = cv2.distanceTransform((~hidden).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(np.clip((away - 1) / max(EDGE * hidden.shape[0], 1.0), 0, 1), np.float32)


def over_features(hair: Mask, points: npt.NDArray[np.floating], size: int, least: float = 0.04) -> Mask | None:
    """Hair (S, S) 0..1 over eyes and mouth; None if it covers less than a share of their surroundings."""
    near = np.zeros((size, size), np.float32)
    for ring in (EYE_LEFT.ring, EYE_RIGHT.ring, LIPS_OUTER):
        outline = points[list(ring), :2]
        centre = outline.mean(axis=0)
        near = np.maximum(near, polygon_mask(size, size, centre + (outline - centre) * 1.3))
    return hair if float((hair * near).sum()) > least * float(near.sum()) else None


def fill(square: Image, hidden: npt.NDArray[np.bool_], points: npt.NDArray[np.floating]) -> Image:
    """The crop with hidden pixels filled from their surroundings; all others are unchanged bit for bit.

    Args:
        square: (S, S, 3 or 4) uint8 crop.
        hidden: (S, S).
        points: (478, 2 or 3) mesh: the face is filled from the face only, its surroundings from the surroundings.
    """
    size = square.shape[0]
    face = polygon_mask(size, size, points[list(OVAL), :2]) > 0.5
    out = square.copy()
    pixels = square.astype(np.float32)
    for part in (face, ~face):
        hole, known = hidden & part, part & ~hidden
        if hole.any():
            filled = push_pull(pixels, (known if known.any() else ~hidden).astype(np.float32))
            out[hole] = np.clip(filled[hole] + 0.5, 0, 255).astype(np.uint8)
    return out
