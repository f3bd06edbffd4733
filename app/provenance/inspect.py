"""What a file says of itself: the reader of all layers, which needs no package beyond those of the program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av

from app.errors import MediaError
from app.media import container, files
from app.provenance import xmp
from app.provenance.mark import PROGRAM

GENERATED: Final = (  # IPTC's words for works that algorithms made, wholly or in part
    "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia", "compositeSynthetic",
)  # fmt: skip
MATROSKA_HEAD: Final = b"\x1a\x45\xdf\xa3"


@dataclass(frozen=True)
class Metadata:
    """What metadata say.

    Attributes:
        source_type: IPTC's address for the kind of work, may be empty.
        tool: Program that made it, may be empty.
    """

    source_type: str = ""
    tool: str = ""

    @property
    def says_ai(self) -> bool:
        """Whether they call the work made by AI, wholly or in part."""
        return self.source_type.rsplit("/", 1)[-1] in GENERATED


@dataclass(frozen=True)
class Inspection:
    """All that was found in a file."""

    path: Path
    metadata: Metadata

    @property
    def marked(self) -> bool:
        """Whether anything says that AI made it."""
        return self.metadata.says_ai

    def sentences(self) -> list[str]:
        """The findings in plain words, one sentence for each layer."""
        return [_about_metadata(self.metadata), self.verdict()]

    def verdict(self) -> str:
        """The sum of all layers."""
        if self.marked:
            return "The file says that it was made with AI."
        return (
            "Nothing found says that AI made this file. That is no proof of the contrary: marks can be removed, and "
            "other programs may put none."
        )

    def to_json(self) -> dict[str, Any]:
        """The findings as a JSON object."""
        return {
            "file": str(self.path),
            "marked": self.marked,
            "metadata": {
                "ai": self.metadata.says_ai,
                "digital_source_type": self.metadata.source_type,
                "tool": self.metadata.tool,
            },
        }


def inspect(path: str | Path) -> Inspection:
    """Look at a file.

    Raises:
        MediaError: It can't be read.
    """
    path = files.check_input(path)
    try:
        return Inspection(path, read_metadata(path))
    except OSError as error:
        raise files.read_error(path, error) from error


def read_metadata(path: Path) -> Metadata:
    """What metadata of a file say, as XMP or, in Matroska and WebM, as tags.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        matroska = file.read(4) == MATROSKA_HEAD
    if matroska:
        tags = _tags(path)
        return Metadata(tags.get("DIGITAL_SOURCE_TYPE", ""), tags.get("CREATOR_TOOL", ""))
    text = xmp.read_packet(path)
    return Metadata(xmp.source_type(text), xmp.creator(text))


def _tags(path: Path) -> dict[str, str]:
    try:
        with container.open_input(path) as clip:
            return {name.upper(): value for name, value in clip.metadata.items()}
    except (MediaError, av.FFmpegError, ValueError):
        return {}


def _about_metadata(found: Metadata) -> str:
    if found.says_ai:
        whose = f"by {found.tool}" if found.tool else "by a program that is not named"
        kind = found.source_type.rsplit("/", 1)[-1]
        return f"Metadata: made with AI, {whose} (DigitalSourceType {kind})."
    if found.source_type:
        return f"Metadata: DigitalSourceType {found.source_type.rsplit('/', 1)[-1]}, which is not a word for AI."
    if found.tool.startswith(PROGRAM):
        return f"Metadata: made by {found.tool}, with no word on AI."
    return "Metadata: nothing about AI."
