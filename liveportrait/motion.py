"""Motion: head pose and expression over time, and the keypoint formula shared by all engines.

    x = scale * (canonical @ R + delta) + translation                 (delta_space "camera", LivePortrait)
    x = scale * ((canonical + delta) @ R) + translation               (delta_space "head", mesh engine)

Row vectors; R is stored transposed, so points multiply it from the left (paper section 3.2; spec motion.md section 1).
Coordinates are crop units: the crop spans -1..1 in x (right) and y (down); z points away from the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
DeltaSpace = Literal["camera", "head"]


@dataclass(frozen=True)
class Motion:
    """Motion of N frames, read by one engine.

    Attributes:
        rotation: (N, 3, 3) head rotation, transposed (see module text).
        translation: (N, 3) in crop units.
        scale: (N, 1), positive.
        delta: (N, K, 3) expression offsets.
        eye_ratio: (N, 2) lid gap over eye width, left and right of the image; NaN where unknown.
        lip_ratio: (N, 1) inner lip gap over mouth width; NaN where unknown.
        engine: Name of the engine family that the keypoints belong to.
        extra: Further (N, ...) arrays that are specific to this engine.
    """

    rotation: Array
    translation: Array
    scale: Array
    delta: Array
    eye_ratio: Array
    lip_ratio: Array
    engine: str = ""
    extra: dict[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rotation)

    @property
    def keypoints(self) -> int:
        """Number of keypoints K."""
        return int(self.delta.shape[1])

    def __getitem__(self, index: int | slice | npt.NDArray[np.integer]) -> Motion:
        """Frames at an index; the leading axis is always kept."""
        pick = slice(index, index + 1 or None) if isinstance(index, int) else index
        arrays: dict[str, Any] = {
            f.name: getattr(self, f.name)[pick] for f in fields(self) if f.name not in ("engine", "extra")
        }
        return replace(self, **arrays, extra={k: v[pick] for k, v in self.extra.items()})

    @staticmethod
    def concatenate(parts: Sequence[Motion]) -> Motion:
        """Join motions of one engine along time."""
        first = parts[0]
        names = [f.name for f in fields(first) if f.name not in ("engine", "extra")]
        arrays: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
        extra = {k: np.concatenate([p.extra[k] for p in parts]) for k in first.extra}
        return replace(first, **arrays, extra=extra)


def keypoints(canonical: Array, motion: Motion, space: DeltaSpace = "camera") -> Array:
    """Keypoints of every frame.

    Args:
        canonical: (K, 3) or (N, K, 3) canonical keypoints.
        motion: N frames.
        space: Where delta is added, see module text.

    Returns:
        (N, K, 3) in crop units. The z of the translation is not used, as in the official release.
    """
    if space == "camera":
        x = canonical @ motion.rotation + motion.delta
    else:
        x = (canonical + motion.delta) @ motion.rotation
    x = motion.scale[:, :, None] * x
    x[..., :2] += motion.translation[:, None, :2]
    return x.astype(np.float32)


def rotation_from_euler(pitch: npt.ArrayLike, yaw: npt.ArrayLike, roll: npt.ArrayLike) -> Array:
    """Rotation matrices in the stored, transposed convention R = (Rz(roll) Ry(yaw) Rx(pitch))^T.

    Args:
        pitch: (N,) or scalar degrees about x.
        yaw: (N,) or scalar degrees about y.
        roll: (N,) or scalar degrees about z.

    Returns:
        (N, 3, 3) float32.
    """
    angles = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a, np.float64)).reshape(-1) for a in (pitch, yaw, roll)))
    (sx, sy, sz), (cx, cy, cz) = np.sin(np.deg2rad(angles)), np.cos(np.deg2rad(angles))
    rows = [
        [cz * cy, sz * cy, -sy],
        [cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx],
        [cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx],
    ]
    return np.moveaxis(np.array(rows), 2, 0).astype(np.float32)


def euler_from_rotation(rotation: npt.ArrayLike) -> Array:
    """Pitch, yaw and roll of stored rotation matrices.

    Args:
        rotation: (N, 3, 3) transposed rotations, see ``rotation_from_euler``.

    Returns:
        (N, 3) degrees: pitch, yaw, roll; yaw within -90..90. At yaw = +-90 only the combination of pitch and roll is
        defined.
    """
    r = np.asarray(rotation, np.float64).reshape(-1, 3, 3)
    yaw = np.arcsin(np.clip(-r[:, 0, 2], -1.0, 1.0))
    pitch = np.arctan2(r[:, 1, 2], r[:, 2, 2])
    roll = np.arctan2(r[:, 0, 1], r[:, 0, 0])
    return np.rad2deg(np.stack([pitch, yaw, roll], axis=1)).astype(np.float32)


def headpose_degrees(values: npt.ArrayLike) -> Array:
    """Degrees from the pose heads of the motion extractor.

    Args:
        values: (N, 66) logits over bins of 3 degrees, or (N, 1) values already in degrees.

    Returns:
        (N, 1) degrees: the expectation over the bins minus 97.5, so uniform logits give 0.
    """
    logits = np.asarray(values, np.float64)
    if logits.ndim != 2 or logits.shape[1] != 66:
        return logits.astype(np.float32).reshape(len(logits), -1)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return (3.0 * (p @ np.arange(66.0)) - 97.5)[:, None].astype(np.float32)


def orthonormalize(rotation: npt.ArrayLike) -> Array:
    """Nearest proper rotations to (N, 3, 3) matrices, by singular value decomposition."""
    u, _, vt = np.linalg.svd(np.asarray(rotation, np.float64))
    u[..., 2] *= np.sign(np.linalg.det(u @ vt))[..., None]
    return (u @ vt).astype(np.float32)


def rotation_vector(rotation: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Axis times angle (radians) of (N, 3, 3) rotation matrices: (N, 3)."""
    r = np.asarray(rotation, np.float64)
    axis = np.stack([r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], axis=-1)
    sine = 0.5 * np.linalg.norm(axis, axis=-1)
    angle = np.arctan2(sine, 0.5 * (np.trace(r, axis1=-2, axis2=-1) - 1.0))
    factor = np.where(sine > 1e-7, angle / np.maximum(2.0 * sine, 1e-12), 0.5)
    return axis * factor[..., None]


def rotation_from_vector(vector: npt.ArrayLike) -> Array:
    """(N, 3, 3) rotation matrices of (N, 3) axis-times-angle vectors (Rodrigues' formula)."""
    v = np.asarray(vector, np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    cross = np.zeros((*v.shape[:-1], 3, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    cross -= np.swapaxes(cross, -1, -2)
    safe = np.maximum(angle, 1e-12)
    a = np.where(angle > 1e-6, np.sin(safe) / safe, 1.0)
    b = np.where(angle > 1e-6, (1.0 - np.cos(safe)) / safe**2, 0.5)
    return (np.eye(3) + a * cross + b * (cross @ cross)).astype(np.float32)


def slerp(first: npt.ArrayLike, second: npt.ArrayLike, weight: npt.ArrayLike) -> Array:
    """Rotations on the shortest way from first to second.

    Args:
        first: (N, 3, 3) rotations at weight 0.
        second: (N, 3, 3) rotations at weight 1.
        weight: (N,) or scalar; values below 0 or above 1 extrapolate.

    Returns:
        (N, 3, 3).
    """
    a = np.asarray(first, np.float64)
    turn = rotation_vector(np.swapaxes(a, -1, -2) @ np.asarray(second, np.float64))
    part = rotation_from_vector(turn * np.broadcast_to(np.asarray(weight, np.float64), turn.shape[:-1])[..., None])
    return (a @ part).astype(np.float32)


def angle_between(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Angle between two rotation matrices (3, 3) in degrees, 0 to 180."""
    cosine = (np.trace(np.asarray(first) @ np.asarray(second).T) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def blend(first: Motion, second: Motion, weight: npt.ArrayLike) -> Motion:
    """Interpolate between two motions: rotations along the shortest turn, scale geometrically, the rest linearly.

    Args:
        first: N frames (or 1) at weight 0.
        second: N frames (or 1) at weight 1.
        weight: (N,) or scalar; values outside 0..1 extrapolate.

    Returns:
        N frames. If only one side has a ratio, its value is kept.
    """
    n = max(len(first), len(second))
    w = np.broadcast_to(np.asarray(weight, np.float32), (n,))

    def lerp(a: Array, b: Array) -> Array:
        weights = w.reshape((n,) + (1,) * (a.ndim - 1))
        mixed = a + (b - a) * weights
        return np.where(np.isnan(mixed), np.where(np.isnan(a), b, a), mixed).astype(np.float32)

    def rows(a: Array) -> Array:
        return np.broadcast_to(a, (n, *a.shape[1:]))

    return replace(
        first,
        rotation=slerp(rows(first.rotation), rows(second.rotation), w),
        translation=lerp(first.translation, second.translation),
        scale=(rows(first.scale) * (second.scale / first.scale) ** w[:, None]).astype(np.float32),
        delta=lerp(first.delta, second.delta),
        eye_ratio=lerp(first.eye_ratio, second.eye_ratio),
        lip_ratio=lerp(first.lip_ratio, second.lip_ratio),
        extra={k: lerp(v, second.extra[k]) for k, v in first.extra.items() if k in second.extra},
    )


def interpolate(motion: Motion, position: npt.ArrayLike) -> Motion:
    """Motion between frames.

    Args:
        motion: T frames.
        position: (N,) or scalar frame positions, fractions allowed; clipped to 0..T-1.

    Returns:
        N frames.
    """
    at = np.clip(np.atleast_1d(np.asarray(position, np.float64)), 0, len(motion) - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, len(motion) - 1)
    return blend(motion[low], motion[high], at - low)


def landmark_ratios(points: npt.ArrayLike) -> tuple[Array, Array]:
    """Eye and lip ratios from the official 203 landmarks (spec motion.md section 2).

    Args:
        points: (N, 203, 2) in any scale.

    Returns:
        (N, 2) eye ratios, left and right of the image, and (N, 1) lip ratio.
    """
    p = np.asarray(points, np.float32)

    def ratio(a: int, b: int, c: int, d: int) -> Array:
        gap = np.linalg.norm(p[:, a] - p[:, b], axis=1, keepdims=True)
        width = np.linalg.norm(p[:, c] - p[:, d], axis=1, keepdims=True)
        return (gap / (width + np.float32(1e-6))).astype(np.float32)

    return np.concatenate([ratio(6, 18, 0, 12), ratio(30, 42, 24, 36)], axis=1), ratio(90, 102, 48, 66)
