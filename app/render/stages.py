"""The stages of the second pass: decode, track, encode source, render, paste-back; each ahead of the next in a thread.

The queues between them are short, so memory is bounded and the slowest stage sets the rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from app.frames.follow import DEEPEST, queue_depth
from app.frames.scene import paste_all, pixels_of
from app.media.patched import Patched
from app.media.prefetch import stage
from app.render.batching import batch_of, render_batch
from liveportrait.options import AnimationOptions
from liveportrait.smoothing import SMOOTHING_UNIT, LagSmoother, smoother_lag
from liveportrait.transfer import official_goal, rests_at_reference, steady_eye_target, transfer

if TYPE_CHECKING:
    from app.frames.mix import MotionMix, Shown
    from app.frames.scene import Scene
    from app.frames.timings import Timings
    from app.frames.track import MotionTrack
    from app.media.reader import ClipReader
    from app.render.inputs import Inputs
    from liveportrait.animator import SourceFace
    from liveportrait.motion import Motion

OFFICIAL_SMOOTH: Final = 0.3  # stands in for the option's default under official rules
Pixels = npt.NDArray[np.uint8]
Keypoints = npt.NDArray[np.float32]


@dataclass
class Step:
    """One output frame on its way through the stages.

    Attributes:
        time: Seconds.
        scene: The source at that time.
        driving: Driving frame for the comparison clip, or None.
        squares: Rendered squares of the source's faces; empty where it shows none.
        picture: The finished frame.
    """

    time: Fraction
    scene: Scene
    driving: Pixels | None = None
    squares: tuple[Pixels, ...] = ()
    picture: Patched | None = None


@dataclass
class Pair:
    """An output frame and the motion for it.

    Attributes:
        step: The frame.
        shown: Motion for each face of its scene.
        smoothed: Expression and rotation for each face where they are smoothed along the clip; None for some, or empty.
    """

    step: Step
    shown: list[Shown]
    smoothed: list[tuple[Keypoints, Keypoints] | None] = field(default_factory=list)


class Stages:
    """Makes the frames of the result.

    Args:
        inputs: The job, made ready.
        track: Motion of the main driving clip.
        mixes: Driving motion at any time: that of the driving file, then that of each --driver-for.
        timings: Gets the time of each stage.
        overlap: Whether stages run ahead of the next ones in threads; the result is the same to the byte.

    Attributes:
        lost: Output frames for which the driving clip shows no face.
        source_lost: Output frames for which the source shows no face.
    """

    def __init__(
        self, inputs: Inputs, track: MotionTrack, mixes: Sequence[MotionMix], timings: Timings, *, overlap: bool = True
    ) -> None:
        self._overlap = overlap
        self._inputs = inputs
        self._track = track
        self._mixes = mixes
        self._timings = timings
        self._options = inputs.job.options.animation
        self.lost = 0
        self.source_lost = 0

    def __iter__(self) -> Generator[Step, None, None]:
        finished, overlap = queue_depth(*self._inputs.size, 4), self._overlap
        depth = finished
        if not self._inputs.moving and not self._inputs.comparison:  # of a photo only squares wait
            depth = DEEPEST if finished else 1
        with ExitStack() as threads:
            steps = threads.enter_context(stage(self._inputs.steps(self._track, self._timings), depth, overlap))
            scenes = threads.enter_context(stage(self._scenes(steps, depth), depth, overlap))
            drawn = threads.enter_context(stage(self._draw(scenes), depth, overlap))
            yield from threads.enter_context(stage(self._compose(drawn), finished, overlap))

    def _scenes(self, steps: Iterable[tuple[Fraction, Any]], depth: int) -> Iterator[tuple[Fraction, Scene]]:
        if self._inputs.still is None:
            yield from self._inputs.scenes.moving(steps, self._timings, overlap=self._overlap, depth=depth)
        else:
            for time, _ in steps:
                yield time, self._inputs.still

    def _draw(self, scenes: Iterable[tuple[Fraction, Scene]]) -> Iterator[Step]:
        """Motion at each output time, transferred and rendered; a photo several frames at a time."""
        size = 1 if self._inputs.moving else batch_of(self._inputs.engine)
        waiting: list[tuple[Step, list[Keypoints]]] = []
        for step, keypoints in self._posed(scenes):
            if not keypoints:
                yield step
                continue
            waiting.append((step, keypoints))
            if len(waiting) >= size:
                yield from self._drawn(waiting)
                waiting = []
        yield from self._drawn(waiting)

    def _drawn(self, waiting: list[tuple[Step, list[Keypoints]]]) -> Iterator[Step]:
        """Render steps that share their portraits."""
        if not waiting:
            return
        drawn = []
        with self._timings.measure("render", len(waiting)):
            for number, face in enumerate(waiting[0][0].scene.faces):
                x_d = np.concatenate([keypoints[number] for _, keypoints in waiting])
                drawn.append(render_batch(self._inputs.engine, face.portrait, x_d))
        for index, (step, _) in enumerate(waiting):
            step.squares = tuple(squares[index] for squares in drawn)
            yield step

    def _posed(self, scenes: Iterable[tuple[Fraction, Scene]]) -> Iterator[tuple[Step, list[Keypoints]]]:
        """Each step with the driving keypoints (1, K, 3) of each face; none where the source shows no face."""
        eyes: dict[int, float | None] = {}  # person -> opening that its eyes are held at
        with DrivingPanel(self._inputs.driving if self._inputs.comparison else None) as panel:
            pairs = self._paired(scenes, panel)
            if self._options.official and self._inputs.moving and self._options.smooth > 0:
                pairs = self._smoothed(pairs)
            for pair in pairs:
                scene, keypoints = pair.step.scene, []
                with self._timings.measure("transfer"):
                    for number, (face, person) in enumerate(zip(scene.faces, scene.people, strict=True)):
                        if self._inputs.moving and person not in eyes:
                            eyes[person] = steady_eye_target(face.portrait.motion)
                        keypoints.append(self._keypoints(face, pair, number, eyes.get(person)))
                yield pair.step, keypoints

    def _paired(self, scenes: Iterable[tuple[Fraction, Scene]], panel: DrivingPanel) -> Iterator[Pair]:
        """Each step with the motion for its faces."""
        for time, scene in scenes:
            with self._timings.measure("transfer"):
                shown = self._shown(time, scene)
            self.lost += not all(shown[driver].seen for driver in {0, *scene.drivers})
            self.source_lost += not scene.faces
            yield Pair(Step(time, scene, panel.at(shown[0].index)), [shown[driver] for driver in scene.drivers])

    def _smoothed(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The same, a few frames late, with what source and driver make together smoothed along the clip."""
        given = self._options.smooth
        variance = (OFFICIAL_SMOOTH if given == AnimationOptions.smooth else given) * SMOOTHING_UNIT
        lag, waiting = smoother_lag(variance), deque[Pair]()
        people: dict[int, LagSmoother] = {}

        def release(pair: Pair) -> Pair:
            size = 3 * self._inputs.engine.keypoints
            for person, shown in zip(pair.step.scene.people, pair.shown, strict=True):
                row = None if shown.still else people[person].pop()
                pair.smoothed.append(
                    None if row is None else (row[:size].reshape(1, -1, 3), row[size:].reshape(1, 3, 3))
                )
            return pair

        for pair in pairs:
            scene = pair.step.scene
            for face, person, shown in zip(scene.faces, scene.people, pair.shown, strict=True):
                if not shown.still:  # under a picture the source keeps its own motion
                    goal = official_goal(
                        self._inputs.engine, face.portrait, shown.motion, shown.reference, self._options,
                        expression=self._inputs.expression,
                    )  # fmt: skip
                    smoother = people.setdefault(person, LagSmoother(variance))
                    smoother.push(np.concatenate([part.ravel() for part in goal]))
            waiting.append(pair)
            if len(waiting) > lag:
                yield release(waiting.popleft())
        while waiting:
            yield release(waiting.popleft())

    def _shown(self, time: Fraction, scene: Scene) -> list[Shown]:
        """Motion of every driver; where it is lost it eases to its reference, or to the first face that it drives."""
        rest: dict[int, Motion] = {}
        if not rests_at_reference(self._inputs.engine, self._options):
            for face, driver in zip(scene.faces, scene.drivers, strict=True):
                rest.setdefault(driver, face.portrait.motion)
        return [mix.at(time, rest.get(number)) for number, mix in enumerate(self._mixes)]

    def _keypoints(self, face: SourceFace, pair: Pair, number: int, eyes: float | None) -> Keypoints:
        portrait, shown = face.portrait, pair.shown[number]
        source = [portrait] if self._inputs.moving else portrait
        return transfer(
            self._inputs.engine, source, shown.motion, shown.reference, self._options,
            expression=self._inputs.expression, eye_target=eyes,
            smoothed=pair.smoothed[number] if pair.smoothed else None,
        )  # fmt: skip

    def _compose(self, steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            with self._timings.measure("compose"):
                if not self._options.paste_back:
                    step.picture = Patched(self._bare(step.squares[0] if step.squares else None))
                else:
                    step.picture = paste_all(step.scene, step.squares, official=self._options.official)
            yield step

    def _bare(self, square: Pixels | None) -> Pixels:
        """A bare square in the size of the result; black where the source shows no face."""
        side = self._inputs.side
        if square is None:
            return np.zeros((side, side, 4 if self._inputs.source.info.has_alpha else 3), np.uint8)
        if square.shape[0] == side:
            return square
        how = cv2.INTER_AREA if square.shape[0] > side else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(square, (side, side), interpolation=how), np.uint8)


class DrivingPanel:
    """Driving frames for the comparison clip, decoded along with the render; none without a reader."""

    def __init__(self, reader: ClipReader | None) -> None:
        self._reader = reader
        self._frames: Iterator[Any] = iter(())
        self._current: Any = None

    def at(self, index: int) -> Pixels | None:
        """Frame of a number; numbers rise, and start over when the clip does."""
        if self._reader is None:
            return None
        if self._current is None or index < self._current.index:
            self._frames = iter(self._reader)
            self._current = next(self._frames)
        while self._current.index < index:
            following = next(self._frames, None)
            if following is None:
                break
            self._current = following
        return pixels_of(self._current)

    def __enter__(self) -> DrivingPanel:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.close()
