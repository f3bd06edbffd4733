"""Make the shipped driving clip (assets/sample/driving.mp4) from a portrait and an expression track.

    python tools/make_sample.py PORTRAIT [--out assets/sample/driving.mp4]

The shipped clip was made from grace_hopper.jpg, which is in matplotlib's wheel (mpl-data/sample_data).
The motion is the expression track beside the clip (assets/sample/driving.yaml), the speech the table SPEECH below;
nobody was filmed or recorded. The voice consists of harmonics shaped by the formants of phonemes, at whose middles the
track has the keys of the mouth, so sound and lips match by construction.
"""

from __future__ import annotations

import argparse
import tempfile
import wave
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.frames.voices import open_track
from app.media.audio import AudioSource
from app.media.images import read_image
from app.media.writer import ClipWriter
from liveportrait.crop import Crop
from liveportrait.engines.base import Image, Portrait
from liveportrait.engines.mesh import MeshEngine
from liveportrait.expression_track import ExpressionTrack, tangents
from liveportrait.motion import keypoints, rotation_from_euler
from liveportrait.options import AnimationOptions
from models.tracker import FaceTracker

Float = npt.NDArray[np.float64]

RATE = Fraction(25)
SECONDS = 6.4
SAMPLE_RATE = 48_000

CROP_Y = -0.085  # a little lower than usual, so that the crop stays inside the photo
TRACK = Path(__file__).resolve().parents[1] / "assets" / "sample" / "driving.yaml"


@dataclass(frozen=True)
class Phoneme:
    """A speech sound.

    Attributes:
        formants: Resonances F1, F2, F3 in Hz.
        voice: Strength of the voice, 0-1.
        breath: Strength of the noise, 0-1.
    """

    formants: tuple[float, float, float]
    voice: float
    breath: float


PHONEMES = {
    "h": Phoneme((600, 1700, 2600), 0.05, 0.25),
    "e": Phoneme((600, 1800, 2700), 0.9, 0.02),
    "l": Phoneme((380, 1200, 2900), 0.5, 0.0),
    "o": Phoneme((520, 950, 2700), 1.0, 0.02),
    "u": Phoneme((360, 850, 2600), 0.7, 0.02),
    "a": Phoneme((850, 1350, 2800), 1.0, 0.02),
    "i": Phoneme((330, 2400, 3100), 0.8, 0.02),
    "m": Phoneme((270, 1100, 2400), 0.35, 0.0),
    "v": Phoneme((300, 1300, 2500), 0.3, 0.1),
    " ": Phoneme((500, 1500, 2600), 0.0, 0.0),
}

# Phonemes with their durations in seconds: "hello, I am alive".
SPEECH_START = 2.80
SPEECH: tuple[tuple[str, float], ...] = (
    ("h", 0.07), ("e", 0.13), ("l", 0.09), ("o", 0.20), ("u", 0.10), (" ", 0.16),
    ("a", 0.17), ("i", 0.12), ("e", 0.13), ("m", 0.11),
    ("a", 0.10), ("l", 0.09), ("a", 0.24), ("i", 0.14), ("v", 0.12), (" ", 0.10),
)  # fmt: skip
PITCH = ((0.0, 215.0), (0.45, 240.0), (0.75, 205.0), (1.0, 225.0), (1.5, 230.0), (2.07, 165.0))  # Hz over the speech


def monotone_cubic(times: Float, values: Float, at: Float) -> Float:
    """Values between keys by a piecewise cubic that keeps the keys' order: no overshoot (Fritsch and Carlson, 1980).

    Args:
        times: (n,) increasing.
        values: (n,).
        at: (m,) requested times; values are held constant outside the keys.

    Returns:
        (m,).
    """
    step = np.diff(times)
    tangent = tangents(times, values)
    at = np.clip(at, times[0], times[-1])
    i = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(step) - 1)
    t = (at - times[i]) / step[i]
    h = step[i]
    return (
        (1 + 2 * t) * (1 - t) ** 2 * values[i]
        + t * (1 - t) ** 2 * h * tangent[i]
        + t**2 * (3 - 2 * t) * values[i + 1]
        + t**2 * (t - 1) * h * tangent[i + 1]
    )


def speech_track(at: Float) -> dict[str, Float]:
    """Properties of the phonemes at each time: f1, f2, f3, voice, breath, each (m,).

    A phoneme has its own value at its centre; between centres the values glide, as speech organs do.
    """
    names = [" ", *(name for name, _ in SPEECH), " "]
    lengths = np.array([0.1, *(length for _, length in SPEECH), 0.1])
    middles = SPEECH_START - lengths[0] + np.cumsum(lengths) - lengths / 2
    sounds = [PHONEMES[name] for name in names]
    columns = {
        **{f"f{i + 1}": [sound.formants[i] for sound in sounds] for i in range(3)},
        **{key: [getattr(sound, key) for sound in sounds] for key in ("voice", "breath")},
    }
    return {key: monotone_cubic(middles, np.array(values, np.float64), at) for key, values in columns.items()}


def resonance(frequency: Float, centre: Float, bandwidth: float) -> Float:
    """Gain of a formant (two-pole resonator, unity at 0 Hz) at a frequency; all in Hz."""
    return centre**2 / np.sqrt((centre**2 - frequency**2) ** 2 + (frequency * bandwidth) ** 2)


def voice() -> npt.NDArray[np.float32]:
    """The spoken words, (n,) mono in -1..1 at SAMPLE_RATE, over the whole clip."""
    at = np.arange(int(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    track = speech_track(at)
    times, pitch = np.array(PITCH, np.float64).T
    f0 = monotone_cubic(times + SPEECH_START, pitch, at)
    f0 = f0 * (1 + 0.012 * np.sin(2 * np.pi * 5.3 * at) + 0.006 * np.sin(2 * np.pi * 8.9 * at + 1))  # natural jitter
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE

    def tract(frequency: Float) -> Float:
        gain = np.ones_like(frequency)
        for key, bandwidth in (("f1", 90.0), ("f2", 120.0), ("f3", 180.0)):
            gain = gain * resonance(frequency, track[key], bandwidth)
        return gain * resonance(frequency, np.full_like(frequency, 3700.0), 250.0)

    sound = np.zeros_like(at)
    for harmonic in range(1, 24):
        frequency = harmonic * f0
        source = harmonic**-1.25  # spectrum of the vocal folds with the radiation of the lips
        wave = np.sin(harmonic * phase + 0.37 * harmonic**2)
        sound += np.where(frequency < 5000, source * tract(frequency), 0) * wave
    sound *= track["voice"]
    noise = np.random.default_rng(7).standard_normal(len(at))
    noise = np.convolve(noise, np.hanning(24) / 12, mode="same") - np.convolve(noise, np.hanning(120) / 60, mode="same")
    sound += track["breath"] * noise * sound.std() * 4
    for delay, gain in ((0.019, 0.22), (0.031, 0.16), (0.053, 0.10), (0.079, 0.06)):  # reverberation of a small room
        shift = int(delay * SAMPLE_RATE)
        sound[shift:] += gain * sound[:-shift]
    return (0.6 * sound / np.abs(sound).max()).astype(np.float32)


def read_track(path: Path = TRACK) -> ExpressionTrack:
    """The motion of the clip.

    Raises:
        MediaError: The file can't be read.
    """
    driver = open_track(path)
    if driver is None or driver.track is None:
        raise ValueError(f"{path} is not an expression track.")
    return driver.track


class Actor:
    """A portrait that performs a track.

    Args:
        path: Photo with one face.
        track: The motion.

    Raises:
        ValueError: There is no face in it.
    """

    def __init__(self, path: Path, track: ExpressionTrack) -> None:
        self._track = track
        photo = read_image(path).rgb
        face = FaceTracker().track(photo)
        if face is None:
            raise ValueError(f"{path} has no face.")
        self._engine = MeshEngine(512)
        crop = Crop.from_face(face, AnimationOptions(crop_y=CROP_Y))
        self._portrait: Portrait = self._engine.encode(crop.apply(photo), crop.face(face))

    def frame(self, time: Fraction) -> Image:
        """(512, 512, 3) uint8 image at a time of the track, in seconds."""
        now = self._track.at(float(time))
        lips = np.array([[now.lip_ratio or 0.0]], np.float32)
        engine, portrait = self._engine, self._portrait
        rest = portrait.motion
        turn = rotation_from_euler(*(now.values[name] for name in ("pitch", "yaw", "roll")))
        delta = rest.delta + engine.slider_delta(portrait, now.face)
        motion = replace(rest, rotation=turn @ rest.rotation, delta=delta)
        x = keypoints(portrait.canonical, motion, engine.delta_space) + engine.retarget_lips(portrait, lips)
        picture: Image = engine.render(portrait, engine.stitch(portrait, x))[0]
        return picture


def write_wave(path: Path, sound: npt.NDArray[np.float32]) -> None:
    """Write mono sound, (n,) in -1..1, as a 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portrait", type=Path, help="photo of the face that plays the track")
    parser.add_argument("--out", type=Path, default=Path("assets/sample/driving.mp4"))
    parser.add_argument("--track", type=Path, default=TRACK, help="expression track (YAML, JSON or TOML)")
    parser.add_argument("--quality", type=int, default=80, help="0-100")
    arguments = parser.parse_args()
    actor = Actor(arguments.portrait, read_track(arguments.track))
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "voice.wav"
        write_wave(sound, voice())
        audio = AudioSource(sound)
        size = (512, 512)
        with ClipWriter(arguments.out, size, RATE, audio=audio, quality=arguments.quality, overwrite=True) as clip:
            for index in range(round(SECONDS * RATE)):
                clip.write(actor.frame(index / RATE))
            clip.finish()
    print(f"{arguments.out}: {clip.frames} frames, {arguments.out.stat().st_size} bytes. {clip.note}".strip())


if __name__ == "__main__":
    main()
