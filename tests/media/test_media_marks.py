"""Marks in metadata: every kind of output carries them, keeps its other properties, and tells nothing of its inputs."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_clips import SIZE, picture
from PIL import Image

from app.cli import main as cli
from app.media.audio import AudioSource
from app.media.images import WRITABLE, read_image
from app.media.reader import open_clip
from app.media.streams import Pipe
from app.media.writer import ClipWriter
from app.provenance import xmp
from app.provenance.inspect import inspect
from app.provenance.mark import OFF, SOURCE_TYPE, Marking, tool

CLIPS = ("a.mp4", "a.m4v", "a.mov", "a.mkv", "a.webm", "a.gif")
STILLS = ("a.png", "a.jpg", "a.webp", "a.tif")
SERIES = ("shot-%03d.png", "shot-%03d.jpg", "shot-%03d.webp", "shot-%03d.tif", "folder")
METADATA = Marking("metadata")


def write(path: Path, count: int = 3, marking: Marking = METADATA, **options: Any) -> ClipWriter:
    with ClipWriter(path, SIZE, Fraction(25), hardware="none", marking=marking, **options) as writer:
        for k in range(count):
            writer.write(picture(k, SIZE))
        writer.finish()
    return writer


def written(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.parent.rglob("*.*") if p.is_file())


@pytest.mark.parametrize("name", [*CLIPS, *STILLS, *SERIES])
def test_every_kind_of_output_says_what_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path, 1 if name in STILLS else 3)
    found = [inspect(file).metadata for file in written(path)]
    assert len(found) == (3 if name in SERIES else 1)
    assert {(one.source_type, one.tool) for one in found} == {(SOURCE_TYPE, tool())}
    with open_clip(path) as clip:
        assert len(list(clip)) == (1 if name in STILLS else 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.png", "a.jpg"])
def test_off_says_nothing_but_one_sentence_about_the_law(tmp_path: Path, name: str) -> None:
    writer = write(tmp_path / name, 1, Marking("off"))
    assert writer.notes.count(OFF) == 1
    assert not inspect(tmp_path / name).marked
    assert b"lgorithmicMedia" not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_pixels_are_those_of_an_unmarked_picture(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, 1)
    (tmp_path / "plain").mkdir()
    write(tmp_path / "plain" / name, 1, Marking("off"))
    assert np.array_equal(read_image(tmp_path / name).rgb, read_image(tmp_path / "plain" / name).rgb)


def test_mp4_still_starts_fast_and_holds_one_box_more(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write(path)
    data, at, kinds = path.read_bytes(), 0, []
    while at < len(data):
        kinds.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    assert at == len(data)
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    assert kinds.count(b"uuid") == 1
    with av.open(str(path)) as clip:
        assert "AI" in clip.metadata["comment"]


@pytest.mark.parametrize("name", ["x.mp4", "x.gif"])
def test_a_pipe_gets_the_same_marks(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    write(Path(name), pipe=Pipe(stream))
    kept = tmp_path / name
    kept.write_bytes(stream.getvalue())
    assert inspect(kept).marked
    with open_clip(kept) as clip:
        assert len(list(clip)) == 3


def test_a_gif_from_a_pipe_is_whole_without_marks() -> None:
    stream = io.BytesIO()
    write(Path("x.gif"), marking=Marking("off"), pipe=Pipe(stream))
    assert stream.getvalue().endswith(xmp.GIF_END)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_private_tags_of_the_driver_are_not_copied(tmp_path: Path, name: str) -> None:
    """Place, device and serial number of a clip whose sound is taken over stay where they are."""
    driver = tmp_path / "driver.mp4"
    with av.open(str(driver), "w", options={"movflags": "use_metadata_tags"}) as out:
        out.metadata.update({"location": "+52.5200+013.4050/", "make": "Acme", "serial_number": "SN-4711-PRIVATE"})
        video: Any = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sound: Any = out.add_stream("aac", rate=48000)
        sound.metadata["title"] = "SN-4711-PRIVATE"
        for _ in range(5):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
        quiet = av.AudioFrame.from_ndarray(np.zeros((2, 9600), np.float32), "fltp", "stereo")
        quiet.sample_rate = 48000
        out.mux([*sound.encode(quiet), *video.encode(None), *sound.encode(None)])
    assert b"SN-4711" in driver.read_bytes()
    write(tmp_path / name, audio=AudioSource(driver))
    data = (tmp_path / name).read_bytes()
    assert not [word for word in (b"SN-4711", b"+52.52", b"Acme") if word in data]


def test_private_tags_of_a_photo_are_not_copied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0xA431] = "SN-4711-PRIVATE"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    exif[0x0112] = 6  # stands on its side
    Image.fromarray(picture(1, SIZE)).save(tmp_path / "photo.jpg", exif=exif)
    shown = read_image(tmp_path / "photo.jpg")
    assert (shown.width, shown.height) == SIZE[::-1]
    with ClipWriter(tmp_path / "out.jpg", SIZE[::-1], Fraction(25), marking=METADATA) as writer:
        writer.write(shown.rgb)
        writer.finish()
    with Image.open(tmp_path / "out.jpg") as image:
        assert not dict(image.getexif())
    assert b"SN-4711" not in (tmp_path / "out.jpg").read_bytes()
    assert set(WRITABLE.values()) == {"PNG", "JPEG", "WEBP", "TIFF", "BMP"}  # BMP alone has no place for a mark


def test_inspect_tells_marked_from_unmarked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.mp4")
    write(tmp_path / "b.png", 1, Marking("off"))
    assert cli.main(["inspect", str(tmp_path / "a.mp4")]) == 0
    assert tool() in capsys.readouterr().out
    assert cli.main(["inspect", str(tmp_path / "b.png"), "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["marked"], told["metadata"]["ai"]) == (False, False)
    (tmp_path / "c.txt").write_text("words")
    assert cli.main(["inspect", str(tmp_path / "c.txt")]) == 4
    assert cli.main(["inspect", str(tmp_path / "none.mp4")]) == 1


@pytest.mark.parametrize("damage", [b"", b"GIF89a", b"\0\0\0\x08ftyp", b"\0\0\0\x01ftyp\0\0\0\0\0\0\0\x01uuid"])
def test_damaged_files_hold_no_packet(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(damage)
    assert xmp.read_packet(path) == ""
