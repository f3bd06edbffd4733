"""M, the motion extractor: a ConvNeXt V2 tiny backbone with linear heads (paper section 3.1)."""

from __future__ import annotations

import itertools
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

KEYPOINTS: Final = 21
ANGLE_BINS: Final = 66
DEPTHS: Final = (3, 3, 9, 3)
WIDTHS: Final = (96, 192, 384, 768)
HEADS: Final = {
    "kp": 3 * KEYPOINTS, "scale": 1, "pitch": ANGLE_BINS, "yaw": ANGLE_BINS, "roll": ANGLE_BINS, "t": 3,
    "exp": 3 * KEYPOINTS,
}  # fmt: skip
"""Outputs and their sizes, in the order of the state dict."""
EPS: Final = 1e-6


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), size kept."""
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).square().mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + EPS)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class GlobalResponseNorm(nn.Module):
    """Global response normalisation of (B, H, W, C) (ConvNeXt V2, section 3.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C), size kept."""
        norm = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        share = norm / (norm.mean(dim=-1, keepdim=True) + EPS)
        return self.gamma * (x * share) + self.beta + x


class ConvNeXtBlock(nn.Module):
    """ConvNeXt V2 block; keeps the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = GlobalResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), size kept."""
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(functional.gelu(self.pwconv1(y))))
        return x + cast(Tensor, y).permute(0, 3, 1, 2)


class ConvNeXtV2(nn.Module):
    """Backbone and heads; attribute names match the state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(3, WIDTHS[0], 4, stride=4), ChannelNorm(WIDTHS[0]))]
        )
        for before, after in itertools.pairwise(WIDTHS):
            self.downsample_layers.append(nn.Sequential(ChannelNorm(before), nn.Conv2d(before, after, 2, stride=2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width) for _ in range(depth)))
            for depth, width in zip(DEPTHS, WIDTHS, strict=True)
        )
        self.norm = nn.LayerNorm(WIDTHS[-1], eps=EPS)
        for head, size in HEADS.items():
            self.add_module(f"fc_{head}", nn.Linear(WIDTHS[-1], size))

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, 256, 256) -> (B, 768), the input of the heads."""
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(down(x))
        return cast(Tensor, self.norm(x.mean((-2, -1))))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, 256, 256) -> raw heads."""
        x = self.features(x)
        return {head: self.get_submodule(f"fc_{head}")(x) for head in HEADS}


class MotionExtractor(nn.Module):
    """Reads canonical keypoints, head pose and expression from a face crop."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = ConvNeXtV2()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Read the raw heads.

        Args:
            x: (B, 3, 256, 256) RGB, 0..1.

        Returns:
            pitch, yaw, roll: (B, 66) logits of angle bins; t (B, 3); scale (B, 1); kp, exp: (B, 63), keypoint-major.
        """
        return cast("dict[str, Tensor]", self.detector(x))
