"""What is expensive in jobs and live sessions, and kept: engine, face trackers, encoded photos, driving motion."""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import MissingError, UsageError
from app.frames.motion_cache import MotionCache, motion_key
from app.media.contents import content_hash
from liveportrait.batching import free_gpu_memory
from models.choices import EMBEDDED, DetectorChoice
from models.messages import msg

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.options import ProgramOptions, RenderOptions
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


def _load_engine(program: ProgramOptions, say: Say, warn: Say, step: Say | None = None) -> Engine:
    """Load the engine that the options request; see :meth:`Resources.engine`."""
    from liveportrait.engines import EngineUnavailableError, load_engine

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
    """Creates the resources of jobs and sessions, and keeps them for the next use.

    Args:
        motion: Driving motion on disk; None reads each clip again.
        file_hash: Hash of the content of an input.
        threads: CPU threads for engines whose options don't set the number; 0 lets the engine choose.
        engines: Number of engines to keep.
        photos: Number of encoded photos to keep.

    Attributes:
        loaded: Number of engines loaded.
        encoded: Number of photos encoded.
        read: Number of clips whose motion was read.
    """

    def __init__(
        self,
        motion: MotionCache | None = None,
        file_hash: Callable[[Path], str] = content_hash,
        *,
        threads: int = 0,
        engines: int = 1,
        photos: int = 0,
    ) -> None:
        self._motion = motion
        self._hash = file_hash
        self._threads = threads
        self._most_engines, self._most_photos = engines, photos
        self._engines: OrderedDict[ProgramOptions, tuple[Engine, list[str], list[str]]] = OrderedDict()
        self._scenes: OrderedDict[tuple[object, ...], tuple[Scene, list[str]]] = OrderedDict()
        self._trackers = threading.local()
        self.loaded = self.encoded = self.read = 0

    def engine(self, options: RenderOptions, say: Say, warn: Say, step: Say | None = None) -> Engine:
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
        program = replace(options.program, json_lines=False, quiet=False)
        program = replace(program, threads=program.threads or self._threads)
        if program not in self._engines:
            reasons: list[str] = []
            failures: list[str] = []
            engine = _load_engine(program, reasons.append, failures.append, step)
            self._engines[program] = engine, reasons, failures
            self.loaded += 1
            while len(self._engines) > self._most_engines:
                self._engines.popitem(last=False)
        self._engines.move_to_end(program)
        engine, reasons, failures = self._engines[program]
        for sentence in reasons:
            say(sentence)
        for sentence in failures:
            warn(sentence)
        return engine

    def tracker(self, detector: DetectorChoice) -> FaceTracker:
        """The face tracker of the calling thread, since trackers keep state; callers reset it before use.

        Raises:
            MissingError: The detector is not installed; the previous tracker is kept.
        """
        if getattr(self._trackers, "detector", None) != detector:
            self._trackers.tracker, self._trackers.detector = open_tracker(detector), detector
        tracker: FaceTracker = self._trackers.tracker
        return tracker

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
        if not self._most_photos:
            return make()
        wanted = options.input
        placed = tuple(self._hash(Path(name)) for name in (wanted.landmarks, wanted.points) if name)
        key = str(source), self._hash(source), id(engine), wanted, placed, options.animation, options.output.background
        if key not in self._scenes:
            while len(self._scenes) >= self._most_photos:
                self._scenes.popitem(last=False)
            self._scenes[key] = make()
            self.encoded += 1
        self._scenes.move_to_end(key)
        return self._scenes[key]

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
        if self._motion is None:
            read()
            self.read += 1
        elif not self._motion.fill(motion_key(self._hash(driving), engine, options), track, read, token, wait=wait):
            self.read += 1

    def forget(self) -> None:
        """Free everything that uses memory."""
        self._engines.clear()
        self._scenes.clear()
        gc.collect()
        free_gpu_memory()
