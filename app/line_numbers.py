"""Job files as plain values, with the line number of each entry, so that errors can name it.

tomllib and json give no line numbers.
"""

from __future__ import annotations

import csv
import io
import json
import re
from bisect import bisect_left
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, Final

from app.errors import MissingError, UsageError
from app.textfiles import MAX_BYTES, parse_toml, read_text
from liveportrait.limits import MAX_DEPTH, check_tree, parse_json
from models.messages import msg

Lines = dict[tuple[str | int, ...], int]
MOST_VALUES: Final = 1_000_000  # in a job file
BLANK: Final = re.compile(r"[ \t\r\n]*")
KEY: Final = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")


class Located:
    """Values of a file and their locations.

    Args:
        path: The file.
        data: Its content.
        lines: Line (from 1) of each entry, by its path of keys and indices.
    """

    def __init__(self, path: Path, data: Any, lines: Lines) -> None:
        self.path, self.data, self.lines = path, data, lines

    def where(self, *keys: str | int) -> str:
        """Text "FILE, line N" for an entry, or for the nearest enclosing one that is known."""
        for length in range(len(keys), 0, -1):
            line = self.lines.get(keys[:length])
            if line is not None:
                return f"{self.path}, line {line}"
        return str(self.path)


def read_located(path: Path) -> Located:
    """Read a TOML, YAML, JSON or CSV file; a CSV file becomes a list of rows.

    Raises:
        UsageError: It can't be read or is not valid for its extension; the sentence names the line.
        MissingError: It is YAML and PyYAML is not installed.
    """
    text = read_text(path)
    readers = {".toml": _toml, ".json": _json, ".yaml": _yaml, ".yml": _yaml, ".csv": _csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            msg("{path} is not a job file.", path), msg("Its name must end in {names}.", ", ".join(readers))
        )
    return Located(path, *reader(text.replace("\r\n", "\n"), path))


# ---- TOML -----------------------------------------------------------------------------------------------------------


def _toml(text: str, path: Path) -> tuple[Any, Lines]:
    try:
        data = parse_toml(text, MOST_VALUES)
    except (ValueError, RecursionError) as error:
        raise UsageError(msg("{path} is not valid TOML: {error}.", path, str(error).rstrip("."))) from None
    return data, toml_lines(text)


def toml_lines(text: str) -> Lines:
    """Lines of the tables and keys of valid TOML; inline tables count as one value."""
    lines: Lines = {}
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str | int, ...], int] = {}
    at, line = 0, 1
    while at < len(text):
        end = _toml_end(text, at)
        piece = text[at:end].lstrip()
        start = line + text[at:end][: len(text[at:end]) - len(piece)].count("\n")
        if piece.startswith("["):
            keys = _keys(piece.lstrip("["))
            table = _real(keys[:-1], counts)
            if piece.startswith("[["):
                spot = (*table, keys[-1])
                counts[spot] = counts.get(spot, -1) + 1
                lines.setdefault(spot, start)
                table = (*spot, counts[spot])
            else:
                table = (*table, keys[-1])
            lines.setdefault(table, start)
        elif piece and not piece.startswith("#"):
            lines.setdefault((*table, *_keys(piece)), start)
        line += text[at:end].count("\n")
        at = end
    return lines


def _real(keys: list[str], counts: dict[tuple[str | int, ...], int]) -> tuple[str | int, ...]:
    """Keys with the indices of the tables that they pass through."""
    found: tuple[str | int, ...] = ()
    for key in keys:
        found = (*found, key)
        if found in counts:
            found = (*found, counts[found])
    return found


def _keys(text: str) -> list[str]:
    """A dotted key at the start of a text."""
    keys, at = [], 0
    while (match := KEY.match(text, at)) is not None:
        quoted, literal, bare = match.groups()
        keys.append(_unquoted(quoted) if quoted is not None else literal if literal is not None else bare)
        at = match.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return keys


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:  # escapes that JSON does not support; the line is only used in messages
        return text


def _toml_end(text: str, at: int) -> int:
    """End of the statement that starts here: the line break outside strings and brackets."""
    depth = 0
    while at < len(text):
        mark = text[at]
        if mark in "\"'":
            at = _string_end(text, at, mark)
            continue
        if mark == "#":
            at = text.find("\n", at)
            at = len(text) if at < 0 else at
            continue
        depth += (mark in "[{") - (mark in "]}")
        at += 1
        if mark == "\n" and depth <= 0:
            break
    return at


def _string_end(text: str, at: int, mark: str) -> int:
    fence = mark * 3 if text.startswith(mark * 3, at) else mark
    at += len(fence)
    while at < len(text) and not text.startswith(fence, at):
        at += 2 if mark == '"' and text[at] == "\\" else 1
    return at + len(fence)


# ---- JSON -----------------------------------------------------------------------------------------------------------


def _json(text: str, path: Path) -> tuple[Any, Lines]:
    try:
        data = parse_json(text, count=MOST_VALUES, limit=MAX_BYTES)
    except ValueError as error:
        raise UsageError(msg("{path} can't be read: {error}.", path, error)) from None
    lines: Lines = {}
    breaks = [match.start() for match in re.finditer("\n", text)]
    _json_walk(text, BLANK.match(text, 0).end(), (), lines, breaks)  # type: ignore[union-attr]
    return data, lines


def _json_walk(text: str, at: int, keys: tuple[str | int, ...], lines: Lines, breaks: list[int]) -> int:
    """Record the lines of a value of valid JSON; returns its end."""
    lines[keys] = bisect_left(breaks, at) + 1

    def skip(place: int) -> int:
        return BLANK.match(text, place).end()  # type: ignore[union-attr]

    mark = text[at]
    if mark not in "[{":
        return at + _scalar_length(text, at)
    at, number = skip(at + 1), 0
    while text[at] not in "]}":
        key: str | int = number
        if mark == "{":
            key, at = scanstring(text, at + 1, True)
            at = skip(skip(at) + 1)
        at = skip(_json_walk(text, at, (*keys, key), lines, breaks))
        number += 1
        if text[at] == ",":
            at = skip(at + 1)
    return at + 1


def _scalar_length(text: str, at: int) -> int:
    if text[at] == '"':
        return int(scanstring(text, at + 1, True)[1]) - at
    match = re.compile(r"[^\s,\]}]+").match(text, at)
    assert match is not None
    return len(match.group(0))


# ---- YAML -----------------------------------------------------------------------------------------------------------


def _yaml(text: str, path: Path) -> tuple[Any, Lines]:
    try:
        import yaml
    except ImportError:
        raise MissingError(
            msg("{path} is YAML, and PyYAML is not installed.", path), "Write TOML, or: pip install pyyaml"
        ) from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_nodes(root, yaml)
        data = yaml.safe_load(text)
        check_tree(data, count=MOST_VALUES)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(msg("{path}{place}: this is not valid YAML: {problem}.", path, place, problem)) from None
    except RecursionError:
        raise UsageError(
            msg("{path} can't be read: it is nested more than {max_depth} levels deep.", path, MAX_DEPTH)
        ) from None
    except (ValueError, TypeError, OverflowError) as error:  # for example an invalid date or a number with 5000 digits
        text = str(error).rstrip(".")
        text = msg("it contains a whole number with too many digits") if "digits" in text else text
        raise UsageError(msg("{path} can't be read: {text}.", path, text)) from None
    lines: Lines = {}

    def walk(node: Any, keys: tuple[str | int, ...]) -> None:
        lines.setdefault(keys, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*keys, str(key.value))
                lines[inner] = key.start_mark.line + 1
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                walk(value, (*keys, number))

    if root is not None:
        walk(root, ())
    return data, lines


def _check_nodes(root: Any, yaml: Any) -> None:
    """Check the expanded size of a YAML document with its aliases and merged tables, before building it.

    Raises:
        ValueError: It is too large, or contains itself.
    """
    sizes: dict[int, int] = {}

    def size(node: Any, above: frozenset[int]) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in above or len(above) > MAX_DEPTH:
            raise ValueError(msg("it is nested more than {max_depth} levels deep", MAX_DEPTH))
        inside: list[Any] = []
        if isinstance(node, yaml.MappingNode):
            inside = [one for pair in node.value for one in pair]
        elif isinstance(node, yaml.SequenceNode):
            inside = node.value
        total = 1 + sum(size(one, above | {id(node)}) for one in inside)
        if total > MOST_VALUES:
            raise ValueError(msg("it holds more than {most_values:,} values", MOST_VALUES))
        sizes[id(node)] = total
        return total

    if root is not None:
        size(root, frozenset())


# ---- CSV ------------------------------------------------------------------------------------------------------------


def _csv(text: str, path: Path) -> tuple[Any, Lines]:
    lines: Lines = {}
    rows: list[dict[str, str]] = []
    try:
        first = text.split("\n", 1)[0]
        reader = csv.reader(io.StringIO(text), delimiter=";" if ";" in first and "," not in first else ",", strict=True)
        head: list[str] | None = None
        before = 0
        for row in reader:
            start, before = before + 1, reader.line_num
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if head is None:
                head = cells
                continue
            if len(cells) > len(head):
                raise UsageError(
                    msg(
                        "{path}, line {start}: {count} cells, but the first line names {count2}.",
                        path, start, len(cells), len(head)
                    )
                )  # fmt: skip
            lines[(len(rows),)] = start
            rows.append({name: cell for name, cell in zip(head, cells, strict=False) if cell})
    except csv.Error as error:
        raise UsageError(
            msg("{path}, line {before}: this is not valid CSV: {error}.", path, before + 1, error)
        ) from None
    return rows, lines
