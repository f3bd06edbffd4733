"""Labelled faces: portraits with pseudo-labels, CelebAMask-HQ, LaPa and synthetic faces; composed for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from training.manifest import Sample, Split, hash_labels

from models.files import file_hash
from models.parsing.classes import (
    BASIC,
    LAPA,
    Labels,
    fold,
    index,
)
from models.parsing.square import Square, face_square
from parsing.augment import Augmentation, cut
from parsing.labels import CELEBAMASK_FILES, labels_square, sides_by_place, translate
from tools.parsing import scenes

Image = npt.NDArray[np.uint8]
KEPT_BACK: Final = ("7", "8")
"""Last digits of the names of portraits held out from training."""
VERSION: Final = 3
"""Version of the pseudo-labels; changing it rebuilds the cache."""


@dataclass(frozen=True)
class LabelledFace:
    """One labelled image.

    Attributes:
        rgb: (H, W, 3) uint8.
        labels: (H, W) uint8, labels of models.parsing.classes.
        square: Position of the face.
        matte: (H, W) uint8 0..255 of the person, or None if the background can't be replaced.
    """

    rgb: Image
    labels: Labels
    square: Square
    matte: Image | None = None


class Faces(Protocol):
    """A set of labelled images."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> LabelledFace: ...

    def samples(self, split: Split) -> list[Sample]:
        """Name and hashes of every image, for the manifest."""
        ...


def read_rgb(path: Path) -> Image:
    """Read an image (H, W, 3).

    Raises:
        ValueError: It can't be read.
    """
    from app.errors import AppError
    from app.media.images import read_image

    try:
        return np.ascontiguousarray(read_image(path).rgb)
    except AppError as error:
        raise ValueError(str(error)) from error


def read_grey(path: Path) -> Labels | None:
    """Read a label or mask image (H, W) with unchanged values; None if there is no such file."""
    if not path.is_file():
        return None
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError(f"{path} can't be read as an image.")
    return np.asarray(picture, np.uint8)


class Portraits:
    """Portraits in a folder, labelled by mesh polygons and matte; labels are created once and cached.

    Args:
        folder: Folder of JPEG files, one person each.
        part: "train" or "test"; names whose last digit is 7 or 8 are the test set.
        cache: Folder for labels.
    """

    def __init__(self, folder: Path, part: str, cache: Path) -> None:
        kept = [p for p in sorted(folder.glob("*.jpg")) if (p.stem[-1] in KEPT_BACK) == (part == "test")]
        if not kept:
            raise ValueError(f"{folder} holds no .jpg files for {part}.")
        cache.mkdir(parents=True, exist_ok=True)
        self.paths: list[Path] = []
        self._faces: list[LabelledFace] = []
        labeller = None
        for path in kept:
            store = cache / f"{path.stem}-{VERSION}.npz"
            if not store.is_file():
                if labeller is None:
                    labeller = Labeller()
                labeller(path, store)
            with np.load(store) as data:
                if len(data["points"]):
                    face = LabelledFace(data["rgb"], data["labels"], face_square(data["points"]), data["matte"])
                    self._faces.append(face)
                    self.paths.append(path)

    def __len__(self) -> int:
        return len(self._faces)

    def __getitem__(self, place: int) -> LabelledFace:
        return self._faces[place]

    def samples(self, split: Split) -> list[Sample]:
        """See Faces."""
        return [
            Sample(path.name, split, file_hash(path), hash_labels(face.labels))
            for path, face in zip(self.paths, self._faces, strict=True)
        ]


class Labeller:
    """Pseudo-labels of a portrait by the shipped tracker, mesh and matte."""

    def __init__(self) -> None:
        from models.matte import PersonMatte
        from models.tracker import FaceTracker

        self._tracker, self._matte = FaceTracker(), PersonMatte()

    def __call__(self, path: Path, store: Path) -> None:
        """Label an image; no points are stored if no face is found."""
        from parsing.rough import rough_labels

        rgb = read_rgb(path)
        faces = self._tracker.detect(rgb)
        points = faces[0].points if faces else np.zeros((0, 3), np.float32)
        matte = self._matte(rgb)
        labels = rough_labels(rgb, points, matte) if faces else np.zeros(rgb.shape[:2], np.uint8)
        levels = np.clip(np.rint(matte * 255), 0, 255).astype(np.uint8)
        np.savez_compressed(store, rgb=rgb, labels=labels, matte=levels, points=points)


class CelebAMaskHQ:
    """CelebAMask-HQ as published: CelebA-HQ-img and CelebAMask-HQ-mask-anno.

    Args:
        folder: The unpacked data set.
        part: "train" or "test"; the last 2,000 of the 30,000 images are the test set.
        count: Number of classes.
        size: Side that images are scaled to (the masks are 512).
    """

    TEST: Final = 2000

    def __init__(self, folder: Path, part: str, count: int = BASIC, size: int = 512) -> None:
        self.folder, self.count, self.size = folder, count, size
        numbers = sorted(int(p.stem) for p in (folder / "CelebA-HQ-img").glob("*.jpg"))
        if not numbers:
            raise ValueError(f"{folder} holds no CelebA-HQ-img/*.jpg; give the unpacked CelebAMask-HQ.")
        cut_at = max(len(numbers) - self.TEST, len(numbers) // 2)
        self.numbers = numbers[:cut_at] if part == "train" else numbers[cut_at:]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> LabelledFace:
        number = self.numbers[place]
        rgb = read_rgb(self.folder / "CelebA-HQ-img" / f"{number}.jpg")
        rgb = np.asarray(cv2.resize(rgb, (self.size, self.size), interpolation=cv2.INTER_AREA), np.uint8)
        labels = np.zeros((self.size, self.size), np.uint8)
        masks = self.folder / "CelebAMask-HQ-mask-anno" / str(number // 2000)
        for part, name in CELEBAMASK_FILES.items():
            mask = read_grey(masks / f"{number:05d}_{part}.png")
            if mask is not None:
                full = cv2.resize(mask, (self.size, self.size), interpolation=cv2.INTER_NEAREST)
                labels[full > 127] = index(fold(name, self.count))
        labels = sides_by_place(labels)
        return LabelledFace(rgb, labels, labels_square(labels) or Square(self.size / 2, self.size / 2, self.size))

    def samples(self, split: Split) -> list[Sample]:
        """See Faces. Names only: hashing 30,000 images at every start would take minutes."""
        return [Sample(f"CelebA-HQ-img/{number}.jpg", split) for number in self.numbers]


class Lapa:
    """LaPa as published: train, val and test, each with images and labels.

    Args:
        folder: The unpacked data set.
        part: "train", "val" or "test".
        count: Number of classes.
    """

    def __init__(self, folder: Path, part: str, count: int = BASIC) -> None:
        self.part, self.count = part, count
        self.paths = sorted((folder / part / "images").glob("*.jpg"))
        if not self.paths:
            raise ValueError(f"{folder} holds no {part}/images/*.jpg; give the unpacked LaPa.")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> LabelledFace:
        path = self.paths[place]
        given = read_grey(path.parent.parent / "labels" / f"{path.stem}.png")
        if given is None:
            raise ValueError(f"{path} has no labels/{path.stem}.png.")
        labels = translate(given, LAPA, self.count)
        rgb = read_rgb(path)
        square = labels_square(labels) or Square(rgb.shape[1] / 2, rgb.shape[0] / 2, max(rgb.shape[:2]))
        return LabelledFace(rgb, labels, square)

    def samples(self, split: Split) -> list[Sample]:
        """See Faces. Names only, as for CelebAMask-HQ."""
        return [Sample(f"{self.part}/images/{path.name}", split) for path in self.paths]


class DrawnFaces:
    """Faces made of ellipses, for tests of the training itself.

    Args:
        count: Number of faces.
        seed: Seed of the first one.
        size: Side of the images.
    """

    def __init__(self, count: int, seed: int = 0, size: int = 96) -> None:
        self.count, self.seed, self.size = count, seed, size

    def __len__(self) -> int:
        return self.count

    def samples(self, split: Split) -> list[Sample]:
        """See Faces."""
        return [Sample(f"drawn {self.seed}/{i}", split) for i in range(self.count)]

    def __getitem__(self, place: int) -> LabelledFace:
        rng = np.random.default_rng([self.seed, place])
        size = self.size
        rgb = scenes.background(size, rng).astype(np.uint8)
        labels = np.zeros((size, size), np.uint8)
        centre, r = np.full(2, size / 2) + rng.normal(0, 2, 2), size * 0.24

        def ellipse(name: str, x: float, y: float, a: float, b: float, colour: npt.ArrayLike) -> None:
            box = ((float(centre[0] + x * r), float(centre[1] + y * r)), (2 * a * r, 2 * b * r), 0.0)
            cv2.ellipse(rgb, box, np.asarray(colour, float).tolist(), -1)
            cv2.ellipse(labels, box, index(name), -1)

        skin = np.array([220, 175, 145]) * rng.uniform(0.5, 1.1)
        hair = rng.uniform(10, 120, 3)
        ellipse("clothes", 0, 2.4, 1.7, 1.1, rng.uniform(0, 255, 3))
        ellipse("neck", 0, 1.1, 0.45, 0.6, skin * 0.85)
        ellipse("hair", 0, -0.3, 1.05, 1.15, hair)
        ellipse("skin", 0, 0, 0.82, 1.05, skin)
        for side, x in (("left", -0.36), ("right", 0.36)):
            ellipse(f"brow_{side}", x, -0.38, 0.22, 0.07, hair * 0.7)
            ellipse(f"eye_{side}", x, -0.18, 0.17, 0.09, (240, 240, 240))
            cv2.circle(
                rgb,
                np.round(centre + r * np.array([x, -0.18])).astype(int).tolist(),
                max(int(0.08 * r), 1),
                (40, 30, 20),
                -1,
            )
        ellipse("nose", 0, 0.12, 0.13, 0.26, skin * 0.92)
        ellipse("lip_upper", 0, 0.50, 0.30, 0.08, (190, 60, 70))
        ellipse("lip_lower", 0, 0.64, 0.28, 0.09, (200, 80, 90))
        ellipse("mouth", 0, 0.57, 0.22, 0.05, (60, 10, 15))
        return LabelledFace(rgb, labels, Square(float(centre[0]), float(centre[1]), 4.2 * r))


@dataclass(frozen=True)
class Recipe:
    """How training images are composed.

    Attributes:
        size: Side of the images.
        occluded: Probability of an occluder in front of the face.
        replaced: Probability that the background is replaced, if a matte is known.
        shaded: Probability of a shadow from an object outside the image; it changes no label.
        kinds: Kinds of occluders.
        augmentation: Rotation, scale, flip, colour.
    """

    size: int = 192
    occluded: float = 0.65
    replaced: float = 0.6
    shaded: float = 0.25
    kinds: Sequence[str] = scenes.TRAINED
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __call__(self, faces: Faces, place: int, rng: np.random.Generator) -> tuple[Image, Labels]:
        """Compose one image.

        Args:
            faces: The set of faces.
            place: Index of the face.
            rng: Random generator.

        Returns:
            (size, size, 3) and (size, size) uint8.
        """
        face, size = faces[place], self.size
        matrix = self.augmentation.matrix(face.square.matrix(size), size, rng)
        rgb, labels = cut(face.rgb, face.labels, matrix, size)
        picture = rgb.astype(np.float32)
        if face.matte is not None and rng.random() < self.replaced:
            alpha = cv2.warpAffine(face.matte, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
            weight = (alpha.astype(np.float32) / 255)[..., None]
            behind = scenes.background(size, rng)
            picture = picture * weight + behind * (1 - weight)
        if rng.random() < self.shaded:
            picture = scenes.shade(picture, rng)
        if rng.random() < self.occluded:
            picture, labels = self._occlude(picture, labels, rng)
        out = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
        return self.augmentation.finish(out, labels, rng)

    def _occlude(
        self, picture: npt.NDArray[np.float32], labels: Labels, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], Labels]:
        on_face = np.argwhere((labels > 0) & (labels < index("hair")))
        if len(on_face) < 50:
            return picture, labels
        spread = on_face.max(axis=0) - on_face.min(axis=0)
        unit = float(max(spread[1], 0.6 * spread[0]))
        skin_pixels = picture[labels == index("skin")]
        hair_pixels = picture[labels == index("hair")]
        out = labels.copy()
        for _ in range(1 if rng.random() < 0.75 else 2):
            at = on_face[rng.integers(len(on_face))][::-1].astype(np.float64)
            if rng.random() < 0.4:  # at the face's border rather than on it
                middle = on_face.mean(axis=0)[::-1]
                at = middle + (at - middle) * rng.uniform(1.0, 1.8)
            tone = np.median(skin_pixels, axis=0) if len(skin_pixels) else np.array([200.0, 160, 130])
            tone = (
                tone * rng.uniform(0.75, 1.3)
                if rng.random() < 0.75
                else np.array([235, 190, 160]) * rng.uniform(0.3, 1)
            )
            tone = tone + rng.normal(0, 8, 3)
            skin = (
                tone
                + (scenes.noise(self.size, 6, rng, 1) - 0.5) * 40
                + (scenes.noise(self.size, 48, rng, 1) - 0.5) * 15
            )
            hair = hair_pixels[rng.integers(len(hair_pixels))] if len(hair_pixels) else rng.uniform(10, 120, 3)
            kind = str(rng.choice(list(self.kinds)))
            layer = scenes.occluder(kind, self.size, unit, at, skin.astype(np.float32), hair, rng)
            picture, cover = scenes.lay_over(picture, layer, rng)
            out[cover > 0.5] = index("hair" if layer.hair else "occluder")
        return picture, out


def make_batch(
    faces: Faces, recipe: Recipe, batch: int, seed: int, step: int
) -> tuple[npt.NDArray[np.float32], Labels]:
    """The batch of one step; it depends only on the step, so that training can be resumed anywhere.

    Args:
        faces: The set of faces; each is used once before any is repeated.
        recipe: How images are composed.
        batch: Batch size.
        seed: Seed of the training.
        step: Number of the step.

    Returns:
        (batch, 3, size, size) float32 0..255 and (batch, size, size) uint8.
    """
    pictures, labels = [], []
    for i in range(batch):
        number = step * batch + i
        epoch, place = divmod(number, len(faces))
        order = np.random.default_rng([seed, 1, epoch]).permutation(len(faces))
        rgb, parts = recipe(faces, int(order[place]), np.random.default_rng([seed, 2, number]))
        pictures.append(rgb.transpose(2, 0, 1))
        labels.append(parts)
    return np.stack(pictures).astype(np.float32), np.stack(labels)
