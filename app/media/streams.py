"""Write a result to standard output: a clip that is streamed while it is made, or an image."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import BinaryIO, Final

from app.addresses import STANDARD
from app.errors import AppError, ExitCode, UsageError
from models.messages import msg

STDOUT: Final = Path(STANDARD)
FORMATS: Final = {"gif": ".gif", "prores": ".mov"}  # the other codecs are written as MP4
# One-second fragments, each with its own index (ISO/IEC 14496-12, 8.8): players need not wait for the end.
FRAGMENTS: Final = {
    "movflags": "frag_keyframe+delay_moov+default_base_moof",
    "frag_duration": "1000000",
}


class ReaderGoneError(AppError):
    """The reader of standard output has closed it: not a fault, the run just ends."""

    exit_code = ExitCode.CANCELLED

    def __init__(self) -> None:
        super().__init__("")


class Pipe:
    """The writing end of a pipe for FFmpeg: sequential, without seeking.

    Args:
        stream: Where the bytes go; standard output by default.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream: BinaryIO = stream if stream is not None else sys.stdout.buffer
        self.gone = False

    def write(self, data: bytes) -> int:
        """Write all of it.

        Raises:
            OSError: The disk behind a redirection is full, or the reader has gone (which sets ``gone``).
        """
        try:
            self._stream.write(data)
            self._stream.flush()
        except OSError as error:
            # Windows reports a closed pipe as an invalid argument.
            self.gone = isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)
            raise
        return len(data)

    def error(self, error: BaseException) -> AppError:
        """The error to raise for a failure of the stream."""
        from app.media.files import write_error

        return ReaderGoneError() if self.gone else write_error("Standard output", error)


def stream_name(codec: str) -> Path:
    """File name whose extension stands for the format of a clip on standard output.

    Raises:
        UsageError: Numbered images are requested.
    """
    if codec == "png":
        raise UsageError(
            msg("{option:codec}: numbered images can't go to standard output."), "Give a file name with -o."
        )
    return Path("stdout").with_suffix(FORMATS.get(codec, ".mp4"))


def shown(path: Path) -> str:
    """The name of an output for use in a sentence."""
    return msg("standard output") if path == STDOUT else str(path)
