"""The offline render: one pass reads the driving clip, one renders; memory does not depend on the clip's length."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.driver_options import PART_WORDS
from app.errors import AppError, CancelledError
from app.events import CancelToken, EventStream
from app.frames.channels import opened_driver, read_channel
from app.frames.follow import scratch_track
from app.frames.resources import Resources
from app.frames.timings import Timings
from app.media.streams import shown
from app.memory import give_back
from app.render.inputs import Inputs
from app.render.output import Outputs, Target
from app.render.report import RenderReport
from app.render.stages import Stages
from app.render.unseen import TrackPlay
from liveportrait.expression_track import added
from liveportrait.mix import Course, MotionMix
from liveportrait.template import MotionTemplate
from models.messages import msg

if TYPE_CHECKING:
    from app.media.clip import ClipReader
    from app.render.job import Job, Plan
    from liveportrait.channel import DrivingChannel
    from liveportrait.track import MotionTrack


def render(
    job: Job,
    events: EventStream | None = None,
    token: CancelToken | None = None,
    resources: Resources | None = None,
    *,
    overlap: bool = True,
) -> RenderReport:
    """Animate a source, with a driving file or by sliders alone, and write the result.

    Args:
        job: The job.
        events: Receives phases, progress and messages.
        token: Stops the work; the frames rendered so far are kept as a playable file.
        resources: Source of engine, portrait and driving motion; None creates them for this job.
        overlap: Whether the stages run concurrently in threads; the files are byte-identical either way.

    Returns:
        Report of the files and the time taken.

    Raises:
        AppError: Nothing was written; the sentence says why.
    """
    events, token = events or EventStream(), token or CancelToken()
    started = time.perf_counter()
    with Inputs(job, events, token, resources) as inputs:
        run = Run(inputs, events, token, overlap=overlap)
        try:
            run.read_motion()
            report = run.write()
        finally:
            run.close()
    return replace(report, seconds=time.perf_counter() - started)


def _longer(voice: Fraction, clip: Fraction) -> str:
    return msg(
        "The voice lasts {voice:.1f} s and the driving file {clip:.1f} s; the result ends with the driving file.",
        float(voice), float(clip),
    )  # fmt: skip


def plan(job: Job, events: EventStream | None = None) -> Plan:
    """Check a job as far as that is quick, and return what it would do; nothing is written.

    Raises:
        AppError: The job can't be done; the sentence says why.
    """
    with Inputs(job, events or EventStream(), CancelToken(), dry=True) as inputs:
        return inputs.plan()


class Run:
    """The two passes of one job.

    Args:
        inputs: The prepared job.
        events: Receives phases, progress and messages.
        token: Stops the work.
        overlap: Whether the stages run concurrently.
    """

    def __init__(self, inputs: Inputs, events: EventStream, token: CancelToken, *, overlap: bool = True) -> None:
        self._overlap = overlap
        self.inputs = inputs
        self.events = events
        self.token = token
        self.timings = Timings()
        self._tracks: list[MotionTrack] = []
        self._truncated = ""  # a sentence about the sound that drives the face

    def close(self) -> None:
        """Close the scratch files."""
        for track in self._tracks:
            track.close()

    def read_motion(self) -> None:
        """First pass: read the driving motion, choose the neutral reference, smooth.

        Raises:
            CancelledError: The user stopped the job; nothing was written.
            NoFaceError: No driving frame has a face.
            UsageError: The driving face or the reference frame does not exist.
        """
        if self.inputs.job.posed:
            return self._rest()
        inputs, play, unseen = self.inputs, self._play(), self.inputs.unseen
        others = {part: self._read_other(part, path) for part, path in inputs.others.items()}
        spoken = play.parts(unseen.parts)
        main, track = None, None if spoken is None else spoken[0]
        if unseen.main is None:
            media = inputs.driving or inputs.template
            assert media is not None
            main = self._read(inputs.job.driving, media, "")
            self.track = main.track
        else:
            whole, length, self._truncated = play.whole(unseen.main, {*others, *unseen.parts})
            track = whole if track is None else added([whole, track])
            self.track = scratch_track()
            self._tracks.append(self.track)
            unseen.fill(self.track, length, inputs.rate)
        if spoken is not None and spoken[1] > self.track.duration and not inputs.moving:
            inputs.note(_longer(spoken[1], self.track.duration), warn=True)
        loop = inputs.rule == "loop"
        course = Course.of(inputs.rule, inputs.closed and not unseen.alone, self.track)
        resting = unseen.parts if main is not None else ()
        self.mixes = [
            MotionMix(inputs.engine, main, others, loop=loop, course=course, track=track, resting=resting)
        ]  # fmt: skip
        for driver in inputs.own_drivers:
            if (own := unseen.own.get(driver.path)) is not None:
                spoken_own, _, truncated = play.whole(own)
                if truncated:
                    inputs.note(truncated, warn=True)
                mix = MotionMix(inputs.engine, None, loop=loop, course=course, track=spoken_own)
            else:
                channel = self._read_other(f"face {driver.face}", driver.path)
                mix = MotionMix(inputs.engine, channel, loop=loop, course=course)
            self.mixes.append(mix)

    def _rest(self) -> None:
        """Without a driver there is no motion: sliders alone pose every face, or its lips are held."""
        self.track = scratch_track()
        self._tracks.append(self.track)
        self.track.append(Fraction(0), None)
        faces = 1 + len(self.inputs.job.options.input.subject.drivers)
        self.mixes = [MotionMix(self.inputs.engine, None)] * faces

    def _play(self) -> TrackPlay:
        inputs = self.inputs
        smile = inputs.engine.own_smile(inputs.first.portrait)
        warn = partial(inputs.note, warn=True)
        return TrackPlay(inputs.job.options, smile, inputs.moving, warn, self.token.check)

    def _read(self, path: Path, media: ClipReader | MotionTemplate, part: str) -> DrivingChannel:
        """Read one driver; ``part`` names the driven part, if it isn't the whole face."""
        inputs = self.inputs
        channel = read_channel(
            path, media, inputs.engine, inputs.tracker, inputs.job.options, self.token, further=bool(part),
            resources=inputs.resources, wait=True, timings=self.timings, overlap=self._overlap,
            progress=lambda: self._reading(None if isinstance(media, MotionTemplate) else media.count, part),
        )  # fmt: skip
        self._tracks.append(channel.track)
        neutral = channel.neutral
        for sentence in neutral.notes:
            inputs.note(sentence, warn=True)
        if neutral.measured and not part:
            self.events.info(msg("Motion is measured from driving frame {index}, the most neutral one.", neutral.index))
        if neutral.shots is not None:
            count = len(neutral.shots.starts)
            self.events.info(msg("The clip has {count} shots; each is measured from its own neutral frame.", count))
        return channel

    def _read_other(self, part: str, path: Path) -> DrivingChannel:
        """Read the driver of a part of the face, or of one face."""
        with opened_driver(path, self.inputs.job.options, self.inputs.engine, further=True) as media:
            channel = self._read(path, media, part)
            if not isinstance(media, MotionTemplate) and media.problem:
                self.inputs.note(media.problem, warn=True)
        return channel

    @contextmanager
    def _reading(self, count: int | None, part: str) -> Iterator[Callable[[], object]]:
        """Report the progress of reading one driver."""
        title = f"Reading motion ({PART_WORDS.get(part, part)})" if part else "Reading motion"
        with self.events.phase("track", count, title) as phase:
            try:
                yield phase.advance
            except CancelledError:
                raise CancelledError("Stopped while the motion was read; nothing was written.") from None

    def write(self) -> RenderReport:
        """Second pass: render, compose and encode every frame.

        Raises:
            AppError: See :func:`render`.
        """
        inputs = self.inputs
        if inputs.large:
            inputs.tracker.release()  # the faces of a photo have been found by now
            give_back()
        self._stages = stages = Stages(inputs, self.track, self.mixes, self.timings, overlap=self._overlap)
        rate, time_base = inputs.clock
        total = len(self.track) if self._follows_driving else inputs.expected(self.track.duration)
        target = Target(
            path=inputs.output,
            comparison=inputs.comparison,
            sizing=inputs.sizing,
            rate=rate,
            time_base=time_base,
            alpha=inputs.alpha,
            picture=inputs.one_picture,
            panels=inputs.panels,
            loop=(total or 0) if inputs.closed or inputs.unseen.alone else 0,
        )
        chosen, named = inputs.job.options.output, inputs.engine.name
        with Outputs(target, chosen, inputs.sound()[0], inputs.job.files(), named) as outputs:
            try:
                with self.events.phase("render", total, "Rendering") as phase, closing(iter(stages)) as steps:
                    for step in steps:
                        self.token.check()
                        assert step.picture is not None
                        left = [p for p in (step.driving, step.scene.picture) if p is not None]
                        with self.timings.measure("encode"):
                            outputs.write(step.time, step.picture, left)
                        step.picture = None  # the previous stage still references the step
                        phase.advance()
            except CancelledError:
                return self._cancelled(outputs)
            outputs.finish(self.track.duration if self._follows_driving else None)
            late = [note for reader in (inputs.source, inputs.driving) if reader for note in reader.notes]
            for sentence in [*late, *inputs.scenes.notes, *outputs.notes]:
                if sentence != self._truncated:
                    inputs.note(sentence)
            return self._report(outputs.frames)

    @property
    def _follows_driving(self) -> bool:
        """Whether the result has the driving clip's own time stamps."""
        return self.inputs.rule == "driving" and self.inputs.rate is None and not self.inputs.still_result

    def _report(self, frames: int) -> RenderReport:
        inputs, stages = self.inputs, self._stages
        if stages.lost:
            inputs.note(
                msg(
                    "{driving}: no face was found in {lost} of {frames} frames; the motion was held and eased to "
                    "neutral there.",
                    inputs.job.driving, stages.lost, frames
                ),
                warn=True,
            )  # fmt: skip
        if stages.source_lost:
            inputs.note(
                msg(
                    "{source}: no face was found in {source_lost} of {frames} frames; they were left unchanged.",
                    inputs.job.source, stages.source_lost, frames
                ),
                warn=True,
            )  # fmt: skip
        readers = (inputs.driving, inputs.source if inputs.moving else None)
        problems = [reader.problem for reader in readers if reader is not None and reader.problem]
        problems += filter(None, [self._truncated])
        message = f"{' '.join(problems)} What could be decoded was rendered ({frames} frames)." if problems else ""
        return RenderReport(
            status="partial" if problems else "done",
            output=inputs.output,
            side_by_side=inputs.comparison,
            frames=frames,
            lost=stages.lost,
            source_lost=stages.source_lost,
            size=inputs.sizing.size,
            engine=inputs.engine.name,
            seconds=0.0,
            message=message,
            notes=tuple(inputs.notes),
            stages=self.timings.report(),
        )

    def _cancelled(self, outputs: Outputs) -> RenderReport:
        frames, kept = outputs.frames, None
        with suppress(AppError):
            kept = outputs.abort(keep=True)
        if kept is None:
            raise CancelledError("Stopped; nothing was written.")
        message = f"Stopped after {frames} frames; what was rendered is in {shown(kept)}."
        report = self._report(frames)
        return replace(report, status="cancelled", output=kept, side_by_side=None, message=message)
