"""What a server accepts, and the faults that it answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.errors import AppError, MissingError

MEGABYTE: Final = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What a server accepts.

    Attributes:
        upload: Bytes of one uploaded file.
        storage: Bytes of all uploads and results together.
        seconds: Duration of one clip or sound in seconds.
        waiting: Jobs that may wait.
        live: Live sessions at the same time.
        keep_hours: Hours after which uploads and results are removed.
        request: Bytes of a request that is not an upload.
    """

    upload: int = 512 * MEGABYTE
    storage: int = 20_000 * MEGABYTE
    seconds: float = 600.0
    waiting: int = 200
    live: int = 2
    keep_hours: float = 24.0
    request: int = MEGABYTE


class RequestError(AppError):
    """A request that can't be fulfilled.

    Args:
        status: HTTP status.
        message: One sentence.
        hint: What to do about it, or empty.
    """

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


def status_of(error: AppError) -> int:
    """HTTP status of an expected error."""
    if isinstance(error, RequestError):
        return error.status
    return 501 if isinstance(error, MissingError) else 422
