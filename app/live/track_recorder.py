"""The sink that records a face tracker's readings as an expression track, which can then drive any portrait."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from app.frames.voices import SUFFIX, save_track
from app.live.sinks import Sink
from app.media import files
from liveportrait.expression import SLIDERS
from liveportrait.expression_track import MOST_KEYS, Channel, ExpressionTrack
from models.messages import msg

if TYPE_CHECKING:
    from app.live.frames import LiveFrame

WAITING: Final = 64  # frames that may wait
_NAMES: Final = tuple(SLIDERS)
_ROW: Final = struct.Struct(f"<d{len(_NAMES)}f")
_DTYPE: Final = np.dtype([("time", "<f8"), ("values", "<f4", (len(_NAMES),))])


class TrackRecorderSink(Sink):
    """Writes the sliders of each frame to a speech template (.speech), buffered in a scratch file.

    Restarting the session records to another file; a file created in the meantime is never replaced.

    Args:
        path: Name of the template.
        overwrite: Whether an existing file may be replaced.
        inputs: Input files of the session, which the recording must not replace.

    Raises:
        AppError: The file can't be written there; checked at once.
    """

    name = "recorder"
    depth = WAITING
    patience = 60.0

    def __init__(self, path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()) -> None:
        super().__init__()
        self.path = files.check_output(path, overwrite, inputs)
        self._replaces = overwrite
        self._rows: IO[bytes] | None = None
        self._count = 0
        self._zero = self._last = 0.0

    def open(self) -> None:
        """See Sink.open."""
        try:
            self._rows = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise files.scratch_error(error) from error
        self._count = 0

    def write(self, frame: LiveFrame) -> None:
        """See Sink.write; frames that were rendered again, and those of other drivers, are skipped."""
        assert self._rows is not None
        expression = frame.expression
        if expression is None or not frame.fresh or self._count >= MOST_KEYS:
            return
        if not self._count:
            self._zero, self._last = frame.time, frame.time - 1
        if frame.time <= self._last:
            return
        values = [expression.values.get(name, SLIDERS[name].default) for name in _NAMES]
        try:
            self._rows.write(_ROW.pack(frame.time - self._zero, *values))
        except OSError as error:
            raise files.scratch_error(error) from error
        self._last = frame.time
        self._count += 1

    def close(self) -> str:
        """See Sink.close: write the template."""
        rows, self._rows = self._rows, None
        if rows is None:
            return ""
        with rows:
            if not self._count:
                return msg("{path} was not written: no face tracker or voice moved the portrait.", self.path)
            rows.seek(0)
            table = np.frombuffer(rows.read(), _DTYPE)
        target = self.path if self._replaces or not self.path.exists() else files.free_name(self.path)
        self._replaces = False
        track = track_of(table)
        save_track(target, track)
        return msg("Recorded {path} ({count} expressions, {seconds} s).", target, self._count, f"{track.duration:.1f}")


def track_of(table: np.ndarray[Any, Any]) -> ExpressionTrack:
    """A track from rows of time and values; sliders that never move are omitted."""
    times = table["time"].astype(np.float64)
    channels = {}
    for column, name in enumerate(_NAMES):
        slider = SLIDERS[name]
        values = np.clip(table["values"][:, column].astype(np.float64), slider.minimum, slider.maximum)
        if (values != slider.default).any():
            channels[name] = Channel(times, values, "linear")
    if not channels:  # a neutral face still has a length
        channels["lip_open"] = Channel(times[:1], np.zeros(1), "linear")
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / 30
    return ExpressionTrack(channels, float(times[-1]) + step)


def records_track(path: str) -> bool:
    """Whether a recording with this name is a track and not a video."""
    return Path(path).suffix.lower() == SUFFIX
