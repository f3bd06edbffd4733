"""The source side: which face comes alive, its crop, and its portrait; for a photo once, for a clip frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.errors import NoFaceError, UsageError
from app.options import parse_crop
from app.render.driving import FaceFollower
from app.render.timings import Timings
from liveportrait.animator import Animator, SourceFace
from liveportrait.compose import Compositor
from liveportrait.crop import Crop
from models.face import Face, FaceTracker, select_face

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.media.reader import ClipReader, Frame
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine

Pixels = npt.NDArray[np.uint8]
HINT = "Name the square with --crop x,y,size, or choose the face with --face."


@dataclass
class Scene:
    """One source picture, ready to be animated.

    Attributes:
        picture: (H, W, 3 or 4) uint8.
        face: The animated face; None where none was found.
    """

    picture: Pixels
    face: SourceFace | None = None


def pixels_of(frame: Frame) -> Pixels:
    """(H, W, 3 or 4) of a frame."""
    return frame.rgb if frame.alpha is None else np.dstack([frame.rgb, frame.alpha])


class SceneMaker:
    """Makes scenes from source frames.

    Args:
        engine: Encodes the squares.
        tracker: Finds faces.
        options: Choice of face and crop.
        name: Source, for messages.
    """

    def __init__(self, engine: Engine, tracker: FaceTracker, options: RenderOptions, name: object) -> None:
        self._engine = engine
        self._tracker = tracker
        self._options = options
        self._animator = Animator(engine, options.animation)
        self._name = name
        self._fixed = parse_crop(options.input.crop)
        self.notes: list[str] = []

    def still(self, frame: Frame) -> Scene:
        """Scene of a photo; the whole picture is searched.

        Raises:
            NoFaceError: There is no face.
            UsageError: The face asked for does not exist.
        """
        picture = pixels_of(frame)
        crop = self._fixed_crop()
        view = frame.rgb if crop is None else crop.apply(frame.rgb)
        faces = self._tracker.detect(view)
        if not faces:
            where = "in the square given by --crop" if crop else "in the picture"
            raise NoFaceError(f"{self._name}: no face was found {where}.", HINT)
        choice = self._options.input.face if crop is None else "largest"
        try:
            face = select_face(faces, choice, (view.shape[1], view.shape[0]))
        except ValueError as error:
            raise UsageError(f"{self._name}: {error}") from None
        if len(faces) > 1 and choice == "largest" and crop is None:
            self.notes.append(f"{self._name} shows {len(faces)} faces; the largest is animated (--face chooses).")
        return self._scene(picture, face, crop)

    def moving(self, frames: Iterable[tuple[Fraction, Frame]], timings: Timings) -> Iterator[tuple[Fraction, Scene]]:
        """Scenes of a clip; the chosen face is followed. Frames without a face come without one."""
        follow = FaceFollower(self._tracker, self._options.input.face if self._fixed is None else "largest")
        last: tuple[Frame, Scene] | None = None
        for time, frame in frames:
            if last is None or last[0] is not frame:
                crop = self._fixed_crop()
                with timings.measure("track source"):
                    face = follow(frame.rgb if crop is None else crop.apply(frame.rgb))
                picture = pixels_of(frame)
                with timings.measure("encode source"):
                    last = frame, Scene(picture) if face is None else self._scene(picture, face, crop)
            yield time, last[1]

    def first_moving(self, reader: ClipReader, token: CancelToken) -> Scene:
        """Scene of the first frame of a clip that has a face.

        Raises:
            CancelledError: The user stopped the search.
            NoFaceError: No frame has one.
            UsageError: The face asked for does not exist.
        """
        frames, unmeasured = ((frame.time, frame) for frame in reader), Timings()
        count = 0
        for _, scene in self.moving(frames, unmeasured):
            token.check()
            if scene.face is not None:
                return scene
            count += 1
        raise NoFaceError(f"{self._name}: no face was found in any of its {count} frames.", HINT)

    def _fixed_crop(self) -> Crop | None:
        if self._fixed is None:
            return None
        return self._engine.fit_crop(Crop.from_box(*self._fixed, size=self._engine.crop_size))

    def _scene(self, picture: Pixels, face: Face, crop: Crop | None) -> Scene:
        """Encode a picture.

        Args:
            picture: (H, W, 3 or 4).
            face: Landmarks, in crop pixels if there is a crop already.
            crop: Crop given by hand, or None.
        """
        if crop is None:
            return Scene(picture, self._animator.prepare(picture, face))
        square = crop.apply(picture)
        portrait = self._engine.encode(square, face)
        there = Face(crop.to_source(face.points), face.score)
        return Scene(picture, SourceFace(there, crop, portrait, Compositor(picture, crop, square)))


class SourceClock:
    """Frames of a source clip under a length rule, on its own time stamps.

    Args:
        reader: The clip.
        rule: shortest, source, driving or loop (app.media.timeline).
        driving: Length of the driving clip in seconds.

    Attributes:
        end: Seconds at which the last frame ends, once all frames have been taken.
    """

    def __init__(self, reader: ClipReader, rule: str, driving: Fraction) -> None:
        self._reader = reader
        self._rule = rule
        self._driving = driving
        self.end = Fraction(0)

    def __iter__(self) -> Iterator[tuple[Fraction, Frame]]:
        offset = Fraction(0)
        step = 1 / self._reader.info.rate
        while True:
            last = offset
            for frame in self._reader:
                time = offset + frame.time
                cut = self._rule == "shortest" or (self._rule == "loop" and offset > 0)
                if cut and time >= self._driving:
                    self.end = self._driving
                    return
                yield time, frame
                last = time
            self.end = last + step
            if self._rule != "loop" or self.end >= self._driving:
                return
            offset = self.end


def resample(
    frames: Iterable[tuple[Fraction, Any]], times: Iterable[Fraction], *, hold: bool, step: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """The frame on screen at each of some times.

    Args:
        frames: (time, frame), rising.
        times: Rising; may be endless if the last frame is not held.
        hold: Whether the last frame stays for all later times; otherwise they end with it.
        step: How long the last frame lasts.
    """
    source = iter(frames)
    current = next(source, None)
    following = next(source, None) if current is not None else None
    for time in times:
        while following is not None and following[0] <= time:
            current, following = following, next(source, None)
        if current is None or (following is None and not hold and time >= current[0] + step):
            return
        yield time, current[1]
