"""The statement that a result was made by AI, shared by all kinds of marks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from liveportrait import __version__
from models.messages import msg

if TYPE_CHECKING:
    from app.options import OutputOptions

Level = Literal["full", "metadata", "off"]

PROGRAM: Final = "portrait-animate"
# IPTC's term for a work in which parts of a real image or clip were replaced by the output of a trained model:
# the photo and its surroundings stay, the moving face is generated. "trainedAlgorithmicMedia" would claim that nothing
# in it was photographed. https://cv.iptc.org/newscodes/digitalsourcetype/
SOURCE_TYPE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
STATEMENT: Final = f"Made with AI: a face animated by {PROGRAM} {__version__}."
OFF: Final = msg(
    "The result is not marked as made by AI ({option:mark} off); in the European Union and elsewhere the law may ask "
    "you to label it yourself."
)


def tool() -> str:
    """Name and version of the program for metadata."""
    return f"{PROGRAM} {__version__}"


@dataclass(frozen=True)
class Marking:
    """How a result is marked.

    Attributes:
        level: "full" adds metadata, signed credentials and a watermark; "metadata" only what is identical in every run;
            "off" nothing.
        certificate: PEM file with the user's own certificates, or empty.
        key: PEM file with its key.
        engine: Engine that rendered the face, may be empty.
        source: The animated photo or clip, whose own credentials are kept; or None.
    """

    level: Level = "full"
    certificate: str = ""
    key: str = ""
    engine: str = ""
    source: Path | None = None

    @classmethod
    def of(cls, output: OutputOptions, engine: str = "", source: Path | None = None) -> Marking:
        """The marking that output options request."""
        return cls(output.mark, output.signing_cert, output.signing_key, engine, source)

    @property
    def in_metadata(self) -> bool:
        """Whether the metadata are marked."""
        return self.level != "off"

    @property
    def in_pixels(self) -> bool:
        """Whether the pixels get a watermark."""
        return self.level == "full"


FULL: Final = Marking()
UNMARKED: Final = Marking("off")
