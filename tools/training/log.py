"""Log of a training run: one JSON object per line, each with its step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from models.files import written_whole

Row = dict[str, float]


def read_log(path: Path) -> list[Row]:
    """Rows of a log; a last line truncated by a crash is skipped.

    Args:
        path: The file; no rows if it isn't there.

    Raises:
        ValueError: A line before the last is damaged.
    """
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows.append({str(key): float(value) for key, value in row.items()})
        except (ValueError, AttributeError, TypeError):
            if number < len(lines):
                raise ValueError(f"{path}, line {number}: not a row of a training log.") from None
    return rows


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Add one row; values are written with full precision."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(dict(row)) + "\n")


def cut_log(path: Path, step: int) -> None:
    """Drop rows after a step, which a run logged after the checkpoint that it resumes from."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line, row in zip(lines, read_log(path), strict=False) if row["step"] <= step]
    with written_whole(path) as part:
        part.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
