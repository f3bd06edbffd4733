"""Where a job or a live session gets its costly parts from: engine, face tracker, encoded portrait, driving motion.

The default makes each anew. Whoever runs many jobs hands :func:`app.render.render` a subclass that keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import MissingError, UsageError
from models.choices import EMBEDDED, DetectorChoice
from models.messages import msg

if TYPE_CHECKING:
    from app.options import RenderOptions
    from liveportrait.animator import Scene
    from liveportrait.engines.base import Engine
    from liveportrait.track import MotionTrack
    from models.tracker import FaceTracker

Say = Callable[[str], None]


def open_tracker(detector: DetectorChoice = EMBEDDED) -> FaceTracker:
    """A face tracker.

    Args:
        detector: What finds faces.

    Raises:
        MissingError: That detector is not here, or is none.
    """
    from models.registry import ModelError
    from models.tracker import FaceTracker

    try:
        return FaceTracker(detector=detector)
    except ModelError as error:
        raise MissingError(str(error)) from None


def load_job_engine(options: RenderOptions, say: Say, warn: Say, step: Say | None = None) -> Engine:
    """The engine that the options ask for.

    Args:
        options: engine, device, threads, max_crop, precision and animals are used.
        say: Told which engine it is and why.
        warn: Told of better ones that failed.
        step: Told what is loaded or timed before that begins.

    Raises:
        MissingError: It can't run here.
        UsageError: There is none of that name, or it doesn't know the device.
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
    """Makes what a job or a session works with, each time anew."""

    def engine(self, options: RenderOptions, say: Say, warn: Say, step: Say | None = None) -> Engine:
        """The engine that the options ask for.

        Args:
            options: engine, device, threads and max_crop are used.
            say: Told which engine it is and why.
            warn: Told of better ones that failed.
            step: Told what is loaded or timed before that begins.

        Raises:
            MissingError: It can't run here.
            UsageError: There is none of that name, or it doesn't know the device.
        """
        return load_job_engine(options, say, warn, step)

    def tracker(self, detector: DetectorChoice) -> FaceTracker:
        """What finds and follows faces; whoever uses it resets it first.

        Raises:
            MissingError: The detector is not here.
        """
        return open_tracker(detector)

    def scene(
        self, source: Path, options: RenderOptions, engine: Engine, make: Callable[[], tuple[Scene, list[str]]]
    ) -> tuple[Scene, list[str]]:
        """The encoded photo of a job, and sentences about it.

        Args:
            source: The photo.
            options: What of it is animated, and how.
            engine: Who encodes it.
            make: Makes it.
        """
        return make()

    def motion(
        self, driving: Path, options: RenderOptions, engine: Engine, track: MotionTrack, read: Callable[[], bool]
    ) -> None:
        """Fill an empty track with the motion of a driving clip.

        Args:
            driving: The clip.
            options: Which face and part of it.
            engine: Who reads the motion.
            track: To be filled.
            read: Reads the clip into the track; says whether the clip was whole.
        """
        read()
