"""`animate uninstall-data`: what is kept is listed and removed, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from app.errors import UsageError
from app.jobs import Queue
from app.user_data import check_nobody_works, data_folders
from models.weights import user_folder


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Folders of the program in a home of the test's own, each with a file."""
    for variable in ("PORTRAIT_MODELS", "PORTRAIT_ANIMATE_CACHE", "PORTRAIT_ANIMATE_CONFIG", "PORTRAIT_ANIMATE_QUEUE"):
        monkeypatch.delenv(variable, raising=False)
    folders = {}
    for kind in ("config", "data", "cache", "state"):
        folder = tmp_path / kind / "portrait-animate"
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "file").write_bytes(b"x" * 1000)
        monkeypatch.setattr(platformdirs, f"user_{kind}_path", lambda *_, folder=folder, **__: folder)
        monkeypatch.setattr(platformdirs, f"user_{kind}_dir", lambda *_, folder=folder, **__: str(folder))
        folders[kind] = folder
    (tmp_path / "data" / "other-program").mkdir()
    return folders


def test_all_is_listed_and_removed(homes: dict[str, Path], here: Path, run_cli: Callable, tmp_path: Path) -> None:
    refused = run_cli("uninstall-data")
    assert refused.code == 2
    assert "Add --yes" in refused.err
    assert all(folder.is_dir() for folder in homes.values())
    for folder in homes.values():
        assert str(folder) in refused.out
    # the command's own configuration folder of the tests is named and stays
    assert "PORTRAIT_ANIMATE_CONFIG, stays" in refused.out
    done = run_cli("uninstall-data", "--yes", "--json")
    assert done.code == 0
    report = json.loads(done.out)
    assert {one["path"] for one in report["removed"]} == {str(folder) for folder in homes.values()}
    assert {one["bytes"] for one in report["removed"]} == {1000}
    assert not any(folder.exists() for folder in homes.values())
    assert (tmp_path / "data" / "other-program").is_dir()
    assert run_cli("uninstall-data").out.endswith("Nothing is kept.\n")


def test_links_are_removed_and_not_followed(
    homes: dict[str, Path], here: Path, run_cli: Callable, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    (homes["data"] / "models").symlink_to(victim)
    cache = homes["cache"]
    moved = tmp_path / "moved"
    cache.rename(moved)
    cache.symlink_to(moved)
    assert run_cli("uninstall-data", "--yes").code == 0
    assert (victim / "precious").exists()
    assert (moved / "inner" / "file").exists()
    assert not cache.is_symlink()


def test_not_while_something_renders(homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORTRAIT_ANIMATE_QUEUE", str(tmp_path / "q.db"))
    check_nobody_works()
    with Queue() as queue:
        queue.register("w", tmp_path)
        with pytest.raises(UsageError, match="window is rendering"):
            check_nobody_works()
        queue.unregister("w")
    check_nobody_works()
    assert len(data_folders()) == 4


def test_weights_lie_among_the_data(homes: dict[str, Path]) -> None:
    assert user_folder() == homes["data"] / "models"
    older = homes["cache"] / "models"
    older.mkdir()
    assert user_folder() == older  # of an earlier version: found without another download
    (homes["data"] / "models").mkdir()
    assert user_folder() == homes["data"] / "models"
