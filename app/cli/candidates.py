"""Completion candidates for a command line; the scripts of `animate completion` call this at every press of Tab.

``animate __complete SHELL WORDS...``: the last word is the one being typed, maybe empty. Each line of the output is a
word and, after a tab, its description. A line that begins with a tab makes the shell add names of its own: "files" or
"folders". Nothing heavy is imported, and any error gives no output rather than an error message in the prompt.

click's own completion has no PowerShell, no values joined by commas or = as in ``--sliders smile=``, and no command
without a verb.
"""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from app.cli.program import VERBS
from app.cli.verbs import Found, find_command

Candidate = tuple[str, str]  # word, description
FILES: Final[Candidate] = ("", "files")
FOLDERS: Final[Candidate] = ("", "folders")
TEXT_LIMIT: Final = 70  # characters of a description
NAMED: Final = re.compile(r"\b(FILE|CLIP|SOURCE|DRIVING|PHOTO|VIDEO|JOBS|GLOB)\b")  # placeholders that stand for files
FACES: Final = ("largest", "left", "right", "centre")


def answer(arguments: Sequence[str]) -> str:
    """Candidates for a shell, one per line.

    Args:
        arguments: Name of the shell, then the words typed after the program's name.
    """
    try:
        shell, *words = arguments
        found = [*candidates(READERS.get(shell, list)(words or [""]))]
        return "".join(f"{word}\t{text}\n" for word, text in WRITERS.get(shell, _as_they_are)(found, words))
    except Exception:  # noqa: BLE001 - an error would disturb the prompt
        return ""


def candidates(words: Sequence[str]) -> list[Candidate]:
    """Candidates for the last word.

    Args:
        words: The words after the program's name; the last one is being typed.
    """
    *before, typed = words
    if before[:1] == ["help"]:
        return _beginning(_commands(find_command(before[1:]), len(before) == 1), typed)
    found = find_command(before)
    if found.commands:
        return [] if found.rest else _beginning(_commands(found, False), typed)
    waiting, position, plain = _read(found)
    if waiting is not None:
        return _values(waiting, typed)
    if typed.startswith("-") and not plain:
        flag, given, value = typed.partition("=")
        one = _flags(found).get(flag)
        if given:
            known = [] if one is None or one.is_flag else _values(one, value)
            return [(f"{flag}={word}" if word else "", text) for word, text in known]
        return _beginning(_flag_names(found), typed)
    verbs = _beginning(_commands(found, True), typed) if not before else []
    arguments = [one for one in found.command.params if one.param_type_name == "argument"]
    if arguments and arguments[-1].nargs == -1:
        position = min(position, len(arguments) - 1)
    return verbs + (_values(arguments[position], typed) if position < len(arguments) else [])


def _commands(found: Found, top: bool) -> list[Candidate]:
    """Sub-commands of a command, or the verbs."""
    if top:
        return [(verb, text) for verb, (_, text) in VERBS.items()]
    return [(name, one.help or "") for name, one in found.commands.items()]


def _read(found: Found) -> tuple[Any, int, bool]:
    """The flag that still needs its value (or None), the number of arguments, and whether there was a "--"."""
    flags, waiting, position = _flags(found), None, 0
    for index, word in enumerate(found.rest):
        if waiting is not None:
            waiting = None
        elif word == "--":
            return None, position + len(found.rest) - index - 1, True
        elif word.startswith("-") and word != "-":
            one = flags.get(word)
            waiting = one if one is not None and not one.is_flag else None
        else:
            position += 1
    return waiting, position, False


def _flags(found: Found) -> dict[str, Any]:
    """Flags of a command, keyed by each of their forms."""
    options = [one for one in found.command.params if one.param_type_name == "option"]
    return {form: one for one in options for form in (*one.opts, *one.secondary_opts)}


def _flag_names(found: Found) -> list[Candidate]:
    """Long flags that are not given yet or may be repeated."""
    known = _flags(found)
    given = {id(known[word.partition("=")[0]]) for word in found.rest if word.partition("=")[0] in known}
    left = [(form, one.help or "") for form, one in known.items() if one.multiple or id(one) not in given]
    return [(form, text) for form, text in [*left, ("--help", "Show the help.")] if form.startswith("--")]


def _values(one: Any, typed: str) -> list[Candidate]:
    """Candidates for the value of a flag or an argument."""
    placeholder = str(one.metavar or "")
    if source := SOURCES.get(str(one.name), SOURCES.get(placeholder)):
        found = [value if isinstance(value, tuple) else (value, "") for value in source()]
    else:
        found = [(word, "") for word in placeholder.removesuffix(",...").split("|") if re.fullmatch(r"[a-z\d-]+", word)]
    if placeholder.endswith(",..."):  # several joined by commas
        done, comma, typed = typed.rpartition(",")
        taken = {word.partition("=")[0] for word in done.split(",")}
        found = [(f"{done}{comma}{word}", text) for word, text in found if word.rstrip("=") not in taken]
        typed = f"{done}{comma}{typed}"
    found = _beginning(found, typed)
    if "FOLDER" in placeholder:
        return [*found, FOLDERS]
    return [*found, FILES] if NAMED.search(placeholder) or one.name in MAY_BE_FILES else found


def _beginning(found: Iterable[Candidate], typed: str) -> list[Candidate]:
    return [(word, _short(text)) for word, text in found if word.lower().startswith(typed.lower())]


def _short(text: str) -> str:
    """The beginning of a help text on one line."""
    line = " ".join(inspect.cleandoc(text).split())
    line = re.split(r"[.;:] ", line)[0].rstrip(".")
    return line if len(line) <= TEXT_LIMIT else line[: TEXT_LIMIT - 3].rsplit(" ", 1)[0] + "..."


def _presets() -> list[Candidate]:
    from app.presets import list_presets

    return [(preset.name, preset.description) for preset in list_presets()[0]]


def _engines() -> list[Candidate]:
    from liveportrait.engines import ENGINES

    return [("auto", "the best one that works here"), *((spec.name, spec.summary) for spec in ENGINES)]


def _expressions() -> list[str]:
    from app.expressions import list_expressions

    return [saved.name for saved in list_expressions()[0]]


def _sliders() -> list[Candidate]:
    from liveportrait.expression import SLIDERS

    return [(f"{name}=", slider.help) for name, slider in SLIDERS.items()]


def _models() -> list[str]:
    from models.registry import list_models

    return list_models("*")


def _networks(task: str, *words: str) -> Callable[[], list[str]]:
    """Fixed words, and the installed models of a task."""
    return lambda: [*words, *(name for name in _models() if name.startswith(f"{task}/"))]


def _states() -> list[str]:
    from app.jobs.rows import STATES

    return list(STATES)


def _shells() -> list[str]:
    from app.cli.completion import SCRIPTS

    return list(SCRIPTS)


# Name or placeholder of a parameter -> its values, unless the placeholder itself lists them.
SOURCES: Final[dict[str, Callable[[], Sequence[str | Candidate]]]] = {
    "preset": _presets,
    "engine": _engines,
    "device": lambda: ["auto", "cpu", "cuda", "mps"],
    "expression": _expressions,
    "base": _expressions,
    "sliders": _sliders,
    "MODEL": _models,
    "detector": _networks("detect", "embedded", "insightface", "auto"),
    "background": lambda: ["keep", "blur", "transparent"],
    "mask": _networks("parse", "auto", "template", "matte"),
    "face": lambda: [*FACES, "all"],
    "driving_face": lambda: FACES,
    "reference": lambda: ["auto", "first"],
    "library": lambda: ["tensorrt-rtx", "tensorrt"],
    "target": lambda: ["portable", "sm80", "sm86", "sm89", "sm120", "sm121"],
    "cluster": lambda: ["auto", "local"],
    "state": _states,
    "shell": _shells,
}
MAY_BE_FILES: Final = ("preset", "detector", "mask", "expression", "camera", "background")


def _from_bash(words: Sequence[str]) -> list[str]:
    """Undo Bash's splitting of words at = and : and remove the quotes that it leaves in."""
    whole: list[str] = []
    for index, word in enumerate(words):
        joins = index > 0 and ((set(word) <= set("=:") and word) or set(words[index - 1]) <= set("=:"))
        if joins and whole and whole[-1]:
            whole[-1] += word
        else:
            whole.append(word)
    return [_without_quotes(word) for word in whole]


def _without_quotes(word: str) -> str:
    for closing in ("", '"', "'", "\\"):
        try:
            return " ".join(shlex.split(f"{word}{closing}"))
        except ValueError:
            continue
    return word


def _to_bash(found: Sequence[Candidate], words: Sequence[str]) -> list[Candidate]:
    """Adapt candidates to Bash, which replaces only the part after its last split and expects words as typed."""
    typed = words[-1] if words else ""
    whole = _from_bash(words or [""])[-1]
    part = "" if set(typed) <= set("=:") else _without_quotes(typed)
    skip = len(whole) - len(part)
    escaped = "" if typed[:1] in ("'", '"') else r"([^\w@%+=:,./-])"
    return [(re.sub(escaped, r"\\\1", word[skip:]) if word and escaped else word[skip:], text) for word, text in found]


def _as_they_are(found: Sequence[Candidate], _words: Sequence[str]) -> Sequence[Candidate]:
    return found


def _from_powershell(words: Sequence[str]) -> list[str]:
    """Remove the = that the script puts before the last word, since PowerShell drops empty arguments."""
    return [*words[:-1], words[-1].removeprefix("=")]


READERS: Final[dict[str, Callable[[Sequence[str]], list[str]]]] = {"bash": _from_bash, "powershell": _from_powershell}
WRITERS: Final[dict[str, Callable[[Sequence[Candidate], Sequence[str]], Sequence[Candidate]]]] = {"bash": _to_bash}
