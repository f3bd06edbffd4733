"""Weights by the recipe in an official folder, loaded once for all tests of the networks and their engine."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

PARITY = Path(__file__).resolve().parents[2] / "parity"
BASE = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")
PARTS = {"stitching": "retarget_shoulder", "lip": "retarget_mouth", "eye": "retarget_eye"}


def _import(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def recipe() -> ModuleType:
    """tests/parity/recipe.py."""
    return _import(PARITY / "recipe.py", "net_recipe")


@pytest.fixture(scope="session")
def reference() -> Any:
    """Thinned reference numbers, named "<network>/<case>/..."."""
    return np.load(PARITY / "net_reference.npz")


@pytest.fixture(scope="session")
def specs(recipe: ModuleType) -> dict[str, dict[str, tuple[tuple[int, ...], str]]]:
    """Network name -> official key -> (shape, type)."""
    return {path.stem: recipe.load_spec(path) for path in sorted((PARITY / "net_state_dict").glob("*.json"))}


@pytest.fixture(scope="session")
def state(recipe: ModuleType, specs: Any) -> Callable[[str], dict[str, Any]]:
    """Function: network name -> state dict of recipe weights as tensors."""
    torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

    def make(name: str) -> dict[str, Any]:
        return {key: torch.from_numpy(value) for key, value in recipe.make_state_dict(name, specs[name]).items()}

    return make


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory, state: Callable[[str], Any]) -> Iterator[Path]:
    """A pretrained_weights folder as the official release packs it, with recipe weights (0.5 GB)."""
    torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
    folder = tmp_path_factory.mktemp("pretrained_weights")
    (folder / "liveportrait/base_models").mkdir(parents=True)
    (folder / "liveportrait/retargeting_models").mkdir()
    for name in BASE:
        torch.save(state(name), folder / f"liveportrait/base_models/{name}.pth")
    parts = {part: {f"module.{k}": v for k, v in state(name).items()} for name, part in PARTS.items()}
    parts["epoch"] = {"count": torch.tensor(7)}
    torch.save(parts, folder / "liveportrait/retargeting_models/stitching_retargeting_module.pth")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def networks(weights_folder: Path) -> dict[str, Any]:
    """All networks with recipe weights, spectral norm as the checkpoint has it."""
    from liveportrait.networks.loading import find_checkpoints, load_networks

    return load_networks(find_checkpoints(weights_folder))


@pytest.fixture(scope="session")
def picture() -> Callable[[str], np.ndarray]:
    """Function: name of a picture in tests/parity -> (256, 256, 3) uint8 RGB."""
    from PIL import Image

    def read(name: str) -> np.ndarray:
        return np.array(Image.open(PARITY / f"net_{name}_256.png").convert("RGB"))

    return read
