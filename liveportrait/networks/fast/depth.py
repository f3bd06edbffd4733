"""Convolutions along the depth with fewer products: the depth as a polynomial or in the frequency domain.

A convolution becomes a product per point when the depth is replaced by values at points: by sums and differences of
slices for three taps (Toom and Cook; 4 products for 2 slices instead of 6), by a Fourier transform for seven (37 for 16
slices instead of 112). Both are exact; only the rounding differs, not the precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, cast

import torch
from torch import Tensor, nn

from liveportrait.networks.fast.layers import Conv

POINTS: Final = {2: (0.0, 1.0, -1.0), 4: (0.0, 1.0, -1.0, 2.0, -2.0)}
"""Slices per tile -> finite points; infinity is one more. More slices need fewer products but lose precision."""


class ToomConv(nn.Module):
    """Convolution with three taps along the depth.

    Args:
        weight: (O, I, 3, h, w).
        bias: (O,).
        depth: Number of slices, a multiple of the tile.
        tile: Slices per tile, a key of POINTS.
    """

    def __init__(self, weight: Tensor, bias: Tensor, depth: int, tile: int) -> None:
        super().__init__()
        points = POINTS[tile]
        to_products, to_kernels, to_slices = toom_matrices(points, tile)
        count, tiles = len(points) + 1, depth // tile
        into = torch.zeros(count, tiles, depth + 2, dtype=torch.float64)
        back = torch.zeros(depth, count, tiles, dtype=torch.float64)
        for index in range(tiles):
            into[:, index, index * tile : index * tile + tile + 2] = to_products
            back[index * tile : (index + 1) * tile, :, index] = to_slices
        self.into = nn.Parameter(into[..., 1:-1].flatten(0, 1).float(), False)  # the slices beyond the ends are zero
        self.back = nn.Parameter(back.flatten(1).float(), False)
        kernels = torch.einsum("pk,oikyx->poiyx", to_kernels, weight.detach().double()).to(weight.dtype)
        lifts = points.index(1.0)  # the product at 1 enters every slice with weight 1, so the bias is added there
        padding = weight.shape[-1] // 2
        self.convs = nn.ModuleList(Conv(k, bias if i == lifts else None, padding) for i, k in enumerate(kernels))

    def forward(self, x: Tensor) -> Tensor:
        """(D*B, I, H, W) depth-major, channels-last -> (D*B, O, H, W)."""
        parts = along_depth(self.into, x).chunk(len(self.convs))
        if torch.compiler.is_exporting():
            return along_depth(self.back, torch.cat([conv(part) for conv, part in zip(self.convs, parts, strict=True)]))
        outputs = cast(Conv, self.convs[0]).weight.shape[0]
        size = (len(parts[0]), outputs, *x.shape[2:])
        products = torch.empty(
            (len(self.convs) * size[0], *size[1:]), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
        )
        for conv, part, out in zip(self.convs, parts, products.chunk(len(self.convs)), strict=True):
            out.copy_(conv(part))
        return along_depth(self.back, products)


class FourierConv(nn.Module):
    """Convolution with few outputs and many taps along the depth, without bias.

    Args:
        weight: (O, I, K, h, w), K odd.
        depth: Number of slices.
    """

    def __init__(self, weight: Tensor, depth: int) -> None:
        super().__init__()
        taps = weight.shape[2]
        period = depth + taps // 2  # the zeros after the end also serve as those before the start
        period += 1 - period % 2  # odd, so that there is no single highest frequency
        waves = torch.arange(period // 2 + 1, dtype=torch.float64) * (2.0 * math.pi / period)
        angle = waves[:, None] * torch.arange(depth, dtype=torch.float64)
        into = torch.stack((angle.cos(), -angle.sin()), dim=1).flatten(0, 1)
        self.into = nn.Parameter(torch.cat((into[:1], into[2:])).float(), False)
        gain = torch.full((len(waves), 1), 2.0 / period, dtype=torch.float64)
        gain[0] = 1.0 / period
        real, imaginary = (
            (gain * angle.cos()).T,
            (-gain * angle.sin()).T,
        )  # (D, F): real and imaginary
        four = torch.stack((real, imaginary, imaginary, -real), dim=2)[:, 1:].flatten(1)
        self.back = nn.Parameter(torch.cat((real[:, :1], four), dim=1).float(), False)
        turn = waves[:, None] * (torch.arange(taps, dtype=torch.float64) - taps // 2)
        kernels = [
            torch.einsum("oikyx,fk->foiyx", weight.detach().double(), part).to(weight.dtype)
            for part in (turn.cos(), turn.sin())
        ]
        padding = weight.shape[-1] // 2
        self.still = Conv(kernels[0][0], None, padding)
        pairs = zip(kernels[0][1:], kernels[1][1:], strict=True)
        self.waves = nn.ModuleList(Conv(torch.cat(pair), None, padding) for pair in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """(D*B, I, H, W) depth-major, channels-last -> (D*B, O, H, W) float32."""
        outputs, (height, width), batch = len(self.still.weight), x.shape[2:], len(x) // self.back.shape[0]
        parts = along_depth(self.into, x)
        if torch.compiler.is_exporting():
            return self._exported(parts, batch)
        products = torch.empty(self.back.shape[1], batch, height, width, outputs, device=x.device)
        products[0] = self.still(parts[:batch]).permute(0, 2, 3, 1)
        for index, conv in enumerate(self.waves):
            start = (1 + 2 * index) * batch
            both = conv(parts[start : start + 2 * batch]).permute(0, 2, 3, 1)  # real and imaginary part
            both = both.unflatten(3, (2, outputs)).unflatten(0, (2, batch)).movedim(4, 1)
            products[1 + 4 * index : 5 + 4 * index].unflatten(0, (2, 2)).copy_(both)
        summed = self.back.float() @ products.flatten(1)
        return summed.reshape(-1, height, width, outputs).permute(0, 3, 1, 2)

    def _exported(self, parts: Tensor, batch: int) -> Tensor:
        """The same without writing into slices of a tensor."""
        products = [self.still(parts[:batch])]
        for index, conv in enumerate(self.waves):
            start = (1 + 2 * index) * batch
            both = conv(parts[start : start + 2 * batch])  # real and imaginary part
            products.extend(half for part in both.split(batch) for half in part.chunk(2, dim=1))
        return along_depth(self.back, torch.cat(products).float())


def along_depth(matrix: Tensor, x: Tensor) -> Tensor:
    """Mix depth slices.

    Args:
        matrix: (N, D).
        x: (D*B, C, H, W) depth-major, channels-last.

    Returns:
        (N*B, C, H, W), channels-last, in x's type.
    """
    channels, height, width = x.shape[1:]
    if torch.compiler.is_exporting():
        return (matrix.to(x.dtype) @ x.reshape(matrix.shape[1], -1)).reshape(-1, channels, height, width)
    flat = x.permute(0, 2, 3, 1).reshape(matrix.shape[1], -1)
    return (matrix.to(x.dtype) @ flat).reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def toom_matrices(points: Sequence[float], tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of a convolution with three taps at points and infinity.

    With them y = slices @ ((kernels @ taps) * (products @ x)) are the tile outputs of x, which has tile + 2 values.

    Args:
        points: tile + 1 different values.
        tile: Number of outputs.

    Returns:
        products (tile + 2, tile + 2), kernels (tile + 2, 3), slices (tile, tile + 2); float64.
    """

    def powers(count: int) -> Tensor:
        rows = [[point**i for i in range(count)] for point in points]
        return torch.tensor([*rows, [0.0] * (count - 1) + [1.0]], dtype=torch.float64)

    products = torch.linalg.inv(powers(tile + 2)).T
    # Each product's row is scaled to integers, which bfloat16 represents exactly; its kernel absorbs the factor.
    scale = torch.stack([1.0 / row[row.abs() > 1e-9].abs().min() for row in products])[:, None]
    whole = (products * scale).round()
    if not torch.allclose(whole, products * scale, atol=1e-6):
        whole = products * scale
    return whole, powers(3) / scale, powers(tile).T
