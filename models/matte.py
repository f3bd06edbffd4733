"""Person matte: share of each pixel that belongs to a person."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import numpy.typing as npt

from models.sessions import create_session
from models.weights import model_path

if TYPE_CHECKING:
    import onnxruntime

Array = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

SIZE: Final = 256
GUIDE_SIDE: Final = 512
"""Largest side of the image for the edge-aware refinement."""


class PersonMatte:
    """Person segmentation with an edge-aware refinement; the session is opened on first use.

    Args:
        threads: Threads of the session.
        refine: Fit the edge of the coarse 256 px matte to the edges of the image.
    """

    def __init__(self, threads: int = 1, refine: bool = True) -> None:
        self._threads = threads
        self.refine = refine

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return create_session(model_path("matte/selfie"), self._threads)

    def __call__(self, rgb: Image) -> Array:
        """Matte of an image.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            (H, W) float32, 0 background to 1 person.
        """
        height, width = rgb.shape[:2]
        rgb = np.ascontiguousarray(rgb)
        small = cv2.resize(rgb, (SIZE, SIZE), interpolation=_shrinking(max(height, width), SIZE))
        (coarse,) = self._session.run(None, {"image": small[None]})
        if not self.refine:
            return _resized(np.clip(coarse, 0.0, 1.0), width, height)
        scale = min(1.0, GUIDE_SIDE / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        guide = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
        slope, offset = guided_coefficients(guide, _resized(coarse, *size), radius=max(max(size) // 64, 1))
        # The local model is linear in the image, so it also applies at full resolution (fast guided filter).
        matte = _resized(offset, width, height)
        for channel in range(3):
            matte += _resized(slope[..., channel], width, height) * (rgb[..., channel].astype(np.float32) / 255.0)
        return np.clip((matte - 0.05) / 0.9, 0.0, 1.0).astype(np.float32, copy=False)


def guided_coefficients(guide: Array, values: Array, radius: int, smoothness: float = 1e-3) -> tuple[Array, Array]:
    """Local linear model of values by the colours of a guide (He, Sun and Tang, "Guided Image Filtering", eq. 14-16).

    Args:
        guide: (H, W, 3) float32, 0..1.
        values: (H, W) float32.
        radius: Radius of the box windows in pixels.
        smoothness: Variance of the guide below which an area counts as flat.

    Returns:
        (H, W, 3) slopes and (H, W) offsets, averaged over the windows that cover each pixel; the filtered values are
        (slopes * guide).sum(-1) + offsets.
    """
    box = (2 * radius + 1, 2 * radius + 1)

    def mean(array: Array) -> Array:
        return cv2.blur(array, box, borderType=cv2.BORDER_REFLECT).astype(np.float32, copy=False)

    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values[..., None]) - mean_guide * mean_values[..., None]

    def spread(i: int, j: int) -> Array:
        return mean(guide[..., i] * guide[..., j]) - mean_guide[..., i] * mean_guide[..., j]

    rr, gg, bb = (spread(i, i) + np.float32(smoothness) for i in range(3))
    rg, rb, gb = spread(0, 1), spread(0, 2), spread(1, 2)
    # Inverse of the symmetric 3 x 3 matrix by cofactors: ten times faster than a solver called per pixel.
    c00, c01, c02 = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - gg * rb
    c11, c12, c22 = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    x, y, z = (covariance[..., i] for i in range(3))
    slope = np.stack([c00 * x + c01 * y + c02 * z, c01 * x + c11 * y + c12 * z, c02 * x + c12 * y + c22 * z], -1)
    slope = (slope / np.maximum(rr * c00 + rg * c01 + rb * c02, 1e-12)[..., None]).astype(np.float32, copy=False)
    offset = mean_values - (slope * mean_guide).sum(axis=-1)
    return mean(slope), mean(offset)


def _shrinking(length: int, target: int) -> int:
    return cv2.INTER_AREA if length > target else cv2.INTER_LINEAR


def _resized(values: Array, width: int, height: int) -> Array:
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
