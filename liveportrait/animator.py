"""Animator: one picture (or clip), its faces, one engine and options; driving motion in, full frames out.

It knows nothing of files, windows or clocks. Memory does not grow with the number of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat

import numpy as np

from liveportrait.backdrop import Backdrop
from liveportrait.compose import FEATHER, Compositor
from liveportrait.covers import AUTO, AutoMasks, paste_masks
from liveportrait.crop import Box, Crop, face_box
from liveportrait.cues import NAME as CUES
from liveportrait.cues import frame_cues
from liveportrait.engines.base import Engine, Image, Portrait, Surroundings
from liveportrait.expression import Expression, express
from liveportrait.motion import Array, Motion, blend
from liveportrait.neighbours import find_neighbours
from liveportrait.occlusion import TEMPLATE
from liveportrait.options import AnimationOptions
from liveportrait.transfer import rests_at_reference, steady_eye_target, transfer
from models.face import Face, checked
from models.topology import POINTS

Driver = Motion | None
"""Motion of one driving frame (N = 1); None where the driver's face is not seen."""


@dataclass
class SourceFace:
    """One animated face of a picture.

    Attributes:
        face: Landmarks in pixels of the picture; None for an animal.
        crop: Its square.
        portrait: The square as the engine prepared it.
        offsets: (1, K, 3) expression offsets to add to every frame.
        expression: Sliders on top of every frame.
        hidden: Which of "mouth", "eye_left" and "eye_right" something worn hides.
        before: Whether something before the face stays in its place.
    """

    face: Face | None
    crop: Crop
    portrait: Portrait
    compositor: Compositor
    offsets: Array | None = None
    expression: Expression | None = None
    hidden: frozenset[str] = frozenset()
    before: bool = False


def _step_stream(steps: Iterable[float] | float) -> Iterator[float]:
    """Endless frame durations in seconds; the last one goes on."""
    last = 1 / 30
    if isinstance(steps, Iterable):
        for last in steps:
            yield last
    else:
        last = steps
    yield from repeat(last)


class FaceHold:
    """Bridges frames without a face: the last motion is held, then eased to neutral; a new face is eased in.

    Args:
        hold: Seconds that the last motion is held.
        ease: Seconds of the way to neutral.
        regain: Seconds of the way back when the face is found again.
    """

    def __init__(self, hold: float = 0.2, ease: float = 0.5, regain: float = 0.25) -> None:
        self.hold = hold
        self.ease = ease
        self.regain = regain
        self.lost_frames = 0
        self.reset()

    def reset(self) -> None:
        """Start anew, as after a jump in the driving clip."""
        self._last: Motion | None = None  # shown at the last frame with a face
        self._shown: Motion | None = None  # shown at the last frame without one
        self._gone = False
        self._missing = 0.0
        self._back = 1.0  # how much of the way back is done
        self._left = 0.0  # how much of it was left when the face was lost again
        self._span = self.regain  # seconds of the way back

    @staticmethod
    def _ramp(t: float) -> float:
        t = min(max(t, 0.0), 1.0)
        return t * t * (3 - 2 * t)

    def __call__(self, motion: Driver, neutral: Motion, dt: float) -> Motion:
        """Motion to show.

        Args:
            motion: What was read (N = 1), or None.
            neutral: Motion at rest: the reference for relative motion.
            dt: Seconds since the last frame.

        Returns:
            N = 1.
        """
        if motion is None:
            self.lost_frames += 1
            if not self._gone:
                self._gone, self._missing, self._left = True, 0.0, 1.0 - self._back
            self._missing += dt
            if self._last is None:
                self._shown, self._span = neutral, self.regain
                return neutral
            weight = self._ramp((self._missing - self.hold) / self.ease if self.ease > 0 else 1.0)
            self._shown = blend(self._last, neutral, weight)
            self._span = self.regain * max(weight, self._left)  # the further away, the longer the way back
            return self._shown
        if self._gone:
            self._gone, self._back = False, 0.0
        if self._back < 1 and self._shown is not None:
            self._back = min(self._back + dt / self._span, 1.0) if self._span > 0 else 1.0
            motion = blend(self._shown, motion, self._ramp(self._back))
        self._last = motion
        return motion


class DrivingReader:
    """Reads driving motion in one steady coordinate frame.

    The square is level and stands still, so that turns and shifts of the head are seen. It follows only a driver who
    leaves it or comes much closer; the motion is then brought back to the units of the first square.

    Args:
        engine: Who reads.
        scale: Side of the square over the size of the face (official 2.2).
        shift_y: Shift of the square downward, in sides (official -0.1).
    """

    def __init__(self, engine: Engine, scale: float = 2.2, shift_y: float = -0.1) -> None:
        self.engine = engine
        self.scale = scale
        self.shift_y = shift_y
        self._first: Box | None = None
        self._box: Box | None = None

    def reset(self) -> None:
        """Choose a new square at the next face."""
        self._first = self._box = None

    def _square(self, face: Face) -> Box:
        box = face_box(face, self.scale, 0.0, self.shift_y)
        new = Box(box.x, box.y, box.size)
        old = self._box
        if old is not None:
            away = max(abs(new.x - old.x), abs(new.y - old.y)) / old.size
            if away < 0.25 and 0.7 < new.size / old.size < 1.3:
                return old
        return new

    def read(self, image: Image, face: Face) -> Motion:
        """Motion of one driving frame.

        Args:
            image: (H, W, 3 or 4) uint8 driving frame.
            face: Landmarks in its pixels.

        Returns:
            N = 1, in crop units of the first square.
        """
        self._box = self._square(face)
        self._first = self._first or self._box
        crop = Crop.of_box(self._box, self.engine.crop_size)
        if self.engine.reads_pixels:
            square = crop.apply(checked(image))
        else:
            square = np.zeros((crop.size, crop.size, 3), np.uint8)
        motion = self.engine.read_motion(square, crop.face(face))
        delta = motion.delta[0] if motion.keypoints == POINTS else None
        cues = frame_cues(face, (image.shape[1], image.shape[0]), delta)
        motion = replace(motion, extra=motion.extra | {CUES: cues})
        if self._box is self._first:
            return motion
        k = self._box.size / self._first.size
        shift = 2 * np.array([self._box.x - self._first.x, self._box.y - self._first.y, 0]) / self._first.size
        return replace(
            motion,
            translation=np.asarray(motion.translation * k + shift, np.float32),
            scale=np.asarray(motion.scale * k, np.float32),
        )


def rest_square(engine: Engine, portrait: Portrait, stitching: bool = True) -> Image:
    """The square that the engine draws without motion: what a rendered square is compared with to find what moved.

    A network draws its input a little softer than it is. Measured from its own picture at rest, only motion counts.
    """
    x = portrait.keypoints
    return np.asarray(engine.render(portrait, engine.stitch(portrait, x) if stitching else x)[0], np.uint8)


class Animator:
    """Animates the faces of one source.

    Args:
        engine: Draws the crops.
        options: How motion is transferred and where the crop lies.
        batch: Frames given to the engine at a time.
        detail: Keep the source's own pixels where nothing moves (``liveportrait.compose``).
        feather: Width of the soft border of the paste-back, as a share of the crop's side.
        hold: How missing driving faces are bridged.
    """

    def __init__(
        self,
        engine: Engine,
        options: AnimationOptions | None = None,
        *,
        batch: int = 1,
        detail: bool = True,
        feather: float = FEATHER,
        hold: FaceHold | None = None,
    ) -> None:
        self.engine = engine
        self.options = options or AnimationOptions()
        self.batch = max(1, batch)
        self.detail = detail
        self.feather = feather
        self.hold = hold or FaceHold()
        self.image: Image | None = None
        self.faces: list[SourceFace] = []
        self._eye_target: float | None = None
        self._behind = Backdrop()
        kind = TEMPLATE if self.options.official and self.options.mask == AUTO else self.options.mask
        self._masks = paste_masks(kind, pasted=self.options.paste_back)

    # ------------------------------------------------------------------ source

    def prepare(
        self,
        image: Image,
        face: Face | None,
        *,
        clip: bool = False,
        crop: Crop | None = None,
        others: Sequence[Face] = (),
        partners: bool = False,
    ) -> SourceFace:
        """Encode one face of a picture.

        Args:
            image: (H, W, 3 or 4) uint8 RGB(A).
            face: Landmarks in its pixels; None only for an engine that draws animals, and with a crop.
            clip: The picture is a frame of a clip, used once: the engine's picture at rest is not drawn for it, and its
                background is completed from the frames before it.
            crop: The square, if it isn't to be found from the face.
            others: All other faces of the picture, animated or not: their pixels are not moved with this one.
            partners: Others are animated too: each square then changes its own side of the line between them only.
        """
        if crop is None:
            if face is None:
                raise ValueError("a source without landmarks needs a crop.")
            crop = self.engine.fit_crop(Crop.from_face(face, self.options, self.engine.crop_size), image)
        square = crop.apply(image, official=self.options.official)
        paste = None
        if self._masks is not None and face is not None and not (clip and isinstance(self._masks, AutoMasks)):
            paste = self._masks(square, crop.face(face))
        square = square if paste is None else paste.square
        beside = None
        if face is not None and others and not self.options.official:
            beside = find_neighbours(square, crop, face, others)
        if beside is not None and face is not None:
            square = beside.square if self.engine.keeps_others else beside.emptied(crop.points(face.points))
        around = Surroundings(
            cover=None if paste is None else paste.cover,
            worn=None if paste is None else paste.worn,
            others=None if beside is None else beside.others,
            behind=self._behind.at(crop, image.shape) if clip and self.engine.shows_behind else None,
        )
        portrait = self._encode(square, None if face is None else crop.face(face), around)
        features = frozenset() if paste is None else paste.features
        covered = "lower" if "mouth" in features else "" if face is None else face.covered
        if covered:
            portrait = replace(portrait, covered=covered)
        compare = self.detail and self.options.paste_back and not clip and not self.engine.exact_at_rest
        rest = rest_square(self.engine, portrait, self.options.stitching) if compare else square
        if rest.shape != square.shape:
            rest = square
        mask = None if paste is None else paste.mask
        if beside is not None:
            theirs = beside.front if self.engine.keeps_others and not partners else beside.others
            mask = 1 - theirs if mask is None else mask * (1 - theirs)
        compositor = Compositor(image, crop, rest, mask=mask, feather=self.feather, detail=self.detail)
        return SourceFace(
            face, crop, portrait, compositor, hidden=features, before=paste is not None and paste.hidden is not None
        )

    def _encode(self, square: Image, face: Face | None, around: Surroundings) -> Portrait:
        if face is None:
            return self.engine.encode_unseen(square)
        return self.engine.encode_in(square, face, around) if around else self.engine.encode(square, face)

    def set_source(self, image: Image, face: Face | Sequence[Face]) -> list[SourceFace]:
        """Choose the source picture.

        Args:
            image: (H, W, 3 or 4) uint8 RGB(A), which is kept, not copied, and never changed; or (H, W) grey, which
                becomes RGB.
            face: One face, or several that are driven together.

        Returns:
            The encoded faces, in the same order.
        """
        return self._take(image, [face] if isinstance(face, Face) else list(face), clip=False)

    def _take(self, image: Image, faces: Sequence[Face], *, clip: bool) -> list[SourceFace]:
        if image.dtype != np.uint8 or image.shape[2:] not in ((3,), (4,)):
            image = checked(image)
        self.faces = [
            self.prepare(
                image, one, clip=clip, others=[other for other in faces if other is not one], partners=len(faces) > 1
            )
            for one in faces
        ]
        self.image = image
        return self.faces

    # ------------------------------------------------------------------ frames

    def _neutral(self, reference: Motion | None) -> Motion:
        measured = rests_at_reference(self.engine, self.options)
        if reference is None and measured:
            raise ValueError("relative motion needs a reference frame.")
        if reference is not None and measured:
            return reference
        return self.faces[0].portrait.motion if self.faces else self._some(reference)

    @staticmethod
    def _some(reference: Motion | None) -> Motion:
        if reference is None:
            raise ValueError("set a source first: Animator.set_source.")
        return reference

    def keypoints(self, motion: Motion, reference: Motion | None) -> list[Array]:
        """Driving keypoints (N, K, 3) of every source face, in crop units."""
        return [
            transfer(
                self.engine,
                f.portrait,
                motion,
                reference or f.portrait.motion,
                self.options,
                offsets=f.offsets,
                expression=f.expression,
            )
            for f in self.faces
        ]

    def still(self, expression: Expression) -> Image:
        """The source picture posed by sliders, without a driver."""
        if self.image is None:
            raise ValueError("set a source first: Animator.set_source.")
        picture = self.image.copy()
        for f in self.faces:
            drawn = self.engine.render(f.portrait, express(self.engine, f.portrait, expression, self.options.stitching))
            if not self.options.paste_back:
                return drawn[0]
            f.compositor.paste(drawn[0], out=picture)
        return picture

    def draw(self, motion: Motion, reference: Motion | None) -> list[Image]:
        """Finished frames for N driving frames; no bridging of gaps.

        Returns:
            N pictures like the source, or (S, S, C) crops of the first face without paste_back.
        """
        if self.image is None:
            raise ValueError("set a source first: Animator.set_source.")
        squares = [
            self.engine.render(f.portrait, x_d)
            for f, x_d in zip(self.faces, self.keypoints(motion, reference), strict=True)
        ]
        if not self.options.paste_back:
            return list(squares[0]) if squares else [self.image.copy() for _ in range(len(motion))]
        frames = []
        for i in range(len(motion)):
            picture = self.image.copy()
            for face, drawn in zip(self.faces, squares, strict=True):
                face.compositor.paste(drawn[i], out=picture)
            frames.append(picture)
        return frames

    def frame(self, motion: Driver, reference: Motion | None, dt: float = 1 / 30) -> Image:
        """The next frame, live.

        Args:
            motion: One driving frame, or None if its face isn't seen.
            reference: The neutral driving frame; may be None in absolute mode.
            dt: Seconds since the last frame.
        """
        return self.draw(self.hold(motion, self._neutral(reference), dt), reference)[0]

    def frames(
        self, motions: Iterable[Driver], reference: Motion | None, steps: Iterable[float] | float = 1 / 30
    ) -> Iterator[Image]:
        """Frames of a whole clip over a source picture, as many as there are driving frames.

        Args:
            motions: Driving frames in order; None where the face is not seen.
            reference: The neutral driving frame; may be None in absolute mode.
            steps: Seconds between frames, one number or one per frame.
        """
        neutral = self._neutral(reference)
        pending = iter(motions)
        times = _step_stream(steps)
        while chunk := list(islice(pending, self.batch)):
            shown = [self.hold(motion, neutral, next(times)) for motion in chunk]
            yield from self.draw(Motion.concatenate(shown), reference)

    def source_frames(
        self,
        motions: Iterable[Driver],
        reference: Motion | None,
        sources: Iterable[tuple[Image, Face | Sequence[Face] | None]],
        steps: Iterable[float] | float = 1 / 30,
    ) -> Iterator[Image]:
        """Frames of a source clip under a driving clip; ends with the shorter one.

        Args:
            motions: Driving frames, one per source frame (paired by time before).
            reference: The neutral driving frame; may be None in absolute mode.
            sources: Source frames with their faces; a frame without a face passes unchanged.
            steps: Seconds between frames, one number or one per frame.
        """
        times = _step_stream(steps)
        for motion, (image, faces) in zip(motions, sources, strict=False):
            dt = next(times)
            found = [faces] if isinstance(faces, Face) else list(faces or ())
            if not found:
                yield image.copy()
                continue
            self._take(image, found, clip=True)
            if self._eye_target is None:
                self._eye_target = steady_eye_target(self.faces[0].portrait.motion)
            shown = self.hold(motion, self._neutral(reference), dt)
            yield self._draw_clip_frame(shown, reference)

    def _draw_clip_frame(self, motion: Motion, reference: Motion | None) -> Image:
        assert self.image is not None
        picture = self.image.copy()
        for f in self.faces:
            x_d = transfer(
                self.engine,
                [f.portrait],
                motion,
                reference or f.portrait.motion,
                self.options,
                offsets=f.offsets,
                expression=f.expression,
                eye_target=self._eye_target,
            )
            drawn = self.engine.render(f.portrait, x_d)[0]
            if not self.options.paste_back:
                return drawn
            f.compositor.paste(drawn, out=picture)
        return picture
