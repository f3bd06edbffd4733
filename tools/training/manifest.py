"""Manifests: the samples of a training, their split, and a hash of the labels; never the samples themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from models.files import file_hash, written_whole
from models.messages import msg

Split = Literal["train", "val", "test"]
SPLITS: Final = ("train", "val", "test")


class ManifestError(ValueError):
    """A manifest is missing, damaged or does not fit its data; the text is one sentence for the user."""


@dataclass(frozen=True)
class Sample:
    """One image of a manifest.

    Attributes:
        name: Path below the data's folder, with forward slashes.
        split: "train", "val" or "test".
        sha256: Hash of the image's bytes, or empty.
        labels: Hash of its labels (hash_labels), or empty.
    """

    name: str
    split: Split
    sha256: str = ""
    labels: str = ""


@dataclass(frozen=True)
class Manifest:
    """Samples in a fixed order.

    Attributes:
        title: Description of the data.
        licence: Its terms of use.
        samples: All of them.
        recipe: How the labels were made, as plain values.
    """

    title: str
    licence: str
    samples: tuple[Sample, ...]
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def split(self, *names: Split) -> list[Sample]:
        """Samples of these splits, in order."""
        return [sample for sample in self.samples if sample.split in names]

    def digest(self) -> str:
        """Hash of names, splits and labels, stored in checkpoints."""
        rows = [[s.name, s.split, s.sha256, s.labels] for s in self.samples]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write as JSON, one sample per line; the file appears only when it is complete."""
        head = json.dumps({"title": self.title, "licence": self.licence, "recipe": dict(self.recipe)}, indent=1)
        lines = ",\n".join("  " + json.dumps([s.name, s.split, s.sha256, s.labels]) for s in self.samples)
        with written_whole(path) as part:
            part.write_text(head[:-2] + ',\n "samples": [\n' + lines + "\n ]\n}\n", encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Manifest:
        """Read the output of write.

        Raises:
            ManifestError: The file is missing or damaged.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            samples = tuple(Sample(*(str(v) for v in row)) for row in data["samples"])  # type: ignore[arg-type]
            manifest = Manifest(str(data["title"]), str(data["licence"]), samples, dict(data["recipe"]))
        except OSError as error:
            raise ManifestError(msg("{path} can't be read: {reason}.", path, error.strerror or error)) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(f"{path} is not a manifest of training data ({error}).") from None
        names = [sample.name for sample in samples]
        if len(set(names)) != len(names):
            raise ManifestError(f"{path} names a sample twice.")
        if wrong := {sample.split for sample in samples} - set(SPLITS):
            raise ManifestError(f"{path}: {', '.join(sorted(wrong))} is not a split; use {', '.join(SPLITS)}.")
        return manifest

    def check(self, folder: Path) -> None:
        """Check that a folder contains these images, unchanged.

        Raises:
            ManifestError: One is missing or differs; the text names it.
        """
        for sample in self.samples:
            path = folder / sample.name
            if not path.is_file():
                raise ManifestError(f"{path} is missing; the manifest of {self.title} names it.")
            if sample.sha256 and file_hash(path) != sample.sha256:
                raise ManifestError(f"{path} is not the file in the manifest of {self.title}.")


def hash_labels(*arrays: np.ndarray[Any, Any], decimals: int = 1) -> str:
    """First 16 hex digits of the SHA-256 of rounded arrays, so that the last bits of other CPUs don't matter."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update((np.round(array, decimals) + 0.0).astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def by_person(names: Iterable[str], test: str = "78") -> list[tuple[str, Split]]:
    """Split files that show one person each by the last digit of their name.

    Args:
        names: File names such as "B000574.jpg".
        test: Last digits of the test split.
    """
    return [(name, "test" if Path(name).stem[-1] in test else "train") for name in sorted(names)]
