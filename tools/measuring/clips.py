"""Clips as they are measured: parts of them, frames out of them, and what is read from every frame."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from app.media.images import write_image
from app.media.reader import open_clip
from app.media.writer import ClipWriter
from measuring.eyes import Eyes
from measuring.heads import Head, Image
from measuring.mouth import Inside, inside, upper_lip
from models.tracker import FaceTracker

CLIPS = (".mp4", ".mov", ".webm", ".mkv")
PART = re.compile(r"(?P<stem>.+?)(?:@(?P<first>\d+)-(?P<last>\d+))?$")
SHUT_LIPS = 0.3
"""Share of a clip's frames, those with the smallest opening, in which a lip has its height at rest."""


def find(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path:
    """The file of a stem in a folder."""
    for suffix in suffixes:
        if (path := folder / f"{stem}{suffix}").is_file():
            return path
    raise SystemExit(f"{folder} holds no {stem} with one of the endings {', '.join(suffixes)}.")


def part_of(folder: Path, name: str, where: Path, limit: int = 0) -> Path:
    """A clip "d3", or frames of it, "d3@120-210" (the last one excluded), written anew as a file of its own.

    Args:
        folder: Where the clips are.
        name: Which one, and which frames.
        where: Folder for the part; one that is there already is taken.
        limit: Most frames.
    """
    match = PART.match(name)
    assert match is not None
    whole = find(folder, match["stem"], CLIPS)
    first, last = int(match["first"] or 0), int(match["last"] or 0)
    if not last and not limit:
        return whole
    last = min(last or first + limit, first + (limit or last))
    path = where / f"{match['stem']}@{first}-{last}.mp4"
    if not path.is_file():
        where.mkdir(parents=True, exist_ok=True)
        with open_clip(whole) as reader:
            info = reader.info
            with ClipWriter(path, (info.width, info.height), info.rate, quality=95) as writer:
                for index, frame in enumerate(islice(reader, first, last)):
                    writer.write(frame.rgb, Fraction(index) / info.rate)
                writer.finish()
    return path


def frames(clip: Path, limit: int = 0) -> Iterator[Image]:
    """Pictures (H, W, 3) of a clip or of a folder of numbered pictures, the first ones if a limit is given."""
    with open_clip(clip) as reader:
        for frame in islice(reader, limit or None):
            yield frame.rgb


def frame_at(clip: Path, index: int) -> Image:
    """One picture (H, W, 3) of a clip."""
    return next(islice(frames(clip), index, None))


def save_frame(clip: Path, index: int, path: Path) -> Path:
    """One picture of a clip as a PNG file."""
    write_image(path, frame_at(clip, index), overwrite=True)
    return path


@dataclass(frozen=True)
class Track:
    """What is read from a clip, frame by frame.

    Attributes:
        heads: Heads, None where there is none.
        mouths: Insides of the mouths, None likewise.
        eyes: Signals of the eyes, NaN likewise.
        lip: Height of the upper lip at rest, in face widths.
    """

    heads: list[Head | None]
    mouths: list[Inside | None]
    eyes: list[Eyes]
    lip: float

    @property
    def lips(self) -> np.ndarray:
        """(N,) opening of the lips over the width of the mouth, NaN without a head."""
        return np.array([np.nan if head is None else head.face.lip_ratio for head in self.heads])


def read(clip: Path, limit: int = 0, lip: float | None = None) -> Track:
    """Read a clip.

    Args:
        clip: File or folder of numbered pictures.
        limit: Most frames, 0 is all.
        lip: Height of the upper lip at rest; that of the clip's own frames with shut lips if it isn't known.
    """
    tracker = FaceTracker()
    heads = [None if face is None else Head(face) for face in map(tracker.track, frames(clip, limit))]
    if lip is None:
        known = sorted((head for head in heads if head is not None), key=lambda head: head.face.lip_ratio)
        rest = known[: max(1, round(SHUT_LIPS * len(known)))]
        lip = float(np.median([upper_lip(head) for head in rest])) if rest else 0.0
    mouths = [
        None if head is None else inside(picture, head, lip)
        for picture, head in zip(frames(clip, limit), heads, strict=True)
    ]
    return Track(heads, mouths, [Eyes.of(head) for head in heads], lip)
