"""Writing of clips: exact time stamps, sound in step, and nothing under the final name until it is complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal

import av
import numpy as np

from app.errors import AppError, MediaError, UsageError
from app.media import encode, files, images
from app.media.audio import AudioSource
from app.media.images import WHITE, Color, flatten
from app.media.stillsinks import PATTERN, GifSink, SequenceSink, StillSink, sequence_pattern

Codec = Literal["auto", "h264", "hevc", "av1", "vp9", "prores", "gif", "png"]
Sink = encode.VideoSink | GifSink | SequenceSink | StillSink
FAILURES = (OSError, av.FFmpegError, ValueError, MemoryError)


class ClipWriter:
    """Writes a clip, an animated GIF, numbered pictures or one picture, chosen by the output name.

    Use it in a ``with`` statement and call ``finish`` at the end; leaving the block without it removes what was
    written. The file appears under its name only when complete.

    Args:
        path: .mp4, .mov, .mkv, .webm, .gif; a pattern such as "shot_%05d.png" or a folder name for numbered pictures;
            .png, .jpg, .webp, .tif or .bmp for one picture.
        size: (width, height) of the frames in pixels.
        rate: Average frames a second, exact.
        time_base: Unit of the time stamps that will be written, such as ``ClipInfo.time_base``; None when all times
            are multiples of 1/rate.
        audio: Sound to lay under the picture, or None.
        codec: "auto" takes h264 for .mp4, .mov and .mkv, VP9 for .webm, ProRes 4444 for .mov with alpha.
        quality: 0-100; 80 is visually close to the original.
        hardware: "auto" uses a graphics card's encoder if one works, "none" does not.
        alpha: Keep transparency where the format can (WebM, MOV, MKV, GIF, PNG); elsewhere it is laid on
            ``background``.
        overwrite: Whether an existing file may be replaced.
        background: Colour under clear parts where the output has no alpha.
        inputs: Files that are read meanwhile, which the output must not replace.

    Attributes:
        notes: Sentences about what was adapted: padding, sound encoded anew, transparency laid on a colour.
        encoder: Name of the encoder in use.
        frames: Number of frames written.

    Raises:
        UsageError: The name, codec or options can't be used, the file exists, or it is an input.
        MediaError: The folder is missing or can't be written, the disk is full, or the encoder refuses.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        rate: Fraction,
        time_base: Fraction | None = None,
        audio: AudioSource | None = None,
        codec: Codec = "auto",
        quality: int = 80,
        hardware: str = "auto",
        alpha: bool = False,
        overwrite: bool = False,
        background: Color = WHITE,
        inputs: Iterable[str | Path] = (),
    ) -> None:
        self.path = Path(path)
        self.size = size
        self.notes: list[str] = []
        self.encoder = ""
        self._rate = Fraction(rate)
        self._background = background
        self._keeps_alpha = alpha
        self._pad = (0, 0)
        self._last: Fraction | None = None
        self._state: Literal["open", "done"] = "open"
        if min(size) < 1:
            raise UsageError(f"The output size {size[0]}x{size[1]} is empty.")
        if self._rate <= 0:
            raise UsageError(f"The output rate is {self._rate} frames a second.", "It must be above 0.")
        if not 0 <= quality <= 100:
            raise UsageError(f"The quality is {quality}.", "It goes from 0 to 100.")
        kind = self._kind(codec)
        self._spread = False
        sources = [*inputs, *([audio.path] if audio is not None else [])]
        self._temporary = self._check(kind, overwrite, sources)
        if audio is not None and audio.present and kind != "video":
            self.notes.append(f"{self.path.name} holds no sound.")
        try:
            self._sink = self._open(kind, codec, quality, hardware, time_base, audio)
        except AppError:
            files.remove(self._temporary)
            raise
        except FAILURES as error:
            files.remove(self._temporary)
            raise files.write_error(self.path, error) from error

    # ---- set-up -----------------------------------------------------------------------------------------------------
    def _kind(self, codec: str) -> Literal["video", "gif", "sequence", "still"]:
        suffix = self.path.suffix.lower()
        if PATTERN.search(self.path.name) and suffix in images.WRITABLE:
            return "sequence"
        if suffix in images.WRITABLE and codec in ("auto", "png"):
            return "still"
        if codec == "png" or (codec == "auto" and not suffix):
            if suffix in (*encode.FORMATS, ".gif"):
                raise UsageError(f"{self.path} is the name of a clip, not of a folder of pictures.")
            return "sequence"
        if suffix == ".gif":
            if codec not in ("auto", "gif"):
                raise UsageError(f".gif can't hold {codec}.", "Use another suffix.")
            return "gif"
        if codec == "gif":
            raise UsageError(f"{self.path} does not end in .gif.")
        encode.codec_for(self.path, codec, self._keeps_alpha)
        return "video"

    def _check(self, kind: str, overwrite: bool, inputs: list[str | Path]) -> Path:
        """Check the target; returns the temporary name."""
        if kind != "sequence":
            files.check_output(self.path, overwrite, inputs)
            return self._fresh(files.temporary_name(self.path))
        pattern = sequence_pattern(self.path)
        self._spread = pattern == self.path
        folder = pattern.parent
        if self._spread:
            files.check_output(pattern, True)
        elif folder.is_file():
            raise UsageError(f"{folder} is a file and can't be a folder of pictures.", "Choose another name.")
        else:
            files.check_output(folder, True)
        match = PATTERN.search(pattern.name)
        assert match is not None
        first = folder / PATTERN.sub(lambda m: "1".zfill(int(m.group(1) or 0)), pattern.name, count=1)
        if first.exists() and not overwrite:
            raise UsageError(f"{first} exists already.", "Choose another name or allow overwriting.")
        hidden = folder / f".{PATTERN.sub('', pattern.stem)}.partial" if self._spread else folder
        return self._fresh(hidden if self._spread else files.temporary_name(folder))

    def _fresh(self, temporary: Path) -> Path:
        files.remove(temporary)  # left by a run that was killed
        return temporary

    def _open(
        self,
        kind: str,
        codec: str,
        quality: int,
        hardware: str,
        time_base: Fraction | None,
        audio: AudioSource | None,
    ) -> Sink:
        alpha = self._keeps_alpha
        if kind == "gif":
            self.encoder = "gif"
            return GifSink(self._temporary, self.size, self._rate, alpha)
        if kind == "sequence":
            self.encoder = "png"
            return SequenceSink(self._temporary, sequence_pattern(self.path), quality, alpha, self._background)
        if kind == "still":
            self.encoder = images.image_format(self.path).lower()
            return StillSink(self._temporary, self.path, quality, alpha, self._background)
        form, codec = encode.codec_for(self.path, codec, alpha)
        if alpha and codec not in encode.WITH_ALPHA:
            self.notes.append(f"{codec} holds no transparency; clear parts were laid on a plain colour.")
            alpha = self._keeps_alpha = False
        width, height = self.size
        if codec not in encode.ODD_SIZES:
            self._pad = (width % 2, height % 2)
            if any(self._pad):
                width, height = width + self._pad[0], height + self._pad[1]
                self.notes.append(
                    f"{codec} needs even sides: the picture of {self.size[0]}x{self.size[1]} was padded to "
                    f"{width}x{height} by repeating its edge."
                )
        encoder = encode.find_encoder(codec, (width, height), quality, hardware, alpha)
        self.encoder = encoder.name
        return encode.VideoSink(self._temporary, form, encoder, (width, height), self._rate, time_base, audio)

    # ---- work -------------------------------------------------------------------------------------------------------
    @property
    def note(self) -> str:
        """All notes as one text."""
        return " ".join([*self.notes, *self._sink.notes])

    @property
    def frames(self) -> int:
        """Number of frames written so far."""
        return self._sink.frames

    def write(self, rgb: np.ndarray, time: Fraction | None = None, alpha: np.ndarray | None = None) -> None:
        """Write one frame.

        Args:
            rgb: (H, W, 3) uint8 of the size given; never scaled.
            time: Seconds from the first frame, rising; None is one frame after the last.
            alpha: (H, W) uint8 or None.

        Raises:
            ValueError: The size, type or time is wrong.
            MediaError: The disk is full or the encoder refuses; what was written is removed.
        """
        if self._state != "open":
            raise ValueError(f"{self.path} is finished; no frame can follow")
        width, height = self.size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"frame is {rgb.dtype} {rgb.shape}; uint8 ({height}, {width}, 3) was promised")
        if alpha is not None and alpha.shape != (height, width):
            raise ValueError(f"alpha is {alpha.shape}; ({height}, {width}) was promised")
        if time is None:
            time = Fraction(0) if self._last is None else self._last + 1 / self._rate
        time = Fraction(time)
        if time < 0 or (self._last is not None and time <= self._last):
            raise ValueError(f"frame time {float(time):g} s does not follow {float(self._last or 0):g} s")
        self._last = time
        if not self._keeps_alpha:
            rgb, alpha = flatten(rgb, alpha, self._background), None
        if any(self._pad):
            edge = ((0, self._pad[1]), (0, self._pad[0]))
            rgb = np.pad(rgb, (*edge, (0, 0)), "edge")
        try:
            self._sink.write(rgb, alpha, time)
        except AppError:
            self._discard()
            raise
        except FAILURES as error:
            self._discard()
            raise files.write_error(self.path, error) from error

    def finish(self, end: Fraction | None = None) -> Path:
        """Complete the file and give it its name.

        Args:
            end: Seconds at which the last frame ends; None is one frame after it began.

        Returns:
            The path of the output.

        Raises:
            MediaError: Nothing was written, or the disk refuses; no file is left.
        """
        if self._state != "open":
            return self.path
        if not self.frames:
            self._discard()
            raise MediaError(f"{self.path} was not written: there is no frame.")
        self._complete(self.path, end)
        return self.path

    def abort(self, keep: bool = True) -> Path | None:
        """Break off.

        Args:
            keep: Complete what there is as a playable file named {stem}.partial{suffix}; False removes it.

        Returns:
            The partial file, or None.
        """
        if self._state != "open":
            return None
        if not keep or not self.frames:
            self._discard()
            return None
        target = files.partial_name(self.path)
        if self._spread:
            target = self.path.with_name(f"{PATTERN.sub('', self.path.stem).rstrip('._- ')}.partial")
        self._complete(target, None)
        return target

    def _complete(self, target: Path, end: Fraction | None) -> None:
        """Finish and rename to ``target``."""
        try:
            self._sink.finish(end)
            if isinstance(self._sink, SequenceSink):
                spread = self._spread and target == self.path
                self._sink.move(target.parent if spread else target, spread)
            else:
                files.sync(self._temporary)
                os.replace(self._temporary, target)
            self._state = "done"
        except FAILURES as error:
            self._discard()
            raise files.write_error(target, error) from error
        self.notes += self._sink.notes
        self._sink.notes = []

    def _discard(self) -> None:
        """Let go of the file and remove it."""
        self._state = "done"
        with contextlib.suppress(*FAILURES):
            self._sink.close()
        files.remove(self._temporary)

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._state == "open":
            self._discard()
