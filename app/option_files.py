"""The files that options name: what is read, and so never replaced by a result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.choices import FaceDriver

# options that name files
FILES: Final = (
    "pose_from", "exp_from", "lips_from", "eyes_from", "points", "landmarks", "expression", "signing_cert",
    "signing_key",
)  # fmt: skip
NETWORKS: Final = ("detector", "mask")  # options that may name an ONNX file


def named_files(values: Mapping[str, Any]) -> list[Path]:
    """Files that option values name; an expression may also be the name of a saved one, which is no file then."""
    found = [Path(str(values[name])) for name in FILES if values.get(name)]
    found += [driver.path for driver in FaceDriver.parse(str(values.get("driver_for", "")))]
    networks = (str(values.get(name, "")) for name in NETWORKS)
    return found + [Path(name) for name in networks if name.lower().endswith(".onnx")]
