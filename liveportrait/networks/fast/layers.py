"""Building blocks of the rewritten networks."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Conv(nn.Module):
    """2-D convolution of stride 1 with fixed weights; runs in the type of its weights.

    Args:
        weight: (O, I, h, w).
        bias: (O,) or None.
        padding: Zeros on every side.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, padding: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, O, H', W')."""
        return functional.conv2d(x.to(self.weight.dtype), self.weight, self.bias, padding=self.padding)


def depth_window(x: Tensor, batch: int) -> Tensor:
    """Every depth slice between its two neighbours (zeros beyond the ends), side by side in the channels.

    Args:
        x: (D*B, C, H, W), depth-major.
        batch: B.

    Returns:
        (D*B, 3*C, H, W).
    """
    if torch.compiler.is_exporting():
        padded = functional.pad(x, (0, 0, 0, 0, 0, 0, batch, batch))
        return torch.cat((padded[: -2 * batch], x, padded[2 * batch :]), dim=1)
    count, channels = x.shape[:2]
    out = torch.empty(
        (count, 3 * channels, *x.shape[2:]), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )
    below, middle, above = out.chunk(3, dim=1)
    below[:batch].zero_()
    below[batch:] = x[:-batch]
    middle[:] = x
    above[:-batch] = x[batch:]
    above[-batch:].zero_()
    return out


def shifted_sum(x: Tensor, taps: int, batch: int) -> Tensor:
    """Add up the depth taps of a convolution, each shifted to its place.

    Args:
        x: (D*B, taps*C, H, W), depth-major.
        taps: Odd number of taps.
        batch: B.

    Returns:
        (D*B, C, H, W) float32.
    """
    reach = taps // 2 * batch
    padded = functional.pad(x, (0, 0, 0, 0, 0, 0, reach, reach))
    parts = padded.chunk(taps, dim=1)
    total = parts[0][: len(x)].float()
    for index, part in enumerate(parts[1:], start=1):
        total = total + part[index * batch : index * batch + len(x)]
    return total


def spread_phases(x: Tensor, scale: int) -> Tensor:
    """Bring the phases of rewrites.phase_kernels to their places in the enlarged map.

    Args:
        x: (B, P*P*C, h + 1, w + 1), P = min(scale, 3).
        scale: Factor of the upsampling.

    Returns:
        (B, C, scale*h, scale*w).
    """
    phases = min(scale, 3)
    order = (0, *([1] * (scale - 2)), phases - 1)
    batch, channels, height, width = x.shape[0], x.shape[1] // phases**2, x.shape[2] - 1, x.shape[3] - 1
    groups = x.split(channels, dim=1)
    rows = []
    for row in range(phases):
        top = int(row == phases - 1)
        cells = []
        for column in range(phases):
            left = int(column == phases - 1)
            cells.append(groups[row * phases + column][:, :, top : top + height, left : left + width])
        rows.append(torch.stack([cells[i] for i in order], dim=4).reshape(batch, channels, height, scale * width))
    return torch.stack([rows[i] for i in order], dim=3).reshape(batch, channels, scale * height, scale * width)


def spread_phases_in_place(x: Tensor, scale: int) -> Tensor:
    """As spread_phases, written cell by cell into a channels-last map: the faster form outside of exporters."""
    phases = min(scale, 3)
    order = (0, *([1] * (scale - 2)), phases - 1)
    batch, channels, height, width = x.shape[0], x.shape[1] // phases**2, x.shape[2] - 1, x.shape[3] - 1
    out = torch.empty(
        (batch, channels, scale * height, scale * width),
        dtype=x.dtype, device=x.device, memory_format=torch.channels_last,
    )  # fmt: skip
    groups = x.split(channels, dim=1)
    for y, row in enumerate(order):
        top = int(row == phases - 1)
        for z, column in enumerate(order):
            left = int(column == phases - 1)
            out[:, :, y::scale, z::scale] = groups[row * phases + column][:, :, top : top + height, left : left + width]
    return out


class UpConv(nn.Module):
    """Nearest upsampling, then a 3x3 convolution, computed before the upsampling.

    Args:
        weight: (O, I, 3, 3).
        bias: (O,) or None.
        scale: Factor of the upsampling.
        before: False computes after the upsampling, as the plain network does.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, scale: int, *, before: bool) -> None:
        super().__init__()
        from liveportrait.networks.fast.rewrites import phase_kernels

        self.scale, self.before = scale, before
        if before:
            phases = min(scale, 3) ** 2
            self.conv = Conv(phase_kernels(weight, scale), None if bias is None else bias.repeat(phases), 1)
        else:
            self.conv = Conv(weight, bias, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, h, w) -> (B, O, scale*h, scale*w)."""
        if not self.before:
            return cast(Tensor, self.conv(functional.interpolate(x, scale_factor=float(self.scale), mode="nearest")))
        y = self.conv(x)
        return spread_phases(y, self.scale) if torch.compiler.is_exporting() else spread_phases_in_place(y, self.scale)


def hat_matrices(coordinates: Tensor, size: int) -> Tensor:
    """Linear interpolation with zeros outside, along one axis, as grid_sample with align_corners=False does it.

    Args:
        coordinates: (..., N) positions, -1..1 across the voxels' outer edges.
        size: Number of voxels.

    Returns:
        (..., N, size) weights max(0, 1 - |position - voxel|).
    """
    position = ((coordinates + 1.0) * size - 1.0) * 0.5
    voxels = torch.arange(size, device=coordinates.device, dtype=coordinates.dtype)
    return (1.0 - (position[..., None] - voxels).abs()).clamp(min=0.0)


def gather_sample(volume: Tensor, grid: Tensor) -> Tensor:
    """Trilinear sampling with zeros outside by eight gathers: grid_sample for runtimes without a 5-D one.

    Args:
        volume: (B, C, D, H, W).
        grid: (B, D', H', W', 3), x y z in -1..1, align_corners=False.

    Returns:
        (B, C, D', H', W') in the volume's type; positions and weights are computed in float32.
    """
    batch, channels, depth, height, width = volume.shape
    flat = volume.flatten(2)
    points = grid.float().flatten(1, 3)
    corners = []
    for axis, size in enumerate((width, height, depth)):
        position = ((points[..., axis] + 1.0) * size - 1.0) * 0.5
        low = position.floor()
        share = position - low
        pair = []
        for step, weight in ((0.0, 1.0 - share), (1.0, share)):
            index = low + step
            inside = ((index >= 0.0) & (index <= size - 1.0)).to(weight.dtype)
            pair.append((index.clamp(0.0, size - 1.0), weight * inside))
        corners.append(pair)
    total: Any = 0.0
    for z, weight_z in corners[2]:
        for y, weight_y in corners[1]:
            row, weight_row = (z * height + y) * width, weight_z * weight_y
            for x, weight_x in corners[0]:
                index = (row + x).to(torch.int64)[:, None].expand(-1, channels, -1)
                total = total + torch.gather(flat, 2, index) * (weight_row * weight_x)[:, None].to(volume.dtype)
    return cast(Tensor, total).reshape(batch, channels, *grid.shape[1:4])
