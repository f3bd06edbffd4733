"""Names and sizes of the FFNet family; nothing here imports torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from models.backbones.spec import Backbone

BLOCKS: Final[dict[str, dict[int, tuple[int, ...]]]] = {
    "plain": {
        18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 56: (4, 8, 12, 3), 86: (8, 12, 16, 6),
        101: (3, 4, 23, 3), 134: (8, 18, 28, 12), 150: (16, 18, 28, 12),
    },
    "S": {
        22: (2, 3, 3, 2), 30: (3, 4, 4, 3), 40: (4, 5, 6, 4), 54: (5, 8, 8, 5), 78: (6, 12, 12, 8),
        86: (8, 12, 16, 6), 150: (16, 18, 28, 12),
    },
    "N": {46: (6, 8, 8), 74: (8, 12, 16), 122: (16, 24, 20)},
}  # fmt: skip
BLOCKS["NS"] = BLOCKS["N"]
WIDTHS: Final = {
    "plain": (64, 128, 256, 512), "S": (64, 128, 192, 320), "N": (96, 160, 320), "NS": (64, 128, 256),
}  # fmt: skip
BOTTLENECKS: Final = (50, 101)
ADAPTERS: Final = {"A": (64, 128, 256, 512), "B": (64, 128, 128, 256), "C": (128, 128, 128, 128)}
UP_HEADS: Final = {"A": (128, 128, 128, 128), "B": (96, 96, 64, 32), "C": (128, 16, 16, 16)}
SEG_HEADS: Final = {"A": (512, 1), "B": (256, 3), "C": (128, 1)}
"""Inner channels and kernel of the last convolution."""

OFFICIAL: Final = (
    "150_AAA", "134_AAA", "101_AAA", "86_AAA", "56_AAA", "50_AAA", "34_AAA", "18_AAA",
    "150_ABB", "86_ABB", "56_ABB", "34_ABB",
    "150_dAAA", "134_dAAA", "101_dAAA", "86_dAAA", "56_dAAA", "50_dAAA", "34_dAAA", "18_dAAA",
    "150_dAAC", "86_dAAC", "34_dAAC", "18_dAAC",
    "150S_BBB", "86S_BBB", "150S_dBBB", "86S_dBBB",
    "122N_CBB", "74N_CBB", "46N_CBB",
    "150S_BBB_mobile", "86S_BBB_mobile", "78S_BBB_mobile", "54S_BBB_mobile", "40S_BBB_mobile",
    "150S_BCC_mobile", "86S_BCC_mobile", "78S_BCC_mobile", "54S_BCC_mobile", "40S_BCC_mobile",
    "30S_BCC_mobile", "22S_BCC_mobile",
    "86S_dBBB_mobile", "78S_dBBB_mobile", "54S_dBBB_mobile", "40S_dBBB_mobile", "22S_dBCC_mobile",
    "122NS_CBB_mobile", "74NS_CBB_mobile", "46NS_CBB_mobile",
    "122NS_CCC_mobile", "74NS_CCC_mobile", "46NS_CCC_mobile",
)  # fmt: skip
"""Registered nets; parse accepts any other combination too."""


@dataclass(frozen=True)
class FFNetConfig:
    """One net of the family.

    Attributes:
        family: "plain", "S" (slim), "N" or "NS" (three stages).
        depth: Number in the name.
        strided: First stage of stride 2 ("d").
        up: Letter of adapter and up-head.
        last: Letter of the segmentation head, X for the classifier.
        mobile: Nearest-neighbour resizing.
        pre_down: Fixed smoothing and halving of the image before the net.
    """

    family: str
    depth: int
    strided: bool
    up: str
    last: str
    mobile: bool
    pre_down: bool = False

    @property
    def bottleneck(self) -> bool:
        """Whether the blocks are bottlenecks."""
        return self.family == "plain" and self.depth in BOTTLENECKS

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        return BLOCKS[self.family][self.depth]

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each stage's blocks, before the expansion of bottlenecks."""
        return WIDTHS[self.family]

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each stage."""
        return (2, 2, 2) if len(self.blocks) == 3 else (2 if self.strided else 1, 2, 2, 2)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the four maps, fine to coarse."""
        if len(self.blocks) == 3:
            return (64, *self.widths)
        return tuple(4 * w for w in self.widths) if self.bottleneck else self.widths

    @property
    def reductions(self) -> tuple[int, ...]:
        """Strides of the four maps in pixels of the image."""
        first = (8 if self.strided else 4) * (2 if self.pre_down else 1)
        return (first, 2 * first, 4 * first, 8 * first)


def parse(name: str) -> FFNetConfig:
    """The net of a name such as ffnet40s_dbbb_mobile or 40S_BBB_mobile_pre_down; case does not matter.

    Raises:
        ValueError: The name does not belong to the family.
    """
    found = re.fullmatch(
        r"(?:ffnet)?(\d+)(s|n|ns)?_(d)?([abc])([abc])([abcx])(_mobile)?(_pre_down)?(?:_cls)?", name.lower()
    )
    if found:
        family = (found[2] or "plain").upper().replace("PLAIN", "plain")
        letter = {"plain": "a", "S": "b", "N": "c", "NS": "c"}[family]
        depth, strided = int(found[1]), found[3] is not None
        three = family in ("N", "NS")
        if depth in BLOCKS[family] and found[4] == letter and not (three and (strided or found[6] == "x")):
            return FFNetConfig(
                family, depth, strided, found[5].upper(), found[6].upper(), bool(found[7]), bool(found[8])
            )  # fmt: skip
    raise ValueError(f"{name!r} is not an FFNet; names look like ffnet40s_dbbb_mobile or ffnet18_daac.")


def _backbone(name: str) -> Backbone:
    config = parse(name)
    return Backbone(
        f"ffnet{name.lower()}", config.channels, config.reductions, "models.backbones.ffnet",
        parser_head=config.up + config.last, nearest=config.mobile,
    )  # fmt: skip


BACKBONES: Final = tuple(_backbone(name) for name in OFFICIAL)
