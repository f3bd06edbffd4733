"""Render without a driver: pose a photo or every frame of a clip by sliders, or hold the lips of a clip."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from app.errors import CancelledError, MediaError, UsageError
from app.expressions import expression_from
from app.frames.resources import Resources
from app.frames.scene import SceneMaker
from app.frames.timings import Timings
from app.loading import interruptible
from app.media.audio import AudioSource
from app.media.clip import ClipReader
from app.media.reader import open_clip
from app.media.sizing import Sizing
from app.media.streams import STDOUT, stream_name
from app.media.streams import shown as named
from app.media.timeline import resample
from app.media.writer import check_clip, check_picture
from app.options import parse_rate
from app.provenance.watermark import finishing
from app.render.job import STILL_SUFFIXES, ending_of, is_numbered, make_folder, name_fields, result_path
from app.render.output import Outputs, Target
from app.render.report import RenderReport
from liveportrait.animator import Animator, Scene
from liveportrait.expression import Expression
from liveportrait.retouch import lip_offset, shifted, silent_keypoints, smoothed
from models.messages import msg

if TYPE_CHECKING:
    from app.events import CancelToken, EventStream
    from app.media.clip import Frame
    from app.render.job import Job
    from liveportrait.engines.base import Engine

Keypoints = npt.NDArray[np.float32]
Still = tuple[Fraction, Scene]


@dataclass(frozen=True)
class Lips:
    """How to hold the lips of a clip.

    Attributes:
        ratio: Lip ratio to hold (0 is closed), smoothed along the clip; None holds them at rest.
    """

    ratio: float | None


def render_pose(
    job: Job, events: EventStream, token: CancelToken, lips: Lips | None = None, resources: Resources | None = None
) -> RenderReport:
    """Pose the source by sliders, or hold its lips, and write the result; ``job.driving`` is not used.

    Args:
        job: Source, options with an output, sliders.
        events: Receives progress.
        token: Stops the work; the frames of a clip written so far are kept.
        lips: How to hold the lips; sliders are then not used.
        resources: Source of engine, tracker and encoded photo; None creates them for this job.

    Raises:
        AppError: Nothing was written; the sentence says why. A clip without any face is an error too.
    """
    started = time.perf_counter()
    rate = parse_rate(job.options.input.fps)
    with open_clip(job.source, *job.options.input.source_part, rate=rate) as reader:
        moving = reader.info.kind in ("video", "sequence") and reader.info.frames != 1
        word = "edited" if lips is None else "retouched"
        alpha = job.options.output.behind.clear(reader.info.has_alpha)
        output = edit_path(job, moving=moving, alpha=alpha, word=word)
        if job.options.input.crop and job.options.input.points:
            raise UsageError(msg("{option:crop} and {option:points} both set the crop."), "Give one of them.")
        wanted = job.options.input
        expression = expression_from(wanted.expression, wanted.sliders, job.expression) or Expression({})
        resources = resources or Resources()
        engine = interruptible(
            lambda step: resources.engine(job.options, events.info, events.warn, step), token, events.info,
            "Loading the engine",
        )  # fmt: skip
        tracker = interruptible(
            lambda _: resources.tracker(job.options.input.finder), token, events.info, "Loading the face detector"
        )  # fmt: skip
        maker = SceneMaker(engine, tracker, job.options, job.source)
        finish = finishing(job.options.output.mark)
        animator = Animator(engine, job.options.animation, expression, finish=finish)

        notes = maker.notes
        lead: Scene | None = None
        if moving:
            lead = maker.first_moving(reader, token)
            frames: Iterator[tuple[Fraction, Frame]] = ((frame.time, frame) for frame in reader)
            if rate is not None and reader.info.kind == "video":
                frames = resample(frames, (k / rate for k in count()), hold=False, step=1 / reader.info.rate)
            stills = maker.moving(frames, Timings())
        else:
            scene, notes = resources.scene(
                job.source, job.options, engine, lambda: (maker.still(next(iter(reader))), maker.notes)
            )
            stills = iter([(Fraction(0), scene)])
        scenes = posed(animator, stills, lips)
        report = _write(job, output, reader, animator, scenes, events, token, lead)
    notes = [*reader.notes, *notes, *report.notes]
    for sentence in notes:
        events.info(sentence)
    if report.source_lost:
        notes.append(
            msg(
                "{source}: no face was found in {source_lost} of {frames} frames; they were left unchanged.",
                job.source, report.source_lost, report.frames
            )
        )  # fmt: skip
        events.warn(notes[-1])
    return replace(report, seconds=time.perf_counter() - started, notes=tuple(notes))


def edit_path(job: Job, *, moving: bool, alpha: bool, word: str) -> Path:
    """Path of an edited source: the given name, or SOURCE--WORD in the given or current folder.

    Raises:
        UsageError: The name has no extension or an unsuitable one, or the file already exists.
    """
    wanted, fields = job.options.output.output, name_fields(job.source, engine=job.options.program.engine)
    ending = ending_of(job, still=not moving, alpha=alpha)
    path = job.target or result_path(wanted, fields, f"{{source}}--{word}", ending)
    if path == STDOUT:
        if moving:
            stream_name(job.options.output.codec)
        return path
    picture = path.suffix.lower() in STILL_SUFFIXES and not is_numbered(job)
    if picture == moving:
        raise UsageError(
            msg("{path} does not fit the source.", path),
            msg("End the name in {what}.", ".mp4" if moving else ".png or .jpg"),
        )
    make_folder(path, wanted)
    if picture:
        check_picture(path, job.options.output.overwrite, job.files())
    else:
        check_clip(path, job.options.output.codec, alpha, job.options.output.overwrite, job.files())
    return path


def posed(
    animator: Animator, stills: Iterable[Still], lips: Lips | None
) -> Iterator[tuple[Still, Sequence[Keypoints]]]:
    """Each scene with the keypoints of its faces, posed by the sliders or with the lips held."""
    engine, options = animator.engine, animator.options
    if lips is None:
        for still in stills:
            yield still, animator.pose(still[1], [None] * len(still[1].faces))
    elif lips.ratio is None:
        for still in stills:
            portraits = [face.portrait for face in still[1].faces]
            yield still, [silent_keypoints(engine, one, options.stitching, options.official) for one in portraits]
    else:
        for still, offset in smoothed(_offsets(engine, stills, lips.ratio)):
            shift = np.zeros((1, engine.keypoints, 3), np.float32) if offset is None else offset
            yield still, [shifted(engine, face.portrait, shift, options.stitching) for face in still[1].faces]


def _offsets(engine: Engine, stills: Iterable[Still], ratio: float) -> Iterator[tuple[Still, Keypoints | None]]:
    for still in stills:
        face = still[1].face
        yield still, None if face is None else lip_offset(engine, face.portrait, ratio)


def _write(
    job: Job,
    output: Path,
    reader: ClipReader,
    animator: Animator,
    scenes: Iterator[tuple[Still, Sequence[Keypoints]]],
    events: EventStream,
    token: CancelToken,
    lead: Scene | None,
) -> RenderReport:
    info = reader.info
    picture = output.suffix.lower() in STILL_SUFFIXES and not is_numbered(job) if output != STDOUT else lead is None
    first = next(scenes, None)
    if first is None:
        raise MediaError(msg("{source} contains no picture.", job.source))
    shown = (lead or first[0][1]).face
    side = animator.engine.crop_size if shown is None else int(shown.portrait.crop.shape[0])
    native = (info.width, info.height) if animator.options.paste_back else (side, side)
    sizing = Sizing.of(job.options.output, native)
    size = sizing.size
    sound = AudioSource.of_part(reader) if not picture and job.options.output.audio != "none" else None
    asked = parse_rate(job.options.input.fps)
    rate, unit, total = (info.rate, info.time_base, reader.count) if asked is None else (asked, None, None)
    if asked is not None and reader.length is not None:
        total = max(1, round(reader.length * asked))
    target = Target(
        path=output, comparison=None, sizing=sizing, rate=rate, time_base=unit,
        alpha=job.options.output.behind.clear(info.has_alpha),
        picture=picture, panels=(),
    )  # fmt: skip
    lost, message = 0, ""
    common: dict[str, Any] = {"side_by_side": None, "lost": 0, "size": size, "engine": animator.engine.name}
    heard, drawn_by = sound if sound and sound.present else None, animator.engine.name
    with Outputs(target, job.options.output, heard, job.files(), drawn_by) as outputs:
        try:
            with events.phase("render", total, "Rendering") as phase:
                for (stamp, scene), keypoints in _from(first, scenes):
                    token.check()
                    lost += not scene.faces
                    squares = [square[0] for square in animator.draw(scene, keypoints)]
                    outputs.write(stamp, animator.compose(scene, squares, side), [])
                    phase.advance()
        except CancelledError:
            count, kept = outputs.frames, outputs.abort(keep=True)
            if kept is None:
                raise CancelledError("Stopped; nothing was written.") from None
            text = f"Stopped after {count} frames; what was rendered is in {named(kept)}."
            return RenderReport(
                "cancelled", kept, frames=count, source_lost=lost, seconds=0.0, message=text, **common
            )  # fmt: skip
        outputs.finish(None)
        if reader.problem:
            message = f"{reader.problem} What could be decoded was rendered."
        status: Literal["partial", "done"] = "partial" if message else "done"
        return RenderReport(
            status, output, frames=outputs.frames, source_lost=lost, seconds=0.0, message=message,
            notes=tuple(outputs.notes), **common,
        )  # fmt: skip


def _from(
    first: tuple[Still, Sequence[Keypoints]], rest: Iterator[tuple[Still, Sequence[Keypoints]]]
) -> Iterator[tuple[Still, Sequence[Keypoints]]]:
    yield first
    yield from rest
