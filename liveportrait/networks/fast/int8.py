"""Convolutions with 8-bit weights and inputs for CPUs with VNNI: oneDNN's kernels behind PyTorch's operators."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LEVELS = 255


class Levels(NamedTuple):
    """A map of non-negative values in equal steps.

    Attributes:
        levels: (B, C, H, W) uint8, channels-last.
        step: Value of one level.
    """

    levels: Tensor
    step: float


def has_int8() -> bool:
    """Whether the CPU has fast 8-bit products and this PyTorch has the operators."""
    vnni = getattr(torch.cpu, "_is_vnni_supported", None)
    return vnni is not None and bool(vnni()) and hasattr(torch.ops.onednn, "qconv2d_pointwise")


def step_of(highest: float) -> float:
    """Step of the levels for values of 0..highest."""
    return max(highest, 1e-12) / LEVELS


def to_levels(x: Tensor, step: float) -> Tensor:
    """Round non-negative values to levels; uint8 of the same shape."""
    return (x.float() * (1.0 / step)).add_(0.5).clamp_(max=LEVELS).to(torch.uint8)  # to() truncates, so + 0.5 rounds


class Int8Conv:
    """2-D convolution 3x3 of stride 1 with one zero on every side; weights in 8 bits, one step per output channel.

    Args:
        weight: (O, I, 3, 3) float32.
        bias: (O,) float32.
        dtype: Type of the output, float32 or bfloat16.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.steps = (weight.abs().amax(dim=(1, 2, 3)) / 127.0).clamp_min(1e-12)
        rounded = (weight / self.steps[:, None, None, None]).round().to(torch.int8)
        self.zeros = torch.zeros(len(weight), dtype=torch.int32)
        self.bias, self.dtype = bias.clone(), dtype
        self.packed = torch.ops.onednn.qconv_prepack(
            rounded, self.steps, 1.0, 0, [1, 1], [1, 1], [1, 1], 1, [1, weight.shape[1], 64, 64]
        )

    def __call__(self, x: Levels) -> Tensor:
        """(B, I, H, W) levels -> (B, O, H, W)."""
        out: Tensor = torch.ops.onednn.qconv2d_pointwise(
            x.levels, x.step, 0, self.packed, self.steps, self.zeros, self.bias,
            [1, 1], [1, 1], [1, 1], 1, 1.0, 0, self.dtype, "none", [], "",
        )  # fmt: skip
        return out
