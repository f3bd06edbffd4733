"""The source side: which face comes alive, its crop, and its portrait; for a photo once, for a clip frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.errors import NoFaceError, UsageError
from app.media.files import check_input, read_error
from app.media.prefetch import stage
from app.render.driving import FaceFollower
from app.render.timings import Timings
from app.values import parse_crop, parse_faces, parse_points
from liveportrait.animator import Animator, SourceFace
from liveportrait.crop import Crop, Points
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
        faces: The animated faces; empty where none was found.
    """

    picture: Pixels
    faces: tuple[SourceFace, ...] = ()

    @property
    def face(self) -> SourceFace | None:
        """The first animated face; None where none was found."""
        return self.faces[0] if self.faces else None


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
        self._points = self._read_points(options.input.points)
        self._choices = parse_faces(options.input.face)
        self.notes: list[str] = []

    def still(self, frame: Frame) -> Scene:
        """Scene of a photo; the whole picture is searched.

        Raises:
            NoFaceError: There is no face.
            UsageError: The face asked for does not exist, or the square of an animal is not given.
        """
        picture = pixels_of(frame)
        crop = self._fixed_crop()
        if self._engine.animals:
            return self._scene(picture, [None], crop, clip=False)
        view = frame.rgb if crop is None else crop.apply(frame.rgb)
        faces = self._tracker.detect(view)
        if not faces:
            where = "in the square given by --crop" if crop else "in the picture"
            raise NoFaceError(f"{self._name}: no face was found {where}.", HINT)
        chosen = self._chosen(faces, (view.shape[1], view.shape[0])) if crop is None else faces[:1]
        if len(faces) > 1 and self._choices == ("largest",) and crop is None:
            self.notes.append(f"{self._name} shows {len(faces)} faces; the largest is animated (--face chooses).")
        return self._scene(picture, chosen, crop, clip=False)

    def _chosen(self, faces: list[Face], size: tuple[int, int]) -> list[Face]:
        """The faces of a photo that the option names, each once."""
        if self._choices == ("all",):
            return faces
        chosen: list[Face] = []
        for choice in self._choices:
            try:
                face = select_face(faces, choice, size)
            except ValueError as error:
                raise UsageError(f"{self._name}: {error}") from None
            if not any(face is one for one in chosen):
                chosen.append(face)
        return chosen

    def moving(
        self, frames: Iterable[tuple[Fraction, Frame]], timings: Timings, *, overlap: bool = False, depth: int = 1
    ) -> Iterator[tuple[Fraction, Scene]]:
        """Scenes of a clip; the chosen face is followed. Frames without a face come without one.

        Args:
            frames: Time and frame.
            timings: Gets the times of "track source" and "encode source".
            overlap: Whether frames are tracked ahead of being encoded, in a thread.
            depth: How many of them may wait.

        Raises:
            UsageError: Several faces are asked for, or the square of an animal is not given.
        """
        if len(self._choices) > 1 or self._choices == ("all",):
            raise UsageError(
                f"--face: {self._options.input.face} asks for several faces, but {self._name} is a clip; only those of "
                "a photo can be animated together.",
                "Choose one face, and animate the result again for the next one.",
            )
        last: tuple[Frame, Scene] | None = None
        with stage(self._followed(frames, timings), depth, overlap) as followed:
            for time, frame, face, crop in followed:
                if last is None or last[0] is not frame:
                    picture = pixels_of(frame)
                    lost = face is None and not self._engine.animals
                    with timings.measure("encode source"):
                        last = frame, Scene(picture) if lost else self._scene(picture, [face], crop, clip=True)
                yield time, last[1]

    def _followed(
        self, frames: Iterable[tuple[Fraction, Frame]], timings: Timings
    ) -> Iterator[tuple[Fraction, Frame, Face | None, Crop | None]]:
        """Each frame with its face (None: none, or an animal) and the square given by hand."""
        follow = FaceFollower(self._tracker, self._choices[0] if self._fixed is None else "largest")
        last: tuple[Frame, Face | None, Crop | None] | None = None
        for time, frame in frames:
            if last is None or last[0] is not frame:
                crop, face = self._fixed_crop(), None
                if not self._engine.animals:
                    with timings.measure("track source"):
                        face = follow(frame.rgb if crop is None else crop.apply(frame.rgb))
                last = frame, face, crop
            yield time, *last

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

    def _read_points(self, name: str) -> Points | None:
        """(9, 2) points of the animal's face, from the file that the option names."""
        if not name:
            return None
        if not self._engine.animals:
            raise UsageError("--points holds the face of an animal.", "Add --animals, or give the square with --crop.")
        path = Path(name)
        check_input(path)
        try:
            return np.array(parse_points(path.read_text(encoding="utf-8-sig")), np.float32)
        except OSError as error:
            raise read_error(path, error) from error
        except ValueError as error:
            raise UsageError(f"--points: {path}: {error}") from None

    def _fixed_crop(self) -> Crop | None:
        """The square given by hand, or None.

        Raises:
            UsageError: There is none, and the source is an animal.
        """
        size = self._engine.crop_size
        if self._fixed is not None:
            return self._engine.fit_crop(Crop.from_box(*self._fixed, size=size))
        if self._points is not None:
            return self._engine.fit_crop(Crop.from_face(self._points, self._options.animation, size))
        if self._engine.animals:
            raise UsageError(
                f"{self._name}: the square of an animal must be given.",
                "Add --crop x,y,size (centre and side in pixels), or --points FILE; the official detector of animal "
                "faces needs a CUDA build and is not part of this program.",
            )
        return None

    def _scene(self, picture: Pixels, faces: Sequence[Face | None], crop: Crop | None, *, clip: bool) -> Scene:
        """Encode faces of a picture.

        Args:
            picture: (H, W, 3 or 4).
            faces: Landmarks, in crop pixels if there is a crop already; None for an animal.
            crop: Crop given by hand, or None.
            clip: The picture is a frame of a clip.
        """
        if crop is None:
            return Scene(picture, tuple(self._animator.prepare(picture, face, clip=clip) for face in faces))
        there = [None if face is None else Face(crop.to_source(face.points), face.score) for face in faces]
        return Scene(picture, tuple(self._animator.prepare(picture, face, clip=clip, crop=crop) for face in there))


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
