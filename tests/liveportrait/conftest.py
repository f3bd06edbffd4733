"""Fixtures of the motion core."""

from __future__ import annotations

import numpy as np
import pytest
from motion_stubs import PARITY, IdentityEngine, ParityEngine, round_face

from models.face import Face


@pytest.fixture(scope="session")
def official():
    """Numbers of the official release, see tests/parity."""
    with np.load(PARITY / "core_reference.npz") as data:
        return {name: data[name] for name in data.files}


@pytest.fixture
def engine() -> IdentityEngine:
    return IdentityEngine()


@pytest.fixture(scope="session")
def parity_engine() -> ParityEngine:
    return ParityEngine()


@pytest.fixture(scope="session")
def astronaut_face() -> Face:
    """A face drawn by hand where the astronaut's is."""
    return round_face(222, 122, 62)
