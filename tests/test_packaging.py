"""The package: version, contents, dependencies, entry points, licences of what ships, and the set-up script."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

import liveportrait

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ASSETS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "assets").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)
# import name -> distribution, where the two differ
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless", "PIL": "pillow", "PySide6": "PySide6-Essentials", "yaml": "pyyaml",
    "syphon": "syphon-python", "c2pa": "c2pa-python",
}  # fmt: skip
HEAVY = ("torch", "tensorrt", "insightface", "onnx", "openvino", "ray", "skimage", "scipy")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """The wheel's METADATA."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def requirement_name(requirement: str) -> str:
    """Normalised distribution name of a requirement."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_version_is_written_once(metadata: Message) -> None:
    assert metadata["Version"] == liveportrait.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", liveportrait.__version__)
    folders = ("app", "liveportrait", "models", "tools")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    where = re.compile(r'^\s*(__version__|VERSION)\s*(:[^=]*)?=\s*["\']', re.MULTILINE)
    found = [path.relative_to(ROOT).as_posix() for path in sources if where.search(path.read_text(encoding="utf-8"))]
    assert found == ["liveportrait/__init__.py"]


def test_wheel_carries_all_assets_unchanged(wheel: zipfile.ZipFile) -> None:
    assert any(name.endswith(".onnx") for name in ASSETS)
    for name in ASSETS:
        assert wheel.read(name) == (ROOT / name).read_bytes(), name


def test_wheel_carries_all_modules_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in inside} == {"app", "assets", "liveportrait", "models", "portrait_animate.py"}
    modules = {
        path.relative_to(ROOT).as_posix() for folder in ("app", "liveportrait", "models")
        for path in (ROOT / folder).rglob("*.py")
    }  # fmt: skip
    assert modules <= inside
    assert {"app/py.typed", "liveportrait/py.typed", "models/py.typed"} <= inside  # type checkers read the annotations
    assert not [name for name in inside if "__pycache__" in name or name.endswith(".tmp")]


def test_wheel_carries_licence_texts(wheel: zipfile.ZipFile, metadata: Message) -> None:
    for name in metadata.get_all("License-File", []):
        (path,) = [inside for inside in wheel.namelist() if inside.endswith(f".dist-info/licenses/{name}")]
        assert wheel.read(path) == (ROOT / name).read_bytes()
    assert {"LICENSE", "assets/LICENSES.md"} <= set(metadata.get_all("License-File", []))


def test_entry_points_resolve(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    targets = dict(re.findall(r"^(\S+) = (\S+)$", wheel.read(name).decode(), re.MULTILINE))
    assert set(targets) == {"animate", "animate-gui", "portrait-animate", "portrait-animate-gui"}
    for target in targets.values():
        module, function = target.split(":")
        assert callable(getattr(importlib.import_module(module), function)), target


def test_animate_says_its_version() -> None:
    code = "import sys; from app.cli.main import main; sys.argv = ['animate', '--version']; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert liveportrait.__version__ in done.stdout


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"app", "assets", "liveportrait", "models", "portrait_animate"}


def test_every_import_is_a_declared_dependency() -> None:
    declared = {requirement_name(text) for text in PROJECT["dependencies"]}
    for extra, requirements in PROJECT["optional-dependencies"].items():
        if extra not in ("dev", "tools"):
            declared |= {requirement_name(text) for text in requirements}
    for folder in ("app", "liveportrait", "models"):
        for path in (ROOT / folder).rglob("*.py"):
            wanted = {DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in imported_packages(path)}
            assert wanted <= declared, f"{path.relative_to(ROOT)} imports {sorted(wanted - declared)}"


def defines_networks(path: Path) -> bool:
    """Whether a module imports torch as it loads: below the app, those that define or train networks may."""
    if path.is_relative_to(ROOT / "app"):
        return False
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    found = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    found += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return any(name.split(".")[0] == "torch" for name in found)


def test_base_installation_imports_without_extras() -> None:
    """Every module but the networks imports where torch and all other optional packages are missing."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for folder in ("app", "liveportrait", "models")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not defines_networks(path) and path.stem != "__main__"
    ]
    # animate serve asks for its packages before it loads the interface
    names = [name for name in names if not name.startswith("liveportrait.networks.") and name != "app.server.api"]
    assert {"app.errors", "liveportrait.motion", "models.face"} <= set(names)
    code = f"import sys, importlib\nfor m in {HEAVY!r}: sys.modules[m] = None\n"
    code += f"for m in {names!r}: importlib.import_module(m)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_torch_of_the_tests_is_pinned() -> None:
    assert "torch==2.13.0" in PROJECT["optional-dependencies"]["dev"]
    assert not [text for text in PROJECT["dependencies"] if requirement_name(text) in HEAVY]


def test_python_versions_agree() -> None:
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">={classified[0]}"
    for name in (".github/workflows/ci.yml", ".gitlab-ci.yml"):
        matrix = re.search(r"(?:python|PYTHON_VERSION): \[(.*)\]", (ROOT / name).read_text(encoding="utf-8"))
        assert matrix, name
        assert re.findall(r"3\.\d+", matrix.group(1)) == classified, name


# ---- licences of what ships


def licence_rows() -> list[tuple[list[str], list[str]]]:
    """Patterns and cells of every line of the table in assets/LICENSES.md."""
    lines = (ROOT / "assets" / "LICENSES.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines if line.startswith("| `")]
    return [(re.findall(r"`([^`]+)`", row[0]), row) for row in rows]


@pytest.mark.parametrize("name", ASSETS)
def test_asset_has_a_licence(name: str) -> None:
    rows = [row for patterns, row in licence_rows() if any(fnmatch(name, f"assets/{text}") for text in patterns)]
    assert rows, f"assets/LICENSES.md has no line for {name}"
    for row in rows:
        assert all(row[1:4]), f"the line for {name} lacks what it is, its source or its licence"


def test_no_licence_line_without_a_file() -> None:
    for patterns, _ in licence_rows():
        for text in patterns:
            assert any(fnmatch(name, f"assets/{text}") for name in ASSETS), text


def test_model_checksums() -> None:
    folder = ROOT / "assets" / "models" / "face"
    lines = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert {name for _, name in lines} == {path.name for path in folder.glob("*.onnx")}
    for digest, name in lines:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


# ---- tools/make.py


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/make.py, working on an empty folder."""
    spec = importlib.util.spec_from_file_location("project_make", ROOT / "tools" / "make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.delenv("PYTHON", raising=False)
    return module


def test_make_parses_on_an_old_python() -> None:
    source = (ROOT / "tools" / "make.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))
    imports = imported_packages(ROOT / "tools" / "make.py")
    assert not imports, f"tools/make.py must run without packages, but imports {imports}"


def test_make_takes_the_python_that_is_named(make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make.find_python() == sys.executable
    monkeypatch.setenv("PYTHON", "no-such-python")
    with pytest.raises(make.MakeError, match=r"no-such-python does not run.*PYTHON=python3"):
        make.find_python()


@pytest.mark.skipif(os.name == "nt", reason="stands in for python with a shell script")
def test_make_refuses_an_old_python(make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "python3.8"
    old.write_text("#!/bin/sh\necho 3 8\n")
    old.chmod(0o755)
    monkeypatch.setenv("PYTHON", str(old))
    with pytest.raises(make.MakeError, match=r"Python 3\.10 or newer is needed, but .*python3\.8 is 3\.8"):
        make.make_venv()
    assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(os.name == "nt", reason="stands in for python with a shell script")
def test_make_explains_a_missing_venv_module(make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python3"
    bare.write_text('#!/bin/sh\ncase "$2" in *version_info*) echo 3 12;; *) exit 1;; esac\n')
    bare.chmod(0o755)
    monkeypatch.setenv("PYTHON", str(bare))
    with pytest.raises(make.MakeError, match=r"apt install python3-venv .*python3\.12-venv"):
        make.make_venv()


def test_make_makes_an_environment_and_installs_once(
    make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []
    real = make.call

    def call(command: list[str], quiet: bool = False, folder: Path | None = None, log: object = None) -> int:
        """Everything but the installation itself is real."""
        if "install" in command:
            installed.append(command[-1])
            return 0
        return int(real(command, quiet, folder, log))

    monkeypatch.setattr(make, "call", call)
    make.install()
    assert make.python_version(make.venv_program("python")) == sys.version_info[:2]
    make.install()
    assert installed == ["."]
    make.install("dev")
    make.install()
    make.install("dev")
    assert installed == [".", ".[dev]"]
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = []\n")
    make.install("dev")
    assert installed == [".", ".[dev]", ".[dev]"]


def test_make_shows_how_to_go_on(make: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The lines can be pasted: from the project's folder in short, from elsewhere with whole paths."""
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in make.next_steps().splitlines() if line.startswith("    ")]
    folder = ".venv\\Scripts\\" if os.name == "nt" else ".venv/bin/"
    sample = [os.path.join("assets", "sample", name) for name in make.SAMPLE]
    assert lines[0] == " ".join([f"{folder}portrait-animate", *sample])
    assert f"{folder}activate" in lines[1].lower().replace("activate.ps1", "activate").replace("scripts", "Scripts")
    (tmp_path / "other place").mkdir()
    monkeypatch.chdir(tmp_path / "other place")
    assert str(tmp_path / ".venv") in make.next_steps()


def test_make_reports_every_failed_check(make: ModuleType) -> None:
    good, bad = [sys.executable, "-c", ""], [sys.executable, "-c", "raise SystemExit(3)"]
    make.check_all({"first": good})
    with pytest.raises(make.MakeError, match=r"Failed: second, fourth$"):
        make.check_all({"first": good, "second": bad, "third": good, "fourth": ["no-such-program"]})


def test_make_stops_at_a_failed_installation(make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "make_venv", lambda: None)
    with pytest.raises(make.MakeError, match=r"The installation failed \(exit code -1\)"):
        make.install()
    assert not list(make.ROOT.glob(".venv/installed-*"))


@pytest.mark.skipif(os.name == "nt", reason="stands in for python with a shell script")
def test_matrix_finds_one_released_python_of_each_version(
    make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "pyenv/versions/3.12.1": "3 12 1", "pyenv/versions/3.12.7": "3 12 7", "pyenv/versions/3.9.18": "3 9 18",
        "pyenv/versions/3.15.0rc1": "", "uv/cpython-3.14.2-linux-x86_64-gnu": "3 14 2",
    }  # fmt: skip
    for name, answer in answers.items():
        for program in ("python", "python3"):
            path = tmp_path / name / "bin" / program
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!/bin/sh\necho {answer}\n")
            path.chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    found = make.other_pythons()
    if (3, 12) in found and sys.version_info[:2] != (3, 12):
        assert "3.12" in found[3, 12]
    assert found[3, 14].endswith("cpython-3.14.2-linux-x86_64-gnu/bin/python3")
    assert found[sys.version_info[:2]]
    assert (3, 9) not in found
    assert (3, 15) not in found


def test_matrix_probe_leaves_previews_out() -> None:
    source = (ROOT / "tools" / "make.py").read_text(encoding="utf-8")
    probe = re.search(r'^PROBE = """\n(.*?)^"""', source, re.MULTILINE | re.DOTALL)
    assert probe
    for level, words in (("final", 3), ("candidate", 0), ("alpha", 0)):
        code = f"import sys; sys.version_info = (3, 13, 0, {level!r}, 0)\n{probe.group(1)}"
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert len(done.stdout.split()) == words


def test_matrix_tries_the_others_and_says_which_were_not(
    make: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = "".join(f'"Programming Language :: Python :: 3.{minor}",' for minor in (10, 11, 12, 13))
    (make.ROOT / "pyproject.toml").write_text(f"classifiers = [{names}]")
    monkeypatch.setattr(make, "install", lambda: None)
    monkeypatch.setattr(make, "call", lambda *arguments, **more: 0)
    monkeypatch.setattr(make, "python_version", lambda python: (3, 11))
    monkeypatch.setattr(make, "other_pythons", lambda: {(3, 11): "a", (3, 12): "b", (3, 14): "c"})
    tried: list[str] = []

    def attempt(python: str, folder: Path, version: str) -> None:
        tried.append(version)
        (folder / f"{version}.log").write_text(f"output of {version}", encoding="utf-8")
        if version == "3.14":
            raise make.MakeError("The smoke tests failed")

    monkeypatch.setattr(make, "try_python", attempt)
    with pytest.raises(make.MakeError, match=r"Failed with the newest packages on Python 3\.14$"):
        make.matrix([])
    assert sorted(tried) == ["3.12", "3.14"]  # one that came out since too; not that of .venv, which make test takes
    out = capsys.readouterr().out
    assert "NOT TRIED: Python 3.10, 3.13, not on this machine" in out
    assert out.index("output of 3.12") < out.index("output of 3.14")
    make.matrix(["3.12"])
    with pytest.raises(make.MakeError, match=r"Python 3\.10 is not on this machine\. Here: 3\.11, 3\.12, 3\.14\."):
        make.matrix(["3.10"])


def test_matrix_with_one_python_says_so(
    make: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (make.ROOT / "pyproject.toml").write_text('classifiers = ["Programming Language :: Python :: 3.12"]')
    monkeypatch.setattr(make, "install", lambda: None)
    monkeypatch.setattr(make, "python_version", lambda python: (3, 11))
    monkeypatch.setattr(make, "other_pythons", lambda: {(3, 11): "a"})
    make.matrix([])
    out = capsys.readouterr().out
    assert "trying no other" in out
    assert "NOT TRIED: Python 3.12" in out


def test_smoke_tests_cover_what_drifts() -> None:
    """Media, a render, the command line, live, the window and the queue each have smoke tests."""
    marked = {p.parent.name for p in (ROOT / "tests").rglob("test_*.py") if "mark.smoke" in p.read_text("utf-8")}
    assert {"media", "cli", "live", "gui", "jobs"} <= marked
