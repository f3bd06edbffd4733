"""The moving mesh of one portrait: the face and rings of hair, neck and background around it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.geometry import closed_curve, similarity
from liveportrait.ramps import smoothstep
from models.topology import EYES, FACE_POINTS, LIP_LOWER_INNER, LIP_UPPER_INNER, OVAL

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int32]

# Skull and hair as an ellipsoid, in face widths from the pivot.
HULL_CENTRE = np.array([0.0, -0.13, -0.05])
HULL_RADII = np.array([0.60, 0.88, 0.70])
# Depths beyond NEAR are compressed towards NEAR + RANGE, so that the sides of the head do not swing out when it turns.
DEPTH_NEAR, DEPTH_RANGE = -0.33, 0.45
# Where face and surroundings overlap in a turned head, the face lies in front by this many face widths.
BEHIND = 0.15
SPOKES = 72
RINGS = 16
_OVAL = np.array(OVAL)


def compress_depth(canonical: Float) -> Float:
    """Canonical points (N, 3) with the far part of z compressed."""
    out = canonical.copy()
    beyond = np.maximum(out[:, 2] - DEPTH_NEAR, 0)
    squeezed = DEPTH_NEAR + DEPTH_RANGE * (1 - np.exp(-beyond / DEPTH_RANGE))
    out[:, 2] = np.where(out[:, 2] > DEPTH_NEAR, squeezed, out[:, 2])
    return out


RIGID_STEPS, OFF = 2, 0.02  # refinements of that fit; distance at which a point counts a quarter, face widths


@dataclass(frozen=True)
class Pose:
    """Weak-perspective pose: ``pixel = scale * canonical @ rotation.T + shift``."""

    scale: float
    rotation: Float
    shift: Float

    @classmethod
    def fit(cls, canonical: Float, points: Float) -> Pose:
        """Pose that maps canonical points (478, 3) to pixel points (478, 3), weighted by stability."""
        n = FACE_POINTS
        weights = face_model().stability[:n].astype(np.float64)
        scale, rotation, shift = similarity(canonical[:n], points[:n], weights)
        return cls(scale, np.asarray(rotation, np.float64), np.asarray(shift, np.float64))

    @classmethod
    def fit_rigid(cls, canonical: Float, points: Float) -> Pose:
        """The same from the points that follow the head alone: those that an expression moved count little.

        A shut eye or a raised brow would else turn the whole head a little, and hair and collar with it.
        """
        weights = face_model().stability[:FACE_POINTS].astype(np.float64)
        near, far = canonical[:FACE_POINTS], points[:FACE_POINTS]
        pose = cls.fit(canonical, points)
        for _ in range(RIGID_STEPS):
            away = np.linalg.norm(pose.apply(near)[:, :2] - far[:, :2], axis=1) / pose.scale
            scale, rotation, shift = similarity(near, far, weights * (OFF / (OFF + away)) ** 2)
            pose = cls(scale, np.asarray(rotation, np.float64), np.asarray(shift, np.float64))
        return pose

    def apply(self, canonical: Float) -> Float:
        """Pixel points of canonical ones."""
        return self.scale * canonical @ self.rotation.T + self.shift

    def invert(self, points: Float) -> Float:
        """Canonical points of pixel ones."""
        return (points - self.shift) @ self.rotation / self.scale


@dataclass(frozen=True)
class Layout:
    """Mesh of one source, in crop pixels.

    Vertices are ordered: 478 face points, 36 copies of the oval, then the outer rings.

    Attributes:
        pose: Pose of the source.
        canonical: (478, 3) canonical source points.
        rest: (V, 3) source position of every vertex.
        triangles: (T, 3) of all vertices.
        outer_depth: (O, 3) canonical outer points after depth compression.
        outer_base: (O, 3) their posed position in the source.
        rigid: (O,) share of the head's rigid motion that each outer vertex follows.
        falloff: (O,) share of the oval's own motion (jaw) that it follows.
        spread: (O, 36) weights of the oval points for that.
        face_base: (468, 3) posed, depth-compressed face points of the source.
    """

    pose: Pose
    canonical: Float
    rest: Float
    triangles: Int
    outer_depth: Float
    outer_base: Float
    rigid: Float
    falloff: Float
    spread: Float
    face_base: Float

    def place(self, canonical: Float, pose: Pose) -> Float:
        """Vertex positions (V, 3) for a new canonical shape (478, 3) and pose; the source's own give rest."""
        n = FACE_POINTS
        out = self.rest.copy()
        out[:n] += pose.apply(compress_depth(canonical[:n])) - self.face_base
        for eye in EYES:
            out[eye.iris : eye.iris + 5] = out[list(eye.ring)].mean(0)
        head = pose.apply(self.outer_depth) - self.outer_base
        rigid_oval = pose.apply(compress_depth(self.canonical[_OVAL])) - self.face_base[_OVAL]
        own = out[_OVAL] - (self.rest[_OVAL] + rigid_oval)
        k = len(canonical) + len(_OVAL)
        out[k:, :2] += self.rigid[:, None] * head[:, :2] + self.falloff[:, None] * (self.spread @ own[:, :2])
        out[k:, 2] += self.rigid * head[:, 2]
        out[len(canonical) : k] = out[_OVAL]
        out[len(canonical) :, 2] += BEHIND * pose.scale
        return out


def _rings(points: Float, size: int) -> tuple[Float, Int]:
    """Outer vertices (RINGS * SPOKES, 2) on rays from the face to the crop border, and triangles.

    Triangles index the 36 oval points first (0..35), then the outer vertices.
    """
    oval = points[_OVAL, :2]
    centre = oval.mean(0)
    dense = closed_curve(oval, SPOKES // len(_OVAL))
    ray = dense - centre
    with np.errstate(divide="ignore", invalid="ignore"):
        limits = np.where(ray > 0, (size - 0.5 - centre) / ray, (-0.5 - centre) / ray)
    reach = np.maximum(np.nanmin(np.where(np.isfinite(limits), limits, np.inf), axis=1), 1.05)
    # One spoke ends in each corner of the crop: the nearest one.
    corners = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, size - 0.5], [-0.5, size - 0.5]])
    edge = centre + ray * reach[:, None]
    for corner in corners:
        edge[np.linalg.norm(edge - corner, axis=1).argmin()] = corner
    share = (np.arange(1, RINGS + 1) / RINGS) ** 1.35
    outer = dense[None] + (edge - dense)[None] * share[:, None, None]
    tri = []
    step = SPOKES // len(_OVAL)
    for i in range(SPOKES):  # oval to first ring: the oval has fewer points than the ring
        j = (i + 1) % SPOKES
        o, p = i // step, ((i // step) + 1) % len(_OVAL)
        a, b = len(_OVAL) + i, len(_OVAL) + j
        tri.append((o, a, b))
        if i % step == step - 1:
            tri.append((o, b, p))
    for r in range(RINGS - 1):
        for i in range(SPOKES):
            j = (i + 1) % SPOKES
            a, b = len(_OVAL) + r * SPOKES + i, len(_OVAL) + r * SPOKES + j
            tri += [(a, a + SPOKES, b), (b, a + SPOKES, b + SPOKES)]
    return outer.reshape(-1, 2), np.array(tri, np.int32)


def _hull_depth(xy: Float, pose: Pose) -> Float:
    """Depth in pixels of the front of the head ellipsoid at image points (N, 2); beside the ellipsoid, of its rim."""
    a = (pose.rotation / HULL_RADII).T  # canonical axes over radii, rows
    origin = np.column_stack([(xy - pose.shift[:2]) / pose.scale, np.zeros(len(xy))])
    o = origin @ a.T - HULL_CENTRE / HULL_RADII
    d = a[:, 2]
    dd, od = d @ d, o @ d
    disc = od * od - dd * ((o * o).sum(1) - 1)
    z = np.where(disc > 0, (-od - np.sqrt(np.maximum(disc, 0))) / dd, -od / dd)
    return np.asarray(z * pose.scale + pose.shift[2])


def _fill_holes() -> list[tuple[int, int, int]]:
    """Triangles over the eyes (fans around the iris) and the mouth."""
    tri = []
    for eye in EYES:
        ring = eye.ring
        tri += [(ring[i], ring[(i + 1) % len(ring)], eye.iris) for i in range(len(ring))]
    for i in range(len(LIP_UPPER_INNER) - 1):
        a, b, c, d = LIP_UPPER_INNER[i], LIP_UPPER_INNER[i + 1], LIP_LOWER_INNER[i], LIP_LOWER_INNER[i + 1]
        if a != c:
            tri.append((a, b, c))
        if b != d:
            tri.append((b, d, c))
    return tri


def mesh_triangles() -> Int:
    """Triangles of the 478 face points, eyes and mouth filled."""
    return np.vstack([face_model().triangles, np.array(_fill_holes(), np.int32)]).astype(np.int32)


def build_layout(points: Float, size: int, matte: npt.NDArray[np.float32] | None) -> Layout:
    """Fit the mesh to a source.

    Args:
        points: (478, 3) crop pixels.
        size: Side of the crop in pixels.
        matte: (size, size) person matte 0..1; if None, hair is assumed to end at an ellipse around the face.
    """
    model = face_model()
    points = points.astype(np.float64)
    pose = Pose.fit(model.mean.astype(np.float64), points)
    canonical = pose.invert(points)
    width = pose.scale
    outer, ring_tri = _rings(points, size)
    oval = points[_OVAL]
    distance = np.linalg.norm(outer[:, None] - oval[None, :, :2], axis=2)
    spread = 1 / (distance**3 + 1e-3)
    spread /= spread.sum(1, keepdims=True)
    near = distance.min(1)

    depth = _hull_depth(outer, pose)
    gap = oval[:, 2] - _hull_depth(oval[:, :2], pose)
    depth += np.exp(-((near / (0.25 * width)) ** 2)) * (spread @ gap)

    rigid, falloff = _weights(points, outer, near, pose, size, matte)
    outer_canonical = pose.invert(np.column_stack([outer, depth]))
    outer_depth = compress_depth(outer_canonical)
    rest = np.vstack([points, oval, np.column_stack([outer, depth])])
    for eye in EYES:
        rest[eye.iris : eye.iris + 5] = points[list(eye.ring)].mean(0)
    k = len(points)
    triangles = np.vstack([ring_tri + k, mesh_triangles()]).astype(np.int32)
    face_base = pose.apply(compress_depth(canonical[:FACE_POINTS]))
    return Layout(
        pose,
        canonical,
        rest,
        triangles,
        outer_depth,
        pose.apply(outer_depth),
        rigid,
        falloff,
        spread,
        face_base,
    )


def _weights(
    points: Float, outer: Float, near: Float, pose: Pose, size: int, matte: npt.NDArray[np.float32] | None
) -> tuple[Float, Float]:
    """Share of rigid head motion and of jaw motion for every outer vertex."""
    width = pose.scale
    centre = (pose.apply(HULL_CENTRE[None]))[0, :2]
    down = pose.rotation[:2, 1] / np.linalg.norm(pose.rotation[:2, 1])
    side = np.array([-down[1], down[0]])
    local = outer - centre
    v, h = local @ down, local @ side
    chin = (points[152, :2] - centre) @ down
    radius = np.sqrt((h / (0.78 * width)) ** 2 + (np.minimum(v, 0) / width) ** 2)
    top = smoothstep(1.0, 1.75, radius)
    if matte is not None:  # hair and hats belong to the head as far as the person reaches
        x, y = outer[:, 0].clip(0, size - 1).astype(int), outer[:, 1].clip(0, size - 1).astype(int)
        top = top * (1 - 0.85 * cv2.GaussianBlur(matte, (0, 0), 0.02 * size)[y, x] * smoothstep(2.6, 1.9, radius))
    neck = smoothstep(0.85 * chin, chin + 0.52 * width, v + 0.28 * np.abs(h))
    border = np.minimum(np.minimum(outer, size - 1 - outer).min(1), size).clip(0)
    inside = smoothstep(0, (0.09 if matte is None else 0.05) * size, border)
    rigid = (1 - top) * (1 - neck) * inside
    rigid += (1 - rigid) * np.exp(-((near / (0.06 * width)) ** 2)) * inside
    falloff = np.exp(-((near / (0.33 * width)) ** 2)) * smoothstep(0, 0.06 * size, border)
    return rigid, np.asarray(falloff, np.float64)
