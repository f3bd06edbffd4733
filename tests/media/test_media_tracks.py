"""The track that is meant, half pictures, sizes that change, and stamps that begin late."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from media_clips import make_clip, number, picture, steady
from PIL import Image

from app.media import tracks
from app.media.audio import AudioSource
from app.media.reader import open_clip

Tracks = Sequence[tuple[int, Any, tuple[int, int], int]]  # (first number, disposition, size, frames)


def several(path: Path, wanted: Tracks) -> Path:
    """A file with several video tracks."""
    with av.open(str(path), "w") as container:
        streams = []
        for _, disposition, size, _ in wanted:
            stream: Any = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
            stream.disposition = disposition
            streams.append(stream)
        packets = []
        for stream, (first, _, size, count) in zip(streams, wanted, strict=True):
            for k in range(count):
                frame = av.VideoFrame.from_ndarray(picture(first + k, size), format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, 25)
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


NONE, DEFAULT, STILL = Disposition(0), Disposition.default, Disposition.attached_pic
SMALL, LARGE = (96, 64), (192, 128)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        ([(0, NONE, SMALL, 10), (100, DEFAULT, SMALL, 10)], 100),  # the default one
        ([(0, DEFAULT, SMALL, 5), (100, DEFAULT, SMALL, 20)], 100),  # of several the longest
        ([(0, DEFAULT, SMALL, 10), (100, DEFAULT, LARGE, 10)], 100),  # of equals the largest
        ([(0, DEFAULT, LARGE, 1), (100, NONE, SMALL, 10)], 100),  # one picture is no video
    ],
)
def test_the_track_that_is_meant_is_read(tmp_path: Path, suffix: str, wanted: Tracks, first: int) -> None:
    with open_clip(several(tmp_path / f"a{suffix}", wanted)) as clip:
        assert [number(f.rgb) for f in clip][:3] == [first, first + 1, first + 2]
        assert not clip.problem


def test_the_main_sound_is_no_commentary(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        found: list[Any] = []
        for rate, flag in ((44100, Disposition.comment), (32000, NONE), (48000, DEFAULT)):
            found.append(container.add_stream("flac", rate=rate, layout="mono"))
            found[-1].disposition = flag
        for track in found:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts = track.rate, 0
            for packet in [*track.encode(silence), *track.encode(None)]:
                container.mux(packet)
    with av.open(str(path)) as container:
        assert tracks.sound_stream(container).codec_context.sample_rate == 48000
    assert AudioSource(path).present


def fields(k: int, size: tuple[int, int]) -> np.ndarray:
    """Frame ``k`` of a moving pattern, its two half pictures 1/50 s apart."""
    even, odd = (moving(k + shift, size) for shift in (0.0, 0.5))
    even[1::2] = odd[1::2]
    return even


def moving(k: float, size: tuple[int, int]) -> np.ndarray:
    """Smooth blobs that move to the right by 10 pixels a frame."""
    x, y = np.meshgrid(np.arange(size[0]) - 10 * k, np.arange(size[1]))
    grey = 128 + 90 * np.sin(x / 6) * np.cos(y / 9)
    return np.repeat(grey[..., None], 3, 2).astype(np.uint8)


def comb(rgb: np.ndarray) -> float:
    """Mean second difference down the picture."""
    grey = rgb[..., 1].astype(float)
    return float(np.abs(grey[:-2] - 2 * grey[1:-1] + grey[2:]).mean())


KINDS: list[tuple[str, str, dict[str, str], tuple[int, int]]] = [
    (".mp4", "libx264", {"x264-params": "tff=1"}, (320, 192)),
    (".ts", "mpeg2video", {"flags": "+ildct+ilme", "top": "1", "b": "8000000"}, (320, 192)),
    (".avi", "dvvideo", {}, (720, 576)),
    (".mov", "prores_ks", {"flags": "+ildct"}, (320, 192)),
]


@pytest.mark.parametrize(("suffix", "codec", "options", "size"), KINDS)
@pytest.mark.parametrize("true", [True, False], ids=["interlaced", "only flagged"])
def test_interlaced_clips_become_whole_pictures(
    tmp_path: Path, suffix: str, codec: str, options: dict[str, str], size: tuple[int, int], true: bool
) -> None:
    pix = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    draw = fields if true else moving
    path = make_clip(
        tmp_path / f"a{suffix}", steady(14), codec=codec, options=options, size=size, draw=draw, pix_fmt=pix
    )
    with open_clip(path) as clip:
        frames = list(clip)
        assert any("deinterlaced" in note for note in clip.notes) == true
    assert [f.time for f in frames] == steady(14)
    whole = comb(moving(10, size))
    if true:
        assert comb(fields(10, size)) > 10 * whole
    assert comb(frames[10].rgb) < 2 * whole + 1


@pytest.mark.parametrize("second", [(64, 96), (192, 64), (48, 32)])
def test_a_clip_that_changes_its_size_keeps_its_proportions(tmp_path: Path, second: tuple[int, int]) -> None:
    def disc(k: int, size: tuple[int, int]) -> np.ndarray:
        out = np.full((size[1], size[0], 3), 90, np.uint8)
        cv2.circle(out, (size[0] // 2, size[1] // 2), min(size) // 3, (255, 255, 255), -1)
        return out

    parts = [make_clip(tmp_path / f"{n}.ts", steady(5), size=s, draw=disc) for n, s in enumerate([(96, 64), second])]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    with open_clip(path) as clip:
        frames = [f.rgb for f in clip]
        assert any("changes its size" in note for note in clip.notes)
    assert {f.shape for f in frames} == {(64, 96, 3)}
    rows, columns = np.nonzero(frames[-1][..., 1] > 200)
    assert abs(int(np.ptp(rows)) - int(np.ptp(columns))) <= 2


@pytest.mark.parametrize("suffix", [".mkv", ".nut", ".avi", ".mp4", ".ts"])
@pytest.mark.parametrize("first", [0, 1000])
def test_a_late_first_stamp_breaks_nothing_off(tmp_path: Path, suffix: str, first: int) -> None:
    times = [t + first for t in steady(10)]
    with open_clip(make_clip(tmp_path / f"a{suffix}", times)) as clip:
        assert [f.time for f in clip] == steady(10)
        assert not clip.problem


@pytest.mark.parametrize(("aspect", "size"), [(16, (384, 16)), (2, (192, 64)), (Fraction(1, 2), (48, 64))])
def test_odd_pixels_become_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    with open_clip(make_clip(tmp_path / "a.mp4", steady(5), aspect=Fraction(aspect))) as clip:
        assert (clip.info.width, clip.info.height) == size
        assert len(list(clip)) == 5
        assert not clip.problem
        assert not clip.notes


def test_impossible_pixels_are_taken_as_square_with_a_note(tmp_path: Path) -> None:
    with open_clip(make_clip(tmp_path / "a.mp4", steady(5), aspect=Fraction(17))) as clip:
        assert (clip.info.width, clip.info.height) == (96, 64)
        assert "square pixels are assumed" in clip.notes[0]


def test_an_animated_avif_plays(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    pictures = [Image.fromarray(picture(k)) for k in range(6)]
    try:
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, quality=90)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow writes no AVIF: {error}")
    with open_clip(path) as clip:
        assert clip.info.kind == "animation"
        frames = list(clip)
    assert [number(f.rgb) for f in frames] == list(range(6))
    assert [f.time for f in frames] == steady(6)
