"""What travels through the live pipeline: tracked and finished frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from app.sources.sample import Sample
    from liveportrait.driving import Shown
    from models.face import Face

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tracked:
    """A captured frame with the motion to show.

    Attributes:
        sample: Where it comes from; None without a driver.
        face: Landmarks in pixels of the driver's picture; None if no face is seen or needed.
        shown: Smoothed motion, bridged where no face is seen; None before the first face.
        own: File that drives some face alone -> what it shows.
    """

    sample: Sample | None = None
    face: Face | None = None
    shown: Shown | None = None
    own: Mapping[Path, Shown] = field(default_factory=dict)


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
