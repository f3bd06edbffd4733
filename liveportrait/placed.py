"""Faces placed by hand: computes all landmarks from a few handles on an image that the face finder can't read.

Pets, dolls and drawings have eyes, a nose and a mouth, but not where a human face has them. The mean face is turned and
sized so that it fits the handles as well as it can, then bent smoothly (a thin-plate spline) until each handle's
landmark lies on its handle. Near-symmetric faces stay so: the spline runs in the plane of the untwisted face.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.fit import mouth_width, resting_mouth, set_lip_gap
from liveportrait.ramps import smoothstep
from models.face import INNER_LIP_PAIR, LID_PAIRS, Face
from models.messages import Term, msg
from models.topology import EYES, FACE_POINTS, LIP_UPPER_INNER, MOUTH_CORNERS, EyeIndices

Float = npt.NDArray[np.float64]
Point = tuple[float, float]
Handles = Mapping[str, Point]
"""Name of a handle (HANDLES) -> its position in pixels of the image."""

HANDLES: Final[dict[str, int]] = {
    "left_eye_outer": 33,
    "left_eye_inner": 133,
    "left_eye_top": 159,
    "left_eye_bottom": 145,
    "right_eye_inner": 362,
    "right_eye_outer": 263,
    "right_eye_top": 386,
    "right_eye_bottom": 374,
    "left_brow": 105,
    "right_brow": 334,
    "nose": 4,
    "mouth_left": 61,
    "mouth_right": 291,
    "lip_top": 13,
    "lip_bottom": 14,
    "chin": 152,
    "face_top": 10,
    "face_left": 234,
    "face_right": 454,
}
"""Handle -> its landmark. Left and right are sides of the image; lip_top and lip_bottom are the edges of the mouth, and
coincide if it is shut."""
PAIRS: Final = tuple((name, name.replace("left", "right")) for name in HANDLES if "left" in name)
"""Handles that mirror each other about the face's axis, left one first."""
MAX_YAW: Final = 40.0  # degrees; larger apparent turns are interpreted as a face of other proportions
YAW_STEP: Final = 0.5  # degrees
YAW_COST: Final = 0.02  # added to the squared misfit of handles in face widths, at MAX_YAW: only clear turns count
CROSSED: Final = 1.0  # pixels by which the lips may cross: a shut mouth
NARROWEST: Final = 8.0  # least width and height of the face in pixels
IRIS: Final = 0.21  # radius of a human iris over the width of the eye between its corners
IRIS_IN_ROUND_EYE: Final = 0.46  # radius of the iris over the height of the eye, used where that is larger
_QUARTERS: Final = {
    (234, 10): (21, 103), (454, 10): (251, 332), (234, 152): (58, 136), (454, 152): (288, 365),
}  # fmt: skip
"""Side and end of each quarter of the outline -> points between them."""
PARTED: Final = 0.02  # gap of the lips in face widths from which they are separate points of the spline
ROUND: Final = (0.2, 0.4)  # height of a lid over the eye's width, from an almond to an ellipse
LID_REACH: Final = 0.05  # distance at which the skin follows the shape of lids and lips by a third, face widths
LIP_REACH: Final = 0.08
LIP_SHARE: Final = 0.4  # largest thickness of a lip as a share of the distance from the mouth to nose or chin
MAX_FOLDED: Final = 0.08  # largest share of the mesh's area that may be seen from behind
_ORDER: Final = (
    ("face_left", "face_right", "left"),
    ("face_top", "chin", "above"),
    ("left_eye_outer", "left_eye_inner", "left"),
    ("left_eye_inner", "right_eye_inner", "left"),
    ("right_eye_inner", "right_eye_outer", "left"),
    ("left_eye_top", "left_eye_bottom", "above"),
    ("right_eye_top", "right_eye_bottom", "above"),
    ("mouth_left", "mouth_right", "left"),
    ("face_left", "left_eye_outer", "left"),
    ("right_eye_outer", "face_right", "left"),
    ("face_top", "nose", "above"),
    ("left_eye_top", "chin", "above"),
    ("right_eye_top", "chin", "above"),
    ("nose", "lip_bottom", "above"),
    ("lip_bottom", "chin", "above"),
)
"""Handles, the first of which lies left of or above the other one, along the face's own axes."""


class PlacedError(ValueError):
    """Handles that are not a face; the text is the rest of a sentence ("the handle nose is missing")."""


def placed_face(handles: Handles) -> Face:
    """The face that some handles define.

    Args:
        handles: All of HANDLES, in pixels of the image.

    Returns:
        478 landmarks in pixels; those of the handles lie exactly on them.

    Raises:
        PlacedError: They are not a face, for example mirrored or without extent.
    """
    return Face(placed_points(handles), placed=True)


def placed_points(handles: Handles) -> npt.NDArray[np.float32]:
    """(478, 3) landmarks in pixels; arguments and errors as in placed_face."""
    check_handles(handles)
    centre, across = face_axis(handles)
    turn = np.array([across, [-across[1], across[0]]])  # rows: the face's right and down directions in the image
    at = {name: turn @ (np.asarray(place, np.float64) - centre) for name, place in handles.items()}
    shape = _parted(_resting_mean(), (at["lip_bottom"] - at["lip_top"])[1], (at["mouth_right"] - at["mouth_left"])[0])
    known = shape[list(HANDLES.values())]
    level = np.array([at[name] for name in HANDLES])
    yaw, size, shift = _fit_turned(known, level)
    c, s = math.cos(yaw), math.sin(yaw)
    flat = (level - shift) / size
    flat[:, 0] = (flat[:, 0] - known[:, 2] * s) / c
    bent = shape.copy()
    bent[:FACE_POINTS, :2] = _bent(shape, dict(zip(HANDLES, flat, strict=True)))
    x, z = bent[:, 0] * c + bent[:, 2] * s, bent[:, 2] * c - bent[:, 0] * s
    depth = float(np.sqrt(size[0] * size[1]))  # pixels of one unit of z
    out = np.column_stack([np.column_stack([x, bent[:, 1]]) * size + shift, z * depth])
    out[:, :2] = out[:, :2] @ turn + centre
    out[list(HANDLES.values()), :2] = [handles[name] for name in HANDLES]  # exact, without rounding errors
    for eye, lids in zip(EYES, LID_PAIRS, strict=True):
        _set_iris(out, eye, lids)
    _check_points(out)
    return np.asarray(out, np.float32)


def handles_of(points: npt.NDArray[np.floating]) -> dict[str, Point]:
    """Handles that lie on the landmarks (478, 2 or 3) of a face."""
    return {name: (float(points[index, 0]), float(points[index, 1])) for name, index in HANDLES.items()}


def handles_of_face(face: Face) -> dict[str, Point]:
    """Initial handles for a detected face: on its landmarks; for a profile, a front view in its box."""
    handles = handles_of(face.points)
    try:
        placed_points(handles)
    except PlacedError:
        x, y = (float(value) for value in face.centre)
        return centred_handles(x, y, 2 * face.size, face.roll)
    return handles


def centred_handles(x: float, y: float, side: float, angle: float = 0.0) -> dict[str, Point]:
    """A first guess if no face was found: a face in the middle of a square.

    Args:
        x: Centre of the square in pixels.
        y: Centre of the square in pixels.
        side: Its side in pixels; the face takes about half of it.
        angle: Its rotation in radians, clockwise in the image.
    """
    mean = _resting_mean()
    known = mean[list(HANDLES.values()), :2]
    middle = (known.min(0) + known.max(0)) / 2
    local = (known - middle) * (0.5 * side / (known.max(0) - known.min(0)).max())
    c, s = math.cos(angle), math.sin(angle)
    turned = local @ np.array([[c, s], [-s, c]]) + (x, y)
    return {name: (float(px), float(py)) for name, (px, py) in zip(HANDLES, turned, strict=True)}


def likely_handles(points: npt.NDArray[np.floating]) -> dict[str, Point]:
    """A first guess from a detector: the mean face, its width scaled to the eyes and its length to the mouth.

    Args:
        points: (4 or more, 2) left eye, right eye, nose and mouth in pixels.

    Raises:
        PlacedError: They are not a face.
    """
    left, right, _, mouth = np.asarray(points, np.float64)[:4]
    mean = _resting_mean()
    eyes = [mean[[eye.outer, eye.inner, *lids], :2].mean(0) for eye, lids in zip(EYES, LID_PAIRS, strict=True)]
    across = right - left
    width = float(np.linalg.norm(across))
    across = across / max(width, 1e-6)
    down = np.array([-across[1], across[0]])
    middle, length = (left + right) / 2, float((mouth - (left + right) / 2) @ down)
    between = (eyes[0] + eyes[1]) / 2
    x = width / (eyes[1][0] - eyes[0][0])
    y = length / (mean[13, 1] - between[1])
    local = (mean[list(HANDLES.values()), :2] - between) * (x, y)
    placed = local @ np.array([across, down]) + middle
    handles = {name: (float(px), float(py)) for name, (px, py) in zip(HANDLES, placed, strict=True)}
    check_handles(handles)
    return handles


def face_axis(handles: Handles) -> tuple[Float, Float]:
    """Axis of the face: (2,) its centre in pixels, and (2,) the direction from its left to its right."""
    left = np.array([handles[a] for a, _ in PAIRS], np.float64)
    right = np.array([handles[b] for _, b in PAIRS], np.float64)
    across = (right - left).sum(0)
    length = float(np.linalg.norm(across))
    across = across / length if length > 0 else np.array([1.0, 0.0])
    return np.asarray((left + right).mean(0) / 2), across


def mirror_name(name: str) -> str:
    """The handle on the other side of the face; a handle on its axis is returned itself."""
    other = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
    return other.get(name, name)


def moved(handles: Handles, name: str, place: Point, *, mirrored: bool) -> dict[str, Point]:
    """Handles after one was dragged.

    Args:
        handles: The handles before.
        name: The dragged handle.
        place: Its new position in pixels.
        mirrored: Move its mirror handle symmetrically on the other side of the face's axis.
    """
    out = dict(handles)
    out[name] = place
    twin = mirror_name(name)
    if mirrored and twin != name:
        _, across = face_axis(handles)
        way = np.subtract(place, handles[name])
        way = way - 2 * (way @ across) * across
        out[twin] = (handles[twin][0] + float(way[0]), handles[twin][1] + float(way[1]))
    return out


# ---- checks -------------------------------------------------------------------------------------------------------
def check_handles(handles: Handles) -> None:
    """Reject handles that are not a face.

    Raises:
        PlacedError: The text says which of them is wrong, and how.
    """
    missing = [name for name in HANDLES if name not in handles]
    if missing:
        raise PlacedError(msg("the handle {missing} is missing", Term("handle", missing[0])))
    places = np.array([handles[name] for name in HANDLES], np.float64)
    if not np.isfinite(places).all():
        raise PlacedError(msg("a handle is not at a finite position"))
    centre, across = face_axis(handles)
    down = np.array([-across[1], across[0]])
    at = {
        name: ((place - centre) @ across, (place - centre) @ down) for name, place in zip(HANDLES, places, strict=True)
    }
    for name, other, word in _ORDER:
        if at[other][word == "above"] <= at[name][word == "above"]:
            pair = Term("handle", name), Term("handle", other)
            if word == "above":
                raise PlacedError(msg("the handle {handle} must lie above the handle {other}", *pair))
            raise PlacedError(msg("the handle {handle} must lie to the left of the handle {other}", *pair))
    if at["lip_top"][1] > at["lip_bottom"][1] + CROSSED:
        lips = Term("handle", "lip_top"), Term("handle", "lip_bottom")
        raise PlacedError(msg("the handle {handle} must not lie below the handle {other}", *lips))
    width, height = at["face_right"][0] - at["face_left"][0], at["chin"][1] - at["face_top"][1]
    if min(width, height) < NARROWEST:
        raise PlacedError(
            msg(
                "the face is only {width:.0f}x{height:.0f} pixels large; {narrowest:.0f} are needed",
                width, height, NARROWEST
            )
        )  # fmt: skip


def _check_points(points: Float) -> None:
    """Reject a mesh that the handles fold: only a few triangles may be seen from behind."""
    if not np.isfinite(points).all():
        raise PlacedError(msg("the handles do not form a face"))
    area, usual = _areas(points), _areas(_resting_mean())
    folded = np.abs(area)[area * usual < 0].sum()
    if folded > MAX_FOLDED * np.abs(area).sum():
        raise PlacedError(msg("the handles fold the face onto itself; arrange them more like a face"))


def _areas(points: Float) -> Float:
    """Twice the signed area of each triangle of the mesh (478, 3) in the image plane."""
    corners = points[face_model().triangles][..., :2]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


# ---- fit ----------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=1)
def _resting_mean() -> Float:
    """(478, 3) mean face with its mouth shut, symmetric; canonical units."""
    model = face_model()
    shape = resting_mouth(model.mean.astype(np.float64))
    set_lip_gap(shape, np.zeros(len(LIP_UPPER_INNER) - 2))
    face, mirror = shape[:FACE_POINTS], model.mirror.copy()
    for left, right in PAIRS:
        mirror[HANDLES[left]], mirror[HANDLES[right]] = HANDLES[right], HANDLES[left]
    shape[:FACE_POINTS] = (face + face[mirror] * [-1.0, 1.0, 1.0]) / 2
    return shape


def _fit_turned(known: Float, level: Float) -> tuple[float, Float, Float]:
    """Turn, size and shift that bring the mean face's handles closest to the levelled ones.

    Args:
        known: (H, 3) canonical handles.
        level: (H, 2) handles along the face's own axes, pixels.

    Returns:
        Yaw in radians, (2,) pixels per canonical unit along x and y, (2,) shift in pixels.
    """
    weights = np.ones(len(known))
    size_y, shift_y, _ = _line(known[:, 1], level[:, 1], weights)
    best: tuple[float, float, float, float] | None = None
    for degrees in np.arange(-MAX_YAW, MAX_YAW + YAW_STEP / 2, YAW_STEP):
        yaw = math.radians(degrees)
        size, shift, misfit = _line(known[:, 0] * math.cos(yaw) + known[:, 2] * math.sin(yaw), level[:, 0], weights)
        cost = misfit / max(size, 1e-6) ** 2 + YAW_COST * (degrees / MAX_YAW) ** 2
        if best is None or cost < best[0]:
            best = cost, yaw, size, shift
    assert best is not None
    return best[1], np.array([best[2], size_y]), np.array([best[3], shift_y])


def _line(x: Float, y: Float, weights: Float) -> tuple[float, float, float]:
    """Slope, offset and squared misfit of the line y = slope * x + offset; slopes are positive."""
    a, b = np.average(x, weights=weights), np.average(y, weights=weights)
    slope = float((weights * (x - a) * (y - b)).sum() / (weights * (x - a) ** 2).sum())
    if slope <= 0:
        raise PlacedError(msg("the handles do not form a face"))
    return slope, float(b - slope * a), float((weights * (slope * (x - a) - (y - b)) ** 2).sum())


def _bent(shape: Float, at: dict[str, Float]) -> Float:
    """(468, 2) a face warped so that its handles lie at the given positions.

    A spline through the handles only would draw round eyes with a peak at each handle, and lips as thick as those of
    people. So lids and lips get their shape afterwards, separately: as part of the spline they would dent forehead and
    cheeks.

    Args:
        shape: (478, 3) canonical face.
        at: Handle -> (2,) its new position in the plane of the face.
    """
    handles: dict[int, Float] = {HANDLES[name]: place for name, place in at.items()}
    guides = handles | _outline(shape, handles)
    if shape[14, 1] - shape[13, 1] < PARTED:  # too close to separate
        guides[13] = (guides[13] + guides.pop(14)) / 2
    flat = shape[:FACE_POINTS, :2]
    bent = _thin_plate(flat[list(guides)], np.array(list(guides.values())), flat)
    for form, reach in ((_lids(shape, handles), LID_REACH), (_lips(shape, handles), LIP_REACH)):
        bent = _pulled(bent, handles | form, reach)
    return bent


def _pulled(places: Float, to: dict[int, Float], reach: float) -> Float:
    """Positions (N, 2) with some of them moved, and with the surroundings following as far as ``reach``."""
    moved_ones = list(to)
    way = np.array(list(to.values())) - places[moved_ones]
    away = np.linalg.norm(places[:, None] - places[moved_ones], axis=2)
    near = np.exp(-((away / reach) ** 2))
    out = places + near @ way / np.maximum(near.sum(1), 1)[:, None]
    out[moved_ones] = list(to.values())
    return np.asarray(out)


def _outline(shape: Float, at: dict[int, Float]) -> dict[int, Float]:
    """Points of the outline between its handles: each quarter keeps the curvature of the mean face."""
    out: dict[int, Float] = {}
    for (side, end), rim in _QUARTERS.items():
        old, new = (np.array([places[end][0], places[side][1]]) for places in (shape, at))
        span = np.array([shape[side, 0] - old[0], shape[end, 1] - old[1]])
        new_span = np.array([at[side][0] - new[0], at[end][1] - new[1]])
        out |= {index: new + (shape[index, :2] - old) / span * new_span for index in rim}
    return out


@dataclass(frozen=True)
class _EyeFrame:
    """Coordinates around an eye: along the line from its outer to its inner corner, and above it, in eye widths."""

    origin: Float
    across: Float

    def read(self, place: Float) -> tuple[float, float]:
        """Position from the outer corner 0 to the inner one 1, and height."""
        offset, squared = place - self.origin, float(self.across @ self.across)
        return float(offset @ self.across) / squared, float(offset @ self._up) / squared

    def place(self, way: float, height: float) -> Float:
        """(2,) point of a position along the eye and a height."""
        return self.origin + way * self.across + height * self._up

    @property
    def _up(self) -> Float:
        return np.array([-self.across[1], self.across[0]])


def _lids(shape: Float, at: dict[int, Float]) -> dict[int, Float]:
    """Points of the lids between their handles: on an almond in a flat eye, on an ellipse in a round one."""
    out = {}
    for eye, handles in zip(EYES, LID_PAIRS, strict=True):
        old, new = (
            _EyeFrame(np.asarray(p[eye.outer][:2]), np.asarray(p[eye.inner][:2] - p[eye.outer][:2]))
            for p in (shape, at)
        )
        for lid, middle in zip((eye.upper, eye.lower), handles, strict=True):
            (top, height), (new_top, new_height) = old.read(shape[middle, :2]), new.read(at[middle])
            rounded = float(smoothstep(*ROUND, abs(new_height)))
            for index in lid[1:-1]:
                way, high = old.read(shape[index, :2])
                near = way / top if way < top else (1 - way) / (1 - top)  # 0 at a corner, 1 at the handle
                share = (1 - rounded) * high / height + rounded * math.sqrt(1 - (1 - near) ** 2)
                out[index] = new.place(near * new_top if way < top else 1 - near * (1 - new_top), share * new_height)
    return out


def _lips(shape: Float, at: dict[int, Float]) -> dict[int, Float]:
    """Outer edges of the lips: thickness from the width of the mouth, limited by the room to nose and chin."""
    left, right = MOUTH_CORNERS
    wide = float(np.linalg.norm(at[right] - at[left])) / mouth_width(shape)
    upper = min(wide * (shape[13, 1] - shape[0, 1]), LIP_SHARE * (at[13][1] - at[4][1]))
    lower = min(wide * (shape[17, 1] - shape[14, 1]), LIP_SHARE * (at[152][1] - at[14][1]))
    return {0: at[13] - [0, max(upper, 0.0)], 17: at[14] + [0, max(lower, 0.0)]}


def _thin_plate(centres: Float, values: Float, points: Float) -> Float:
    """Values (N, 2) at points (N, 2) of the thin-plate spline through (centre, value) pairs (H, 2)."""

    def kernel(a: Float, b: Float) -> Float:
        squared = ((a[:, None] - b[None]) ** 2).sum(-1)
        return np.asarray(squared * np.log(np.maximum(squared, 1e-12)))

    count = len(centres)
    plane = np.column_stack([np.ones(count), centres])
    system = np.block([[kernel(centres, centres), plane], [plane.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.vstack([values, np.zeros((3, 2))]))
    return np.asarray(kernel(points, centres) @ weights[:count] + weights[count] + points @ weights[count + 1 :])


def _parted(shape: Float, gap: float, width: float) -> Float:
    """A face (478, 3) with its lips parted, in mouth widths, by the ratio of a gap to a mouth's width in pixels."""
    opening = face_model().bases["open"].astype(np.float64)
    upper, lower = INNER_LIP_PAIR
    unit = float(opening[lower, 1] - opening[upper, 1])
    amount = max(gap, 0.0) / width * mouth_width(shape) / unit
    return np.asarray(shape + amount * opening)


def _set_iris(points: Float, eye: EyeIndices, lids: tuple[int, int]) -> None:
    """Centre the iris in an eye, in place: as large as in a human eye, larger in a round one."""
    a, b, top, bottom = points[[eye.outer, eye.inner, *lids]]
    centre = (a + b + top + bottom) / 4
    width, height = (float(np.linalg.norm((one - other)[:2])) for one, other in ((a, b), (top, bottom)))
    radius = max(IRIS * width, IRIS_IN_ROUND_EYE * height)
    along = (a - b)[:2] / width
    along = along if along[0] >= 0 else -along
    across = np.array([along[1], -along[0]])
    points[eye.iris] = centre
    for number, way in enumerate((along, across, -along, -across), 1):  # right, above, left, below: the mesh's order
        points[eye.iris + number, :2] = centre[:2] + radius * way
        points[eye.iris + number, 2] = centre[2]
