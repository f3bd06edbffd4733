"""Containers with more in them than one clip: attachments, covers, turns on the way, edit lists, sound at the end."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from media_clips import beep_onsets, beeps, make_clip, number, packet_times, picture, steady
from PIL import Image

from app.errors import MediaError, MissingError
from app.media import heif
from app.media.audio import AudioSource
from app.media.images import read_image
from app.media.reader import open_clip
from app.media.writer import ClipWriter


def _png(size: tuple[int, int] = (640, 640)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def _copy_sound(source: Path, target: Path) -> None:
    """The frames of a clip with its sound into another file."""
    with open_clip(source) as clip:
        info = clip.info
        sound = AudioSource.of_part(clip)
        with ClipWriter(target, (info.width, info.height), info.rate, audio=sound, hardware="none") as writer:
            for frame in clip:
                writer.write(frame.rgb, frame.time)
            writer.finish()


def _packets(path: Path) -> tuple[list[Any], list[Any]]:
    """Video and sound packets of a clip of 25 frames with beeps, not muxed yet; the path is where they came from."""
    made = make_clip(path, steady(25), sound=[0.2, 0.7])
    with av.open(str(made)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        found = [packet for packet in container.demux(video, sound) if packet.size]
        return [p for p in found if p.stream.type == "video"], [p for p in found if p.stream.type == "audio"]


@pytest.mark.parametrize("kinds", [("font",), ("cover",), ("font", "cover", "text")], ids=" ".join)
def test_attachments_of_a_matroska_file_are_no_tracks(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    """Fonts of subtitles and a cover larger than the clip: neither is read, and the sound is found."""
    files = {
        "font": ("a.ttf", "application/x-truetype-font", b"\0\1\0\0" + bytes(64)),
        "cover": ("cover.png", "image/png", _png()),
        "text": ("read me.txt", "text/plain", b"hello"),
    }
    path, plain = tmp_path / "a.mkv", make_clip(tmp_path / "plain.mkv", steady(25), sound=[0.2, 0.7])
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in (*source.streams.video, *source.streams.audio)}
        for kind in kinds:
            out.add_attachment(*files[kind])
        for packet in source.demux(*source.streams.video, *source.streams.audio):
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    with open_clip(path) as clip:
        assert (clip.info.width, clip.info.height, clip.info.has_audio) == (96, 64, True)
        assert [number(f.rgb) for f in clip] == list(range(25))
        assert not clip.problem
    _copy_sound(path, tmp_path / "out.mp4")
    assert [round(t, 1) for t in beep_onsets(tmp_path / "out.mp4")] == [0.2, 0.7]


@pytest.mark.parametrize("flag", [Disposition.attached_pic, Disposition.default, Disposition(0)], ids=str)
@pytest.mark.parametrize("first", [True, False], ids=["before the clip", "behind it"])
@pytest.mark.parametrize("codec", ["mjpeg", "png"])
def test_a_cover_in_an_mp4_is_no_clip(tmp_path: Path, codec: str, first: bool, flag: Disposition) -> None:
    """Also where the file does not say that it is a cover, and where it is larger than the clip."""
    path, pix = tmp_path / "a.mp4", "yuvj420p" if codec == "mjpeg" else "rgb24"
    with av.open(str(path), "w") as out:

        def add_cover() -> Any:
            cover: Any = out.add_stream(codec, rate=25)
            cover.width, cover.height, cover.pix_fmt, cover.disposition = 640, 640, pix, flag
            return cover

        cover = add_cover() if first else None
        video: Any = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "12"}
        cover = cover or add_cover()
        shot = av.VideoFrame.from_ndarray(np.full((640, 640, 3), 90, np.uint8), format="rgb24").reformat(format=pix)
        shot.pts, shot.time_base = 0, Fraction(1, 25)
        packets = [*cover.encode(shot), *cover.encode(None)]
        for k in range(10):
            frame = av.VideoFrame.from_ndarray(picture(k), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            packets += video.encode(frame)
        for packet in [*packets, *video.encode(None)]:
            out.mux(packet)
    with open_clip(path) as clip:
        assert (clip.info.width, clip.info.height) == (96, 64)
        assert [number(f.rgb) for f in clip] == list(range(10))


def _turned(path: Path, degrees: list[int]) -> Path:
    """A stream of 5 frames for each turn, told by the pictures themselves (display orientation of H.264)."""
    parts = []
    for degree in degrees:
        plain = make_clip(tmp := path.with_name(f"part{degree}.ts"), steady(5))
        with av.open(str(plain)) as source, av.open(str(tmp.with_suffix(".h264")), "w") as out:
            stream = source.streams.video[0]
            target = out.add_stream_from_template(stream)
            turn = av.BitStreamFilterContext(
                f"h264_metadata=display_orientation=insert:rotate={degree}" if degree else "null", stream
            )
            for packet in source.demux(stream):
                for one in turn.filter(packet if packet.size else None):
                    one.stream = target
                    out.mux(one)
        parts.append(tmp.with_suffix(".h264").read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def test_a_clip_that_is_turned_on_the_way_stays_upright(tmp_path: Path) -> None:
    with open_clip(_turned(tmp_path / "a.h264", [0, 90, 180])) as clip:
        frames = [f.rgb for f in clip]
        assert any("changes its size" in note for note in clip.notes)
    assert {f.shape for f in frames} == {(64, 96, 3)}
    assert len(frames) == 15
    ramps = [float(np.diff(f[40].mean(-1)[10:-10]).mean()) for f in frames]  # the ramp at the foot rises to the right
    assert min(ramps[:5]) > 0.5
    upright = picture(2)
    assert np.abs(frames[2].astype(int) - upright).mean() < 8
    assert np.abs(frames[12].astype(int) - upright[::-1, ::-1]).mean() < 8
    edge = (96 - round(64 * 64 / 96)) // 2  # of the upright picture, between black bars
    assert frames[7][:, : edge - 1].max() < 30
    assert frames[7][:, edge + 2 : -edge - 2].mean() > 40


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("cut", [1, 7])
def test_what_an_edit_list_cuts_off_is_not_shown(tmp_path: Path, suffix: str, cut: int) -> None:
    """Frames before 0 are decoded and not shown; the sound is in step with the first one that is."""
    path = tmp_path / f"a{suffix}"
    video, sound = _packets(tmp_path / "plain.mp4")
    with av.open(str(tmp_path / "plain.mp4")) as source, av.open(str(path), "w", options={"use_editlist": "1"}) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux(*source.streams):
            if packet.size:
                shift = round(Fraction(cut, 25) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    assert video
    assert sound
    with open_clip(path) as clip:
        numbers, times = zip(*((number(f.rgb), f.time) for f in clip), strict=True)
        assert list(numbers) == list(range(cut, 25))
        assert list(times) == steady(25 - cut)
        assert not clip.problem
    _copy_sound(path, tmp_path / "out.mp4")
    shift = cut / 25
    expected = [t - shift for t in (0.2, 0.7) if t > shift]
    found = beep_onsets(tmp_path / "out.mp4")
    assert len(found) == len(expected)
    assert all(abs(a - b) < 0.03 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("suffix", [".mkv", ".nut"])
def test_sound_behind_the_whole_picture_is_in_step(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w", options={"max_interleave_delta": "1"}) as out:
        video: Any = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "12"}
        track: Any = out.add_stream("pcm_s16le", rate=48000, layout="mono")
        for k in range(25):
            frame = av.VideoFrame.from_ndarray(picture(k), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        wave = av.AudioFrame.from_ndarray(beeps(48000, 1.0, [0.2, 0.7]), format="fltp", layout="mono")
        wave.sample_rate, wave.pts = 48000, 0
        for part in av.AudioResampler("s16", "mono", 48000, frame_size=4800).resample(wave):
            out.mux(track.encode(part))
        out.mux(track.encode(None))
    with av.open(str(path)) as container:
        kinds = [p.stream.type for p in container.demux() if p.size]
    assert kinds.index("audio") >= 24, "the sound was to lie behind the image"
    _copy_sound(path, tmp_path / "out.mp4")
    assert [round(t, 1) for t in beep_onsets(tmp_path / "out.mp4")] == [0.2, 0.7]
    assert packet_times(tmp_path / "out.mp4")[0] == steady(25)


# ---- HEIC -----------------------------------------------------------------------------------------------------------


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data) + 8, kind) + data


def _boxes(data: bytes) -> dict[bytes, tuple[int, bytes]]:
    """Kind of each outer box -> where it begins, and the whole of it."""
    at, found = 0, {}
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found[kind] = at, data[at : at + size]
        at += size
    return found


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An MP4 of 6 frames with HEVC, as the track of a HEIC sequence holds them."""
    if "libx265" not in av.codecs_available:
        pytest.skip("this FFmpeg has no HEVC encoder")
    quick = {"preset": "ultrafast", "x265-params": "log-level=none:crf=12"}
    path = make_clip(
        tmp_path_factory.mktemp("track") / "a.mp4", steady(6), codec="libx265", options=quick, size=(128, 96)
    )
    return path.read_bytes().replace(b"hev1", b"hvc1").replace(b"vide", b"pict", 1)


@pytest.mark.parametrize(
    ("major", "suffix"), [(b"hevc", ".heic"), (b"msf1", ".heif"), (b"mif1", ".heic"), (b"hevc", ".jpg")]
)
def test_a_heic_sequence_plays(tmp_path: Path, track: bytes, major: bytes, suffix: str) -> None:
    """Without pillow-heif too: a driver moves, of a source the first picture counts."""
    boxes = _boxes(track)
    head = _box(b"ftyp", major + bytes(4) + b"msf1hevciso8")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(head + track[len(boxes[b"ftyp"][1]) :])
    assert len(head) == len(boxes[b"ftyp"][1])  # so that offsets hold
    assert heif.is_sequence(path)
    assert not heif.has_still(path)
    for film in (True, False):
        with open_clip(path, film=film) as clip:
            assert (clip.info.kind, clip.info.frames) == ("animation", 6)
            assert [number(f.rgb) for f in clip] == list(range(6))
            assert [f.time for f in clip] == steady(6)


def _still_and_track(path: Path, still: bytes, track: bytes) -> Path:
    """A HEIC with a still and a track: its boxes with the offsets in them moved."""
    own, film = _boxes(still), _boxes(track)
    meta, moov = bytearray(own[b"meta"][1]), bytearray(film[b"moov"][1])
    pixels = own[b"mdat"][0] + 8
    at = meta.index(struct.pack(">I", pixels))
    struct.pack_into(">I", meta, at, pixels + len(moov))
    at = moov.index(b"stco") + 8
    moved = len(still) + len(moov) - film[b"mdat"][0]
    for k in range(struct.unpack_from(">I", moov, at)[0]):
        offset = struct.unpack_from(">I", moov, at + 4 + 4 * k)[0]
        struct.pack_into(">I", moov, at + 4 + 4 * k, offset + moved)
    path.write_bytes(own[b"ftyp"][1] + bytes(meta) + bytes(moov) + own[b"mdat"][1] + film[b"mdat"][1])
    return path


def _heic(path: Path, count: int = 1) -> Path:
    plugin = pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif")
    plugin.register_heif_opener()
    first, *others = (Image.fromarray(picture(40 + k, (128, 96))) for k in range(count))
    try:
        first.save(path, save_all=True, append_images=others, quality=90)
    except (OSError, RuntimeError) as error:
        pytest.skip(f"this pillow-heif writes no HEIC: {error}")
    return path


def test_a_heic_with_a_still_and_a_sequence(tmp_path: Path, track: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _still_and_track(tmp_path / "a.heic", _heic(tmp_path / "still.heic").read_bytes(), track)
    with open_clip(path, film=True) as clip:
        assert [number(f.rgb) for f in clip] == list(range(6))
    with open_clip(path) as clip:
        assert [number(f.rgb) for f in clip] == [40]
        assert clip.notes == [f"{path} is a HEIC sequence; only its still is used. As a driving file it would play."]
    monkeypatch.setattr("app.media.video.VideoReader", _damaged)
    with open_clip(path, film=True) as clip:
        assert "only its still is used" in clip.notes[0]


def _damaged(*_: object) -> None:
    raise MediaError("The track is damaged.")


@pytest.mark.parametrize("film", [True, False])
def test_a_heic_with_several_pictures_says_which_one_is_used(tmp_path: Path, film: bool) -> None:
    path = _heic(tmp_path / "a.heic", 3)
    with open_clip(path, film=film) as clip:
        assert [number(f.rgb) for f in clip] == [40]
        assert clip.notes == [f"{path} contains 3 images; only the main one is used."]
    with open_clip(_heic(tmp_path / "b.heic"), film=film) as clip:
        assert not clip.notes


def test_a_tiff_with_several_pages_says_which_one_is_used(tmp_path: Path) -> None:
    pages = [Image.fromarray(picture(k)) for k in (9, 10)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with open_clip(tmp_path / "a.tif") as clip:
        assert [number(f.rgb) for f in clip] == [9]
        assert "contains 2 images; only the main one is used" in clip.notes[0]


@pytest.mark.parametrize("size", [8, 16, 0, 1, 5, 2**31])
def test_odd_boxes_of_a_heic_end_the_search(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(_box(b"ftyp", b"heic" + bytes(4)) + struct.pack(">I4s", size, b"abcd") + bytes(30))
    assert not heif.is_sequence(path)
    assert not heif.is_sequence(tmp_path / "none.heic")
    with pytest.raises((MediaError, MissingError)):  # without pillow-heif it is what is missing
        open_clip(path, film=True)


# ---- camera raws ----------------------------------------------------------------------------------------------------


def _tiff(order: str, *entries: tuple[int, int, int], below: tuple[tuple[int, int, int], ...] = ()) -> bytes:
    """A TIFF of (tag, kind, value) entries, with a second directory that the last entry may name."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    at = 8 + 2 + 12 * (len(entries) + bool(below)) + 4
    rows = [*entries, *([(330, 4, at)] if below else [])]
    out = mark + struct.pack(order + "I", 8)
    for table in (rows, below):
        if table:
            out += struct.pack(order + "H", len(table))
            for tag, kind, value in table:
                out += struct.pack(order + "HHI", tag, kind, 1)
                out += struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
            out += bytes(4)
    return out + bytes(64)


PREVIEW = ((254, 4, 1), (256, 3, 160), (257, 3, 120), (262, 3, 6))  # what programs that do not know raws would show
SENSOR = ((254, 4, 0), (256, 3, 6000), (257, 3, 4000), (262, 3, 32803))
RAWS = {
    "canon.cr2": b"II*\0\x10\0\0\0CR\2\0" + bytes(60),
    "canon.cr3": _box(b"ftyp", b"crx " + bytes(4) + b"crx isom") + bytes(60),
    "canon.crw": b"II\x1a\0\0\0HEAPCCDR" + bytes(60),
    "fuji.raf": b"FUJIFILMCCD-RAW 0201" + bytes(60),
    "olympus.orf": b"IIRO\x08\0\0\0" + bytes(60),
    "olympus old.orf": b"MMOR\0\0\0\x08" + bytes(60),
    "panasonic.rw2": b"IIU\0\x18\0\0\0" + bytes(60),
    "sigma.x3f": b"FOVb\0\0\2\0" + bytes(60),
    "minolta.mrw": b"\0MRM\0\0\0\0" + bytes(60),
    "phase one.iiq": b"II*\0\x10\0\0\0IIIITwaR" + bytes(60),
    "phase one big.iiq": b"MM\0*\0\0\0\x10MMMMRawT" + bytes(60),
    "nikon.nef": _tiff("<", *PREVIEW, below=SENSOR),
    "sony.arw": _tiff("<", *PREVIEW, below=SENSOR),
    "pentax.pef": _tiff(">", *SENSOR),
    "samsung.srw": _tiff("<", *SENSOR),
    "kodak.dcr": _tiff(">", *PREVIEW, below=SENSOR),
    "adobe.dng": _tiff("<", *PREVIEW, (50706, 4, 0x00000401)),
    "linear.dng": _tiff("<", *PREVIEW, below=((262, 3, 34892),)),
}


@pytest.mark.parametrize("name", RAWS)
@pytest.mark.parametrize("suffix", ["", ".tif", ".jpg", ".mp4"], ids=["own name", "tif", "jpg", "mp4"])
def test_camera_raws_are_refused_by_content(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / (Path(name).stem + suffix if suffix else name)
    path.write_bytes(RAWS[name])
    for use in (read_image, open_clip, lambda p: open_clip(p, film=True)):
        with pytest.raises(MediaError, match="is a camera raw file, of which only a small preview could be read"):
            use(path)


def test_plain_tiffs_are_no_raws(tmp_path: Path) -> None:
    for mode in ("RGB", "L", "CMYK"):
        Image.new(mode, (40, 30)).save(tmp_path / "a.tif")
        assert read_image(tmp_path / "a.tif").width == 40
