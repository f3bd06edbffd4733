"""Compare a parser with the embedded default (mesh polygons and matte) on held-out faces with synthetic occluders.

The ground truth of the occluders is exact; elsewhere it is the pseudo-label of the image without occluders, which is
the embedded default's own result: a parser has to be better on hidden parts without being worse on the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.matte import PersonMatte
from models.parsing.classes import Labels, index
from models.parsing.parser import FaceParser
from models.parsing.polygons import odd_colours
from models.tracker import FaceTracker
from parsing.augment import Augmentation
from parsing.rough import rough_labels, with_mesh
from parsing.scores import Scores
from tools.parsing.data import Faces, Recipe

SIDE = 320
CALM = Augmentation(15, (0.85, 1.15), 0.03, 0.5, 0.3, 0.2)
FACE = ("skin", "brow_left", "brow_right", "eye_left", "eye_right", "nose", "lip_upper", "mouth", "lip_lower")


@dataclass
class Comparison:
    """Scores of four ways to parse.

    Attributes:
        parser: The network alone.
        fused: The network combined with the face parts of the mesh.
        embedded: Mesh polygons and matte.
        colours: The same, with occluders found by skin colour.
        unseen: Number of images in which the tracker found no face; they are excluded.
        visible: Pixels of the visible face: [intersection, union] of the four in this order.
    """

    parser: Scores = field(default_factory=Scores)
    fused: Scores = field(default_factory=Scores)
    embedded: Scores = field(default_factory=Scores)
    colours: Scores = field(default_factory=Scores)
    unseen: int = 0
    visible: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((4, 2), np.int64))

    @property
    def all(self) -> tuple[Scores, Scores, Scores, Scores]:
        """The four scores."""
        return self.parser, self.fused, self.embedded, self.colours

    @property
    def visible_iou(self) -> list[float]:
        """IoU of the visible face (all its parts together), in the order of all."""
        return [float(both / max(union, 1)) for both, union in self.visible]


def compare(parser: FaceParser, faces: Faces, kinds: Sequence[str], pictures: int, seed: int) -> Comparison:
    """Parse composed images in four ways.

    Args:
        parser: The network.
        faces: Held-out faces.
        kinds: Kinds of occluders; none leaves the faces uncovered.
        pictures: Number of images.
        seed: Seed of the composition.
    """
    out = Comparison()
    recipe = Recipe(SIDE, occluded=1.0 if kinds else 0.0, replaced=0.3, shaded=0.25, kinds=kinds, augmentation=CALM)
    tracker, matte = FaceTracker(), PersonMatte()
    face_classes = [index(name) for name in FACE]
    for number in range(pictures):
        rgb, truth = recipe(faces, number % len(faces), np.random.default_rng([seed, number]))
        found = tracker.detect(rgb)
        if not found:
            out.unseen += 1
            continue
        points, person = found[0].points, matte(rgb)
        plain = rough_labels(rgb, points, person)
        coloured: Labels = np.where(odd_colours(rgb, points, person) > 0, index("occluder"), plain).astype(np.uint8)
        bare = parser(rgb, points).labels()
        answers = (bare, with_mesh(bare, points), plain, coloured)
        for scores, labels in zip(out.all, answers, strict=True):
            scores.add(truth, labels)
        real = np.isin(truth, face_classes)
        for row, labels in enumerate(answers):
            mine = np.isin(labels, face_classes)
            out.visible[row] += ((real & mine).sum(), (real | mine).sum())
    return out


def report(title: str, comparison: Comparison) -> str:
    """Markdown table of one comparison."""
    c = comparison
    lines = [
        f"| {title} | parser alone | parser and mesh | embedded default | embedded, with colours |",
        "| --- | --- | --- | --- | --- |",
    ]

    def row(name: str, values: Sequence[float]) -> str:
        return f"| {name} | " + " | ".join(f"{0.0 if np.isnan(value) else value:.3f}" for value in values) + " |"

    for label, (name, first, _) in enumerate(c.parser.rows()):
        if not np.isnan(first):
            lines.append(row(name, [float(scores.iou[label]) for scores in c.all]))
    lines.append(row("**mean IoU**", [scores.mean_iou for scores in c.all]))
    lines.append(row("mean F1 without background", [scores.mean_f1 for scores in c.all]))
    lines.append(row("visible face, all parts", c.visible_iou))
    lines.append(f"\n{int(c.parser.table.sum()) // SIDE**2} images; {c.unseen} more without a face that was found.")
    return "\n".join(lines)
