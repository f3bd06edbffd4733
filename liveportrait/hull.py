"""Volume of the convex hull of keypoints, for the official expression-friendly multiplier."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Points = npt.NDArray[np.float64]


def _start(points: _Points, tolerance: float) -> list[int] | None:
    """Four points that span a volume, or None if all lie in one plane."""
    a = int(np.argmin(points[:, 0]))
    b = int(np.argmax(np.linalg.norm(points - points[a], axis=1)))
    line = points[b] - points[a]
    c = int(np.argmax(np.linalg.norm(np.cross(points - points[a], line), axis=1)))
    normal = np.cross(line, points[c] - points[a])
    height = (points - points[a]) @ normal
    d = int(np.argmax(np.abs(height)))
    if abs(height[d]) <= tolerance * np.linalg.norm(normal):
        return None
    return [a, c, b, d] if height[d] > 0 else [a, b, c, d]


def convex_hull_volume(points: npt.ArrayLike) -> float:
    """Volume of the convex hull (incremental: faces visible from a new point are replaced by a fan from their rim).

    Args:
        points: (K, 3), K >= 4.

    Returns:
        Volume in cubed units of the points; 0 if they lie in one plane.
    """
    p = np.asarray(points, np.float64).reshape(-1, 3)
    extent = float(np.ptp(p, axis=0).max())
    tolerance = 1e-10 * max(extent, 1e-30)
    first = _start(p, tolerance)
    if first is None:
        return 0.0
    a, b, c, d = first  # d lies on the inner side of (a, b, c)
    faces = np.array([[a, b, c], [a, d, b], [b, d, c], [c, d, a]])

    def normals(triangles: npt.NDArray[np.int64]) -> _Points:
        return np.cross(p[triangles[:, 1]] - p[triangles[:, 0]], p[triangles[:, 2]] - p[triangles[:, 0]])

    planes = normals(faces)
    for index in range(len(p)):
        if index in first:
            continue
        height = np.einsum("fk,fk->f", planes, p[index] - p[faces[:, 0]])
        seen = height > tolerance * np.maximum(np.linalg.norm(planes, axis=1), tolerance)
        if not seen.any():
            continue
        edges = {(int(u), int(v)) for t in faces[seen] for u, v in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
        rim = [(u, v) for u, v in edges if (v, u) not in edges]
        fan = np.array([[u, v, index] for u, v in rim])
        faces = np.concatenate([faces[~seen], fan])
        planes = np.concatenate([planes[~seen], normals(fan)])
    middle = p.mean(axis=0)
    return float(abs(np.einsum("fk,fk->f", planes, p[faces[:, 0]] - middle).sum()) / 6)
