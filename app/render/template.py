"""Motion templates: read one in place of a driving clip, and make one from a clip."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import CancelledError, ExitCode, UsageError
from app.frames.channels import neutral_frame
from app.frames.follow import FaceFollower, read_driving, scratch_track
from app.frames.resources import Resources
from app.frames.timings import Timings
from app.loading import interruptible
from app.media import files
from app.media.reader import open_clip
from app.media.streams import STDOUT
from app.options import parse_rate
from app.render.job import files_of, make_folder, name_fields, result_path
from liveportrait.template import SUFFIX, save_track
from models.messages import Option, about, msg

if TYPE_CHECKING:
    from app.events import CancelToken, EventStream
    from app.options import RenderOptions


@dataclass(frozen=True)
class TemplateReport:
    """Report of a new template.

    Attributes:
        output: The file.
        frames: Frames in it.
        lost: Frames among them without a face.
        reference: The neutral frame.
        engine: Engine that read the motion.
        seconds: Duration.
        message: One sentence if the clip was truncated, else empty.
        notes: Further sentences.
    """

    output: Path
    frames: int
    lost: int
    reference: int
    engine: str
    seconds: float
    message: str = ""
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """5 if the clip was truncated, else 0."""
        return ExitCode.PARTIAL if self.message else ExitCode.OK

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "status": "partial" if self.message else "done",
            "exit_code": int(self.exit_code),
            "output": str(self.output),
            "frames": self.frames,
            "lost": self.lost,
            "reference": self.reference,
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }


def make_template(
    driving: Path, options: RenderOptions, events: EventStream, token: CancelToken, settings: tuple[Path, ...] = ()
) -> TemplateReport:
    """Read the motion of a clip into a template file.

    Args:
        driving: The clip.
        options: output, overwrite, driving_face, fps (of image sequences), reference, engine and device are used.
        events: Receives progress and messages.
        token: Stops the work; then nothing is written.
        settings: Files that the options were read from, which are never replaced.

    Raises:
        AppError: Nothing was written; the sentence says why.
    """
    started = time.perf_counter()
    output = template_path(driving, options)
    with open_clip(driving, *options.input.driving_part, rate=parse_rate(options.input.fps), film=True) as reader:
        if output.is_file() and not options.output.overwrite:
            raise UsageError(
                msg("{output} already exists.", output),
                msg("Add {option:overwrite} to replace it, or choose another name."),
            )
        make_folder(output, options.output.output)
        files.check_output(output, options.output.overwrite, [driving, *files_of(options), *settings])
        resources = Resources()
        engine = interruptible(
            lambda step: resources.engine(options, events.info, events.warn, step), token, events.info,
            "Loading the engine",
        )  # fmt: skip
        tracker = interruptible(
            lambda _: resources.tracker(options.input.finder), token, events.info, "Loading the face detector"
        )
        tracker.steady = not options.animation.official
        follow = FaceFollower(tracker, options.input.followed, about(Option("driving_face"), str(driving)))
        with closing(scratch_track()) as track:
            try:
                with events.phase("track", reader.count, "Reading motion") as phase:
                    read_driving(reader, follow, engine, track, timings=Timings(), token=token, advance=phase.advance)
                _, reference, sentences = neutral_frame(track, engine, options.animation, lone=len(track) == 1)
                facts = {"file": driving.name} | (
                    {"reference": "chosen"} if options.animation.reference != "auto" else {}
                )
                save_track(output, track, reader.info.rate, reference, facts)
            except CancelledError:
                raise CancelledError("Stopped; nothing was written.") from None
            except OSError as error:
                raise files.write_error(output, error) from error
        for sentence in sentences:
            events.warn(sentence)
        if track.lost:
            sentences.append(f"{driving}: no face was found in {track.lost} of {len(track)} frames.")
            events.warn(sentences[-1])
        message = f"{reader.problem} The template holds what could be decoded." if reader.problem else ""
        return TemplateReport(
            output, len(track), track.lost, reference, engine.name, time.perf_counter() - started, message,
            tuple(sentences),
        )  # fmt: skip


def template_path(driving: Path, options: RenderOptions, suffix: str = SUFFIX) -> Path:
    """Path of a template: the given name, or the clip's in the current folder.

    Raises:
        UsageError: The name does not have the extension.
    """
    fields = name_fields(driving=driving, engine=options.program.engine)
    path = result_path(options.output.output, fields, "{driving}", suffix)
    if path == STDOUT:
        raise UsageError(
            msg("{option:output}: motion templates can't go to standard output."),
            msg("Choose a file name that ends in {suffix}.", suffix),
        )
    if path.suffix.lower() != suffix:
        raise UsageError(
            msg("{option:output}: {path} is not the name of a motion template.", path)
            if suffix == SUFFIX
            else msg("{option:output}: {path} is not the name of a speech template.", path),
            msg("End it in {suffix}.", suffix),
        )
    return path
