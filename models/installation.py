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
"""Folder of the packages: the checkout, or site-packages."""


def pip_command(verb: str = "install") -> str:
    """Shell command that changes packages of this environment: pip, or uv if it was made by uv.

    Args:
        verb: "install" or "uninstall"; the latter doesn't ask for confirmation.
    """
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable or "python"
    if _pip_is_here():
        return f"{python} -m pip {verb}" + (" -y" if verb == "uninstall" else "")
    return f"uv pip {verb} --python {python}"


def _pip_is_here() -> bool:
    # Not importlib.util.find_spec: setuptools detects a lookup of pip, then no longer replaces distutils in this
    # process, and later imports of setuptools (torch.compile) fail.
    return PathFinder.find_spec("pip") is not None


def requirements() -> list[str]:
    """Requirements of the program from its metadata, including those of extras; empty if it is not installed."""
    try:
        return metadata.requires("portrait-animate") or []
    except metadata.PackageNotFoundError:  # run from a folder without being installed
        return []


def requirements_of(extra: str) -> list[str]:
    """Requirements that an extra adds, with their bounds; empty if the program is not installed.

    Args:
        extra: Name of an extra of pyproject.toml.
    """
    parts = [text.partition(";") for text in requirements()]
    marker = re.compile(rf"""extra == ['"]{re.escape(extra)}['"]""")
    return [requirement.strip() for requirement, _, condition in parts if marker.search(condition)]


def install_command(extra: str) -> str:
    """Command line that adds an extra to this installation, or empty if nothing can be added (a built app).

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
    """Command of uv that reinstalls the program as a tool, including earlier additions; empty if it is not a uv tool.

    uv recreates the environment of a tool from its command, so earlier additions have to be repeated.

    Args:
        prefix: Folder of this environment, which contains uv's receipt.
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
    """A requirement of uv's receipt in command-line form."""
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
    """Advice for installing a package that no extra includes, as one sentence.

    Args:
        requirement: Package with its bounds.
    """
    if getattr(sys, "frozen", False):
        return "This build of the program can't be extended; an installation with pip can."
    return f'Install it: {pip_command()} "{requirement}"'


def install_hint(extra: str) -> str:
    """Advice for installing an extra, as one sentence.

    Args:
        extra: Name of an extra of pyproject.toml.
    """
    command = install_command(extra)
    if command:
        return f"Install it: {command}"
    return "This build of the program can't be extended; an installation with pip can."
