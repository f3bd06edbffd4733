"""What is said of a result, whatever layer says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from liveportrait import __version__
from models.messages import msg

Level = Literal["full", "metadata", "off"]

PROGRAM: Final = "portrait-animate"
# IPTC's word for a work in which parts of a real picture or clip were replaced by what a trained model made of them:
# the photo and its surroundings stay, the moving face is generated. "trainedAlgorithmicMedia" would claim that nothing
# of it was ever photographed. https://cv.iptc.org/newscodes/digitalsourcetype/
SOURCE_TYPE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
STATEMENT: Final = f"Made with AI: a face animated by {PROGRAM} {__version__}."
OFF: Final = msg(
    "The result is not marked as made by AI ({option:mark} off); in the European Union and elsewhere the law may ask "
    "you to label it yourself."
)


def tool() -> str:
    """Name and version of the program, as metadata name what made a file."""
    return f"{PROGRAM} {__version__}"


@dataclass(frozen=True)
class Marking:
    """How a result is marked.

    Attributes:
        level: "full" puts metadata, signed credentials and a watermark; "metadata" only what gives the same bytes in
            every run; "off" nothing.
    """

    level: Level = "full"

    @property
    def in_metadata(self) -> bool:
        """Whether metadata say it."""
        return self.level != "off"


FULL: Final = Marking()
UNMARKED: Final = Marking("off")
