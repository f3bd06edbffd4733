"""The sink that records the session: every frame at the time at which it was captured."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.errors import UsageError
from app.live.sinks import Sink
from app.media.encode import FORMATS
from app.media.files import check_output
from app.media.microphone import Microphone, MicrophoneSound
from app.media.virtual_camera import fit_picture
from app.media.writer import ClipWriter, Codec

if TYPE_CHECKING:
    from app.live.frames import LiveFrame

TICKS: Final = 90_000  # time stamps are multiples of 1/90000 s
WAITING: Final = 16  # frames that may wait for the encoder
STEP: Final = 90  # ticks between two frames that would fall on the same time


class RecorderSink(Sink):
    """Writes a clip. Frames that the encoder is too slow for are left out; the others keep their times.

    The clip has the size of the first frame; later pictures of another size get bars.

    Args:
        path: Name of the video file.
        rate: Frames a second to be expected; only the encoder's rate control uses it.
        quality: 0-100.
        codec: See ``ClipWriter``.
        hardware: See ``ClipWriter``.
        overwrite: Whether an existing file may be replaced.
        microphone: Lay the microphone's sound under it.
        stream: Makes the microphone's stream, see ``Microphone``.

    Raises:
        AppError: The file can't be written there; checked at once.
    """

    name = "recorder"
    depth = WAITING

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
        stream: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        if self.path.suffix.lower() not in FORMATS:
            raise UsageError(f"{self.path} is not the name of a video file.", f"End it in {', '.join(FORMATS)}.")
        check_output(self.path, overwrite)
        self._how: dict[str, Any] = {"quality": quality, "codec": codec, "hardware": hardware, "overwrite": overwrite}
        self._rate = rate
        self._wants_sound = microphone
        self._stream = stream
        self._microphone: Microphone | None = None
        self._writer: ClipWriter | None = None
        self._zero = 0.0
        self._last = -1

    def open(self) -> None:
        """See Sink.open."""
        self._writer = None
        if self._wants_sound:
            self._microphone = Microphone(clock=self.clock, stream=self._stream)

    def show(self, frame: LiveFrame) -> None:
        """See Sink.show."""
        if self._writer is None:
            self._begin(frame)
        assert self._writer is not None
        ticks = max(round((frame.time - self._zero) * TICKS), self._last + STEP if self._last >= 0 else 0)
        self._last = ticks
        self._writer.write(fit_picture(frame.picture, self._writer.size, "contain"), Fraction(ticks, TICKS))

    def _begin(self, frame: LiveFrame) -> None:
        height, width = frame.picture.shape[:2]
        self._zero = frame.time
        self._last = -1
        sound: Any = MicrophoneSound(self._microphone, self._zero) if self._microphone is not None else None
        size = (width - width % 2, height - height % 2)
        self._writer = ClipWriter(self.path, size, self._rate, Fraction(1, TICKS), sound, **self._how)

    def close(self) -> str:
        """See Sink.close: complete the file."""
        writer, self._writer = self._writer, None
        microphone, self._microphone = self._microphone, None
        try:
            if writer is None:
                return f"{self.path} was not written: there was no frame."
            end = max(round((self.clock() - self._zero) * TICKS), self._last + STEP)
            writer.finish(Fraction(end, TICKS))
        finally:
            if microphone is not None:
                microphone.close()
        dropped = f", {self.dropped} left out because the encoder was too slow" if self.dropped else ""
        return f"Recorded {self.path} ({writer.frames} frames, {end / TICKS:.1f} s{dropped})."
