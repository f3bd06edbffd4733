"""Driving channels from files: a clip, photo or template is opened, read once, measured and smoothed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.clip_options import WHOLE
from app.errors import UsageError
from app.frames.follow import FaceFollower, read_driving, scratch_track
from app.frames.resources import Resources
from app.frames.templates import fill_track, open_fitting
from app.frames.timings import Timings
from app.media.reader import open_clip
from app.options import parse_rate
from liveportrait.channel import DrivingChannel, choose_reference
from liveportrait.template import MotionTemplate, is_template
from models.choices import LARGEST
from models.messages import Option, about, msg

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.media.clip import ClipReader
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion
    from liveportrait.options import AnimationOptions
    from liveportrait.track import MotionTrack
    from models.tracker import FaceTracker

Progress = Callable[[], AbstractContextManager[Callable[[], object]]]
"""Entered while a clip is read; gives what to call after each frame."""


@contextmanager
def opened_driver(
    path: Path, options: RenderOptions, engine: Engine, *, further: bool = False
) -> Iterator[ClipReader | MotionTemplate]:
    """Open a driving file; arguments as in :func:`read_channel`.

    Raises:
        AppError: It can't be read, or is a template of another engine.
    """
    if is_template(path):
        yield open_fitting(path, engine)
        return
    part = WHOLE if further else options.input.driving_part
    with open_clip(path, *part, rate=parse_rate(options.input.fps), film=True) as clip:
        yield clip


def read_channel(
    path: Path,
    media: ClipReader | MotionTemplate,
    engine: Engine,
    tracker: FaceTracker,
    options: RenderOptions,
    token: CancelToken,
    *,
    further: bool = False,
    resources: Resources | None = None,
    wait: bool = False,
    timings: Timings | None = None,
    progress: Progress = lambda: nullcontext(lambda: None),
    overlap: bool = True,
) -> DrivingChannel:
    """The channel of a driver, the same for files and for live sessions.

    Args:
        path: The driving file.
        media: The same, opened.
        engine: Reads the motion.
        tracker: Finds the face.
        options: As in a render.
        token: Stops the work.
        further: The file drives a part of the face or a further face: all of it is used, and its largest face.
        resources: Keeps the motion that was read.
        wait: Whether to wait for another process that reads the same clip.
        timings: Gets the time of each stage.
        progress: Entered while the clip is read.
        overlap: Whether decoding, tracking and reading run concurrently.

    Raises:
        CancelledError: The work was stopped.
        NoFaceError: No frame has a face.
        UsageError: The requested face or neutral frame does not exist.
    """
    track, chosen = scratch_track(), None
    if further:
        whole = replace(options.input, driving_face="largest", start="", end="", duration="")
        options = replace(options, input=whole)

    def read(clip: ClipReader) -> bool:
        tracker.steady = not options.animation.official
        choice = LARGEST if further else options.input.followed
        follow = FaceFollower(tracker, choice, about(Option("driving_face"), str(path)))
        with progress() as advance:
            read_driving(
                clip, follow, engine, track, timings=timings or Timings(), token=token, advance=advance, overlap=overlap
            )
        return not clip.problem

    try:
        if isinstance(media, MotionTemplate):
            chosen = fill_track(track, media, *options.input.driving_part)
        else:
            (resources or Resources()).motion(path, options, engine, track, lambda: read(media), token, wait=wait)
        with _about_reference():
            return DrivingChannel.of(track, engine, options.animation, further=further, chosen=chosen)
    except BaseException:
        track.close()
        raise


@contextmanager
def _about_reference() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UsageError(msg("{option:reference}: {error}", error)) from None


def neutral_frame(
    track: MotionTrack, engine: Engine, options: AnimationOptions, *, lone: bool
) -> tuple[Motion, int, list[str]]:
    """See liveportrait.channel.choose_reference.

    Raises:
        UsageError: The requested neutral frame does not exist or has no face.
    """
    with _about_reference():
        return choose_reference(track, engine, options, lone)
