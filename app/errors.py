"""The errors that a user can meet: one clear sentence each, with its documented exit code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from models.messages import Option, about, changed, joined, msg

LONGEST_QUOTE, KEPT = 80, 40  # characters of a quoted value that stay, and of one that is cut
QUOTED: Final = re.compile(r"""(?<!\w)(['"])(.*?)\1(?!\w)""")
LONGEST_WORD: Final = 400  # characters; longer than any path that people use
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
    """A sentence in which nothing that somebody typed is repeated at a length that nobody reads."""

    def cut(match: re.Match[str]) -> str:
        quote, inside = match.groups()
        return f"{quote}{inside[:KEPT]}{quote}..." if len(inside) > LONGEST_QUOTE else match[0]

    return WORD.sub(lambda match: f"{match[0][:100]}...{match[0][-50:]}", QUOTED.sub(cut, text))


class AppError(Exception):
    """Base of all expected errors. Long values of options, files and addresses in them are cut, here and only here.

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
    """The options or names given can't be used as they are."""

    exit_code = ExitCode.USAGE


def not_one_of(label: str | Option, text: str, known: Sequence[str]) -> UsageError:
    """The error for a word that is none of those that can stand there; it names the nearest one."""
    from difflib import get_close_matches

    near = get_close_matches(text, known, 1)
    sentence = msg("{text!r} is not one of {known}.", text, ", ".join(known))
    return UsageError(about(label, sentence), msg("Did you mean {near}?", near[0]) if near else "")


class MediaError(AppError):
    """A picture, clip, sound or output file can't be read or written."""


class NoFaceError(AppError):
    """No face was found where one is needed."""

    exit_code = ExitCode.NO_FACE


class CancelledError(AppError):
    """The user stopped the job."""

    exit_code = ExitCode.CANCELLED


class MissingError(AppError):
    """Weights, a package or a tool that the request needs is not installed."""

    exit_code = ExitCode.MISSING


def model_fault(error: BaseException) -> AppError | None:
    """The expected error for a weight file that turned out to be unusable in the middle of the work, or None."""
    from models.registry import ModelError

    return AppError(str(error)) if isinstance(error, ModelError) else None
