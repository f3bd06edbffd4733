"""Clips to measure: their parts and frames, and the signals read from every frame."""

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
"""Share of a clip's frames, those with the smallest lip ratio, in which a lip has its resting height."""


def find(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path:
    """Find the file with a stem in a folder."""
    for suffix in suffixes:
        if (path := folder / f"{stem}{suffix}").is_file():
            return path
    raise SystemExit(f"{folder} holds no {stem} with one of the endings {', '.join(suffixes)}.")


def part_of(folder: Path, name: str, where: Path, limit: int = 0) -> Path:
    """A clip "d3", or a range of its frames, "d3@120-210" (end excluded), written to a separate file.

    Args:
        folder: Where the clips are.
        name: Clip and optional frame range.
        where: Folder for the part; an existing file is reused.
        limit: Maximum number of frames.
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
    """Frames (H, W, 3) of a clip or of a folder of numbered images, only the first ones if a limit is given."""
    with open_clip(clip) as reader:
        for frame in islice(reader, limit or None):
            yield frame.rgb


def frame_at(clip: Path, index: int) -> Image:
    """One frame (H, W, 3) of a clip."""
    return next(islice(frames(clip), index, None))


def save_frame(clip: Path, index: int, path: Path) -> Path:
    """Save one frame of a clip as a PNG file."""
    write_image(path, frame_at(clip, index), overwrite=True)
    return path


@dataclass(frozen=True)
class Track:
    """Signals read from a clip, frame by frame.

    Attributes:
        heads: Heads, None if there is none.
        mouths: Insides of the mouths, None if there is no head.
        eyes: Signals of the eyes, NaN if there is no head.
        lip: Resting height of the upper lip, in face widths.
    """

    heads: list[Head | None]
    mouths: list[Inside | None]
    eyes: list[Eyes]
    lip: float

    @property
    def lips(self) -> np.ndarray:
        """(N,) lip ratio (gap over mouth width), NaN without a head."""
        return np.array([np.nan if head is None else head.face.lip_ratio for head in self.heads])


def read(clip: Path, limit: int = 0, lip: float | None = None) -> Track:
    """Read a clip.

    Args:
        clip: File or folder of numbered images.
        limit: Maximum number of frames, 0 for all.
        lip: Resting height of the upper lip; if not known, that of the clip's own frames with closed lips.
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
