"""M, rewritten for speed: the same weights, the same heads up to rounding.

The scale and shift of a norm are part of the convolution after it, the response norm is one factor per channel, and
products of positions are 1x1 convolutions on channels-last maps. Everything stays in float32: keypoints are
coordinates.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from liveportrait.networks.fast.layers import Conv
from liveportrait.networks.motion_extractor import EPS, HEADS, ChannelNorm, ConvNeXtBlock, MotionExtractor


class FastMotionExtractor(nn.Module):
    """M (liveportrait.networks.motion_extractor) with its norms folded.

    Args:
        plain: The module with its weights, which are copied.
    """

    def __init__(self, plain: MotionExtractor) -> None:
        super().__init__()
        inner = plain.detector
        stem, norm = cast(nn.Sequential, inner.downsample_layers[0])
        downs = [cast(nn.Sequential, down) for down in inner.downsample_layers][1:]
        self.stem = _copied(cast(nn.Conv2d, stem))
        self.stem_norm = norm
        self.downs = nn.ModuleList(_folded(cast(ChannelNorm, n), cast(nn.Conv2d, conv)) for n, conv in downs)
        self.stages = nn.ModuleList(
            nn.ModuleList(_Block(cast(ConvNeXtBlock, block)) for block in cast(nn.Sequential, stage))
            for stage in inner.stages
        )
        heads = [cast(nn.Linear, inner.get_submodule(f"fc_{name}")) for name in HEADS]
        weight, bias = (torch.cat([getattr(head, part).detach() for head in heads]) for part in ("weight", "bias"))
        self.heads = nn.Linear(*weight.T.shape)
        self.heads.weight = nn.Parameter(weight * inner.norm.weight.detach())
        self.heads.bias = nn.Parameter(bias + weight @ inner.norm.bias.detach())
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, 256, 256) RGB, 0..1 -> raw heads, as MotionExtractor."""
        x = self.stem_norm(self.stem(x.contiguous(memory_format=torch.channels_last)))
        for index, stage in enumerate(self.stages):
            if index:
                x = self.downs[index - 1](_normed(x))
            for block in cast(nn.ModuleList, stage):
                x = block(x)
        x = functional.layer_norm(x.mean((-2, -1)), x.shape[1:2], eps=EPS)
        return dict(zip(HEADS, self.heads(x).split(tuple(HEADS.values()), dim=-1), strict=True))


class _Block(nn.Module):
    """ConvNeXt V2 block on a channels-last map."""

    def __init__(self, plain: ConvNeXtBlock) -> None:
        super().__init__()
        self.spread = _copied(plain.dwconv)
        first, second = plain.pwconv1, plain.pwconv2
        scale, shift = plain.norm.weight.detach(), plain.norm.bias.detach()
        self.first = _product(first.weight.detach() * scale, first.bias.detach() + first.weight.detach() @ shift)
        self.gamma = nn.Parameter(plain.grn.gamma.detach().reshape(1, -1, 1, 1).clone())
        beta = plain.grn.beta.detach().flatten()
        self.second = _product(second.weight.detach(), second.bias.detach() + second.weight.detach() @ beta)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), size kept."""
        y = functional.gelu(self.first(_normed(self.spread(x))))
        power = y.square().sum((2, 3), keepdim=True).sqrt()
        share = power / (power.mean(dim=1, keepdim=True) + EPS)
        return self.second(y.mul_(1 + self.gamma * share)).add_(x)


def _normed(x: Tensor) -> Tensor:
    """(B, C, H, W) with mean 0 and variance 1 over the channels of every position."""
    return functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], eps=EPS).permute(0, 3, 1, 2)


def _product(weight: Tensor, bias: Tensor) -> Conv:
    """A linear layer (O, I) as a 1x1 convolution."""
    return Conv(weight[..., None, None].contiguous(memory_format=torch.channels_last), bias, 0)


def _copied(conv: nn.Conv2d) -> nn.Conv2d:
    """A separate convolution with the same weights, channels-last."""
    return _folded(None, conv)


def _folded(norm: ChannelNorm | None, conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution without padding that includes the scale and shift of the norm before it."""
    weight, bias = conv.weight.detach(), cast(Tensor, conv.bias).detach()
    if norm is not None:
        bias = bias + (weight * norm.bias.detach()[:, None, None]).sum((1, 2, 3))
        weight = weight * norm.weight.detach()[:, None, None]
    out = nn.Conv2d(
        conv.in_channels, conv.out_channels, cast("tuple[int, int]", conv.kernel_size),
        cast("tuple[int, int]", conv.stride), cast("tuple[int, int]", conv.padding), groups=conv.groups,
    )  # fmt: skip
    out.weight = nn.Parameter(weight.clone(memory_format=torch.channels_last))
    out.bias = nn.Parameter(bias.clone())
    return out
