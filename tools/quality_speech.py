#!/usr/bin/env python3
"""Compare lips generated from sound with the lips of real speakers.

    tools/quality_speech.py CLIP ... [--noise music|white --db 5] [--json]

CLIPs show one speaker each, with sound in sync. Prints a Markdown table: correlation of the lip ratio at zero lag, the
lag with the best correlation, correlation of the width, standard deviation of the lip ratio relative to the speaker's,
share of the speaker's lip closures that are reproduced, and the correlation of plain loudness for comparison.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from liveportrait.speech import smooth, speech_curves
from models.speech import FRAME, RATE, visemes_of
from tools.speech.lips import Lips, read_lips, read_sound

SHUT, OPEN = 0.035, 0.06  # lip ratios (gap over mouth width) at which lips count as closed, and as open
NEAR = 0.08  # seconds within which a closure counts as reproduced
COLUMNS = {"opening": 2, "lag_ms": 0, "width": 2, "sd_ratio": 2, "closures": 2, "loudness": 2}


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation over the known values."""
    known = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[known], b[known])[0, 1])


def closures(times: np.ndarray, opening: np.ndarray) -> np.ndarray:
    """Centres of the intervals in which the lips close between two openings, in seconds."""
    shut, out = opening < SHUT, []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], shut.astype(int), [0]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        around = opening[max(0, start - 5) : start].max(initial=0), opening[end : end + 5].max(initial=0)
        if min(around) > OPEN and end - start < 12:
            out.append(times[start:end].mean())
    return np.array(out)


def row(lips: Lips, sound: np.ndarray) -> dict[str, float]:
    """Measurements of one speaker."""
    visemes = visemes_of(sound)
    curves = speech_curves(visemes)
    middles = (np.arange(len(visemes)) + 0.5) * FRAME / RATE

    def at(values: np.ndarray, later: float = 0.0) -> np.ndarray:
        return np.interp(lips.times + later, middles, values)

    lags = np.arange(-0.2, 0.21, 0.02)
    best = max(lags, key=lambda lag: correlation(at(curves.opening, lag), lips.gap))
    real = closures(lips.times, np.nan_to_num(lips.ratio, nan=1.0))
    made = [curves.opening[np.abs(middles - time) <= NEAR].min(initial=1) < SHUT for time in real]
    return {
        "opening": correlation(at(curves.opening), lips.gap),
        "lag_ms": 1000 * float(best),
        "width": correlation(at(curves.width), lips.width),
        "sd_ratio": float(at(curves.opening).std() / np.nanstd(lips.ratio)),
        "closures": float(np.mean(made)) if made else float("nan"),
        "loudness": correlation(at(smooth(visemes.loudness.astype(np.float64), 2)), lips.gap),
    }


def with_noise(sound: np.ndarray, kind: str, decibels: float) -> np.ndarray:
    """Mix the sound with music or white noise at a signal-to-noise ratio in decibels."""
    from tools.speech.augment import music

    random = np.random.default_rng(0)
    other = music(random, len(sound)) if kind == "music" else random.standard_normal(len(sound))
    return (sound + other * sound.std() / other.std() * 10 ** (-decibels / 20)).astype(np.float32)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--noise", choices=("music", "white"))
    parser.add_argument("--db", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = {}
    for clip in arguments.clips:
        sound = read_sound(clip)
        rows[clip.stem] = row(
            read_lips(clip), with_noise(sound, arguments.noise, arguments.db) if arguments.noise else sound
        )
    mean = {name: float(np.nanmean([figures[name] for figures in rows.values()])) for name in COLUMNS}
    if arguments.json:
        print(json.dumps(rows | {"mean": mean}, indent=1))
        return
    print("| speaker | " + " | ".join(COLUMNS) + " |\n| --- |" + " ---: |" * len(COLUMNS))
    for name, figures in [*rows.items(), (f"**mean of {len(rows)}**", mean)]:
        print(f"| {name} | " + " | ".join(f"{figures[k]:.{digits}f}" for k, digits in COLUMNS.items()) + " |")


if __name__ == "__main__":
    main()
