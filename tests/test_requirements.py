"""What pyproject.toml asks for is bounded, and the lists made from it agree with it."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
GROUPS = {
    "base": PROJECT["dependencies"],
    "build": PYPROJECT["build-system"]["requires"],
    **PROJECT["optional-dependencies"],
}
REQUIREMENTS = [Requirement(text) for texts in GROUPS.values() for text in texts]


def release(version: str) -> tuple[int, ...]:
    """Leading numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_requirement_has_both_bounds(requirement: Requirement) -> None:
    signs = {spec.operator: release(spec.version) for spec in requirement.specifier}
    if "==" in signs:
        assert len(signs) == 1
        return
    assert set(signs) == {">=", "<"}, f"{requirement} lacks a lower or an upper bound"
    assert signs[">="] < signs["<"]
    assert len(signs["<"]) <= 2, f"{requirement}: bounded by a release, not by a major version"


def test_one_package_has_one_upper_bound() -> None:
    """Extras that are installed together must not differ in what they refuse."""
    bounds: dict[str, set[str]] = {}
    for requirement in REQUIREMENTS:
        name = requirement.name.lower()
        if name != "pyside6-essentials":  # one for each range of Python versions
            bounds.setdefault(name, set()).update(s.version for s in requirement.specifier if s.operator == "<")
    assert not {name: found for name, found in bounds.items() if len(found) > 1}


def lock_tool() -> ModuleType:
    """tools/lock.py."""
    spec = importlib.util.spec_from_file_location("project_lock", ROOT / "tools" / "lock.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def locked() -> list[Requirement]:
    """Lines of requirements/constraints.txt."""
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


SYSTEMS = [
    {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.4", "sys_platform": platform,
     "platform_system": system, "platform_machine": machine, "os_name": name, "implementation_name": "cpython",
     "platform_python_implementation": "CPython"}
    for minor in (10, 11, 12, 13)
    for platform, system, machine, name in (
        ("linux", "Linux", "x86_64", "posix"), ("darwin", "Darwin", "arm64", "posix"),
        ("win32", "Windows", "AMD64", "nt"),
    )
]  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: f"{s['sys_platform']}-{s['python_version']}")
def test_constraints_fit_the_bounds_on_every_python_and_system(system: dict[str, str]) -> None:
    versions: dict[str, list[str]] = {}
    for line in locked():
        if line.marker is None or line.marker.evaluate(system):
            (pin,) = line.specifier
            assert pin.operator == "=="
            versions.setdefault(canonicalize_name(line.name), []).append(pin.version)
    assert all(len(found) == 1 for found in versions.values())
    tool = lock_tool()
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][name] for name in tool.locked_extras())]
    for text in (text for group in groups for text in group):
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({**system, "extra": ""}):
            continue
        (version,) = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), f"{text}: {version}"


def test_constraints_are_dated_and_name_no_host() -> None:
    text = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8")
    assert re.match(r"# Written by tools/lock\.py on 20\d\d-\d\d-\d\d:", text)
    assert "://" not in text
    assert not [line for line in locked() if line.extras or line.url]  # pip takes neither in a constraints file


def test_list_for_the_command_line_is_that_of_pyproject() -> None:
    text = (ROOT / "requirements" / "cli.txt").read_text(encoding="utf-8")
    assert text == lock_tool().cli_text(), "run tools/lock.py --cli-only"
    assert "pyside" not in "".join(line for line in text.lower().splitlines() if not line.startswith("#"))
    names = {Requirement(line).name for line in text.splitlines() if not line.startswith("#")}
    assert names == {Requirement(t).name for t in PROJECT["dependencies"]} - {"PySide6-Essentials"}
