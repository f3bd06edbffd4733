"""Text files written by users: presets, settings, job files. Their content is limited (liveportrait.limits)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

from app.errors import UsageError
from liveportrait.limits import MAX_COUNT, MAX_DEPTH, check_tree, read_limited
from models.messages import msg

MAX_BYTES: Final = 16 << 20
_TEXTS: Final = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_LONG_KEY: Final = re.compile(r"(?<![\w-])(?:[\w-]+|\"\")(?:[ \t]*\.[ \t]*(?:[\w-]+|\"\")){%d}" % MAX_DEPTH)  # noqa: UP031


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """Content of a UTF-8 file of at most ``limit`` bytes, with or without a byte order mark.

    Raises:
        UsageError: It does not exist, can't be read, is too large or not a regular file.
    """
    try:
        return read_limited(path, limit).decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(msg("{path} does not exist.", path)) from None
    except OSError as error:
        raise UsageError(msg("{path} can't be read: {reason}.", path, error.strerror)) from None
    except UnicodeDecodeError:
        raise UsageError(msg("{path} can't be read: it is not UTF-8 text.", path)) from None
    except ValueError as error:
        raise UsageError(msg("{path} can't be read: {error}.", path, error)) from None


def parse_toml(text: str, count: int = MAX_COUNT) -> dict[str, Any]:
    """Parse a TOML text, checked by ``liveportrait.limits.check_tree``.

    Raises:
        ValueError: It is not valid, or breaks a limit.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    # a key with n dotted parts takes memory proportional to n * n
    if _LONG_KEY.search(_TEXTS.sub('""', text)):
        raise ValueError(msg("it is nested more than {max_depth} levels deep", MAX_DEPTH))
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise ValueError(msg("it is nested more than {max_depth} levels deep", MAX_DEPTH)) from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python's limit on digits
        raise ValueError("it contains a whole number with too many digits") from None
    check_tree(data, count=count)
    return data
