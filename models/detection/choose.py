"""The face detector chosen by the user: shipped, in the user's model folder, or any file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.choices import GROUP, DetectorChoice
from models.messages import msg
from models.registry import ModelError, list_models
from models.weights import model_path, user_folder

if TYPE_CHECKING:
    from models.detection.runtime import OnnxDetector

EMBEDDED: Final = ("detect/blaze_full", "detect/blaze_short")


def detector_path(choice: DetectorChoice) -> Path:
    """File of a detector.

    Args:
        choice: A named one, or a file.

    Raises:
        ModelError: There is no such file; the text says where it is expected.
    """
    if choice.kind == "file":
        path = Path(choice.name).expanduser()
        if not path.is_file():
            raise ModelError(
                msg("{path} does not exist; the option detector needs a face detector as an .onnx file.", path)
            )
        return path
    if choice.name in EMBEDDED:
        raise ModelError(f"{choice} is a part of the embedded detector; use the detector embedded.")
    if choice.name in list_models(GROUP + "*"):
        return model_path(choice.name)
    path = user_folder() / f"{choice}.onnx"
    if not path.is_file():
        raise ModelError(
            msg(
                "The weights of {choice} are not installed. Train it with tools/train_detector.py and put the exported "
                "file at {path}, or name the file itself.",
                choice, path
            )
        )  # fmt: skip
    return path


def open_detector(choice: DetectorChoice, threads: int = 1) -> OnnxDetector:
    """The detector of a choice (see detector_path), opened.

    Raises:
        ModelError: There is no such file, or it is not a detector of this project's form.
    """
    from models.detection.runtime import OnnxDetector

    detector = OnnxDetector(detector_path(choice), threads)
    if detector.size <= 0:
        raise ModelError(msg("{path} has an input without a size.", detector.path))
    return detector
