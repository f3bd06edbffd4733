"""Choose the video and audio track of a file: never a cover, a thumbnail or a commentary."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.stream import Disposition

from app.errors import MediaError
from app.media import container as containers
from models.messages import msg

# Still-image codecs: beside a real video codec they hold covers, thumbnails and previews
_PICTURES = {"mjpeg", "png", "apng", "bmp", "gif", "webp", "tiff", "jpeg2000", "ljpeg", "jpegls", "rawvideo"}
_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
_SIDE_SOUND = Disposition.comment | Disposition.visual_impaired | Disposition.karaoke | Disposition.clean_effects


def video_stream(container: Any, path: Path) -> Any:
    """The video track of a file: the longest of its default tracks, or of all tracks if none is the default.

    Covers, attached pictures and thumbnails are ignored, and so are tracks of one frame beside longer ones.

    Args:
        container: PyAV input.
        path: Its name, for the error.

    Raises:
        MediaError: There is none.
    """
    streams = [s for s in container.streams.video if s.codec_context is not None and not s.disposition & _COVERS]
    if not streams:
        what = "only sound" if container.streams.audio else "no video"
        raise MediaError(msg("{path} contains {what}.", path, what), "Choose a clip with video.")
    real = [s for s in streams if not _is_thumbnail(s, streams)]
    return _chosen(real or streams, lambda s: s.codec_context.width * s.codec_context.height)


def sound_stream(container: Any) -> Any:
    """The audio track of a file: the longest of its default tracks, or of all if none is the default; None without one.

    Commentaries, audio description and karaoke are used only if there is nothing else.
    """
    streams = [s for s in container.streams.audio if s.codec_context is not None and s.codec_context.sample_rate]
    main = [s for s in streams if not s.disposition & _SIDE_SOUND]
    return _chosen(main or streams, lambda s: 0) if streams else None


def length(stream: Any) -> Fraction:
    """Declared length of a track in seconds, 0 if it declares none."""
    tag = tagged_end(stream)
    if tag is not None:
        return tag
    return stream.duration * containers.time_base(stream) if stream.duration else Fraction(0)


def tagged_end(stream: Any) -> Fraction | None:
    """End of a track by Matroska's statistics tag (hours:minutes:seconds from zero), None if there is none."""
    parts = next((v for k, v in stream.metadata.items() if k.upper().startswith("DURATION")), "").split(":")
    if len(parts) != 3:
        return None
    try:
        return sum((Fraction(p) * f for p, f in zip(parts, (3600, 60, 1), strict=True)), Fraction(0)) or None
    except (ValueError, ZeroDivisionError):
        return None


def _is_thumbnail(stream: Any, streams: Sequence[Any]) -> bool:
    """Whether a track holds a single image, or small ones, beside another that holds the video."""
    context, others = stream.codec_context, [s for s in streams if s is not stream]
    if stream.disposition & Disposition.still_image and any(
        not s.disposition & Disposition.still_image for s in others
    ):
        return True
    if _frames(stream) == 1 and any(_frames(s) > 1 for s in others):
        return True
    if stream.duration == 0 and not stream.frames and any(s.duration for s in others):
        return True  # a track without any frame
    area = context.width * context.height
    return context.codec.canonical_name in _PICTURES and any(
        s.codec_context.codec.canonical_name not in _PICTURES and s.codec_context.width * s.codec_context.height >= area
        for s in others
    )


def _frames(stream: Any) -> Fraction | int:
    """Declared number of frames; at least 2 if nothing is known."""
    if stream.frames:
        return int(stream.frames)
    rate = containers.fraction(stream.average_rate) or containers.fraction(stream.guessed_rate)
    seconds = length(stream)
    return max(1, round(seconds * rate)) if seconds and rate else 2


def _chosen(streams: Sequence[Any], size: Any) -> Any:
    """The first of the longest, and of those the largest, among the default tracks, else among all."""
    pool = [s for s in streams if s.disposition & Disposition.default] or streams

    return max(pool, key=lambda stream: (round(float(length(stream)), 1), size(stream)))
