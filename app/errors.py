"""The errors shown to users: one clear sentence each, with a documented exit code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from models.messages import Option, about, changed, joined, msg

LONGEST_QUOTE, KEPT = 80, 40  # longest quoted value shown in full, and characters kept of longer ones
QUOTED: Final = re.compile(r"""(?<!\w)(['"])(.*?)\1(?!\w)""")
LONGEST_WORD: Final = 400  # characters; longer than realistic paths
WORD: Final = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


class ExitCode(IntEnum):
    """Exit codes of every command (docs/cli.md lists them)."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NO_FACE = 3
    CANCELLED = 4
    PARTIAL = 5
    MISSING = 6


def brief(text: str) -> str:
    """Shorten overlong user input quoted in a sentence."""

    def cut(match: re.Match[str]) -> str:
        quote, inside = match.groups()
        return f"{quote}{inside[:KEPT]}{quote}..." if len(inside) > LONGEST_QUOTE else match[0]

    return WORD.sub(lambda match: f"{match[0][:100]}...{match[0][-50:]}", QUOTED.sub(cut, text))


class AppError(Exception):
    """Base of all expected errors. Long values of options, files and URLs in them are shortened here and only here.

    Args:
        message: One sentence: what is wrong, and with which file or option.
        hint: What to do about it, or empty.
    """

    exit_code: ExitCode = ExitCode.ERROR

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = changed(message, brief)
        self.hint = changed(hint, brief)
        super().__init__(self.message)

    def __str__(self) -> str:
        return joined((self.message, self.hint))


class UsageError(AppError):
    """The given options or names can't be used."""

    exit_code = ExitCode.USAGE


def not_one_of(label: str | Option, text: str, known: Sequence[str]) -> UsageError:
    """The error for a word that is not one of the allowed ones; it suggests the nearest one."""
    from difflib import get_close_matches

    near = get_close_matches(text, known, 1)
    sentence = msg("{text!r} is not one of {known}.", text, ", ".join(known))
    return UsageError(about(label, sentence), msg("Did you mean {near}?", near[0]) if near else "")


class MediaError(AppError):
    """An image, clip, sound or output file can't be read or written."""


class NoFaceError(AppError):
    """No face was found where one is needed."""

    exit_code = ExitCode.NO_FACE


class CancelledError(AppError):
    """The user stopped the job."""

    exit_code = ExitCode.CANCELLED


class MissingError(AppError):
    """Weights, a package or a tool needed for the request is not installed."""

    exit_code = ExitCode.MISSING


def model_fault(error: BaseException) -> AppError | None:
    """The expected error for a weight file found unusable during a run, or None."""
    from models.registry import ModelError

    return AppError(str(error)) if isinstance(error, ModelError) else None
