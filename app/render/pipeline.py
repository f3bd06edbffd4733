"""The offline render: two passes, stages with bounded queues in threads, memory independent of the clip's length."""

from __future__ import annotations

import tempfile
import time as clock
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from app.errors import AppError, CancelledError, MissingError, UsageError
from app.events import CancelToken, EventStream
from app.media.audio import AudioSource
from app.media.prefetch import Prefetch
from app.media.reader import open_clip
from app.media.timeline import output_duration, sample_times
from app.options import notes_on, parse_rate
from app.render.driving import FaceFollower, queue_depth, read_driving, timed
from app.render.job import STILL_SUFFIXES, Job, Plan, is_template, output_path, side_by_side_path
from app.render.motion import MotionSampler, choose_reference, smooth_track
from app.render.output import Outputs, Target
from app.render.report import RenderReport
from app.render.source import Scene, SceneMaker, SourceClock, pixels_of, resample
from app.render.timings import Timings
from app.render.track import MotionTrack
from liveportrait.animator import FaceHold
from liveportrait.transfer import steady_eye_target, transfer

if TYPE_CHECKING:
    from app.media.reader import ClipReader
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion
    from models.face import FaceTracker

Pixels = npt.NDArray[np.uint8]
HOLD: Final = 0.5  # seconds that the last motion is held after the driving face was lost
EASE: Final = 0.7  # seconds over which it then eases to neutral


@dataclass
class Step:
    """One output frame on its way through the stages."""

    time: Fraction
    scene: Scene
    driving: Pixels | None
    square: Pixels | None = None


def render(job: Job, events: EventStream | None = None, token: CancelToken | None = None) -> RenderReport:
    """Animate a source with a driving file and write the result.

    Args:
        job: What to do.
        events: Gets phases, progress and messages.
        token: Stops the work; what was rendered so far is kept as a playable file.

    Returns:
        What was written, and how long it took.

    Raises:
        AppError: Nothing was written; the sentence says why.
    """
    started = clock.perf_counter()
    with Run(job, events or EventStream(), token or CancelToken()) as run:
        run.prepare()
        run.read_motion()
        report = run.write()
    return replace(report, seconds=clock.perf_counter() - started)


def plan(job: Job, events: EventStream | None = None) -> Plan:
    """Check a job as far as that is quick, and say what it would do; nothing is written.

    Raises:
        AppError: The job can't be done; the sentence says why.
    """
    with Run(job, events or EventStream(), CancelToken()) as run:
        run.prepare()
        return run.plan()


class Run:
    """One run of one job; use in a ``with`` statement, which removes all scratch files."""

    def __init__(self, job: Job, events: EventStream, token: CancelToken) -> None:
        self.job = job
        self.events = events
        self.token = token
        self.timings = Timings()
        self.notes: list[str] = []
        self._close = ExitStack()
        self._folder: Path | None = None
        self.engine: Engine
        self.source: ClipReader
        self.driving: ClipReader | None = None
        self.track: MotionTrack
        self.tracker: FaceTracker
        self.scenes: SceneMaker
        self.still: Scene | None = None
        self.lone = False

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    # ---- before the work ------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Open the inputs, check the output's name, load the engine, and find the face of the source.

        Raises:
            AppError: See :func:`render`.
        """
        job, options = self.job, self.job.options
        for sentence in notes_on(options):
            self._note(sentence)
        rate = parse_rate(options.input.fps)
        self.source = self._close.enter_context(open_clip(job.source, rate=rate))
        if not is_template(job.driving):
            self.driving = self._close.enter_context(open_clip(job.driving, rate=rate))
        for reader in (self.source, self.driving):
            for sentence in reader.notes if reader else []:
                self._note(sentence)
        self._still_result = self.moving is False and self.driving is not None and self.driving.info.kind == "image"
        self._check_names()
        self.engine = self._load_engine()
        if is_template(job.driving):
            self._load_template()
        from models.face import FaceTracker

        self.tracker = FaceTracker()
        self.scenes = SceneMaker(self.engine, self.tracker, options, job.source)
        if self.moving:
            self.scenes.check_moving(self.source)
        else:
            frame = next(iter(self.source))
            self.still = self.scenes.still(frame)
            self.source.close()
        for sentence in self.scenes.notes:
            self._note(sentence)

    @property
    def moving(self) -> bool:
        """Whether the source is a clip; an animated picture counts as a still."""
        return self.source.info.kind in ("video", "sequence")

    def _check_names(self) -> None:
        from app.media.files import check_output

        options = self.job.options.output
        self.output = output_path(
            self.job, still=self._still_result, alpha=self.source.info.has_alpha, engine=self.job.options.program.engine
        )
        one_picture = self.output.suffix.lower() in STILL_SUFFIXES and "%" not in self.output.name
        if one_picture and not self._still_result:
            raise UsageError(
                f"--output: {self.output} holds one picture and the result is a clip.",
                f"End the name in .mp4, or write {self.output.stem}-%05d{self.output.suffix} for numbered pictures.",
            )
        self.comparison = side_by_side_path(self.output) if options.side_by_side else None
        for path in (self.output, self.comparison):
            if path is None:
                continue
            if path.exists() and not options.overwrite and not self._is_input(path):
                raise UsageError(f"{path} exists already.", "Add --overwrite to replace it, or choose another name.")
            check_output(path, options.overwrite or "%" in path.name, self._inputs())

    def _inputs(self) -> tuple[Path, ...]:
        return self.job.source, self.job.driving

    def _is_input(self, path: Path) -> bool:
        return any(i.exists() and path.exists() and i.samefile(path) for i in self._inputs())

    def _load_engine(self) -> Engine:
        from liveportrait.engines import EngineUnavailableError, load_engine

        program = self.job.options.program
        try:
            return load_engine(
                program.engine,
                program.device,
                threads=program.threads,
                crop_size=program.crop_size,
                say=self.events.info,
                warn=self._warn,
            )
        except EngineUnavailableError as error:
            raise MissingError(f"{error}", "`animate doctor` shows what is missing.") from error
        except ValueError as error:
            raise UsageError(f"--engine: {error}") from error

    def _load_template(self) -> None:
        raise UsageError(f"{self.job.driving}: motion templates can't be read.")

    def _scratch(self, name: str) -> Path:
        """A scratch file in the run's own folder, which goes when the run ends, however it ends."""
        if self._folder is None:
            holder = tempfile.TemporaryDirectory(prefix="portrait-animate-", ignore_cleanup_errors=True)
            self._folder = Path(self._close.enter_context(holder))
        return self._folder / name

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)
            self.events.info(sentence)

    def _warn(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)
            self.events.warn(sentence)

    # ---- first pass -----------------------------------------------------------------------------------------------
    def read_motion(self) -> None:
        """Read the driving motion, choose the neutral reference, smooth.

        Raises:
            CancelledError: The user stopped the job; nothing was written.
            NoFaceError: No driving frame has a face.
            UsageError: The driving face or the reference frame does not exist.
        """
        options = self.job.options
        if self.driving is not None:
            self.track = MotionTrack(self._scratch("motion"))
            self._close.callback(self._close_track)
            follow = FaceFollower(self.tracker, options.input.driving_face)
            with self.events.phase("track", self.driving.info.frames, "Reading motion") as phase:
                try:
                    read_driving(
                        self.driving, follow, self.engine, self.track,
                        timings=self.timings, phase=phase, token=self.token,
                    )  # fmt: skip
                except CancelledError:
                    raise CancelledError("Stopped while the motion was read; nothing was written.") from None
            self.lone = len(self.track) == 1
        self.reference, index, sentences = choose_reference(self.track, self.engine, options.animation, self.lone)
        for sentence in sentences:
            self._warn(sentence)
        if options.animation.relative and options.animation.reference == "auto" and not self.lone:
            self.events.info(f"Motion is measured from driving frame {index}, the most neutral one.")
        self.track = smooth_track(self.track, self._scratch("smooth"), options.animation.smooth)

    def _close_track(self) -> None:
        self.track.close()

    # ---- timeline -------------------------------------------------------------------------------------------------
    @property
    def rule(self) -> str:
        """Length rule for this pair of inputs."""
        if not self.moving:
            return "driving"
        held = self.lone or (self.driving is not None and self.driving.info.kind == "image")
        return "source" if held else self.job.options.input.length

    def plan(self) -> Plan:
        """What the job will do."""
        rate, info = parse_rate(self.job.options.input.fps), self.source.info
        sizes = (info.width, info.height) if self.job.options.animation.paste_back else (self.engine.crop_size,) * 2
        lead = self._leading()
        lengths = [r.info.duration for r in (self.source if self.moving else None, self.driving) if r is not None]
        frames: int | None = None
        if self._still_result:
            frames = 1
        elif all(length is not None for length in lengths):
            seconds = output_duration(
                lengths[0] if self.moving else None, lengths[-1] or Fraction(0), self.rule  # type: ignore[arg-type]
            )  # fmt: skip
            frames = max(1, round(seconds * (rate or lead[0])))
        return Plan(
            output=self.output,
            side_by_side=self.comparison,
            engine=self.engine.name,
            device=self.engine.describe().get("device", "cpu"),
            size=sizes,
            rate="" if self._still_result else str(rate or lead[0]),
            frames=frames,
            audio=self._sound()[1],
            notes=tuple(self.notes),
        )

    def _leading(self) -> tuple[Fraction, Fraction | None]:
        """Rate and time base of the clip that sets the time stamps."""
        reader = self.source if self.moving and self.rule != "driving" else self.driving
        if reader is None:
            return self._template_rate, None
        return reader.info.rate, reader.info.time_base

    _template_rate = Fraction(25)

    def _times(self) -> Iterator[tuple[Fraction, Any]]:
        """Output times with the source frame (None for a photo) shown at each."""
        rate, duration = parse_rate(self.job.options.input.fps), self.track.duration
        if not self.moving:
            times: Iterable[Fraction] = self.track.times if rate is None else sample_times(duration, rate)
            for time in times:
                yield time, None
            return
        frames = SourceClock(self.source, self.rule, duration)
        read = timed_pairs(frames, self.timings)
        if rate is None and self.rule != "driving":
            yield from read
            return
        step = 1 / self.source.info.rate
        if self.rule == "driving":
            wanted = self.track.times if rate is None else sample_times(duration, rate)
            yield from resample(read, wanted, hold=True, step=step)
        else:
            assert rate is not None
            limit = duration if self.rule == "shortest" else None
            grid = (k / rate for k in count() if True)
            bounded = grid if limit is None else (t for t in sample_times(limit, rate))
            yield from resample(read, bounded, hold=False, step=step)

    def _sound(self) -> tuple[AudioSource | None, str]:
        """Sound of the result, and whose it is."""
        wanted = self.job.options.output.audio
        if wanted == "none" or self._still_result:
            return None, "none"
        order = ["driving", "source"] if wanted == "driving" else ["source", "driving"]
        for side in order:
            sound = AudioSource(self.job.driving if side == "driving" else self.job.source)
            if sound.present:
                return sound, side
        return None, "none"

    # ---- second pass ----------------------------------------------------------------------------------------------
    def write(self) -> RenderReport:
        """Render, compose and encode every frame.

        Raises:
            AppError: See :func:`render`.
        """
        info, animation = self.source.info, self.job.options.animation
        size = (info.width, info.height) if animation.paste_back else (self.engine.crop_size,) * 2
        rate, time_base = self._leading()
        given = parse_rate(self.job.options.input.fps)
        panels = 2 if self.driving is None else 3
        target = Target(
            self.output, self.comparison, size, given or rate, None if given else time_base, info.has_alpha, panels
        )
        sound = self._sound()[0]
        with Outputs(target, self.job.options.output, sound, self._inputs()) as outputs:
            try:
                with self.events.phase("render", self._expected(given or rate), "Rendering") as phase:
                    for step, picture in self._stages(*size):
                        self.token.check()
                        left = [p for p in (step.driving, step.scene.picture) if p is not None]
                        with self.timings.measure("encode"):
                            outputs.write(step.time, picture, left if self.comparison else [])
                        phase.advance()
            except CancelledError:
                return self._cancelled(outputs, size)
            outputs.finish(self._end(given))
            for sentence in outputs.notes:
                self._note(sentence)
            return self._report(outputs.frames, size)

    def _expected(self, rate: Fraction) -> int | None:
        if not self.moving:
            return (
                len(self.track) if parse_rate(self.job.options.input.fps) is None else round(self.track.duration * rate)
            )
        source = self.source.info.duration
        if source is None:
            return None
        length = output_duration(source, self.track.duration, self.rule)  # type: ignore[arg-type]
        return max(1, round(length * rate))

    def _end(self, given: Fraction | None) -> Fraction | None:
        """When the last frame ends; None for one frame after its beginning."""
        return self.track.duration if self.rule == "driving" and given is None and not self._still_result else None

    def _stages(self, width: int, height: int) -> Iterator[tuple[Step, Pixels]]:
        """Finished pictures; source, render and compose stages run ahead in threads."""
        depth = queue_depth(width, height, 4)
        with ExitStack() as threads:
            steps = threads.enter_context(Prefetch(self._scenes(), depth))
            drawn = threads.enter_context(Prefetch(self._draw(steps), depth))
            done = threads.enter_context(Prefetch(self._compose(drawn), depth))
            yield from done

    def _scenes(self) -> Iterator[tuple[Fraction, Scene]]:
        if self.still is not None:
            for time, _ in self._times():
                yield time, self.still
            return
        for time, scene in self.scenes.moving(self._times()):
            yield time, scene

    def _draw(self, scenes: Iterable[tuple[Fraction, Scene]]) -> Iterator[Step]:
        """Motion at each output time, transferred and rendered."""
        animation = self.job.options.animation
        sample = MotionSampler(self.track, loop=self.rule == "loop")
        hold = FaceHold(HOLD, EASE)
        before, eyes = Fraction(0), None
        panel = DrivingPanel(self.driving if self.comparison else None)
        self.lost = self.source_lost = 0
        with panel:
            for time, scene in scenes:
                motion, index = sample(time)
                shown = panel.at(index)
                self.lost += motion is None
                step = Step(time, scene, shown)
                if scene.face is None:
                    self.source_lost += 1
                else:
                    portrait = scene.face.portrait
                    if eyes is None and self.moving:
                        eyes = steady_eye_target(portrait.motion)
                    neutral = self.reference if animation.relative else portrait.motion
                    with self.timings.measure("render"):
                        held = hold(motion, neutral, float(time - before))
                        step.square = self._square(scene, held, eyes)
                before = time
                yield step

    def _square(self, scene: Scene, motion: Motion, eyes: float | None) -> Pixels:
        assert scene.face is not None
        portrait = scene.face.portrait
        keypoints = transfer(
            self.engine,
            [portrait] if self.moving else portrait,
            motion,
            self.reference,
            self.job.options.animation,
            offsets=scene.face.offsets,
            eye_target=eyes if self.moving else None,
        )
        return self.engine.render(portrait, keypoints)[0]

    def _compose(self, steps: Iterable[Step]) -> Iterator[tuple[Step, Pixels]]:
        paste, side = self.job.options.animation.paste_back, self.engine.crop_size
        for step in steps:
            with self.timings.measure("compose"):
                if step.square is None or step.scene.face is None:
                    picture = step.scene.picture if paste else np.zeros((side, side, 3), np.uint8)
                elif paste:
                    picture = step.scene.face.compositor.paste(step.square)
                else:
                    picture = step.square
            yield step, picture

    # ---- end ------------------------------------------------------------------------------------------------------
    def _report(self, frames: int, size: tuple[int, int]) -> RenderReport:
        if self.lost:
            self._warn(
                f"{self.job.driving}: no face was found for {self.lost} of {frames} frames; the motion was held and "
                "eased to neutral there."
            )
        if self.source_lost:
            self._warn(f"{self.job.source}: no face was found in {self.source_lost} frames; they are left as they are.")
        problems = [r.problem for r in (self.driving, self.source if self.moving else None) if r and r.problem]
        message = ""
        if problems:
            message = f"{' '.join(problems)} What could be decoded was rendered ({frames} frames)."
        return RenderReport(
            status="partial" if problems else "done",
            output=self.output,
            side_by_side=self.comparison,
            frames=frames,
            lost=self.lost,
            source_lost=self.source_lost,
            size=size,
            engine=self.engine.name,
            seconds=0.0,
            message=message,
            notes=tuple(self.notes),
            stages=self.timings.report(),
        )

    def _cancelled(self, outputs: Outputs, size: tuple[int, int]) -> RenderReport:
        frames = outputs.frames
        kept = None
        with suppress(AppError):
            kept = outputs.abort(keep=True)
        if kept is None:
            raise CancelledError("Stopped; nothing was written.")
        return replace(
            self._report(frames, size),
            status="cancelled",
            output=kept,
            side_by_side=None,
            message=f"Stopped after {frames} frames; what was rendered is in {kept}.",
        )


class DrivingPanel:
    """Driving frames for the comparison clip, decoded along with the render; none without a reader."""

    def __init__(self, reader: ClipReader | None) -> None:
        self._reader = reader
        self._frames: Any = None
        self._current: Any = None

    def at(self, index: int) -> Pixels | None:
        """Frame of a number; numbers rise, and start over when the clip does."""
        if self._reader is None:
            return None
        if self._frames is None or (self._current is not None and index < self._current.index):
            self._frames, self._current = iter(self._reader), None
        while self._current is None or self._current.index < index:
            following = next(self._frames, None)
            if following is None:
                break
            self._current = following
        return None if self._current is None else pixels_of(self._current)

    def __enter__(self) -> DrivingPanel:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.close()


def timed_pairs(frames: Iterable[tuple[Fraction, Any]], timings: Timings) -> Iterator[tuple[Fraction, Any]]:
    """(time, frame) pairs with the time that each took to come, as source decoding."""
    yield from timed(frames, timings, "decode source")  # type: ignore[arg-type,misc]
