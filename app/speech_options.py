"""Options of voices and of life without a driver (``app.options`` takes them in).

This module imports nothing heavy on purpose: the command line answers ``--help`` from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.values import parse_share
from liveportrait.options import option

GROUP: Final = "Speech and life"
LIVELY: Final = "0.5"
"""How lively a speaker is, and a portrait that is asked to idle without saying how much."""


@dataclass(frozen=True)
class SpeechOptions:
    """What sound does to a face, and what a face does by itself."""

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
        help="How lively a face is that no picture drives, 0 to 1: it nods, blinks and looks about. A voice alone has "
        f"{LIVELY}, and 0 leaves it to the mouth. Without a driving file the portrait just lives, for --duration "
        "seconds (10), and its end runs into its beginning.",
    )

    @property
    def liveliness(self) -> float | None:
        """The option idle as a number, None where it is not given."""
        return parse_share(self.idle)
