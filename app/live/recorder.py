"""The sink that records the session: every frame has its capture time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.errors import MediaError, UsageError
from app.live import rescue
from app.live.sinks import Sink
from app.media import files
from app.media.encode import FORMATS, holds_alpha
from app.media.microphone import Microphone, MicrophoneSound
from app.media.virtual_camera import fit_picture
from app.media.writer import ClipWriter, Codec, check_clip
from app.provenance.mark import FULL, OFF, Marking
from liveportrait.patched import split
from models.messages import msg

if TYPE_CHECKING:
    from app.live.frames import LiveFrame, Pixels
    from app.live_options import LiveOptions
    from app.options import OutputOptions

TICKS: Final = 90_000  # time stamps are multiples of 1/90000 s
WAITING: Final = 16  # frames that may wait for the encoder
STEP: Final = 90  # ticks between frames that would have the same time
STILL: Final = 1.0  # seconds without a new frame after which the last one is written again
LOOK: Final = 2.0  # seconds between checks of the free disk space
ROOM: Final = 64 << 20  # bytes to leave free; completing a file needs some
SILENT: Final = 2.0  # seconds of missing microphone sound at the end that are reported


def free_bytes(folder: Path) -> int:
    """Free space on the disk of a folder."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True)
class Progress:
    """How far a recording is.

    Attributes:
        seconds: Its length.
        size: Bytes written.
        level: Loudness of the microphone's last block, 0 to 1; None without a microphone.
    """

    seconds: float
    size: int
    level: float | None


class RecorderSink(Sink):
    """Writes a clip. Frames are dropped if the encoder is too slow; the others keep their times.

    The clip has the size of the first frame; later frames of another size get bars. Transparency is
    kept where the format can hold it (WebM, MOV, MKV). While no frame arrives, the last
    one is repeated every second, so that the sound continues. A recording ends before the disk is full. Restarting the
    session records to another file: "clip.mp4", then "clip-2.mp4".

    Args:
        path: Name of the video file.
        rate: Expected frames per second; used only by the encoder's rate control.
        quality: 0-100.
        codec: See ``ClipWriter``.
        hardware: See ``ClipWriter``.
        overwrite: Whether an existing file may be replaced.
        microphone: Record the microphone's sound.
        inputs: Input files of the session, which the recording must not replace.
        stream: Creates the microphone's stream, see ``Microphone``.
        free: Returns the free bytes on the disk of a folder.
        marking: How the recording is marked as made by AI; fully by default.

    Raises:
        AppError: The file can't be written there; checked at once.
    """

    name = "recorder"
    depth = WAITING
    interval = STILL
    patience = 600.0  # the index of a long MP4 is moved to the front

    def __init__(
        self,
        path: str | Path,
        *,
        rate: Fraction = Fraction(30),
        quality: int = 80,
        codec: Codec = "auto",
        hardware: str = "none",
        overwrite: bool = False,
        microphone: bool = False,
        inputs: Iterable[str | Path] = (),
        stream: Callable[..., Any] | None = None,
        free: Callable[[Path], int] = free_bytes,
        marking: Marking = FULL,
    ) -> None:
        super().__init__()
        self.path = self._named = Path(path)
        if self.path.suffix.lower() not in FORMATS:
            raise UsageError(
                msg("{path} is not the name of a video file.", self.path), msg("End it in {names}.", ", ".join(FORMATS))
            )
        own = tuple(inputs)
        check_clip(self.path, codec, overwrite=overwrite, inputs=own)
        self._how: dict[str, Any] = {
            "quality": quality, "codec": codec, "hardware": hardware, "overwrite": overwrite, "inputs": own,
            "marking": marking,
        }  # fmt: skip
        self._rate = rate
        self._wants_sound = microphone
        self._stream = stream
        self._free = free
        self._microphone: Microphone | None = None
        self._writer: ClipWriter | None = None
        self._picture: Pixels | None = None  # the last frame
        self._clear = False  # whether transparency is recorded
        self._zero = 0.0
        self._last = -1
        self._looked = 0.0
        self._done = False  # the file is complete, or could not be written
        self._number = 0  # number of completed recordings
        self._noted: Path | None = None  # file that notes that it runs
        self._kept: list[Path] = []  # completed files of recordings that were cut off before

    @classmethod
    def of(
        cls, path: str | Path, output: OutputOptions, live: LiveOptions, inputs: Iterable[str | Path] = ()
    ) -> RecorderSink:
        """The recorder requested by options.

        Args:
            path: Name of the video file.
            output: quality, codec, encoder, marks and overwriting.
            live: Microphone, and the expected frame rate.
            inputs: Input files of the session, which the recording must not replace.

        Raises:
            AppError: The file can't be written there.
        """
        asked = {name: getattr(output, name) for name in ("quality", "codec", "hardware", "overwrite")}
        rate = Fraction(live.camera_rate or live.hold_rate).limit_denominator(1001)
        return cls(path, rate=rate, microphone=live.microphone, inputs=inputs, marking=Marking.of(output), **asked)

    def open(self) -> None:
        """See Sink.open."""
        self._writer = None
        self._picture = None
        if self._wants_sound:
            self._microphone = Microphone(clock=self.clock, stream=self._stream)

    def write(self, frame: LiveFrame) -> None:
        """See Sink.write."""
        if self._writer is None:
            self._begin(frame)
        assert self._writer is not None
        clear = self._clear and frame.picture.shape[:2] == self._writer.size[::-1]
        picture = frame.picture if clear else fit_picture(frame.opaque, self._writer.size, "contain")
        self._write(picture, frame.time)

    def idle(self) -> None:
        """See Sink.idle: extend the last frame and the sound."""
        now = self.clock()
        if self._picture is not None and now - self._zero - self._last / TICKS >= STILL:
            self._write(self._picture, now)

    def _write(self, picture: Pixels, time: float) -> None:
        writer = self._writer
        assert writer is not None
        ticks = max(round((time - self._zero) * TICKS), self._last + STEP if self._last >= 0 else 0)
        try:
            rgb, alpha = split(picture)
            writer.write(rgb, Fraction(ticks, TICKS), alpha)
        except Exception:
            self._writer, self._done = None, True  # nothing is left to complete
            self._forget()
            raise
        self._last, self._picture = ticks, picture
        if abs(time - self._looked) >= LOOK:
            self._looked = time
            if self._free(self.path.parent) < ROOM:
                self._done = True
                raise MediaError("The disk is nearly full: the recording has ended.", self._complete())

    def _begin(self, frame: LiveFrame) -> None:
        height, width = frame.picture.shape[:2]
        for one in rescue.cut_off():
            if one.target == self.path.absolute():  # the new recording would remove what is left of it
                self._kept.append(rescue.complete(one, files.partial_name(one.target)))
        self._zero = self._looked = frame.time
        self._last = -1
        self.path = self._free_name()
        sound: Any = MicrophoneSound(self._microphone, self._zero) if self._microphone is not None else None
        self._clear = frame.picture.shape[2] == 4 and holds_alpha(self.path, self._how["codec"])
        size = (width, height) if self._clear else (width - width % 2, height - height % 2)
        self._writer = ClipWriter(
            self.path, size, self._rate, Fraction(1, TICKS), sound, alpha=self._clear, durable=True, **self._how
        )
        self._noted = rescue.note(self._writer.scratch, self.path)

    def _free_name(self) -> Path:
        """The requested name; after the first recording the next free one."""
        number, path = self._number, self._named
        while number and (path == self._named or path.exists()):
            number += 1
            path = self._named.with_name(f"{self._named.stem}-{number}{self._named.suffix}")
        return path

    def _forget(self) -> None:
        """Remove the note that the recording runs."""
        noted, self._noted = self._noted, None
        if noted is not None:
            files.remove(noted)

    @property
    def progress(self) -> Progress | None:
        """How far it is; None before the first frame and after the end. Callable from any thread."""
        writer, microphone = self._writer, self._microphone
        if writer is None:
            return None
        with contextlib.suppress(OSError):
            level = None if microphone is None else microphone.level
            return Progress(max(0.0, self.clock() - self._zero), writer.scratch.stat().st_size, level)
        return None

    def close(self) -> str:
        """See Sink.close: complete the file."""
        done, self._done, self._picture = self._done, False, None
        try:
            return "" if done else self._complete()
        finally:
            microphone, self._microphone = self._microphone, None
            if microphone is not None:
                microphone.close()

    def _complete(self) -> str:
        writer, self._writer, microphone = self._writer, None, self._microphone
        if writer is None:
            return msg("{path} was not written: there was no frame.", self.path)
        end = max(round((self.clock() - self._zero) * TICKS), self._last + STEP)
        try:
            writer.finish(Fraction(end, TICKS))
        finally:
            self._forget()
        self._number += 1
        dropped = f", {self.dropped} left out because the encoder was too slow" if self.dropped else ""
        recorded = _recorded(self.path, writer.frames, f"{end / TICKS:.1f}", dropped)
        if not self._how["marking"].in_metadata:
            recorded = f"{recorded} {OFF}"
        for path in self._kept:
            recorded = f"{recorded} {msg('A recording that was cut off before is kept as {path}.', path)}"
        self._kept = []
        heard = end / TICKS if microphone is None else microphone.heard - self._zero
        return recorded if heard >= end / TICKS - SILENT else f"{recorded} {_silent(max(0.0, heard))}"


def _recorded(path: Path, frames: int, seconds: str, dropped: str) -> str:
    return msg("Recorded {path} ({frames} frames, {seconds} s{dropped}).", path, frames, seconds, dropped)


def _silent(since: float) -> str:
    return msg("The microphone delivered no sound after {since:.1f} s.", since)
