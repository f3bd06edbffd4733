"""Fixtures for the tests of pictures, clips and sound."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from media_clips import make_clip, steady


@pytest.fixture(autouse=True)
def _own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user gets no signing key from tests."""
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path_factory.getbasetemp() / "settings"))


@pytest.fixture
def clip25(tmp_path: Path) -> Path:
    """50 frames of 25 a second with beeps at 0.4 and 1.4 s."""
    return make_clip(tmp_path / "clip25.mp4", steady(50), sound=[0.4, 1.4])


@pytest.fixture(scope="session")
def kit(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Folder and manifest of the media kit that the evaluation tools write."""
    script = shared / "eval" / "make_media.py"
    if not script.is_file():
        pytest.skip("the media kit's script is not here")
    folder = tmp_path_factory.mktemp("kit")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=240)
    return folder, json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
