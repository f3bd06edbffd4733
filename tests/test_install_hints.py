"""Hints that name a command work for the way in which the program was installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from models import installation

ROOT = Path(__file__).resolve().parents[1]
TORCH = '"torch<3,>=2.6" "safetensors<1,>=0.4.5"'


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment with pip, the program in its site-packages; returns its folder."""
    texts = [
        "av<20,>=17", "torch<3,>=2.6; extra == 'torch'", "torch<3,>=2.6; extra == 'gpu'",
        'safetensors<1,>=0.4.5; (sys_platform == "linux") and extra == "torch"', "ray; extra == 'torch-more'",
    ]  # fmt: skip
    monkeypatch.setattr(installation.metadata, "requires", lambda name: texts)
    monkeypatch.setattr(installation, "_pip_is_here", lambda: True)
    monkeypatch.setattr(installation, "ROOT", tmp_path / "site-packages")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/env/bin/python")
    return tmp_path


@pytest.mark.usefixtures("installed")
def test_installed_package_names_what_the_extra_requires() -> None:
    assert installation.install_hint("torch") == f"Install it: /env/bin/python -m pip install {TORCH}"


def test_checkout_names_its_folder(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = installed / "my copy"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    monkeypatch.setattr(installation, "ROOT", folder)
    assert installation.install_hint("torch") == f'Install it: /env/bin/python -m pip install -e "{folder}[torch]"'


def test_pipx_injects(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = installed / "venvs" / "portrait-animate"
    home.mkdir(parents=True)
    (home / "pipx_metadata.json").touch()
    monkeypatch.setattr(sys, "prefix", str(home))
    assert installation.install_hint("torch") == f"Install it: pipx inject portrait-animate {TORCH}"


RECEIPT = """[tool]
requirements = [{}]
entrypoints = [{{ name = "animate", install-path = "/home/me/.local/bin/animate", from = "portrait-animate" }}]
"""
OWN = '{ name = "portrait-animate", directory = "/home/me/portrait-animate" }'


@pytest.mark.parametrize(
    ("entries", "ending"),
    [
        (OWN, '"/home/me/portrait-animate"'),
        ('{ name = "portrait-animate", editable = "/home/my copy" }', '--editable "/home/my copy"'),
        ('{ name = "portrait-animate", path = "/w/portrait_animate-1-py3-none-any.whl" }',
         '"/w/portrait_animate-1-py3-none-any.whl"'),
        ('{ name = "portrait-animate", extras = ["mic"], specifier = "<2" }', '"portrait-animate[mic]<2"'),
        ('{ name = "portrait-animate", extras = ["mic"], directory = "/p" }', '"/p[mic]"'),
        ('{ name = "portrait-animate", git = "https://example.org/p?tag=v1" }',
         '"portrait-animate @ git+https://example.org/p@v1"'),
        ('{ name = "portrait-animate", url = "https://example.org/p.whl" }',
         '"portrait-animate @ https://example.org/p.whl"'),
        ('"portrait-animate"', '"portrait-animate"'),
        (OWN + ', { name = "ray", specifier = ">=2" }, { name = "mine", editable = "/m" }',
         '--with "ray>=2" --with-editable "/m" "/home/me/portrait-animate"'),
    ],
)  # fmt: skip
def test_a_tool_of_uv_is_installed_with_more(
    installed: Path, monkeypatch: pytest.MonkeyPatch, entries: str, ending: str
) -> None:
    """Also from a copy of the project; what was added before is named again, since uv would take it away."""
    (installed / "uv-receipt.toml").write_text(RECEIPT.format(entries))
    more = '--with "torch<3,>=2.6" --with "safetensors<1,>=0.4.5"'
    assert installation.install_hint("torch") == f"Install it: uv tool install {more} {ending}"
    (installed / "pyproject.toml").touch()
    monkeypatch.setattr(installation, "ROOT", installed)
    assert installation.install_hint("torch") == f"Install it: uv tool install {more} {ending}"


@pytest.mark.parametrize("text", ["", "[tool]", "tool = 1", "[tool]\nrequirements = 3", "\0", "["])
def test_a_damaged_receipt_of_uv_is_no_obstacle(installed: Path, text: str) -> None:
    (installed / "uv-receipt.toml").write_text(text)
    assert TORCH.split(" ", maxsplit=1)[0] in installation.install_hint("torch")


@pytest.mark.usefixtures("installed")
def test_environment_of_uv_has_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_pip_is_here", lambda: False)
    assert installation.install_hint("torch") == f"Install it: uv pip install --python /env/bin/python {TORCH}"


@pytest.mark.usefixtures("installed")
def test_built_app_can_not_be_extended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert "can't be extended" in installation.install_hint("torch")


def test_no_text_names_the_package_as_if_an_index_had_it() -> None:
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for folder in ("app", "liveportrait", "models", "tools"):
        files += [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.ts")]
    assert len(files) > 100
    assert [str(f) for f in files if "portrait-animate[" in f.read_text(encoding="utf-8")] == []


def test_a_hint_leaves_setuptools_as_it_was() -> None:
    """Looking for pip in the usual way would: torch.compile, which imports setuptools, failed after a hint."""
    pytest.importorskip("setuptools", reason="setuptools is not installed")
    code = "from models.installation import install_hint; install_hint('torch'); import setuptools"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
