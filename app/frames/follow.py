"""The driving side: track the face and read its motion in every frame of a driver into a channel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt

from app.errors import NoFaceError, UsageError
from app.media.files import scratch_error
from app.media.prefetch import stage
from liveportrait.driving import DrivingReader
from liveportrait.track import MotionTrack
from models.choices import LARGEST, FaceChoice
from models.face import Face, select_face
from models.messages import about, msg
from models.tracker import FaceTracker

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.frames.timings import Timings
    from app.media.clip import ClipReader, Frame
    from liveportrait.engines.base import Engine

T = TypeVar("T")
QUEUE_BYTES: Final = 64 << 20  # limit on decoded frames that wait between two stages
LARGEST_FRAME: Final = 40 << 20  # largest frame in bytes for which stages run concurrently
DEEPEST: Final = 4


class FaceFollower:
    """Finds the selected face in a clip and tracks it.

    Args:
        tracker: Shared tracker; it is reset.
        choice: Which face to track, see models.face.select_face.
        where: Flag and file, for errors.
    """

    def __init__(self, tracker: FaceTracker, choice: FaceChoice, where: object = "") -> None:
        tracker.reset()
        self._where = where
        self._tracker = tracker
        self._choice = choice
        self._chosen = choice == LARGEST

    def __call__(self, rgb: npt.NDArray[np.uint8]) -> Face | None:
        """The face in the next frame (H, W, 3), or None.

        Raises:
            UsageError: The choice does not match the faces of the first frame with faces.
        """
        face = self._tracker.track(rgb)
        if face is None or self._chosen:
            return face
        faces = self._tracker.detect(rgb) or [face]
        try:
            face = select_face(faces, self._choice, (rgb.shape[1], rgb.shape[0]))
        except ValueError as error:
            raise UsageError(about(self._where, str(error))) from None
        self._chosen = True
        return self._tracker.start(face, rgb)


def queue_depth(width: int, height: int, channels: int = 3) -> int:
    """Frames of this size that may wait between two stages; 0 if even two are too many, so that stages alternate."""
    if width * height * channels > LARGEST_FRAME:
        return 0
    return max(1, min(DEEPEST, QUEUE_BYTES // max(1, width * height * channels)))


def timed(frames: Iterable[T], timings: Timings, stage: str) -> Iterator[T]:
    """Pass items through and measure the time to produce each as a stage."""
    iterator = iter(frames)
    while True:
        start = time.perf_counter()
        item = next(iterator, None)
        if item is None:
            return
        timings.add(stage, time.perf_counter() - start)
        yield item


def read_driving(
    reader: ClipReader,
    follow: FaceFollower,
    engine: Engine,
    track: MotionTrack,
    *,
    timings: Timings,
    token: CancelToken,
    advance: Callable[[], object] = lambda: None,
    overlap: bool = True,
) -> None:
    """Track the selected face through a clip and read its motion; frames without a face stay empty.

    Decoding, tracking and reading run concurrently, each a few frames ahead of the next.

    Args:
        reader: The clip.
        follow: Finds the face.
        engine: Reads the motion.
        track: Gets it.
        timings: Gets the time of each stage.
        token: Stops the work.
        advance: Called after each frame.
        overlap: Whether the stages run concurrently.

    Raises:
        CancelledError: The user stopped the job.
        NoFaceError: No frame has a face.
        UsageError: The requested face does not exist.
    """
    motions = DrivingReader(engine)
    depth = queue_depth(reader.info.width, reader.info.height)

    def tracked(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Face | None]]:
        for frame in frames:
            token.check()
            with timings.measure("track"):
                face = follow(frame.rgb)
            yield frame, face

    with ExitStack() as stages:
        decoded = stages.enter_context(stage(timed(reader, timings, "decode"), depth, overlap))
        for frame, face in stages.enter_context(stage(tracked(decoded), depth, overlap)):
            token.check()
            if face is None:
                track.append(frame.time, None)
            else:
                with timings.measure("motion"):
                    track.append(frame.time, motions.read(frame.rgb, face))
            advance()
    if not track.found:
        count = msg("any of its {count} frames", len(track)) if len(track) > 1 else "it"
        raise NoFaceError(
            msg("{path}: no face was found in {count}.", reader.info.path, count),
            "The driving file must show one face, large and from the front.",
        )
    end = track.times[-1] + 1 / reader.info.rate
    declared = reader.length
    whole = not reader.problem and declared is not None and declared > track.times[-1]
    track.duration = declared if whole and declared is not None else end


def scratch_track() -> MotionTrack:
    """An empty track on disk."""
    return MotionTrack(fault=scratch_error)
