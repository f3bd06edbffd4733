"""The engine and the face trackers of a session, according to its options."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from app.errors import AppError
from models.choices import EMBEDDED
from models.messages import msg

if TYPE_CHECKING:
    from app.frames.resources import Resources
    from app.live.context import SessionContext
    from app.options import ProgramOptions, RenderOptions
    from models.choices import DetectorChoice
    from models.tracker import FaceTracker

NAMES: Final = ("engine", "device", "threads", "precision", "animals")  # options that require another engine


class EngineLoader:
    """Loads the engine named by the options into ``context.engine``.

    Args:
        resources: Loads it.
        context: Provides the settings and receives the engine.
    """

    def __init__(self, resources: Resources, context: SessionContext) -> None:
        self._resources = resources
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
            engine = self._resources.engine(options, events.info, events.warn)
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


class Trackers(threading.local):
    """Face trackers with the detector requested by the options; one per thread, since they keep state.

    Args:
        resources: Creates them.
        context: Settings and reporting.
    """

    def __init__(self, resources: Resources, context: SessionContext) -> None:
        self._resources = resources
        self._context = context
        self._tracker: FaceTracker | None = None
        self._detector: DetectorChoice = EMBEDDED

    @property
    def outdated(self) -> bool:
        """Whether this thread has no tracker with the currently requested detector."""
        return self._tracker is None or self._detector != self._context.settings.options.input.finder

    def get(self) -> FaceTracker:
        """The tracker of this thread.

        Raises:
            AppError: Its detector is not available; the previous tracker is kept.
        """
        if self._tracker is None or self.outdated:
            wanted = self._context.settings.options.input.finder
            self._tracker, self._detector = self._resources.tracker(wanted), wanted
        return self._tracker

    def get_any(self) -> FaceTracker:
        """The tracker of this thread; with the embedded detector if the requested one is not available."""
        try:
            return self.get()
        except AppError as error:
            self._context.complain(error)
            self._detector = self._context.settings.options.input.finder
            self._tracker = self._resources.tracker(EMBEDDED)
            return self._tracker
