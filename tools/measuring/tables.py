"""Format measurements as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[tuple[str, Mapping[str, Any]]]
Lids = Mapping[str, tuple[float, int]]
TURNS = ("0-10", "10-20", "20+")


def cell(value: float | None, digits: int) -> str:
    """One number."""
    return "-" if value is None else f"{value:.{digits}f}"


def means(rows: Rows, columns: Mapping[str, int]) -> list[str]:
    """Means over the rows that have a value."""
    out = []
    for name, digits in columns.items():
        values = [float(v) for _, row in rows if (v := row.get(name)) is not None]
        out.append(cell(sum(values) / len(values) if values else None, digits))
    return out


def table(rows: Rows, columns: Mapping[str, int], first: str = "pair", groups: Mapping[str, Rows] | None = None) -> str:
    """All rows, the means of groups of them, and the mean of all."""
    lines = [f"| {first} | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    lines += [f"| {name} | " + " | ".join(cell(row.get(c), d) for c, d in columns.items()) + " |" for name, row in rows]
    for name, some in (groups or {}).items():
        lines.append(
            f"| **{name}, mean of {len(some)}** | " + " | ".join(f"**{m}**" for m in means(some, columns)) + " |"
        )
    lines.append(f"| **mean of {len(rows)}** | " + " | ".join(f"**{m}**" for m in means(rows, columns)) + " |")
    return "\n".join(lines)


def summary(rows: Rows) -> dict[str, float]:
    """Mean of every figure over the rows that have it."""
    names = sorted({name for _, row in rows for name, value in row.items() if isinstance(value, (int, float))})
    out = {}
    for name in names:
        known = [float(value) for _, row in rows if (value := row.get(name)) is not None]
        if known:
            out[name] = sum(known) / len(known)
    return out


def lid_table(pooled: Lids) -> str:
    """How far closed eyes stay open, by side and yaw, with the number of frames."""
    turns = [turn for turn in TURNS if any(key.endswith(f" {turn}") for key in pooled)]
    lines = ["| eye | " + " | ".join(f"{turn} degrees" for turn in turns) + " |", "| --- |" + " ---: |" * len(turns)]
    for side in ("left", "right"):
        found = [pooled.get(f"{side} {turn}") for turn in turns]
        lines.append(f"| {side} | " + " | ".join(f"{x[0]:.2f} ({x[1]})" if x else "-" for x in found) + " |")
    return "\n".join(lines)


def pool(results: Sequence[Lids]) -> dict[str, tuple[float, int]]:
    """Means over the frames of several pairs."""
    out: dict[str, tuple[float, int]] = {}
    for lids in results:
        for key, (value, count) in lids.items():
            mean, known = out.get(key, (0.0, 0))
            out[key] = (mean * known + value * count) / (known + count), known + count
    return out
