"""The engine and the face trackers of a session, as its options ask for."""

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

NAMES: Final = ("engine", "device", "threads", "precision", "animals")  # options that another engine is loaded for


class EngineLoader:
    """Loads the engine that options name into ``context.engine``.

    Args:
        resources: Loads it.
        context: Settings, and where the engine goes.
    """

    def __init__(self, resources: Resources, context: SessionContext) -> None:
        self._resources = resources
        self._context = context
        self._program = context.settings.options.program  # what was loaded, or tried last

    def fits(self, program: ProgramOptions) -> bool:
        """Whether the options still name the engine that was loaded, or could not be."""
        return all(getattr(program, name) == getattr(self._program, name) for name in NAMES)

    def load(self) -> None:
        """Load the engine that the options name; the one before is kept where that fails.

        Raises:
            AppError: It can't be loaded.
        """
        options, events = self._context.settings.options, self._context.events
        if self._context.engine is None:
            self._program = options.program  # the same one is not tried again with each option that changes
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
        """The options with the engine that is in use."""
        used = {name: getattr(self._program, name) for name in NAMES}
        return replace(options, program=replace(options.program, **used))


class Trackers(threading.local):
    """Face trackers with the detector that the options ask for; each thread has its own, as they remember faces.

    Args:
        resources: Makes them.
        context: Settings and reports.
    """

    def __init__(self, resources: Resources, context: SessionContext) -> None:
        self._resources = resources
        self._context = context
        self._tracker: FaceTracker | None = None
        self._detector: DetectorChoice = EMBEDDED

    @property
    def outdated(self) -> bool:
        """Whether this thread has no tracker with the detector that is asked for now."""
        return self._tracker is None or self._detector != self._context.settings.options.input.finder

    def get(self) -> FaceTracker:
        """The tracker of this thread.

        Raises:
            AppError: Its detector can't be had; the tracker before stays.
        """
        if self._tracker is None or self.outdated:
            wanted = self._context.settings.options.input.finder
            self._tracker, self._detector = self._resources.tracker(wanted), wanted
        return self._tracker

    def get_any(self) -> FaceTracker:
        """The tracker of this thread; with the embedded detector where the one that is asked for can't be had."""
        try:
            return self.get()
        except AppError as error:
            self._context.complain(error)
            self._detector = self._context.settings.options.input.finder
            self._tracker = self._resources.tracker(EMBEDDED)
            return self._tracker
