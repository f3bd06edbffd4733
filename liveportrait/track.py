"""Motion of a whole clip, stored on disk so that memory does not grow with the clip's length."""

from __future__ import annotations

import io
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Motion
from models.messages import msg

Fault = Callable[[OSError], Exception]


class RowFile:
    """Equal rows of float32 numbers in a nameless scratch file; append-only, readable anywhere.

    Args:
        fault: Error to raise from every method instead of a disk's OSError; None keeps the OSError.

    Raises:
        OSError: Reading or writing fails.
    """

    def __init__(self, fault: Fault | None = None) -> None:
        self._fault = fault
        with self._disk_errors():
            self._file: IO[bytes] = tempfile.TemporaryFile(prefix="motion-")  # noqa: SIM115 - closed by close
        self._width = 0
        self._length = 0

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._fault is None:
                raise
            raise self._fault(error) from error

    def __len__(self) -> int:
        return self._length

    def append(self, row: npt.NDArray[np.float32]) -> None:
        """Add a row; the first one sets the width."""
        self._width = self._width or row.size
        if row.size != self._width:
            raise ValueError(msg("row of {size} numbers in a file of rows of {width}", row.size, self._width))
        with self._disk_errors():
            self._file.seek(0, io.SEEK_END)
            self._file.write(np.ascontiguousarray(row, np.float32).tobytes())
        self._length += 1

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """(stop - start, width) rows."""
        size = 4 * self._width
        with self._disk_errors():
            self._file.seek(start * size)
            data = self._file.read((stop - start) * size)
        return np.array(np.frombuffer(data, np.float32).reshape(stop - start, self._width))

    def close(self) -> None:
        """Close the file; errors don't matter, as it is discarded anyway."""
        with suppress(OSError):
            self._file.close()


@dataclass(frozen=True)
class Layout:
    """Layout of a one-frame Motion in a row."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    engine: str

    @classmethod
    def of(cls, motion: Motion) -> Layout:
        """Layout of the motions of one engine."""
        names = ("rotation", "translation", "scale", "delta", "eye_ratio", "lip_ratio")
        shapes = [(name, getattr(motion, name).shape[1:]) for name in names]
        shapes += [(f"extra.{name}", motion.extra[name].shape[1:]) for name in sorted(motion.extra)]
        return cls(tuple(shapes), motion.engine)

    def pack(self, motion: Motion) -> npt.NDArray[np.float32]:
        """(N, width) rows of N frames."""
        parts = [
            motion.extra[name[6:]] if name.startswith("extra.") else getattr(motion, name) for name, _ in self.shapes
        ]
        return np.concatenate([np.asarray(p, np.float32).reshape(len(motion), -1) for p in parts], axis=1)

    def unpack(self, rows: npt.NDArray[np.float32]) -> Motion:
        """Motion of N rows."""
        values: dict[str, npt.NDArray[np.float32]] = {}
        at = 0
        for name, shape in self.shapes:
            width = int(np.prod(shape))
            values[name] = rows[:, at : at + width].reshape(len(rows), *shape)
            at += width
        extra = {name[6:]: value for name, value in values.items() if name.startswith("extra.")}
        plain = {name: value for name, value in values.items() if not name.startswith("extra.")}
        return Motion(**plain, engine=self.engine, extra=extra)


class MotionTrack:
    """Motion of a clip: one row for each frame in which the face was found, and the time stamp of every frame.

    Args:
        duration: Length of the clip in seconds; zero until it is known.
        fault: Error to raise instead of a disk's OSError; None keeps the OSError.
    """

    def __init__(self, duration: Fraction = Fraction(0), fault: Fault | None = None) -> None:
        self._rows = RowFile(fault)
        self._fault = fault
        self._layout: Layout | None = None
        self._row_of = array("i")  # row of each frame, or of the last face before it, or -1
        self._seen = bytearray()
        self.times: list[Fraction] = []
        self.duration = duration

    def __len__(self) -> int:
        return len(self.times)

    @property
    def found(self) -> int:
        """Number of frames in which the face was found."""
        return len(self._rows)

    @property
    def lost(self) -> int:
        """Number of frames in which it was not found."""
        return len(self) - self.found

    def seen(self, index: int) -> bool:
        """Whether the face was found in this frame."""
        return bool(self._seen[index])

    def append(self, time: Fraction, motion: Motion | None) -> None:
        """Add the next frame; None if no face was found."""
        if motion is not None:
            self._layout = self._layout or Layout.of(motion)
            self._rows.append(self._layout.pack(motion)[0])
        self.times.append(time)
        self._seen.append(motion is not None)
        self._row_of.append(len(self._rows) - 1)

    def emptied(self) -> MotionTrack:
        """A track of the same frames without motion, which is added later (see :meth:`append_rows`)."""
        other = MotionTrack(self.duration, self._fault)
        other.times, other._seen, other._row_of = self.times, self._seen, self._row_of
        return other

    def append_rows(self, motion: Motion) -> None:
        """Add motion of further frames with a face; only for a track from :meth:`emptied`."""
        self._layout = self._layout or Layout.of(motion)
        for row in self._layout.pack(motion):
            self._rows.append(row)

    def motion(self, index: int) -> Motion:
        """Motion of one frame; held from the last face before it, or else from the first one of the clip."""
        return self.rows(self.row(index), self.row(index) + 1)

    def row(self, index: int) -> int:
        """Row of a frame (see :meth:`rows`), held like :meth:`motion`."""
        return max(0, self._row_of[index])

    def rows(self, start: int, stop: int) -> Motion:
        """Motion of the frames with a face from start to stop, counted without the other frames."""
        if self._layout is None:
            raise ValueError("no face was found in this clip, so it has no motion")
        return self._layout.unpack(self._rows.read(start, stop))

    def chunks(self, size: int = 256) -> Iterator[tuple[int, Motion]]:
        """All rows in pieces: (first row, motion)."""
        for start in range(0, self.found, size):
            yield start, self.rows(start, min(start + size, self.found))

    def at(self, time: Fraction) -> tuple[int, float]:
        """Frame on screen at a time, and the time's fraction towards the next frame (0 to below 1)."""
        index = max(0, bisect_right(self.times, time) - 1)
        if index + 1 >= len(self.times) or time <= self.times[index]:
            return index, 0.0
        return index, float((time - self.times[index]) / (self.times[index + 1] - self.times[index]))

    def close(self) -> None:
        """Close the scratch file."""
        self._rows.close()
