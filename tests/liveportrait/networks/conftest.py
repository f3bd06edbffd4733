"""The networks with weights by the recipe, loaded once for all tests of the networks and their engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PARITY = Path(__file__).resolve().parents[2] / "parity"


@pytest.fixture(scope="session")
def reference() -> Any:
    """Thinned reference numbers, named "<network>/<case>/..."."""
    return np.load(PARITY / "net_reference.npz")


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


@pytest.fixture(scope="session")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of exported files for all tests: what one has written, the others find."""
    pytest.importorskip("onnx", reason="onnx (extra 'onnx') is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript (extra 'onnx') is not installed")
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="session")
def exported(networks: dict[str, Any], onnx_folder: Path) -> Callable[..., Any]:
    """Function: as export_networks, with maps of 32 x 32."""
    from liveportrait.networks.fast.export import export_networks

    return lambda **how: export_networks(networks, onnx_folder, **{"size": 32} | how)
