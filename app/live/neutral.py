"""Find the neutral frame of a driving clip in advance, so that the preview uses the same reference as a render."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import NoFaceError
from app.frames.follow import FaceFollower, read_driving, scratch_track
from app.frames.follow import find_neutral as measure
from app.frames.resources import Resources
from app.frames.timings import Timings
from app.live.background import LatestTask
from app.media.reader import open_clip
from app.options import parse_rate
from liveportrait.channel import Neutral, reference_rule

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.live.context import SessionContext
    from app.live.engine import Trackers
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine
    from models.tracker import FaceTracker

DELAY: Final = 1.5  # seconds before the search starts, to leave the preview alone
REST: Final = 1.5  # seconds of pause per second of work, so that the preview keeps its rate
LONGEST: Final = 600  # seconds of a clip that are examined at most
KEPT: Final = 32  # number of clips whose neutral frame is cached


class _LongEnoughError(Exception):
    """The clip has been read up to the limit."""


def find_neutral(
    path: Path,
    engine: Engine,
    tracker: FaceTracker,
    options: RenderOptions,
    token: CancelToken,
    *,
    resources: Resources | None = None,
    rest: float = 0.0,
    longest: float = LONGEST,
    early: Callable[[Neutral], None] = lambda _: None,
) -> Neutral | None:
    """Find the neutral frame of a clip; it is read as for a render, which can reuse the cached motion.

    Args:
        path: The clip.
        engine: Reads the motion.
        tracker: Finds the face.
        options: reference, official, driving_face, fps and the part of the driving clip are used.
        token: Cancels the search.
        resources: Caches the motion.
        rest: Seconds to pause per second of work.
        longest: Seconds of the clip to examine.
        early: Receives the neutral frame as soon as it is known; the clip is then read further to assess the choice.

    Returns:
        The neutral frame, and those of shots; None if no frame shows a face.

    Raises:
        CancelledError: The search was cancelled.
        AppError: The clip can't be read, or the requested frame or face does not exist.
    """
    token.check()
    rule, start = reference_rule(options.animation), time.perf_counter()
    with (
        closing(scratch_track()) as track,
        open_clip(path, *options.input.driving_part, rate=parse_rate(options.input.fps), film=True) as clip,
    ):

        def advance() -> None:
            nonlocal start
            last = len(track) - 1
            if track.seen(last) and (str(last) == rule or (rule == "first" and track.found == 1)):
                early(Neutral(track.motion(last), last))
            if token.wait(rest * (time.perf_counter() - start)):
                token.check()
            start = time.perf_counter()
            if track.times[-1] + 1 / clip.info.rate > longest:
                raise _LongEnoughError

        def read() -> bool:
            tracker.steady = not options.animation.official
            follow = FaceFollower(tracker, options.input.followed)
            read_driving(clip, follow, engine, track, timings=Timings(), token=token, advance=advance, overlap=False)
            return not clip.problem

        try:
            (resources or Resources()).motion(path, options, engine, track, read, token, wait=False)
        except NoFaceError:
            return None
        except _LongEnoughError:
            if not track.found:
                return None
        return measure(track, engine, options.animation)


class NeutralFinder:
    """Finds neutral frames in the background and caches them.

    Args:
        context: Receives results, errors of clips or options, and warnings about unsuitable frames.
        trackers: Find faces.
        resources: Caches the motion.

    Attributes:
        current: The frame for the latest request, or None while not known.
        delay: Seconds before a search begins.
        task: The search.
    """

    def __init__(self, context: SessionContext, trackers: Trackers, resources: Resources) -> None:
        self.current: Neutral | None = None
        self.delay = DELAY
        self.task = LatestTask("live-neutral", context.warn)
        self._context = context
        self._trackers = trackers
        self._resources = resources
        self._known: OrderedDict[object, Neutral] = OrderedDict()

    def want(self, engine: Engine, path: Path | None, options: RenderOptions) -> None:
        """Search the neutral frame of a clip, unless done or in progress; None searches nothing."""
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
        """Stop searching, and forget the request."""
        self.task.cancel()
        self.current = None

    def _take(self, neutral: Neutral) -> None:
        self.current = neutral
        self._context.renew()

    def _work(self, request: object, engine: Engine, path: Path, options: RenderOptions, token: CancelToken) -> None:
        if token.wait(self.delay):
            return

        def early(neutral: Neutral) -> None:
            if not token.cancelled:
                self._take(neutral)

        tracker = self._trackers.get_any()
        neutral = find_neutral(path, engine, tracker, options, token, resources=self._resources, rest=REST, early=early)
        if neutral is None or token.cancelled:
            return
        self._known[request] = neutral
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        self._take(neutral)
        for sentence in neutral.notes:
            self._context.warn(sentence)


def _identity(engine: Engine, path: Path, options: RenderOptions) -> tuple[object, ...]:
    """Cache key of a clip, its version, and everything that its neutral frame depends on."""
    try:
        facts = path.stat()
        stamp = facts.st_mtime_ns, facts.st_size
    except OSError:  # a pattern of image names
        stamp = 0, 0
    wanted = options.input
    chosen = wanted.driving_face, wanted.detector, reference_rule(options.animation), options.animation.official
    part = wanted.start, wanted.end, wanted.duration, wanted.fps
    return os.path.abspath(path), stamp, engine.name, engine.family, engine.keypoints, *chosen, *part
