"""Speech templates (.speech): facial motion for a voice, saved as an expression track that drives every engine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import CancelledError, UsageError
from app.frames.voices import SUFFIX, TrackDriver, open_track, open_voice, save_track
from app.media import files
from app.render.job import files_of, make_folder
from app.render.template import TemplateReport, template_path
from models.messages import msg

if TYPE_CHECKING:
    from app.clip_options import Part
    from app.events import CancelToken, EventStream
    from app.options import RenderOptions


def speech_driver(driving: Path, options: RenderOptions) -> TrackDriver | None:
    """The driver for a speech template; None if a motion template is requested.

    A sound file or keyframes always give a speech template; a video does if the output's name ends in .speech.

    Raises:
        AppError: The file can't be read.
    """
    part: Part = options.input.driving_part
    if Path(options.output.output).suffix.lower() != SUFFIX:
        return open_track(driving, part)
    return open_track(driving, part) or open_voice(driving, part)


def make_speech(
    driver: TrackDriver,
    options: RenderOptions,
    events: EventStream,
    token: CancelToken,
    settings: tuple[Path, ...] = (),
) -> TemplateReport:
    """Write a speech template.

    Args:
        driver: A voice or an expression track.
        options: output, overwrite, idle and speech_gain are used.
        events: Receives messages.
        token: Stops the work; then nothing is written.
        settings: Files that the options were read from, which are never replaced.

    Raises:
        AppError: Nothing was written.
    """
    started = time.perf_counter()
    output = template_path(driver.path, options, SUFFIX)
    if output.is_file() and not options.output.overwrite:
        raise UsageError(
            msg("{output} already exists.", output),
            msg("Add {option:overwrite} to replace it, or choose another name."),
        )
    make_folder(output, options.output.output)
    files.check_output(output, options.output.overwrite, [driver.path, *files_of(options), *settings])
    wanted = options.input
    try:
        track, _, note = driver.played(
            idle=wanted.liveliness, gain=wanted.speech_gain, smile=0.0, loop=False, check=token.check
        )
    except CancelledError:
        raise CancelledError("Stopped; nothing was written.") from None
    if note:
        events.warn(note)
    save_track(output, track)
    count = max((len(channel.times) for channel in track.channels.values()), default=0)
    notes = (note,) if note else ()
    return TemplateReport(output, count, 0, 0, "any", time.perf_counter() - started, "", notes)
