"""Read and write still images: upright, 8-bit sRGB, with alpha if the file has it."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from app.errors import MediaError, MissingError, UsageError
from app.media import files, heif, libtiff, limits, raws, stillcolor
from app.provenance import credentials, xmp
from app.provenance.mark import UNMARKED, Marking
from models.installation import install_hint, package_hint
from models.messages import msg

# app.media.limits checks the size before anything is decoded and names it in the error. Pillow's own check would fail
# earlier and give only the number of pixels.
Image.MAX_IMAGE_PIXELS = None
# Pillow's warnings about unusual tags don't concern the user.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
libtiff.silence()
# Exceptions that Pillow's readers raise on broken files
BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, LookupError, TypeError, RuntimeError, ArithmeticError,
)  # fmt: skip

FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000", "PPM", "SGI", "QOI")
SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif",
    ".heic", ".heif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".sgi", ".tga", ".qoi",
)  # fmt: skip
WRITABLE = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP",
}  # fmt: skip
WITH_ALPHA = ("PNG", "WEBP", "TIFF")
STRIP_PIXELS = 1 << 20  # pixels that are converted at a time
LARGE = 32 << 20  # pixels above which images are read one after another
REDUCIBLE = ("RGB", "RGBA", "L", "LA", "CMYK", "YCbCr")  # modes that _reduced can average
_ALONE = threading.Lock()
WHITE = (255, 255, 255)
Color = tuple[int, int, int]
_ORIENTATION = 0x0112  # EXIF tag

_AVIF = {b"avif", b"avis"}  # major brands


@dataclass(frozen=True)
class Picture:
    """A still image, upright, in sRGB.

    Attributes:
        rgb: (H, W, 3) uint8, straight (not multiplied by alpha).
        alpha: (H, W) uint8, 255 is opaque; None if the file has no transparency.
        path: Where it came from.
        icc: Name of the embedded colour profile that was converted to sRGB, or empty.
        format: File format by content, such as "PNG".
        notes: Sentences about conversions made while reading.
        full: Width and height in pixels before it was reduced; None if it was not.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    path: Path | None = None
    icc: str = ""
    format: str = ""
    notes: tuple[str, ...] = field(default=())
    full: tuple[int, int] | None = None

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.rgb.shape[0])


class UnknownFormatError(MediaError):
    """Pillow does not know the format."""


def flatten(rgb: np.ndarray, alpha: np.ndarray | None, background: Color = WHITE) -> np.ndarray:
    """Composite an image on a plain colour.

    Args:
        rgb: (H, W, 3) uint8, straight.
        alpha: (H, W) uint8 or None.
        background: Colour behind transparent parts, channels 0-255.

    Returns:
        (H, W, 3) uint8; ``rgb`` itself if there is nothing to blend.
    """
    if alpha is None or int(alpha.min(initial=255)) == 255:
        return rgb
    out, under = np.empty_like(rgb), np.asarray(background, np.uint32)
    for y0, y1 in strips(rgb.shape[1], len(rgb)):
        a = alpha[y0:y1, :, None].astype(np.uint32)
        out[y0:y1] = (rgb[y0:y1].astype(np.uint32) * a + under * (255 - a) + 127) // 255
    return out


def is_image(path: str | Path) -> bool:
    """Whether the file is an image, possibly animated, judged by its content."""
    path = Path(path)
    if not path.is_file():
        return False
    if _brand(path) in heif.BRANDS | _AVIF:
        return True
    try:
        with _open(path):
            return True
    except UnknownFormatError:
        return _is_tiff(path)
    except limits.TooLargeError:
        return True
    except (MediaError, MissingError, OSError):
        return False


def read_image(path: str | Path, longest: int = 0) -> Picture:
    """Read a still image, or the first frame of an animated one.

    Args:
        path: Image in any of the ``FORMATS``; its content decides, not its extension.
        longest: Longer side in pixels that is enough: an image of at least twice that is reduced while it is read,
            to no less, and needs a fraction of the memory. 0 reads all pixels.

    Returns:
        The image, rotated upright by its EXIF orientation, reduced to 8 bits per channel and converted to sRGB.

    Raises:
        MediaError: The file is missing, a folder, empty, not an image, damaged, or too large.
        MissingError: The file is HEIC or AVIF and the optional plug-in for it is not installed.
    """
    path = files.check_input(path)
    try:
        with _open(path) as image, _ALONE if image.width * image.height > LARGE else contextlib.nullcontext():
            return decode(image, path, longest)
    except UnknownFormatError:
        picture = _read_with_opencv(path)
        if picture is None:
            raise
        return picture
    except MemoryError as error:
        raise MediaError(msg("{path} does not fit into memory.", path), "Scale it down first.") from error
    except BROKEN as error:
        what = "it is truncated or damaged" if "trunc" in str(error).lower() else files.reason(error)[0]
        raise MediaError(
            msg("{path} is not a complete image: {what}.", path, what), "Copy or export it again."
        ) from error


def _open(path: Path) -> Image.Image:
    """Open lazily; formats are limited to those above. Raises MediaError or MissingError."""
    raws.check_not_raw(path)
    brand = _brand(path)
    if brand in heif.BRANDS:
        _register_heif(path)
    formats = (*FORMATS, "TGA") if path.suffix.lower() == ".tga" else FORMATS
    Image.init()
    known = [f for f in formats if f in Image.OPEN]
    try:
        image = Image.open(path, formats=known)
    except UnidentifiedImageError as error:
        if brand in heif.BRANDS | _AVIF:
            limits.check_photo(path, *_declared_size(path))
        if brand in _AVIF:
            raise MissingError(
                msg("{path} is an AVIF image and this Pillow can't read it.", path), package_hint("pillow>=11.3")
            ) from error
        raise UnknownFormatError(
            msg("{path} is not an image in a known format.", path), "Use PNG, JPEG or WebP."
        ) from error
    except BROKEN as error:
        if brand in heif.BRANDS | _AVIF:
            limits.check_photo(path, *_declared_size(path))
        raise MediaError(msg("{path} is a damaged image.", path), "Copy or export it again.") from error
    try:
        limits.check_photo(path, *image.size)
    except limits.TooLargeError:
        image.close()
        raise
    return image


def _declared_size(path: Path) -> tuple[int, int]:
    """Largest (width, height) in the image properties of an ISO media file; its decoder may refuse the size."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    sizes, at = [(0, 0)], head.find(b"ispe")
    while at >= 0 and at + 16 <= len(head):
        sizes.append(struct.unpack(">II", head[at + 8 : at + 16]))
        at = head.find(b"ispe", at + 4)
    return max(sizes, key=lambda size: size[0] * size[1])


def count_frames(image: Image.Image) -> int:
    """Number of frames of an opened image; 1 if counting fails."""
    try:
        return int(getattr(image, "n_frames", 1))
    except BROKEN:
        return 1
    finally:
        with contextlib.suppress(*BROKEN):
            image.seek(0)


def _brand(path: Path) -> bytes:
    """Major brand of an ISO media file, or empty."""
    try:
        return heif.brand(path)
    except OSError as error:
        raise files.read_error(path, error) from error


def _register_heif(path: Path) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingError(
            msg("{path} is a HEIC image; reading it needs the plug-in pillow-heif.", path),
            msg("{install_hint}. Or export the photo as JPEG.", install_hint("heif").rstrip(".")),
        ) from error
    pillow_heif.register_heif_opener()


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """A Pillow image whose sides are divided by a factor, made in strips: alpha would need copies of the whole."""
    mode = "RGBA" if image.mode == "P" else image.mode
    small = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    for y in range(0, image.height, 64 * factor):
        strip = image.crop((0, y, image.width, min(image.height, y + 64 * factor)))
        small.paste(strip.convert(mode).reduce(factor), (0, y // factor))
    small.info = image.info
    small.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return small


def decode(image: Image.Image, path: Path | None = None, longest: int = 0) -> Picture:
    """Turn the current frame of an opened Pillow image into a Picture (see read_image)."""
    name, icc = image.format or "", image.info.get("icc_profile")
    color = stillcolor.color_of(image, path)
    factor = max(image.size) // longest if longest else 1
    if factor > 1 and color is None and image.mode in REDUCIBLE and "transparency" not in image.info:
        width, height = image.size
        image.draft(None, (width // factor, height // factor))  # JPEG: decodes fewer pixels
        image.load()
        left = max(image.size) // longest
        small = _reduced(image, left) if left > 1 else image
        turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        picture = replace(decode(small, path), format=name)
        return replace(picture, full=(height, width) if turned else (width, height))
    deep = stillcolor.deep_pixels(image, path) if color is not None else None
    turn = image.getexif().get(_ORIENTATION, 1) if deep is not None else 1
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    mode, key = image.mode, image.info.get("transparency")
    clear = mode in ("RGBA", "LA", "PA", "RGBa", "La") or key is not None
    if mode.startswith(("I", "F")) and (not clear or mode.startswith("I;16")):
        values = np.asarray(image)
        alpha = np.where(values == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None
        grey = _from_16bit(values) if values.dtype.itemsize == 2 else _to_8bit(values)
        return Picture(np.repeat(grey[..., None], 3, 2), alpha, path, format=name)
    plain = clear or mode == "P"
    to_srgb, profile = _to_srgb("RGB" if plain else mode, icc) if color is None else (None, "")
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    alpha = np.empty(rgb.shape[:2], np.uint8) if clear else None
    for y0, y1 in strips(*image.size):  # converting the whole would hold several copies of a large photo
        part = image.crop((0, y0, image.width, y1))
        if alpha is not None:
            part = part.convert("RGBA")
            alpha[y0:y1] = np.asarray(part.getchannel("A"))
        part = part.convert("RGB") if plain else part
        rgb[y0:y1] = np.asarray(part.convert("RGB") if to_srgb is None else to_srgb.apply(part))
    if color is not None:
        stored = rgb if deep is None or turn != 1 else deep
        note = f"{path or 'The image'} is a {color.name} image; its colours were mapped to sRGB."
        return Picture(stillcolor.mapped(stored, color), alpha, path, format=name, notes=(note,))
    unusable = icc and not profile
    notes = ("The embedded colour profile is not usable and was ignored.",) if unusable else ()
    return Picture(rgb, alpha, path, profile, name, notes)


def strips(width: int, height: int) -> Iterator[tuple[int, int]]:
    """(first row, row after the last) of strips of an image, about a million pixels each."""
    rows = max(1, STRIP_PIXELS // max(1, width))
    for y0 in range(0, height, rows):
        yield y0, min(height, y0 + rows)


def _from_16bit(values: np.ndarray) -> np.ndarray:
    """Scale 16-bit samples to uint8, rounding."""
    out = np.empty(values.shape, np.uint8)
    for y0, y1 in strips(values.shape[1], len(values)):
        out[y0:y1] = (values[y0:y1].astype(np.uint32) * 255 + 32767) // 65535
    return out


def _to_8bit(values: np.ndarray) -> np.ndarray:
    """Scale integer or float samples to uint8; the largest value tells whether they are 8-bit, 16-bit or in [0, 1]."""
    rows = list(strips(values.shape[1], len(values)))
    low, high = np.inf, -np.inf
    for y0, y1 in rows:
        part = np.nan_to_num(values[y0:y1].astype(np.float64))
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    if low >= 0 and high <= 1:
        scale, low = 255.0, 0.0
    elif low >= 0 and high <= 255:
        scale, low = 1.0, 0.0
    elif low >= 0 and high <= 65535:
        scale, low = 255.0 / 65535, 0.0
    else:
        scale = 255.0 / max(high - low, 1e-12)
    out = np.empty(values.shape, np.uint8)
    for y0, y1 in rows:
        part = np.nan_to_num(values[y0:y1].astype(np.float64))
        out[y0:y1] = np.clip((part - low) * scale + 0.5, 0, 255)
    return out


def _to_srgb(mode: str, icc: Any) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    """The conversion of an image mode by an embedded profile, and the name of the profile.

    None if no conversion is needed or possible; the name is empty if the profile is not usable.
    """
    if not icc or mode not in ("RGB", "CMYK", "L", "LAB"):
        return None, ""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        title = ImageCms.getProfileDescription(source).strip()
        if mode == "RGB" and title.lower().startswith("srgb"):
            return None, title
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None, ""
    return transform, title


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\x00", b"MM\x00*")


def _tiff_size(path: Path) -> tuple[int, int]:
    """(width, height) of the first image in a TIFF file; (0, 0) if its directory is damaged."""
    found = {256: 0, 257: 0}  # tags of width and height
    with path.open("rb") as file:
        head = file.read(8)
        order = "<" if head[:2] == b"II" else ">"
        try:
            file.seek(struct.unpack(order + "I", head[4:8])[0])
            for _ in range(struct.unpack(order + "H", file.read(2))[0]):
                entry = file.read(12)
                tag, kind = struct.unpack(order + "HH", entry[:4])
                if tag in found:
                    found[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), entry, 8)[0]
        except struct.error:
            pass
    return found[256], found[257]


def _read_with_opencv(path: Path) -> Picture | None:
    """Read a format that Pillow does not support (float or 16-bit colour TIFF), or return None."""
    if not _is_tiff(path):
        return None
    limits.check_photo(path, *_tiff_size(path))
    data = np.fromfile(path, np.uint8)
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if image is None or image.size == 0:
        return None
    if image.dtype == np.uint16:
        image = _from_16bit(image)
    elif image.dtype != np.uint8:
        image = _to_8bit(image)
    if image.ndim == 2:
        return Picture(np.repeat(image[..., None], 3, 2), None, path, format="TIFF")
    alpha = np.ascontiguousarray(image[..., 3]) if image.shape[2] == 4 else None
    return Picture(np.ascontiguousarray(image[..., 2::-1]), alpha, path, format="TIFF")


def encode(
    rgb: np.ndarray,
    alpha: np.ndarray | None,
    format: str,
    quality: int,
    background: Color = WHITE,
    marking: Marking = UNMARKED,
) -> bytes:
    """Encode an image; alpha is kept if the format supports it, else the image is laid on ``background``."""
    if alpha is not None and format in WITH_ALPHA:
        image = Image.fromarray(np.dstack([rgb, alpha]))
    else:
        image = Image.fromarray(np.ascontiguousarray(flatten(rgb, alpha, background)))
    table: dict[str, dict[str, Any]] = {
        "PNG": {"compress_level": 3},
        "JPEG": {"quality": quality, "subsampling": 0 if quality >= 90 else 2},
        "WEBP": {"quality": quality, "method": 4},
        "TIFF": {"compression": "tiff_deflate"},
    }
    said = xmp.picture_arguments(format) if marking.in_metadata else {}
    buffer = io.BytesIO()
    image.save(buffer, format, **table.get(format, {}), **said)
    return buffer.getvalue()


def write_image(
    path: str | Path,
    rgb: np.ndarray,
    alpha: np.ndarray | None = None,
    quality: int = 95,
    background: Color = WHITE,
    overwrite: bool = True,
    marking: Marking = UNMARKED,
    notes: list[str] | None = None,
) -> Path:
    """Write an image; the file appears under its name only when complete.

    Args:
        path: Target; the extension (in any case) selects PNG, JPEG, WebP, TIFF or BMP.
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8 or None; kept in PNG, WebP and TIFF, laid on ``background`` otherwise.
        quality: 1-100, for JPEG and WebP.
        background: Colour behind transparent parts if the format has no alpha.
        overwrite: Whether an existing file may be replaced.
        marking: How the image is marked as made by AI; images that are not AI-made need no mark.
        notes: Receives a sentence for each mark that could not be added.

    Returns:
        The path.

    Raises:
        UsageError: The extension is not that of a supported output format, or the file exists and may not be replaced.
        MediaError: The folder is missing or writing fails.
    """
    path = Path(path)
    name = image_format(path)
    files.check_output(path, overwrite)
    temporary = files.temporary_name(path, f"{os.getpid()}.partial")
    try:
        data = encode(rgb, alpha, name, quality, background, marking)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        said, _ = credentials.sign(temporary, marking, path)
        if said and notes is not None:
            notes.append(said)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        files.remove(temporary)
        raise files.write_error(path, error) from error
    return path


def image_format(path: Path) -> str:
    """Name of the format of ``path`` by its extension; raises UsageError if it can't be written."""
    name = WRITABLE.get(path.suffix.lower())
    if name is None:
        known = ", ".join(sorted(WRITABLE))
        raise UsageError(
            msg("{path} has no image extension that can be written.", path), msg("Use one of {known}.", known)
        )
    return name
