"""Strict reader for untrusted zip files whose members are stored without compression."""

from __future__ import annotations

import struct
import zipfile
from types import TracebackType
from typing import IO, Final

from models.messages import msg

MAX_MEMBERS: Final = 256
MAX_DIRECTORY: Final = 1 << 20
"""Limit of the central directory in bytes."""
_END: Final = b"PK\x05\x06"
_ENCRYPTED: Final = 0x1 | 0x20 | 0x40 | 0x2000
"""Flags of members that are encrypted, patched, strongly encrypted, or have masked headers."""


class ArchiveError(ValueError):
    """A zip file is damaged, or of a kind that this program does not write."""


class PlainArchive:
    """A zip file whose members are stored without compression and don't overlap.

    Args:
        file: The file, open for reading; it stays open.
        members: Limit of the number of members.

    Raises:
        ArchiveError: It is not such a file.
    """

    def __init__(self, file: IO[bytes], members: int = MAX_MEMBERS) -> None:
        self._size = _checked_size(file)
        try:
            self._archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, EOFError, OverflowError) as error:
            raise ArchiveError(msg("it is a damaged zip file ({error})", _reason(error))) from None
        entries = self._archive.infolist()
        if len(entries) > members:
            raise ArchiveError(msg("it is a zip file of {count:,} members", len(entries)))
        self.members: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            self._check(entry)
            self.members[entry.filename] = entry
        self._check_overlap(entries)

    def __enter__(self) -> PlainArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def _check(self, entry: zipfile.ZipInfo) -> None:
        name = ascii(entry.filename[:80])
        if entry.filename in self.members:
            raise ArchiveError(msg("it has two members named {name}", name))
        if entry.flag_bits & _ENCRYPTED:
            raise ArchiveError(msg("its member {name} is encrypted", name))
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ArchiveError(msg("its member {name} is compressed", name))
        if entry.file_size != entry.compress_size or entry.header_offset + entry.file_size > self._size:
            raise ArchiveError(msg("its member {name} is damaged", name))

    def _check_overlap(self, entries: list[zipfile.ZipInfo]) -> None:
        end = 0
        for entry in sorted(entries, key=lambda one: one.header_offset):
            if entry.header_offset < end:
                raise ArchiveError(msg("its member {filename!a} overlaps another one", entry.filename[:80]))
            end = entry.header_offset + 30 + entry.file_size

    def size(self, name: str) -> int:
        """Bytes of a member.

        Raises:
            KeyError: No member has that name.
        """
        return self.members[name].file_size

    def open(self, name: str) -> IO[bytes]:
        """A member, open for reading; reading it to its end checks its CRC.

        Raises:
            KeyError: No member has that name.
            ArchiveError: Its own header is damaged.
        """
        try:
            return self._archive.open(self.members[name])
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error, EOFError) as error:
            raise ArchiveError(msg("its member {name!a} is damaged ({error})", name, _reason(error))) from None

    def read(self, name: str, limit: int) -> bytes:
        """Content of a member, with its CRC checked.

        Raises:
            KeyError: No member has that name.
            ArchiveError: It is damaged or larger than the limit.
        """
        if self.size(name) > limit:
            raise ArchiveError(msg("its member {name!a} is larger than {limit:,} bytes", name, limit))
        with self.open(name) as stream:
            return read_member(stream, name, self.size(name))


def read_member(stream: IO[bytes], name: str, count: int) -> bytes:
    """The next bytes of an open member.

    Raises:
        ArchiveError: It is damaged or ends too early.
    """
    try:
        data = stream.read(count)
    except (zipfile.BadZipFile, EOFError, struct.error) as error:
        raise ArchiveError(msg("its member {name!a} is damaged ({error})", name, _reason(error))) from None
    if len(data) != count:
        raise ArchiveError(msg("its member {name!a} is truncated", name))
    return data


def _checked_size(file: IO[bytes]) -> int:
    """Bytes of the file; raises an error if its central directory is too large."""
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise ArchiveError(msg("it is a truncated zip file"))
    (directory,) = struct.unpack_from("<I", tail, at + 12)
    if MAX_DIRECTORY < directory < 0xFFFFFFFF:
        raise ArchiveError(msg("it is a zip file with a directory of {directory:,} bytes", directory))
    file.seek(0)
    return size


def _reason(error: BaseException) -> str:
    return " ".join(ascii(str(error)).strip("'\"").split())[:80].rstrip(".") or type(error).__name__
