"""What a source of driving motion gives in real time, and how one is opened, read and closed."""

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
    from app.media.camera import CameraFacts
    from liveportrait.blendshapes import FaceReading
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion

Pixels = npt.NDArray[np.uint8]
Kind = Literal["camera", "video", "template", "still", "tracking"]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Sample:
    """One look at what drives.

    Attributes:
        index: Number of the frame, from 0, counted by the driver.
        time: Seconds on the session's clock at which it was captured.
        rgb: (H, W, 3) uint8; None for a motion template.
        motion: Motion that is known already (template, N = 1), or None.
        jump: True where the driver jumps in time, as at the start of a loop: nothing is smoothed across it.
        lone: True for a single still.
        reference: Neutral reference that comes with the motion, or None.
        run: Number of the driver within the session; frames of an earlier one are ignored.
        place: Seconds from the first frame of a clip that can be sought; None where there is no such thing.
        sensed: True for a face tracker, which gives readings instead of pictures.
        reading: The face that it sends, or None while it sends none.
        mirror: Whether left and right of a reading are swapped.
    """

    index: int
    time: float
    rgb: Pixels | None = None
    motion: Motion | None = None
    jump: bool = False
    lone: bool = False
    reference: Motion | None = None
    run: int = 0
    place: Fraction | None = None
    sensed: bool = False
    reading: FaceReading | None = None
    mirror: bool = False


class Source(ABC):
    """Gives captured frames in real time. Opened, read and closed in one thread, used once; ``cancel`` is for others.

    Attributes:
        lasting: True if the end of its frames is a fault to be waited out.
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
        """Give everything back; harmless when called again."""

    @abstractmethod
    def cancel(self) -> None:
        """Let a waiting ``read`` or ``open`` return soon; from any thread, for good."""

    @property
    def facts(self) -> CameraFacts | None:
        """Asked, reported and measured mode of a camera."""
        return None

    def hint(self) -> str:
        """A sentence about something that the user could improve, or an empty one."""
        return ""

    def waits_for(self) -> str:
        """A sentence on what an open source waits for, or an empty one: no fault, and nothing is opened anew for it."""
        return ""


@dataclass(frozen=True)
class DriverSource:
    """A driver that can be started any number of times.

    Attributes:
        kind: camera, video, template, still, or tracking for the packets of a face tracker.
        title: For people.
        make: Makes the driver for one run, from the session's clock and engine.
        clip: File whose neutral frame is the one of the option "reference", as when a file is rendered; None where
            it is found on the way, as with a camera.
        note: A sentence that is said when it begins to drive, or an empty one.
    """

    kind: Kind
    title: str
    make: Callable[[Clock, Engine], Source]
    clip: Path | None = None
    note: str = ""
