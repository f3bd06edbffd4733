"""Sizes of our own narrow VoVNet (models.backbones.osa), available without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from models.backbones.spec import Backbone


@dataclass(frozen=True)
class OsaSize:
    """Constants of one size.

    Attributes:
        stem: Channels at stride 2.
        channels: Channels of the maps at strides 4, 8, 16 and 32.
        widths: Channels of the layers that are aggregated, in the stages of strides 8, 16 and 32.
        blocks: Aggregation modules in these stages.
        layers: Layers per module.
    """

    stem: int
    channels: tuple[int, int, int, int]
    widths: tuple[int, int, int]
    blocks: tuple[int, int, int]
    layers: int = 3


SIZES: Final[dict[str, OsaSize]] = {
    "osa_nano": OsaSize(16, (32, 64, 128, 160), (32, 48, 64), (1, 2, 2)),
    "osa_micro": OsaSize(24, (32, 64, 128, 224), (32, 56, 80), (2, 3, 2)),
}
BACKBONES: Final = tuple(
    Backbone(name, size.channels, (4, 8, 16, 32), "models.backbones.osa") for name, size in SIZES.items()
)
