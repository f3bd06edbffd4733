"""Bring the window's catalogues up to date: ``python tools/translations.py [--check]``.

Every text of ``tr()`` and ``mark()`` in app/gui, and every title, help, group and name declared below it, gets an
entry; new ones are marked unfinished, ones that are gone are dropped. The files are those of Qt Linguist.
"""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "app" / "gui" / "translations"
LANGUAGES = ("de",)
LOWER = (  # what the window shows of the layers below it
    "app/addresses.py", "app/live", "app/media", "app/sources", "app/doctor.py", "app/choices.py",
    "app/frames/scene.py", "app/frames/cover_notes.py", "app/frames/follow.py", "app/frames/motion.py",
    "app/frames/resources.py", "app/frames/templates.py",
    "app/render/inputs.py", "app/render/template.py", "app/render/output.py", "app/render/edit.py",
    "app/render/job.py", "app/render/pipeline.py", "app/jobs/perform.py", "app/jobs/queue.py", "app/jobs/runner.py",
    "app/jobs/store.py", "app/jobs/target.py", "app/options.py", "app/values.py", "app/textfiles.py", "app/presets.py",
    "app/option_info.py", "app/expressions.py", "app/provenance/mark.py", "models/download.py", "models/face.py",
    "models/choices.py", "liveportrait/engines/__init__.py",
)  # fmt: skip
SPEAKERS = ("warn", "info", "note", "Finding")


def marked_texts(path: Path) -> Iterator[str]:
    """Texts of tr() and mark() calls in one module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("tr", "mark"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def template(node: ast.AST) -> str | None:
    """A text, or the pattern of an f-string with numbered places; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    text, places = "", 0
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value).replace("{", "(").replace("}", ")")
        else:
            text, places = f"{text}{{{places}}}", places + 1
    return text


def lower_texts() -> Iterator[str]:
    """Sentences of errors, messages and findings below the window, with numbered places."""
    for name in LOWER:
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                    speaks = called in SPEAKERS or called.endswith("Error") or is_note(node.func)
                    parts: list[ast.AST] = [*node.args] if speaks else []
                    parts += [word.value for word in node.keywords if word.arg in ("error", "message")]
                elif isinstance(node, ast.Return) and isinstance(node.value, (ast.JoinedStr, ast.IfExp)):
                    parts = [node.value]
                else:
                    continue
                for part in parts:
                    for one in (part.body, part.orelse) if isinstance(part, ast.IfExp) else (part,):
                        text = template(one)
                        if text and is_sentence(text):
                            yield text


def is_note(called: ast.AST) -> bool:
    """Whether a call is that of ``notes.append``."""
    if not isinstance(called, ast.Attribute) or called.attr != "append":
        return False
    return getattr(called.value, "id", getattr(called.value, "attr", "")) == "notes"


WORDS = (  # that stand in places of the sentences, or are joined to them
    "in the picture", "in the square given by --crop", "not here", "Folders",
    "Take a picture that shows a human face larger, upright and uncovered.",
    "On a pet, a doll or a drawing place the face by hand: `animate landmarks PHOTO` begins it.",
    "Take a clip that shows a human face larger, upright and uncovered.",
    "A pet, a doll or a drawing can be animated as a photo: save a frame of the clip as a picture first.",
    "Move or enlarge the square so that it holds a whole human face.",
    "{0} must lie to the left of {1}", "{0} must lie above {1}", "{0} must not lie below {1}",
    "the face is only {0}x{1} pixels large; {2} are needed",
    "the handles fold the face onto itself; bring them nearer to the order of a face", "the handles make no face",
    "--landmarks holds the only face; --face has no effect.",
    "Not {0}: {1}.", "Not {0}: the package {1} is not installed.",
    "Engine {0} is used, the best one that is ready here.", "`animate doctor` says what others need.",
    "the package {0} is not installed",
    "its weights (model {0}) are not here", "are not here.", "it knows human faces only",
    "it needs an NVIDIA graphics card, and no NVIDIA driver is installed",
    "it is slow without a graphics card and must be asked for", "the picture has {0} faces", "the picture has {0} face",
    "{0}: no face was found in the picture.", "{0}: no face was found in the square given by --crop.",
    "Driving frame {0}, the neutral reference, is far from neutral ({1}); frame {2} is the most neutral one "
    "(--reference auto).",
    "head turned by {0} degrees",
    "The neutral reference has no effect on absolute motion (--no-relative).",
    "--driving-option has no effect on relative motion, nor has it in the official release.",
    "The official rules of animals know no regions; --region has no effect with --official.",
    "The background colour has no effect on the bare crop (--no-paste-back).",
    "There is no hardware encoder for {0}; --hardware has no effect.",
    "any of its {0} frames", "Pose from {0}", "Expression from {0}", "Lips from {0}", "Eyes from {0}",
    "Driver of a face {0}", "The process that renders has ended ({0}).",
)  # fmt: skip


def is_sentence(text: str) -> bool:
    """Whether a text says something by itself: some words besides its places, no command and no name."""
    words = re.sub(r"\{\d+\}|`[^`]*`|--\w+", " ", text)
    return len(re.findall(r"[A-Za-z]{2,}", words)) >= 2 and " " in text and not text.startswith("pip install")


def declared_texts() -> Iterator[str]:
    """Texts that are declared below the window: options, sliders, expressions, presets."""
    from app.doctor import CHECKS
    from app.gui.session import panel_live_options, panel_options
    from app.gui.store import BUILT_IN_EXPRESSIONS
    from app.live_options import live_options
    from app.options import find_option
    from app.presets import BUILT_IN
    from app.provenance.mark import OFF
    from liveportrait.engines import ENGINES
    from liveportrait.expression import SLIDERS
    from models.registry import get_model, list_models

    live = {info.name: info for info in live_options()}
    infos = [find_option(name) for name in panel_options()] + [live[name] for name in panel_live_options()]
    for info in infos:
        yield from (info.title, info.help)
    for slider in SLIDERS.values():
        yield from (slider.title, slider.help)
    yield from BUILT_IN_EXPRESSIONS
    yield from ("Motion", "Stitching and retargeting", "Pose", "Expression", "Crop", "Output", "Live", "Program")
    yield from ("Eyes", "Brows", "Mouth", OFF)
    for name, (text, _) in BUILT_IN.items():
        yield from (name, text)
    for spec in ENGINES:
        yield spec.summary
    for name in list_models():
        yield from (text for text in (get_model(name).task, get_model(name).note) if text)
    yield from (name for name, _ in CHECKS)


def all_texts() -> list[str]:
    """Every text of the window, sorted, so that a change touches one place of the catalogue."""
    found: dict[str, None] = {}
    for path in sorted((ROOT / "app" / "gui").rglob("*.py")):
        found.update(dict.fromkeys(marked_texts(path)))
    found.update(dict.fromkeys(declared_texts()))
    found.update(dict.fromkeys((*lower_texts(), *WORDS)))
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
