"""The neutral frame of a clip that drives, found ahead: the preview is measured from the frame that a render takes."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.frames.follow import FaceFollower, neutral_frame, scratch_track
from app.live.background import LatestTask
from app.media.reader import open_clip
from liveportrait.channel import reference_rule
from liveportrait.driving import DrivingReader

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.live.context import SessionContext
    from app.live.engine import Trackers
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion
    from models.tracker import FaceTracker

DELAY: Final = 1.5  # seconds that the preview is left alone at first
REST: Final = 1.5  # seconds of rest for each second of work, so that the preview keeps its rate
LONGEST: Final = 600  # seconds of a clip that are looked at
KEPT: Final = 32  # clips whose neutral frame is remembered


def find_neutral(
    path: Path,
    engine: Engine,
    tracker: FaceTracker,
    options: RenderOptions,
    token: CancelToken,
    *,
    rest: float = 0.0,
    longest: float = LONGEST,
    early: Callable[[Motion], None] = lambda _: None,
) -> tuple[Motion | None, list[str]]:
    """The frame (N = 1) of a clip that its motion is measured from.

    Args:
        path: The clip.
        engine: Reads the motion.
        tracker: Finds the face.
        options: reference, official, driving_face and the part of the driving clip are used.
        token: Ends the search.
        rest: Seconds to wait for each second of work.
        longest: Seconds of the clip to look at.
        early: Gets the frame as soon as it is known; the clip is then read on to judge the choice.

    Returns:
        The frame, None after a stop or where no frame shows a face; and sentences on the choice.

    Raises:
        AppError: The clip can't be read, or the frame or face that is asked for does not exist.
    """
    choice = reference_rule(options.animation)
    with (
        closing(scratch_track()) as track,
        open_clip(path, *options.input.driving_part, film=True) as clip,
    ):
        tracker.steady = not options.animation.official
        follow, reader = FaceFollower(tracker, options.input.followed), DrivingReader(engine)
        known: Motion | None = None
        start = time.perf_counter()
        for frame in clip:
            if frame.time > longest:
                break
            face = follow(frame.rgb)
            track.append(frame.time, None if face is None else reader.read(frame.rgb, face))
            last = len(track) - 1
            if known is None and track.seen(last) and choice in ("first", str(last)):
                known = track.motion(last)
                early(known)
            if token.wait(rest * (time.perf_counter() - start)):
                return None, []
            start = time.perf_counter()
        if not track.found:
            return None, []
        motion = replace(options.animation, reference=choice)
        chosen, _, notes = neutral_frame(track, engine, motion, lone=clip.info.kind == "image")
        return known or chosen, notes


class NeutralFinder:
    """Finds neutral frames in the background; what was found is kept.

    Args:
        context: Told of what was found, of a clip or option that doesn't fit, and of a frame that is a bad choice.
        trackers: Find faces.

    Attributes:
        current: The frame that the latest request asks for, or None while it is not known.
        delay: Seconds before a search begins.
        task: The search.
    """

    def __init__(self, context: SessionContext, trackers: Trackers) -> None:
        self.current: Motion | None = None
        self.delay = DELAY
        self.task = LatestTask("live-neutral", context.warn)
        self._context = context
        self._trackers = trackers
        self._known: OrderedDict[object, Motion] = OrderedDict()

    def want(self, engine: Engine, path: Path | None, options: RenderOptions) -> None:
        """Look for the neutral frame of a clip, unless that is done or under way; None looks for nothing."""
        request = None if path is None else _identity(engine, path, options)
        if request == self.task.request:
            return
        self.cancel()
        if path is None or request is None:
            return
        if request in self._known:
            self._known.move_to_end(request)
            self.task.request = request
            self._take(self._known[request])
        else:
            self.task.start(request, lambda token: self._work(request, engine, path, options, token))

    def cancel(self) -> None:
        """Stop looking, and forget the request."""
        self.task.cancel()
        self.current = None

    def _take(self, motion: Motion) -> None:
        self.current = motion
        self._context.renew()

    def _work(self, request: object, engine: Engine, path: Path, options: RenderOptions, token: CancelToken) -> None:
        if token.wait(self.delay):
            return

        def early(motion: Motion) -> None:
            if not token.cancelled:
                self._take(motion)

        motion, notes = find_neutral(path, engine, self._trackers.get_any(), options, token, rest=REST, early=early)
        if motion is None or token.cancelled:
            return
        self._known[request] = motion
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        self._take(motion)
        for sentence in notes:
            self._context.warn(sentence)


def _identity(engine: Engine, path: Path, options: RenderOptions) -> tuple[object, ...]:
    """Tells a clip, also from what it was before it changed, and all that its neutral frame depends on."""
    try:
        facts = path.stat()
        stamp = facts.st_mtime_ns, facts.st_size
    except OSError:  # a pattern of picture names
        stamp = 0, 0
    wanted = options.input
    chosen = wanted.driving_face, wanted.detector, reference_rule(options.animation), options.animation.official
    part = wanted.start, wanted.end, wanted.duration
    return os.path.abspath(path), stamp, engine.name, engine.family, engine.keypoints, *chosen, *part
