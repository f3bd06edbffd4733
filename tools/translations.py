"""Bring the window's catalogues up to date: ``python tools/translations.py [--check]``.

Every text of ``tr()`` and ``mark()`` in app/gui, and every title, help, group and name declared below it, gets an
entry; new ones are marked unfinished, ones that are gone are dropped. The files are those of Qt Linguist.
"""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "app" / "gui" / "translations"
LANGUAGES = ("de",)


def marked_texts(path: Path) -> Iterator[str]:
    """Texts of tr() and mark() calls in one module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("tr", "mark"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def declared_texts() -> Iterator[str]:
    """Texts that are declared below the window: options, sliders, expressions, presets."""
    from app.gui.session import panel_live_options, panel_options
    from app.gui.store import BUILT_IN_EXPRESSIONS
    from app.live_options import live_options
    from app.options import find_option
    from app.presets import BUILT_IN
    from liveportrait.expression import SLIDERS

    live = {info.name: info for info in live_options()}
    infos = [find_option(name) for name in panel_options()] + [live[name] for name in panel_live_options()]
    for info in infos:
        yield from (info.title, info.help)
    for slider in SLIDERS.values():
        yield from (slider.title, slider.help)
    yield from BUILT_IN_EXPRESSIONS
    yield from ("Motion", "Stitching and retargeting", "Pose", "Expression", "Crop", "Output", "Live", "Program")
    yield from ("Eyes", "Brows", "Mouth")
    for name, (text, _) in BUILT_IN.items():
        yield from (name, text)


def all_texts() -> list[str]:
    """Every text of the window, sorted, so that a change touches one place of the catalogue."""
    found: dict[str, None] = {}
    for path in sorted((ROOT / "app" / "gui").rglob("*.py")):
        found.update(dict.fromkeys(marked_texts(path)))
    found.update(dict.fromkeys(declared_texts()))
    return sorted(found)


def update(language: str, texts: list[str]) -> tuple[str, int]:
    """A catalogue for these texts: its XML, and how many are unfinished."""
    from app.gui.translate import read_catalogue

    path = FOLDER / f"{language}.ts"
    known = read_catalogue(path) if path.is_file() else {}
    root = ET.Element("TS", version="2.1", language=language, sourcelanguage="en")
    context = ET.SubElement(root, "context")
    ET.SubElement(context, "name").text = "app"
    missing = 0
    for text in texts:
        message = ET.SubElement(context, "message")
        ET.SubElement(message, "source").text = text
        target = ET.SubElement(message, "translation")
        if text in known:
            target.text = known[text]
        else:
            target.set("type", "unfinished")
            missing += 1
    ET.indent(root, " ")
    xml = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{xml}\n', missing


def main() -> int:
    """Write the catalogues, or with --check only look; 1 if something is unfinished or out of date."""
    code = 0
    for language in LANGUAGES:
        path = FOLDER / f"{language}.ts"
        xml, missing = update(language, all_texts())
        current = path.read_text(encoding="utf-8") if path.is_file() else ""
        if "--check" not in sys.argv:
            path.write_text(xml, encoding="utf-8", newline="\n")
        elif xml != current:
            code = 1
        code = 1 if missing else code
        print(f"{path.relative_to(ROOT)}: {missing} unfinished")
    return code


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
