"""Deinterlacing: each frame's two fields, taken at different moments, become one progressive frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Any

import av
import av.filter

Stamped = tuple[Any, "Fraction | None"]  # frame and its time stamp in seconds
PROBED = 24  # frames after which idet has seen enough motion to decide

# idet clears the flag of frames that are in fact progressive and corrects a wrong field order; bwdif then processes the
# frames that are still flagged, and only where the fields differ. Each input frame gives one output frame.
_CHAIN = (("idet", ""), ("bwdif", "mode=send_frame:parity=auto:deint=interlaced"))
_UNIT = Fraction(1, 25)
_PROGRESSIVE = 1  # AV_FIELD_PROGRESSIVE; 2 to 5 are the orders of fields


def has_fields(stream: Any) -> bool:
    """Whether the container or codec declares the whole track interlaced."""
    return getattr(stream.codec_context, "field_order", 0) > _PROGRESSIVE


def deinterlaced(frames: Iterable[Stamped], marked: bool = False) -> Iterator[Stamped]:
    """Deinterlace the decoded frames of a clip; progressive frames pass unchanged.

    Args:
        frames: Decoded frames with their time stamps, in order of display.
        marked: Whether the track is declared interlaced, see ``has_fields``; if not, the frames' own flags decide.

    Yields:
        The same number of frames, with the same time stamps.
    """
    chain: _Chain | None = None
    for frame, stamp in frames:
        if chain is not None and chain.shape != _shape(frame):
            yield from chain.flush()
            chain = None
        if chain is None and (marked or frame.interlaced_frame):
            chain = _Chain.of(frame)
        if chain is None:
            yield frame, stamp
        else:
            yield from chain.push(frame, stamp)
    if chain is not None:
        yield from chain.flush()


def is_interlaced(frames: Iterable[Any], marked: bool = False) -> bool:
    """Whether a clip is really interlaced: declared so, and its first frames are not found progressive."""
    flagged: list[bool] = []
    chain: _Chain | None = None
    for frame in islice(frames, PROBED):
        chain = chain or (_Chain.of(frame, _CHAIN[:1]) if marked or frame.interlaced_frame else None)
        if chain is None or chain.shape != _shape(frame):
            continue
        flagged += [bool(f.interlaced_frame) for f, _ in chain.push(frame, None)]
    if chain is not None:
        flagged += [bool(f.interlaced_frame) for f, _ in chain.flush()]
    return any(flagged[-8:])


def _shape(frame: Any) -> tuple[int, int, Any]:
    return frame.width, frame.height, frame.format.name


class _Chain:
    """A filter graph that gives one frame for each input frame, a few frames later."""

    def __init__(self, frame: Any, filters: tuple[tuple[str, str], ...]) -> None:
        self.shape = width, height, name = _shape(frame)
        self._graph = graph = av.filter.Graph()
        nodes = [graph.add_buffer(width=width, height=height, format=name, time_base=_UNIT)]
        nodes += [graph.add(filter_, args or None) for filter_, args in filters]
        nodes.append(graph.add("buffersink"))
        graph.link_nodes(*nodes).configure()
        self._waiting: dict[int, Stamped] = {}
        self._count = 0

    @classmethod
    def of(cls, frame: Any, filters: tuple[tuple[str, str], ...] = _CHAIN) -> _Chain | None:
        """A graph for frames like this one; None if it is too small or its format does not suit the filters."""
        try:
            return cls(frame, filters)
        except (av.FFmpegError, ValueError, NotImplementedError):
            return None

    def push(self, frame: Any, stamp: Fraction | None) -> Iterator[Stamped]:
        """Frames that are ready, with the time stamps that belong to them."""
        self._waiting[self._count] = frame, stamp
        frame.pts, frame.time_base = self._count, _UNIT
        self._count += 1
        self._graph.push(frame)
        yield from self._pull()

    def flush(self) -> Iterator[Stamped]:
        """The rest, to the last frame."""
        self._graph.push(None)
        yield from self._pull()
        yield from self._waiting.values()
        self._waiting.clear()

    def _pull(self) -> Iterator[Stamped]:
        while True:
            try:
                frame: Any = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            number = round(frame.pts * Fraction(frame.time_base.numerator, frame.time_base.denominator) / _UNIT)
            for earlier in sorted(k for k in self._waiting if k < number):
                yield self._waiting.pop(earlier)
            _, stamp = self._waiting.pop(number, (None, None))
            yield frame, stamp
