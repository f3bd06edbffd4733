"""Look for the watermark in images: in all lattices, at all places, in one frame or in many together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from app.provenance.lattice import LATTICES, TURN, Floats, Pixels, cell_means, differences, luma, phases_at

SEEN: Final = (18, 26, 36, 48)  # cells along a side of the search windows
FALSE_ALARMS: Final = 5e-5  # probability per file below which the mark counts as found


@dataclass(frozen=True)
class Score:
    """Detection result for an image or clip.

    Attributes:
        deviations: Best agreement with the key anywhere, in standard deviations of wrong keys.
        false_alarms: Probability that an unmarked file agrees as much anywhere, 0 to 1.
    """

    deviations: float
    false_alarms: float

    @property
    def found(self) -> bool:
        """Whether the mark was found."""
        return self.false_alarms <= FALSE_ALARMS


class Search:
    """Collects frames of one size and scores them together.

    The angles of each pair are added up as unit vectors: where the image stands still, frames agree and count fully;
    where it moves, they cancel out. Memory does not grow with the number of frames.

    Attributes:
        count: Number of frames that were added.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[int, npt.NDArray[np.complex64]] = {}
        self._shape: tuple[int, ...] = ()

    def add(self, frame: Pixels, weight: float = 1.0) -> None:
        """Add a frame, (H, W, 3 or 4) uint8; frames of another size than the first one are left out.

        Args:
            frame: The frame.
            weight: How much it counts beside the others.
        """
        grey = luma(frame)
        self._shape = self._shape or grey.shape
        if grey.shape == self._shape:
            self.add_luma(grey, weight)

    def add_luma(self, grey: Floats, weight: float = 1.0) -> None:
        """Add a frame as luma, (H, W); see ``add``."""
        self.count += 1
        for count in LATTICES:
            cells = cell_means(grey, count)
            if cells is not None:
                angles = differences(cells) * np.float32(2 * math.pi / TURN)
                vectors = np.exp(np.complex64(1j) * angles) * np.float32(weight)
                self._sums[count] = self._sums[count] + vectors if count in self._sums else vectors

    def score(self) -> Score:
        """Score all frames that were added.

        Under another key the phases are independent of the image. Their agreement over a window then has an exactly
        known variance and, as a sum over hundreds of pairs, is normally distributed: this gives the false alarm rate
        without any sample images.
        """
        best, looks = 0.0, 0
        for vectors in self._sums.values():
            found = _agreement(vectors)
            best, looks = max(best, float(found.max(initial=0.0))), looks + found.size
        rate = looks * 0.5 * math.erfc(best / math.sqrt(2)) if looks else 1.0
        return Score(best, min(1.0, rate))


def detect(frames: Iterable[Pixels]) -> Score:
    """Look for the mark in (H, W, 3 or 4) uint8 frames of one size: an image, or some frames of a clip."""
    search = Search()
    for frame in frames:
        search.add(frame)
    return search.score()


def _agreement(vectors: npt.NDArray[np.complex64]) -> npt.NDArray[Any]:
    """Agreement with the key in windows of one lattice, in standard deviations.

    Args:
        vectors: (rows, pairs) sums of unit vectors.
    """
    rows, pairs = vectors.shape
    key = phases_at(range(rows), range(pairs))
    along = vectors.real * np.cos(key) + vectors.imag * np.sin(key)
    spread = (np.square(vectors.real) + np.square(vectors.imag)) / 2
    found = []
    for seen in SEEN:
        if min(rows, 2 * pairs) < 2 * seen // 3:
            continue
        box = (seen // 2, seen)
        sums, squares = (
            cv2.boxFilter(values, cv2.CV_64F, box, normalize=False, borderType=cv2.BORDER_CONSTANT)
            for values in (along, spread)
        )
        at = slice(None, None, max(1, seen // 5)), slice(None, None, max(1, seen // 10))
        found.append((sums[at] / np.sqrt(np.maximum(squares[at], 0.1))).ravel())
    return np.concatenate(found) if found else np.zeros(0)
