"""Options that select a part of a clip (included in ``app.options``).

This module deliberately imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from app.errors import UsageError
from app.option_parsers import parse_time
from liveportrait.options import option
from models.messages import Option, about, msg

GROUP: Final = "Part of a clip"
FORM: Final = "seconds, or minutes and seconds such as 1:02.5"
Part = tuple[Fraction | None, Fraction | None]
"""Start and end of a part of a clip in seconds from its first frame, None where it is not cut."""
WHOLE: Final[Part] = (None, None)
PART_OPTIONS: Final = ("start", "end", "duration", "source_start", "source_end", "source_duration")


@dataclass(frozen=True)
class ClipOptions:
    """The parts of the driving and source clips to use; times count from the clip's first frame."""

    start: str = option(
        "",
        title="Driving start",
        group=GROUP,
        unit="s",
        advanced=True,
        help=f"Start of the part of the driving clip to use: {FORM}.",
    )
    end: str = option(
        "",
        title="Driving end",
        group=GROUP,
        unit="s",
        advanced=True,
        help="End of the part of the driving clip to use.",
    )
    duration: str = option(
        "",
        title="Driving duration",
        group=GROUP,
        unit="s",
        advanced=True,
        help="Length of that part of the driving clip, instead of its end.",
    )
    source_start: str = option(
        "",
        title="Source start",
        group=GROUP,
        unit="s",
        advanced=True,
        help="Start of the part of a source clip to use.",
    )
    source_end: str = option(
        "", title="Source end", group=GROUP, unit="s", advanced=True, help="End of the part of a source clip to use."
    )
    source_duration: str = option(
        "",
        title="Source duration",
        group=GROUP,
        unit="s",
        advanced=True,
        help="Length of that part of a source clip, instead of its end.",
    )

    @property
    def driving_part(self) -> Part:
        """Start and end of the driving clip in seconds, None where it is not cut.

        Raises:
            UsageError: The end is not after the start, or is given twice.
        """
        return _part("", self.start, self.end, self.duration)

    @property
    def source_part(self) -> Part:
        """The same for a source clip."""
        return _part("source_", self.source_start, self.source_end, self.source_duration)


def _part(prefix: str, start: str, end: str, duration: str) -> Part:
    first, last, length = parse_time(start), parse_time(end), parse_time(duration)
    end_option, duration_option = Option(f"{prefix}end"), Option(f"{prefix}duration")
    if last is not None and length is not None:
        raise UsageError(
            msg("{end} and {duration} both set the end of the clip.", end_option, duration_option), "Give one of them."
        )
    if length is not None:
        if length == 0:
            raise UsageError(
                about(duration_option, msg("A duration of 0 s contains no frame.")), "Give a longer duration."
            )
        last = (first or Fraction(0)) + length
    if last is not None and last <= (first or 0):
        raise UsageError(
            about(end_option, msg("{end} is not after the start, {start}.", end, start or "0")), "Make it later."
        )
    return first or None, last
