"""Turned sources: completes the half of the face that the camera saw badly, for turns to the front.

The face is drawn once as it would look from the front. Where the photo shows it well, its own pixels are used;
elsewhere the mirrored half in the light of its new place, or the surroundings where that half has no skin (hair, a
hat). Turns to the front take the hidden half from this image. In it, the surroundings of the face begin beyond its true
outline, so that no skin is shown twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.background import push_pull
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.field import Window, common
from liveportrait.engines.mesh.geometry import polygon_mask
from liveportrait.engines.mesh.layout import Layout, Pose
from liveportrait.engines.mesh.raster import rasterise
from liveportrait.ramps import smoothstep
from models.topology import BROW_LEFT, BROW_RIGHT, EYES, FACE_POINTS, OVAL, POINTS

Float = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

MIN_YAW = 6.0  # degrees of source yaw below which both halves are seen well
FACING = 0.12, 0.5  # how much a surface faces the camera, relative to the maximum: from not visible to fully visible
BURIED = 0.03, 0.10  # depth behind the surface in face widths, from just visible to hidden
RIM = 0.025, 0.055  # face widths inside the person's outline, from where background shines through to where it doesn't
OWN = 0.35, 0.7  # visible share from which the photo is blended with, and then replaces, the completed face
CELL = 0.02  # face widths of a cell of low frequencies
WIDE = 0.05  # face widths over which low frequencies of both halves are blended
LIGHT = 0.45, 1.9  # least and largest brightness factor of the mirrored half
TURN = 0.5, 5.0  # degrees towards the front over which the completed half takes over
SOFT = 0.015  # face widths over which visible parts fade into hidden ones
EDGE = 4  # pixels around the completed face
FOLD = 0.01, 0.03  # face widths by which the surface hides its own border, from barely to certainly
CHEEK = -0.22, -0.08  # height of the outline in face widths, from the brows to below the eyes
MIDDLE = -0.05, 0.05  # face widths from the middle of the face between which the hidden half begins
BORDER = 0.07, 0.13  # face widths from the border of the face within which the mirrored half may show hair or a hat
SHADED = 0.6, 0.8  # brightness relative to the skin below which a pixel counts as hair or hat, and above which as skin
STRIP = 0.05  # face widths of skin beyond the landmarks of a cheek that is turned away by 18 degrees or more
OUTLINE = 0.10  # face widths beyond the mesh within which the outline of the skin is searched


@dataclass(frozen=True)
class Hidden:
    """The hidden half of a face, turned into view.

    Attributes:
        window: Where it is in the crop, (x0, y0, x1, y1).
        image: (h, w, 3).
        share: (h, w) 0..1, how much it covers.
    """

    window: Window
    image: Image
    share: Map

    def draw(self, out: Image, window: Window) -> None:
        """Draw it over a part (h, w, 3) of the crop, in place."""
        if (shared := common(window, self.window)) is not None:
            part, own = shared
            share = self.share[own]
            cv2.blendLinear(self.image[own], out[part], share, 1 - share, out[part])


@dataclass(frozen=True)
class FarSide:
    """The completed face.

    Attributes:
        yaw: Degrees of the source.
        image: (H, W, 4) uint8 face from the front; alpha is the share in which it replaces the photo.
        places: (478, 3) positions of the points of the face in that image; the depth is not used.
        triangles: (T, 3) of the face.
        used: (N,) points of the part that is used.
        push: (V, 2) outward shift of texture coordinates beyond the hidden side's outline, in pixels.
    """

    yaw: float
    image: Image
    places: Map
    triangles: npt.NDArray[np.int32]
    used: npt.NDArray[np.intp]
    push: Float

    def seen(self, vertices: Map, share: float, size: int) -> Hidden:
        """The hidden half as it shows in a crop of this side, with the points of the face at ``vertices``."""
        low = np.floor(vertices[self.used, :2].min(0)).astype(int) - EDGE
        high = np.ceil(vertices[self.used, :2].max(0)).astype(int) + EDGE
        side = min(int((high - low).max()), size)
        x, y = (int(v) for v in np.clip(low, 0, size - side))
        canvas = np.full((side, side, 3), -EDGE, np.float32)
        local = vertices[:POINTS] - np.array([x, y, 0], np.float32)
        field = rasterise(self.triangles, local, self.places, canvas)
        across, down = cv2.extractChannel(field, 0), cv2.extractChannel(field, 1)
        drawn = cv2.remap(self.image, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
        alpha = drawn[..., 3] * np.float32(share / 255)
        return Hidden((x, y, x + side, y + side), np.ascontiguousarray(drawn[..., :3]), alpha)

    def share(self, pose: Pose) -> float:
        """How far a pose is turned from the source to the front: 0 not at all, 1 so far that the other half shows."""
        return float(smoothstep(*TURN, np.sign(self.yaw) * (self.yaw - yaw_of(pose))))


def yaw_of(pose: Pose) -> float:
    """Yaw of a pose in degrees."""
    return float(np.degrees(np.arcsin(np.clip(-pose.rotation[2, 0], -1, 1))))


def build_far_side(image: Image, points: Float, layout: Layout, person: Map | None) -> FarSide | None:
    """The completed face of a source, or None where it is seen from the front.

    Args:
        image: (S, S, 3) crop.
        points: (478, 3) crop pixels.
        layout: Mesh of the source.
        person: (S, S) 0..1, or None where it is not known.
    """
    yaw = yaw_of(layout.pose)
    if abs(yaw) < MIN_YAW:
        return None
    seen = _seen(points, layout)
    sheet = _Sheet(layout)
    inside = _inside(image.shape[0], person, layout.pose.scale)
    twin = np.arange(len(seen))
    twin[:FACE_POINTS] = face_model().mirror
    own, own_share = sheet.draw(image, layout.rest[: len(seen), :2], seen, inside)
    lent, lent_share = sheet.draw(image, layout.rest[twin, :2], seen[twin], inside)
    width = layout.pose.scale
    own_share = sheet.soft(own_share, SOFT * width)
    completed = _completed(own, own_share, lent, lent_share, sheet.border(width), width)
    alpha = sheet.half(-np.sign(yaw)) * (1 - smoothstep(*OWN, own_share)) * (1 - sheet.eyes())  # drawn separately
    picture = np.dstack([completed, np.rint(255 * alpha).astype(np.uint8)])
    used = np.flatnonzero(sheet.sample(alpha) > 0.02)
    return FarSide(yaw, picture, sheet.places, sheet.triangles, used, _push(points, layout, person, yaw))


class _Sheet:
    """The face as seen from the front: positions of its points, and the pixels that an image has for them."""

    def __init__(self, layout: Layout) -> None:
        pose = layout.pose
        angle = np.arctan2(pose.rotation[2, 0], pose.rotation[2, 2])
        c, s = np.cos(angle), np.sin(angle)
        front = Pose(pose.scale, pose.rotation @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), pose.shift)
        vertices = layout.place(layout.canonical, front)[:POINTS]
        corner = vertices[:, :2].min(0) - EDGE
        self.places = np.asarray(vertices - [*corner, 0], np.float32)
        self.size = int(np.ceil(self.places[:, :2].max())) + EDGE
        self.triangles = layout.triangles[(layout.triangles < POINTS).all(1)]
        ones = np.ones((POINTS, 3), np.float32)
        self.covered = np.ascontiguousarray(self._raster(ones)[..., 0])

    def _raster(self, values: Map) -> Map:
        return rasterise(self.triangles, self.places, values, np.zeros((self.size, self.size, 3), np.float32))

    def draw(self, image: Image, texture: Float, share: Float, inside: Map) -> tuple[Map, Map]:
        """Image (H, H, 3) of texture coordinates (478, 2), and (H, H) how far it can be trusted."""
        field = self._raster(np.column_stack([texture, share]).astype(np.float32))
        x, y, trust = (np.ascontiguousarray(field[..., i]) for i in range(3))
        drawn = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return drawn.astype(np.float32), np.asarray(trust * cv2.remap(inside, x, y, cv2.INTER_LINEAR), np.float32)

    def half(self, side: float) -> Map:
        """(H, H) 1 on one half of the face: the left one in the image for -1, the right one for 1."""
        share = smoothstep(*MIDDLE, side * face_model().mean[:, :1])
        return np.ascontiguousarray(self._raster(np.repeat(share, 3, 1).astype(np.float32))[..., 0])

    def eyes(self) -> Map:
        """(H, H) 0..1 between the lids."""
        rings = [self.places[list(eye.ring), :2] for eye in EYES]
        return np.asarray(np.sum([polygon_mask(self.size, self.size, ring, 1.0) for ring in rings], 0), np.float32)

    def border(self, width: float) -> Map:
        """(H, H) 0..1 near the border of the face, except at the brows: where hair or a hat may lie over it."""
        depth = cv2.distanceTransform((self.covered > 0).astype(np.uint8), cv2.DIST_L2, 5)
        near = 1 - smoothstep(BORDER[0] * width, BORDER[1] * width, np.asarray(depth, np.float32))
        for brow in (BROW_LEFT, BROW_RIGHT):
            hull = np.asarray(cv2.convexHull(self.places[list(brow), :2]), np.float32)[:, 0]
            near = near * (1 - polygon_mask(self.size, self.size, hull, 0.02 * width))
        return np.asarray(near, np.float32)

    def soft(self, share: Map, sigma: float) -> Map:
        """A share (H, H), slightly reduced and blurred within the face only."""
        radius = max(1, round(sigma))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
        share = cv2.erode(np.where(self.covered > 0, share, 1).astype(np.float32), disc) * self.covered
        blurred, face = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (share, self.covered))
        return np.asarray(self.covered * blurred / np.maximum(face, 1e-3), np.float32)

    def sample(self, values: Map) -> Map:
        """Values at the points (478,)."""
        x, y = (np.clip(np.rint(self.places[:, i]), 0, self.size - 1).astype(int) for i in (0, 1))
        return np.asarray(values[y, x], np.float32)


def _inside(size: int, person: Map | None, width: float) -> Map:
    """(S, S) 0..1: how certainly a pixel shows no background."""
    if person is None:
        return np.ones((size, size), np.float32)
    depth = cv2.distanceTransform((person > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    return smoothstep(RIM[0] * width, RIM[1] * width, np.asarray(depth, np.float32))


def _completed(own: Map, own_share: Map, lent: Map, lent_share: Map, border: Map, width: float) -> Image:
    """The face from the front (H, H, 3), composed of the visible half and the mirrored one.

    Low frequencies of both are blended over a wide band, so that no step in brightness shows; detail over a narrow one.
    """
    grid = _Grid(own_share.shape[0], width)
    light = grid.light(own, lent, own_share * lent_share)
    lent = lent * grid.up(light)
    low_own, low_lent = grid.low(own, own_share), grid.low(lent, lent_share)
    darker = 1 - smoothstep(*SHADED, low_lent.mean(2) / np.maximum(low_own.mean(2), 1))
    lent_share = lent_share * (1 - border * grid.up(darker))  # hair, a hat, a shadow
    known = np.maximum(own_share, lent_share).astype(np.float32)
    narrow = np.asarray(own_share / np.maximum(known, 1e-3), np.float32)
    wide = np.clip(2 * cv2.GaussianBlur(grid.down(narrow), (0, 0), WIDE / CELL), 0, 1)  # 1 over the whole visible half
    change = low_own - low_lent
    mixed = lent + (own - lent - grid.up(change)) * narrow[..., None] + grid.up(change * wide[..., None])
    filled = grid.up(grid.low(np.asarray(mixed, np.float32), known))
    known = np.clip(2 * known, 0, 1)[..., None]
    return np.clip(filled + (mixed - filled) * known + 0.5, 0, 255).astype(np.uint8)


class _Grid:
    """Low frequencies of an image (H, H, ...) on a grid of (C, C) cells."""

    def __init__(self, side: int, width: float) -> None:
        self._side = side
        self._cells = max(1, round(side / max(1.0, CELL * width)))

    def down(self, values: Map) -> Map:
        """(C, C, ...) means of values (H, H, ...) over the cells."""
        return np.asarray(cv2.resize(values, (self._cells,) * 2, interpolation=cv2.INTER_AREA), np.float32)

    def up(self, values: Map) -> Map:
        """(H, H, ...) of values on the grid."""
        return np.asarray(cv2.resize(values, (self._side,) * 2, interpolation=cv2.INTER_LINEAR), np.float32)

    def low(self, image: Map, share: Map) -> Map:
        """Colours (C, C, 3) of an image (H, H, 3), extended from its known pixels (H, H) 0..1."""
        sums = cv2.GaussianBlur(self.down(np.dstack([image * share[..., None], share])), (0, 0), 1.5)
        colours = np.asarray(sums[..., :3] / np.maximum(sums[..., 3:], 1e-3), np.float32)
        return push_pull(colours, np.clip(4 * sums[..., 3], 0, 1))

    def light(self, own: Map, lent: Map, both: Map) -> Map:
        """(C, C, 3) brightness factor that fits the mirrored half to its new place, measured where both are visible."""
        weight = cv2.GaussianBlur(self.down(both), (0, 0), 2.5)[..., None]
        of_own, of_lent = (cv2.GaussianBlur(self.down(one * both[..., None]), (0, 0), 2.5) for one in (own, lent))
        ratio = np.log((of_own + 4 * weight + 1e-3) / (of_lent + 4 * weight + 1e-3))
        ratio = push_pull(np.asarray(ratio, np.float32), np.clip(3 * weight[..., 0], 0, 1))
        return np.asarray(np.exp(cv2.GaussianBlur(np.clip(ratio, *np.log(LIGHT)), (0, 0), 2.0)), np.float32)


def _push(points: Float, layout: Layout, person: Map | None, yaw: float) -> Float:
    """Texture shift (V, 2) that makes the surroundings of the face begin beyond the skin on the hidden side."""
    width = layout.pose.scale
    oval = points[list(OVAL), :2]
    away = -np.sign(yaw) * layout.pose.rotation[:2, 0]
    away /= np.linalg.norm(away)
    outward = oval - oval.mean(0)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    from_oval = points[None, :FACE_POINTS, :2] - oval[:, None]
    ahead = np.einsum("opc,oc->op", from_oval, outward)
    beside = np.einsum("opc,oc->op", from_oval, outward[:, ::-1] * [-1, 1])
    reach = np.where(np.abs(beside) < 0.05 * width, ahead, 0).max(1)
    far = smoothstep(0.0, 0.5, outward @ away)
    skin = _skin_beyond(oval + reach[:, None] * outward, outward, person, width)
    # Beyond a fully visible cheek lie a strip of skin and the ear, beyond a forehead hair or a hat, which belong there.
    strip = STRIP * width * float(np.clip((abs(yaw) - MIN_YAW) / 12, 0, 1))
    in_view = np.minimum(skin, strip) * smoothstep(*CHEEK, face_model().mean[list(OVAL), 1])
    reach = (reach + np.maximum(skin * smoothstep(*FOLD, reach / width), in_view)) * far
    reach = np.stack([np.roll(reach, k) for k in (-1, 0, 1)]).max(0)
    reach = (np.roll(reach, 1) + 2 * reach + np.roll(reach, -1)) / 4
    out = np.zeros((len(layout.rest), 2))
    k = len(points) + len(OVAL)
    out[len(points) : k] = push = reach[:, None] * outward
    near = np.linalg.norm(layout.rest[k:, None, :2] - oval[None], axis=2).min(1)
    out[k:] = (layout.spread @ push) * np.exp(-((near / max(0.12 * width, 1.6 * reach.max())) ** 2))[:, None]
    return out


def _skin_beyond(start: Float, outward: Float, person: Map | None, width: float) -> Float:
    """Distance (N,) from points (N, 2) of the mesh's outline to the person's; small if that is far away."""
    least = 0.012 * width
    if person is None:
        return np.full(len(start), 0.03 * width)
    steps = np.linspace(0, OUTLINE * width, 25)
    at = start[:, None] + steps[None, :, None] * outward[:, None]
    x, y = (np.clip(np.rint(at[..., i]), 0, person.shape[0] - 1).astype(int) for i in (0, 1))
    outside = person[y, x] < 0.3
    return np.where(outside.any(1), steps[outside.argmax(1)] + least, least)


def _normals(points: Float, triangles: npt.NDArray[np.int32], sign: Float) -> Float:
    edge1, edge2 = points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]]
    face = np.cross(edge1, edge2) * sign[:, None]
    out = np.zeros((FACE_POINTS, 3))
    for corner in range(3):
        np.add.at(out, triangles[:, corner], face)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9))


def _seen(points: Float, layout: Layout) -> Float:
    """(478,) how well the photo shows each point of the face, 0..1."""
    model = face_model()
    scale = layout.pose.scale
    mean, tri = model.mean[:FACE_POINTS].astype(np.float64), model.triangles
    p = points[:FACE_POINTS]
    flat = np.cross(mean[tri[:, 1]] - mean[tri[:, 0]], mean[tri[:, 2]] - mean[tri[:, 0]])
    sign = -np.sign(flat[:, 2])
    facing = -_normals(p, tri, sign)[:, 2]  # the camera looks along z
    most = np.clip(-_normals(mean, tri, sign)[:, 2], 0.15, 1)
    low, high = p[:, :2].min(0), p[:, :2].max(0)
    size = int(np.ceil((high - low).max())) + 2
    local = np.asarray(points - [*low, 0], np.float32)
    depth = rasterise(tri, local, np.repeat(local[:, 2:], 3, 1), np.full((size, size, 3), 1e6, np.float32))
    x, y = (np.clip(np.round(local[:FACE_POINTS, i]), 0, size - 1).astype(int) for i in (0, 1))
    buried = smoothstep(BURIED[0] * scale, BURIED[1] * scale, p[:, 2] - depth[y, x, 0])
    out = np.zeros(POINTS)
    out[:FACE_POINTS] = smoothstep(*FACING, facing / most) * (1 - buried)
    for eye in EYES:
        out[eye.iris : eye.iris + 5] = out[list(eye.ring)].mean()
    return out
