"""Where to look for faces in an image, in order of likelihood: whole, bordered, tiles, rotated, brightened."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.detectors import Image, Kind, Window

BORDERS: Final = (0.0, 0.25)
SMALLEST_TILE: Final = 160
"""Smallest tile: a 24 px face then fills a seventh of it."""
OWN_TILE: Final = 320
"""Tiles for our own detector are no smaller than its input."""
OWN_SURE: Final = 640
"""From this side of a tile on, the whole image is shrunk so much that a small face next to a large one is lost."""
MOST_TILES: Final = 12
"""Limit of tiles along the longer side, without overlap: keeps the search of a huge image within a second."""
DARK: Final = 0.5
"""95th percentile of the brightness below which the search is repeated on a brightened image."""


@dataclass(frozen=True)
class Pass:
    """One run of one detector.

    Attributes:
        detector: "full" or "short".
        window: Where it looks.
        group: Stage of the search; a new stage only begins if the previous ones found nothing...
        always: ... unless this is set.
    """

    detector: Kind
    window: Window
    group: int = 0
    always: bool = False


def full_search(rgb: Image, detectors: Sequence[Kind] = ("full", "short")) -> Iterator[Pass]:
    """All passes over an image, likely ones first.

    Whole image without and with a border (faces that fill it); halves (small faces next to a large one); quarter
    turns; smaller and smaller tiles; the same on a brightened image if this one is dark.

    Args:
        rgb: (H, W, 3) uint8.
        detectors: Detectors for the whole image, in this order; tiles only use "full". "own" comes before all others:
            the whole image, then tiles; it recognises rotated faces.
    """
    height, width = rgb.shape[:2]
    group = 0
    if "own" in detectors:
        for stage in _own_stages(height, width):
            yield from (replace(step, group=group) for step in stage)
            group += 1
        detectors = [name for name in detectors if name != "own"]
    for lift in (False, True) if is_dark(rgb) else (False,):
        for stage in _stages(height, width, detectors):
            for step in stage:
                yield replace(
                    step, group=group, window=replace(step.window, lift=lift), always=step.always and not lift
                )
            group += 1


def _own_stages(height: int, width: int) -> Iterator[list[Pass]]:
    """Passes for a detector with an input of some 320 px that recognises faces of all rotations."""
    yield [Pass("own", Window.whole(height, width))]
    side = max(height, width) / 2
    if side >= OWN_TILE:
        yield [replace(step, detector="own", always=side >= OWN_SURE) for step in _tiles(height, width, side)]
    yield [Pass("own", Window.whole(height, width, BORDERS[-1]))]


def _stages(height: int, width: int, detectors: Sequence[Kind]) -> Iterator[list[Pass]]:
    yield _whole(height, width, 0, detectors)
    side = max(height, width) / 2
    if side >= SMALLEST_TILE:
        yield [replace(step, always=True) for step in _tiles(height, width, side)]
    for turns in (2, 1, 3):
        yield _whole(height, width, turns, ("full", "short"))
    smallest = max(SMALLEST_TILE, max(height, width) / MOST_TILES)
    side /= 2
    while side >= smallest:
        yield _tiles(height, width, side)
        side /= 2
    if side * 2 > smallest * 1.4:
        yield _tiles(height, width, smallest)


def _whole(height: int, width: int, turns: int, detectors: Sequence[Kind]) -> list[Pass]:
    return [
        Pass(name, Window.whole(height, width, border, turns * math.pi / 2)) for border in BORDERS for name in detectors
    ]


def _tiles(height: int, width: int, side: float) -> list[Pass]:
    """Half-overlapping square tiles that cover the image."""

    def centres(length: int) -> list[float]:
        count = max(int(np.ceil((length - side) / (side / 2))), 0) + 1
        if count == 1:
            return [(length - 1) / 2]
        return [float(v) for v in np.linspace(side / 2, length - side / 2, count) - 0.5]

    return [Pass("full", Window(x, y, side)) for y in centres(height) for x in centres(width)]


def is_dark(rgb: Image) -> bool:
    """Whether even the bright parts of an image are dark."""
    step = max(min(rgb.shape[:2]) // 128, 1)
    return bool(np.percentile(rgb[::step, ::step, 1], 95) < 255 * DARK)
