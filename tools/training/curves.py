"""Loss and score curves of a training run as an image, drawn with OpenCV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.files import written_whole
from training.log import Row

WIDTH: Final = 960
PANEL: Final = 300
LEFT, RIGHT, TOP, BOTTOM = 90, 170, 34, 40
COLOURS: Final = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 190, 207))
FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
Image = npt.NDArray[np.uint8]
Series = list[tuple[float, float]]


def draw_curves(path: Path, rows: Sequence[Row], panels: Sequence[tuple[str, Sequence[str]]]) -> Image:
    """Draw panels below one another and write them as a PNG; the file appears only when it is complete.

    Args:
        path: The image.
        rows: Rows of a log (training.log.read_log); "step" is the horizontal axis.
        panels: (title, keys) of each; a title that begins with "log " has a logarithmic axis. Long series are
            drawn as means over intervals, with the single values pale behind them.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    image = np.full((PANEL * len(panels), WIDTH, 3), 255, dtype=np.uint8)
    last = max((row["step"] for row in rows), default=1.0)
    for index, (title, keys) in enumerate(panels):
        series = {
            key: [(row["step"], row[key]) for row in rows if math.isfinite(row.get(key, math.nan))] for key in keys
        }
        _panel(
            image[index * PANEL : (index + 1) * PANEL], title, {k: s for k, s in series.items() if s}, max(last, 1.0)
        )
    ok, data = cv2.imencode(".png", image[..., ::-1])
    assert ok
    with written_whole(path) as part:
        part.write_bytes(data.tobytes())
    return image


def _panel(area: Image, title: str, series: dict[str, Series], last: float) -> None:
    logarithmic = title.startswith("log ")
    cv2.putText(area, title.removeprefix("log "), (LEFT, 22), FONT, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    if logarithmic:
        series = {key: [(x, math.log10(max(y, 1e-9))) for x, y in line] for key, line in series.items()}
    points = [point for line in series.values() for point in line]
    if not points:
        cv2.putText(area, "no values yet", (LEFT, PANEL // 2), FONT, 0.5, (120, 120, 120), 1, cv2.LINE_AA)
        return
    low, high = _bounds([y for _, y in points])
    right, bottom = WIDTH - RIGHT, PANEL - BOTTOM

    def place(line: Series) -> npt.NDArray[np.int32]:
        at = np.array(line, dtype=np.float64)
        xs = LEFT + at[:, 0] / last * (right - LEFT)
        ys = bottom - (at[:, 1] - low) / (high - low) * (bottom - TOP)
        return np.stack([xs, ys], axis=1).round().astype(np.int32)

    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = round(LEFT + share * (right - LEFT)), round(bottom - share * (bottom - TOP))
        cv2.line(area, (LEFT, y), (right, y), (225, 225, 225), 1)
        value = low + share * (high - low)
        label = f"{10**value if logarithmic else value:.4g}"
        cv2.putText(area, label, (LEFT - 8 - 8 * len(label), y + 4), FONT, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
        cv2.putText(area, f"{share * last:.0f}", (x - 12, bottom + 20), FONT, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
    for index, (key, line) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        if len(line) > 60:
            pale = tuple(255 - (255 - c) // 4 for c in colour)
            cv2.polylines(area, [place(line)], False, pale, 1, cv2.LINE_AA)
        drawn = _means(line, 60) if len(line) > 60 else line
        cv2.polylines(area, [place(drawn)], False, colour, 2, cv2.LINE_AA)
        y = TOP + 14 + 20 * index
        cv2.line(area, (right + 12, y - 4), (right + 32, y - 4), colour, 2)
        cv2.putText(area, key, (right + 38, y), FONT, 0.45, (0, 0, 0), 1, cv2.LINE_AA)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low < 1e-9:
        return low - 0.5, high + 0.5
    return low, high


def _means(line: Series, count: int) -> Series:
    parts = np.array_split(np.array(line, dtype=np.float64), count)
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]
