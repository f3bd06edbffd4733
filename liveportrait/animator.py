"""Animator: scene and motion in, finished frames out. All transfer, rendering and paste-back goes through it.

    pose(scene, shown) -> draw(scene, keypoints) -> compose(scene, squares)

Offline rendering runs the three steps as a pipeline over bounded queues, live rendering connects them by
latest-value slots; this module knows nothing of files, windows and clocks. Memory does not grow with the number of
frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeVar

import cv2
import numpy as np

from liveportrait.backdrop import Backdrop
from liveportrait.batching import render_batch
from liveportrait.compose import FEATHER, Compositor, crop_window, paste_back_official
from liveportrait.covers import AUTO, AutoMasks, paste_masks
from liveportrait.crop import Crop
from liveportrait.cutout import Cut, cutter, laid
from liveportrait.driving import Shown
from liveportrait.engines.base import Engine, Image, Portrait, Surroundings
from liveportrait.expression import Expression, express
from liveportrait.motion import Array
from liveportrait.neighbours import find_neighbours
from liveportrait.occlusion import TEMPLATE
from liveportrait.official import official_express
from liveportrait.options import AnimationOptions
from liveportrait.patched import Patched, cut, inside, separate
from liveportrait.retouch import Lips, lip_offset, shifted, silent_keypoints
from liveportrait.retouch import smoothed as smoothed_offsets
from liveportrait.smoothing import SMOOTHING_UNIT, LagSmoother, smoother_lag
from liveportrait.transfer import official_goal, transfer
from models.face import Face, checked

T = TypeVar("T")
Finish = Callable[[Image, Crop, tuple[int, ...], tuple[int, int]], None]
"""Last step on a crop in the finished image. Gets the part of the image that contains the crop, to change in place; the
crop; the shape of the whole image; and the position of the part's upper left corner in it."""
OFFICIAL_SMOOTH: Final = 0.3  # replaces the option's default under official rules


@dataclass
class SourceFace:
    """One animated face of an image.

    Attributes:
        face: Landmarks in pixels of the image; None for an animal.
        crop: Its crop.
        portrait: The crop as the engine encoded it.
        hidden: Which of "mouth", "eye_left" and "eye_right" are hidden by something worn.
        before: Whether something in front of the face stays in place.
        clip: Whether the image is a frame of a clip.
        eye_target: Eye ratio that the option source_eye_normalize applies to the eyes of a clip; None leaves them.
        cut: Whether the people were cut out of the image.
        behind: (S, S, 3) the new background; None leaves it transparent.
    """

    face: Face | None
    crop: Crop
    portrait: Portrait
    compositor: Compositor
    hidden: frozenset[str] = frozenset()
    before: bool = False
    clip: bool = False
    eye_target: float | None = None
    cut: bool = False
    behind: Image | None = None


@dataclass
class Scene:
    """One source image, ready to be animated.

    Attributes:
        picture: (H, W, 3 or 4) uint8.
        faces: The animated faces; empty if none was found.
        people: Number of each face, the same in all frames of a clip.
        drivers: Driver of each face: 0 for the main driver, else the number of a further one, from 1.
    """

    picture: Image
    faces: tuple[SourceFace, ...] = ()
    people: tuple[int, ...] = ()
    drivers: tuple[int, ...] = ()

    @property
    def face(self) -> SourceFace | None:
        """The first animated face; None if none was found."""
        return self.faces[0] if self.faces else None


def rest_square(engine: Engine, portrait: Portrait, stitching: bool = True) -> Image:
    """The crop as the engine draws it without motion: rendered crops are compared with it to find what moved.

    A network draws its input slightly softer than it is. Comparing with its own output at rest leaves only motion.
    """
    x = portrait.keypoints
    return np.asarray(engine.render(portrait, engine.stitch(portrait, x) if stitching else x)[0], np.uint8)


class Animator:
    """Animates the faces of scenes.

    Args:
        engine: Draws the crops.
        options: Options of transfer, crop and framing.
        expression: Sliders on top of the driving motion, or posing the portrait if there is none; None for none.
        lips: How to hold the lips, in place of motion and sliders; None animates the face.
        detail: Keep the source's own pixels where nothing moves (``liveportrait.compose``).
        feather: Width of the soft border of the paste-back, as a share of the crop's side.
        finish: Last step on every crop in the image, or None.
    """

    def __init__(
        self,
        engine: Engine,
        options: AnimationOptions | None = None,
        expression: Expression | None = None,
        *,
        lips: Lips | None = None,
        detail: bool = True,
        feather: float = FEATHER,
        finish: Finish | None = None,
    ) -> None:
        self.engine = engine
        self.options = options or AnimationOptions()
        self.expression = expression
        self._lips = lips
        self._detail = detail
        self._feather = feather
        self._finish = finish
        self._behind = Backdrop()

    @cached_property
    def masks(self) -> Any:
        """Detector of hair, hands and glasses in front of a face, or None; raises ModelError if it is not available."""
        kind = TEMPLATE if self.options.official and self.options.mask == AUTO else self.options.mask
        return paste_masks(kind, pasted=self.options.paste_back)

    # ------------------------------------------------------------------ source

    def scene(self, image: Image, faces: Sequence[Face]) -> Scene:
        """A photo whose faces are to be animated together.

        Args:
            image: (H, W, 3 or 4) uint8 RGB(A), kept without a copy and never changed; or (H, W) grey, which is
                converted to RGB.
            faces: Its faces.
        """
        if image.dtype != np.uint8 or image.shape[2:] not in ((3,), (4,)):
            image = checked(image)
        prepared = [
            self.prepare(image, one, others=[other for other in faces if other is not one], partners=len(faces) > 1)
            for one in faces
        ]
        return Scene(image, tuple(prepared), tuple(range(len(faces))), (0,) * len(faces))

    def prepare(
        self,
        image: Image,
        face: Face | None,
        *,
        clip: bool = False,
        crop: Crop | None = None,
        others: Sequence[Face] = (),
        partners: bool = False,
        cut: Cut | None = None,
    ) -> SourceFace:
        """Encode one face of an image.

        Args:
            image: (H, W, 3 or 4) uint8 RGB(A).
            face: Landmarks in its pixels; None only for an engine that draws animals, and with a crop.
            clip: The image is a frame of a clip and used once: the engine's output at rest is not drawn for it, and its
                background is completed from earlier frames.
            crop: The crop, if it should not be computed from the face.
            others: All other faces of the image, animated or not: their pixels do not move with this one.
            partners: Others are animated too: each crop then changes only its own side of the boundary between them.
            cut: The people cut out of the image, if they were; the image is then their composite.
        """
        if crop is None:
            if face is None:
                raise ValueError("a source without landmarks needs a crop.")
            crop = Crop.from_face(face, self.options, self.engine.crop_size)
            crop = self.engine.fit_crop(crop, image if cut is None else cut.source)
        square = crop.apply(image if cut is None else cut.people, official=self.options.official)
        behind = None if cut is None or cut.behind is None else crop.apply(cut.behind)
        paste = None
        masks = self.masks
        if masks is not None and face is not None and not (clip and isinstance(masks, AutoMasks)):
            paste = masks(square, crop.face(face))
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
        compare = self._detail and self.options.paste_back and not clip and not self.engine.exact_at_rest
        rest = rest_square(self.engine, portrait, self.options.stitching) if compare else square
        if cut is not None:
            rest = self._on_ground(rest, behind)
        elif rest.shape != square.shape:
            rest = square
        mask = None if paste is None else paste.mask
        if beside is not None:
            theirs = beside.front if self.engine.keeps_others and not partners else beside.others
            mask = 1 - theirs if mask is None else mask * (1 - theirs)
        compositor = Compositor(image, crop, rest, mask=mask, feather=self._feather, detail=self._detail)
        return SourceFace(
            face, crop, portrait, compositor, hidden=features, before=paste is not None and paste.hidden is not None,
            clip=clip, cut=cut is not None, behind=behind,
        )  # fmt: skip

    def _on_ground(self, square: Image, behind: Image | None) -> Image:
        """A drawn crop of a person who was cut out, on the new background; with alpha if that is transparent."""
        people = square if square.shape[2] == 4 else cutter().drawn(square)
        return people if behind is None else laid(people, behind)

    def _encode(self, square: Image, face: Face | None, around: Surroundings) -> Portrait:
        if face is None:
            return self.engine.encode_unseen(square)
        return self.engine.encode_in(square, face, around) if around else self.engine.encode(square, face)

    # ------------------------------------------------------------------ frames

    def pose(self, scene: Scene, shown: Sequence[Shown | None]) -> list[Array]:
        """Keypoints (1, K, 3) of every face of a scene, in crop units.

        Args:
            scene: The scene.
            shown: Motion for each of its faces; None leaves a face to the sliders.
        """
        return [self._posed(face, one) for face, one in zip(scene.faces, shown, strict=True)]

    def _posed(self, face: SourceFace, shown: Shown | None) -> Array:
        portrait, options, expression = face.portrait, self.options, self._expression(shown)
        if self._lips is not None:
            if shown is None or shown.lip_offset is None:
                return silent_keypoints(self.engine, portrait, options.stitching, options.official)
            return shifted(self.engine, portrait, shown.lip_offset, options.stitching)
        if shown is not None and shown.motion is not None and shown.reference is not None:
            return transfer(
                self.engine, [portrait] if face.clip else portrait, shown.motion, shown.reference, options,
                expression=expression, eye_target=face.eye_target, smoothed=shown.smoothed,
            )  # fmt: skip
        if expression is None:
            return portrait.keypoints
        return (official_express if options.official else express)(self.engine, portrait, expression, options.stitching)

    def _expression(self, shown: Shown | None) -> Expression | None:
        """Sliders of all frames plus those of this moment; eye and lip ratios of the former take precedence."""
        own = None if shown is None else shown.expression
        if own is None or self.expression is None:
            return own or self.expression
        return own + self.expression

    def draw(self, scene: Scene, keypoints: Sequence[Array]) -> list[Image]:
        """Crops (N, S, S, 3 or 4) of every face; of the first one only if crops are not pasted back.

        Args:
            scene: The scene.
            keypoints: (N, K, 3) of each face.
        """
        drawn = scene.faces if self.options.paste_back else scene.faces[:1]
        return [self._drawn(face, x_d) for face, x_d in zip(drawn, keypoints, strict=False)]

    def _drawn(self, face: SourceFace, x_d: Array) -> Image:
        squares = render_batch(self.engine, face.portrait, x_d)
        return np.stack([self._on_ground(one, face.behind) for one in squares]) if face.cut else squares

    def compose(self, scene: Scene, squares: Sequence[Image], side: int = 0) -> Patched:
        """The finished image; only the rectangles around the crops are new, the rest is shared by all frames.

        Args:
            scene: The scene.
            squares: (S, S, 3 or 4) rendered crop of each face.
            side: Side in pixels of a result that is not pasted back; 0 keeps the crop's own.
        """
        if not self.options.paste_back:
            bare = _bare(squares[0] if squares else None, side, scene.picture.shape[2])
            if self._finish is not None and squares:
                bare = bare.copy()
                self._finish(bare, Crop(np.eye(2, 3), len(bare)), bare.shape, (0, 0))
            return Patched(bare)
        picture = scene.picture
        pasted = [
            (square, face, window)
            for square, face in zip(squares, scene.faces, strict=True)
            if (window := crop_window(face.crop, picture.shape)) is not None
        ]
        patches = cut(picture, separate([window for _, _, window in pasted]))
        for square, face, window in pasted:
            patch = next(one for one in patches if inside(window, one.window))
            corner = (patch.x, patch.y)
            if self.options.official and picture.shape[2] == square.shape[2] == 3:
                paste_back_official(picture, square, face.crop, patch.pixels, corner)
            else:
                face.compositor.paste(square, patch.pixels, corner)
            if self._finish is not None:
                self._finish(patch.pixels, face.crop, picture.shape, corner)
        return Patched(picture, patches)

    def frame(self, scene: Scene, shown: Shown | None = None) -> Image:
        """One finished image (H, W, 3 or 4), or the bare crop, with all faces driven by the same motion.

        Args:
            scene: The scene.
            shown: The motion; None leaves the faces to the sliders.
        """
        squares = self.draw(scene, self.pose(scene, [shown] * len(scene.faces)))
        return self.compose(scene, [square[0] for square in squares]).whole()

    def smoothed(
        self, frames: Iterable[tuple[T, Scene, Sequence[Shown]]], *, clip: bool = True
    ) -> Iterable[tuple[T, Scene, Sequence[Shown]]]:
        """Add to each frame what depends on later ones: lips held along a clip, or the smoothing of official mode.

        Args:
            frames: An item to pass through, a scene, and the motion of each of its faces.
            clip: Whether the scenes are the frames of a source clip.

        Returns:
            The same frames, a few late if something depends on later ones.
        """
        if self._lips is not None:
            return frames if self._lips.ratio is None else self._with_lips(frames, self._lips.ratio)
        if clip and self.options.official and self.options.smooth > 0:
            return self._with_smoothed_motion(frames)
        return frames

    def _with_lips(
        self, frames: Iterable[tuple[T, Scene, Sequence[Shown]]], ratio: float
    ) -> Iterator[tuple[T, Scene, Sequence[Shown]]]:
        """Hold the lips of all faces by the offset of the first one."""
        offsets = (
            (frame, None if frame[1].face is None else lip_offset(self.engine, frame[1].face.portrait, ratio))
            for frame in frames
        )
        for (item, scene, shown), offset in smoothed_offsets(offsets):
            yield item, scene, [replace(one, lip_offset=offset) for one in shown]

    def _with_smoothed_motion(
        self, frames: Iterable[tuple[T, Scene, Sequence[Shown]]]
    ) -> Iterator[tuple[T, Scene, Sequence[Shown]]]:
        """Smooth the combined motion of source and driver, except for still drivers."""
        given = self.options.smooth
        variance = (OFFICIAL_SMOOTH if given == AnimationOptions.smooth else given) * SMOOTHING_UNIT
        lag, people = smoother_lag(variance), dict[int, LagSmoother]()
        waiting = deque[tuple[T, Scene, Sequence[Shown]]]()
        for frame in frames:
            _, scene, shown = frame
            for face, person, one in zip(scene.faces, scene.people, shown, strict=True):
                if not one.still and one.motion is not None and one.reference is not None:
                    goal = official_goal(
                        self.engine, face.portrait, one.motion, one.reference, self.options,
                        expression=self._expression(one),
                    )  # fmt: skip
                    smoother = people.setdefault(person, LagSmoother(variance))
                    smoother.push(np.concatenate([part.ravel() for part in goal]))
            waiting.append(frame)
            if len(waiting) > lag:
                yield self._released(waiting.popleft(), people)
        while waiting:
            yield self._released(waiting.popleft(), people)

    def _released(
        self, frame: tuple[T, Scene, Sequence[Shown]], people: dict[int, LagSmoother]
    ) -> tuple[T, Scene, Sequence[Shown]]:
        size, (item, scene, shown) = 3 * self.engine.keypoints, frame
        released = []
        for person, one in zip(scene.people, shown, strict=True):
            row = None if one.still or one.motion is None else people[person].pop()
            values = None if row is None else (row[:size].reshape(1, -1, 3), row[size:].reshape(1, 3, 3))
            released.append(replace(one, smoothed=values))
        return item, scene, released


def _bare(square: Image | None, side: int, channels: int) -> Image:
    """A crop at the size of the result; black if the source shows no face."""
    if square is None:
        return np.zeros((side, side, channels), np.uint8)
    if side in (0, square.shape[0]):
        return square
    how = cv2.INTER_AREA if square.shape[0] > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (side, side), interpolation=how), np.uint8)
