"""Convolution blocks shared by the networks, and the sampling grid."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class SameBlock2d(nn.Module):
    """Convolution 3x3, batch norm, (leaky) ReLU; keeps the size.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        slope: Slope of the activation below zero; 0 is ReLU.
    """

    def __init__(self, inputs: int, outputs: int, slope: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        x = self.norm(self.conv(x))
        return functional.leaky_relu(x, self.slope) if self.slope else functional.relu(x)


class DownBlock2d(nn.Module):
    """Convolution 3x3, batch norm, ReLU, average over 2x2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/2, W/2)."""
        return functional.avg_pool2d(functional.relu(self.norm(self.conv(x))), 2)


class DownBlock3d(nn.Module):
    """Convolution 3x3x3, batch norm, ReLU, average over 2x2 of every depth slice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, D, H, W) -> (B, outputs, D, H/2, W/2)."""
        return functional.avg_pool3d(functional.relu(self.norm(self.conv(x))), (1, 2, 2))


class UpBlock3d(nn.Module):
    """Nearest upsampling of every depth slice by 2, convolution 3x3x3, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, D, H, W) -> (B, outputs, D, 2H, 2W)."""
        x = functional.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="nearest")
        return functional.relu(self.norm(self.conv(x)))


class ResBlock3d(nn.Module):
    """Residual block with the norms before the convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, D, H, W), size kept."""
        y = self.conv1(functional.relu(self.norm1(x)))
        return x + cast(Tensor, self.conv2(functional.relu(self.norm2(y))))


def coordinate_grid(depth: int, height: int, width: int, like: Tensor) -> Tensor:
    """Positions of all voxels, with the outermost voxel centres exactly at -1 and 1.

    Args:
        depth: Voxels along z.
        height: Voxels along y.
        width: Voxels along x.
        like: Tensor with the wanted device and type.

    Returns:
        (depth, height, width, 3); the last axis is x, y, z.
    """

    def axis(count: int) -> Tensor:
        return 2.0 * (torch.arange(count, device=like.device, dtype=like.dtype) / (count - 1)) - 1.0

    z, y, x = torch.meshgrid(axis(depth), axis(height), axis(width), indexing="ij")
    return torch.stack((x, y, z), dim=-1)
