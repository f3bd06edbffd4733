"""Face parsers: any backbone, with FFNet's up-head and segmentation head on its four deepest maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones import Backbone, features
from models.backbones.ffnet import Adapter, Concatenate, SegHead, UpHead, conv_bn
from models.backbones.ffnet_config import ADAPTERS, SEG_HEADS, UP_HEADS
from models.parsing.classes import BASIC, CLASSES
from models.parsing.parser import OURS

SMALL: Final = ((64, 64, 64, 64), (64, 16, 16, 16), (64, 1))
"""Adapter widths, up-head widths, channels and kernel of the head for small backbones."""
MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)
AUXILIARY: Final = (1, 2)
"""Maps, of the four, that get an auxiliary head in training: usually strides 8 and 16."""


class ParsingHead(nn.Module):
    """Adapter, up-head and segmentation head.

    Args:
        channels: Channels of the four maps, fine to coarse.
        widths: Channels after the adapter.
        outs: Channels after the up-head.
        mid: Channels between the last two convolutions.
        kernel: Kernel of the last convolution.
        classes: Outputs.
        nearest: Resize by nearest neighbour, else bilinear.
    """

    def __init__(
        self, channels: tuple[int, ...], widths: tuple[int, ...], outs: tuple[int, ...], mid: int, kernel: int,
        classes: int, nearest: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layers = nn.Sequential(
            Adapter(channels, widths), UpHead(widths, outs, nearest), Concatenate(nearest),
            SegHead(sum(outs), mid, kernel, classes),
        )  # fmt: skip

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Four maps, fine to coarse, to (N, classes, h, w) at the finest."""
        return cast(Tensor, self.layers(maps))


class Parser(nn.Module):
    """A face parser.

    Args:
        encoder: Returns four maps, fine to coarse; has the attributes channels and reductions.
        head: Computes logits from them.
        auxiliary: Classes of the auxiliary heads; 0 for none.

    Attributes:
        reduction: Stride of the logits in pixels of the image.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, auxiliary: int = 0) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        channels = cast("tuple[int, ...]", encoder.channels)
        self.reduction = cast("tuple[int, ...]", encoder.reductions)[0]
        self.auxiliary = nn.ModuleList(
            nn.Sequential(*conv_bn(channels[place], 64, 3), nn.Conv2d(64, auxiliary, 1)) for place in AUXILIARY
        ) if auxiliary else None  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) image, normalised by MEAN and STD, to (N, classes, H / reduction, W / reduction) logits."""
        return cast(Tensor, self.head(self.encoder(x)))

    def training_outputs(self, x: Tensor) -> list[Tensor]:
        """Logits of the parser, then those of the auxiliary heads at their own strides."""
        maps = self.encoder(x)
        extra = [] if self.auxiliary is None else [
            net(maps[place]) for place, net in zip(AUXILIARY, self.auxiliary, strict=True)
        ]  # fmt: skip
        return [cast(Tensor, self.head(maps)), *extra]


class Deployed(nn.Module):
    """The exported parser: pixels in, probabilities at the image's size out.

    Args:
        parser: The network.
        full: Resize the probabilities to the size of the image, else keep the network's stride.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, parser: nn.Module, full: bool = True) -> None:
        super().__init__()
        self.parser, self.full = parser, full
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) RGB 0..255 to (N, classes, H, W) probabilities."""
        logits = self.parser((pixels - self.mean) / self.std)
        if self.full:
            logits = functional.interpolate(logits, size=pixels.shape[-2:], mode="bilinear", align_corners=False)
        return logits.softmax(dim=1)


def build(
    backbone: Backbone, *, num_classes: int | None = None, in_chans: int = 3, head: str = "", auxiliary: bool = False,
    **options: Any,
) -> Parser:  # fmt: skip
    """A parser with fresh weights.

    Args:
        backbone: Its backbone.
        num_classes: Outputs; BASIC if None.
        in_chans: Channels of the image.
        head: Letters of FFNet's up-head and segmentation head such as "CC", or "small"; empty uses the backbone's
            default.
        auxiliary: Add auxiliary heads for training.
        options: Further options of the backbone.

    Raises:
        ValueError: The head is none of these.
    """
    classes = BASIC if num_classes is None else num_classes
    encoder = features(backbone, range(-4, 0), in_chans=in_chans, **options)
    head = head or backbone.parser_head
    if head == "small":
        widths, outs, last = SMALL
    elif len(head) == 2 and head[0] in UP_HEADS and head[1] in SEG_HEADS:
        widths, outs, last = ADAPTERS[head[0]], UP_HEADS[head[0]], SEG_HEADS[head[1]]
    else:
        raise ValueError(f"head {head!r} is not one of small or two letters out of A, B and C, such as CC.")
    net = ParsingHead(backbone.channels[-4:], widths, outs, *last, classes, backbone.nearest)
    return Parser(encoder, net, classes if auxiliary else 0)


def export(parser: Parser, path: Path, size: int, full: bool = False, half: bool = True) -> float:
    """Write a parser as an ONNX file for FaceParser, and compare it with the network.

    Args:
        parser: The network; its auxiliary heads are not exported.
        path: The file.
        size: Side of the file's input images.
        full: See Deployed. Without it the file is faster, but its user has to resize.
        half: Store the weights in half precision; they are widened on loading, and computation stays in single.

    Returns:
        Largest difference of a probability between the file in ONNX Runtime and the network, on noise.

    Raises:
        ModelError: A package is missing, or the file can't be written.
    """
    from models.export import disagreement, finish_onnx, write_onnx

    net = Deployed(parser, full).eval()
    generator = torch.Generator().manual_seed(0)
    example = (torch.rand((1, 3, size, size), generator=generator) * 255,)
    write_onnx(net, example, path, inputs=["image"], outputs=["classes"])
    classes = net(example[0]).shape[1]
    finish_onnx(path, half=half, facts={OURS: ",".join(CLASSES[:classes])})
    return disagreement(net, path, example)
