"""Options for voices and idle animation (included in ``app.options``).

This module deliberately imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.option_parsers import parse_share
from liveportrait.options import option
from models.messages import msg

GROUP: Final = "Speech and idle motion"
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
        help="The sound of this file, sound or video, moves the lips and becomes the sound of the result; the driving "
        "file moves the rest.",
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
        title="Idle motion",
        group=GROUP,
        help=msg(
            "Amount of idle motion, from 0 to 1, of a face without a driving clip: it nods, blinks and looks around. "
            "The default is {lively} with a voice; 0 moves only the mouth. Without a driving file the portrait idles "
            "for 10 s, or for {option:duration}, in a seamless loop.",
            LIVELY,
        ),
    )

    @property
    def liveliness(self) -> float | None:
        """The option idle as a number, None if it is not given."""
        return parse_share(self.idle)
