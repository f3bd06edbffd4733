"""Small clips and pictures made on the spot: the astronaut's head, moving."""

from __future__ import annotations

import shutil
import wave
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.cli.main import main
from app.media.audio import AudioSource
from app.media.images import write_image
from app.media.writer import ClipWriter

NTSC = Fraction(30000, 1001)


def moved(head: np.ndarray, turn: float, shift: float = 0.0) -> np.ndarray:
    """The head rolled by so many degrees and shifted by so many pixels."""
    size = head.shape[0]
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), turn, 1.0)
    matrix[0, 2] += shift
    return cv2.warpAffine(head, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)


def write_tone(path: Path, seconds: float) -> Path:
    """A WAV file with a 440 Hz tone."""
    t = np.arange(int(48000 * seconds)) / 48000
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48000)
        out.writeframes((8000 * np.sin(2 * np.pi * 440 * t)).astype("<i2").tobytes())
    return path


def write_clip(
    path: Path,
    pictures: list[np.ndarray],
    rate: Fraction,
    times: list[Fraction] | None = None,
    tone: Path | None = None,
) -> Path:
    """Write pictures as a clip."""
    size = pictures[0].shape[1], pictures[0].shape[0]
    base = Fraction(1, 1000) if times else None
    sound = AudioSource(tone) if tone else None
    with ClipWriter(path, size, rate, base, audio=sound, hardware="none") as writer:
        for index, picture in enumerate(pictures):
            writer.write(picture, times[index] if times else index / rate)
        writer.finish()
    return path


@pytest.fixture(scope="session")
def head(astronaut: np.ndarray) -> np.ndarray:
    """(224, 224, 3) head and shoulders."""
    return cv2.resize(astronaut[0:270, 90:360], (224, 224), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory, head: np.ndarray) -> Path:
    """Folder of inputs, good and bad; tests must not write into it.

    photo.jpg, other.jpg, cutout.png (with alpha), pair.jpg (two faces), empty_room.jpg, clip.mp4 (12 frames, NTSC rate,
    sound), vfr.mp4, slow.mp4 (6 frames at 10 a second), gap.mp4 (frames 3-5 of 12 without a face), no_face.mp4,
    cut.mkv (truncated), zero.mp4, text.mp4, text.jpg, sound.wav, shots/ (numbered pictures).
    """
    folder = tmp_path_factory.mktemp("media")
    room = np.full((160, 200, 3), (90, 110, 130), np.uint8)
    room[60:] = (60, 50, 40)
    write_image(folder / "photo.jpg", head)
    write_image(folder / "other.jpg", moved(head, 6, 4))
    mask = cv2.circle(np.zeros(head.shape[:2], np.uint8), (112, 112), 104, 255, -1)
    write_image(folder / "cutout.png", head, mask)
    small = cv2.resize(head, (150, 150), interpolation=cv2.INTER_AREA)
    pair = np.full((224, 400, 3), 128, np.uint8)
    pair[:, :224] = head
    pair[74:, 250:] = small
    write_image(folder / "pair.jpg", pair)
    write_image(folder / "empty_room.jpg", room)
    tone = write_tone(folder / "sound.wav", 0.5)
    turns = [6 * np.sin(i / 2) for i in range(12)]
    heads = [moved(head, turn, turn) for turn in turns]
    write_clip(folder / "clip.mp4", heads, NTSC, tone=tone)
    steps = [Fraction(0), *np.cumsum([Fraction((20, 40, 60)[i % 3], 1000) for i in range(11)])]
    write_clip(folder / "vfr.mp4", heads, Fraction(25), times=[Fraction(s) for s in steps])
    write_clip(folder / "slow.mp4", heads[:6], Fraction(10))
    blank = np.full_like(head, 90)
    write_clip(folder / "gap.mp4", [blank if 3 <= i < 6 else h for i, h in enumerate(heads)], Fraction(25))
    write_clip(folder / "no_face.mp4", [room] * 3, Fraction(25))
    long = write_clip(folder / "whole.mkv", [moved(head, 5 * np.sin(i / 3)) for i in range(40)], Fraction(25))
    data = long.read_bytes()
    (folder / "cut.mkv").write_bytes(data[: int(len(data) * 0.6)])
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is not a clip\n" * 40)
    (folder / "text.jpg").write_text("this is not a photo\n" * 40)
    (folder / "shots").mkdir()
    for index in range(3):
        write_image(folder / "shots" / f"shot_{index + 1:04}.png", heads[index])
    return folder


@pytest.fixture(scope="session")
def make_clip() -> Callable[[Path, np.ndarray, int], Path]:
    """Writes a clip of so many frames of a nodding head."""

    def make(path: Path, picture: np.ndarray, count: int) -> Path:
        return write_clip(path, [moved(picture, 5 * np.sin(i / 8)) for i in range(count)], Fraction(25))

    return make


@pytest.fixture
def here(tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder without user settings; the inputs are links in ``in/``."""
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path / "config"))
    work = tmp_path / "work"
    work.mkdir()
    shutil.copytree(media, work / "in")
    monkeypatch.chdir(work)
    return work


@dataclass(frozen=True)
class Outcome:
    """What one run of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Lines on standard error."""
        return self.err.splitlines()


@pytest.fixture
def run_cli(here: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs the command line in this process, in the folder of ``here``."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def listing(here: Path) -> Callable[[], list[str]]:
    """Names of the files in the current folder, hidden ones too, without the inputs."""
    return lambda: sorted(path.name for path in here.iterdir() if path.name != "in")
