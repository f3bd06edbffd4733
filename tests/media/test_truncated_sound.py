"""Sound files whose end is missing: what is there is used, and one sentence says so."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from app.media.audio import AudioSource
from app.media.sound import SoundReader, sound_of

RATE = 48000


def write_noise(path: Path, codec: str, how: dict[str, str]) -> Path:
    """Two seconds of noise in any format."""
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 2 * RATE)).astype(np.float32)
    with av.open(str(path), "w", options=how) as file:
        stream = file.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate = RATE
        queue = av.AudioFifo()
        for block in av.AudioResampler(stream.codec_context.format.name, "mono", RATE).resample(frame):
            queue.write(block)
        while queue.samples:
            part = queue.read(stream.codec_context.frame_size or 1024, partial=True)
            part.time_base = Fraction(1, RATE)
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def heard(path: Path) -> tuple[float, str]:
    """Seconds of sound in a file, and what is said about it."""
    reader = SoundReader(sound_of(path), 16000)
    try:
        return sum(block.shape[1] for block in reader) / 16000, reader.note
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("name", "codec", "how", "told"),
    [
        ("a.wav", "pcm_s16le", {}, "after 1.2 of 2.0 s"),
        ("a.flac", "flac", {}, "after 1.. of 2.0 s"),
        ("a.mp3", "libmp3lame", {}, "after 1.. of 2.0 s"),
        ("a.aiff", "pcm_s16be", {}, "after 1.2 of 2.0 s"),
        ("a.m4a", "aac", {"movflags": "faststart"}, "after 1.. of 2.0 s"),
        ("a.mka", "flac", {}, "after 1.. of 2.0 s"),
        ("a.opus", "libopus", {"page_duration": "100000"}, "its last part is missing"),
    ],
)
def test_a_cut_off_file_is_told(name: str, codec: str, how: dict[str, str], told: str, tmp_path: Path) -> None:
    whole = write_noise(tmp_path / name, codec, how)
    seconds, note = heard(whole)
    assert seconds == pytest.approx(2, abs=0.03)
    assert note == ""
    data = whole.read_bytes()
    cut = tmp_path / f"cut{whole.suffix}"
    cut.write_bytes(data[: len(data) * 3 // 5])
    seconds, note = heard(cut)
    assert 0.9 < seconds < 1.3
    assert re.search(f"cut{whole.suffix} is truncated.*{told}", note)


def test_a_size_that_was_not_known_is_no_fault(tmp_path: Path) -> None:
    """Text to speech that writes to a pipe leaves a placeholder in the header."""
    whole = write_noise(tmp_path / "a.wav", "pcm_s16le", {}).read_bytes()
    place = whole.index(b"data") + 4
    for size in (0, 0x7FFFF000, 0xFFFFFFFF):
        (tmp_path / "piped.wav").write_bytes(whole[:place] + size.to_bytes(4, "little") + whole[place + 4 :])
        assert heard(tmp_path / "piped.wav") == (2.0, "")
    sizes = b"ds64" + b"".join(number.to_bytes(size, "little") for number, size in ((28, 4), (0, 8), (4 * RATE, 8)))
    head = b"RF64" + whole[4:12] + sizes + bytes(12) + whole[12:place] + b"\xff" * 4  # as in files of more than 4 GB
    (tmp_path / "long.wav").write_bytes(head + whole[place + 4 :])
    assert heard(tmp_path / "long.wav") == (2.0, "")
    assert AudioSource(tmp_path / "long.wav").declared == 2
