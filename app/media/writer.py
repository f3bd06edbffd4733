"""Write clips: exact time stamps, sound in sync, and nothing under the final name until it is complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal

import av
import numpy as np

from app.errors import AppError, MediaError, UsageError
from app.media import encode, files, images, outnames
from app.media.audio import AudioSource
from app.media.images import WHITE, Color, flatten
from app.media.pictures import members
from app.media.stillsinks import PATTERN, GifSink, SequenceSink, StillSink, numbered, sequence_pattern
from app.media.streams import STDOUT, Pipe
from app.provenance import credentials, keys
from app.provenance.mark import FULL, OFF, Marking
from liveportrait.patched import Outline, Patched, Window, separate, split
from models.messages import msg

Codec = Literal["auto", "h264", "hevc", "av1", "vp9", "prores", "gif", "png"]
Sink = encode.VideoSink | GifSink | SequenceSink | StillSink
Kind = Literal["video", "gif", "sequence", "still"]
FAILURES = (OSError, av.FFmpegError, ValueError, MemoryError)


def check_clip(
    path: Path, codec: str = "auto", alpha: bool = False, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> Kind:
    """Check that a clip can be written under a name, before any work is done.

    Args:
        path: See ClipWriter.
        codec: See ClipWriter.
        alpha: Whether transparency should be kept.
        overwrite: Whether existing files may be replaced.
        inputs: Input files, image folders and patterns of the same run, which must not be replaced.

    Returns:
        The kind of output: a video, a GIF, numbered images or one image.

    Raises:
        UsageError: The name or codec can't be used, a file exists, or it is an input.
        MediaError: The folder is missing or can't be written.
    """
    outnames.check_name(path)
    kind = clip_kind(path, codec, alpha)
    own = _members(inputs)
    if kind != "sequence":
        files.check_output(path, overwrite, own)
        return kind
    pattern = sequence_pattern(path)
    if pattern != path and path.is_file():
        raise UsageError(msg("{path} is a file and can't be a folder of images.", path), "Choose another name.")
    files.check_output(pattern if pattern == path else path, True)
    there = numbered(pattern)
    for taken in there.values():
        outnames.check_plain(taken)
    if there and not overwrite:
        raise UsageError(
            msg("{there} already exists.", there[min(there)]),
            msg("Add {option:overwrite} to replace it, or choose another name."),
        )
    outnames.check_not_inputs(there.values(), own)
    return kind


def check_picture(path: Path, overwrite: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Check that one image can be written under a name, in which percent signs have no meaning; see check_clip.

    Raises:
        UsageError: The name can't be used, the file exists, or it is an input.
        MediaError: The folder is missing or can't be written.
    """
    images.image_format(path)
    files.check_output(path, overwrite, _members(inputs))


def _members(inputs: Iterable[str | Path]) -> list[Path]:
    return [one for given in inputs for one in members(Path(given))]


def clip_kind(path: Path, codec: str = "auto", alpha: bool = False) -> Kind:
    """The kind of output that a name and a codec stand for.

    Raises:
        UsageError: They don't fit together, or can't be written.
    """
    suffix = path.suffix.lower()
    if PATTERN.search(path.name) and suffix in images.WRITABLE:
        return "sequence"
    if suffix in images.WRITABLE and codec in ("auto", "png"):
        return "still"
    if codec == "png" or (codec == "auto" and not suffix):
        if suffix in (*encode.FORMATS, ".gif"):
            raise UsageError(
                msg("{path} is the name of a clip, not of numbered images.", path),
                "Choose a name such as shot-%05d.png.",
            )
        return "sequence"
    if suffix == ".gif":
        if codec not in ("auto", "gif"):
            raise UsageError(msg(".gif can't hold {codec}.", codec), "Use another extension.")
        return "gif"
    if codec == "gif":
        raise UsageError(msg("{path} does not end in .gif.", path), "Choose a name that does, or another codec.")
    encode.codec_for(path, codec, alpha)
    return "video"


class ClipWriter:
    """Writes a clip, an animated GIF, numbered images or one image, depending on the output name.

    Use it in a ``with`` statement and call ``finish`` at the end; leaving the block without it removes what was
    written. The file gets its name only when it is complete.

    Args:
        path: .mp4, .mov, .mkv, .webm, .gif; a pattern such as "shot_%05d.png" or a folder name for numbered images;
            .png, .jpg, .webp, .tif or .bmp for one image.
        size: (width, height) of the frames in pixels.
        rate: Average frames per second, exact.
        time_base: Unit of the time stamps that will be written, such as ``ClipInfo.time_base``; None if all times
            are multiples of 1/rate.
        audio: Sound to mux with the video, or None.
        codec: "auto" means h264 for .mp4, .mov and .mkv, VP9 for .webm, ProRes 4444 for .mov with alpha.
        quality: 0-100; 80 is visually close to the original.
        hardware: "auto" uses a graphics card's encoder if one works, "none" does not.
        alpha: Keep transparency if the format supports it (WebM, MOV, MKV, GIF, PNG); else frames are laid on
            ``background``.
        overwrite: Whether an existing file may be replaced.
        background: Colour behind transparent parts if the output has no alpha.
        inputs: Input files of the same run, which the output must not replace.
        pipe: Stream the result there as a fragmented file instead of writing to disk; ``path`` only names the format.
        marking: How the result is marked as made by AI; fully by default.
        loop: Number of frames of a clip that will be repeated, so that its end must meet its beginning; 0 for others.
        durable: Write a video so that it can be read up to the last second even if the program is killed.

    Attributes:
        notes: Sentences about adaptations: padding, re-encoded sound, transparency laid on a colour.
        encoder: Name of the encoder in use.
        frames: Number of frames written.

    Raises:
        UsageError: The name, codec or options can't be used, the file exists, or it is an input.
        MediaError: The folder is missing or can't be written, the disk is full, or encoding fails.
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
        pipe: Pipe | None = None,
        marking: Marking = FULL,
        loop: int = 0,
        durable: bool = False,
    ) -> None:
        self._pipe, self._durable = pipe, durable
        self._loop = loop
        self._marking = marking
        self.path = Path(path)
        self.size = size
        self.notes: list[str] = []
        self.encoder = ""
        self._rate = Fraction(rate)
        self._background = background
        self._keeps_alpha = alpha
        self._pad = (0, 0)
        self._last: Fraction | None = None
        self._before: Outline | None = None  # last frame, if the next one can be compared with it
        self._state: Literal["open", "done"] = "open"
        if min(size) < 1:
            raise UsageError(msg("The output size {size}x{size2} has no pixels.", size[0], size[1]))
        if self._rate <= 0:
            raise UsageError(msg("The output rate is {rate} frames per second.", self._rate), "It must be above 0.")
        if not 0 <= quality <= 100:
            raise UsageError(msg("The quality {quality} is out of range.", quality), "It goes from 0 to 100.")
        self._overwrite = overwrite
        sources = [*inputs, *([audio.path] if audio is not None else [])]
        if pipe is None:
            kind = check_clip(self.path, codec, alpha, overwrite, sources)
        else:
            kind = clip_kind(self.path, codec, alpha)
        self._spread = kind == "sequence" and sequence_pattern(self.path) == self.path
        self._named = self.path  # name used in errors
        if self._spread:
            self._named = self.path.with_name(PATTERN.sub("", self.path.stem).rstrip("._- ") or "pictures")
        self._temporary = files.scratch_name(self._named) if pipe is None else self.path
        if audio is not None and audio.present and kind != "video":
            self.notes.append(msg("{name} can't contain sound.", self.path.name))
        if not marking.in_metadata:
            self.notes.append(OFF)
        keys.check_pair(marking)
        try:
            self._sink = self._open(kind, codec, quality, hardware, time_base, audio)
        except AppError:
            self._remove()
            raise
        except FAILURES as error:
            self._remove()
            raise self._failure(error) from error

    def _remove(self) -> None:
        if self._pipe is None:
            files.remove(self._temporary)

    def _failure(self, error: BaseException, path: Path | None = None) -> AppError:
        return files.write_error(path or self.path, error) if self._pipe is None else self._pipe.error(error)

    # ---- set-up -----------------------------------------------------------------------------------------------------
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
            return GifSink(self._pipe or self._temporary, self.size, self._rate, alpha, self._marking)
        if kind == "sequence":
            self.encoder = "png"
            pattern = sequence_pattern(self.path)
            return SequenceSink(self._temporary, pattern, quality, alpha, self._background, self._marking)
        if kind == "still":
            self.encoder = images.image_format(self.path).lower()
            return StillSink(self._temporary, self.path, quality, alpha, self._background, self._marking)
        form, codec = encode.codec_for(self.path, codec, alpha)
        if alpha and codec not in encode.WITH_ALPHA:
            self.notes.append(
                msg("{codec} does not support transparency; transparent parts were filled with a plain colour.", codec)
            )
            alpha = self._keeps_alpha = False
        width, height = self.size
        if codec not in encode.ODD_SIZES:
            self._pad = (width % 2, height % 2)
            if any(self._pad):
                width, height = width + self._pad[0], height + self._pad[1]
                self.notes.append(
                    msg(
                        "{codec} needs even sides: the image of {size}x{size2} was padded to {width}x{height} by "
                        "repeating its edge.",
                        codec, self.size[0], self.size[1], width, height
                    )
                )  # fmt: skip
        encoder = encode.find_encoder(codec, (width, height), quality, hardware, alpha)
        if self._loop:
            encoder = encode.seamless(encoder, self._loop)
        self.encoder = encoder.name
        return encode.VideoSink(
            self._pipe or self._temporary,
            form,
            encoder,
            (width, height),
            self._rate,
            time_base,
            audio,
            self._marking,
            self._durable,
        )

    # ---- work -------------------------------------------------------------------------------------------------------
    @property
    def note(self) -> str:
        """All notes as one text."""
        return " ".join([*self.notes, *self._sink.notes])

    @property
    def scratch(self) -> Path:
        """The hidden file that is being written."""
        return self._temporary

    @property
    def frames(self) -> int:
        """Number of frames written so far."""
        return self._sink.frames

    def write(self, rgb: np.ndarray, time: Fraction | None = None, alpha: np.ndarray | None = None) -> None:
        """Write one frame.

        Args:
            rgb: (H, W, 3) uint8 of the size given; never scaled.
            time: Seconds from the first frame, increasing; None is one frame after the last.
            alpha: (H, W) uint8 or None.

        Raises:
            ValueError: The size, type or time is wrong.
            MediaError: The disk is full or encoding fails; the incomplete file is removed.
        """
        width, height = self.size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise ValueError(
                msg(
                    "frame is {dtype} {shape}; uint8 ({height}, {width}, 3) was promised",
                    rgb.dtype, rgb.shape, height, width
                )
            )  # fmt: skip
        if alpha is not None and alpha.shape != (height, width):
            raise ValueError(msg("alpha is {shape}; ({height}, {width}) was promised", alpha.shape, height, width))
        self._before = None
        self._write(self._next_time(time), lambda at: self._sink.write(*self._prepared(rgb, alpha), at))

    def write_patched(self, picture: Patched, time: Fraction | None = None) -> None:
        """Write one frame, converting only the parts that changed since the last one.

        Args:
            picture: (H, W, 3 or 4) of the size given; the arrays in it must not be modified later.
            time: See ``write``.

        Raises:
            ValueError: See ``write``.
            MediaError: See ``write``.
        """
        if picture.shape[:2] != self.size[::-1] or picture.base.dtype != np.uint8:
            raise ValueError(
                msg(
                    "frame is {dtype} {shape}; uint8 {size} was promised",
                    picture.base.dtype, picture.shape, self.size[::-1]
                )
            )  # fmt: skip
        at, windows = self._next_time(time), picture.changes(self._before)
        self._before = picture.outline()
        sink = self._sink
        if windows is not None and isinstance(sink, encode.VideoSink) and sink.can_update:
            self._write(at, lambda at: sink.update(separate(windows), lambda part: self._part(picture, part), at))
        else:
            self._write(at, lambda at: self._sink.write(*self._prepared(*split(picture.whole())), at))

    def _next_time(self, time: Fraction | None) -> Fraction:
        if self._state != "open":
            raise ValueError(msg("{path} is finished; no frame can follow", self.path))
        if time is None:
            time = Fraction(0) if self._last is None else self._last + 1 / self._rate
        time = Fraction(time)
        if time < 0 or (self._last is not None and time <= self._last):
            raise ValueError(
                msg("frame time {time:g} s does not follow {last:g} s", float(time), float(self._last or 0))
            )
        self._last = time
        return time

    def _part(self, picture: Patched, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """RGB and alpha of a part of the padded frame."""
        x0, y0, x1, y1 = window
        width, height = self.size
        part = picture.region((min(x0, width - 1), min(y0, height - 1), min(x1, width), min(y1, height)))
        return self._prepared(*split(part), pad=(max(0, x1 - width), max(0, y1 - height)))

    def _prepared(
        self, rgb: np.ndarray, alpha: np.ndarray | None, pad: tuple[int, int] | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """A frame or a part of it in the form that the sink expects: laid on the background, padded."""
        if not self._keeps_alpha:
            rgb, alpha = flatten(rgb, alpha, self._background), None
        pad = self._pad if pad is None else pad
        if any(pad):
            rgb = np.pad(rgb, ((0, pad[1]), (0, pad[0]), (0, 0)), "edge")
        return rgb, alpha

    def _write(self, time: Fraction, write: Callable[[Fraction], None]) -> None:
        try:
            write(time)
        except AppError:
            self._discard()
            raise
        except FAILURES as error:
            self._discard()
            raise self._failure(error) from error

    def finish(self, end: Fraction | None = None) -> Path:
        """Complete the file and give it its name.

        Args:
            end: Seconds at which the last frame ends; None is one frame after it began.

        Returns:
            The path of the output.

        Raises:
            MediaError: Nothing was written, or writing fails; no file is left.
            UsageError: A file of this name was created in the meantime; the result is kept under another name.
        """
        if self._state != "open":
            return self.path
        if not self.frames:
            self._discard()
            raise MediaError(msg("{path} was not written: there is no frame.", self.path))
        if self._taken():
            kept = files.free_name(self._named)
            self._complete(kept, end)
            raise UsageError(
                msg("{path} was created in the meantime.", self.path), msg("The result is kept as {kept}.", kept)
            )
        self._complete(self.path, end)
        return self.path

    def _taken(self) -> bool:
        """Whether the name, free at the start, has been taken in the meantime."""
        if self._pipe is not None:
            return False
        if isinstance(self._sink, SequenceSink):
            there = numbered(sequence_pattern(self.path)).values()
            return any(outnames.special(path) for path in there) if self._overwrite else bool(there)
        return bool(outnames.special(self.path)) or (self.path.exists() and not self._overwrite)

    def abort(self, keep: bool = True) -> Path | None:
        """Stop before the end.

        Args:
            keep: Finish the frames so far as a playable file named {stem}.partial{suffix}; False removes them.

        Returns:
            The partial file, or None.
        """
        if self._state != "open":
            return None
        if not keep or not self.frames:
            self._discard()
            return None
        target = files.partial_name(self._named) if self._pipe is None else STDOUT
        self._complete(target, None)
        return target

    def _complete(self, target: Path, end: Fraction | None) -> None:
        """Finish and rename to ``target``."""
        try:
            self._sink.finish(end)
            if isinstance(self._sink, SequenceSink):
                spread = self._spread and target == self.path
                self._sink.move(target.parent if spread else target, spread)
                if target == self.path:
                    self.notes += self._left_over()
            elif self._pipe is None:
                files.sync(self._temporary)
                said, manifest = credentials.sign(self._temporary, self._marking, self._named)
                self.notes += [said] if said else []
                os.replace(self._temporary, target)
                self.notes += credentials.lay_beside(target, manifest)
            self._state = "done"
        except FAILURES as error:
            self._discard()
            raise self._failure(error, target) from error
        self.notes += self._sink.notes
        self._sink.notes = []

    def _left_over(self) -> list[str]:
        """A sentence about leftover images of an older, longer result."""
        there = numbered(sequence_pattern(self.path))
        rest = [number for number in there if number > self.frames]
        if not rest:
            return []
        return [f"Images of an older result are still there: {len(rest)} from {there[min(rest)]} on."]

    def _discard(self) -> None:
        """Close the file and remove it."""
        self._state = "done"
        with contextlib.suppress(*FAILURES):
            self._sink.close()
        self._remove()

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._state == "open":
            self._discard()
