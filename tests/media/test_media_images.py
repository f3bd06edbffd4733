"""Still pictures: every kind of file opens as 8-bit upright RGB or is refused with one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from app.errors import MediaError, MissingError, UsageError
from app.media import images, libtiff
from app.media.images import flatten, is_image, read_image, write_image
from app.media.reader import open_clip
from models.installation import install_hint


@pytest.fixture
def face(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[:200:2, :160:2])


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize("tag", range(1, 9))
def test_40_photo_orientation_is_applied_once(tmp_path: Path, face: np.ndarray, tag: int) -> None:
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[tag]
    stored = Image.fromarray(face)
    stored = stored if undo is None else stored.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = tag
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png").rgb, face)


def test_71_grey_16_bit_cmyk_and_palette_open_as_rgb(tmp_path: Path, face: np.ndarray) -> None:
    image = Image.fromarray(face)
    grey = np.array(image.convert("L"))
    save = {
        "grey.png": image.convert("L"),
        "grey_alpha.png": image.convert("LA"),
        "bit.png": image.convert("1"),
        "palette.png": image.quantize(64),
        "grey16.png": Image.fromarray(grey.astype(np.uint16) * 257),
    }
    for name, picture in save.items():
        picture.save(tmp_path / name)
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    deep = cv2.imencode(".png", (face.astype(np.uint16) * 257)[..., ::-1])[1]
    (tmp_path / "deep.png").write_bytes(deep.tobytes())
    deep = cv2.imencode(".tiff", (face.astype(np.uint16) * 257)[..., ::-1])[1]
    (tmp_path / "deep.tif").write_bytes(deep.tobytes())
    real = cv2.imencode(".tiff", (face.astype(np.float32) / 255)[..., ::-1])[1]
    (tmp_path / "float.tif").write_bytes(real.tobytes())
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "float_grey.tiff")
    for name in [*save, "cmyk.jpg", "deep.png", "deep.tif", "float.tif", "float_grey.tiff"]:
        got = read_image(tmp_path / name).rgb
        assert (got.dtype, got.shape) == (np.uint8, face.shape), name
        if name == "bit.png":
            assert set(np.unique(got)) == {0, 255}
            continue
        wanted = np.repeat(grey[..., None], 3, 2) if "grey" in name else face
        assert difference(got, wanted) < {"palette.png": 8, "cmyk.jpg": 4}.get(name, 1), name


@pytest.mark.smoke
def test_71_dark_16_bit_picture_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 200, np.uint16)).save(tmp_path / "dark.png")
    assert read_image(tmp_path / "dark.png").rgb.max() == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [("zero.jpg", b""), ("text.jpg", b"this is no image\n" * 20), ("page.png", b"<html>404</html>")],
)
@pytest.mark.smoke
def test_71_broken_pictures_give_one_line_with_the_path(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError) as error:
        read_image(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    assert not is_image(tmp_path / name)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif"])
def test_71_truncated_pictures_are_refused(tmp_path: Path, face: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(MediaError, match="cut"):
        read_image(path)


def test_71_one_pixel_folder_missing_and_unreadable(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "dot.png")
    assert read_image(tmp_path / "dot.png").rgb.tolist() == [[[1, 2, 3]]]
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(MediaError, match="is a folder"):
        read_image(tmp_path / "folder.jpg")
    with pytest.raises(MediaError, match="does not exist"):
        read_image(tmp_path / "none.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are a Unix thing")
def test_a_pipe_is_no_empty_file(tmp_path: Path) -> None:
    """As with `animate photo.jpg <(...)`: the name is right, the file is not empty, and nobody waits for it."""
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path(os.devnull)):
        with pytest.raises(MediaError, match=r"is a pipe or a device, not a file. Save it as a file first."):
            open_clip(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_71_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "locked.png"
    Image.new("RGB", (4, 4)).save(path)
    path.chmod(0)
    with pytest.raises(MediaError, match="permission"):
        read_image(path)


def test_71_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    buffer = io.BytesIO()
    Image.new("1", (10, 10)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(MediaError, match="million pixels"):
        read_image(path)


def test_59_alpha_is_kept(tmp_path: Path, face: np.ndarray) -> None:
    alpha = np.zeros(face.shape[:2], np.uint8)
    cv2.circle(alpha, (40, 40), 30, 255, -1)
    Image.fromarray(np.dstack([face, alpha])).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, alpha)
    assert np.array_equal(picture.rgb, face)
    palette = Image.fromarray(face).quantize(16)
    palette.save(tmp_path / "p.png", transparency=3)
    picture = read_image(tmp_path / "p.png")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, np.array(palette) == 3)
    Image.fromarray(face).save(tmp_path / "key.png", transparency=tuple(int(v) for v in face[0, 0]))
    keyed = read_image(tmp_path / "key.png")
    assert keyed.alpha is not None
    assert keyed.alpha[0, 0] == 0


def test_59_flattening_leaves_no_black_fringe() -> None:
    rgb = np.full((1, 256, 3), 255, np.uint8)  # white everywhere: any fringe would be darker
    alpha = np.arange(256, dtype=np.uint8)[None]
    assert flatten(rgb, alpha).min() == 255
    assert flatten(rgb, alpha, (10, 20, 30))[0, 0].tolist() == [10, 20, 30]
    assert flatten(rgb, None) is rgb


def test_74_heic_without_the_plugin_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert is_image(path)
    with pytest.raises(MissingError, match="pillow-heif") as told:
        read_image(path)
    assert told.value.hint == f"{install_hint('heif').rstrip('.')}. Or export the photo as JPEG."


def test_74_avif_opens(tmp_path: Path, face: np.ndarray) -> None:
    path = tmp_path / "photo.avif"
    exif = Image.Exif()
    exif[0x0112] = 6
    try:
        Image.fromarray(face).transpose(Image.Transpose.ROTATE_90).save(path, quality=90, exif=exif)
    except (OSError, KeyError):
        pytest.skip("this Pillow writes no AVIF")
    got = read_image(path).rgb
    assert got.shape == face.shape
    assert difference(got, face) < 8


def test_74_avif_that_pillow_cannot_read_names_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.avif"
    path.write_bytes(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(100))
    monkeypatch.setattr(images, "FORMATS", tuple(f for f in images.FORMATS if f != "AVIF"))
    with pytest.raises(MissingError, match=r'install.* "pillow>=11.3"'):
        read_image(path)


@pytest.mark.smoke
def test_colour_profile_becomes_srgb(tmp_path: Path) -> None:
    # a profile with other primaries: sRGB with its red and green swapped
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    tags = {bytes(profile[132 + 12 * k : 136 + 12 * k]): 132 + 12 * k for k in range(count)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        bytes(profile[green + 4 : green + 12]),
        bytes(profile[red + 4 : red + 12]),
    )
    text = profile.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))
    Image.new("RGB", (8, 8), (250, 10, 10)).save(tmp_path / "p.png", icc_profile=bytes(text))
    picture = read_image(tmp_path / "p.png")
    assert picture.icc
    assert difference(picture.rgb[0, 0], np.array([10, 250, 10])) < 4
    Image.new("RGB", (8, 8), (250, 10, 10)).save(tmp_path / "bad.png", icc_profile=b"nonsense" * 30)
    picture = read_image(tmp_path / "bad.png")
    assert picture.rgb[0, 0].tolist() == [250, 10, 10]
    assert "profile" in picture.notes[0]


def test_content_decides_not_the_suffix(tmp_path: Path, face: np.ndarray) -> None:
    Image.fromarray(face).save(tmp_path / "photo.JPG", format="PNG")
    assert is_image(tmp_path / "photo.JPG")
    assert np.array_equal(read_image(tmp_path / "photo.JPG").rgb, face)


@pytest.mark.parametrize("name", ["it's [odd] %04d é照片😀.png", "-dash.png", "a b.png", "50%25.png"])
def test_44_awkward_names_of_pictures(tmp_path: Path, face: np.ndarray, name: str) -> None:
    write_image(tmp_path / name, face)
    assert np.array_equal(read_image(tmp_path / name).rgb, face)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"])
def test_write_image_in_every_format(tmp_path: Path, face: np.ndarray, suffix: str) -> None:
    alpha = np.full(face.shape[:2], 255, np.uint8)
    alpha[:20] = 0
    path = write_image(tmp_path / f"out{suffix}", face, alpha, background=(0, 200, 0))
    picture = read_image(path)
    assert difference(picture.rgb[24:], face[24:]) < 4
    if suffix.lower() in (".jpg", ".jpeg", ".bmp"):
        assert picture.alpha is None
        assert difference(picture.rgb[:16], np.array([0, 200, 0])) < 4
    else:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, alpha)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_write_image_refuses_with_a_sentence(tmp_path: Path, face: np.ndarray) -> None:
    with pytest.raises(UsageError, match="extension"):
        write_image(tmp_path / "a.xyz", face)
    with pytest.raises(MediaError, match="does not exist"):
        write_image(tmp_path / "none" / "a.png", face)
    write_image(tmp_path / "a.png", face)
    with pytest.raises(UsageError, match="already exists"):
        write_image(tmp_path / "a.png", face, overwrite=False)


def test_clear_colour_of_16_bit_grey(tmp_path: Path, face: np.ndarray) -> None:
    """A PNG of 16-bit grey values, one of which means clear: the others keep their brightness."""
    grey = face[..., 1].astype(np.uint16) * 257
    grey[:8] = 4660
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 16, 0, 0, 0, 0)),
        (b"tRNS", struct.pack(">H", 4660)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    parts = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    path = tmp_path / "grey.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    read = read_image(path)
    assert read.alpha is not None
    assert (read.alpha[:8] == 0).all()
    assert (read.alpha[8:] == 255).all()
    assert np.array_equal(read.rgb[8:, :, 0], face[8:, :, 1])


def test_float_tiff_is_a_clip_of_one_frame(tmp_path: Path, face: np.ndarray) -> None:
    """Pictures that OpenCV alone reads are sources like all others."""
    path = tmp_path / "float.tif"
    done, data = cv2.imencode(".tif", face[..., ::-1].astype(np.float32) / 255)
    assert done
    path.write_bytes(data.tobytes())
    with open_clip(path) as clip:
        assert clip.info.kind == "image"
        assert np.abs(next(iter(clip)).rgb.astype(int) - face).max() <= 1


def test_a_text_called_photo_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("404: not found")
    with pytest.raises(MediaError, match=r"photo.jpg contains no image that can be read"):
        open_clip(tmp_path / "photo.jpg")


@pytest.mark.parametrize("compression", ["tiff_deflate", "tiff_lzw", "jpeg", "group4"])
def test_a_damaged_tiff_prints_nothing_by_itself(
    tmp_path: Path, face: np.ndarray, compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library below Pillow would write to standard error itself, past everybody."""
    if not libtiff.silence():
        pytest.skip("this Pillow hides its libtiff")
    image = Image.fromarray(face).convert("1" if compression == "group4" else "RGB")
    image.save(tmp_path / "a.tif", compression=compression)
    whole = (tmp_path / "a.tif").read_bytes()
    seed = np.random.default_rng(1)
    for k in range(12):
        data = bytearray(whole if k else whole[:-40])
        for at in seed.integers(8, len(data), 30 if k else 0):
            data[at] = seed.integers(0, 256)
        (tmp_path / "b.tif").write_bytes(bytes(data))
        with contextlib.suppress(MediaError):
            read_image(tmp_path / "b.tif")
    assert capfd.readouterr().err == ""
