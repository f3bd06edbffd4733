"""Render without a driver: sliders pose a photo, or every frame of a clip. No Qt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from app.errors import CancelledError, UsageError
from app.media.audio import AudioSource
from app.media.files import check_output
from app.media.reader import ClipReader, open_clip
from app.render.inputs import load_job_engine
from app.render.job import STILL_SUFFIXES
from app.render.output import Outputs, Target
from app.render.report import RenderReport
from app.render.source import Pixels, Scene, SceneMaker
from app.render.timings import Timings
from liveportrait.expression import Expression, express
from models.face import FaceTracker

if TYPE_CHECKING:
    from app.events import CancelToken, EventStream
    from app.render.job import Job
    from liveportrait.engines.base import Engine


def render_pose(job: Job, events: EventStream, token: CancelToken) -> RenderReport:
    """Pose the source by the job's sliders and write it; ``job.driving`` is not used.

    Args:
        job: Source, options with an output, sliders.
        events: Gets progress.
        token: Stops the work; what was written of a clip is kept.

    Raises:
        AppError: Nothing was written; the sentence says why.
    """
    started = time.perf_counter()
    with open_clip(job.source) as reader:
        moving = reader.info.kind in ("video", "sequence") and reader.info.frames != 1
        output = _output(job, moving)
        engine = load_job_engine(job.options, events.info, events.warn)
        maker = SceneMaker(engine, FaceTracker(), job.options, job.source)
        report = _write(job, output, reader, _scenes(reader, maker, moving), engine, events, token)
    return replace(report, seconds=time.perf_counter() - started, notes=tuple(maker.notes))


def _scenes(reader: ClipReader, maker: SceneMaker, moving: bool) -> Iterator[tuple[Fraction, Scene]]:
    if moving:
        yield from maker.moving(((frame.time, frame) for frame in reader), Timings())
    else:
        yield Fraction(0), maker.still(next(iter(reader)))


def _posed(scene: Scene, engine: Engine, expression: Expression, job: Job) -> Pixels | None:
    """One finished picture; None where a bare square is asked for and there is no face."""
    motion = job.options.animation
    if scene.face is None:
        return scene.picture if motion.paste_back else None
    portrait = scene.face.portrait
    square: Pixels = engine.render(portrait, express(engine, portrait, expression, motion.stitching))[0]
    return scene.face.compositor.paste(square) if motion.paste_back else square


def _write(
    job: Job,
    output: Path,
    reader: ClipReader,
    scenes: Iterator[tuple[Fraction, Scene]],
    engine: Engine,
    events: EventStream,
    token: CancelToken,
) -> RenderReport:
    info, expression = reader.info, job.expression or Expression({})
    picture = output.suffix.lower() in STILL_SUFFIXES
    bare = not job.options.animation.paste_back
    size = (engine.crop_size, engine.crop_size) if bare else (info.width, info.height)
    sound = AudioSource(job.source) if not picture and job.options.output.audio != "none" else None
    target = Target(
        path=output, comparison=None, size=size, rate=info.rate, time_base=info.time_base, alpha=info.has_alpha,
        picture=picture, panels=(),
    )  # fmt: skip
    lost, message = 0, ""
    with Outputs(target, job.options.output, sound if sound and sound.present else None, (job.source,)) as outputs:
        try:
            with events.phase("render", info.frames, "Rendering") as phase:
                for stamp, scene in scenes:
                    token.check()
                    lost += scene.face is None
                    finished = _posed(scene, engine, expression, job)
                    if finished is not None:
                        outputs.write(stamp, finished, [])
                    phase.advance()
        except CancelledError:
            count, kept = outputs.frames, outputs.abort(keep=True)
            if kept is None:
                raise CancelledError("Stopped; nothing was written.") from None
            text = f"Stopped after {count} frames; what was rendered is in {kept}."
            return RenderReport("cancelled", kept, None, count, 0, lost, size, engine.name, 0.0, message=text)
        outputs.finish(None)
        if reader.problem:
            message = f"{reader.problem} What could be decoded was rendered."
        status: Literal["partial", "done"] = "partial" if message else "done"
        return RenderReport(status, output, None, outputs.frames, 0, lost, size, engine.name, 0.0, message=message)


def _output(job: Job, moving: bool) -> Path:
    path = Path(job.options.output.output)
    if (path.suffix.lower() in STILL_SUFFIXES) == moving:
        raise UsageError(f"{path} does not fit the source.", f"End the name in {'.mp4' if moving else '.png or .jpg'}.")
    if path.is_file() and not job.options.output.overwrite:
        raise UsageError(f"{path} exists already.", "Choose another name.")
    check_output(path, job.options.output.overwrite or not path.is_file(), (job.source,))
    return path
