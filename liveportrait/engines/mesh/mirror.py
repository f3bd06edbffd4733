"""Turned sources: parts of the face that the camera saw badly borrow the mirrored half."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.layout import Layout
from liveportrait.engines.mesh.raster import rasterise
from liveportrait.ramps import smoothstep
from models.topology import EYE_LEFT, EYE_RIGHT, FACE_POINTS, OVAL

Float = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

MIN_YAW = 13.0  # degrees of source yaw below which nothing is borrowed


@dataclass(frozen=True)
class MirrorFill:
    """What is borrowed.

    Attributes:
        own: (V,) share of the vertex's own texture, 1 where it is seen well.
        source: (V, 2) where the mirrored texture lies in the crop.
        push: (V, 2) outward shift of texture coordinates at the hidden side, so that skin is not repeated there.
        image: Crop, colour-matched for borrowing.
    """

    own: Float
    source: Float
    push: Float
    image: Image


def _normals(points: Float, triangles: npt.NDArray[np.int32], sign: Float) -> Float:
    edge1, edge2 = points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]]
    face = np.cross(edge1, edge2) * sign[:, None]
    out = np.zeros((FACE_POINTS, 3))
    for corner in range(3):
        np.add.at(out, triangles[:, corner], face)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9))


def build_mirror(image: Image, points: Float, layout: Layout) -> MirrorFill | None:
    """Mirror fill of a source, or None where the face is seen from the front.

    Args:
        image: (S, S, 3) crop.
        points: (478, 3) crop pixels.
        layout: Mesh of the source.
    """
    yaw = float(np.degrees(np.arcsin(np.clip(-layout.pose.rotation[2, 0], -1, 1))))
    if abs(yaw) < MIN_YAW:
        return None
    model = face_model()
    size = image.shape[0]
    mean, tri = model.mean[:FACE_POINTS].astype(np.float64), model.triangles
    mirror = model.mirror
    p = points[:FACE_POINTS]
    flat = np.cross(mean[tri[:, 1]] - mean[tri[:, 0]], mean[tri[:, 2]] - mean[tri[:, 0]])
    sign = -np.sign(flat[:, 2])
    facing = -_normals(p, tri, sign)[:, 2]  # the camera looks along z
    want = np.clip(-_normals(mean, tri, sign)[:, 2], 0.15, 1)
    depth = np.full((size, size, 3), 1e6, np.float32)
    rasterise(tri, points.astype(np.float32), np.repeat(points[:, 2:].astype(np.float32), 3, 1), depth)
    x, y = (np.clip(np.round(p[:, i]), 0, size - 1).astype(int) for i in (0, 1))
    hidden = smoothstep(0.03 * layout.pose.scale, 0.10 * layout.pose.scale, p[:, 2] - depth[y, x, 0])
    seen = smoothstep(0.05, 0.45, facing / want) * (1 - hidden)
    other = seen[mirror]
    own = np.where(other > seen + 0.05, np.clip(1 - (other - seen) * 1.2, 0, 1), 1.0)
    own = _smooth_over_mesh(own, tri)
    if own.min() > 0.6:
        return None
    vertices = len(layout.rest)
    source = layout.rest[:, :2].copy()
    source[:FACE_POINTS] = layout.rest[mirror, :2]
    for eye, twin in ((EYE_LEFT, EYE_RIGHT), (EYE_RIGHT, EYE_LEFT)):
        source[eye.iris] = points[list(twin.ring), :2].mean(0)
    share = np.ones(vertices)
    share[:FACE_POINTS] = own
    return MirrorFill(share, source, _push(own, points, layout), _match_colour(image, (x, y), own, seen, layout))


def _smooth_over_mesh(values: Float, triangles: npt.NDArray[np.int32]) -> Float:
    near = np.eye(FACE_POINTS)
    for i, j in ((0, 1), (1, 2), (0, 2)):
        near[triangles[:, i], triangles[:, j]] = near[triangles[:, j], triangles[:, i]] = 1
    near /= near.sum(1, keepdims=True)
    return np.asarray(near @ (near @ values))


def _match_colour(
    image: Image, xy: tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]], own: Float, seen: Float, layout: Layout
) -> Image:
    """Crop with a gain that makes the lit half as bright as the half that borrows."""
    model = face_model()
    x, y = xy
    soft = cv2.GaussianBlur(image, (0, 0), 0.03 * layout.pose.scale).astype(np.float32)
    side = np.sign(model.mean[:FACE_POINTS][own < 0.9, 0].mean())
    both = (seen > 0.6) & (seen[model.mirror] > 0.6) & (np.abs(model.mean[:FACE_POINTS, 0]) < 0.3)
    both &= np.sign(model.mean[:FACE_POINTS, 0]) == side
    gain = np.ones(3)
    if both.sum() > 5:
        mx, my = x[model.mirror], y[model.mirror]
        gain = (soft[y[both], x[both]].mean(0) / np.maximum(soft[my[both], mx[both]].mean(0), 1)).clip(0.5, 1.6)
    return np.clip(image * gain, 0, 255).astype(np.uint8)


def _push(own: Float, points: Float, layout: Layout) -> Float:
    """Texture shift (V, 2): the mesh border lies inside the true outline at the hidden side."""
    oval = points[list(OVAL), :2]
    outward = oval - oval.mean(0)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    width = layout.pose.scale
    push = (1 - own[list(OVAL)])[:, None] * outward * 0.075 * width
    out = np.zeros((len(layout.rest), 2))
    k = len(points) + len(OVAL)
    out[len(points) : k] = push
    near = np.linalg.norm(layout.rest[k:, None, :2] - oval[None], axis=2).min(1)
    out[k:] = (layout.spread @ push) * np.exp(-((near / (0.09 * width)) ** 2))[:, None]
    return out
