"""Specification of a backbone, without torch; each family lists its own next to its sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIVE_STRIDES: Final = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Backbone:
    """A backbone that can be built; its weights are fresh unless loaded.

    Attributes:
        net: Its name.
        channels: Channels of all feature maps, fine to coarse.
        reductions: Their strides in pixels of the image.
        module: Module of its family's build function, which takes the name, num_classes (None for the net's own),
            in_chans and options; with picks_maps also out_indices, and then returns a list of those maps.
        options: Further arguments of build.
        needs: Extra of the package that installs its requirements besides torch, or empty.
        picks_maps: See module. Others have the methods features, which returns all maps, and drop_head.
        parser_head: Letters of the up-head and segmentation head of a face parser on it.
        nearest: A face parser on it resizes by nearest neighbour, else bilinearly.
    """

    net: str
    channels: tuple[int, ...]
    reductions: tuple[int, ...]
    module: str
    options: frozenset[str] = frozenset()
    needs: str = ""
    picks_maps: bool = False
    parser_head: str = "CC"
    nearest: bool = True
