"""Building blocks of the rewritten networks."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def end_type(dtype: torch.dtype) -> torch.dtype:
    """Type of the convolutions between W and G, where higher precision pays off.

    Args:
        dtype: Type of all others.
    """
    return torch.float32 if dtype == torch.bfloat16 else dtype


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
        # A dilation has no effect on a single tap, but makes PyTorch use oneDNN for 1x1 convolutions instead of a
        # float32 product that is 2.4 times slower on AMD CPUs.
        lone = self.weight.shape[-1] == 1 and x.device.type == "cpu" and not torch.compiler.is_exporting()
        x = x.to(self.weight.dtype)
        return functional.conv2d(x, self.weight, self.bias, padding=self.padding, dilation=2 if lone else 1)


def depth_window(x: Tensor, batch: int) -> Tensor:
    """Every depth slice with its two neighbours (zeros beyond the ends), concatenated along the channels.

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
    """Add up the depth taps of a convolution, each shifted to its position.

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


def spread_phases(cells: list[list[Tensor]], scale: int) -> Tensor:
    """Write the phases of an enlarged map to their positions.

    Args:
        cells: By row and column, P = min(scale, 3) of each: (B, C, h, w), the values of the first, the inner and the
            last pixels of every cell of scale x scale; without inner ones for scale 2.
        scale: Factor of the upsampling.

    Returns:
        (B, C, scale*h, scale*w).
    """
    order = (0, *([1] * (scale - 2)), len(cells) - 1)
    batch, channels, height, width = cells[0][0].shape
    rows = [
        torch.stack([row[i] for i in order], dim=4).reshape(batch, channels, height, scale * width) for row in cells
    ]
    return torch.stack([rows[i] for i in order], dim=3).reshape(batch, channels, scale * height, scale * width)


def spread_phases_in_place(cells: list[list[Tensor]], scale: int) -> Tensor:
    """Like spread_phases, written cell by cell into a channels-last map: the faster form outside of exporters."""
    order = (0, *([1] * (scale - 2)), len(cells) - 1)
    batch, channels, height, width = cells[0][0].shape
    out = torch.empty(
        (batch, channels, scale * height, scale * width),
        dtype=cells[0][0].dtype, device=cells[0][0].device, memory_format=torch.channels_last,
    )  # fmt: skip
    for y, row in enumerate(order):
        for z, column in enumerate(order):
            out[:, :, y::scale, z::scale] = cells[row][column]
    return out


class UpConv(nn.Module):
    """Nearest upsampling, then a 3x3 convolution, then an optional ReLU; computed before the upsampling.

    Along one axis, with the taps a, b, c and their sum s, the first pixel of cell i is s x[i] - a (x[i] - x[i-1]), an
    inner one s x[i] and the last one s x[i] + c (x[i+1] - x[i]). In two dimensions that is nine 1x1 products of the
    map and its differences, for every scale: compared to 16 for four (36 for nine) phases of 2x2, and 9 for each of the
    scale^2 pixels after the upsampling.

    Args:
        weight: (O, I, 3, 3).
        bias: (O,) or None.
        scale: Factor of the upsampling.
        before: False computes after the upsampling, as the plain network does.
        relu: Whether a ReLU follows.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, scale: int, *, before: bool, relu: bool = False) -> None:
        super().__init__()
        from liveportrait.networks.fast.rewrites import difference_kernels

        self.scale, self.before, self.relu = scale, before, relu
        if before:
            kernels = difference_kernels(weight)
            self.convs = nn.ModuleList(Conv(k, None if i else bias, 0) for i, k in enumerate(kernels))
        else:
            self.conv = Conv(weight, bias, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, h, w) -> (B, O, scale*h, scale*w)."""
        if not self.before:
            y = self.conv(functional.interpolate(x, scale_factor=float(self.scale), mode="nearest"))
            return functional.relu_(y) if self.relu else cast(Tensor, y)
        cells = self.cells(x)
        return (spread_phases if torch.compiler.is_exporting() else spread_phases_in_place)(cells, self.scale)

    def cells(self, x: Tensor) -> list[list[Tensor]]:
        """(B, I, h, w) -> argument of spread_phases."""
        height, width = x.shape[2:]
        padded = functional.pad(x, (1, 1, 1, 1))
        down = padded[:, :, 1:] - padded[:, :, :-1]  # (B, I, h + 1, w + 2)
        across = padded[:, :, 1:-1, 1:] - padded[:, :, 1:-1, :-1]
        base, rows, columns, corners = (
            conv(part)
            for conv, part in zip(self.convs, (x, down[..., 1:-1], across, down[..., 1:] - down[..., :-1]), strict=True)
        )
        ends = (0, 1) if self.scale == 2 else (0, None, 1)  # 0: first pixel of a cell, 1: last
        rows, columns, corners = rows.chunk(2, dim=1), columns.chunk(2, dim=1), corners.chunk(4, dim=1)
        result = []
        for y in ends:
            line = base if y is None else base + rows[y][:, :, y : y + height]
            row = []
            for z in ends:
                cell = line if z is None else line + columns[z][..., z : z + width]
                if y is not None and z is not None:
                    cell = cell + corners[2 * y + z][:, :, y : y + height, z : z + width]
                row.append(cell.relu() if self.relu else cell)
            result.append(row)
        return result


def hat_matrices(coordinates: Tensor, size: int) -> Tensor:
    """Linear interpolation with zeros outside, along one axis, like grid_sample with align_corners=False.

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
