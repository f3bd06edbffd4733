"""The detector: any backbone's maps at strides 8, 16 and 32, a small feature pyramid, and one head per stride.

One prior per cell, five landmarks, no anchors; the structure of YuNet (Wu et al., 2023) with the pyramid and the
quality score of SCRFD (Guo et al., 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.backbones import Backbone, features
from models.backbones.osa import separable, unit
from models.detection.geometry import LARGEST_LOG, STRIDES, prior_points

PRIOR_SCORE: Final = -4.595
"""Bias of the score: 0.01 initially, so that the many empty cells don't dominate the first steps."""
OUTPUTS: Final = (1, 4, 10)
"""Channels of score, box and points."""
MEAN: Final = 127.5
SCALE: Final = 128.0


def neck_width(channels: Sequence[int]) -> int:
    """Width of the pyramid for a backbone: 3/8 of its middle map, between 32 and 96, a multiple of 8."""
    return min(max(channels[len(channels) // 2] * 3 // 64 * 8, 32), 96)


class Pyramid(nn.Module):
    """1x1 laterals to one width, coarse maps added to finer ones, one separable 3x3 unit per level."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(unit(c, width, 1) for c in channels)
        self.smooth = nn.ModuleList(separable(width, width) for _ in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps of one width, sizes unchanged."""
        maps = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        out = [maps[-1]]
        for finer in reversed(maps[:-1]):
            out.append(finer + functional.interpolate(out[-1], size=finer.shape[-2:], mode="nearest"))
        return [smooth(x) for smooth, x in zip(self.smooth, reversed(out), strict=True)]


class Head(nn.Module):
    """Score, box and points of each cell of one level."""

    def __init__(self, width: int, units: int = 1) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*(separable(width, width) for _ in range(units)))
        self.last = nn.Conv2d(width, sum(OUTPUTS), 1)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.last.bias))
        with torch.no_grad():
            cast(Tensor, self.last.bias)[0] = PRIOR_SCORE

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, h * w, 15)."""
        return cast(Tensor, self.last(self.trunk(x))).flatten(2).transpose(1, 2)


class FaceDetector(nn.Module):
    """Detector on a backbone.

    Args:
        backbone: Returns maps at strides 8, 16 and 32 (attribute channels: their channels).
        width: Channels of the pyramid; neck_width if None.
        units: Separable units before each head's last layer.
    """

    def __init__(self, backbone: nn.Module, width: int | None = None, units: int = 1) -> None:
        super().__init__()
        channels = cast("tuple[int, ...]", backbone.channels)
        width = width or neck_width(channels)
        self.backbone = backbone
        self.neck = Pyramid(channels, width)
        self.heads = nn.ModuleList(Head(width, units) for _ in channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw outputs of all cells, in the order of models.detection.geometry.prior_points.

        Args:
            x: (N, 3, H, W) normalised RGB (see normalise), sides multiples of 32.

        Returns:
            (N, A) score logits, (N, A, 4) box codes and (N, A, 10) point codes.
        """
        maps = self.neck(self.backbone(x))
        out = torch.cat([head(level) for head, level in zip(self.heads, maps, strict=True)], dim=1)
        scores, boxes, points = out.split(OUTPUTS, dim=2)
        return scores.squeeze(2), boxes, points


def normalise(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 RGB to (N, 3, H, W) float32 in -1..1."""
    return (images.permute(0, 3, 1, 2).float() - MEAN) / SCALE


def decode(boxes: Tensor, points: Tensor, priors: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same as models.detection.geometry.decode, on tensors."""
    scale = strides[:, None]
    centres = boxes[..., :2] * scale + priors
    half = boxes[..., 2:].clamp(max=LARGEST_LOG).exp() * scale / 2
    five = points.unflatten(-1, (5, 2)) * scale[:, None] + priors[:, None]
    return torch.cat([centres - half, centres + half], dim=-1), five


class Deployed(nn.Module):
    """The exported module: uint8 images in, scores, boxes and points in pixels out.

    Args:
        detector: The trained network.
        size: Side of the square input, a multiple of 32.
    """

    priors: Tensor
    strides: Tensor

    def __init__(self, detector: FaceDetector, size: int) -> None:
        super().__init__()
        self.detector = detector
        priors, strides = prior_points(size, size)
        self.register_buffer("priors", torch.from_numpy(priors))
        self.register_buffer("strides", torch.from_numpy(strides))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, size, size, 3) uint8 to (N, A) scores 0..1, (N, A, 4) boxes, (N, A, 5, 2) points, corner-based."""
        scores, boxes, points = self.detector(normalise(image))
        corners, five = decode(boxes, points, self.priors, self.strides)
        return scores.sigmoid(), corners, five


def build(
    backbone: Backbone, *, in_chans: int = 3, width: int | None = None, units: int = 1, **options: Any
) -> FaceDetector:
    """A detector with fresh weights.

    Args:
        backbone: Its backbone.
        in_chans: Channels of the image.
        width: Channels of the pyramid.
        units: Separable units per head.
        options: Further options of the backbone's family.
    """
    places = [backbone.reductions.index(stride) for stride in STRIDES]
    return FaceDetector(features(backbone, places, in_chans=in_chans, **options), width, units)
