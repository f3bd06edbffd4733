"""EMOv2: residual blocks of 1x1 expansion or spanning attention, depthwise 5x5 and 1x1 projection.

Written from a description of the architecture (Zhang et al., "EMOv2: Pushing 5M Vision Model Frontier", 2024); names
and shapes of the weights are the official ones, so official checkpoints load strictly.
"""

from __future__ import annotations

from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones.emo2_sizes import SIZES, Emo2Size

EPS: Final = 1e-6
"""Epsilon of every normalisation in the net."""
KERNEL: Final = 5
"""Of the depthwise convolution in every block."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (N, C, H, W), separately for each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x."""
        return cast(Tensor, self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class ConvUnit(nn.Module):
    """Convolution with same padding, then optional batch norm and activation."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1,
        bias: bool = False, norm: bool = False, act: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(c_out, eps=EPS) if norm else nn.Identity()
        self.act = act if act is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H/stride, W/stride)."""
        return cast(Tensor, self.act(self.norm(self.conv(x))))


class Expansion(nn.Module):
    """1x1 convolution with bias and activation."""

    def __init__(self, c_in: int, c_mid: int, act: nn.Module) -> None:
        super().__init__()
        self.net = ConvUnit(c_in, c_mid, bias=True, act=act)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_mid, H, W)."""
        return cast(Tensor, self.net(x))


class SpanningAttention(nn.Module):
    """Attention in local windows plus, with the same weights, in dilated ones whose cells span the whole map.

    The map is padded with zeros before the projections: padded cells contain the biases and take part in the softmax.
    """

    def __init__(self, c_in: int, c_mid: int, head_dim: int, window: int, act: nn.Module) -> None:
        super().__init__()
        self.heads, self.head_dim, self.window = c_in // head_dim, head_dim, window
        self.qk = ConvUnit(c_in, 2 * c_in, bias=True)
        self.v = ConvUnit(c_in, c_mid, bias=True, act=act)

    def _attend(self, qk: Tensor, v: Tensor, order: tuple[int, ...], back: tuple[int, ...]) -> Tensor:
        """Attention inside windows; order permutes (2, h, c, y parts, x parts) to (a, b, head, i, j, c)."""
        n, _, height, width = v.shape
        w = self.window
        rows, columns = height // w, width // w
        near = order[0] == 3
        split = (rows, w, columns, w) if near else (w, rows, w, columns)
        parts = qk.reshape(n, 2 * self.heads, self.head_dim, *split).permute(0, *order)
        parts = parts.reshape(n, rows, columns, 2 * self.heads, w * w, self.head_dim)
        q, k = parts[:, :, :, : self.heads], parts[:, :, :, self.heads :]
        values = v.reshape(n, self.heads, -1, *split).permute(0, *order)
        values = values.reshape(n, rows, columns, self.heads, w * w, v.shape[1] // self.heads)
        weights = (q @ k.transpose(-1, -2) * self.head_dim**-0.5).softmax(dim=-1)
        out = (weights @ values).reshape(n, rows, columns, self.heads, w, w, v.shape[1] // self.heads)
        return out.permute(0, *back).reshape(n, v.shape[1], height, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_mid, H, W)."""
        height, width = x.shape[-2:]
        x = functional.pad(x, (0, -width % self.window, 0, -height % self.window))
        qk, v = self.qk(x), self.v(x)
        # Axes of the split maps: 0 n, 1 head, 2 channel, 3..6 the parts of rows and columns.
        near = self._attend(qk, v, (3, 5, 1, 4, 6, 2), (3, 6, 1, 4, 2, 5))
        far = self._attend(qk, v, (4, 6, 1, 3, 5, 2), (3, 6, 4, 1, 5, 2))
        return (near + far)[:, :, :height, :width]


class LayerScale(nn.Module):
    """A learnt factor per channel."""

    def __init__(self, channels: int, start: float = 1e-6) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((1, channels, 1, 1), start))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x."""
        return x * self.gamma


class I2RMB(nn.Module):
    """Improved inverted residual mobile block.

    Args:
        c_in: Channels in.
        c_out: Channels out.
        stride: 1 or 2.
        ratio: Expansion.
        attention: None, or (head_dim, window).
        late: Stages 3 and 4: layer norm and GELU in place of batch norm and SiLU.
        drop_path: Rate of stochastic depth.
    """

    def __init__(
        self, c_in: int, c_out: int, stride: int, ratio: float, *,
        attention: tuple[int, int] | None, late: bool, drop_path: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        c_mid = int(c_in * ratio)
        self.skip = stride == 1 and c_in == c_out
        self.drop_path = drop_path
        self.norm = ChannelNorm(c_in) if late else nn.BatchNorm2d(c_in, eps=EPS)
        act: nn.Module = nn.GELU() if late else nn.SiLU()
        operator: nn.Module
        if attention is None:
            operator = Expansion(c_in, c_mid, act)
        else:
            operator = SpanningAttention(c_in, c_mid, *attention, act)
        self.eops = nn.ModuleList([operator])
        self.conv_local = ConvUnit(c_mid, c_mid, KERNEL, stride, groups=c_mid, norm=True, act=nn.SiLU())
        self.proj = ConvUnit(c_mid, c_out)
        self.ls = LayerScale(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H/stride, W/stride)."""
        expanded = self.eops[0](self.norm(x))
        local = self.conv_local(expanded)
        out = self.ls(self.proj(expanded + local if self.skip else local))
        if not self.skip:
            return cast(Tensor, out)
        if self.training and self.drop_path > 0:
            keep = 1.0 - self.drop_path
            out = out * out.new_empty((out.shape[0], 1, 1, 1)).bernoulli_(keep).div_(keep)
        return cast(Tensor, x + out)


class Emo2(nn.Module):
    """EMOv2 with a classifier.

    Args:
        size: Constants of the net.
        window: Side of the attention windows in cells; no weight depends on it (7 at 224, 8 at 256, 10 for dense
            predictions).
        classes: Outputs of the classifier.
        in_chans: Channels of the image.
    """

    reductions = (2, 4, 8, 16, 32)

    def __init__(self, size: Emo2Size, window: int = 8, classes: int = 1000, in_chans: int = 3) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window_size is {window}; use 1 or more.")
        stem = size.dims[0] // 2
        self.channels = (stem, *size.dims)
        self.stage0 = nn.Sequential(
            ConvUnit(in_chans, stem, 3, 2, bias=True, norm=True, act=nn.SiLU()),
            ConvUnit(stem, stem, 3, groups=stem, norm=True, act=nn.SiLU()),
            ConvUnit(stem, stem),
        )
        total, done, c_in = sum(size.depths), 0, stem
        for stage in range(4):
            late, dim, ratio = stage >= 2, size.dims[stage], size.ratios[stage]
            blocks = []
            for index in range(size.depths[stage]):
                first = index == 0
                attention = (size.head_dim, window) if late and not first else None
                rate = size.drop_path * done / max(total - 1, 1)
                blocks.append(
                    I2RMB(
                        c_in, dim, 2 if first else 1, ratio * 2 if first else ratio,
                        attention=attention, late=late, drop_path=rate,
                    )
                )  # fmt: skip
                c_in, done = dim, done + 1
            setattr(self, f"stage{stage + 1}", nn.Sequential(*blocks))
        self.norm = ChannelNorm(c_in)
        self.head = nn.Linear(c_in, classes)

    def drop_head(self) -> None:
        """Remove everything that only the logits need."""
        self.norm, self.head = nn.Identity(), nn.Identity()  # type: ignore[assignment]

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps at strides 2, 4, 8, 16 and 32 of a (N, C, H, W) image."""
        maps = []
        for name in ("stage0", "stage1", "stage2", "stage3", "stage4"):
            x = getattr(self, name)(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) image to (N, classes) logits."""
        return cast(Tensor, self.head(self.norm(self.features(x)[-1]).mean(dim=(2, 3))))


def build(name: str, *, window_size: int = 8, num_classes: int | None = None, in_chans: int = 3) -> Emo2:
    """EMOv2 of a size in SIZES with fresh weights."""
    return Emo2(SIZES[name], window_size, 1000 if num_classes is None else num_classes, in_chans)
