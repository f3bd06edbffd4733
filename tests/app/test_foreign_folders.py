"""Folders of others: what lies there under the name of one of our packages or libraries is never run."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.jobs.run import start
from liveportrait import packages

ROOT = Path(__file__).resolve().parents[2]
MARK = "open({!r}, 'a').write(__name__)\n"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, full of modules that leave a mark when they are run."""
    mark = MARK.format(str(tmp_path / "ran"))
    here = tmp_path / "here"
    for name in ("app/jobs", "models", "assets", "liveportrait"):
        (here / name).mkdir(parents=True)
        (here / name / "__init__.py").write_text(mark)
    (here / "app" / "__init__.py").write_text(mark)
    (here / "app" / "jobs" / "__main__.py").write_text(mark)
    for name in ("cv2", "numpy", "json", "runpy", "signal", "typing"):
        (here / f"{name}.py").write_text(mark)
    monkeypatch.chdir(here)
    return here


def ran(trap: Path) -> bool:
    return (trap.parent / "ran").exists()


def test_a_worker_runs_nothing_of_the_current_folder(trap: Path) -> None:
    """A worker with settings that make no sense fails in our code, not in that of the folder."""
    (trap / "queue").write_text("no queue")
    settings = {"queue": str(trap / "queue"), "name": "a", "number": 1, "folder": str(trap.parent / "scratch")}
    process = start(json.dumps(settings))
    out, error = process.communicate(timeout=120)
    assert process.returncode != 0
    assert str(ROOT / "app" / "jobs") in out + error
    assert not ran(trap)


@pytest.mark.parametrize("value", [None, "", os.pathsep, f"{os.pathsep}/nowhere"])
def test_the_windows_queue_and_the_compiler_start_safely(
    trap: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", value)
    command = packages.python_command("liveportrait.engines.tensorrt_build")
    done = subprocess.run(
        command, input="no JSON", text=True, capture_output=True, check=False,
        env=packages.python_environment(),
    )  # fmt: skip
    assert "tensorrt_build" in done.stderr
    done = subprocess.run(
        packages.python_command("app.jobs", "run", "q", "lane"), text=True, capture_output=True, check=False,
        env=packages.python_environment(),
    )  # fmt: skip
    assert "IndexError" in done.stderr  # the name is missing; the module got its arguments
    assert not ran(trap)


def test_pythonpath_goes_on_working(trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(tmp_path)]))
    assert packages.python_environment()["PYTHONPATH"] == str(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    command = packages.python_command("one_of_mine")
    (tmp_path / "one_of_mine.py").write_text("import sys, app, models; print(sys.argv[1:], app.__file__)")
    done = subprocess.run([*command, "a b", "'"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["['a", "b',", '"\'"]', str(ROOT / "app" / "__init__.py")]


def test_the_command_starts_in_such_a_folder(trap: Path) -> None:
    """As a console script, whose own folder comes first, and as a module of a path that names the project."""
    script = trap.parent / "animate"
    script.write_text("import sys\nfrom portrait_animate import main\nsys.exit(main())\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script), "--version"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("animate ")
    assert not ran(trap)


@pytest.mark.parametrize("name", ["app", "models", "assets", "liveportrait"])
def test_a_foreign_package_is_named(tmp_path: Path, name: str) -> None:
    """One that PYTHONPATH finds before ours: one sentence with both places, and nothing of it is run."""
    other = tmp_path / "other"
    (other / name).mkdir(parents=True)
    (other / name / "__init__.py").write_text(MARK.format(str(tmp_path / "ran")) if name != "liveportrait" else "")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(other), str(ROOT)])}
    code = "import sys; from portrait_animate import main; sys.argv = ['animate', '--version']; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 6
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("animate: error: ")
    assert str(other) in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_script_beside_a_folder_models_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text(MARK.format(str(tmp_path / "ran")))
    (tmp_path / "script.py").write_text("import liveportrait")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert "ForeignPackageError: Python finds another package named models" in last
    assert last.endswith("Run from another folder, or rename models.")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_is_no_package_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = "import liveportrait, models; print(models.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(ROOT / "models" / "__init__.py")


def test_nothing_else_starts_python() -> None:
    """sys.executable stands where commands and hints are made; nothing forks, spawns or runs a shell."""
    # two only print it, one starts a script of the lowest layer in isolated mode
    allowed = {"liveportrait/packages.py", "app/environment.py", "models/installation.py", "models/probe.py"}
    assert '[sys.executable, "-I", str(_CHILD)' in (ROOT / "models" / "probe.py").read_text(encoding="utf-8")
    banned = ("multiprocessing", "ProcessPoolExecutor", "QProcess")
    for folder in ("app", "liveportrait", "models"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            name = path.relative_to(ROOT).as_posix()
            attributes = {
                f"{node.value.id}.{node.attr}"
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            }
            assert name in allowed or "sys.executable" not in attributes, name
            assert not attributes & {"os.system", "os.popen", "os.fork", "os.execv", "os.spawnv"}, name
            assert not [word for word in banned if word in text], name


def test_a_link_to_our_package_is_ours(tmp_path: Path) -> None:
    """A script beside a link to the sample's folder, as in the examples of the documentation."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "script.py").write_text("import liveportrait, assets")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=environment, check=True)
