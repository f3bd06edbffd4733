"""Registry of model files, their purpose and their licence. Nothing here accesses disk or network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from models.messages import msg


class ModelError(ValueError):
    """A model is unknown, missing or damaged; the text is one sentence for the user."""


@dataclass(frozen=True)
class ModelFile:
    """One file of a model.

    Attributes:
        name: Path below a model folder, with forward slashes.
        size: Bytes, or None if no trusted figure is known.
        sha256: Lower-case hex digest, or None if no trusted one is known.
        url: Plain https URL, or empty.
        repo: Hugging Face repository "owner/name" that contains the file, or empty.
        path: Path inside that repository; empty means the same as name.
    """

    name: str
    size: int | None = None
    sha256: str | None = None
    url: str = ""
    repo: str = ""
    path: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """One model: its purpose, its files, and its terms of use.

    Attributes:
        name: "group/variant", such as "detect/blaze_full".
        task: Its purpose, in a few words.
        files: Its files.
        licence: Name of the licence (SPDX if there is one).
        commercial_ok: Whether the licence allows use in commercial products.
        source: Its origin.
        note: Information for users before they use it.
    """

    name: str
    task: str
    files: tuple[ModelFile, ...]
    licence: str
    commercial_ok: bool
    source: str
    note: str = ""

    @property
    def hashed(self) -> bool:
        """Whether a hash is known for every file, so that a download can be trusted."""
        return all(file.sha256 for file in self.files)


class Registry:
    """Models by name.

    Args:
        specs: Initial models.
    """

    def __init__(self, specs: tuple[ModelSpec, ...] = ()) -> None:
        self._specs: dict[str, ModelSpec] = {}
        for spec in specs:
            self.register(spec)

    def register(self, spec: ModelSpec) -> ModelSpec:
        """Add a model.

        Raises:
            ModelError: The name is malformed or used by another model.
        """
        if not re.fullmatch(r"[a-z0-9_.-]+(/[a-z0-9_.-]+)+", spec.name):
            raise ModelError(msg("{spec!r} is not a model name; use lower case and the form group/variant.", spec.name))
        if self._specs.get(spec.name, spec) != spec:
            raise ModelError(msg("A different model is already registered as {spec!r}.", spec.name))
        self._specs[spec.name] = spec
        return spec

    def names(self, pattern: str = "*") -> list[str]:
        """Names that match a shell pattern such as "detect/*", in natural order."""
        return sorted((n for n in self._specs if fnmatchcase(n, pattern)), key=natural_key)

    def get(self, name: str) -> ModelSpec:
        """The model of that name.

        Raises:
            ModelError: There is none; the text names the ones of the same group.
        """
        if name in self._specs:
            return self._specs[name]
        near = self.names(name.split("/", maxsplit=1)[0] + "/*") or self.names()
        raise ModelError(msg("There is no model {name!r}; known are {names}.", name, ", ".join(near)))


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts "s10" after "s9"."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


MEDIAPIPE: Final = "PyPI wheel mediapipe 0.10.21, converted by tools/convert_face_models.py"
LIVEPORTRAIT_REPO: Final = "KwaiVGI/LivePortrait"
UNKNOWN_HASH: Final = (
    "No trusted hash is known for these files: only their form is checked, and that they stay unchanged."
)
SIZES: Final = (
    "About 500 MB, by the official documentation: 3.3, 108, 174 and 212 MB for the networks and 2.3 MB for stitching "
    "and retargeting; exact sizes are not known here."
)


def _embedded(name: str, task: str, file: str, size: int, sha256: str) -> ModelSpec:
    files = (ModelFile(f"face/{file}", size, sha256),)
    return ModelSpec(name, task, files, "Apache-2.0", True, MEDIAPIPE, "Shipped with the app.")


def _official(name: str, task: str, *files: str, note: str = "") -> ModelSpec:
    return ModelSpec(
        name,
        task,
        tuple(ModelFile(file, repo=LIVEPORTRAIT_REPO) for file in files),
        "MIT",
        True,
        f"https://huggingface.co/{LIVEPORTRAIT_REPO}",
        f"{note} {UNKNOWN_HASH}".strip(),
    )


_NETWORKS: Final = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")
_STITCHING: Final = "liveportrait/retargeting_models/stitching_retargeting_module.pth"

_DEFAULT: Final = Registry(
    (
        _embedded(
            "detect/blaze_full",
            "face detection, faces from a fifteenth of the image",
            "face_detection_full_range_sparse.onnx",
            1_051_664,
            "97b5362847b276f8ea6745e4b4347440ce192861b4c107f92367479975180a05",
        ),
        _embedded(
            "detect/blaze_short",
            "face detection, close faces",
            "face_detection_short_range.onnx",
            217_444,
            "fe41f8a1262a1aedc935ebbdd4ec432a7f50c84eb73ce600fb384d4b3c7b06c1",
        ),
        _embedded(
            "landmarks/mesh478",
            "478 face landmarks with irises, and a presence score",
            "face_landmark_with_attention.onnx",
            2_540_604,
            "270ffe78f482f01154c48ff71a7814c66cc12635821155d6b0bc4830c0afa8aa",
        ),
        _embedded(
            "matte/selfie",
            "person matte",
            "selfie_segmentation.onnx",
            233_073,
            "8b925055ed3dd0b9f991df5fc740bf2e243625314a78db3f7c88d2a7b85e0490",
        ),
        ModelSpec(
            "speech/viseme",
            "lip shapes from sound",
            (
                ModelFile(
                    "speech/viseme.onnx",
                    253_872,
                    "6f2c1c3e194e0249e7d726a1abd1724d1176c0669419e6df1549efa20d012e89",
                ),
            ),
            "MIT",
            True,
            "trained here by tools/train_speech.py; assets/models/speech/viseme.md",
            "Shipped with the app.",
        ),
        ModelSpec(
            "speech/timbre",
            "lip shapes from the timbre of sound",
            (
                ModelFile(
                    "speech/timbre.onnx",
                    62_762,
                    "cc0226e76e0c60359f3940ac51d8f39b41cd1399cc6116d37bae4fc5b4047832",
                ),
            ),
            "MIT and BSD-2-Clause",
            True,
            "trained here by tools/train_timbre.py from PocketSphinx's acoustic model; assets/models/speech/timbre.md",
            "Shipped with the app.",
        ),
        ModelSpec(
            "detect/osa_nano",
            "face detection, faces at any angle from a fortieth of the image",
            (
                ModelFile(
                    "detect/osa_nano.onnx",
                    794_056,
                    "c7ec11eccaec2a48e1c50700bb986f310b1c684d87c80e45c9fffacc8dfa82db",
                ),
            ),
            "MIT",
            True,
            "trained here by tools/train_detector.py; assets/models/detect/osa_nano.md",
            "Shipped with the app.",
        ),
        ModelSpec(
            "parse/osa_micro",
            "face parsing: 14 classes, including things in front of the face",
            (
                ModelFile(
                    "parse/osa_micro.onnx",
                    1_471_656,
                    "050f038148a41a9a06d7d53e48de5649e0db2a52009d92f82c700805a91d7f03",
                ),
            ),
            "MIT",
            True,
            "trained here by tools/train_parser.py; assets/models/parse/osa_micro.md",
            "Shipped with the app.",
        ),
        _official(
            "liveportrait/human",
            "LivePortrait networks for human faces",
            *(f"liveportrait/base_models/{name}.pth" for name in _NETWORKS),
            _STITCHING,
            note=f"{SIZES} Its usual face detector (insightface packs) is non-commercial; this app uses its own.",
        ),
        _official(
            "liveportrait/animals",
            "LivePortrait networks for animals, release 1.1",
            *(f"liveportrait_animals/base_models_v1.1/{name}.pth" for name in _NETWORKS),
            _STITCHING,
            note=f"{SIZES} Stitching and retargeting are those of the human model.",
        ),
        _official("liveportrait/landmark203", "203 face landmarks of LivePortrait", "liveportrait/landmark.onnx"),
        ModelSpec(
            "insightface/buffalo_l",
            "optional face detector and 106 landmarks",
            tuple(ModelFile(f"insightface/models/buffalo_l/{name}.onnx") for name in ("det_10g", "2d106det")),
            "non-commercial research only (insightface model licence)",
            False,
            "https://github.com/deepinsight/insightface",
            f"Never downloaded by this app: put the pack there yourself if its licence suits you. {UNKNOWN_HASH}",
        ),
    )
)

list_models: Final[Callable[..., list[str]]] = _DEFAULT.names
get_model: Final[Callable[[str], ModelSpec]] = _DEFAULT.get
