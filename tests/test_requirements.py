"""What pyproject.toml asks for is bounded, and the lists made from it agree with it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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
