"""Copy the streams of a clip into another file without decoding them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

from app.media import container as containers


def remux(source: Path, target: Path, form: str) -> None:
    """Copy a clip into a file that can be sought at once; of one that breaks off, what is whole.

    Args:
        source: The clip.
        target: File to write.
        form: FFmpeg's name of its format, such as "mp4".

    Raises:
        av.FFmpegError: The clip can't be read or written.
        OSError: The system denies access.
    """
    options = {"movflags": "+faststart"} if form in ("mp4", "mov") else {}
    with (
        av.open(containers.url(source), "r") as read,
        av.open(containers.url(target), "w", format=form, options=options) as write,
    ):
        write.metadata.update(read.metadata)
        streams: dict[int, Any] = {}
        for stream in read.streams:
            if stream.type in ("video", "audio"):
                made: Any = write.add_stream_from_template(stream)
                made.time_base = stream.time_base
                made.metadata.update(stream.metadata)
                streams[stream.index] = made
        for packet, _ in containers.packets(read):
            if packet is not None and packet.dts is not None and packet.stream.index in streams:
                packet.stream = streams[packet.stream.index]
                write.mux(packet)
