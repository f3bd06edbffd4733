"""In and out points of the clip on the time line: the part of it that plays and is rendered. No Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from app.gui.session import Session
from app.sources.playback import Place

DRIVER, SOURCE = "", "source_"
"""Beginnings of the option names for the driving clip, and for a portrait that is a clip."""
TICK: Final = 1_000_000  # times are written in millionths of a second, rounded down, so that no frame is left out


@dataclass(frozen=True)
class ClipPart:
    """The part of a clip.

    Attributes:
        whose: DRIVER or SOURCE.
        start: Seconds from the first frame of the whole clip.
        end: Where it ends; None at the end of the clip.
    """

    whose: str
    start: Fraction
    end: Fraction | None

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole clip."""
        return not self.start and self.end is None


def part_of(session: Session, whose: str) -> ClipPart:
    """The part that the options of a session name.

    Raises:
        AppError: They don't fit together.
    """
    inputs = session.options().input
    start, end = inputs.driving_part if whose == DRIVER else inputs.source_part
    return ClipPart(whose, start or Fraction(0), end)


def with_edge(session: Session, whose: str, edge: Literal["start", "end"], place: Place) -> Session:
    """The session with the in or the out point at the frame on screen, which is part of it.

    Args:
        session: The session.
        whose: DRIVER or SOURCE.
        edge: "start" or "end".
        place: Position on the time line, from the in point of before.
    """
    part = part_of(session, whose)
    start, end, at = part.start, part.end, part.start + place.time
    if edge == "start":
        start, end = at, end if end is None or at < end else None
    else:
        end = at + (1 / place.rate if place.rate else Fraction(1, 25))
    return _with_part(session, whose, start, end)


def whole(session: Session, whose: str) -> Session:
    """The session with the whole clip."""
    return _with_part(session, whose, Fraction(0), None)


def _with_part(session: Session, whose: str, start: Fraction, end: Fraction | None) -> Session:
    texts = {"start": _text(start) if start else "", "end": "" if end is None else _text(end), "duration": ""}
    for name, text in texts.items():
        session = session.with_value(whose + name, text)
    return session


def _text(seconds: Fraction) -> str:
    """A time as the options take it."""
    return f"{math.floor(seconds * TICK) / TICK:.6f}".rstrip("0").rstrip(".")
