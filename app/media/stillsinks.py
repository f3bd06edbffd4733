"""Outputs made of still images: animated GIF, numbered images, and a single image."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from app.errors import UsageError
from app.media import container as containers
from app.media import files, images
from app.media.images import Color
from app.media.streams import Pipe
from app.provenance import xmp
from app.provenance.mark import Marking
from models.messages import msg

PATTERN = re.compile(r"%0?(\d*)d")
GIF_UNIT = Fraction(1, 100)
GIF_SHORTEST = 2  # hundredths of a second; players show shorter delays for a tenth of a second
CLEAR = 255  # palette index of transparent pixels


class HeldBack:
    """A pipe that holds back the last byte, so that other data can be written in its place at the end.

    Args:
        pipe: Where the bytes go.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe, self._last = pipe, b""

    def write(self, data: bytes) -> int:
        """Write the byte held back and ``data`` except its last byte; see ``Pipe.write``."""
        if len(data):
            self._pipe.write(self._last + bytes(data[:-1]))
            self._last = bytes(data[-1:])
        return len(data)

    def end(self, data: bytes) -> None:
        """Write ``data`` instead of the last byte, or the byte itself if ``data`` is empty."""
        self._pipe.write(data or self._last)


class GifSink:
    """Animated GIF with one palette per frame."""

    def __init__(
        self, target: Path | Pipe, size: tuple[int, int], rate: Fraction, alpha: bool, marking: Marking
    ) -> None:
        self._target = HeldBack(target) if isinstance(target, Pipe) else target
        self._marked = marking.in_metadata
        self.notes: list[str] = []
        self.frames = 0
        self._alpha = alpha
        self._step = max(GIF_SHORTEST, round(1 / rate / GIF_UNIT))
        self._last: int | None = None
        self._left_out = 0
        self._held: Any = None
        place: Any = self._target if isinstance(self._target, HeldBack) else containers.url(self._target)
        self._container = av.open(place, "w", format="gif", options={"loop": "0"})
        stream: Any = self._container.add_stream("gif", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "pal8"
        stream.time_base = stream.codec_context.time_base = GIF_UNIT
        stream.options = {"gifflags": "-offsetting-transdiff"}
        self._stream = stream

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None, time: Fraction) -> None:
        """Write a frame; frames closer together than a GIF can show are dropped."""
        pts = round(time / GIF_UNIT)
        if self._last is not None and pts - self._last < GIF_SHORTEST:
            self._left_out += 1
            return
        self._last = pts
        colors = 255 if self._alpha else 256
        picture = Image.fromarray(np.ascontiguousarray(rgb)).quantize(colors, Image.Quantize.MEDIANCUT)
        index = np.array(picture)
        table = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        palette = np.zeros((256, 4), np.uint8)
        palette[:, 0] = 255  # alpha first
        palette[: len(table), 1:] = table
        if self._alpha:
            palette[CLEAR] = 0
            if alpha is not None:
                index[alpha < 128] = CLEAR
        frame = av.VideoFrame.from_ndarray((index, palette), format="pal8")  # type: ignore[arg-type]
        frame.pts, frame.time_base = pts, GIF_UNIT
        self._mux(self._stream.encode(frame))
        self.frames += 1

    def _mux(self, packets: list[Any]) -> None:
        """Mux all packets except the last one so far, whose duration is known later."""
        for packet in packets:
            if self._held is not None:
                self._container.mux(self._held)
            self._held = packet

    def finish(self, end: Fraction | None = None) -> None:
        """Complete the file."""
        if end is not None and self._last is not None:
            self._step = max(GIF_SHORTEST, round(end / GIF_UNIT) - self._last)
        self._mux(self._stream.encode(None))
        if self._held is not None:
            self._held.duration = self._step
            self._container.mux(self._held)
        self._container.close()
        if isinstance(self._target, HeldBack):
            self._target.end(xmp.tail("gif") if self._marked else b"")
        elif self._marked:
            xmp.add_tail(self._target, "gif")
        if self._left_out:
            self.notes.append(
                msg("{left_out} frames were left out: a GIF shows at most 50 per second.", self._left_out)
            )

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def sequence_pattern(path: Path) -> Path:
    """File name pattern for an output name: the name itself, or numbered PNGs in a folder of that name."""
    if PATTERN.search(path.name):
        images.image_format(path)
        return path
    return path / "%05d.png"


def numbered(pattern: Path) -> dict[int, Path]:
    """Existing files that match a pattern, by number; numbering starts at 1, so 0 and below don't count."""
    match = PATTERN.search(pattern.name)
    if match is None or not pattern.parent.is_dir():
        return {}
    head, tail, width = pattern.name[: match.start()], pattern.name[match.end() :], int(match.group(1) or 0)
    shape = re.compile(re.escape(head) + r"([0-9]{1,18})" + re.escape(tail))
    found = {}
    for file in pattern.parent.iterdir():
        hit = shape.fullmatch(file.name)
        if hit is not None and int(hit.group(1)) > 0 and hit.group(1) == str(int(hit.group(1))).zfill(width):
            found[int(hit.group(1))] = file
    return found


class SequenceSink:
    """Numbered images from 1 on, collected in a hidden folder until complete."""

    def __init__(
        self, target: Path, pattern: Path, quality: int, alpha: bool, background: Color, marking: Marking
    ) -> None:
        self.notes: list[str] = []
        self._marking = marking
        self.frames = 0
        self._folder = target
        self._pattern, self._format = pattern.name, images.image_format(pattern)
        self._quality, self._background = quality, background
        self._alpha = alpha and self._format in images.WITH_ALPHA
        if alpha and not self._alpha:
            self.notes.append(
                msg(
                    "{format} does not support transparency; transparent parts were filled with a plain colour.",
                    self._format,
                )
            )
        target.mkdir()

    def name(self, number: int) -> str:
        """File name of image ``number``."""
        return PATTERN.sub(lambda m: str(number).zfill(int(m.group(1) or 0)), self._pattern, count=1)

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None, time: Fraction) -> None:
        """Write a frame."""
        self.frames += 1
        if not self._alpha:
            rgb, alpha = images.flatten(rgb, alpha, self._background), None
        data = images.encode(rgb, alpha, self._format, self._quality, self._background, self._marking)
        (self._folder / self.name(self.frames)).write_bytes(data)

    def finish(self, end: Fraction | None = None) -> None:
        """Do nothing: the writer moves the folder."""

    def close(self) -> None:
        """Do nothing: no file is open."""

    def move(self, target: Path, spread: bool) -> None:
        """Move the images to ``target``: the folder as a whole, or file by file (``spread``) into it."""
        if not spread and not target.exists():
            os.replace(self._folder, target)
            return
        target.mkdir(exist_ok=True)
        for file in sorted(self._folder.iterdir()):
            os.replace(file, target / file.name)
        files.remove(self._folder)


class StillSink:
    """A single image."""

    def __init__(
        self, target: Path, path: Path, quality: int, alpha: bool, background: Color, marking: Marking
    ) -> None:
        self.notes: list[str] = []
        self._marking = marking
        self.frames = 0
        self._target, self._path, self._format = target, path, images.image_format(path)
        self._quality, self._background = quality, background
        self._alpha = alpha and self._format in images.WITH_ALPHA

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None, time: Fraction) -> None:
        """Write the frame; a second one is refused."""
        if self.frames:
            raise UsageError(
                msg("{path} can hold only one image, and the result has more.", self._path),
                "Use a clip extension or a pattern like %05d.png.",
            )
        self.frames += 1
        if not self._alpha:
            rgb, alpha = images.flatten(rgb, alpha, self._background), None
        data = images.encode(rgb, alpha, self._format, self._quality, self._background, self._marking)
        self._target.write_bytes(data)

    def finish(self, end: Fraction | None = None) -> None:
        """Do nothing: the image is already written."""

    def close(self) -> None:
        """Do nothing: no file is open."""
