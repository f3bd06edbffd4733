"""No module needs another one that needs it, lazily or not, and none uses another's private names."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORT = re.compile(r"^( *)(?:from ([\w.]+) import (\([^)]*\)|[^\n]*)|import ([\w.]+))", re.M)


def modules() -> dict[str, str]:
    """Name of each shipped module -> its text without what only type checkers import."""
    found = {}
    for package in ("app", "liveportrait", "models"):
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = re.sub(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", "", path.read_text("utf-8"), flags=re.M)
    return found


def needs(text: str, known: set[str]) -> tuple[set[str], list[str]]:
    """Modules that a text imports, and the private names that it takes from them."""
    wanted, private = set(), []
    for _, module, names, plain in IMPORT.findall(text):
        for name in re.findall(r"\w+", re.sub(r"\bas \w+|#.*", "", names)) if module in known else []:
            inner = f"{module}.{name}"
            wanted.add(inner if inner in known else module)
            private += [inner] if re.match(r"_(?!_)", name) else []
        wanted |= {plain} & known
    return wanted, private


def cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_imports_run_one_way_and_take_public_names() -> None:
    texts = modules()
    found = {name: needs(text, set(texts)) for name, text in texts.items()}
    assert sum(len(wanted) for wanted, _ in found.values()) > 1000
    assert cycle({name: wanted - {name} for name, (wanted, _) in found.items()}) == []
    assert [private for _, one in found.values() for private in one] == []


@pytest.mark.parametrize("text", ["import b", "    from b import (\n    c,\n)", "from b import _c"])
def test_the_check_sees_what_it_is_for(text: str) -> None:
    wanted, private = needs(text, {"a", "b"})
    assert cycle({"a": wanted, "b": {"a"}})
    assert private == (["b._c"] if "_c" in text else [])
