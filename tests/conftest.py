"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


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
