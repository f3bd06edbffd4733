"""Quality of a detector: average precision, recall, precision, error of the points. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detection.labels import Labels
from models.detectors import iou

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """Detections in one image.

    Attributes:
        boxes: (N, 4).
        points: (N, 5, 2).
        scores: (N,).
    """

    boxes: Array
    points: Array
    scores: Array


@dataclass(frozen=True)
class Scores:
    """Result over a set of images.

    Attributes:
        ap: Average precision: area under the monotone curve of precision over recall.
        recall: Share of faces found with at least the threshold.
        precision: Share of boxes with at least the threshold that are faces.
        points: Mean distance of the five points as a share of the face's size, over the faces found.
        faces: Number of faces that count.
    """

    ap: float
    recall: float
    precision: float
    points: float
    faces: int


def match(found: Found, labels: Labels, overlap: float = 0.5) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.intp]]:
    """Match each box, best first, to the face that it overlaps most.

    Args:
        found: Boxes.
        labels: True faces.
        overlap: Least intersection over union.

    Returns:
        (N,) 1 a face found for the first time, 0 wrong, -1 on an ignored face; (N,) that face or -1.
    """
    verdicts = np.zeros(len(found.scores), dtype=np.int8)
    faces = np.full(len(found.scores), -1, dtype=np.intp)
    taken = np.zeros(len(labels), dtype=bool)
    for index in np.argsort(-found.scores, kind="stable"):
        if not len(labels):
            break
        shared = iou(found.boxes[index], labels.boxes)
        best = int(np.argmax(shared))
        if shared[best] < overlap:
            continue
        if labels.ignore[best]:
            verdicts[index] = -1
        elif not taken[best]:
            taken[best], verdicts[index], faces[index] = True, 1, best
    return verdicts, faces


def average_precision(scores: Array, verdicts: npt.NDArray[np.int8], faces: int) -> float:
    """Area under precision over recall, as defined by WIDER FACE and by VOC from 2010 on.

    Args:
        scores: (N,) of all boxes of all images.
        verdicts: (N,) see match.
        faces: Number of faces that count.
    """
    counted = verdicts >= 0
    scores, verdicts = scores[counted], verdicts[counted]
    if not faces or not len(scores):
        return 0.0
    right = np.cumsum(verdicts[np.argsort(-scores, kind="stable")] == 1)
    recall = np.concatenate([[0.0], right / faces])
    precision = right / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * precision))


def score_detector(
    found: Sequence[Found], truth: Sequence[Labels], threshold: float = 0.5, overlap: float = 0.5
) -> Scores:
    """Compare detections in some images with the true faces.

    Args:
        found: One per image, including low scores, or the average precision would be truncated.
        truth: One per image.
        threshold: Score from which a box counts for recall and precision.
        overlap: Least intersection over union of a hit.
    """
    all_scores, all_verdicts, errors = [], [], []
    faces = hits = claims = 0
    for one, labels in zip(found, truth, strict=True):
        verdicts, which = match(one, labels, overlap)
        faces += int((~labels.ignore).sum())
        sure = one.scores >= threshold
        hits += int(((verdicts == 1) & sure).sum())
        claims += int(((verdicts >= 0) & sure).sum())
        sizes = labels.sizes()
        for index in np.flatnonzero((verdicts == 1) & sure):
            away = np.linalg.norm(one.points[index] - labels.points[which[index]], axis=1)
            if np.isfinite(away).any():
                errors.append(float(np.nanmean(away)) / float(sizes[which[index]]))
        all_scores.append(one.scores)
        all_verdicts.append(verdicts)
    ap = average_precision(np.concatenate(all_scores), np.concatenate(all_verdicts), faces) if found else 0.0
    return Scores(
        ap, hits / max(faces, 1), hits / max(claims, 1), float(np.mean(errors)) if errors else float("nan"), faces
    )  # fmt: skip
