"""The stages of the second pass: decode, track, encode source, render, paste-back; each ahead of the next in a thread.

The queues between them are short, so memory is bounded and the slowest stage sets the rate.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.frames.follow import DEEPEST, queue_depth
from app.frames.scene import pixels_of
from app.media.prefetch import stage
from app.provenance.watermark import finishing
from liveportrait.animator import Animator
from liveportrait.batching import batch_of
from liveportrait.rules import rests_at_reference

if TYPE_CHECKING:
    from app.frames.timings import Timings
    from app.media.clip import ClipReader
    from app.render.inputs import Inputs
    from liveportrait.animator import Scene
    from liveportrait.driving import Shown
    from liveportrait.mix import MotionMix
    from liveportrait.motion import Motion
    from liveportrait.patched import Patched
    from liveportrait.track import MotionTrack

Pixels = npt.NDArray[np.uint8]
Keypoints = npt.NDArray[np.float32]


@dataclass
class Step:
    """One output frame as it passes through the stages.

    Attributes:
        time: Seconds.
        scene: The source at that time.
        driving: Driving frame for the comparison clip, or None.
        squares: Rendered crops of the source's faces; empty if it shows none.
        picture: The finished frame.
    """

    time: Fraction
    scene: Scene
    driving: Pixels | None = None
    squares: tuple[Pixels, ...] = ()
    picture: Patched | None = None


class Stages:
    """Creates the frames of the result.

    Args:
        inputs: The prepared job.
        track: Motion of the main driving clip.
        mixes: Driving motion at any time: of the driving file, then of each --driver-for.
        timings: Records the time of each stage.
        overlap: Whether stages run ahead of the next ones in threads; the result is byte-identical.

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
        options = inputs.job.options
        self._animator = Animator(
            inputs.engine, options.animation, inputs.expression, lips=inputs.job.lips,
            finish=finishing(options.output.mark),
        )  # fmt: skip
        self.lost = 0
        self.source_lost = 0

    def __iter__(self) -> Generator[Step, None, None]:
        finished, overlap = queue_depth(*self._inputs.size, 4), self._overlap
        depth = finished
        if not self._inputs.moving and not self._inputs.comparison:  # for a photo only crops are queued
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
        with self._timings.measure("render", len(waiting)):
            joined = [np.concatenate(parts) for parts in zip(*(keypoints for _, keypoints in waiting), strict=True)]
            drawn = self._animator.draw(waiting[0][0].scene, joined)
        for index, (step, _) in enumerate(waiting):
            step.squares = tuple(squares[index] for squares in drawn)
            yield step

    def _posed(self, scenes: Iterable[tuple[Fraction, Scene]]) -> Iterator[tuple[Step, list[Keypoints]]]:
        """Each step with the driving keypoints (1, K, 3) of each face; none if the source shows no face."""
        with DrivingPanel(self._inputs.driving if self._inputs.comparison else None) as panel:
            driven = self._animator.smoothed(self._driven(scenes, panel), clip=self._inputs.moving)
            for step, scene, shown in driven:
                with self._timings.measure("transfer"):
                    keypoints = self._animator.pose(scene, shown)
                yield step, keypoints

    def _driven(
        self, scenes: Iterable[tuple[Fraction, Scene]], panel: DrivingPanel
    ) -> Iterator[tuple[Step, Scene, Sequence[Shown]]]:
        """Each step with the driving motion of its scene's faces."""
        for time, scene in scenes:
            with self._timings.measure("transfer"):
                shown = self._shown(time, scene)
            self.lost += not all(shown[driver].seen for driver in {0, *scene.drivers})
            self.source_lost += not scene.faces
            yield Step(time, scene, panel.at(shown[0].index)), scene, [shown[driver] for driver in scene.drivers]

    def _shown(self, time: Fraction, scene: Scene) -> list[Shown]:
        """Motion of every driver; if its face is lost, it eases to its reference or to the first face it drives."""
        rest: dict[int, Motion] = {}
        if not rests_at_reference(self._inputs.engine, self._animator.options):
            for face, driver in zip(scene.faces, scene.drivers, strict=True):
                rest.setdefault(driver, face.portrait.motion)
        return [mix.at(time, rest.get(number)) for number, mix in enumerate(self._mixes)]

    def _compose(self, steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            with self._timings.measure("compose"):
                step.picture = self._animator.compose(step.scene, step.squares, self._inputs.side)
            yield step


class DrivingPanel:
    """Driving frames for the comparison clip, decoded along with the render; none without a reader."""

    def __init__(self, reader: ClipReader | None) -> None:
        self._reader = reader
        self._frames: Iterator[Any] = iter(())
        self._current: Any = None

    def at(self, index: int) -> Pixels | None:
        """Frame with a number; numbers increase, and start over when the clip does."""
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
