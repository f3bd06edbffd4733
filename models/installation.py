"""How packages are added to this installation: the command depends on how the program was installed."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
"""Folder that the packages lie in: the checkout, or site-packages."""


def pip_command(verb: str = "install") -> str:
    """How packages of this very environment are changed from a shell: with pip, or with uv where that made it.

    Args:
        verb: "install" or "uninstall"; the latter doesn't ask back.
    """
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable or "python"
    if _pip_is_here():
        return f"{python} -m pip {verb}" + (" -y" if verb == "uninstall" else "")
    return f"uv pip {verb} --python {python}"


def _pip_is_here() -> bool:
    # Not importlib.util.find_spec: setuptools watches for pip being looked for, then no longer replaces distutils in
    # this process, and what imports setuptools later (torch.compile) fails.
    return PathFinder.find_spec("pip") is not None


def requirements() -> list[str]:
    """Requirements of the program as its metadata have them, those of extras too; empty where it is not installed."""
    try:
        return metadata.requires("portrait-animate") or []
    except metadata.PackageNotFoundError:  # run from a folder without being installed
        return []


def requirements_of(extra: str) -> list[str]:
    """Requirements that an extra adds, with their bounds; empty where the program is not installed.

    Args:
        extra: Name of an extra of pyproject.toml.
    """
    parts = [text.partition(";") for text in requirements()]
    marker = re.compile(rf"""extra == ['"]{re.escape(extra)}['"]""")
    return [requirement.strip() for requirement, _, condition in parts if marker.search(condition)]


def install_command(extra: str) -> str:
    """Command line that adds an extra to this installation, or empty where nothing can be added (a built app).

    Args:
        extra: Name of an extra of pyproject.toml.
    """
    if getattr(sys, "frozen", False):
        return ""
    packages = " ".join(f'"{text}"' for text in requirements_of(extra))
    prefix = Path(sys.prefix)
    if packages and (prefix / "pipx_metadata.json").is_file():
        return f"pipx inject {prefix.name} {packages}"
    if (ROOT / "pyproject.toml").is_file():
        return f'{pip_command()} -e "{ROOT}[{extra}]"'
    return f"{pip_command()} {packages}" if packages else f"{pip_command()} {extra}"


def install_hint(extra: str) -> str:
    """What to do so that an extra is there, as one sentence.

    Args:
        extra: Name of an extra of pyproject.toml.
    """
    command = install_command(extra)
    if command:
        return f"Install it: {command}"
    return "This build of the program can't be extended; an installation with pip can."
