"""Where a job gets its costly parts from: engine, face tracker, encoded portrait, driving motion.

The default makes each anew. Whoever runs many jobs hands :func:`app.render.render` a subclass that keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from models.choices import EMBEDDED, DetectorChoice

if TYPE_CHECKING:
    from app.options import RenderOptions
    from app.render.job import Job
    from app.render.source import Scene
    from app.render.track import MotionTrack
    from liveportrait.engines.base import Engine
    from models.face import FaceTracker

Say = Callable[[str], None]


def open_tracker(detector: DetectorChoice = EMBEDDED) -> FaceTracker:
    """A face tracker.

    Args:
        detector: What finds faces.

    Raises:
        MissingError: That detector is not here, or is none.
    """
    from app.errors import MissingError
    from models.face import FaceTracker
    from models.registry import ModelError

    try:
        return FaceTracker(detector=detector)
    except ModelError as error:
        raise MissingError(str(error)) from None


class Parts:
    """Makes the parts of a job, each time anew."""

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
        from app.render.inputs import load_job_engine

        return load_job_engine(options, say, warn, step)

    def tracker(self, options: RenderOptions) -> FaceTracker:
        """What finds and follows faces; whoever uses it resets it first.

        Args:
            options: detector is used.

        Raises:
            MissingError: The detector that they ask for is not here.
        """
        return open_tracker(options.input.finder)

    def scene(self, job: Job, engine: Engine, make: Callable[[], tuple[Scene, list[str]]]) -> tuple[Scene, list[str]]:
        """The encoded source photo of a job, and sentences about it; ``make`` makes it."""
        return make()

    def motion(self, job: Job, engine: Engine, track: MotionTrack, read: Callable[[], bool]) -> None:
        """Fill an empty track with the motion of the driving clip.

        Args:
            job: Which clip it is, and which face of it.
            engine: Who reads the motion.
            track: To be filled.
            read: Reads the clip into the track; says whether the clip was whole.
        """
        read()
