"""Synthetic speech with the exact times of its phones: espeak-ng, flite and festival, as Debian ships them."""

from __future__ import annotations

import ctypes
import re
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from models.speech import RATE
from tools.speech.phones import of_arpabet, of_ipa, of_italian

Sound = npt.NDArray[np.float32]

LANGUAGES = {
    "en-us": "en_US", "en-gb": "en_US", "en-gb-scotland": "en_US", "de": "de_DE", "fr-fr": "fr_FR", "es": "es_ES",
    "es-419": "es_MX", "it": "it_IT", "nl": "nl_NL", "pl": "pl_PL", "cs": "cs_CZ", "da": "da_DK", "el": "el_GR",
    "ru": "ru_RU", "uk": "uk_UA", "ar": "ar_AA", "fa": "fa_IR", "hy": "hy_AM", "bn": "bn_BD", "az": "az_AZ",
    "mk": "mk_MK", "vi": "vi_VN", "cmn": "zh_CN", "pt-br": "la", "pt": "la", "sv": "da_DK", "fi": "la", "tr": "la",
    "hu": "la", "ro": "la", "id": "tl_PH", "ms": "tl_PH", "sw": "tl_PH", "eu": "la", "hr": "cs_CZ", "sk": "cs_CZ",
    "bg": "ru_RU", "lv": "la", "et": "la", "nb": "da_DK", "ca": "es_ES", "af": "nl_NL", "cy": "en_US", "ga": "en_US",
    "eo": "la",
}  # fmt: skip
"""espeak-ng's language -> Faker's locale of the text read in it: its own or a related one, else Latin."""
VARIANTS = (  # noqa: SIM905 - fifty names in three lines
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 Alex Alicia Andrea Annie Denis Diogo Gene Jacky "
    "Lee Marco Michael Mike anika antonio aunty belinda benjamin caleb edward2 grandma iven3 john linda max pablo paul "
    "quincy rob robert shelby steph travis victor zac adam"
).split()
FLITE = ("slt", "rms", "awb", "kal16", "kal")
FESTIVAL = {"kal_diphone": "en_US", "ked_diphone": "en_US", "lp_diphone": "it_IT"}
_TEXT = re.compile(r"[^\w\s.,'?!-]")
_PHONEME = 7  # espeakEVENT_PHONEME


@dataclass(frozen=True)
class Spoken:
    """One sentence.

    Attributes:
        sound: Samples at RATE, largest 0.5.
        phones: (start, end, visemes) in seconds.
    """

    sound: Sound
    phones: Sequence[tuple[float, float, list[int]]]


def resampled(sound: Sound, rate: int) -> Sound:
    """Sound at RATE."""
    if rate == RATE:
        return sound
    common = gcd(rate, RATE)
    return np.asarray(resample_poly(sound, RATE // common, rate // common), np.float32)


def _spoken(sound: Sound, phones: Sequence[tuple[float, float, list[int]]]) -> Spoken:
    return Spoken((sound / max(float(np.abs(sound).max(initial=0)), 1e-6) * 0.5).astype(np.float32), phones)


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p), ("id", _Id),
    ]  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """libespeak-ng in this process: its phoneme events carry exact positions in the sound."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self._parts: list[npt.NDArray[np.int16]] = []
        self._events: list[tuple[float, str]] = []
        self._callback = _CALLBACK(self._take)  # kept, or it would be garbage-collected
        self._rate = self._library.espeak_Initialize(2, 0, None, 0x0001 | 0x0002)  # synchronous; phonemes, in IPA
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples, count, events) -> int:  # type: ignore[no-untyped-def] # called by C
        if count > 0 and samples:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type:
            if events[index].type == _PHONEME:
                name = events[index].id.string.decode("utf8", "ignore")
                self._events.append((events[index].audio_position / 1000, name))
            index += 1
        return 0

    def say(self, text: str, voice: str, speed: float, pitch: float, melody: float) -> Spoken | None:
        """Synthesize one sentence; None if there is no such voice or nothing is spoken."""
        self._parts.clear()
        self._events.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()):
            return None
        for parameter, value in ((1, speed), (3, pitch), (4, melody)):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        data = text.encode()
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 0, 0, 1, None, None)
        self._library.espeak_Synchronize()
        if not self._parts:
            return None
        sound = np.concatenate(self._parts).astype(np.float32) / 32768
        times = [time for time, _ in self._events] + [len(sound) / self._rate]
        phones = [(times[i], times[i + 1], of_ipa(name)) for i, (_, name) in enumerate(self._events)]
        return _spoken(resampled(sound, self._rate), phones)


@cache
def espeak() -> Espeak:
    """The instance of this process."""
    return Espeak()


def _wave(path: Path) -> Sound:
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
        return resampled(data, file.getframerate())


def flite(text: str, voice: str, stretch: float) -> Spoken:
    """One English sentence by flite: kal uses recorded diphones, the others models of recorded speakers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.wav"
        command = ["flite", "-voice", voice, "-psdur", "--setf", f"duration_stretch={stretch:.2f}", "-o", str(path)]
        done = subprocess.run([*command, "-t", _TEXT.sub("", text)], capture_output=True, text=True, check=True)
        phones, before = [], 0.0
        for token in done.stdout.split():
            name, _, end = token.rpartition(":")
            if name:
                phones.append((before, float(end), of_arpabet(name)))
                before = float(end)
        return _spoken(_wave(path), phones)


def festival(texts: Sequence[str], voice: str) -> list[Spoken]:
    """Sentences by a diphone voice; one process for all, since loading is slow."""
    told = of_italian if FESTIVAL[voice] == "it_IT" else of_arpabet
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"(voice_{voice})"]
        for number, text in enumerate(texts):
            clean = _TEXT.sub("", text).encode("ascii", "ignore").decode()
            lines.append(f'(set! u (utt.synth (Utterance Text "{clean}")))')
            lines.append(f'(utt.save.segs u "{folder}/{number}.seg") (utt.save.wave u "{folder}/{number}.wav" \'riff)')
        script = Path(folder) / "say.scm"
        script.write_text("\n".join(lines), encoding="ascii")
        subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)
        out = []
        for number in range(len(texts)):
            phones, before = [], 0.0
            for line in (Path(folder) / f"{number}.seg").read_text().split("#", 1)[1].splitlines()[1:]:
                end, _, name = line.split()
                phones.append((before, float(end), told(name)))
                before = float(end)
            out.append(_spoken(_wave(Path(folder) / f"{number}.wav"), phones))
        return out
