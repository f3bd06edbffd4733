"""Options for additional drivers of parts of the face and of other faces (included in ``app.options``).

This module deliberately imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from liveportrait.options import option
from models.messages import msg

GROUP: Final = "Drivers"
PART_FILES: Final = ("pose_from", "exp_from", "lips_from", "eyes_from")  # options for drivers of parts
PART_WORDS: Final = {"pose": "pose", "exp": "expression", "lip": "lips", "eyes": "eyes"}  # region -> word


@dataclass(frozen=True)
class DriverOptions:
    """Drivers in addition to the driving file."""

    pose_from: str = option(
        "", title="Pose from", group=GROUP, help="Take the head's motion from this clip or template instead."
    )
    exp_from: str = option(
        "",
        title="Expression from",
        group=GROUP,
        help="Take the expression from this clip or template, except for lips and eyes with their own driver.",
    )
    lips_from: str = option(
        "",
        title="Lips from",
        group=GROUP,
        help="Take the lips from this clip or template instead; of a file with sound alone, from what it says.",
    )
    eyes_from: str = option(
        "", title="Eyes from", group=GROUP, help="Take the eyes from this clip or template instead."
    )
    driver_for: str = option(
        "",
        title="Driver for a face",
        group=GROUP,
        repeat=True,
        help=msg(
            "Animate this face of the source with its own clip, template or sound, such as left=mum.mp4; the faces "
            "that {option:face} names follow the driving file. May be given several times; job files take a list."
        ),
    )

    @property
    def part_drivers(self) -> dict[str, Path]:
        """Region -> file that drives it instead of the driving file."""
        named = {"pose": self.pose_from, "exp": self.exp_from, "lip": self.lips_from, "eyes": self.eyes_from}
        return {region: Path(name) for region, name in named.items() if name}
