"""Expensive resources of a job or live session: engine, face tracker, encoded portrait, driving motion.

The default creates each one for the job. To run many jobs, pass :func:`app.render.render` a subclass that caches them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import MissingError, UsageError
from models.choices import EMBEDDED, DetectorChoice
from models.messages import msg

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.options import RenderOptions
    from liveportrait.animator import Scene
    from liveportrait.engines.base import Engine
    from liveportrait.track import MotionTrack
    from models.tracker import FaceTracker

Say = Callable[[str], None]


def open_tracker(detector: DetectorChoice = EMBEDDED) -> FaceTracker:
    """Create a face tracker.

    Args:
        detector: Face detector.

    Raises:
        MissingError: The detector is not installed, or not a detector.
    """
    from models.registry import ModelError
    from models.tracker import FaceTracker

    try:
        return FaceTracker(detector=detector)
    except ModelError as error:
        raise MissingError(str(error)) from None


def load_job_engine(options: RenderOptions, say: Say, warn: Say, step: Say | None = None) -> Engine:
    """The engine that the options request.

    Args:
        options: engine, device, threads, max_crop, precision and animals are used.
        say: Receives which engine was chosen and why.
        warn: Receives which better ones failed.
        step: Receives the name of each step before it begins.

    Raises:
        MissingError: It can't run here.
        UsageError: There is no such engine, or it doesn't support the device.
    """
    from liveportrait.engines import EngineUnavailableError, load_engine

    program = options.program
    try:
        return load_engine(
            program.engine,
            program.device,
            threads=program.threads,
            max_crop=program.max_crop,
            precision=program.precision,
            animals=program.animals,
            say=say,
            brief=True,
            warn=warn,
            step=step,
        )
    except EngineUnavailableError as error:
        raise MissingError(str(error), "`animate doctor` shows what is missing.") from error
    except ValueError as error:
        raise UsageError(msg("{option:engine}: {error}", error)) from error


class Resources:
    """Creates the resources of a job or session, without caching."""

    def engine(self, options: RenderOptions, say: Say, warn: Say, step: Say | None = None) -> Engine:
        """The engine that the options request.

        Args:
            options: engine, device, threads and max_crop are used.
            say: Receives which engine was chosen and why.
            warn: Receives which better ones failed.
            step: Receives the name of each step before it begins.

        Raises:
            MissingError: It can't run here.
            UsageError: There is no such engine, or it doesn't support the device.
        """
        return load_job_engine(options, say, warn, step)

    def tracker(self, detector: DetectorChoice) -> FaceTracker:
        """The face tracker; callers reset it before use.

        Raises:
            MissingError: The detector is not installed.
        """
        return open_tracker(detector)

    def scene(
        self, source: Path, options: RenderOptions, engine: Engine, make: Callable[[], tuple[Scene, list[str]]]
    ) -> tuple[Scene, list[str]]:
        """The encoded photo of a job, and notes about it.

        Args:
            source: The photo.
            options: The options.
            engine: Engine that encodes it.
            make: Creates the result.
        """
        return make()

    def motion(
        self,
        driving: Path,
        options: RenderOptions,
        engine: Engine,
        track: MotionTrack,
        read: Callable[[], bool],
        token: CancelToken,
        *,
        wait: bool = True,
    ) -> None:
        """Fill an empty track with the motion of a driving clip.

        Args:
            driving: The clip.
            options: Which face and part of it.
            engine: Engine that reads the motion.
            track: Track to fill.
            read: Reads the clip into the track; returns whether the clip was intact.
            token: Ends waiting for another process that reads the same clip.
            wait: Whether to wait for such a process, and to let it wait.
        """
        read()
