"""Limits for external data: JSON texts, trees of plain values, and pydantic schemas.

Every check raises ValueError with the rest of a sentence ("it is nested more than 32 levels deep"); the caller adds
the file name in front and advice at the end.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

from models.messages import msg

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationError

MAX_TEXT_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_COUNT: Final = 100_000
MAX_CHARACTERS: Final = 10_000
MAX_DIGITS: Final = 18
"""Digits of an integer: all such numbers fit in 64 bits and in a double's range."""
SHOWN: Final = 40

_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS: Final = re.compile(r"[\[{]|[\]}]")


def read_limited(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """Content of a file of at most ``limit`` bytes.

    Raises:
        ValueError: It is larger, or not a regular file (a pipe or device may never end).
        OSError: It can't be read.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is a folder" if path.is_dir() else "it is not a regular file")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it is larger than {size_words(limit)}")
    return data


def size_words(count: int) -> str:
    """A readable number of bytes: "64 MB", "200 kB"."""
    return f"{count >> 20} MB" if count >= 1 << 20 else f"{count >> 10} kB"


def shown(value: object) -> str:
    """A value for use in a sentence: one line of printable text, at most about 40 characters."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"a whole number of about {int(value.bit_length() * 0.30103):,} digits"
    if isinstance(value, (dict, list, tuple)) and len(value) > SHOWN:
        return f"{'a table' if isinstance(value, dict) else 'a list'} of {len(value):,} entries"
    try:
        text = value if isinstance(value, str) else repr(value)
    except (RecursionError, ValueError):  # recursive, or integers with more digits than Python prints
        return f"a {type(value).__name__}"
    text = "".join(c if c.isprintable() else " " for c in text[: SHOWN + 1])
    return repr(text) if isinstance(value, str) and len(text) <= SHOWN else _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def parse_json(
    data: bytes | str, *, depth: int = MAX_DEPTH, count: int = MAX_COUNT, limit: int = MAX_TEXT_BYTES
) -> Any:
    """Values of a JSON text, checked by :func:`check_tree`; duplicate names in a table are rejected.

    Raises:
        ValueError: It is not JSON, or exceeds a limit.
    """
    if len(data) > limit:
        raise ValueError(f"it is larger than {size_words(limit)}")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    check_nesting(text, depth)
    try:
        value = json.loads(
            text, parse_constant=_no_constant, parse_int=_whole, parse_float=_float, object_pairs_hook=_table
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg.lower()} in line {error.lineno}") from None
    check_tree(value, depth=depth, count=count)
    return value


def check_nesting(text: str, depth: int = MAX_DEPTH) -> None:
    """Check how deep the brackets of a JSON text are nested before a recursive parser sees them."""
    level = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub("", text)):
        level += 1 if bracket.group() in "[{" else -1
        if level > depth:
            raise ValueError(msg("it is nested more than {depth} levels deep", depth))


def _no_constant(text: str) -> float:
    raise ValueError(f"it contains {text}, which is not a finite number")


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS + 1:
        raise ValueError(f"it contains a whole number of {len(text.lstrip('-')):,} digits")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it contains the number {_cut(text)}, which is too large")
    return number


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"it has two entries named {shown(name)}")
        table[name] = value
    return table


def check_tree(
    value: Any, *, depth: int = MAX_DEPTH, count: int = MAX_COUNT, characters: int = MAX_CHARACTERS
) -> None:  # fmt: skip
    """Check what a parser of JSON, TOML or YAML returned.

    Values that are reached several times (aliases of YAML) count each time, so aliases of aliases end at ``count`` and
    recursive tables at ``depth``.

    Args:
        value: Tables, lists and plain values.
        depth: Deepest nesting.
        count: Most values in all.
        characters: Longest text.

    Raises:
        ValueError: It exceeds a limit, or contains a number that is not finite or has more than 18 digits, or text that
            can't be written as UTF-8.
    """
    waiting: list[tuple[Any, int]] = [(value, 0)]
    seen = 0
    while waiting:
        one, level = waiting.pop()
        seen += 1
        if level > depth:
            raise ValueError(msg("it is nested more than {depth} levels deep", depth))
        if isinstance(one, dict):
            inside = [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            inside = list(one)
        else:
            _check_plain(one, characters)
            continue
        if seen + len(waiting) + len(inside) > count:
            raise ValueError(f"it contains more than {count:,} values")
        waiting += [(each, level + 1) for each in inside]


def _check_plain(value: Any, characters: int) -> None:
    if isinstance(value, str):
        check_text(value, characters)
    elif isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise ValueError(f"it contains {shown(value)}, which is too large")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it contains {value}, which is not a finite number")


def check_text(text: str, characters: int = MAX_CHARACTERS) -> None:
    """Check that a text is not too long, can be written as UTF-8, and holds no NUL."""
    if len(text) > characters:
        raise ValueError(f"it contains a text of {len(text):,} characters; {characters:,} are allowed")
    if "\0" in text:
        raise ValueError("it contains a text with a NUL character")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError(f"it contains a text that is not valid Unicode ({text[:SHOWN]!a})")


def first_fault(error: ValidationError) -> str:
    """The first fault that pydantic found, as the rest of a sentence that begins with the file's name."""
    fault = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in fault["loc"] if not str(part).endswith("]"))
    name = f"its field {shown(field)}" if field else "it"
    if fault["type"] == "missing":
        return f"{name} is missing"
    if fault["type"] == "extra_forbidden":
        return f"{name} is not known"
    if fault["type"] == "value_error":
        return f"{name}: {fault['msg'].removeprefix('Value error, ').rstrip('.')}"
    return f"{name} is {shown(fault['input'])}; {fault['msg'].replace('Input', 'it', 1)[:120]}"
