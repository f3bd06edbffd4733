"""Written clips, read back: rate, time stamps, sound, size, colour, and what is left behind when it goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from media_clips import SIZE, beep_onsets, make_clip, number, packet_times, picture, sound_of, steady

from app.errors import MediaError, UsageError
from app.media import encode
from app.media.audio import AudioSource
from app.media.images import read_image
from app.media.reader import open_clip
from app.media.writer import ClipWriter
from app.provenance.mark import Marking

NTSC = Fraction(30000, 1001)


def write(
    path: Path, times: list[Fraction], rate: Fraction = Fraction(25), end: Fraction | None = None, **options: Any
) -> ClipWriter:
    """Write numbered frames at the times given and finish."""
    size = options.pop("size", SIZE)
    with ClipWriter(path, size, rate, hardware="none", **options) as writer:
        for k, time in enumerate(times):
            writer.write(picture(k, size), time)
        assert writer.finish(end) == path
    return writer


def numbers_of(path: Path) -> list[int]:
    with open_clip(path) as clip:
        return [number(f.rgb) for f in clip]


def copy(source: Path, target: Path, **options: Any) -> ClipWriter:
    """Read a clip and write it with its sound, as the render pipeline does."""
    start = options.pop("start", None)
    with open_clip(source, start) as clip:
        info = clip.info
        frames = list(clip)
        sound = AudioSource(source, clip.offset)
    with ClipWriter(
        target, (info.width, info.height), info.rate, info.time_base, sound, hardware="none", **options
    ) as writer:
        for frame in frames:
            writer.write(frame.rgb, frame.time, frame.alpha)
        writer.finish()
    return writer


# ---- time -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("rate", [NTSC, Fraction(24000, 1001), Fraction(25), Fraction(60)])
@pytest.mark.smoke
def test_1_rate_is_exact_and_nothing_drifts(tmp_path: Path, suffix: str, rate: Fraction) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, steady(90, rate), rate)
    shown, decoded = packet_times(path)
    assert shown == steady(90, rate)
    assert all(b > a for a, b in pairwise(decoded))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == rate
        assert stream.duration * stream.time_base == 90 / rate
    assert numbers_of(path) == list(range(90))


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_1_rate_survives_the_millisecond_clock_of_matroska(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, steady(40, NTSC), NTSC)
    with open_clip(path) as clip:
        assert clip.info.rate == NTSC
        assert [f.time for f in clip] == steady(40, NTSC)


def test_1_flash_and_beep_stay_together_over_a_minute(tmp_path: Path) -> None:
    count = 1798
    source = make_clip(
        tmp_path / "long.mp4", steady(count, NTSC), rate=NTSC, sound=[1.0, 59.0], size=(64, 48),
        draw=lambda k, size: np.full((size[1], size[0], 3), 250 if k == 1769 else 20, np.uint8),
    )  # fmt: skip
    target = tmp_path / "out.mp4"
    copy(source, target)
    with open_clip(target) as clip:
        flash = [f.time for f in clip if f.rgb.mean() > 128]
    assert len(flash) == 1
    assert abs(float(flash[0]) - beep_onsets(target)[1]) < float(1 / NTSC)


def test_8_variable_time_stamps_are_written_exactly(tmp_path: Path) -> None:
    steps = [20, 40, 60, 40] * 12
    times = [Fraction(sum(steps[:k]), 1000) for k in range(len(steps))]
    end = times[-1] + Fraction(1, 10)
    path = tmp_path / "vfr.mp4"
    write(path, times, Fraction(25), end, time_base=Fraction(1, 1000))
    assert packet_times(path)[0] == times
    with open_clip(path) as clip:
        assert clip.info.duration == end  # the last frame lasts as long as asked
        assert [(number(f.rgb), f.time) for f in clip] == list(enumerate(times))


def test_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    """Twelve times: an encoder that is not repeatable shows it in every third run or so."""
    size, rng, written = (448, 224), np.random.default_rng(0), set()
    frames = [rng.integers(0, 255, (28, 56, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(14)]
    for _ in range(12):
        how: dict[str, Any] = {"hardware": "none", "overwrite": True, "marking": Marking("metadata")}
        with ClipWriter(tmp_path / "out.mp4", size, Fraction(25), **how) as writer:
            for k, frame in enumerate(frames):
                writer.write(frame, Fraction(k, 25))
            writer.finish()
        written.add((tmp_path / "out.mp4").read_bytes())
    assert len(written) == 1


def test_a_loop_has_no_seam(tmp_path: Path) -> None:
    """A texture that moves in a circle: the step from the last frame to the first is like the others."""
    grain = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8), (0, 0), 1.5)
    turns = 2 * np.pi * np.arange(25) / 25
    frames = [cv2.warpAffine(grain, np.float32([[1, 0, np.cos(t)], [0, 1, np.sin(t)]]), (256, 256)) for t in turns]

    def seam(name: str, loop: int) -> float:
        """Excess of the step at the seam over the next largest one, in grey levels."""
        with ClipWriter(tmp_path / name, (256, 256), Fraction(25), hardware="none", loop=loop) as writer:
            for frame in frames:
                writer.write(frame)
            writer.finish()
        with open_clip(tmp_path / name) as clip:
            shown = [frame.rgb.astype(int) for frame in clip]
        steps = [float(np.abs(after - before).mean()) for before, after in pairwise([*shown, shown[0]])]
        return steps[-1] - max(steps[:-1])

    plain, closed = seam("plain.mp4", 0), seam("closed.mp4", 25)
    assert closed < 0.1 < plain, (closed, plain)


def test_times_must_rise_and_sizes_must_fit(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "a.mp4", SIZE, Fraction(25), hardware="none") as writer:
        writer.write(picture(0), Fraction(1, 25))
        with pytest.raises(ValueError, match="does not follow"):
            writer.write(picture(1), Fraction(1, 25))
        with pytest.raises(ValueError, match="was promised"):
            writer.write(picture(1, (64, 64)), Fraction(3, 25))
        writer.write(picture(1))
        writer.finish()
        with pytest.raises(ValueError, match="finished"):
            writer.write(picture(2))
    assert packet_times(tmp_path / "a.mp4")[0] == [Fraction(1, 25), Fraction(2, 25)]


def test_exact_time_base() -> None:
    assert encode.exact_time_base(NTSC, None) == Fraction(1, 30000)
    assert encode.exact_time_base(Fraction(25), Fraction(1, 12800)) == Fraction(1, 12800)
    assert encode.exact_time_base(NTSC, Fraction(1, 1000)) == Fraction(1, 30000)
    base = encode.exact_time_base(NTSC, Fraction(1, 999_999_937))
    assert base >= Fraction(1, encode.LARGEST_TIMESCALE)
    assert (1 / NTSC / base).denominator == 1


# ---- sound ----------------------------------------------------------------------------------------------------------
def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size]


@pytest.mark.parametrize(
    ("codec", "source", "target"),
    [("aac", ".mp4", ".mp4"), ("aac", ".mkv", ".mp4"), ("aac", ".mp4", ".mkv"), ("libopus", ".webm", ".mp4"),
     ("libopus", ".mkv", ".webm"), ("pcm_s16le", ".mov", ".mov"), ("libmp3lame", ".mp4", ".mp4"),
     ("flac", ".mkv", ".mp4")],
)  # fmt: skip
@pytest.mark.smoke
def test_sound_is_copied_not_encoded_again(tmp_path: Path, codec: str, source: str, target: str) -> None:
    video = "libvpx" if source == ".webm" else "libx264"
    path = make_clip(tmp_path / f"in{source}", steady(50), sound=[0.4, 1.4], sound_codec=codec, codec=video)
    writer = copy(path, tmp_path / f"out{target}")
    assert not writer.note
    before, after = packets_of(path), packets_of(tmp_path / f"out{target}")
    assert set(after) <= set(before)
    assert len(after) >= len(before) - 2
    for a, b in zip(beep_onsets(path), beep_onsets(tmp_path / f"out{target}"), strict=True):
        assert abs(a - b) < 0.0015


@pytest.mark.parametrize(
    ("codec", "source", "target", "name"),
    [("pcm_s16le", ".mov", ".mp4", "aac"), ("aac", ".mp4", ".webm", "opus"), ("libopus", ".mkv", ".mov", "aac"),
     ("mp2", ".mkv", ".mp4", "aac"), ("mp2", ".mkv", ".mkv", "opus")],
)  # fmt: skip
@pytest.mark.smoke
def test_sound_is_encoded_where_it_can_not_be_copied(
    tmp_path: Path, codec: str, source: str, target: str, name: str
) -> None:
    path = make_clip(tmp_path / f"in{source}", steady(50), sound=[0.4, 1.4], sound_codec=codec)
    out = tmp_path / f"out{target}"
    writer = copy(path, out)
    assert "encoded to" in writer.note
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == name
    for a, b in zip(beep_onsets(path), beep_onsets(out), strict=True):
        assert abs(a - b) < 0.002
    wave, rate, start = sound_of(out)
    assert abs(start + len(wave) / rate - 2.0) < 0.09


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".webm", ".mov"])
def test_sound_longer_than_the_picture_is_cut_at_its_end(tmp_path: Path, target: str) -> None:
    path = make_clip(tmp_path / "in.mp4", steady(25), sound=[0.4, 1.4], sound_seconds=3.0)
    copy(path, tmp_path / f"out{target}")
    wave, rate, start = sound_of(tmp_path / f"out{target}")
    assert abs(start + len(wave) / rate - 1.0) <= 0.04 + 0.05
    assert len(beep_onsets(tmp_path / f"out{target}")) == 1


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".webm", ".mov"])
def test_sound_of_a_later_start_is_in_step(tmp_path: Path, target: str) -> None:
    path = make_clip(tmp_path / "in.mp4", steady(75), sound=[0.4, 1.4, 2.4])
    copy(path, tmp_path / f"out{target}", start=Fraction(1))
    assert [round(t, 2) for t in beep_onsets(tmp_path / f"out{target}")] == [0.4, 1.4]
    assert packet_times(tmp_path / f"out{target}")[0][0] == 0


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".webm"])
def test_sound_before_the_first_frame_keeps_its_place(tmp_path: Path, target: str) -> None:
    times = [t + Fraction(2, 5) for t in steady(30)]
    path = make_clip(tmp_path / "in.mp4", times, sound=[0.2, 0.8])
    copy(path, tmp_path / f"out{target}")
    assert [round(t, 2) for t in beep_onsets(tmp_path / f"out{target}")] == [0.2, 0.8]
    assert packet_times(tmp_path / f"out{target}")[0] == times


def test_sound_limited_in_length_and_absent(tmp_path: Path, clip25: Path) -> None:
    silent = make_clip(tmp_path / "silent.mp4", steady(25))
    assert not AudioSource(silent).present
    assert not AudioSource(tmp_path).present
    writer = copy(silent, tmp_path / "out.mp4")
    assert not writer.note
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio
    write(tmp_path / "short.mp4", steady(50), audio=AudioSource(clip25, duration=1))
    wave, rate, start = sound_of(tmp_path / "short.mp4")
    assert abs(start + len(wave) / rate - 1) < 0.06


def test_sound_file_without_picture(tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream("pcm_s16le", rate=44100, layout="mono")
        wave = (np.sin(np.arange(44100) / 7) * 9000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate = 44100
        container.mux(track.encode(frame) + track.encode(None))
    writer = write(tmp_path / "out.mp4", steady(25), audio=AudioSource(path))
    assert "AAC" in writer.note
    assert abs(len(sound_of(tmp_path / "out.mp4")[0]) / 44100 - 1) < 0.06


def test_sound_that_breaks_off_keeps_the_picture(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "in.mkv", steady(75), sound=[0.4])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    write(tmp_path / "out.mp4", steady(75), audio=AudioSource(cut))
    assert len(numbers_of(tmp_path / "out.mp4")) == 75


def test_10_no_ffmpeg_program_is_needed(tmp_path: Path, clip25: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    copy(clip25, tmp_path / "out.mp4")
    assert len(beep_onsets(tmp_path / "out.mp4")) == 2


# ---- picture --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(95, 63), (95, 64), (96, 63)])
def test_52_odd_sides_are_padded_by_their_edge(tmp_path: Path, size: tuple[int, int]) -> None:
    ramp = np.zeros((size[1], size[0], 3), np.uint8)
    ramp[:, -8:] = 200
    ramp[-8:] = 120
    with ClipWriter(tmp_path / "a.mp4", size, Fraction(25), quality=100, hardware="none") as writer:
        writer.write(ramp)
        writer.finish()
    assert "padded to 96x64" in writer.note
    with open_clip(tmp_path / "a.mp4") as clip:
        got = next(iter(clip)).rgb.astype(int)
    assert got.shape == (64, 96, 3)
    assert np.abs(got[: size[1], : size[0]] - ramp).mean() < 2  # nothing is shifted or scaled
    assert np.abs(got[-1, :90] - 120).max() < 8
    assert np.abs(got[:50, -1] - 200).max() < 8


@pytest.mark.parametrize("name", ["a.webm", "a.mov", "a.gif", "a.png"])
def test_52_odd_sides_stay_where_the_format_holds_them(tmp_path: Path, name: str) -> None:
    codec = "prores" if name == "a.mov" else "auto"
    writer = write(tmp_path / name, steady(1), size=(95, 63), codec=codec)
    assert not writer.note
    with open_clip(tmp_path / name) as clip:
        assert (clip.info.width, clip.info.height) == (95, 63)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "h264"), ("a.mp4", "hevc"), ("a.mp4", "av1"), ("a.webm", "vp9"), ("a.mkv", "h264"), ("a.mov", "prores")],
)
@pytest.mark.smoke
def test_colour_is_tagged_and_true(tmp_path: Path, name: str, codec: Any) -> None:
    colors = np.array([(200, 30, 30), (30, 180, 40), (40, 50, 200), (255, 255, 255), (0, 0, 0), (190, 140, 110)])
    rgb = np.repeat(np.repeat(colors[None].astype(np.uint8), 64, 0), 32, 1)
    with ClipWriter(tmp_path / name, (192, 64), Fraction(25), codec=codec, quality=95, hardware="none") as writer:
        writer.write(rgb)
        writer.finish()
    with av.open(str(tmp_path / name)) as container:
        context: Any = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)
        assert (context.color_primaries, context.color_trc) == (1, 1)
        frame = next(container.decode(video=0))
        if codec != "prores":
            assert frame.format.name == "yuv420p"
            planes = [np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in frame.planes]
            luma = planes[0][20:44].reshape(24, 6, 32)[:, :, 8:24].mean((0, 2))
            wanted = 16 + 219 / 255 * colors @ [0.2126, 0.7152, 0.0722]  # ITU-R BT.709-6, 3.2-3.5
            assert np.abs(luma - wanted).max() < 2
    with open_clip(tmp_path / name) as clip:
        got = next(iter(clip)).rgb[20:44].reshape(24, 6, 32, 3)[:, :, 8:24].mean((0, 2))
    assert np.abs(got - colors).max() < 5


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "prores"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_short_clips(tmp_path: Path, codec: Any, count: int) -> None:
    for _ in range(4):  # x265 gave chance decode times
        path = tmp_path / ("a.mov" if codec == "prores" else "a.mp4")
        write(path, steady(count), codec=codec, overwrite=True)
        shown, decoded = packet_times(path)
        assert shown == steady(count)
        assert all(b > a for a, b in pairwise(decoded))
        assert all(d <= s + Fraction(1, 25) for s, d in zip(shown, decoded, strict=True))


def test_mp4_starts_playing_before_it_is_read_whole(tmp_path: Path, clip25: Path) -> None:
    copy(clip25, tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


@pytest.mark.parametrize("name", ["a.webm", "a.mov", "a.mkv", "a.gif", "%03d.png", "folder"])
@pytest.mark.smoke
def test_59_alpha_is_written_where_it_can_be(tmp_path: Path, name: str) -> None:
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:, :32] = 0
    with ClipWriter(tmp_path / name, SIZE, Fraction(25), alpha=True, hardware="none") as writer:
        for k in range(3):
            writer.write(picture(k), Fraction(k, 25), alpha)
        writer.finish()
    assert not writer.note
    with open_clip(tmp_path / name) as clip:
        frames = list(clip)
        assert clip.info.has_alpha
    assert len(frames) == 3
    for frame in frames:
        assert frame.alpha is not None
        assert frame.alpha[4:60, 4:28].max() < 8
        assert frame.alpha[4:60, 36:92].min() > 247


def test_59_alpha_is_laid_on_a_colour_elsewhere(tmp_path: Path) -> None:
    white = np.full((64, 96, 3), 255, np.uint8)
    alpha = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    with ClipWriter(tmp_path / "a.mp4", SIZE, Fraction(25), alpha=True, hardware="none") as writer:
        writer.write(white, alpha=alpha)
        writer.finish()
    assert "transparency" in writer.note
    with open_clip(tmp_path / "a.mp4") as clip:
        assert next(iter(clip)).rgb.min() > 250  # no dark fringe
    with ClipWriter(tmp_path / "b.mp4", SIZE, Fraction(25), background=(0, 0, 255), hardware="none") as writer:
        writer.write(white, alpha=np.zeros((64, 96), np.uint8))
        writer.finish()
    with open_clip(tmp_path / "b.mp4") as clip:
        assert np.abs(next(iter(clip)).rgb.astype(int) - [0, 0, 255]).max() < 8


def test_82_gif_keeps_delays(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(2, 100), Fraction(22, 100), Fraction(27, 100)]
    write(tmp_path / "a.gif", times, Fraction(12), Fraction(40, 100))
    with open_clip(tmp_path / "a.gif") as clip:
        assert [(number(f.rgb), f.time) for f in clip] == list(enumerate(times))
        assert clip.info.duration == Fraction(40, 100)
    writer = write(tmp_path / "fast.gif", steady(12, 100), Fraction(100))
    assert "left out" in writer.note
    assert numbers_of(tmp_path / "fast.gif") == list(range(0, 12, 2))


@pytest.mark.parametrize("name", ["shots", "take_%04d.png", "take_%03d.jpg"])
def test_65_numbered_pictures_out(tmp_path: Path, name: str) -> None:
    writer = write(tmp_path / name, steady(12))
    assert writer.frames == 12
    assert numbers_of(tmp_path / name) == list(range(12))
    folder = tmp_path / name if name == "shots" else tmp_path
    files = sorted(p.name for p in folder.iterdir())
    assert len(files) == 12
    assert files[0] == {"shots": "00001.png", "take_%04d.png": "take_0001.png"}.get(name, "take_001.jpg")
    with pytest.raises(UsageError, match="already exists"):
        write(tmp_path / name, steady(2))
    write(tmp_path / name, steady(2), overwrite=True)


def test_single_picture_out(tmp_path: Path) -> None:
    write(tmp_path / "a.png", steady(1))
    assert np.array_equal(read_image(tmp_path / "a.png").rgb, picture(0))
    with pytest.raises(UsageError, match="one image"):
        write(tmp_path / "b.png", steady(2))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


# ---- encoders -------------------------------------------------------------------------------------------------------
def test_encoder_that_does_not_work_falls_back_to_software(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def broken(name: str, *_: object) -> bool:
        tried.append(name)
        return False

    monkeypatch.setattr(encode, "works", broken)
    with ClipWriter(tmp_path / "a.mp4", SIZE, Fraction(25), hardware="auto") as writer:
        writer.write(picture(0))
        writer.finish()
    assert tried[:2] == ["h264_nvenc", "h264_qsv"]
    assert writer.encoder == "libx264"


def test_probe_tells_working_encoders_from_others() -> None:
    options = (("preset", "veryfast"),)
    assert encode.works("libx264", SIZE, "yuv420p", options)
    assert not encode.works("libx264", (95, 63), "yuv420p", options)  # odd sides can't be opened
    assert not encode.works("no_such_encoder", SIZE, "yuv420p", ())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.xyz", {}, "extension"),
        ("a.webm", {"codec": "h264"}, "can't hold h264"),
        ("a.mp4", {"codec": "prores"}, "can't hold prores"),
        ("a.mp4", {"codec": "divx"}, "Unknown codec"),
        ("a.mp4", {"codec": "gif"}, "does not end in .gif"),
        ("a.gif", {"codec": "h264"}, "can't hold"),
        ("a.mp4", {"codec": "png"}, "not of numbered images"),
        ("a.mp4", {"quality": 101}, "from 0 to 100"),
        ("a.mp4", {"size": (0, 10)}, "no pixels"),
        ("a.mp4", {"rate": Fraction(0)}, "above 0"),
        ("a.mp4", {"hardware": "gpu"}, "auto or none"),
    ],
)
def test_requests_that_make_no_sense(tmp_path: Path, name: str, options: dict[str, Any], words: str) -> None:
    arguments = {"size": SIZE, "rate": Fraction(25), **options}
    with pytest.raises(UsageError, match=words):
        ClipWriter(tmp_path / name, **arguments)
    assert not list(tmp_path.iterdir())


# ---- trouble --------------------------------------------------------------------------------------------------------
def test_nothing_under_the_final_name_before_the_end(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "a.mp4", SIZE, Fraction(25), hardware="none") as writer:
        for k in range(40):
            writer.write(picture(k))
        assert [p.name[:3] for p in tmp_path.iterdir()] == [".a."]
        writer.finish()
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "shots", "%04d.png", "a.png"])
def test_failure_in_the_middle_leaves_nothing(tmp_path: Path, name: str) -> None:
    def render() -> None:
        with ClipWriter(tmp_path / name, SIZE, Fraction(25), hardware="none") as writer:
            writer.write(picture(0))
            raise RuntimeError("engine")

    with pytest.raises(RuntimeError, match="engine"):
        render()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "kept"), [("a.mp4", "a.partial.mp4"), ("a.gif", "a.partial.gif"), ("s", "s.partial")])
def test_cancelled_job_keeps_a_playable_part(tmp_path: Path, name: str, kept: str) -> None:
    with ClipWriter(tmp_path / name, SIZE, Fraction(25), hardware="none") as writer:
        for k in range(30):
            writer.write(picture(k), Fraction(k, 25))
        assert writer.abort(keep=True) == tmp_path / kept
    assert numbers_of(tmp_path / kept) == list(range(30))
    assert [p.name for p in tmp_path.iterdir()] == [kept]


def test_cancelled_pattern_keeps_its_pictures_in_a_folder(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "shot_%04d.png", SIZE, Fraction(25)) as writer:
        for k in range(3):
            writer.write(picture(k))
        part = writer.abort()
    assert part is not None
    assert numbers_of(part) == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [part]


def test_cancelled_job_without_keeping(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "a.mp4", SIZE, Fraction(25), hardware="none") as writer:
        writer.write(picture(0))
        assert writer.abort(keep=False) is None
    with ClipWriter(tmp_path / "b.mp4", SIZE, Fraction(25), hardware="none") as writer:
        assert writer.abort(keep=True) is None  # there is no frame to keep
    with ClipWriter(tmp_path / "c.mp4", SIZE, Fraction(25), hardware="none") as writer:  # noqa: SIM117
        with pytest.raises(MediaError, match="no frame"):
            writer.finish()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a%05d.png", "a" * 250 + ".gif"])
def test_left_over_of_a_killed_run_goes(tmp_path: Path, name: str) -> None:
    """What a run that is gone has left beside the name; not what a running one writes, nor what others wrote."""
    code = f"""if True:
        import os, sys
        from fractions import Fraction
        import numpy as np
        from app.media.writer import ClipWriter
        writer = ClipWriter({str(tmp_path / name)!r}, (64, 64), Fraction(25), hardware="none")
        for _ in range(60):
            writer.write(np.zeros((64, 64, 3), np.uint8))
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(list(tmp_path.iterdir())) == 1
    alien = tmp_path / ".a.mine.partial.mp4"
    alien.write_bytes(b"mine")
    with ClipWriter(tmp_path / name, SIZE, Fraction(25), hardware="none") as running:
        for k in range(60):
            running.write(picture(k))
        assert len(list(tmp_path.iterdir())) == 2
        with ClipWriter(tmp_path / name, SIZE, Fraction(25), hardware="none"):
            pass
        running.finish()
    assert numbers_of(tmp_path / name) == list(range(60))
    assert alien.read_bytes() == b"mine"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".") and p != alien]


@pytest.mark.parametrize(("name", "kept"), [("a.mp4", "a-2.mp4"), ("s_%03d.png", "s"), ("folder", "folder-2")])
def test_two_runs_with_one_name_lose_nothing(tmp_path: Path, name: str, kept: str) -> None:
    """Both began when the name was free: the first one gets it, the other one is told what its result is called."""
    how = (tmp_path / name, SIZE, Fraction(25))
    with ClipWriter(*how, hardware="none") as first, ClipWriter(*how, hardware="none") as second:
        for k in range(3):
            first.write(picture(k))
            second.write(picture(10 + k))
        first.finish()
        with pytest.raises(UsageError, match=f"was created in the meantime. The result is kept as .*{kept}"):
            second.finish()
    assert numbers_of(tmp_path / name) == [0, 1, 2]
    assert numbers_of(tmp_path / kept) == [10, 11, 12]


@pytest.mark.parametrize("name", ["a.mp4", "s_%03d.png", "s"])
def test_kept_part_replaces_nothing(tmp_path: Path, name: str) -> None:
    """The part that is kept of a stopped run takes a name of its own, even if that of an earlier one is there."""
    parts = []
    for run in range(3):
        with ClipWriter(tmp_path / name, SIZE, Fraction(25), hardware="none") as writer:
            writer.write(picture(run))
            parts.append(writer.abort())
    assert len(set(parts)) == 3
    assert [numbers_of(part) for part in parts if part is not None] == [[0], [1], [2]]
    assert sorted(tmp_path.iterdir()) == sorted(part for part in parts if part is not None)


def test_part_of_a_long_name_is_kept(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / ("n" * 250 + ".mp4"), SIZE, Fraction(25), hardware="none") as writer:
        writer.write(picture(7))
        part = writer.abort()
    assert part is not None
    assert numbers_of(part) == [7]


def test_numbered_pictures_of_others_are_safe(tmp_path: Path) -> None:
    """Every picture under the pattern counts, not the first one alone; inputs are safe even from overwrite."""
    pattern = tmp_path / "s_%03d.png"
    write(pattern, steady(5))
    for k in (1, 2, 3):
        (tmp_path / f"s_00{k}.png").unlink()
    (tmp_path / "s_0004.png").write_bytes(b"another pattern's")
    with pytest.raises(UsageError, match=r"s_004.png already exists"):
        write(pattern, steady(2))
    before = (tmp_path / "s_005.png").read_bytes()
    for own in (tmp_path / "s_005.png", pattern, tmp_path):
        with pytest.raises(UsageError, match=r"s_00[45].png is an input"):
            write(pattern, steady(2), overwrite=True, inputs=[own])
    with pytest.raises(UsageError, match=r"s_005.png is an input"):
        write(tmp_path / "s_005.png", steady(1), overwrite=True, inputs=[tmp_path])
    assert (tmp_path / "s_005.png").read_bytes() == before
    writer = write(pattern, steady(4), overwrite=True)
    assert writer.note == f"Images of an older result are still there: 1 from {tmp_path / 's_005.png'} on."
    assert write(tmp_path / "t_%03d.png", steady(2)).note == ""


def test_existing_output_and_inputs_are_safe(tmp_path: Path, clip25: Path) -> None:
    before = clip25.read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        write(clip25, steady(2))
    with pytest.raises(UsageError, match="is an input"):
        write(clip25, steady(2), overwrite=True, inputs=[clip25])
    with pytest.raises(UsageError, match="is an input"):
        write(tmp_path / "." / "clip25.mp4", steady(2), overwrite=True, audio=AudioSource(clip25))
    link = tmp_path / "link.mp4"
    try:
        link.symlink_to(clip25)
    except OSError:
        pytest.skip("no symbolic links here")
    with pytest.raises(UsageError, match="is an input"):
        write(link, steady(2), overwrite=True, inputs=[clip25])
    assert clip25.read_bytes() == before
    write(clip25, steady(2), overwrite=True)
    assert len(numbers_of(clip25)) == 2


def test_missing_and_unwritable_folders(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"Folder .*none does not exist"):
        write(tmp_path / "none" / "a.mp4", steady(2))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MediaError, match="does not exist"):
        write(tmp_path / "file" / "a.mp4", steady(2))
    if os.path.isdir("/proc/self"):
        with pytest.raises(MediaError, match="Folder /proc can't be written to"):
            write(Path("/proc/a.mp4"), steady(2))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(MediaError, match="permission is denied"):
        write(folder / "a.mp4", steady(2))


FULL = """
import resource, signal, sys
from fractions import Fraction
import numpy as np
from app.errors import MediaError
from app.media.writer import ClipWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
rng = np.random.default_rng(0)
try:
    with ClipWriter(sys.argv[1], (128, 96), Fraction(25), hardware="none") as writer:
        for k in range(int(sys.argv[2])):
            writer.write(rng.integers(0, 255, (96, 128, 3), np.uint8))
        writer.finish()
except MediaError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "%04d.png", "a.png"])
def test_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    pytest.importorskip("resource", reason="needs a limit on file sizes")
    small = 1 if name.endswith("png") else 60
    script = FULL.replace("(96, 128, 3)", "(960, 1280, 3)").replace("(128, 96)", "(1280, 960)") if small == 1 else FULL
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / name), str(small)],
        capture_output=True, text=True, check=False, timeout=300, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert "can't be written: the file would be larger" in done.stdout
    assert done.stdout.count("\n") == 1
    assert not done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    ['a"$(touch pwned)b.mp4', "-x.mp4", "50%25.mp4", "with  space.mp4", "a:b.mp4", "é照片😀.mkv", "x" * 240 + ".mp4"],
)
def test_44_awkward_names_of_outputs(tmp_path: Path, clip25: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    copy(clip25, Path(name))
    left = {p.name for p in folder.iterdir()} - {f"{name}.c2pa"}  # credentials of a .mkv lie beside it
    assert left == {name}  # nothing was executed, nothing is left over
    assert numbers_of(folder / name) == list(range(50))


# ---- memory ---------------------------------------------------------------------------------------------------------
SOAK = """
import sys
from pathlib import Path
from app.media.audio import AudioSource
from app.media.prefetch import prefetch
from app.media.reader import open_clip
from app.media.writer import ClipWriter
source, target = sys.argv[1:]
with open_clip(source) as clip:
    info = clip.info
    with ClipWriter(target, (info.width, info.height), info.rate, info.time_base, AudioSource(source),
                    hardware="none") as writer, prefetch(clip, 4) as frames:
        for frame in frames:
            writer.write(frame.rgb, frame.time)
        writer.finish()
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024, writer.frames)
"""


@pytest.mark.slow
def test_2_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("the peak memory of a process is read from /proc")
    peaks = []
    for count in (300, 3000):
        source = make_clip(tmp_path / f"{count}.mp4", steady(count), sound=[0.5], size=(160, 120))
        done = subprocess.run(
            [sys.executable, "-c", SOAK, str(source), str(tmp_path / f"out{count}.mp4")],
            capture_output=True, text=True, check=True, timeout=240, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        peak, frames = map(int, done.stdout.split())
        assert frames == count
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 25, peaks  # MiB; 2,700 frames kept would be 150
