"""FFNet: ResNet-like encoders with an up-head and a segmentation head.

Written from a description of the architecture (Mehta et al., "Simple and Efficient Architectures for Semantic
Segmentation", 2022); names and shapes of the weights are the official ones, so official checkpoints load strictly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones.ffnet_config import ADAPTERS, SEG_HEADS, UP_HEADS, FFNetConfig, parse

LEVELS: Final = (32, 16, 8)
"""Nominal strides in the names of the up-head's weights, coarse to fine."""


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1, bias: bool = False) -> list[nn.Module]:
    """Convolution with same padding, batch norm and ReLU."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=bias)
    return [conv, nn.BatchNorm2d(c_out), nn.ReLU()]


class Unit(nn.Module):
    """Convolution, batch norm, ReLU under the name 'layers'."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*conv_bn(c_in, c_out, kernel))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H, W)."""
        return cast(Tensor, self.layers(x))


class Basic(nn.Module):
    """Residual block of two 3x3 convolutions."""

    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(c_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, width, H/stride, W/stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """Residual block of 1x1, 3x3 and 1x1 convolutions; the output is four times as wide as the inner convolution."""

    expansion = 4

    def __init__(self, c_in: int, width: int, stride: int = 1, shortcut_first: bool = False) -> None:
        super().__init__()
        c_out = width * self.expansion
        if shortcut_first:  # order of the weights in official classifiers
            self.downsample = shortcut(c_in, c_out, stride)
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        if not shortcut_first:
            self.downsample = shortcut(c_in, c_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, 4 width, H/stride, W/stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


def shortcut(c_in: int, c_out: int, stride: int) -> nn.Sequential | None:
    """1x1 convolution and batch norm where the width or the stride changes."""
    if stride == 1 and c_in == c_out:
        return None
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))


class Encoder(nn.Module):
    """Stem and stages; four maps, fine to coarse.

    Args:
        config: Which net.
        in_chans: Channels of the image.
    """

    def __init__(self, config: FFNetConfig, in_chans: int = 3) -> None:
        super().__init__()
        self.family = config.family
        if config.family == "plain":
            self.conv1 = nn.Conv2d(in_chans, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
        else:
            widths = (in_chans, 32, 64) if config.family == "S" else (in_chans, 64, 64, 64)
            for i in range(len(widths) - 1):
                stride = 1 if i == 2 else 2
                setattr(self, f"conv{i}", nn.Conv2d(widths[i], widths[i + 1], 3, stride, 1, bias=False))
                setattr(self, f"bn{i}", nn.BatchNorm2d(widths[i + 1]))
        block = Bottleneck if config.bottleneck else Basic
        c_in = 64
        for i, (count, width, stride) in enumerate(zip(config.blocks, config.widths, config.strides, strict=True)):
            stage = []
            for j in range(count):
                stage.append(block(c_in, width, stride if j == 0 else 1))
                c_in = width * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.stages = len(config.blocks)
        self.channels = config.channels

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) image to four maps."""
        maps = []
        if self.family == "plain":
            x = functional.relu(self.bn1(self.conv1(x)))
            x = functional.max_pool2d(x, 3, 2, 1)
        else:
            for i in range(2 if self.family == "S" else 3):
                x = functional.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
            if self.family != "S":
                maps.append(x)
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
            maps.append(x)
        return maps


class Adapter(nn.Module):
    """A 1x1 unit for each map."""

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.adapter_conv = nn.ModuleList(Unit(c, w, 1) for c, w in zip(channels, widths, strict=True))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps of the adapted widths, sizes unchanged."""
        return [unit(x) for unit, x in zip(self.adapter_conv, maps, strict=True)]


class UpHead(nn.Module):
    """Coarse-to-fine sums of the adapted maps.

    Args:
        widths: Channels of the maps in, fine to coarse.
        outs: Channels of the maps out, fine to coarse.
        nearest: Resize by nearest neighbour (mobile), else bilinear with aligned corners.
    """

    def __init__(self, widths: Sequence[int], outs: Sequence[int], nearest: bool) -> None:
        super().__init__()
        self.nearest = nearest
        for place, level in enumerate(LEVELS):
            coarse = 3 - place
            setattr(self, f"fam_{level}_sm", Unit(widths[coarse], outs[coarse], 3))
            setattr(self, f"fam_{level}_up", Unit(widths[coarse], widths[coarse - 1], 1))
        self.fam_4 = Unit(widths[0], outs[0], 3)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps, fine to coarse."""
        up, out = maps[3], []
        for place, level in enumerate(LEVELS):
            out.append(getattr(self, f"fam_{level}_sm")(up))
            finer = maps[2 - place]
            up = resize(getattr(self, f"fam_{level}_up")(up), finer, self.nearest) + finer
        out.append(self.fam_4(up))
        return out[::-1]


def resize(x: Tensor, like: Tensor, nearest: bool) -> Tensor:
    """Resize x to the height and width of another map."""
    if nearest:
        return functional.interpolate(x, size=like.shape[-2:], mode="nearest")
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


class Concatenate(nn.Module):
    """All maps resized to the finest and concatenated."""

    def __init__(self, nearest: bool) -> None:
        super().__init__()
        self.nearest = nearest

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(N, sum of channels, H, W)."""
        return torch.cat([maps[0], *(resize(x, maps[0], self.nearest) for x in maps[1:])], dim=1)


class SegHead(nn.Module):
    """3x3 unit and a convolution to classes."""

    def __init__(self, c_in: int, mid: int, kernel: int, classes: int) -> None:
        super().__init__()
        self.last_layer = nn.Sequential(
            *conv_bn(c_in, mid, 3, bias=True), nn.Conv2d(mid, classes, kernel, padding=kernel // 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, classes, H, W) logits."""
        return cast(Tensor, self.last_layer(x))


class ClsHead(nn.Module):
    """Classifier over the maps of the up-head, as in the ImageNet checkpoints."""

    def __init__(self, outs: Sequence[int], classes: int) -> None:
        super().__init__()
        widths = (128, 256, 512, 1024)
        self.expansion_layers = nn.ModuleList(
            Bottleneck(c, w // 4, shortcut_first=True) for c, w in zip(outs, widths, strict=True)
        )
        self.downsampling_layers = nn.ModuleList(
            nn.Sequential(*conv_bn(a, b, 3, 2, bias=True)) for a, b in pairwise(widths)
        )
        self.final_layer = nn.Sequential(*conv_bn(widths[-1], 2048, 1, bias=True))
        self.classifier = nn.Linear(2048, classes)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(N, classes) logits."""
        x = self.expansion_layers[0](maps[0])
        for i, down in enumerate(self.downsampling_layers):
            x = self.expansion_layers[i + 1](maps[i + 1]) + down(x)
        return cast(Tensor, self.classifier(self.final_layer(x).mean(dim=(2, 3))))


class FFNetHead(nn.Module):
    """Adapter, up-head and the last head over four maps of any encoder.

    Args:
        channels: Channels of the maps, fine to coarse.
        up: Letter of the up-head: A, B or C.
        last: Letter of the segmentation head A, B or C, or X for the classifier.
        classes: Outputs.
        nearest: Resize by nearest neighbour, else bilinear.
    """

    def __init__(self, channels: Sequence[int], up: str, last: str, classes: int, nearest: bool) -> None:
        super().__init__()
        outs = UP_HEADS[up]
        parts: list[nn.Module] = [Adapter(channels, ADAPTERS[up]), UpHead(ADAPTERS[up], outs, nearest)]
        if last == "X":
            parts.append(ClsHead(outs, classes))
        else:
            parts += [Concatenate(nearest), SegHead(sum(outs), *SEG_HEADS[last], classes)]
        self.layers = nn.ModuleList(parts)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits: (N, classes, h, w) at the size of the finest map, or (N, classes) of a classifier."""
        x: object = maps
        for layer in self.layers:
            x = layer(x)
        return cast(Tensor, x)


class PreDown(nn.Module):
    """Fixed 5x5 Gaussian of stride 2 after one reflected row at top and bottom (none at the sides)."""

    weight: Tensor

    def __init__(self, channels: int = 3, sigma: float = 0.7) -> None:
        super().__init__()
        at = torch.arange(7, dtype=torch.float64) - 3
        line = torch.exp(-(at**2) / (2 * sigma**2))
        # The official kernel is a seven-tap Gaussian whose outer taps are added to the border taps.
        line = torch.cat([line[:1] + line[1:2], line[2:5], line[5:6] + line[6:]])
        kernel = torch.outer(line, line)
        self.register_buffer("weight", (kernel / kernel.sum()).float().expand(channels, 1, 5, 5).clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to about half the size."""
        x = functional.pad(x, (0, 0, 1, 1), mode="reflect")
        return functional.conv2d(x, self.weight, stride=2, groups=self.weight.shape[0])


class FFNet(nn.Module):
    """FFNet of a given configuration.

    Args:
        config: Which net.
        classes: Outputs; by default 19 of Cityscapes, for classifiers 1000 of ImageNet.
        in_chans: Channels of the image.
    """

    def __init__(self, config: FFNetConfig, classes: int | None = None, in_chans: int = 3) -> None:
        super().__init__()
        self.backbone_model = Encoder(config, in_chans)
        if classes is None:
            classes = 1000 if config.last == "X" else 19
        self.head = FFNetHead(config.channels, config.up, config.last, classes, config.mobile)
        if config.pre_down:
            self.smoothing = PreDown(in_chans)
        self.pre_down = config.pre_down
        self.reductions, self.channels = config.reductions, config.channels

    def drop_head(self) -> None:
        """Remove everything that only the logits need."""
        self.head = nn.Identity()  # type: ignore[assignment]

    def features(self, x: Tensor) -> list[Tensor]:
        """The encoder's four maps."""
        return cast("list[Tensor]", self.backbone_model(self.smoothing(x) if self.pre_down else x))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) image to logits; those of a segmentation net are at the finest stride, not resized."""
        return cast(Tensor, self.head(self.features(x)))


def build(name: str, *, num_classes: int | None = None, in_chans: int = 3) -> FFNet:
    """FFNet of a registered name, such as ffnet40s_bbb_mobile, with fresh weights."""
    return FFNet(parse(name), num_classes, in_chans)
