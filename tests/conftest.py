"""Fixtures for all tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import models  # noqa: F401 - switches the telemetry of runtimes off before a test imports one

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # before torch starts its threads
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

ROOT = Path(__file__).resolve().parents[1]
PARITY = ROOT / "tests" / "parity"
BASE = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")
PARTS = {"stitching": "retarget_shoulder", "lip": "retarget_mouth", "eye": "retarget_eye"}


def _import(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def own_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Weights and their conversions of the user are neither seen nor added to."""
    folder = tmp_path_factory.mktemp("own_models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTRAIT_MODELS", str(folder))
        yield
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with evaluation data that is not part of the project; the test skips where it is absent."""
    folder = Path(os.environ.get("PORTRAIT_SHARED", ROOT.parent / "shared"))
    if not (folder / "parity").is_dir():
        pytest.skip("evaluation data (../shared or $PORTRAIT_SHARED) is not here")
    return folder


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8 RGB photo with one face (NASA, public domain)."""
    data = pytest.importorskip("skimage.data", reason="scikit-image (dev extra) is not installed")
    return np.ascontiguousarray(data.astronaut())


@pytest.fixture(scope="session")
def recipe() -> ModuleType:
    """tests/parity/recipe.py."""
    return _import(PARITY / "recipe.py", "net_recipe")


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
