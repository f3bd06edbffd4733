"""Clips: what comes out has the right frames, times, size, turn and colour, or one sentence says what is wrong."""

from __future__ import annotations

import gc
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_clips import make_clip, number, picture, steady
from PIL import Image

from app.errors import AppError, MediaError, UsageError
from app.media.pictures import describe_gaps
from app.media.reader import open_clip
from app.media.video import Clock, Orientation, ToRGB, matrix_of

NTSC = Fraction(30000, 1001)


def read(path: Path, **options: Any) -> tuple[list[int], list[Fraction], Any]:
    """(frame numbers, times, reader) of a clip."""
    with open_clip(path, **options) as clip:
        frames = [(number(f.rgb), f.time, f.index) for f in clip]
    assert [f[2] for f in frames] == list(range(len(frames)))
    return [f[0] for f in frames], [f[1] for f in frames], clip


@pytest.mark.parametrize("rate", [NTSC, Fraction(24000, 1001), Fraction(25), Fraction(5)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.smoke
def test_1_fractional_rates_are_exact(tmp_path: Path, rate: Fraction, suffix: str) -> None:
    path = make_clip(tmp_path / f"a{suffix}", steady(40, rate), rate=rate)
    numbers, times, clip = read(path)
    assert numbers == list(range(40))  # none is lost in the decoder
    assert times == steady(40, rate)  # although Matroska rounds to milliseconds
    assert clip.info.rate == rate
    assert clip.info.duration is not None
    assert abs(clip.info.duration - 40 / rate) <= Fraction(1, 1000)
    assert not clip.problem


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.smoke
def test_8_variable_time_stamps_are_kept(tmp_path: Path, suffix: str) -> None:
    steps = [20, 40, 60, 40] * 12
    times = [Fraction(sum(steps[:k]), 1000) for k in range(len(steps))]
    path = make_clip(tmp_path / f"vfr{suffix}", times, base=Fraction(1, 1000))
    numbers, got, _ = read(path)
    assert got == times
    assert numbers == list(range(len(times)))


def test_first_frame_is_time_zero_and_the_lead_is_told(tmp_path: Path) -> None:
    times = [t + Fraction(2, 5) for t in steady(30)]
    path = make_clip(tmp_path / "late.mp4", times, sound=[0.9])
    _, got, clip = read(path)
    assert got == steady(30)
    assert clip.info.lead == Fraction(2, 5)
    assert clip.info.has_audio


def test_second_pass_gives_the_same(clip25: Path) -> None:
    with open_clip(clip25) as clip:
        first = [(f.time, f.rgb.sum()) for f in clip]
        assert [(f.time, f.rgb.sum()) for f in clip] == first


def test_a_clip_that_is_read_again_and_again_keeps_no_frames(tmp_path: Path) -> None:
    """PyAV keeps a frame whose side data were read until a garbage collection, which live sessions rarely reach."""
    path = make_clip(tmp_path / "a.mp4", steady(3), rotation=90)
    gc.collect()
    gc.disable()
    try:
        for _ in range(4):
            with open_clip(path) as clip:
                assert sum(1 for _ in clip) == 3
        kept = [one for one in gc.get_objects() if isinstance(one, av.VideoFrame)]
        assert not [frame for frame in kept if frame.width > 16]
    finally:
        gc.enable()


def test_start_and_end_cut_to_the_frame(clip25: Path, tmp_path: Path) -> None:
    numbers, times, clip = read(clip25, start=Fraction(1, 2), end=Fraction(1))
    assert numbers == list(range(13, 25))
    assert times == steady(12)
    assert clip.offset == Fraction(13, 25)
    long = make_clip(tmp_path / "long.mp4", steady(200), options={"g": "30"})
    numbers, times, clip = read(long, start=5, end="5.2")
    assert numbers == [125, 126, 127, 128, 129]
    assert clip.offset == 5
    with pytest.raises(MediaError, match="no frame from 99 s"):
        read(clip25, start=99)
    with pytest.raises(UsageError, match="not after its start"):
        open_clip(clip25, start=2, end=1)
    with pytest.raises(UsageError, match="negative"):
        open_clip(clip25, start=-1)


ARROW = np.zeros((64, 96, 3), np.uint8)
ARROW[:16, :24] = (250, 20, 20)  # red top left
ARROW[:16, -24:] = (20, 250, 20)  # green top right
ARROW[-16:, :24] = (20, 20, 250)  # blue bottom left


def corners(rgb: np.ndarray) -> list[str]:
    """Colours of the four corners: top left, top right, bottom left, bottom right."""
    patches = [rgb[:8, :8], rgb[:8, -8:], rgb[-8:, :8], rgb[-8:, -8:]]
    means = [p.reshape(-1, 3).mean(0) for p in patches]
    return ["rgb"[int(m.argmax())] if m.max() > 120 else "-" for m in means]


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.smoke
def test_40_phone_rotation_is_applied_once(tmp_path: Path, rotation: int, hflip: bool) -> None:
    # the display matrix turns the stored picture and mirrors it then; undo both to store the upright arrow
    stored = np.rot90(ARROW[:, ::-1] if hflip else ARROW, -rotation // 90)
    size = (stored.shape[1], stored.shape[0])
    path = make_clip(tmp_path / "r.mp4", steady(3), size=size, rotation=rotation, hflip=hflip, draw=lambda k, s: stored)
    with open_clip(path) as clip:
        frame = next(iter(clip))
        assert (clip.info.width, clip.info.height) == (96, 64)
        assert clip.info.mirrored == hflip
        if not hflip:
            assert clip.info.rotation == rotation
    assert frame.rgb.shape == (64, 96, 3)
    assert corners(frame.rgb) == ["r", "g", "b", "-"]


def test_40_orientation_of_all_eight_turns() -> None:
    image = np.arange(6).reshape(2, 3)
    for transpose in (False, True):
        for flip_x in (False, True):
            for flip_y in (False, True):
                turn = Orientation(transpose, flip_x, flip_y)
                wanted = np.rot90(image[:, ::-1] if turn.mirrored else image, turn.rotation // 90)
                assert np.array_equal(turn.apply(image), wanted)


@pytest.mark.smoke
def test_anamorphic_pixels_become_square(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", steady(3), size=(72, 64), aspect=Fraction(4, 3))
    with open_clip(path) as clip:
        assert (clip.info.width, clip.info.height) == (96, 64)
        frame = next(iter(clip))
    assert frame.rgb.shape == (64, 96, 3)
    assert number(frame.rgb) == 0


PATCHES = np.array([(200, 30, 30), (30, 180, 40), (40, 50, 200), (235, 235, 235), (12, 12, 12), (190, 140, 110)])
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}  # Kr and Kb of ITU-T H.273, table 4


def planes(rgb: np.ndarray, matrix: int, full: bool, bits: int) -> np.ndarray:
    """(3, N) integer Y, Cb, Cr of (N, 3) 8-bit colours by ITU-T H.273, equations 40 to 52."""
    kr, kb = WEIGHTS[matrix]
    r, g, b = rgb.T / 255
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    unit, half, top = 1 << (bits - 8), 1 << (bits - 1), (1 << bits) - 1
    if full:
        values = y * top, cb * top + half, cr * top + half
    else:
        values = unit * (219 * y + 16), unit * 224 * cb + half, unit * 224 * cr + half
    return np.clip(np.rint(values), 0, top).astype(np.uint16 if bits > 8 else np.uint8)


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le"])
def test_colours_follow_matrix_range_and_depth(matrix: int, full: bool, pix_fmt: str) -> None:
    bits = 12 if "12" in pix_fmt else 10 if "10" in pix_fmt else 8
    frame = av.VideoFrame(96, 64, pix_fmt)
    for plane, values in zip(frame.planes, planes(PATCHES, matrix, full, bits), strict=True):
        row = np.repeat(values, plane.width // len(PATCHES))
        room = np.zeros((plane.height, plane.line_size // row.itemsize), row.dtype)
        room[:, : len(row)] = row
        plane.update(room.tobytes())
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    assert matrix_of(frame) == {1: "bt709", 5: "bt601", 9: "bt2020"}[matrix]
    rgb, alpha = ToRGB((96, 64), Fraction(1))(frame, Orientation(), False)
    assert alpha is None
    got = np.array([rgb[20:44, 16 * k + 6 : 16 * k + 10].reshape(-1, 3).mean(0) for k in range(len(PATCHES))])
    assert np.abs(got - PATCHES).max() <= 2.5


@pytest.mark.parametrize(("matrix", "full"), [(1, False), (5, False), (5, True)])
def test_colour_tags_of_a_file_are_followed(tmp_path: Path, matrix: int, full: bool) -> None:
    def patches(_: int, size: tuple[int, int]) -> np.ndarray:
        return np.repeat(np.repeat(PATCHES[None].astype(np.uint8), size[1], 0), size[0] // len(PATCHES), 1)

    color = (matrix, {1: 1, 5: 6}[matrix], 1, 2 if full else 1)
    path = make_clip(tmp_path / "c.mp4", steady(2), draw=patches, color=color)
    with open_clip(path) as clip:
        rgb = next(iter(clip)).rgb
        assert clip.info.color == f"{ {1: 'bt709', 5: 'bt601'}[matrix] } {'full' if full else 'limited'} range"
    got = np.array([rgb[20:44, 16 * k + 6 : 16 * k + 10].reshape(-1, 3).mean(0) for k in range(len(PATCHES))])
    assert np.abs(got - PATCHES).max() < 6


@pytest.mark.slow
def test_hdr_is_mapped_to_the_screen(tmp_path: Path) -> None:
    def white(_: int, size: tuple[int, int]) -> np.ndarray:
        return np.full((size[1], size[0], 3), 191, np.uint8)  # 75 % of the HLG signal: white of the scene

    path = make_clip(
        tmp_path / "h.mp4", steady(2), draw=white, pix_fmt="yuv420p10le", color=(9, 9, 18, 1)
    )  # fmt: skip
    with open_clip(path) as clip:
        assert "HLG" in clip.notes[0]
        assert next(iter(clip)).rgb.mean() > 230


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        (".mov", "qtrle", "argb"),
        (".mov", "prores_ks", "yuva444p10le"),
        (".webm", "libvpx-vp9", "yuva420p"),
        (".webm", "libvpx", "yuva420p"),
    ],
)
@pytest.mark.smoke
def test_59_alpha_of_clips_is_kept(tmp_path: Path, suffix: str, codec: str, pix_fmt: str) -> None:
    def draw(k: int, size: tuple[int, int]) -> np.ndarray:
        alpha = np.full((size[1], size[0], 1), 255, np.uint8)
        alpha[:, : size[0] // 2] = 64
        return np.concatenate([picture(k, size), alpha], 2)

    extra = {"prores_ks": {"profile": "4"}, "libvpx-vp9": {"auto-alt-ref": "0"}, "libvpx": {"auto-alt-ref": "0"}}
    path = make_clip(
        tmp_path / f"a{suffix}", steady(4), draw=draw, codec=codec, pix_fmt=pix_fmt, metadata={"alpha_mode": "1"},
        options=extra.get(codec, {}),
    )  # fmt: skip
    with open_clip(path) as clip:
        frames = list(clip)
        assert clip.info.has_alpha
    assert [number(f.rgb) for f in frames] == [0, 1, 2, 3]
    for frame in frames:
        assert frame.alpha is not None
        assert abs(int(frame.alpha[:, 4:40].mean()) - 64) < 4
        assert frame.alpha[:, 56:90].min() > 250


# ---- animations and sequences ---------------------------------------------------------------------------------------
@pytest.mark.smoke
def test_82_gif_delays_and_disposal_become_time_stamps(tmp_path: Path) -> None:
    shots = []
    for k in range(3):
        rgba = np.zeros((32, 48, 4), np.uint8)
        rgba[:, 16 * k : 16 * k + 16] = (255, 0, 0, 255)
        shots.append(Image.fromarray(rgba))
    path = tmp_path / "a.gif"
    shots[0].save(path, save_all=True, append_images=shots[1:], duration=[20, 200, 50], disposal=2, loop=0)
    with open_clip(path) as clip:
        frames = list(clip)
        assert clip.info.kind == "animation"
        assert clip.info.duration == Fraction(27, 100)
    assert [f.time for f in frames] == [0, Fraction(1, 50), Fraction(11, 50)]
    for k, frame in enumerate(frames):  # each frame clears the one before
        assert frame.alpha is not None
        seen = frame.alpha[16].reshape(3, 16).mean(1) > 128
        assert seen.tolist() == [j == k for j in range(3)]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
@pytest.mark.smoke
def test_82_animations_of_each_kind(tmp_path: Path, suffix: str) -> None:
    shots = [Image.fromarray(picture(k)) for k in range(4)]
    path = tmp_path / f"a{suffix}"
    extra = {"lossless": True} if suffix == ".webp" else {}
    shots[0].save(path, save_all=True, append_images=shots[1:], duration=[40, 80, 120, 40], **extra)
    numbers, times, clip = read(path)
    assert numbers == [0, 1, 2, 3]
    assert times == [0, Fraction(1, 25), Fraction(3, 25), Fraction(6, 25)]
    numbers, times, _ = read(path, start=Fraction(1, 25), end=Fraction(6, 25))
    assert (numbers, times) == ([1, 2], [0, Fraction(2, 25)])
    assert clip.info.frames == 4


def test_82_delays_that_mean_as_fast_as_possible(tmp_path: Path) -> None:
    shots = [Image.fromarray(picture(k)) for k in range(3)]
    shots[0].save(tmp_path / "a.gif", save_all=True, append_images=shots[1:], duration=0)
    assert read(tmp_path / "a.gif")[1] == steady(3, 10)


def test_65_folder_of_pictures_with_a_gap(tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    kept = [k for k in range(1, 21) if k not in (7, 12, 13)]
    for k in kept:
        Image.fromarray(picture(k)).save(folder / f"take_{k:04d}.png")
    (folder / "notes.txt").write_text("not an image")
    for path in (folder, folder / "take_%04d.png", folder / "take_%d.png"):
        numbers, times, clip = read(path, rate=Fraction(24))
        assert numbers == kept
        assert times == [Fraction(k - 1, 24) for k in kept]  # the gap stays a gap in time
        assert "7, 12-13" in clip.notes[0]
        assert clip.info.duration == Fraction(20, 24)
        assert clip.info.rate == 24


def test_65_sequence_trouble_is_told(tmp_path: Path) -> None:
    for k in range(4):
        Image.fromarray(picture(k)).save(tmp_path / f"{k}.png")
    (tmp_path / "2.png").write_bytes(b"broken")
    numbers, times, clip = read(tmp_path)
    assert numbers == [0, 1, 3]
    assert times[2] == Fraction(3, 25)
    assert "2.png" in clip.problem
    Image.new("RGB", (10, 10)).save(tmp_path / "4.png")
    with pytest.raises(MediaError, match="same size"):
        read(tmp_path)
    (tmp_path / "empty.mp4").mkdir()
    with pytest.raises(MediaError, match="no images"):
        open_clip(tmp_path / "empty.mp4")
    with pytest.raises(MediaError, match="no images"):
        open_clip(tmp_path / "none_%03d.png")


def test_65_describe_gaps() -> None:
    assert describe_gaps([1, 2, 3]) == ""
    assert describe_gaps([1, 3, 7]) == "2, 4-6"
    assert describe_gaps(list(range(0, 40, 2))).endswith("and 11 more")


def test_still_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(picture(5)).save(tmp_path / "it's %04d.jpg")
    numbers, times, clip = read(tmp_path / "it's %04d.jpg")
    assert (numbers, times, clip.info.kind) == ([5], [0], "image")


# ---- trouble --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name", ["-x.mp4", 'a"$(touch pwned)b.mp4', "50%25.mp4", "a:b c.mp4", "it's [odd] %04d é照片😀.mp4", "`id`.mkv"]
)
def test_44_awkward_names_of_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "plain.mp4", steady(5)).rename(tmp_path / name)
    assert read(Path(name))[0] == list(range(5))
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_empty_text_and_sound_only_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_bytes(b"this is not a video\n" * 40)
    (tmp_path / "text.txt").write_bytes(b"this is not a video\n" * 40)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        track: Any = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        for part in av.AudioResampler("fltp", "mono", 48000, frame_size=1024).resample(frame):
            container.mux(track.encode(part))
        container.mux(track.encode(None))
    for name, words in {
        "zero.mp4": "0 bytes", "text.mp4": "not a clip", "text.txt": "contains no video",
        "list.m3u8": "no video|not a clip",
        "sound.mp4": "only sound", "none.mp4": "does not exist",
    }.items():  # fmt: skip
        with pytest.raises(MediaError, match=words) as error:
            open_clip(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.smoke
def test_28_truncated_clips(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", steady(80))
    (tmp_path / "lost.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"lost\.mp4"):
        open_clip(tmp_path / "lost.mp4")
    whole = make_clip(tmp_path / "whole.mkv", steady(80))
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    numbers, times, clip = read(tmp_path / "cut.mkv")
    assert 20 < len(numbers) < 80
    assert numbers == list(range(len(numbers)))
    assert f"is truncated after {float(times[-1]) + 0.04:.2f} s of 3.20 s ({len(numbers)} frames)" in clip.problem
    assert not read(tmp_path / "whole.mkv")[2].problem


def test_28_index_first_clip_that_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "fast.mp4"
    make_clip(tmp_path / "a.mp4", steady(80))
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    numbers, _, clip = read(path)
    assert 5 < len(numbers) < 80
    assert "is truncated" in clip.problem


def test_damaged_clip_is_read_on_and_told(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "d.mp4", steady(80))
    data = bytearray(path.read_bytes())
    for spot in np.random.default_rng(1).integers(len(data) // 4, len(data) // 2, 60):
        data[int(spot)] ^= 0xFF
    path.write_bytes(data)
    _, times, clip = read(path)
    assert len(times) > 20
    assert "damaged" in clip.problem or "is truncated" in clip.problem
    assert all(b > a for a, b in pairwise(times))


def test_sound_longer_than_the_picture_is_no_problem(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        path = make_clip(tmp_path / f"s{suffix}", steady(25), sound=[0.5], sound_seconds=2.5)
        assert not read(path)[2].problem


@pytest.mark.smoke
def test_raw_stream_without_time_stamps(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "raw.h264", steady(20), format="h264")
    numbers, times, _ = read(path)
    assert numbers == list(range(20))
    assert all(b > a for a, b in pairwise(times))


def test_cover_picture_of_music_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream("libmp3lame", rate=44100, layout="mono")
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        shot = av.VideoFrame.from_ndarray(picture(1, (64, 64)), format="rgb24").reformat(format="yuvj420p")
        shot.pts = 0
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        packets = [*cover.encode(shot), *cover.encode(None)]
        for part in av.AudioResampler("s16p", "mono", 44100, frame_size=1152).resample(frame):
            packets += track.encode(part)
        container.mux(packets + track.encode(None))
    with pytest.raises(MediaError, match="only sound"):
        open_clip(path)


class TestClock:
    def test_missing_and_double_stamps(self) -> None:
        clock = Clock(Fraction(25), Fraction(1, 1000))
        stamps = [Fraction(0), None, Fraction(80, 1000), Fraction(80, 1000), Fraction(120, 1000)]
        assert [clock(s) for s in stamps] == [0, Fraction(1, 25), Fraction(2, 25), Fraction(81, 1000), Fraction(3, 25)]

    def test_negative_first_stamp_becomes_zero(self) -> None:
        clock = Clock(Fraction(25), Fraction(1, 25))
        assert [clock(Fraction(k - 3, 25)) for k in range(4)] == steady(4)

    def test_time_line_that_starts_over_goes_on(self) -> None:
        clock = Clock(Fraction(25), Fraction(1, 25))
        stamps = [*steady(50), *steady(50)]
        assert [clock(s) for s in stamps] == steady(100)

    def test_rounded_stamps_return_to_the_grid_but_others_stay(self) -> None:
        clock = Clock(NTSC, Fraction(1, 1000))
        exact = steady(100, NTSC)
        assert [clock(Fraction(round(t * 1000), 1000)) for t in exact] == exact
        clock = Clock(NTSC, Fraction(1, 1000), Fraction(0))
        assert clock(Fraction(50, 1000)) == Fraction(50, 1000)

    def test_always_rising(self) -> None:
        rng = np.random.default_rng(3)
        clock = Clock(NTSC, Fraction(1, 1000))
        times = [clock(None if r > 0.8 else Fraction(int(r * 3000), 1000)) for r in rng.random(500)]
        assert all(b > a for a, b in pairwise(times))


def test_no_thread_outlives_a_half_read_clip(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", steady(60))
    before = threading.active_count()
    for _ in range(5):
        with open_clip(path) as clip:
            next(iter(clip))
    assert threading.active_count() == before


# ---- media kit ------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_kit_every_entry_behaves(kit: tuple[Path, list[dict[str, Any]]]) -> None:
    from app.media.images import read_image

    folder, entries = kit
    wrong = []
    for entry in entries:
        path = folder / entry["file"]
        refusable = entry["expect"] in ("bad_input", "either")
        try:
            if entry["kind"] == "photo" or path.suffix == ".jpg":
                shape = read_image(path).rgb.shape
                if entry["file"].startswith("exif_") and shape != (480, 320, 3):
                    wrong.append(f"{path.name}: {shape}")
            else:
                wrong += check_clip(path, entry)
        except AppError as error:
            if not refusable or "\n" in str(error):
                wrong.append(f"{path.name}: {error}")
        else:
            if entry["expect"] == "bad_input":
                wrong.append(f"{path.name}: accepted")
    assert not wrong, "\n".join(wrong)


def check_clip(path: Path, entry: dict[str, Any]) -> list[str]:
    with open_clip(path) as clip:
        frames = [(f.time, f.rgb.shape[1::-1]) for f in clip]
        info = clip.info
    wrong = []
    if "frames" not in entry:  # a broken one that is read as far as it goes
        return [] if clip.problem else [f"{path.name}: no problem told"]
    if len(frames) != entry["frames"] or clip.problem:
        wrong.append(f"{path.name}: {len(frames)} frames, {clip.problem}")
    if [info.width, info.height] != entry["size"] or any(s != (info.width, info.height) for _, s in frames):
        wrong.append(f"{path.name}: size {info.width}x{info.height}")
    if info.rotation != entry["rotation"]:
        wrong.append(f"{path.name}: rotation {info.rotation}")
    if entry["rate"] == "vfr":
        ticks = [0]
        while len(ticks) < len(frames):
            ticks.append(ticks[-1] + (20, 40, 60, 40)[len(ticks) % 4])
        wanted = [Fraction(t, 1000) for t in ticks]
    else:
        wanted = steady(len(frames), Fraction(entry["rate"]))
        if info.rate != Fraction(entry["rate"]):
            wrong.append(f"{path.name}: rate {info.rate}")
    if [t for t, _ in frames] != wanted:
        wrong.append(f"{path.name}: times")
    if bool(entry["sound"]) != info.has_audio:
        wrong.append(f"{path.name}: sound")
    return wrong


def test_broken_bytes_never_crash(tmp_path: Path) -> None:
    shots = [Image.fromarray(picture(k)) for k in range(3)]
    wholes = [
        make_clip(tmp_path / f"a{suffix}", steady(10), sound=[0.1], sound_codec=sound, codec=codec)
        for suffix, codec, sound in [
            (".mp4", "libx264", "aac"),
            (".mkv", "libx264", "libopus"),
            (".avi", "mpeg4", "libmp3lame"),
            (".ts", "libx264", "aac"),
        ]
    ]
    for suffix in (".gif", ".png", ".webp", ".tif", ".bmp", ".jpg"):
        wholes.append(tmp_path / f"a{suffix}")
        many = {"save_all": True, "append_images": shots[1:]} if suffix in (".gif", ".png", ".webp") else {}
        shots[0].save(wholes[-1], **many)
    rng = np.random.default_rng(7)
    outcomes = {"read": 0, "refused": 0, "babble": 0}
    for k in range(400):
        whole = wholes[k % len(wholes)]
        data = bytearray(whole.read_bytes())
        if k % 3:
            for spot in rng.integers(0, len(data), (1, 5, 40)[int(rng.integers(0, 3))]):
                data[int(spot)] ^= 1 << int(rng.integers(0, 8))
        else:
            data = data[: int(rng.integers(1, len(data)))]
        path = tmp_path / f"broken{whole.suffix}"
        path.write_bytes(data)
        try:
            with open_clip(path) as clip:
                times = [f.time for f in clip]
            assert all(b > a for a, b in pairwise(times))
            outcomes["read"] += 1
        except AppError as error:
            outcomes["refused" if "\n" not in str(error) else "babble"] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 20
    assert not outcomes["babble"]
