"""The engine of a session: loaded once, and again when the options name another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from app.errors import AppError
from models.messages import msg

if TYPE_CHECKING:
    from app.options import ProgramOptions, RenderOptions
    from liveportrait.engines.base import Engine

Load = Callable[["RenderOptions", Callable[[str], None], Callable[[str], None]], "Engine"]
"""Loads the engine that options name; the others are told what is good to know and what should be looked at."""

NAMES: Final = ("engine", "device", "threads", "precision", "animals")  # options that another engine is loaded for


class KeptEngine:
    """Loads the engine that options name, and keeps it.

    Args:
        load: Loads an engine.
        info: Told what is good to know.
        warn: Told what should be looked at.
        engine: Engine to begin with.
        program: Options that stand for it.
    """

    def __init__(
        self,
        load: Load,
        info: Callable[[str], None],
        warn: Callable[[str], None],
        engine: Engine | None,
        program: ProgramOptions,
    ) -> None:
        self.current: Engine | None = engine
        """The engine, once it is loaded."""
        self._load, self._info, self._warn = load, info, warn
        self._program = program  # what it was loaded for, or was tried last

    def fits(self, program: ProgramOptions) -> bool:
        """Whether the options still name the engine that was loaded, or could not be."""
        return all(getattr(program, name) == getattr(self._program, name) for name in NAMES)

    def load(self, options: RenderOptions) -> Engine:
        """Load the engine that the options name; the one before is kept where that fails.

        Raises:
            AppError: It can't be loaded.
        """
        if self.current is None:
            self._program = options.program  # the same one is not tried again with each option that changes
        try:
            engine = self._load(options, self._info, self._warn)
        except AppError:
            raise
        except Exception as error:
            name = options.program.engine
            raise AppError(
                msg("The engine {name} can't be loaded ({name2}: {error}).", name, type(error).__name__, error)
            ) from error
        self.current, self._program = engine, options.program
        return engine

    def kept(self, options: RenderOptions) -> RenderOptions:
        """The options with the engine that is in use."""
        used = {name: getattr(self._program, name) for name in NAMES}
        return replace(options, program=replace(options.program, **used))
