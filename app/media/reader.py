"""Read clips: videos, animated images, image sequences and still images behind one interface."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from app.errors import MediaError, MissingError
from app.media.clip import ClipReader
from models.messages import msg


def open_clip(
    path: str | Path,
    start: Fraction | float | str | None = None,
    end: Fraction | float | str | None = None,
    rate: Fraction | None = None,
    *,
    film: bool = False,
    longest: int = 0,
) -> ClipReader:
    """Open a clip for reading.

    Args:
        path: Video, animated image, still image (a clip of one frame), folder of images, or a pattern such as
            "shot_%04d.png". The content decides, not the extension.
        start: Seconds from the first frame; frames before it are left out, and ``Frame.index`` and ``Frame.time``
            count from the first frame that is read (at ``offset``).
        end: Seconds from the first frame; frames from there on are left out.
        rate: Frames per second of an image sequence or still (default 25); other clips have their own times.
        film: Read the film of a Motion Photo or the sequence of a HEIC file instead of its still, if possible; used for
            drivers, which have to move.
        longest: See ``read_image``; only for still images.

    Returns:
        The reader; use it in a ``with`` statement.

    Raises:
        MediaError: Nothing can be decoded; the sentence says why.
        MissingError: A plug-in is needed, see ``read_image``.
        UsageError: ``start`` or ``end`` make no sense.
    """
    from app.addresses import local_path
    from app.media import files, heif, images, limits, motionphoto, pictures, raws, video

    path = local_path(path)
    first = None if start is None else Fraction(start)
    last = None if end is None else Fraction(end)
    if pictures.is_sequence(path):
        return pictures.SequenceReader(path, first, last, rate)
    raws.check_not_raw(path)
    if images.is_image(path):
        if film and motionphoto.has_film(path):
            with contextlib.suppress(MediaError):  # the film is damaged; fall back to the still
                clip = video.VideoReader(path, first, last)
                clip.notes.append(msg("{path} is a Motion Photo; its film is used, not its still.", path))
                return clip
        if heif.is_sequence(path):
            return _open_sequence(path, first, last, rate, film)
        return pictures.open_picture(path, first, last, rate, longest)
    try:
        return video.VideoReader(path, first, last)
    except limits.TooLargeError:
        raise
    except MediaError:
        if files.check_input(path).suffix.lower() not in images.SUFFIXES:
            raise
        raise MediaError(msg("{path} contains no image that can be read.", path), "Copy or export it again.") from None


def _open_sequence(
    path: Path, start: Fraction | None, end: Fraction | None, rate: Fraction | None, film: bool
) -> ClipReader:
    """Open a HEIC sequence: its track for a driver, else its still; the other one if that can't be read."""
    from app.media import heif, pictures, video

    def track() -> ClipReader:
        clip = video.VideoReader(path, start, end)
        clip.info = replace(clip.info, kind="animation")  # as a source, only its first image is used
        return clip

    def still() -> ClipReader:
        return pictures.open_picture(path, start, end, rate)

    first, second = (track, still) if film or not heif.has_still(path) else (still, track)
    try:
        return first()
    except (MediaError, MissingError) as error:
        with contextlib.suppress(MediaError, MissingError):
            return second()
        raise error from None
