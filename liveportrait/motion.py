"""Motion: head pose and expression over time, and the keypoint formula that every engine obeys.

    x = scale * (canonical @ R + delta) + translation                 (delta_space "camera", LivePortrait)
    x = scale * ((canonical + delta) @ R) + translation               (delta_space "head", mesh engine)

Row vectors; R is stored transposed, so points multiply it from the left (paper section 3.2; spec motion.md section 1).
Coordinates are crop units: the crop spans -1..1 in x (right) and y (down); z points away from the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
DeltaSpace = Literal["camera", "head"]


@dataclass(frozen=True)
class Motion:
    """Motion of N frames read by one engine.

    Attributes:
        rotation: (N, 3, 3) head rotation, transposed (see module text).
        translation: (N, 3) in crop units.
        scale: (N, 1), positive.
        delta: (N, K, 3) expression offsets.
        eye_ratio: (N, 2) lid gap over eye width, left and right of the picture; NaN where unknown.
        lip_ratio: (N, 1) inner lip gap over mouth width; NaN where unknown.
        engine: Name of the engine family that the keypoints belong to.
        extra: Further (N, ...) arrays that only this engine reads.
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
        """Frames at an index, always with the leading axis kept."""
        pick = slice(index, index + 1 or None) if isinstance(index, int) else index
        arrays = {f.name: getattr(self, f.name)[pick] for f in fields(self) if f.name not in ("engine", "extra")}
        return replace(self, **arrays, extra={k: v[pick] for k, v in self.extra.items()})

    @staticmethod
    def concatenate(parts: Sequence[Motion]) -> Motion:
        """Join motions of one engine along time."""
        first = parts[0]
        names = [f.name for f in fields(first) if f.name not in ("engine", "extra")]
        arrays = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
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
