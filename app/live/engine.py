"""The engine of a session, according to its options."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from app.errors import AppError
from models.messages import msg

if TYPE_CHECKING:
    from app.live.context import SessionContext
    from app.options import ProgramOptions, RenderOptions

NAMES: Final = ("engine", "device", "threads", "precision", "animals")  # options that require another engine


class EngineLoader:
    """Loads the engine named by the options into ``context.engine``.

    Args:
        context: Provides the settings and receives the engine.
    """

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._program = context.settings.options.program  # options of the engine that was loaded or tried last

    def fits(self, program: ProgramOptions) -> bool:
        """Whether the options match the engine that was loaded or tried last."""
        return all(getattr(program, name) == getattr(self._program, name) for name in NAMES)

    def load(self) -> None:
        """Load the engine named by the options; the previous one is kept on failure.

        Raises:
            AppError: It can't be loaded.
        """
        options, events = self._context.settings.options, self._context.events
        if self._context.engine is None:
            self._program = options.program  # don't retry the same one at every change of options
        try:
            engine = self._context.resources.engine(options, events.info, events.warn)
        except AppError:
            raise
        except Exception as error:
            name = options.program.engine
            raise AppError(
                msg("The engine {name} can't be loaded ({name2}: {error}).", name, type(error).__name__, error)
            ) from error
        self._context.engine, self._program = engine, options.program

    def restored(self, options: RenderOptions) -> RenderOptions:
        """The options with the current engine."""
        used = {name: getattr(self._program, name) for name in NAMES}
        return replace(options, program=replace(options.program, **used))
