"""Data passed through the live pipeline: tracked and finished frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from app.media.images import flatten
from liveportrait.patched import split

if TYPE_CHECKING:
    from app.sources.sample import Sample
    from liveportrait.driving import Shown
    from liveportrait.expression import Expression
    from models.face import Face

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tracked:
    """A captured frame with the motion to show.

    Attributes:
        sample: The driver's sample; None without a driver.
        face: Landmarks in pixels of the driver's frame; None if no face is detected or needed.
        shown: Smoothed motion, bridged while no face is detected; None before the first face.
        own: File that drives a single face -> its motion.
    """

    sample: Sample | None = None
    face: Face | None = None
    shown: Shown | None = None
    own: Mapping[Path, Shown] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveFrame:
    """A finished frame, passed to sinks.

    Attributes:
        index: Number of the finished frame, from 0.
        time: Capture time of its driving frame in seconds on the session's clock, or the time of rendering if there is
            none.
        picture: (H, W, 3 or 4) uint8 result. It is shared between sinks and never changed.
        source: (H, W, 3 or 4) uint8 neutral portrait, of the same size unless the bare crop is shown.
        driver: (H, W, 3) uint8 driving frame, or None.
        face: The driver's landmarks in pixels of ``driver``, or None.
        portrait: Key of the portrait.
        fresh: False for a frame rendered again because a slider moved; it is not used for latency.
        seen: Whether the driver's face is detected.
        expression: Sliders of a driver without pictures, such as a face tracker, or None.
        place: Seconds of its driving frame from the first one of a clip or a voice; None otherwise.
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
    expression: Expression | None = None
    place: Fraction | None = None
    marks: dict[str, float] = field(default_factory=dict)
    """Seconds on the session's clock: "rendered"."""
    fill: tuple[int, int, int] = (255, 255, 255)
    """Colour behind transparent parts in sinks without transparency."""

    @cached_property
    def opaque(self) -> Pixels:
        """(H, W, 3) frame without transparency, for sinks that don't support it; composited once for all of them."""
        return flatten(*split(self.picture), self.fill)
