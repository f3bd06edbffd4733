"""Options that name input files, which a result must never replace, and those that change no result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.choices import Background, FaceDriver

# options that name files
FILES: Final = (
    "pose_from", "exp_from", "lips_from", "eyes_from", "voice", "points", "landmarks", "expression",
    "signing_cert", "signing_key",
)  # fmt: skip
IDLE: Final = frozenset({"output", "overwrite", "json_lines", "quiet", "threads"})  # options that change no result
NETWORKS: Final = ("detector", "mask")  # options that may name an ONNX file


def background_file(values: Mapping[str, Any]) -> Path | None:
    """The picture that the option ``background`` names, or None."""
    return Background.parse(str(values.get("background") or "keep")).path


def named_files(values: Mapping[str, Any]) -> list[Path]:
    """Files named by option values; an expression may also be the name of a saved one rather than a file."""
    found = [Path(str(values[name])) for name in FILES if values.get(name)]
    found += [driver.path for driver in FaceDriver.parse(str(values.get("driver_for", "")))]
    behind = background_file(values)
    found += [] if behind is None else [behind]
    networks = (str(values.get(name, "")) for name in NETWORKS)
    return found + [Path(name) for name in networks if name.lower().endswith(".onnx")]
