"""Pairs of photo and clip: compare the result with the driver, frame by frame."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from app.media.images import read_image
from measuring import motion
from measuring.clips import Track, frames, read
from measuring.eyes import gaze_gain, lids, slope
from measuring.heads import Float, Head
from measuring.mouth import upper_lip
from measuring.pictures import Still
from measuring.program import Program
from models.matte import PersonMatte
from models.tracker import FaceTracker

SHOWN_TEETH = 0.15
"""Share of the inside of the driver's mouth above which its teeth count as visible."""
JUDGED = 0.04
"""Mouth opening of the result in face widths above which flesh above the teeth is distinguishable from the lips."""
AWAKE = 0.5
"""Fraction of the widest eye ratio below which an eye's gaze is unknown."""
EVERY = 5
"""Step between frames in which the background is examined."""
TEETH_FLOOR = 0.0012
"""Minimum standard deviation of the driver's teeth, in squared face widths, to count as appearing and vanishing."""
COLUMNS = motion.COLUMNS | {
    "teeth_ratio": 2, "teeth_gain": 2, "slab": 3, "wedge": 3, "gaze_x": 2, "gaze_y": 2, "lid_left": 2, "lid_right": 2,
    "swim_px": 2, "read": 2,
}  # fmt: skip


@dataclass
class Result:
    """Measurements of one pair.

    Attributes:
        numbers: Name -> value, None if it couldn't be measured.
        lids: From measuring.eyes.lids.
        worst: Name -> worst frame by that figure.
    """

    numbers: dict[str, Any]
    lids: dict[str, tuple[float, int]] = field(default_factory=dict)
    worst: dict[str, int] = field(default_factory=dict)


class Drivers:
    """Cache of drivers, each read once for all photos."""

    def __init__(self) -> None:
        self._known: dict[Path, Track] = {}
        self._lock = Lock()

    def __call__(self, clip: Path) -> Track:
        """The track of a clip."""
        with self._lock:
            if clip not in self._known:
                self._known[clip] = read(clip)
            return self._known[clip]


def photo_head(photo: Path) -> Head:
    """The largest head of a photo."""
    faces = FaceTracker().detect(read_image(photo).rgb, 1)
    if not faces:
        raise SystemExit(f"{photo} shows no face that can be read.")
    return Head(faces[0])


def measure(
    program: Program, source: Path, driving: Path, output: Path, drivers: Drivers, options: list[str]
) -> Result:
    """Render one pair, unless it already exists, and measure it."""
    if not output.is_file():
        program(source, driving, "-o", output, *options)
    head = photo_head(source)
    result = read(output, lip=upper_lip(head))
    out = compare(drivers(driving), result)
    photo = read_image(source).rgb
    shift = swim(photo, head, output)
    out.numbers["swim_px"] = None if not len(shift) else float(np.quantile(shift, 0.95))
    if len(shift):
        out.worst["swim_px"] = EVERY * int(np.argmax(shift))
    return out


def swim(photo: np.ndarray, head: Head, output: Path) -> Float:
    """Shift in pixels of the background inside the crop relative to the photo, for every EVERYth frame."""
    still = Still(photo, head, PersonMatte()(photo))
    height, width = photo.shape[:2]
    some = islice(frames(output), 0, None, EVERY)
    shifts = [still.shift(picture[:height, :width]) for picture in some]
    return np.array([shift for shift in shifts if shift is not None])


def compare(driver: Track, result: Track) -> Result:
    """Measurements of a result's track relative to its driver's."""
    count = min(len(driver.heads), len(result.heads))
    pairs = list(zip(driver.mouths[:count], result.mouths[:count], strict=True))
    rows = np.full((count, 6), np.nan)  # teeth of both, excess slab and wedge, share of teeth, opening
    for row, (a, b) in zip(rows, pairs, strict=True):
        if a is not None and b is not None:
            slab = max(0.0, b.slab - a.slab) if b.height >= JUDGED else np.nan
            wedge = max(0.0, b.wedge - a.wedge) if min(a.teeth_share, b.teeth_share) >= SHOWN_TEETH else np.nan
            row[:] = a.teeth, b.teeth, slab, wedge, a.teeth_share, b.height
    shown = rows[:, 4] >= SHOWN_TEETH
    teeth = rows[shown, :2].sum(0)
    numbers: dict[str, Any] = {
        "teeth_ratio": float(teeth[1] / teeth[0]) if shown.sum() >= 5 else None,
        "teeth_gain": slope(rows[:, 0], rows[:, 1], TEETH_FLOOR),
        "slab": _tail(rows[:, 2]),
        "wedge": _tail(rows[:, 3]),
    }
    numbers |= motion.compare(driver.heads[:count], result.heads[:count])
    numbers["gaze_x"], numbers["gaze_y"] = gaze_gain(driver.eyes[:count], result.eyes[:count])
    shut = lids(driver.eyes[:count], result.eyes[:count])
    for side in ("left", "right"):
        seen = [(value, n) for key, (value, n) in shut.items() if key.startswith(side)]
        numbers[f"lid_{side}"] = _weighted(seen)
    numbers["read"] = float(np.mean([head is not None for head in result.heads])) if result.heads else 0.0
    worst = {name: int(np.nanargmax(rows[:, i])) for name, i in (("slab", 2), ("wedge", 3)) if _any(rows[:, i])}
    if _any(np.where(shown, rows[:, 0] - rows[:, 1], np.nan)):
        worst["teeth_ratio"] = int(np.nanargmax(np.where(shown, rows[:, 0] - rows[:, 1], np.nan)))
    worst |= _worst_eyes(driver, result, count)
    return Result(numbers, shut, worst)


def _worst_eyes(driver: Track, result: Track, count: int) -> dict[str, int]:
    """Frames with the largest difference in closed lids and in gaze between driver and result."""
    openings = [np.array([eyes.opening for eyes in track.eyes[:count]], np.float64) for track in (driver, result)]
    if not all(map(_any, openings)):
        return {}
    a, b = (opening / np.nanmax(opening, axis=0) for opening in openings)
    out = {f"lid_{name}": int(np.nanargmax((b - a)[:, i])) for i, name in enumerate(("left", "right"))}
    looks = [np.array([eyes.gaze for eyes in track.eyes[:count]], np.float64) for track in (driver, result)]
    apart = np.abs(looks[1] - np.nanmedian(looks[1], axis=0) - looks[0] + np.nanmedian(looks[0], axis=0))
    with np.errstate(invalid="ignore"):
        apart[(np.minimum(a, b) < AWAKE).any(axis=1)] = np.nan
    return out | {f"gaze_{axis}": int(np.nanargmax(apart[:, i])) for i, axis in enumerate("xy") if _any(apart[:, i])}


def _weighted(seen: list[tuple[float, int]]) -> float | None:
    """Mean of values weighted by their numbers of frames."""
    return sum(value * n for value, n in seen) / sum(n for _, n in seen) if seen else None


def _any(values: Float) -> bool:
    return bool(np.isfinite(values).any())


def _tail(values: Float) -> float | None:
    """95th percentile of the known values."""
    known = values[np.isfinite(values)]
    return float(np.quantile(known, 0.95)) if len(known) >= 3 else None


def scored(scorer: Path, source: Path, driving: Path, output: Path, limit: int = 0) -> dict[str, Any]:
    """Result of a custom scorer for a pair."""
    line = [sys.executable, str(scorer), "cross", "--source", str(source), "--driving", str(driving)]
    line += ["--output", str(output), "--json", *(["--limit", str(limit)] if limit else [])]
    run = subprocess.run(line, check=False, capture_output=True, text=True)
    if not run.stdout.strip():
        raise SystemExit(f"The scorer failed on {output.stem}: {run.stderr.strip()[-300:]}")
    return dict(json.loads(run.stdout.strip().splitlines()[-1]))
