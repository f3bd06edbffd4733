"""Read all marks of a file; needs no packages beyond those of the program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import av

from app.errors import AppError, MediaError
from app.media import container, files
from app.media.reader import open_clip
from app.provenance import credentials, xmp
from app.provenance.credentials import Credentials
from app.provenance.mark import PROGRAM
from app.provenance.search import Score, Search

GENERATED: Final = (  # IPTC's terms for works made wholly or partly by algorithms
    "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia", "compositeSynthetic",
)  # fmt: skip
MATROSKA_HEAD: Final = b"\x1a\x45\xdf\xa3"
KEYS: Final = 12  # key frames of a clip in which the watermark is looked for first; they are compressed least
PLACES: Final = 3  # evenly spaced parts of a clip whose frames are added if it is not in those
TAKEN, STEP = 8, 3  # frames per part, and frames from one to the next
STAGES: Final = 3  # times that a clip is scored: its first key frame, all of them, and with other frames


@dataclass(frozen=True)
class Metadata:
    """Content of a file's metadata.

    Attributes:
        source_type: IPTC's URL for the kind of work, may be empty.
        tool: Program that made it, may be empty.
    """

    source_type: str = ""
    tool: str = ""

    @property
    def says_ai(self) -> bool:
        """Whether they say that the work was made wholly or partly by AI."""
        return self.source_type.rsplit("/", 1)[-1] in GENERATED


@dataclass(frozen=True)
class Inspection:
    """All marks found in a file."""

    path: Path
    metadata: Metadata
    watermark: Score | None = None  # None if no image in the file can be decoded
    credentials: Credentials | None = None

    @property
    def marked(self) -> bool:
        """Whether any mark says that AI made it."""
        seen = self.watermark is not None and self.watermark.found
        return seen or self.metadata.says_ai or (self.credentials is not None and self.credentials.says_ai)

    @property
    def altered(self) -> bool:
        """Whether the file was changed after it was signed."""
        return self.credentials is not None and self.credentials.state == "altered"

    def sentences(self) -> list[str]:
        """The findings in words, one sentence for each kind of mark."""
        return [
            _about_credentials(self.credentials),
            _about_metadata(self.metadata),
            _about_watermark(self.watermark),
            self.verdict(),
        ]

    def verdict(self) -> str:
        """The conclusion from all marks."""
        if self.altered:
            said = "It says" if self.marked else "Nothing in it says"
            return f"The file was changed after it was signed. {said} that it was made with AI."
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
            "altered": self.altered,
            "credentials": self.credentials and asdict(self.credentials),
            "metadata": {
                "ai": self.metadata.says_ai,
                "digital_source_type": self.metadata.source_type,
                "tool": self.metadata.tool,
            },
            "watermark": self.watermark
            and {
                "found": self.watermark.found,
                "score": round(self.watermark.deviations, 2),
                "false_alarm_rate": self.watermark.false_alarms,
            },
        }


def inspect(path: str | Path) -> Inspection:
    """Examine a file.

    Raises:
        MediaError: It can't be read.
    """
    path = files.check_input(path)
    try:
        return Inspection(path, read_metadata(path), find_watermark(path), credentials.read(path))
    except OSError as error:
        raise files.read_error(path, error) from error


def read_metadata(path: Path) -> Metadata:
    """Read a file's metadata: XMP, or tags in Matroska and WebM.

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


def find_watermark(path: Path) -> Score | None:
    """Look for the watermark in an image, or in more and more of a clip until it is found.

    Returns:
        The best score; None if nothing can be decoded.
    """
    best, search = Score(0.0, 1.0), Search()
    try:
        for _ in _stages(path, search):
            found = search.score()
            if found.deviations >= best.deviations:
                best = Score(found.deviations, min(1.0, found.false_alarms * STAGES))
            if best.found:
                break
    except AppError:
        return best if search.count else None
    return best


def _stages(path: Path, search: Search) -> Iterator[None]:
    """Add images to a search, and yield whenever it is worth scoring them."""
    with open_clip(path) as clip:
        for image in islice(clip.key_frames(), KEYS):
            search.add(image)
            if search.count == 1:
                yield
        length = clip.info.duration if clip.info.kind == "video" else None
    if search.count > 1:
        yield
    if length is None:
        return
    weight = search.count / (PLACES * TAKEN)  # together as much as the key frames
    for place in range(PLACES):
        with open_clip(path, length * place / PLACES) as clip:
            for frame in islice(clip, 0, STEP * TAKEN, STEP):
                search.add(frame.rgb, weight)
    yield


def _about_watermark(found: Score | None) -> str:
    if found is None:
        return "Watermark: not looked for, as the file holds no image that can be read."
    rate = "less than 1 in 10^15" if found.false_alarms < 1e-15 else f"{found.false_alarms:.1g}"
    word = "found" if found.found else "not found"
    return f"Watermark: {word} (score {found.deviations:.1f}; rate of false alarms at that score: {rate})."


def _about_credentials(found: Credentials | None) -> str:
    if found is None:
        return "Credentials: none."
    where = "beside the file" if found.beside else "in the file"
    if found.state == "unreadable":
        return f"Credentials: there are some {where}; checking them needs the package c2pa-python."
    if found.state == "altered":
        return f"Credentials: {where}, but they do not fit it ({', '.join(found.faults)}): it was changed afterwards."
    known = "on a list of trust" if found.trusted else "not on a list of trust, so anybody may have made them"
    who = f"signed by {found.signer or 'an unnamed signer'}, {known}"
    what = f"; they say that {found.tool or 'a program'} made it" + (" with AI" if found.says_ai else "")
    return f"Credentials: valid, {who}{what}."


def _about_metadata(found: Metadata) -> str:
    if found.says_ai:
        whose = f"by {found.tool}" if found.tool else "by a program that is not named"
        kind = found.source_type.rsplit("/", 1)[-1]
        return f"Metadata: made with AI, {whose} (DigitalSourceType {kind})."
    if found.source_type:
        return f"Metadata: DigitalSourceType {found.source_type.rsplit('/', 1)[-1]}, which is not a term for AI."
    if found.tool.startswith(PROGRAM):
        return f"Metadata: made by {found.tool}, with no statement about AI."
    return "Metadata: nothing about AI."
