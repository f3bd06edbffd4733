"""Last stage: result and comparison clip, written together; incomplete ones are removed together."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.errors import AppError
from app.media.images import WITH_ALPHA, encode, flatten, image_format, write_image
from app.media.sizing import Sizing
from app.media.streams import STDOUT, Pipe, stream_name
from app.media.writer import ClipWriter
from app.provenance.label import labelled
from app.provenance.mark import OFF, Marking
from liveportrait.patched import Patch, Patched, split
from models.messages import msg

if TYPE_CHECKING:
    from app.media.audio import AudioSource
    from app.options import OutputOptions

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Target:
    """The files to write.

    Attributes:
        path: File of the result, or STDOUT.
        comparison: File of the comparison clip, or None.
        sizing: How frames are brought to the size of the result.
        rate: Frames per second.
        time_base: Unit of the time stamps in seconds, or None if they are multiples of 1/rate.
        alpha: Whether frames carry transparency.
        picture: True to write one image.
        panels: Widths of the panels left of the result in the comparison clip, whose height is that of the result.
        loop: Number of frames of a result whose end runs into its beginning; 0 for others.
    """

    path: Path
    comparison: Path | None
    sizing: Sizing
    rate: Fraction
    time_base: Fraction | None
    alpha: bool
    picture: bool
    panels: tuple[int, ...]
    loop: int = 0


class PictureWriter:
    """Writes one image, with the interface of a clip writer; its name is taken literally.

    Args:
        path: File, whose extension selects the format; or STDOUT for a PNG.
        quality: 0 to 100.
        background: Colour behind transparent parts if the format has no transparency.
        overwrite: Whether an existing file may be replaced.
        marking: How the image is marked as made by AI.
    """

    def __init__(
        self, path: Path, quality: int, background: tuple[int, int, int], overwrite: bool, marking: Marking
    ) -> None:
        if path != STDOUT:
            image_format(path)
        self.notes: list[str] = [] if marking.in_metadata else [OFF]
        self.frames = 0
        self._marking = marking
        self._path, self._quality, self._overwrite = path, quality, overwrite
        self._background = background
        self._picture: tuple[Pixels, Pixels | None] | None = None

    def write(self, rgb: Pixels, time: Fraction | None = None, alpha: Pixels | None = None) -> None:
        """Store the image for ``finish``."""
        self._picture = rgb, alpha
        self.frames += 1

    def write_patched(self, picture: Patched, time: Fraction | None = None) -> None:
        """Store the image for ``finish``."""
        rgb, alpha = split(picture.whole())
        self.write(rgb, time, alpha)

    def finish(self, end: Fraction | None = None) -> Path:
        """Write the file."""
        assert self._picture is not None
        rgb, alpha = self._picture
        quality = max(1, self._quality)
        if self._path == STDOUT:
            pipe = Pipe()
            try:
                pipe.write(encode(rgb, alpha, "PNG", quality, self._background, self._marking))
            except OSError as error:
                raise pipe.error(error) from error
            return self._path
        format = image_format(self._path)
        if alpha is not None and alpha.min() < 255 and format not in WITH_ALPHA:
            self.notes.append(
                msg("{codec} does not support transparency; transparent parts were filled with a plain colour.", format)
            )
        form = (quality, self._background, self._overwrite, self._marking)
        return write_image(self._path, rgb, alpha, *form, notes=self.notes)

    def abort(self, keep: bool = True) -> Path | None:
        """Do nothing: nothing was written yet."""
        return None


class Outputs:
    """Writers of a job; use in a ``with`` statement. Leaving it without finish or abort removes the files."""

    def __init__(
        self,
        target: Target,
        options: OutputOptions,
        audio: AudioSource | None,
        inputs: tuple[Path, ...],
        engine: str = "",
    ) -> None:
        self._background = options.fill_colour
        self._labels = options.label == "corner"
        self._widths = target.panels
        self._sizing, size = target.sizing, target.sizing.size
        self._canvas: Pixels | None = None  # comparison clip: the constant part of all frames
        self._below: Pixels | None = None  # base of the result on it
        self._standing: list[Pixels] = []  # panels on it
        marking = Marking.of(options, engine, inputs[0] if inputs else None)
        common: dict[str, Any] = {
            "marking": marking,
            "rate": target.rate,
            "time_base": target.time_base,
            "audio": audio,
            "codec": options.codec,
            "quality": options.quality,
            "hardware": options.hardware,
            "overwrite": options.overwrite,
            "background": self._background,
            "inputs": inputs,
            "loop": target.loop,
        }
        self._main: ClipWriter | PictureWriter
        self._comparison: ClipWriter | PictureWriter | None = None
        if target.picture:
            form = (options.quality, self._background, options.overwrite, marking)
            self._main = PictureWriter(target.path, *form)
            self._comparison = PictureWriter(target.comparison, *form) if target.comparison else None
            return
        if target.path == STDOUT:
            name = stream_name(options.codec)
            self._main = ClipWriter(name, size, alpha=target.alpha, pipe=Pipe(), **common)
            return
        self._main = ClipWriter(target.path, size, alpha=target.alpha, **common)
        if target.comparison is not None:
            try:
                wide = (sum(target.panels) + size[0], size[1])
                self._comparison = ClipWriter(target.comparison, wide, **common)
            except BaseException:
                self._main.abort(keep=False)
                raise

    @property
    def frames(self) -> int:
        """Frames written."""
        return self._main.frames

    @property
    def notes(self) -> list[str]:
        """Sentences about adaptations of the result."""
        return list(self._main.notes)

    def write(self, time: Fraction, result: Patched, panels: list[Pixels]) -> None:
        """Write a frame.

        Args:
            time: Seconds.
            result: (H, W, 3 or 4).
            panels: Images left of the result in the comparison clip, of any size.
        """
        result = self._sizing.apply(result)
        result = labelled(result) if self._labels else result
        self._main.write_patched(result, time)
        if self._comparison is not None:
            self._comparison.write_patched(self._compared(result, panels), time)

    def _compared(self, result: Patched, panels: list[Pixels]) -> Patched:
        """A frame of the comparison clip: a constant base, with the changing parts on top."""
        height, left = result.shape[0], sum(self._widths)
        if self._canvas is None or self._below is not result.base:
            self._canvas = np.empty((height, left + result.shape[1], 3), np.uint8)
            self._canvas[:, left:] = flatten(*split(result.base), self._background)
            self._below, self._standing = result.base, []
        patches, x = [], 0
        for number, (panel, width) in enumerate(zip(panels, self._widths, strict=True)):
            fresh = number >= len(self._standing)
            if fresh or panel is not self._standing[number]:
                shown = fit(flatten(*split(panel), self._background), width, height)
                if fresh:
                    self._canvas[:, x : x + width] = shown
                    self._standing.append(panel)
                else:
                    patches.append(Patch(x, 0, shown))
            x += width
        for patch in result.patches:
            patches.append(Patch(x + patch.x, patch.y, flatten(*split(patch.pixels), self._background)))
        return Patched(self._canvas, tuple(patches))

    def finish(self, end: Fraction | None) -> None:
        """Complete the files under their names; the last frame lasts until ``end`` seconds.

        Raises:
            AppError: One of them can't be completed; the message names a complete result.
        """
        path = self._main.finish(end)
        if self._comparison is None:
            return
        try:
            self._comparison.finish(end)
        except AppError as error:
            raise type(error)(f"{error.message} The result itself is complete: {path}.", error.hint) from error

    def abort(self, keep: bool) -> Path | None:
        """Stop before the end; if ``keep``, the frames so far stay as a playable file, which is returned."""
        if self._comparison is not None:
            self._comparison.abort(keep=False)
        return self._main.abort(keep=keep)

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort(keep=False)


def fit(picture: Pixels, width: int, height: int) -> Pixels:
    """Scale an image (H, W, 3) to fit (height, width, 3), keeping its aspect ratio, with black borders."""
    height_now, width_now = picture.shape[:2]
    sizing = Sizing.fitted((width_now, height_now), (width, height), (0, 0, 0))
    return sizing.apply(Patched(picture)).whole()
