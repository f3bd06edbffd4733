"""A clip that is read frame by frame: what is known of it, and what all its readers share."""

from __future__ import annotations

import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

from app.errors import MediaError, UsageError
from models.messages import msg

Kind = Literal["video", "animation", "sequence", "image"]
RawFrame = tuple[Fraction, np.ndarray, "np.ndarray | None"]


@dataclass(frozen=True)
class Frame:
    """One frame of a clip.

    Attributes:
        index: Number of the frame, from 0, counting only frames that are read (see ``start`` of ``open_clip``).
        time: Seconds from the first frame that is read; exact and increasing.
        rgb: (H, W, 3) uint8 sRGB-like, upright, square pixels.
        alpha: (H, W) uint8, 255 opaque, or None.
    """

    index: int
    time: Fraction
    rgb: np.ndarray
    alpha: np.ndarray | None = None


@dataclass(frozen=True)
class ClipInfo:
    """Properties of a clip.

    Attributes:
        path: File, folder or pattern.
        kind: "video", "animation" (GIF, APNG, WebP, HEIC), "sequence" (numbered images) or "image" (one still).
        width: Displayed width in pixels: upright, square pixels.
        height: Displayed height.
        rate: Average frames per second, exact.
        time_base: Unit of the time stamps in seconds; every ``Frame.time`` difference is a multiple of it or of 1/rate.
        frames: Number of frames, or None if it is not known before reading.
        duration: Seconds from the first frame to the end of the last, or None.
        has_audio: Whether there is sound.
        has_alpha: Whether frames carry alpha.
        rotation: Degrees counter-clockwise by which the stored image is rotated to be upright (0, 90, 180, 270).
        mirrored: Whether it is mirrored as well.
        codec: Codec name, such as "h264".
        pixel_format: Stored pixel format, such as "yuv420p".
        color: Matrix, range, primaries and transfer used for the conversion to RGB.
        lead: Seconds of sound before the first frame.
    """

    path: Path
    kind: Kind
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    frames: int | None = None
    duration: Fraction | None = None
    has_audio: bool = False
    has_alpha: bool = False
    rotation: int = 0
    mirrored: bool = False
    codec: str = ""
    pixel_format: str = ""
    color: str = ""
    lead: Fraction = Fraction(0)


class ClipReader(ABC):
    """An open clip: iterate over it for its frames, as often as needed.

    Attributes:
        info: Properties of the whole clip.
        problem: After iteration: a sentence if the clip ends unexpectedly or is damaged, else empty.
        notes: Sentences about adaptations, such as filled gaps in an image sequence.
        offset: Seconds from the clip's first frame to the first frame that was read; 0 without ``start``.
    """

    def __init__(self, info: ClipInfo, start: Fraction | None = None, end: Fraction | None = None) -> None:
        if start is not None and start < 0:
            raise UsageError(
                msg("The start of {path} is {start:g} s.", info.path, float(start)), "It can't be negative."
            )
        if end is not None and end <= (start or 0):
            raise UsageError(
                msg("The end of {path} ({end:g} s) is not after its start.", info.path, float(end)), "Make it later."
            )
        self.info = info
        self.start = start or Fraction(0)
        self.end = end
        self.problem = ""
        self.notes: list[str] = []
        self.offset = Fraction(0)
        self._running: list[Generator[Frame, None, None]] = []

    @abstractmethod
    def _decode(self, start: Fraction, end: Fraction | None) -> Iterator[RawFrame]:
        """Yield (seconds from the clip's first frame, rgb, alpha) for frames in [start, end)."""

    def __iter__(self) -> Iterator[Frame]:
        frames = self._frames()
        self._running = [f for f in self._running if inspect.getgeneratorstate(f) != inspect.GEN_CLOSED]
        self._running.append(frames)
        return frames

    def _frames(self) -> Generator[Frame, None, None]:
        self.problem = ""
        index = 0
        for time, rgb, alpha in self._decode(self.start, self.end):
            if index == 0:
                self.offset = time
            yield Frame(index, time - self.offset, rgb, alpha)
            index += 1
        if index == 0:
            raise MediaError(
                msg("{path} has no frame from {start:g} s on.", self.info.path, float(self.start)),
                "Choose an earlier start.",
            )

    def key_frames(self) -> Iterator[np.ndarray]:
        """Images (H, W, 3) uint8 of the whole clip that are stored by themselves, which are its best and fastest ones.

        Here, where the format does not tell them apart, all images of the selected part.
        """
        return (frame.rgb for frame in self)

    @property
    def length(self) -> Fraction | None:
        """Length of the selected part in seconds, from its first frame, or None if it is not known before reading."""
        known = [time for time in (self.end, self.info.duration) if time is not None]
        whole = self.info.duration is not None or self.end is None
        return max(Fraction(0), min(known) - max(self.start, self.offset)) if known and whole else None

    @property
    def count(self) -> int | None:
        """Approximate number of frames in the selected part, or None if it is not known before reading."""
        if not self.start and self.end is None:
            return self.info.frames
        return None if self.length is None else max(1, round(self.length * self.info.rate))

    def find_offset(self) -> Fraction:
        """``offset``, even before a frame was read."""
        if self.start and not self.offset:
            with contextlib.closing(self._frames()) as frames:
                next(frames)
        return self.offset

    def close(self) -> None:
        """Close the file; running iterations end."""
        for frames in self._running:
            with contextlib.suppress(ValueError):  # another thread is executing it and ends it afterwards
                frames.close()
        self._running.clear()

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
