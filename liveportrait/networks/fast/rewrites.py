"""Switches for the rewrites, and the weight algebra behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Rewrites:
    """Rewrites of W and G; all on unless switched off for a measurement.

    Attributes:
        separable_motions: W samples the source volume per keypoint by one matrix per axis, not by grid_sample.
        separable_heatmaps: W builds each Gaussian from one exponential per axis.
        mask_times_shift: W's sampling grid is identity + mask x shift, not a sum of 22 grids.
        depth_as_batch: W's 3-D convolutions run as 2-D ones.
        low_resolution_up: W's convolutions after nearest upsampling run before it, as 1x1 ones of differences.
        depth_products: W's convolutions at full size use fewer products along the depth; on CPUs only.
        merged_spade: G's scale and shift come from one convolution, conditioning convolutions of one size likewise.
        shared_norm: G normalises a block's input once, before the upsampling.
        low_resolution_condition: G's conditioning convolutions run at 64x64 and are spread afterwards.
        folded_shortcut: the 1x1 convolution of G's shortcuts is part of the shift before it.
        folded_norms: W's batch norms are part of the convolutions' weights.
        folded_spectral: G's spectral norms are divided out once, not in every frame.
        source_cache: Values that depend on the source only are computed once, not in every frame.
        gather_sampler: the last 5-D sampling is eight gathers instead of grid_sample, for runtimes limited to 4-D.
    """

    separable_motions: bool = True
    separable_heatmaps: bool = True
    mask_times_shift: bool = True
    depth_as_batch: bool = True
    low_resolution_up: bool = True
    depth_products: bool = True
    merged_spade: bool = True
    shared_norm: bool = True
    low_resolution_condition: bool = True
    folded_shortcut: bool = True
    folded_norms: bool = True
    folded_spectral: bool = True
    source_cache: bool = True
    gather_sampler: bool = False

    def without(self, name: str) -> Rewrites:
        """The same with one rewrite off."""
        return replace(self, **{name: False})


ABLATIONS: Final[dict[str, tuple[str, ...]]] = {
    "warping_module": (
        "separable_motions",
        "separable_heatmaps",
        "mask_times_shift",
        "depth_as_batch",
        "low_resolution_up",
        "depth_products",
        "folded_norms",
        "source_cache",
    ),
    "spade_generator": (
        "merged_spade",
        "shared_norm",
        "low_resolution_condition",
        "folded_shortcut",
        "folded_spectral",
    ),
}
"""Rewrites of each network that get a row of their own in measurements."""


def fold_batch_norm(conv: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that includes the batch norm after it.

    w' = w * g / sqrt(var + eps), b' = (b - mean) * g / sqrt(var + eps) + beta, computed in float64.

    Args:
        conv: Convolution with weight (O, I, ...) and bias (O,).
        norm: Batch norm of O channels in evaluation mode.

    Returns:
        float32 weight and bias.
    """
    inner = conv.state_dict()
    gain, shift = batch_norm_line(norm)
    weight = inner["weight"].double()
    shape = (-1, *([1] * (weight.dim() - 1)))
    return (weight * gain.reshape(shape)).float(), (inner["bias"].double() * gain + shift).float()


def batch_norm_line(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Gain and shift (O,) float64 of a batch norm in evaluation mode: g / sqrt(var + eps), beta - mean * gain."""
    state = norm.state_dict()
    gain = state["weight"].double() / (state["running_var"].double() + cast(float, norm.eps)).sqrt()
    return gain, state["bias"].double() - state["running_mean"].double() * gain


def depth_to_inputs(weight: Tensor) -> Tensor:
    """(O, I, K, h, w) kernel of a 3-D convolution -> (O, K*I, h, w) for an input of K concatenated depth slices."""
    return weight.permute(0, 2, 1, 3, 4).flatten(1, 2)


def depth_to_outputs(weight: Tensor) -> Tensor:
    """(O, I, K, h, w) -> (K*O, I, h, w): one output group per depth tap, to be shifted and added."""
    return weight.permute(2, 0, 1, 3, 4).flatten(0, 1)


def difference_kernels(weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Kernels before a nearest upsampling that are equivalent to a 3x3 convolution after it; see layers.UpConv.

    Args:
        weight: (O, I, 3, 3).

    Returns:
        1x1 kernels for the map (O, I, 1, 1), its differences along y (2 O, ...), along x (2 O, ...) and along both
        (4 O, ...); the first pixel of a cell before the last one, y before x.
    """
    import torch

    exact = weight.detach().double()
    whole = torch.ones(1, 3, dtype=exact.dtype)
    ends = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=exact.dtype)
    pairs = ((whole, whole), (ends, whole), (whole, ends), (ends, ends))
    kernels = (torch.einsum("oiyx,py,qx->pqoi", exact, y, x).flatten(0, 2)[..., None, None] for y, x in pairs)
    base, rows, columns, corners = (kernel.to(weight.dtype) for kernel in kernels)
    return base, rows, columns, corners


def fold_shortcut(conv: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Merge a 3x3 convolution and the 1x1 one after it.

    Args:
        conv: (O, C, 1, 1).
        weight: (C, I, 3, 3).
        bias: (C,).

    Returns:
        (O, I, 3, 3) and (O,).
    """
    import torch

    point = conv.double()[:, :, 0, 0]
    return torch.einsum("oc,ciyx->oiyx", point, weight.double()).float(), (point @ bias.double()).float()
