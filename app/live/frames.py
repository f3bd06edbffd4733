"""What travels through the live pipeline: captured, tracked and finished frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from liveportrait.motion import Motion
    from models.face import Face

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Captured:
    """One look at the driver.

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


@dataclass(frozen=True)
class Tracked:
    """A captured frame with the motion to show.

    Attributes:
        captured: Where it comes from; None without a driver.
        face: Landmarks in pixels of the driver's picture; None if no face is seen or needed.
        motion: Smoothed motion (N = 1), bridged where no face is seen; None before the first face.
        reference: Neutral reference (N = 1), or None before the first face.
        own: File that drives some face alone -> its motion and reference.
    """

    captured: Captured | None = None
    face: Face | None = None
    motion: Motion | None = None
    reference: Motion | None = None
    own: Mapping[Path, tuple[Motion, Motion]] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveFrame:
    """A finished frame, as sinks get it.

    Attributes:
        index: Number of the finished frame, from 0.
        time: Seconds on the session's clock at which its driving frame was captured, or at which it was drawn where
            there is none.
        picture: (H, W, 3 or 4) uint8 result. It is shared between sinks and never changed.
        source: (H, W, 3 or 4) uint8 portrait at rest, of the same size unless the bare crop is shown.
        driver: (H, W, 3) uint8 driving frame, or None.
        face: The driver's landmarks in pixels of ``driver``, or None.
        portrait: Key of the portrait.
        fresh: False for a frame drawn again because a slider moved: it says nothing on latency.
        seen: Whether the driver's face is seen.
    """

    index: int
    time: float
    picture: Pixels
    source: Pixels
    driver: Pixels | None = None
    face: Face | None = None
    portrait: str = ""
    fresh: bool = True
    seen: bool = False
    marks: dict[str, float] = field(default_factory=dict)
    """Seconds on the session's clock: "rendered"."""
