"""A narrow VoVNet of our own for faces in real time: one-shot aggregation of depthwise-separable layers.

After Lee et al., "An Energy and GPU-Computation Efficient Backbone Network" (2019), but with fewer channels than any
published size, 5x5 depthwise kernels in the coarse stages (a large face must fit into the field of view) and batch
norm and ReLU only, which ONNX Runtime folds and fuses.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones.osa_sizes import SIZES, OsaSize


def unit(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True) -> nn.Sequential:
    """Convolution with same padding, batch norm, and optional ReLU."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), *([nn.ReLU()] if act else []))


def separable(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Depthwise convolution with batch norm, then 1x1 convolution with batch norm and ReLU."""
    return nn.Sequential(unit(c_in, c_in, kernel, stride, c_in, act=False), unit(c_in, c_out, 1))


class Aggregation(nn.Module):
    """One-shot aggregation: the outputs of all layers are concatenated once, at the end, and projected.

    Args:
        channels: Channels in and out.
        width: Channels of the layers.
        layers: Number of layers.
        kernel: Kernel size of their depthwise convolutions.
    """

    def __init__(self, channels: int, width: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(separable(channels if i == 0 else width, width, kernel) for i in range(layers))
        self.project = unit(channels + layers * width, channels, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x."""
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        return functional.relu(x + self.project(torch.cat(maps, dim=1)))


class OsaNet(nn.Module):
    """Stem, three aggregation stages, classifier.

    Args:
        size: Constants of the net.
        classes: Outputs of the classifier.
        in_chans: Channels of the image.
    """

    reductions = (4, 8, 16, 32)

    def __init__(self, size: OsaSize, classes: int = 1000, in_chans: int = 3) -> None:
        super().__init__()
        self.channels = size.channels
        self.stem = nn.Sequential(unit(in_chans, size.stem, 3, 2), separable(size.stem, size.channels[0], 3, 2))
        self.stages = nn.ModuleList()
        for index in range(3):
            c_in, c_out = size.channels[index], size.channels[index + 1]
            kernel = 3 if index == 0 else 5
            blocks = [Aggregation(c_out, size.widths[index], size.layers, kernel) for _ in range(size.blocks[index])]
            self.stages.append(nn.Sequential(separable(c_in, c_out, 3, 2), *blocks))
        self.head = nn.Linear(size.channels[-1], classes)

    def drop_head(self) -> None:
        """Remove everything that only the logits need."""
        self.head = nn.Identity()  # type: ignore[assignment]

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps at strides 4, 8, 16 and 32 of a (N, C, H, W) image."""
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) image to (N, classes) logits."""
        return cast(Tensor, self.head(self.features(x)[-1].mean(dim=(2, 3))))


def build(name: str, *, num_classes: int | None = None, in_chans: int = 3) -> OsaNet:
    """Net of a size in SIZES with fresh weights."""
    return OsaNet(SIZES[name], 1000 if num_classes is None else num_classes, in_chans)
