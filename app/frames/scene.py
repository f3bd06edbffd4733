"""The source side: the animated face, its crop and its portrait; once for a photo, per frame for a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from app.choices import Faces, Subject
from app.errors import MissingError, NoFaceError, UsageError
from app.frames.backgrounds import Ground
from app.frames.cover_notes import cover_notes
from app.frames.follow import FaceFollower
from app.frames.shrink import Shrink
from app.frames.timings import Timings
from app.media.files import check_input, read_error
from app.media.prefetch import stage
from app.option_parsers import parse_points
from app.placed_faces import face_on, read_placed_face
from liveportrait.animator import Animator, Scene, SourceFace
from liveportrait.crop import Crop, Points
from liveportrait.cutout import Cut, NobodyError
from liveportrait.motion import euler_from_rotation
from liveportrait.rules import moves, steady_eye_target
from models.choices import LARGEST, FaceChoice
from models.face import Face, overlap, select_face
from models.group import Bystanders
from models.hidden import hidden_heads
from models.messages import Option, about, joined, msg
from models.registry import ModelError
from models.tracker import FaceTracker

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.media.clip import ClipReader, Frame
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine

Pixels = npt.NDArray[np.uint8]
BY_HAND: Final = msg("For a pet, a doll or a drawing, place the face by hand, starting with `animate landmarks PHOTO`.")
HINT: Final = joined((msg("Use an image that shows a larger human face, upright and uncovered."), BY_HAND))
FRAME: Final = msg("A pet, a doll or a drawing can be animated as a photo: save a frame of the clip as an image first.")
CLIP_HINT: Final = joined((msg("Use a clip that shows a larger human face, upright and uncovered."), FRAME))
SQUARE: Final = msg("Move or enlarge the crop so that it contains a whole human face.")
CROP_HINT: Final = joined((SQUARE, BY_HAND))
CROP_CLIP_HINT: Final = joined((SQUARE, FRAME))
AHEAD: Final = 150, 18
"""Frames of a source clip that are scanned in advance, and the step between the frames examined."""
BESIDE: Final = 0.1
"""Largest overlap of the boxes of a hand-placed and a found face at which they count as two faces."""


@dataclass(frozen=True)
class Cast:
    """A face to animate.

    Attributes:
        face: Landmarks; None for an animal.
        person: Number of the person, the same in all frames.
        driver: Index of its driver, see Scene.
    """

    face: Face | None
    person: int = 0
    driver: int = 0


def pixels_of(frame: Frame) -> Pixels:
    """Pixels (H, W, 3 or 4) of a frame."""
    return frame.rgb if frame.alpha is None else np.dstack([frame.rgb, frame.alpha])


def animal_points(options: RenderOptions) -> Points | None:
    """(9, 2) points of an animal's face, from the file that the option points names; None without one.

    Raises:
        AppError: The file can't be read or holds no such points, or no animal is animated.
        UsageError: A crop is given as well.
    """
    if not options.input.points:
        return None
    if options.input.crop:
        raise UsageError(msg("{option:crop} and {option:points} both set the crop."), "Give one of them.")
    if not options.program.animals:
        raise UsageError(
            msg("{option:points} is for the face of an animal."),
            msg("Add {option:animals}, or set the crop with {option:crop}."),
        )
    path = Path(options.input.points)
    check_input(path)
    try:
        return np.array(parse_points(path.read_text(encoding="utf-8-sig")), np.float32)
    except OSError as error:
        raise read_error(path, error) from error
    except ValueError as error:
        raise UsageError(msg("{option:points}: {path}: {error}", path, error)) from None


class SceneMaker:
    """Makes scenes from source frames.

    Args:
        engine: Encodes the crops.
        tracker: Finds faces; its smoothing is set here, as the reference implementation has none.
        options: Crop and animation.
        name: Source, for messages.
        subject: The animated part of the source; None takes it from the options.
    """

    def __init__(
        self, engine: Engine, tracker: FaceTracker, options: RenderOptions, name: object, subject: Subject | None = None
    ) -> None:
        self._engine = engine
        self._tracker = tracker
        tracker.steady = not options.animation.official
        self._options = options
        self._animator = Animator(engine, options.animation)
        try:
            _ = self._animator.masks
        except ModelError as error:
            raise MissingError(msg("{option:mask}: {error}", error)) from None
        self._name = name
        self._ground = Ground(options.output.behind)
        self._subject = subject = subject or options.input.subject
        self._points = animal_points(options)
        self._placed = None if subject.landmarks is None else read_placed_face(subject.landmarks)
        if self._placed is not None and self._points is not None:
            raise UsageError(msg("{option:points} and {option:landmarks} both set the face."), "Give one of them.")
        if subject.drivers and (engine.animals or subject.square is not None or self._placed is not None):
            what = msg("the source is an animal") if engine.animals else msg("{option:crop} sets the only crop")
            what = what if self._placed is None else msg("{option:landmarks} sets the only one")
            raise UsageError(
                msg("{option:driver_for} chooses among several faces, but {what}.", what), "Leave one of them out."
            )
        self.notes: list[str] = []

    def still(self, frame: Frame, size: tuple[int, int] | None = None) -> Scene:
        """Scene of a photo; the whole image is searched.

        Args:
            frame: The photo.
            size: (width, height) to reduce it to once its faces are found; None keeps its size.

        Raises:
            NoFaceError: There is no face.
            UsageError: The requested face does not exist, or no crop is given for an animal.
        """
        picture = pixels_of(frame)
        placed = self._placed_on(frame)
        crop = self._fixed_crop(placed)
        if self._engine.animals:
            return self._scene(picture, [Cast(None)], crop, clip=False, size=size)
        if placed is not None:
            others = self._tracker.glance(frame.rgb, [placed])
            everybody = [placed, *(one for one in others if overlap(placed, one.box) <= BESIDE)]
            if crop is not None:
                everybody = [crop.face(one) for one in everybody]
            return self._scene(picture, [Cast(everybody[0])], crop, clip=False, everybody=everybody, size=size)
        view = frame.rgb if crop is None else crop.apply(frame.rgb)
        faces = self._tracker.detect(view, covered=True)
        if not faces:
            where = msg("in the crop given by {option:crop}") if crop else msg("in the image")
            raise NoFaceError(msg("{name}: no face was found {where}.", self._name, where), CROP_HINT if crop else HINT)
        cast = [Cast(faces[0])]
        if crop is None:
            cast = self._cast(faces, (view.shape[1], view.shape[0]))
        if len(faces) > 1 and self._subject.faces == Faces() and not self._subject.drivers and crop is None:
            self.notes.append(
                msg(
                    "{name} shows {count} faces; the largest is animated ({option:face} chooses).",
                    self._name, len(faces),
                )
            )  # fmt: skip
        everybody = [*faces, *hidden_heads(self._tracker.detections(view), faces)]
        scene = self._scene(picture, cast, crop, clip=False, everybody=everybody, size=size)
        self.notes += cover_notes(str(self._name), scene.faces, self._options, self._engine)
        self._note_side(scene.faces)
        return scene

    def _note_side(self, faces: Sequence[SourceFace]) -> None:
        """Note that head turns are limited if a photo is taken from the side."""
        options = self._options.animation
        if not options.turn_limit or options.official or not moves(options.region, "pose"):
            return
        yaws = [abs(float(euler_from_rotation(one.portrait.motion.rotation)[0, 1])) for one in faces]
        if max(yaws, default=0.0) > self._engine.side_view:
            self.notes.append(
                msg(
                    "{name} shows the face from the side; turns to the front are limited ({option:turn_limit=off} "
                    "changes this).",
                    self._name,
                )
            )

    @property
    def _several(self) -> bool:
        """Whether more than one face may be animated."""
        subject = self._subject
        return subject.square is None and (len(subject.faces.choices) != 1 or bool(subject.drivers))

    def _cast(self, faces: list[Face], size: tuple[int, int]) -> list[Cast]:
        """The faces named by the options, each once, with their drivers."""
        driver: dict[int, int] = {}  # index of the face -> index of its driver
        for number, choice in enumerate((one.face for one in self._subject.drivers), 1):
            place = self._place(faces, choice, size, Option("driver_for"))
            if place in driver:
                first = self._subject.drivers[driver[place] - 1].face
                raise UsageError(
                    msg(
                        "{option:driver_for}: {first} and {choice} are the same face of {name}.",
                        first, choice, self._name,
                    )
                )  # fmt: skip
            driver[place] = number
        wanted = [self._place(faces, one, size, "") for one in self._subject.faces.choices] or range(len(faces))
        places = dict.fromkeys([*wanted, *driver])
        return [Cast(faces[place], person, driver.get(place, 0)) for person, place in enumerate(places)]

    def _place(self, faces: list[Face], choice: FaceChoice, size: tuple[int, int], flag: str | Option) -> int:
        try:
            face = select_face(faces, choice, size)
        except ValueError as error:
            raise UsageError(about(flag, about(self._name, str(error)))) from None
        return next(place for place, one in enumerate(faces) if one is face)

    def moving(
        self, frames: Iterable[tuple[Fraction, Frame]], timings: Timings, *, overlap: bool = False, depth: int = 1
    ) -> Iterator[tuple[Fraction, Scene]]:
        """Scenes of a clip in which the selected faces are tracked. Frames without a face give scenes without one.

        Args:
            frames: Time and frame.
            timings: Records the times of "track source" and "encode source".
            overlap: Whether frames are tracked in a thread ahead of encoding.
            depth: Number of frames that may wait.

        Raises:
            UsageError: A requested face does not exist, or no crop is given for an animal.
        """
        last: tuple[Frame, Scene] | None = None
        eyes: dict[int, float | None] = {}  # person -> eye ratio that its eyes are held at
        with stage(self._followed(frames, timings), depth, overlap) as followed:
            for time, frame, cast, everybody, crop in followed:
                if last is None or last[0] is not frame:
                    picture = pixels_of(frame)
                    with timings.measure("encode source"):
                        found = self._scene(picture, cast, crop, clip=True, everybody=everybody) if cast else None
                        last = frame, found or Scene(self._cut(picture, (), clip=True)[0])
                    for face, person in zip(last[1].faces, last[1].people, strict=True):
                        if person not in eyes:
                            eyes[person] = steady_eye_target(face.portrait.motion)
                        face.eye_target = eyes[person]
                yield time, last[1]

    def _followed(
        self, frames: Iterable[tuple[Fraction, Frame]], timings: Timings
    ) -> Iterator[tuple[Fraction, Frame, list[Cast], list[Face], Crop | None]]:
        """Each frame with its animated faces, all faces in it, and the crop given by hand."""
        follow = self._group() if self._several else self._single()
        bystanders = Bystanders(self._tracker)
        last: tuple[Frame, list[Cast], list[Face], Crop | None] | None = None
        for time, frame in frames:
            if last is None or last[0] is not frame:
                crop, cast, everybody = self._fixed_crop(), [Cast(None)], list[Face]()
                if not self._engine.animals:
                    with timings.measure("track source"):
                        view = frame.rgb if crop is None else crop.apply(frame.rgb)
                        cast = follow(view)
                        chosen = [one.face for one in cast if one.face is not None]
                        everybody = [*chosen, *bystanders(view, chosen)] if chosen else []
                last = frame, cast, everybody, crop
            yield time, *last

    def _single(self) -> Callable[[Pixels], list[Cast]]:
        """A function that tracks the single face of a clip."""
        choice = self._subject.faces.first if self._subject.square is None else LARGEST
        follow = FaceFollower(self._tracker, choice, self._name)

        def step(rgb: Pixels) -> list[Cast]:
            face = follow(rgb)
            return [] if face is None else [Cast(face)]

        return step

    def _group(self) -> Callable[[Pixels], list[Cast]]:
        """A function that tracks several faces; with "all", faces that appear later follow the driving file."""
        from models.group import FaceGroup

        first: list[Cast] = []

        def choose(faces: list[Face], size: tuple[int, int]) -> list[Face]:
            first[:] = self._cast(faces, size)
            return [one.face for one in first if one.face is not None]

        follow = FaceGroup(self._tracker, choose, newcomers=self._subject.faces.everybody)

        def step(rgb: Pixels) -> list[Cast]:
            return [
                Cast(face, person, first[person].driver if person < len(first) else 0) for person, face in follow(rgb)
            ]

        return step

    def first_moving(self, reader: ClipReader, token: CancelToken) -> Scene:
        """Scene of the first frame of a clip with a face; some later frames reveal the background behind the head.

        Raises:
            CancelledError: The user stopped the search.
            NoFaceError: No frame has one.
            UsageError: The requested face does not exist.
        """
        self.check_photo()
        first: Scene | None = None
        count = 0

        def frames() -> Iterator[tuple[Fraction, Frame]]:
            since = 0  # frames since the first one with a face
            for frame in reader:
                token.check()
                since += first is not None
                if since > AHEAD[0] or (since and not self._engine.shows_behind):
                    return
                if since % AHEAD[1] == 0:
                    yield frame.time, frame

        for _, scene in self.moving(frames(), Timings()):
            if first is None and scene.face is not None:
                first = scene
            count += 1
        if first is not None:
            return first
        if self._subject.square is not None:
            raise NoFaceError(
                msg(
                    "{name}: no face was found in the crop given by {option:crop}, in any of its {count} frames.",
                    self._name, count
                ),
                CROP_CLIP_HINT
            )  # fmt: skip
        raise NoFaceError(msg("{name}: no face was found in any of its {count} frames.", self._name, count), CLIP_HINT)

    def _placed_on(self, frame: Frame) -> Face | None:
        """The face placed by hand on a photo."""
        if self._placed is None:
            return None
        height, width = frame.rgb.shape[:2]
        return face_on(self._placed, self._subject.landmarks or Path(), width, height)

    def check_photo(self) -> None:
        """Reject options for photos if the source is a clip.

        Raises:
            UsageError: A face was placed by hand, which would not follow the clip.
        """
        if self._placed is not None:
            raise UsageError(
                msg("{option:landmarks} is for photos, and {name} is a clip.", self._name),
                "Save one of its frames as an image and animate that.",
            )

    def _fixed_crop(self, placed: Face | None = None) -> Crop | None:
        """The crop given by hand, or None; for an animal, that of its placed face.

        Raises:
            UsageError: There is none, and the source is an animal.
        """
        size = self._engine.crop_size
        if (square := self._subject.square) is not None:
            return self._engine.fit_crop(Crop.from_box(square.x, square.y, square.side, square.angle, size=size))
        if self._points is not None:
            return self._engine.fit_crop(Crop.from_face(self._points, self._options.animation, size))
        if self._engine.animals and placed is not None:
            return self._engine.fit_crop(Crop.from_face(placed, self._options.animation, size))
        if self._engine.animals:
            raise UsageError(
                msg("{name}: an animal needs a crop set by hand.", self._name),
                msg(
                    "Add {option:crop} x,y,size (centre and side in pixels), {option:landmarks} FILE (`animate "
                    "landmarks PHOTO` creates it), or {option:points} FILE; the official detector of animal faces "
                    "needs a CUDA build and is not part of this program."
                ),
            )
        return None

    def _scene(
        self,
        picture: Pixels,
        cast: Sequence[Cast],
        crop: Crop | None,
        *,
        clip: bool,
        everybody: Sequence[Face] = (),
        size: tuple[int, int] | None = None,
    ) -> Scene:
        """Encode the faces of an image.

        Args:
            picture: (H, W, 3 or 4).
            cast: The faces; landmarks in crop pixels if there is a crop already.
            crop: Crop given by hand, or None.
            clip: Whether the image is a frame of a clip.
            everybody: All faces of the image; landmarks in crop pixels if there is a crop already.
            size: (width, height) to scale everything to, or None.
        """
        shrink = Shrink(picture.shape, size)
        square = shrink.crop(crop)
        found = [*everybody, *(one.face for one in cast if one.face is not None)]
        there = [one if crop is None else replace(one, points=crop.to_source(one.points)) for one in found]
        placed = dict(zip(map(id, found), shrink.faces(there), strict=True))  # in pixels of the picture
        picture, cut = self._cut(shrink.picture(picture), list(placed.values()), clip=clip)
        prepared = []
        for one in cast:
            face = None if one.face is None else placed[id(one.face)]
            others = [placed[id(other)] for other in everybody if other is not one.face]
            prepared.append(
                self._animator.prepare(
                    picture, face, clip=clip, crop=square, others=others, partners=len(cast) > 1, cut=cut
                )
            )
        people, drivers = tuple(one.person for one in cast), tuple(one.driver for one in cast)
        return Scene(picture, tuple(prepared), people, drivers)

    def _cut(self, picture: Pixels, faces: Sequence[Face], *, clip: bool) -> tuple[Pixels, Cut | None]:
        """The visible part of an image, and its people if they are cut out."""
        if self._ground.keeps:
            return picture, None
        try:
            cut = self._ground.cut(picture, faces, clip=clip)
        except NobodyError:
            self.notes.append(msg("{name}: no person was found to cut out; the background stays as it is.", self._name))
            return self._ground.unchanged(picture), None
        return picture if cut is None else cut.shown(), cut


class SourceClock:
    """Frames of a source clip according to a length rule, with its own time stamps.

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
