"""Portraits as training data: landmarks from the shipped face mesh, mattes from the shipped matte, and a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from training.manifest import Manifest, ManifestError, Sample, by_person, hash_labels

from detection.compose import Portraits
from models.files import file_hash, written_whole
from models.messages import msg
from models.topology import FACE_POINTS, MOUTH_CORNERS

Array = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
NOSE_TIP: Final = 1
FILE: Final = "portraits.npz"
LARGEST_DIFFERENCE: Final = 0.1
"""Distance of the landmarks from those supplied with the images, as a share of the face, above which a portrait is
skipped."""


@dataclass(frozen=True)
class PortraitData:
    """Prepared portraits and their metadata."""

    names: tuple[str, ...]
    portraits: Portraits
    landmarks: Array

    def split(self, manifest: Manifest, name: str) -> Portraits:
        """Portraits of one split."""
        wanted = {sample.name for sample in manifest.samples if sample.split == name}
        return self.portraits.take(np.array([n in wanted for n in self.names]))


def read_picture(path: Path) -> Image:
    """(H, W, 3) uint8 RGB.

    Raises:
        ManifestError: It can't be read as an image.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise ManifestError(msg("{path} can't be read: {reason}.", path, error.strerror or error)) from None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise ManifestError(f"{path} is not an image that can be read.")
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8, copy=False)


def five_points(landmarks: Array) -> Array:
    """(..., 5, 2) eyes, nose and mouth corners of (..., 478, 2 or 3) landmarks, in the same coordinates."""
    from models.face import LID_PAIRS
    from models.topology import EYES

    eyes = [
        landmarks[..., [eye.outer, upper, eye.inner, lower], :2].mean(axis=-2)
        for eye, (upper, lower) in zip(EYES, LID_PAIRS, strict=True)
    ]
    rest = [landmarks[..., index, :2] for index in (NOSE_TIP, *MOUTH_CORNERS)]
    return np.stack([*eyes, *rest], axis=-2).astype(np.float32)


def prepare(
    folder: Path, target: Path, report: Callable[[str], None] = lambda line: None
) -> tuple[Manifest, list[str]]:
    """Find the landmarks and the matte of every portrait and write them, with the images, to one file.

    Args:
        folder: Square JPEG crops of one size, one person each, and landmarks.npz with their names, the older
            landmarks "points" and the original part "valid".
        target: Folder for portraits.npz. It contains the images and is not meant for distribution.
        report: Called with a line for each hundred portraits.

    Returns:
        The manifest, and the names of skipped portraits, whose landmarks don't match the older ones' face.

    Raises:
        ManifestError: The folder lacks a file, or one can't be read.
    """
    rows, left_out = [], []
    names: list[str] = []
    for number, (name, row) in enumerate(_portraits(folder), 1):
        if row is None:
            left_out.append(name)
        else:
            names.append(name)
            rows.append(row)
        if number % 100 == 0:
            report(f"{number} portraits read, {len(left_out)} left out")
    if not rows:
        raise ManifestError(f"{folder} contains no portrait with a face.")
    arrays: dict[str, Any] = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    arrays["sha256"] = np.array([file_hash(folder / name) for name in names])
    target.mkdir(parents=True, exist_ok=True)
    with written_whole(target / FILE) as part, part.open("wb") as stream:
        np.savez(stream, name=np.array(names), **arrays)
    samples = tuple(
        Sample(name, split, str(arrays["sha256"][row]), hash_labels(arrays["landmarks"][row, :, :2]))
        for name, split in by_person(names)
        for row in [names.index(name)]
    )
    manifest = Manifest(
        "official portraits of members of the US Congress, cropped", "public domain (works of the US government)",
        samples, {"landmarks": "landmarks/mesh478", "matte": "matte/selfie", "test": "last digit of the name 7 or 8"},
    )  # fmt: skip
    return manifest, left_out


def _portraits(folder: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    from models.matte import PersonMatte
    from models.tracker import FaceTracker

    tracker, matte = FaceTracker(), PersonMatte()
    try:
        with np.load(folder / "landmarks.npz", allow_pickle=False) as known:
            older = {str(n): (p, v) for n, p, v in zip(known["name"], known["points"], known["valid"], strict=True)}
    except (OSError, ValueError, KeyError) as error:
        raise ManifestError(f"{folder / 'landmarks.npz'} can't be read ({error}).") from None
    for key in sorted(older):
        name = key if key.endswith(".jpg") else f"{key}.jpg"
        image = read_picture(folder / name)
        points, valid = older[key]
        face = next(iter(tracker.detect(image)), None)
        if face is None:
            yield name, None
            continue
        away = np.linalg.norm(face.points[:FACE_POINTS, :2] - points[:FACE_POINTS, :2], axis=1).mean() / face.size
        if away > LARGEST_DIFFERENCE:
            yield name, None
            continue
        yield name, {
            "image": image, "matte": (matte(image) * 255).round().astype(np.uint8),
            "landmarks": face.points.astype(np.float32), "valid": np.asarray(valid, dtype=np.float32),
        }  # fmt: skip


def load_prepared(target: Path, manifest: Manifest | None = None) -> PortraitData:
    """Read the output of prepare.

    Args:
        target: Its folder.
        manifest: Only read the portraits of this manifest, and check that they were made from the same images.

    Raises:
        ManifestError: The file is missing or damaged, or lacks portraits of the manifest.
    """
    path = target / FILE
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in ("name", "image", "matte", "landmarks", "valid", "sha256")}
    except (OSError, ValueError, KeyError) as error:
        raise ManifestError(f"{path} can't be read ({error}); make it with: train_detector.py prepare.") from None
    names = [str(n) for n in arrays["name"]]
    if manifest is not None:
        place = {name: i for i, name in enumerate(names)}
        for sample in manifest.samples:
            if sample.name not in place:
                raise ManifestError(f"{path} does not hold {sample.name}; prepare the portraits again.")
            # compare the images only: landmarks differ by tenths of a pixel between versions of OpenCV and the runtime
            if sample.sha256 and arrays["sha256"][place[sample.name]] != sample.sha256:
                raise ManifestError(f"{path}: {sample.name} is not the image in the manifest.")
        order = np.array([place[sample.name] for sample in manifest.samples])
        arrays, names = {k: v[order] for k, v in arrays.items()}, [names[i] for i in order]
    landmarks = arrays["landmarks"].astype(np.float32)
    portraits = Portraits(
        arrays["image"], arrays["matte"], landmarks[:, :FACE_POINTS, :2] + np.float32(0.5),
        five_points(landmarks) + np.float32(0.5),
        np.clip(arrays["valid"], 0, np.tile(arrays["image"].shape[2:0:-1], 2)).astype(np.float32),
    )  # fmt: skip
    return PortraitData(tuple(names), portraits, landmarks)
