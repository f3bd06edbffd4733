"""What other programs import, and what the tools import, is there."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import liveportrait

ROOT = Path(__file__).resolve().parents[1]
TOOLS = sorted((ROOT / "tools").rglob("*.py"))
OURS = ("app", "liveportrait", "models", "tools")


@pytest.mark.parametrize("name", liveportrait.__all__)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(liveportrait, name) is not None


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_tool_imports_of_ours_is_there(path: Path) -> None:
    """Tools run by hand and rarely; a name that moved would be found by whoever needs it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            try:
                module = importlib.import_module(node.module)
            except ImportError as error:
                if (error.name or "").split(".")[0] in OURS:
                    raise
                pytest.skip(f"{error.name} is not installed")
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
