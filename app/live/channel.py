"""Read the channel of a driving file in the background, so that the preview shows the motion that is rendered."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.frames.channels import opened_driver, read_channel
from app.live.background import LatestTask
from liveportrait.channel import ChannelPlayer

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.live.context import SessionContext
    from app.options import RenderOptions
    from app.sources.sample import DriverSource
    from liveportrait.engines.base import Engine

DELAY: Final = 1.5  # seconds before a clip is read, to leave the preview alone
REST: Final = 1.5  # seconds of pause per second of work, so that the preview keeps its rate


class ChannelLoader:
    """Reads the channel of the driving file; until it is known, a clip drives like a camera.

    Args:
        context: Receives results, errors of files or options, and warnings about unsuitable neutral frames.

    Attributes:
        current: Plays the channel for the latest request; None while not known.
        delay: Seconds before a clip is read.
        task: The reading.
    """

    def __init__(self, context: SessionContext) -> None:
        self.current: ChannelPlayer | None = None
        self.delay = DELAY
        self.task = LatestTask("live-channel", context.warn)
        self._context = context
        self._known: object = None  # identity of the motion that was read last

    def want(self, engine: Engine, source: DriverSource | None, options: RenderOptions) -> None:
        """Read the channel of a driving file, unless done or in progress; other drivers have none.

        With other options for the same motion, the channel known so far plays until the new one is ready.
        """
        path = None if source is None else source.file
        motion = None if path is None else _identity(engine, path, options)
        rules = options.animation
        request = motion and (motion, rules.reference, rules.relative, rules.smooth, rules.ease_cuts)
        if request == self.task.request:
            return
        self.task.cancel()
        if motion is None or motion != self._known:
            self.current = None
        if path is not None and source is not None:
            delay = self.delay if source.kind == "video" and motion != self._known else 0.0
            self.task.start(request, lambda token: self._work(path, engine, options, motion, delay, token))

    def cancel(self) -> None:
        """Stop reading, and forget the request."""
        self.task.cancel()
        self.current = None

    def _work(
        self, path: Path, engine: Engine, options: RenderOptions, motion: object, delay: float, token: CancelToken
    ) -> None:
        if token.wait(delay):
            return
        context = self._context
        with opened_driver(path, options, engine) as media:
            channel = read_channel(
                path, media, engine, context.tracker(), options, token,
                resources=context.resources, progress=lambda: _paced(token), overlap=False,
            )  # fmt: skip
        token.check()
        self.current, self._known = ChannelPlayer(channel), motion
        context.renew()
        for sentence in channel.neutral.notes:
            context.warn(sentence)


@contextmanager
def _paced(token: CancelToken) -> Iterator[Callable[[], object]]:
    """Pauses after each frame, which leaves the preview its rate."""
    start = time.perf_counter()

    def advance() -> None:
        nonlocal start
        if token.wait(REST * (time.perf_counter() - start)):
            token.check()
        start = time.perf_counter()

    yield advance


def _identity(engine: Engine, path: Path, options: RenderOptions) -> tuple[object, ...]:
    """Identity of a file's motion: its version, and everything that the reading depends on."""
    try:
        facts = path.stat()
        stamp = facts.st_mtime_ns, facts.st_size
    except OSError:  # a pattern of image names
        stamp = 0, 0
    wanted = options.input
    part = wanted.start, wanted.end, wanted.duration, wanted.fps
    chosen = wanted.driving_face, wanted.detector, options.animation.official
    return os.path.abspath(path), stamp, engine.name, engine.family, engine.keypoints, *chosen, *part
