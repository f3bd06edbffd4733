"""Update the window's catalogues: ``python tools/translations.py [--check]``.

Every text of ``tr()`` and ``mark()``, every template of ``msg()``, every error sentence, and every declared title,
help, group and name gets an entry; new ones are marked unfinished, obsolete ones are dropped. The format is Qt
Linguist's. Qt's own lupdate handles only tr(): it supports neither msg() nor declared texts, and writes contexts and
line numbers that change with every edit.
"""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "app" / "gui" / "translations"
LANGUAGES = ("de",)
FIELD = re.compile(r"\{[^{}]*\}")
PACKAGES = ("app", "liveportrait", "models")
ENGLISH_ONLY = ("cli", "server")  # subpackages of app whose texts the window never shows


def marked_texts(path: Path) -> Iterator[str]:
    """Texts of tr(), mark() and msg() calls in one module, and its error sentences."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if called in ("tr", "mark", "msg"):
            yield from (text for text in texts_of(node.args[:1]) if called != "msg" or has_words(text))
        elif called.endswith("Error") and path.is_relative_to(ROOT / "app"):
            yield from (text for text in texts_of(node.args) if " " in text)


def texts_of(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Texts in arguments."""
    for node in nodes:
        for one in alternatives(node):
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one.value


def alternatives(node: ast.AST) -> tuple[ast.AST, ...]:
    """Possible values of an expression: both sides of a condition."""
    return (*alternatives(node.body), *alternatives(node.orelse)) if isinstance(node, ast.IfExp) else (node,)


def has_words(text: str) -> bool:
    """Whether there is something to translate besides placeholders and punctuation."""
    return any(char.isalpha() for char in FIELD.sub("", text))


def declared_texts() -> Iterator[str]:
    """Texts that are declared below the window: options, sliders, expressions, presets."""
    from app.doctor import CHECKS
    from app.gui.session import panel_live_options, panel_options
    from app.gui.store import BUILT_IN_EXPRESSIONS
    from app.live_options import live_options
    from app.options import all_options, find_option
    from app.presets import BUILT_IN
    from liveportrait.engines import ENGINES
    from liveportrait.expression import SLIDERS
    from models.registry import get_model, list_models

    live = {info.name: info for info in live_options()}
    infos = [find_option(name) for name in panel_options()] + [live[name] for name in panel_live_options()]
    for info in infos:
        yield from (info.title, getattr(info.help, "template", info.help))
    yield from (info.title for info in [*all_options(), *live.values()])  # a sentence may name any of them
    for slider in SLIDERS.values():
        yield from (slider.title, slider.help)
    yield from BUILT_IN_EXPRESSIONS
    yield from ("Motion", "Stitching and retargeting", "Pose", "Expression", "Crop", "Output", "Live", "Program")
    yield from ("Eyes", "Brows", "Mouth")
    for name, (text, _) in BUILT_IN.items():
        yield from (name, text)
    for spec in ENGINES:
        yield spec.summary
    for name in list_models():
        yield from (text for text in (get_model(name).task, get_model(name).note) if text)
    yield from (name for name, _ in CHECKS)


def all_texts() -> list[str]:
    """All texts of the window, sorted, so that a change affects one place in the catalogue."""
    found = dict.fromkeys(declared_texts())
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not any(path.is_relative_to(ROOT / "app" / name) for name in ENGLISH_ONLY):
                found.update(dict.fromkeys(marked_texts(path)))
    return sorted(found)


def update(language: str, texts: list[str]) -> tuple[str, int]:
    """A catalogue for these texts: its XML, and the number of unfinished ones."""
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
    """Write the catalogues, or only check them with --check; returns 1 if anything is unfinished or out of date."""
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
