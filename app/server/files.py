"""Uploaded files, and the files below a folder that the user opened to the server."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from app.errors import AppError
from app.server.limits import Limits, RequestError
from models.messages import msg

NAME: Final = re.compile(r"[0-9a-f]{24}")  # of an upload
LONGEST_NAME: Final = 80  # characters of an uploaded file's name that are kept


@dataclass(frozen=True)
class Content:
    """What an input is.

    Attributes:
        kind: image, clip, voice, template or track.
        seconds: Its duration, None for images and where it is not known.
        size: Width and height in pixels, or None.
    """

    kind: str
    seconds: float | None = None
    size: tuple[int, int] | None = None


def content_of(path: Path) -> Content:
    """Find out what an input is by reading its beginning.

    Raises:
        AppError: It is nothing that the program reads.
    """
    from app.frames.templates import open_template
    from app.frames.voices import open_track
    from app.media.reader import open_clip
    from liveportrait.template import is_template

    if is_template(path):
        return Content("template", _seconds(open_template(path).times[-1]))
    track = open_track(path)
    if track is not None:
        length = track.length if track.sound is None else track.sound.duration
        return Content("track" if track.sound is None else "voice", _seconds(length))
    with open_clip(path, film=True) as clip:
        info = clip.info
        kind = "image" if info.kind == "image" else "clip"
        next(iter(clip), None)  # a damaged file fails here and not in a job
        return Content(kind, None if kind == "image" else _seconds(info.duration), (info.width, info.height))


@lru_cache(maxsize=256)
def _content(path: Path, size: int, changed: int) -> Content:
    """What an input is, read once as long as its size and time of change (nanoseconds) stay: sliders ask often."""
    return content_of(path)


def _seconds(value: Fraction | None) -> float | None:
    return None if value is None else round(float(value), 3)


def safe_name(name: str) -> str:
    """A file name made of letters, digits, dots, dashes and underscores only; the extension stays."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", os.path.basename(name.replace("\\", "/"))).lstrip(".-")
    stem, dot, ending = plain.rpartition(".")
    return f"{stem[:LONGEST_NAME]}.{ending[:10]}" if dot and stem else plain[:LONGEST_NAME] or "file"


class FileStore:
    """Uploads on disk, and the inputs that requests may name.

    Args:
        folder: Folder of the server; uploads lie in ``uploads/ID/NAME``.
        media: Folder whose files requests may name by path, or None.
        limits: What is accepted.
    """

    def __init__(self, folder: Path, media: Path | None, limits: Limits) -> None:
        self._uploads = folder / "uploads"
        self._results = folder / "results"
        self._media = None if media is None else Path(os.path.realpath(media))
        self._limits = limits
        for path in (self._uploads, self._results):
            path.mkdir(parents=True, exist_ok=True)

    async def save(self, name: str, chunks: AsyncIterator[bytes]) -> dict[str, Any]:
        """Store an upload and describe it; nothing stays behind if it is refused.

        Args:
            name: The file's name, whose extension tells formats apart that have no signature.
            chunks: Its bytes.

        Raises:
            RequestError: It is too large, too long, or nothing that the program reads (status 413, 422 or 507).
        """
        from fastapi.concurrency import run_in_threadpool

        if await run_in_threadpool(self.used) > self._limits.storage:
            raise RequestError(507, "The server's storage is full.", "Remove files and results that are not needed.")
        number = secrets.token_hex(12)
        folder = self._uploads / number
        folder.mkdir()
        path = folder / safe_name(name)
        kept = False
        try:
            size = 0
            with path.open("wb") as out:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self._limits.upload:
                        most = self._limits.upload // 1_000_000
                        raise RequestError(413, msg("The file is larger than {most} MB.", most))
                    out.write(chunk)
            content = await run_in_threadpool(self.check, path)
            kept = True
        finally:
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)
        return {"id": number, "name": path.name, "bytes": size, **vars(content)}

    def check(self, path: Path) -> Content:
        """What an input is.

        Raises:
            RequestError: It can't be read (status 422), or lasts too long (413).
        """
        try:
            facts = path.stat()
            content = _content(path, facts.st_size, facts.st_mtime_ns)
        except AppError as error:
            raise RequestError(422, error.message.replace(str(path), path.name), error.hint) from None
        except (OSError, ValueError) as error:
            raise RequestError(422, msg("{name} can't be read: {error}.", path.name, error)) from None
        if content.seconds is not None and content.seconds > self._limits.seconds:
            raise RequestError(
                413, msg("{name} lasts longer than {seconds:g} seconds.", path.name, self._limits.seconds)
            )
        return content

    def find(self, reference: Any, what: str) -> Path:
        """The path of an input that a request names.

        Args:
            reference: ``{"file": ID}`` of an upload, or ``{"path": NAME}`` below the opened folder.
            what: What it is for, for messages.

        Raises:
            RequestError: There is no such file (status 404), or the reference is malformed (422).
        """
        if not isinstance(reference, dict) or len(reference) != 1 or not {"file", "path"} & set(reference):
            raise RequestError(422, msg('{what} must be {{"file": ID}} of an upload or {{"path": NAME}}.', what))
        ((kind, value),) = reference.items()
        path = self._upload(value) if kind == "file" else self._below(value)
        if path is None or not path.is_file():
            raise RequestError(404, msg("{what}: there is no such file.", what), "Upload it with POST /v1/files.")
        return path

    def _upload(self, number: Any) -> Path | None:
        if not isinstance(number, str) or not NAME.fullmatch(number):
            return None
        folder = self._uploads / number
        names = sorted(folder.iterdir()) if folder.is_dir() else []
        return names[0] if names else None

    def _below(self, name: Any) -> Path | None:
        """A file below the opened folder, links followed; None for any other."""
        if self._media is None or not isinstance(name, str) or "\0" in name:
            return None
        path = Path(os.path.realpath(self._media / name))
        return path if path.is_relative_to(self._media) and path != self._media else None

    def remove(self, number: str) -> bool:
        """Remove an upload; False if there is none."""
        path = self._upload(number)
        if path is None:
            return False
        shutil.rmtree(path.parent, ignore_errors=True)
        return True

    def result_folder(self, job: str) -> Path:
        """Folder for the result of a job."""
        return self._results / job

    def used(self) -> int:
        """Bytes of all uploads and results."""
        total = 0
        for folder in (self._uploads, self._results):
            for path in folder.rglob("*"):
                try:
                    total += path.stat().st_size if path.is_file() else 0
                except OSError:  # removed meanwhile
                    continue
        return total

    def sweep(self, in_use: Collection[Path], now: float | None = None) -> list[str]:
        """Remove old uploads and results that no job needs; returns the names of the jobs whose results went."""
        before = (time.time() if now is None else now) - 3600 * self._limits.keep_hours
        used = {path.parent for path in in_use}
        gone = []
        for folder in (self._uploads, self._results):
            for path in sorted(folder.iterdir()):
                try:
                    old = path.stat().st_mtime < before
                except OSError:
                    continue
                if old and path not in used:
                    shutil.rmtree(path, ignore_errors=True)
                    if folder == self._results:
                        gone.append(path.name)
        return gone
