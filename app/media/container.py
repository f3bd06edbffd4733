"""Open video files with PyAV: local files only, no log output, errors as plain sentences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.logging

from app.errors import MediaError
from app.media import files, limits, motionphoto, raws
from models.messages import msg

if TYPE_CHECKING:
    from av.container import InputContainer

# FFmpeg's own logger, not PyAV's Python callback: the callback can deadlock with decoder threads when a clip is left
# half read. SVT-AV1 bypasses both.
av.logging.restore_default_callback()
av.logging.set_libav_level(av.logging.PANIC)
os.environ.setdefault("SVT_LOG", "0")

# swscale flags (libswscale/swscale.h); older PyAV has no names for the last three
SWS_BICUBIC, SWS_FULL_CHROMA_OUT, SWS_FULL_CHROMA_IN, SWS_ACCURATE = 4, 0x2000, 0x4000, 0x40000

# From version 19 on PyAV accepts tags that are not UTF-8; older versions refuse the file without this option
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}

# Decoders that probe the streams refuse larger frames; a little above the limit, since they count whole blocks.
# PyAV gives each stream one of these; from version 19 on each stream gets the container's options.
_LOCAL: dict[str, str] = {"protocol_whitelist": "file,subfile"}
_GUARD: dict[str, str] = {"max_pixels": str(limits.CLIP_PIXELS * 11 // 10)}
_GUARDED: dict[str, Any] = (
    {"options": _LOCAL, "stream_options": [_GUARD] * 16}
    if int(av.__version__.split(".")[0]) < 19
    else {"options": {**_LOCAL, **_GUARD}}
)
FRAME_BYTES = 192 << 20  # decoded frames that the threads of a decoder may hold

_NOT_VIDEO = ("tty", "image2", "ffmetadata", "srt", "webvtt", "ass", "hls", "concat", "sdp")


def url(path: Path) -> str:
    """URL for FFmpeg, in which colons, percent signs and leading dashes have no special meaning.

    For a Motion Photo it names the film appended to the image.
    """
    film = motionphoto.find_film(path)
    return f"file:{path}" if film is None else f"subfile,,start,{film[0]},end,{film[1]},,:file:{path}"


def _format(name: str) -> str | None:
    """Format to force for a ``url``: a percent sign in a photo's name would make FFmpeg see an image sequence."""
    return "mov" if name.startswith("subfile,") else None


def open_input(path: Path) -> InputContainer:
    """Open a clip for reading; FFmpeg is restricted to local files.

    Raises:
        MediaError: The file is missing, empty, a folder or no clip.
    """
    path = files.check_input(path)
    raws.check_not_raw(path)
    name = url(path)
    try:
        container = _opened(name)
    except (av.FFmpegError, OSError, ValueError) as error:
        known = isinstance(error, av.error.InvalidDataError)
        what = "it is damaged, truncated, or something else" if known else files.reason(error)[0]
        raise MediaError(
            msg("{path} is not a clip that can be read: {what}.", path, what), "Copy or export it again."
        ) from error
    name = container.format.name
    if name.split(",")[0] in _NOT_VIDEO or name.endswith("_pipe"):
        container.close()
        raise MediaError(
            msg("{path} contains no video.", path), "Choose a clip such as MP4, MOV, MKV, WebM, AVI or GIF."
        )
    return container


def _opened(name: str) -> InputContainer:
    how: dict[str, Any] = {"format": _format(name), "buffer_size": 1 << 18, **_TAGS}
    try:
        guarded: InputContainer = av.open(name, "r", **how, **_GUARDED)
        return guarded
    except ValueError as error:
        if "stream_options" not in str(error):
            raise
    # MPEG and its kin show their streams only when they are looked into; prepare_decoder guards what decodes later
    opened: InputContainer = av.open(name, "r", **how, options=_LOCAL)
    return opened


def check_size(container: InputContainer, stream: Any, path: Path) -> None:
    """Check the size of the frames of a clip from its header; nothing is decoded.

    Raises:
        TooLargeError: They are too large.
    """
    context = stream.codec_context
    width, height = context.width, context.height
    if not width or not height:  # the decoder refused them and discarded the size in the header
        options = {"protocol_whitelist": "file,subfile", "codec_whitelist": "none"}
        try:
            with av.open(url(path), "r", options=options, **_TAGS) as undecoded:
                same = undecoded.streams[stream.index].codec_context
                width, height = (same.width, same.height) if same is not None else (0, 0)
        except (av.FFmpegError, OSError, ValueError, IndexError):
            return
    limits.check_frame(path, width, height)


def prepare_decoder(context: Any) -> None:
    """Let a decoder use as many threads as memory allows, and make it refuse frames above the size limit."""
    context.thread_type = "AUTO"
    threads = FRAME_BYTES // max(1, context.width * context.height * 3 // 2)
    if threads < min(16, (os.cpu_count() or 1) + 1):
        context.thread_count = max(1, threads)
    context.options = {**context.options, **_GUARD}


def fraction(value: Any) -> Fraction | None:
    """A rate, time base or aspect ratio of PyAV as an exact number; None if it is not set.

    PyAV 17 and 18 give a Fraction or None. PyAV 19 gives an AVRational, which is 0/1 where nothing is set, may have a
    zero denominator, and rounds to 32 bits when it meets another one.
    """
    return Fraction(value.numerator, value.denominator) if value else None


def time_base(stream: Any) -> Fraction:
    """Unit of a stream's time stamps in seconds; FFmpeg's own unit where the stream has none."""
    return fraction(stream.time_base) or Fraction(1, av.time_base)


def packets(container: InputContainer, *streams: Any) -> Iterator[tuple[Any, Exception | None]]:
    """Demux; a read error ends the packets as (None, error) instead of raising."""
    source = container.demux(*streams)
    while True:
        try:
            packet = next(source)
        except StopIteration:
            return
        except IndexError:  # a stream appeared after opening (broken MPEG-TS): skip its packet
            source = container.demux(*streams)
            continue
        except (av.FFmpegError, OSError) as error:
            yield None, error
            return
        yield packet, None


def first_stamp(container: InputContainer, stream: Any) -> Fraction | None:
    """Time in seconds of the first displayed frame: the earliest of the first packets. Advances the container."""
    stamps: list[int] = []
    for packet, _ in packets(container, stream):
        if packet is not None and packet.pts is not None and not packet.is_discard and packet.size:
            stamps.append(packet.pts)
        if len(stamps) >= 32:  # more than any codec reorders
            break
    return min(stamps) * time_base(stream) if stamps else None
