"""Load the official LivePortrait code from a folder given by the user; imported in a child process, never copied."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CLASSES = {
    "appearance_feature_extractor": ("appearance_feature_extractor", "AppearanceFeatureExtractor"),
    "motion_extractor": ("motion_extractor", "MotionExtractor"),
    "warping_module": ("warping_network", "WarpingNetwork"),
    "spade_generator": ("spade_generator", "SPADEDecoder"),
    "stitching": ("stitching_retargeting_network", "StitchingRetargetingNetwork"),
}
"""Network name -> module below src/modules, class."""


def find_root(folder: Path) -> Path:
    """The folder that holds src/modules.

    Raises:
        ValueError: The folder has another layout.
    """
    for root in (folder, folder.parent if folder.name == "src" else folder):
        if (root / "src" / "modules").is_dir() and (root / "src" / "config" / "models.yaml").is_file():
            return root.resolve()
    raise ValueError(
        f"--against: {folder} does not look like the official code; src/modules and src/config/models.yaml must be "
        "in it."
    )


def read_parameters(text: str) -> dict[str, Any]:
    """Parse the subset of YAML used in models.yaml: nested maps by indentation, numbers, words, flat lists."""
    root: dict[str, Any] = {}
    levels: list[tuple[int, dict[str, Any]]] = [(-1, root)]
    for line in text.splitlines():
        bare = line.partition("#")[0].rstrip()
        if not bare.strip():
            continue
        indent = len(bare) - len(bare.lstrip())
        key, _, value = (part.strip() for part in bare.partition(":"))
        while levels[-1][0] >= indent:
            levels.pop()
        if value:
            levels[-1][1][key] = _scalar(value)
        else:
            levels[-1][1][key] = inner = {}
            levels.append((indent, inner))
    return root


def _scalar(text: str) -> Any:
    if text.startswith("["):
        return [_scalar(part.strip()) for part in text.strip("[]").split(",") if part.strip()]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("'\"")


def load_official(folder: Path, states: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Build the official networks with given weights.

    Args:
        folder: The user's copy of the repository.
        states: Network name -> state dict with the official keys.

    Returns:
        The networks of CLASSES, in evaluation mode.

    Raises:
        ValueError: The folder has another layout.
    """
    root = find_root(folder)
    given = read_parameters((root / "src" / "config" / "models.yaml").read_text(encoding="utf-8"))["model_params"]
    sys.path.insert(0, str(root))
    networks = {}
    for name, (module, attribute) in CLASSES.items():
        kind = getattr(importlib.import_module(f"src.modules.{module}"), attribute)
        own = given["stitching_retargeting_module_params"][name] if name == "stitching" else given[f"{name}_params"]
        network = kind(**own)
        network.load_state_dict(dict(states[name]))
        networks[name] = network.eval().requires_grad_(False)
    return networks
