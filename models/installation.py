"""How packages are added to this installation: the command depends on how the program was installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
    if packages and (tool := _uv_tool(prefix)):
        return " ".join(["uv tool install", *(f'--with "{text}"' for text in requirements_of(extra)), tool])
    if (ROOT / "pyproject.toml").is_file():
        return f'{pip_command()} -e "{ROOT}[{extra}]"'
    return f"{pip_command()} {packages}" if packages else f"{pip_command()} {extra}"


def _uv_tool(prefix: Path) -> str:
    """How uv is told to install the program as the tool that it is, with what was added before; empty if it is none.

    uv makes the environment of a tool anew from what its command names, so that additions have to be named again.

    Args:
        prefix: Folder of this environment; uv keeps its receipt in there.
    """
    try:
        receipt = tomllib.loads((prefix / "uv-receipt.toml").read_text(encoding="utf-8"))
        wanted = receipt["tool"]["requirements"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    own, words = '"portrait-animate"', []
    for one in wanted if isinstance(wanted, list) else []:
        entry = {"name": one} if isinstance(one, str) else one
        if not isinstance(entry, dict):
            continue
        editable = entry.get("editable")
        text = f'"{_requirement(entry)}"'
        if re.match(r"portrait[-_.]animate\b", str(entry.get("name", ""))):
            own = f"--editable {text}" if editable else text
        else:
            words.append(f"--with-editable {text}" if editable else f"--with {text}")
    return " ".join([*words, own])


def _requirement(entry: Mapping[str, Any]) -> str:
    """A requirement of uv's receipt as a command line takes it."""
    name, extras = str(entry.get("name", "")), entry.get("extras") or []
    name += f"[{','.join(extras)}]" if extras else ""
    for kind in ("directory", "path", "editable"):
        if kind in entry:
            return f"{entry[kind]}[{','.join(extras)}]" if extras else str(entry[kind])
    if "git" in entry:
        address, _, query = str(entry["git"]).partition("?")
        revision = re.search(r"(?:rev|tag|branch)=([^&#]+)", query)
        return f"{name} @ git+{address}{f'@{revision[1]}' if revision else ''}"
    return f"{name} @ {entry['url']}" if "url" in entry else f"{name}{entry.get('specifier', '')}"


def package_hint(requirement: str) -> str:
    """What to do so that a package is there that no extra names, as one sentence.

    Args:
        requirement: Package with its bounds.
    """
    if getattr(sys, "frozen", False):
        return "This build of the program can't be extended; an installation with pip can."
    return f'Install it: {pip_command()} "{requirement}"'


def install_hint(extra: str) -> str:
    """What to do so that an extra is there, as one sentence.

    Args:
        extra: Name of an extra of pyproject.toml.
    """
    command = install_command(extra)
    if command:
        return f"Install it: {command}"
    return "This build of the program can't be extended; an installation with pip can."
