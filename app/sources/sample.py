"""The interface of real-time sources of driving motion, and the samples that they deliver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from app.frames.voices import Heard, Performance
    from app.media.camera import CameraFacts
    from liveportrait.blendshapes import FaceReading
    from liveportrait.engines.base import Engine

Pixels = npt.NDArray[np.uint8]
Kind = Literal["camera", "video", "template", "still", "tracking", "track"]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Sample:
    """One sample of a driver.

    Attributes:
        index: Frame number, from 0, counted by the driver.
        time: Capture time in seconds on the session's clock.
        rgb: (H, W, 3) uint8; None for a driver without images.
        jump: True if the driver jumps in time, such as at the start of a loop; nothing is smoothed across it.
        run: Number of the driver within the session; frames of an earlier one are ignored.
        place: Seconds from the first frame of a driving file; None for a driver without one.
        sensed: True for a face tracker, which gives readings instead of images.
        reading: The face that it sends, or None while it sends none.
        mirror: Whether left and right of a reading are swapped.
        play: What a driver without a face plays, such as a voice, or None; ``place`` is the time in it.
    """

    index: int
    time: float
    rgb: Pixels | None = None
    jump: bool = False
    run: int = 0
    place: Fraction | None = None
    sensed: bool = False
    reading: FaceReading | None = None
    mirror: bool = False
    play: Performance | Heard | None = None


class Source(ABC):
    """Delivers frames in real time. Opened, read and closed in one thread, used once; ``cancel`` is for any.

    Attributes:
        lasting: True if the end of its frames is a fault that may pass.
    """

    lasting: bool = False

    @abstractmethod
    def open(self) -> None:
        """Open it, or open it again after a fault. Raises AppError."""

    @abstractmethod
    def read(self) -> Sample | None:
        """The next frame when it is due; None when there are no more or after ``cancel``. Raises AppError."""

    @abstractmethod
    def close(self) -> None:
        """Release all resources; harmless when called again."""

    @abstractmethod
    def cancel(self) -> None:
        """Make a waiting ``read`` or ``open`` return soon, permanently; callable from any thread."""

    @property
    def facts(self) -> CameraFacts | None:
        """Requested, reported and measured mode of a camera."""
        return None

    def hint(self) -> str:
        """A sentence about something that the user could improve, or empty."""
        return ""

    def waits_for(self) -> str | None:
        """What an open source is waiting for without an error: a sentence, or empty for nothing.

        None if not known; then a silent source counts as failed and is reopened.
        """
        return None


@dataclass(frozen=True)
class DriverSource:
    """A driver that can be started any number of times.

    Attributes:
        kind: camera, video, template, still, tracking for the packets of a face tracker, or track for drivers without
            a face, such as a voice.
        title: Display name.
        make: Creates the driver for one run, from the session's clock and engine.
        file: Clip, still or template whose motion is read as in rendering; None if it is known only as it arrives, as
            that of a camera.
        note: A sentence that is said when it begins to drive, or an empty one.
        voiced: Whether it plays the voice of the options itself, which then moves more than the lips.
    """

    kind: Kind
    title: str
    make: Callable[[Clock, Engine], Source]
    file: Path | None = None
    note: str = ""
    voiced: bool = False
