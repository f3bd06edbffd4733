"""First pass: faces and motion of a clip, frame by frame, onto disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from app.errors import NoFaceError, UsageError
from app.media.prefetch import Prefetch
from app.render.track import MotionTrack, RowFile
from liveportrait.crop import Box, Crop, face_box
from models.face import Face, FaceTracker, select_face
from models.topology import POINTS

if TYPE_CHECKING:
    from app.events import CancelToken, Phase
    from app.media.reader import ClipReader, Frame
    from app.render.timings import Timings
    from liveportrait.engines.base import Engine

DRIVING_SCALE: Final = 2.2  # side of the driving crop over the face, and its shift (spec motion.md section 5.6)
DRIVING_SHIFT: Final = -0.1
READ_AHEAD: Final = 4  # decoded frames that wait


class FaceFollower:
    """Finds the chosen face in a clip and follows it.

    Args:
        tracker: Shared tracker; it is reset.
        choice: Which face to follow, see models.face.select_face.
    """

    def __init__(self, tracker: FaceTracker, choice: str) -> None:
        tracker.reset()
        self._tracker = tracker
        self._choice = choice
        self._chosen = choice == "largest"

    def __call__(self, rgb: npt.NDArray[np.uint8]) -> Face | None:
        """The face in the next frame (H, W, 3), or None.

        Raises:
            UsageError: The choice does not fit the faces of the first frame that has any.
        """
        face = self._tracker.track(rgb)
        if face is None or self._chosen:
            return face
        faces = self._tracker.detect(rgb) or [face]
        try:
            face = select_face(faces, self._choice, (rgb.shape[1], rgb.shape[0]))
        except ValueError as error:
            raise UsageError(f"{error}") from None
        self._tracker.start(face)
        self._chosen = True
        return face


class FaceLog:
    """Landmarks of the faces of a clip, on disk.

    Args:
        path: Scratch file.
    """

    def __init__(self, path: Path) -> None:
        self._rows = RowFile(path)
        self._seen = bytearray()
        self.times: list[Fraction] = []

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def found(self) -> int:
        """Frames with a face."""
        return len(self._rows)

    def append(self, time: Fraction, face: Face | None) -> None:
        """Add the next frame."""
        self.times.append(time)
        self._seen.append(face is not None)
        if face is not None:
            self._rows.append(np.append(face.points, np.float32(face.score)))

    def faces(self) -> Iterator[tuple[Fraction, Face | None]]:
        """Time stamp and face of every frame, in order."""
        row = 0
        for time, seen in zip(self.times, self._seen, strict=True):
            face = None
            if seen:
                values = self._rows.read(row, row + 1)[0]
                face = Face(values[:-1].reshape(POINTS, 3), float(values[-1]))
                row += 1
            yield time, face

    def close(self) -> None:
        """Close the scratch file."""
        self._rows.close()


def log_faces(
    reader: ClipReader, follow: FaceFollower, log: FaceLog, timings: Timings, phase: Phase, token: CancelToken
) -> None:
    """Track the chosen face through a clip.

    Raises:
        CancelledError: The user stopped the job.
        NoFaceError: No frame has a face.
    """
    with Prefetch(timed(reader, timings, "decode"), READ_AHEAD) as frames:
        for frame in frames:
            token.check()
            with timings.measure("track"):
                face = follow(frame.rgb)
            log.append(frame.time, face)
            phase.advance()
    if not log.found:
        raise NoFaceError(
            f"{reader.info.path}: no face was found in any of its {len(log)} frames.",
            "Use a clip that shows one face large and from the front.",
        )


def timed(frames: Iterable[Frame], timings: Timings, stage: str) -> Iterator[Frame]:
    """Frames of a clip, with the time that each took to come."""
    iterator = iter(frames)
    while True:
        with timings.measure(stage):
            frame = next(iterator, None)
        if frame is None:
            return
        yield frame


def average_box(log: FaceLog) -> Box:
    """One level box for a whole clip: the mean over its faces (spec motion.md section 5.6)."""
    total = np.zeros(3)
    for _, face in log.faces():
        if face is not None:
            box = face_box(face, DRIVING_SCALE, 0.0, DRIVING_SHIFT)
            total += box.x, box.y, box.size
    x, y, size = total / log.found
    return Box(float(x), float(y), float(size))


def read_motions(
    reader: ClipReader,
    log: FaceLog,
    engine: Engine,
    track: MotionTrack,
    timings: Timings,
    advance: Callable[[], None],
    token: CancelToken,
) -> None:
    """Read the motion of every logged face from one crop for the whole clip; frames without a face stay empty."""
    crop = Crop.of_box(average_box(log), engine.crop_size)
    blank = np.zeros((engine.crop_size, engine.crop_size, 3), np.uint8)
    frames = Prefetch(iter(reader), READ_AHEAD) if engine.reads_pixels else None
    try:
        for time, face in log.faces():
            token.check()
            frame = next(frames) if frames is not None else None
            if face is None:
                track.append(time, None)
            else:
                with timings.measure("motion"):
                    square = blank if frame is None else crop.apply(frame.rgb)
                    track.append(time, engine.read_motion(square, crop.face(face)))
            advance()
    finally:
        if frames is not None:
            frames.close()
