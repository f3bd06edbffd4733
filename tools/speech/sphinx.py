"""PocketSphinx as a reference: phones of a sound, by its phone loop or aligned to known words.

Needs ``pip install pocketsphinx`` (BSD), whose wheel contains an English model.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np

from models.speech import RATE, VISEMES, Visemes
from tools.speech.augment import labels
from tools.speech.phones import of_arpabet
from tools.speech.voices import Sound

Phones = list[tuple[float, float, str]]
"""Start, end in seconds, and name."""
_FIRST = {"b": "bin", "l": "lay", "p": "place", "s": "set"}
_COLOUR = {"b": "blue", "g": "green", "r": "red", "w": "white"}
_WHERE = {"a": "at", "b": "by", "i": "in", "w": "with"}
_DIGIT = {
    "z": "zero", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven",
    "8": "eight", "9": "nine",
}  # fmt: skip
_LAST = {"a": "again", "n": "now", "p": "please", "s": "soon"}
_CODE = re.compile("[blps][bgrw][abiw][a-z][z1-9][anps]")


def words(name: str) -> str | None:
    """The sentence of a clip of the GRID corpus (Cooke et al. 2006), from its file name; None for other names."""
    if not _CODE.fullmatch(name):
        return None
    first, colour, where, letter, digit, last = name
    return f"{_FIRST[first]} {_COLOUR[colour]} {_WHERE[where]} {letter} {_DIGIT[digit]} {_LAST[last]}"


def _pcm(sound: Sound) -> bytes:
    return (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()


@cache
def model_folder() -> Path:
    """Folder of the English model."""
    from pocketsphinx import get_model_path

    return Path(get_model_path("en-us"))


def phone_loop(sound: Sound) -> Phones:
    """Phones recognised without knowing the words."""
    from pocketsphinx import Decoder

    folder = model_folder()
    decoder = Decoder(
        hmm=str(folder / "en-us"), allphone=str(folder / "en-us-phone.lm.bin"), lw=2.0, pip=0.3, beam=1e-20,
        pbeam=1e-20, samprate=float(RATE), loglevel="FATAL",
    )  # fmt: skip
    decoder.start_utt()
    decoder.process_raw(_pcm(sound), full_utt=True)
    decoder.end_utt()
    return [(part.start_frame / 100, (part.end_frame + 1) / 100, part.word) for part in decoder.seg()]


def aligned(sound: Sound, text: str) -> Phones:
    """Phones of known words."""
    from pocketsphinx import Decoder

    folder = model_folder()
    decoder = Decoder(
        hmm=str(folder / "en-us"), dict=str(folder / "cmudict-en-us.dict"), lm=None, samprate=float(RATE),
        loglevel="FATAL",
    )  # fmt: skip
    known = [w if len(w) > 1 or not decoder.lookup_word(f"{w}.") else f"{w}." for w in text.split()]
    decoder.set_align_text(" ".join(known))
    for again in (False, True):  # words, then the phones within them
        if again:
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(_pcm(sound), full_utt=True)
        decoder.end_utt()
    return [(p.start / 100, (p.start + p.duration) / 100, p.name) for word in decoder.get_alignment() for p in word]


def as_visemes(phones: Phones, like: Visemes) -> Visemes:
    """Phones as certain visemes, with the loudness of another reading of the same sound."""
    told = [(a, b, [0] if name.startswith("+") else of_arpabet(name)) for a, b, name in phones]
    share = np.eye(len(VISEMES), dtype=np.float32)[labels(told, len(like))]
    return Visemes(share, like.loudness)


def middles(phones: Phones, names: str) -> list[tuple[float, float]]:
    """Start and end of the phones that are among names (ARPAbet, separated by spaces)."""
    return [(a, b) for a, b, name in phones if name in names.split()]
