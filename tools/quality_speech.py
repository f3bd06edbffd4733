#!/usr/bin/env python3
"""Compare lips generated from sound with the lips of real speakers.

    tools/quality_speech.py CLIP ... [--noise music|white --db 5] [--by live|pocketsphinx] [--json]

CLIPs show one speaker each, with sound in sync. Prints a Markdown table: correlation of the lip ratio at zero lag, the
lag with the best correlation, correlation of the width, standard deviation of the lip ratio relative to the speaker's,
share of the speaker's lip closures that are reproduced, and the correlation of plain loudness for comparison. For clips
named as in the GRID corpus, and with pocketsphinx installed, also the share of p, b and m in which the lips shut, and
the number of frames of vowels in which they shut although the speaker's do not.

``--by live`` reads the sound as from a microphone; ``--by pocketsphinx`` gives its phones to the same rules.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from liveportrait.speech import smooth, speech_curves
from models.speech import FRAME, RATE, Visemes, read_speech, visemes_of
from tools.speech import sphinx
from tools.speech.lips import Lips, read_lips, read_sound

SHUT, OPEN = 0.035, 0.06  # lip ratios (gap over mouth width) at which lips count as closed, and as open
NEAR = 0.08  # seconds within which a closure counts as reproduced
BLOCK = 480  # samples of a microphone
COLUMNS = {
    "opening": 2, "lag_ms": 0, "width": 2, "sd_ratio": 2, "closures": 2, "pbm_shut": 2, "vowels_shut": 0, "loudness": 2,
}  # fmt: skip
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"


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


def read(sound: np.ndarray, by: str) -> Visemes:
    """Visemes of a sound."""
    if by == "live":
        return Visemes.joined(read_speech(sound[i : i + BLOCK] for i in range(0, len(sound), BLOCK)))
    visemes = visemes_of(sound)
    return sphinx.as_visemes(sphinx.phone_loop(sound), visemes) if by == "pocketsphinx" else visemes


def against_phones(opening: np.ndarray, middles: np.ndarray, phones: sphinx.Phones, lips: Lips) -> dict[str, float]:
    """Share of p, b and m in which the lips shut, and frames of vowels in which they wrongly do."""
    lip_phones = sphinx.middles(phones, "P B M")
    shut = [opening[(middles >= a - NEAR / 2) & (middles <= b + NEAR / 2)].min() < SHUT for a, b in lip_phones]
    real = np.interp(middles, lips.times, np.nan_to_num(lips.ratio))
    inside = [(middles > a + 0.03) & (middles < b - 0.03) for a, b in sphinx.middles(phones, VOWELS)]
    wrong = np.any(inside, 0) & (opening < SHUT) & (real > OPEN)
    return {"pbm_shut": float(np.mean(shut)) if shut else float("nan"), "vowels_shut": float(wrong.sum())}


def row(lips: Lips, sound: np.ndarray, by: str = "product", phones: sphinx.Phones | None = None) -> dict[str, float]:
    """Measurements of one speaker.

    Args:
        lips: The lips.
        sound: Samples at RATE.
        by: How the sound is read: "product", "live" or "pocketsphinx".
        phones: Phones with their times, if known.
    """
    visemes = read(sound, by)
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
        **(against_phones(curves.opening, middles, phones, lips) if phones else {}),
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
    parser.add_argument("--by", choices=("product", "live", "pocketsphinx"), default="product")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = {}
    for clip in arguments.clips:
        sound, text = read_sound(clip), sphinx.words(clip.stem)
        phones = sphinx.aligned(sound, text) if text and find_spec("pocketsphinx") else None
        heard = with_noise(sound, arguments.noise, arguments.db) if arguments.noise else sound
        rows[clip.stem] = row(read_lips(clip), heard, arguments.by, phones)
    known = {name: [figures[name] for figures in rows.values() if name in figures] for name in COLUMNS}
    mean = {name: float(np.nanmean(values)) for name, values in known.items() if values}
    if arguments.json:
        print(json.dumps(rows | {"mean": mean}, indent=1))
        return
    print("| speaker | " + " | ".join(mean) + " |\n| --- |" + " ---: |" * len(mean))
    for name, figures in [*rows.items(), (f"**mean of {len(rows)}**", mean)]:
        print(f"| {name} | " + " | ".join(f"{figures[k]:.{COLUMNS[k]}f}" for k in mean) + " |")


if __name__ == "__main__":
    main()
