"""Packages that overwrite each other, and parts of the installation that are missing or damaged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from app import environment
from app.cli import main as cli
from app.errors import ExitCode, MissingError
from models import installation


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Function: the distributions that count as installed."""

    def use(*names: str) -> None:
        monkeypatch.setattr(environment, "version", lambda name: "1.2" if name in names else None)

    return use


@pytest.mark.parametrize(
    ("names", "module", "kept"),
    [
        (("opencv-python", "opencv-python-headless"), "cv2", "opencv-python-headless"),
        (("opencv-contrib-python", "opencv-python-headless"), "cv2", "opencv-contrib-python-headless"),
        (("onnxruntime", "onnxruntime-gpu"), "onnxruntime", "onnxruntime-gpu"),
        (("onnxruntime", "onnxruntime-directml"), "onnxruntime", "onnxruntime-directml"),
    ],
)
def test_two_wheels_of_one_module_are_told_with_one_command(
    installed: Callable[..., None], names: tuple[str, ...], module: str, kept: str
) -> None:
    installed(*names, "numpy")
    (text,) = environment.clashes()
    assert all(name in text for name in names)
    remove, _, install = text.partition("Keep one: ")[2].partition(" && ")
    assert " uninstall " in remove
    assert set(remove.split()) >= set(names)  # both go: taking away one alone takes files of the other with it
    assert " install " in install
    assert install.split()[-1].strip('"').split("<")[0].split(">")[0] == kept


def test_one_wheel_of_each_is_fine(installed: Callable[..., None]) -> None:
    installed("opencv-contrib-python", "onnxruntime-gpu")
    assert environment.clashes() == []


def test_clash_is_warned_of_once_by_commands_that_draw(
    installed: Callable[..., None], run_cli: Callable, tmp_path: Path
) -> None:
    installed("onnxruntime", "onnxruntime-gpu")
    outcome = run_cli(str(tmp_path / "no.jpg"), str(tmp_path / "no.mp4"))
    assert outcome.err.count("warning: onnxruntime and onnxruntime-gpu are both installed") == 1
    assert outcome.code != 0
    assert "both installed" not in run_cli("--help").err
    assert "both installed" not in run_cli("models", "list").err


def test_bounds_are_those_of_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [
        "av<20,>=17", "onnxruntime-gpu<2,>=1.20; extra == 'gpu'", "onnxruntime<2,>=1.20",
        "pyside6-essentials<6.12,>=6.7; python_version < '3.12'",
        "pyside6-essentials<7,>=6.7; python_version >= '3.12'",
    ]  # fmt: skip
    monkeypatch.setattr(environment.metadata, "requires", lambda name: texts)
    assert environment.bounded("av") == '"av<20,>=17"'
    assert environment.bounded("onnxruntime") == '"onnxruntime<2,>=1.20"'
    assert environment.bounded("onnxruntime-gpu") == '"onnxruntime-gpu<2,>=1.20"'
    limit = "<6.12" if sys.version_info < (3, 12) else "<7"
    assert environment.bounded(environment.QT) == f'"{environment.QT}{limit},>=6.7"'
    assert environment.bounded("no-such-package") == "no-such-package"


def test_command_fits_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    monkeypatch.setattr(installation, "_pip_is_here", lambda: True)
    assert installation.pip_command() == '"/my env/bin/python" -m pip install'
    assert installation.pip_command("uninstall") == '"/my env/bin/python" -m pip uninstall -y'
    monkeypatch.setattr(installation, "_pip_is_here", lambda: False)  # environments of uv have no pip
    assert installation.pip_command() == 'uv pip install --python "/my env/bin/python"'


@pytest.mark.parametrize(("module", "title"), [("cv2", "OpenCV"), ("onnxruntime", "ONNX Runtime")])
def test_module_that_lost_its_files_is_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, title: str
) -> None:
    """What is left after uninstalling one of two: a folder that imports as an empty package."""
    monkeypatch.setitem(sys.modules, module, ModuleType(module))

    def use(arguments: list[str]) -> int:
        return int(sys.modules[module].SessionOptions())

    monkeypatch.setattr(cli, "run", use)
    assert cli.main([]) == ExitCode.MISSING
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{title} can't be used (files of {module} are missing)" in err
    assert " && " in err


@pytest.mark.parametrize("module", ["av", "numpy", "PIL", "PySide6"])
def test_packages_that_can_not_be_imported_are_named(module: str) -> None:
    known = environment.explain(ModuleNotFoundError(f"No module named '{module}'", name=module))
    assert isinstance(known, MissingError)
    assert environment.DISTRIBUTIONS.get(module, module).lower() in str(known).lower()
    assert "install" in known.hint


def test_other_faults_stay_faults_of_the_program() -> None:
    assert environment.explain(AttributeError("x")) is None
    assert environment.explain(ModuleNotFoundError("No module named 'app.nothing'", name="app.nothing")) is None
    assert environment.explain(ValueError("cv2")) is None
    with pytest.raises(AttributeError) as caught:
        Path.no_such_name  # type: ignore[attr-defined]  # noqa: B018
    assert environment.explain(caught.value) is None


@pytest.mark.parametrize("arguments", [("gui",), ("gui", "photo.jpg")])
def test_window_without_qt_is_one_sentence(
    run_cli: Callable, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    from app.cli import gui

    monkeypatch.setattr(gui, "find_spec", lambda name: None)
    outcome = run_cli(*arguments)
    assert outcome.code == ExitCode.MISSING
    assert outcome.err.count("\n") == 1
    assert "PySide6" in outcome.err
    assert "install" in outcome.err
    assert run_cli("gui", "--help").code == 0
