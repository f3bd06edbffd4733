"""Text files that people write: presets, settings, job files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from app.errors import UsageError


def read_text(path: Path) -> str:
    """Content of a UTF-8 file, with or without a byte order mark.

    Raises:
        UsageError: It isn't there or can't be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{path} can't be read: {reason}.") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Values of a TOML text.

    Raises:
        ValueError: It is not valid.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    data: dict[str, Any] = tomllib.loads(text)
    return data
