"""Convert pixel arrays to images that Qt paints cheaply: cropped to the visible part, scaled, in screen format."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QImage

if TYPE_CHECKING:
    from app.media.audio import AudioSource
    from liveportrait.expression_track import ExpressionTrack

Pixels = npt.NDArray[np.uint8]
WAVE_RATE: Final = 4000  # samples per second of a waveform
WAVE_BLOCKS: Final = 3000  # of sound at most that are plotted: some minutes


@dataclass(frozen=True)
class Transform:
    """Position and scale of an image on a pane, in device pixels.

    Attributes:
        scale: Pane pixels per image pixel.
        x: Left edge of the image.
        y: Upper edge.
    """

    scale: float
    x: float
    y: float

    def rect(self, region: tuple[int, int, int, int]) -> QRectF:
        """Rectangle on the pane of a region of the image."""
        x0, y0, x1, y1 = region
        return QRectF(
            self.x + x0 * self.scale, self.y + y0 * self.scale, (x1 - x0) * self.scale, (y1 - y0) * self.scale
        )


@dataclass(frozen=True)
class Tile:
    """The visible part of an image.

    Attributes:
        image: Ready to paint.
        region: Part of the image that it shows, (x0, y0, x1, y1).
        size: Width and height of the whole image.
    """

    image: QImage
    region: tuple[int, int, int, int]
    size: tuple[int, int]


def fit(size: tuple[int, int], pane: tuple[int, int], *, enlarge: bool = True) -> Transform:
    """The transform that shows a whole image centred on a pane."""
    width, height = max(size[0], 1), max(size[1], 1)
    scale = min(pane[0] / width, pane[1] / height)
    scale = max(scale if enlarge else min(scale, 1.0), 1e-4)
    return Transform(scale, round((pane[0] - width * scale) / 2), round((pane[1] - height * scale) / 2))


def to_image(pixels: Pixels) -> QImage:
    """(H, W, 3 or 4) as a QImage that owns its memory; transparency is laid on a checkerboard."""
    if pixels.shape[2] == 4:
        pixels = on_checkers(pixels)
    data = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGRA)
    height, width = data.shape[:2]
    image = QImage(data.data, width, height, 4 * width, QImage.Format.Format_RGB32)
    image._pixels = data  # type: ignore[attr-defined] # Qt does not copy: keeps the array alive as long as the image
    return image


def on_checkers(pixels: Pixels, cell: int = 8) -> Pixels:
    """Composite (H, W, 4) on a checkerboard; returns (H, W, 3)."""
    height, width = pixels.shape[:2]
    y, x = np.ogrid[:height, :width]
    board = np.where(((x // cell) + (y // cell)) % 2 == 0, 204, 160).astype(np.float32)[..., None]
    alpha = pixels[..., 3:].astype(np.float32) / 255
    return np.asarray(np.rint(pixels[..., :3] * alpha + board * (1 - alpha)), np.uint8)


def tile(pixels: Pixels, transform: Transform, pane: tuple[int, int]) -> Tile | None:
    """The part of an image that a pane shows, scaled to the pane's pixels; None if nothing is visible."""
    height, width = pixels.shape[:2]
    s = transform.scale
    x0, y0 = max(0, math.floor(-transform.x / s)), max(0, math.floor(-transform.y / s))
    x1 = min(width, math.ceil((pane[0] - transform.x) / s))
    y1 = min(height, math.ceil((pane[1] - transform.y) / s))
    if x1 <= x0 or y1 <= y0:
        return None
    part = pixels[y0:y1, x0:x1]
    size = max(1, round((x1 - x0) * s)), max(1, round((y1 - y0) * s))
    if size != (x1 - x0, y1 - y0):
        how = cv2.INTER_AREA if s < 1 else cv2.INTER_NEAREST if s >= 3 else cv2.INTER_LINEAR
        part = np.asarray(cv2.resize(part, size, interpolation=how), np.uint8)
    return Tile(to_image(part), (x0, y0, x1, y1), (width, height))


def shrink(pixels: Pixels, width: int, height: int) -> Pixels:
    """Scale an image down to fit; never enlarge it."""
    scale = min(width / pixels.shape[1], height / pixels.shape[0], 1.0)
    if scale >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def square(pixels: Pixels, side: int) -> Pixels:
    """Centre crop of an image to a square."""
    height, width = pixels.shape[:2]
    edge = min(height, width)
    x, y = (width - edge) // 2, (height - edge) // 3
    part = pixels[y : y + edge, x : x + edge]
    how = cv2.INTER_AREA if edge > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (side, side), interpolation=how), np.uint8)


def first_frame(path: Path, longest: int = 0) -> Pixels:
    """(H, W, 3 or 4) first frame of a photo or clip; ``longest`` as in ``read_image``.

    Raises:
        AppError: It can't be read.
    """
    from app.frames.scene import pixels_of
    from app.media.reader import open_clip

    with open_clip(path, longest=longest) as reader:
        frame: Pixels = pixels_of(next(iter(reader)))
        return frame


def thumbnail(path: Path, side: int) -> QImage:
    """Square thumbnail of a photo or clip.

    Raises:
        AppError: It can't be read.
    """
    return to_image(square(first_frame(path, 4 * side), side))


def with_landmarks(pixels: Pixels, points: npt.NDArray[Any] | None, colour: tuple[int, int, int]) -> Pixels:
    """Draw dots at (N, 2) points on an image; returns a copy if there are any."""
    if points is None:
        return pixels
    out = np.ascontiguousarray(pixels[..., :3]).copy()
    for x, y in np.rint(points[:, :2] * 8).astype(int):
        cv2.circle(out, (int(x), int(y)), 7, colour, -1, cv2.LINE_AA, 3)
    return np.asarray(out)


def device_size(size: QSize, ratio: float) -> tuple[int, int]:
    """Size of a widget in device pixels."""
    return max(1, round(size.width() * ratio)), max(1, round(size.height() * ratio))


def covering(pixels: Pixels, width: int, height: int) -> Pixels:
    """Crop and scale an image so that it fills a rectangle; of tall images the upper part is kept."""
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    size = max(width, round(pixels.shape[1] * scale)), max(height, round(pixels.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    full = np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)
    x, y = (size[0] - width) // 2, (size[1] - height) // 3
    return full[y : y + height, x : x + width]


def voice_picture(sound: AudioSource, width: int, height: int) -> QImage:
    """Plot the waveform of the beginning of a sound."""
    from app.media.sound import SoundReader

    with closing(SoundReader(sound, WAVE_RATE)) as reader:
        samples = np.concatenate([*islice(reader, WAVE_BLOCKS), np.zeros((reader.channels, 1), np.float32)], 1)
    columns = np.array_split(np.abs(samples).max(0), max(1, round(0.88 * width / 3)))
    peaks = np.array([float(column.max(initial=0.0)) for column in columns])
    peaks = 0.04 + 0.8 * peaks / max(float(peaks.max()), 1e-3)
    canvas = np.full((height, width, 3), (27, 30, 37), np.uint8)
    for x, peak in zip(np.linspace(0.06, 0.94, len(peaks)) * width, peaks, strict=True):
        top, bottom = (round((0.5 + side * peak / 2) * height) for side in (-1, 1))
        cv2.line(canvas, (round(x), top), (round(x), bottom), (123, 140, 255), 1, cv2.LINE_AA)
    return to_image(canvas)


def motion_picture(path: Path, width: int, height: int) -> QImage:
    """Plot what drives without images: head angles and lip ratio of a motion template, or the waveform of a sound.

    Raises:
        AppError: It can't be read.
    """
    from app.frames.templates import open_template
    from app.frames.voices import open_track

    driver = open_track(path)
    if driver is not None and driver.sound is not None:
        return voice_picture(driver.sound, width, height)
    if driver is not None and driver.track is not None:
        return _track_picture(driver.track, width, height)
    from liveportrait.motion import euler_from_rotation

    motion = open_template(path).motion
    return _plot(euler_from_rotation(motion.rotation), motion.lip_ratio[:, 0], width, height)


def _track_picture(track: ExpressionTrack, width: int, height: int) -> QImage:
    """Plot an expression track like a motion template."""
    moments = [track.at(time) for time in np.linspace(0, track.duration, 200)]
    angles = np.array([[one.values.get(name, 0.0) for name in ("pitch", "yaw", "roll")] for one in moments])
    return _plot(angles, np.array([one.lip_ratio or 0.0 for one in moments]), width, height)


def _plot(angles: npt.NDArray[Any], ratios: npt.NDArray[Any], width: int, height: int) -> QImage:
    """Plot head angles (N, 3) in degrees, and lip ratios (N,) below."""
    canvas = np.full((height, width, 3), (27, 30, 37), np.uint8)
    x = np.linspace(0.06, 0.94, max(2, len(angles))) * width
    for column, colour in enumerate(((123, 140, 255), (91, 208, 160), (242, 184, 75))):
        curve = np.resize(angles[:, column], max(2, len(angles)))
        y = (0.38 - 0.3 * np.clip((curve - np.median(curve)) / max(8.0, float(np.ptp(angles)) / 2), -1, 1)) * height
        _curve(canvas, x, y, colour)
    lips = np.resize(np.nan_to_num(ratios), max(2, len(angles)))
    _curve(canvas, x, (0.92 - 0.2 * lips / max(0.2, float(lips.max()))) * height, (255, 123, 123))
    return to_image(canvas)


def _curve(canvas: Pixels, x: npt.NDArray[Any], y: npt.NDArray[Any], colour: tuple[int, int, int]) -> None:
    points = np.rint(np.stack([x, y], axis=1) * 8).astype(np.int32)
    cv2.polylines(canvas, [points[:, None]], False, colour, max(1, canvas.shape[0] // 70), cv2.LINE_AA, 3)
