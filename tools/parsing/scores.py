"""Scores of parsing: intersection over union and F1 of each class, from a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.parsing.classes import BASIC, CLASSES, IGNORED, Labels


@dataclass
class Scores:
    """Counts over any number of images.

    Attributes:
        classes: Number of classes.
        table: (classes, classes) pixels by true label (rows) and predicted label (columns).
    """

    classes: int = BASIC
    table: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def __post_init__(self) -> None:
        if self.table.shape != (self.classes, self.classes):
            self.table = np.zeros((self.classes, self.classes), np.int64)

    def add(self, truth: Labels, found: Labels) -> None:
        """Count one image or batch; ignored pixels and labels beyond the classes do not count."""
        t, f = truth.reshape(-1).astype(np.int64), found.reshape(-1).astype(np.int64)
        known = (t != IGNORED) & (t < self.classes) & (f < self.classes)
        both = np.bincount(t[known] * self.classes + f[known], minlength=self.classes**2)
        self.table += both.reshape(self.classes, self.classes)

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """(classes,) intersection over union; NaN for a class that is neither present nor predicted."""
        both = np.diag(self.table).astype(np.float64)
        union = self.table.sum(0) + self.table.sum(1) - both
        return np.where(union > 0, both / np.maximum(union, 1), np.nan)

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """(classes,) F1 (Dice); NaN for a class that is neither present nor predicted."""
        both = np.diag(self.table).astype(np.float64)
        total = self.table.sum(0) + self.table.sum(1)
        return np.where(total > 0, 2 * both / np.maximum(total, 1), np.nan)

    @property
    def accuracy(self) -> float:
        """Share of correct pixels."""
        return float(np.trace(self.table) / max(int(self.table.sum()), 1))

    @property
    def mean_iou(self) -> float:
        """Mean over the classes, including background."""
        return float(np.nanmean(self.iou))

    @property
    def mean_f1(self) -> float:
        """Mean over the classes except background, as in papers on face parsing."""
        return float(np.nanmean(self.f1[1:]))

    def rows(self, names: Sequence[str] = CLASSES) -> list[tuple[str, float, float]]:
        """Name, IoU and F1 of each class."""
        return [(names[i], float(self.iou[i]), float(self.f1[i])) for i in range(self.classes)]
