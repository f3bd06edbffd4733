"""Options for voices and idle animation (included in ``app.options``).

This module deliberately imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.values import parse_share
from liveportrait.options import option

GROUP: Final = "Speech and life"
LIVELY: Final = "0.5"
"""Default idle motion of a speaker, and of a portrait animated without a driver."""

VOICE: Final = "voice:"
"""The address of the microphone as a driver."""


@dataclass(frozen=True)
class SpeechOptions:
    """Options for facial motion from sound, and for idle motion."""

    voice: str = option(
        "",
        title="Voice",
        group=GROUP,
        help="The sound of this file, sound or video, moves the lips, and the result gets it; the driving file moves "
        "the rest.",
    )
    speech_gain: float = option(
        1.0,
        title="Mouth opening",
        group=GROUP,
        minimum=0,
        maximum=2,
        step=0.05,
        help="How far the mouth opens while it speaks.",
    )
    idle: str = option(
        "",
        title="Life",
        group=GROUP,
        help="Amount of idle motion, 0 to 1, of a face that no picture drives: it nods, blinks and looks around. A "
        f"voice has {LIVELY}; 0 moves only the mouth. Without a driving file the portrait idles for --duration seconds "
        "(10), in a seamless loop.",
    )

    @property
    def liveliness(self) -> float | None:
        """The option idle as a number, None if it is not given."""
        return parse_share(self.idle)
