"""Sizes of EMOv2 (models.backbones.emo2), available without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from models.backbones.spec import FIVE_STRIDES, Backbone


@dataclass(frozen=True)
class Emo2Size:
    """Constants of one size.

    Attributes:
        depths: Blocks of the four stages.
        dims: Their channels.
        ratios: Their expansion; the first block of a stage expands twice as much.
        head_dim: Channels per head of queries and keys.
        drop_path: Largest rate of stochastic depth; it rises linearly over all blocks.
    """

    depths: tuple[int, int, int, int]
    dims: tuple[int, int, int, int]
    ratios: tuple[float, float, float, float]
    head_dim: int
    drop_path: float


SIZES: Final[dict[str, Emo2Size]] = {
    "emo2_1m": Emo2Size((2, 2, 8, 3), (32, 48, 80, 180), (2.0, 2.5, 3.0, 3.5), 20, 0.04036),
    "emo2_2m": Emo2Size((3, 3, 9, 3), (32, 48, 120, 200), (2.0, 2.5, 3.0, 3.5), 20, 0.05),
    "emo2_5m": Emo2Size((3, 3, 9, 3), (48, 72, 160, 288), (2.0, 3.0, 4.0, 4.0), 32, 0.05),
    "emo2_20m": Emo2Size((3, 3, 13, 3), (64, 128, 320, 448), (2.0, 3.0, 4.0, 4.0), 32, 0.1),
}
BACKBONES: Final = tuple(
    Backbone(name, (size.dims[0] // 2, *size.dims), FIVE_STRIDES, "models.backbones.emo2", frozenset({"window_size"}))
    for name, size in SIZES.items()
)
