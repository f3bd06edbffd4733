"""Statistics of a live session: frame rate and capture-to-shown latency from time stamps, dropped frames."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.frames.timings import StageTime, Timings
from app.media.camera import CameraFacts, RateMeter

RECENT: Final = 90  # number of latencies used for the value on screen


class SinkMeter:
    """Measures what one sink has shown. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meter = RateMeter()
        self._timings = Timings()
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._first: float | None = None  # capture time of the first and last driving frame shown
        self._last = 0.0
        self._fresh = 0
        self.shown = 0

    def record(self, now: float, captured: float, fresh: bool) -> None:
        """Count a frame.

        Args:
            now: Seconds on the clock at which it was shown.
            captured: Capture time of its driving frame.
            fresh: Whether it shows a new driving frame; others are not used for latency.
        """
        with self._lock:
            self.shown += 1
            self._meter.tick(now)
            if fresh:
                self._first = captured if self._first is None else self._first
                self._last = captured
                self._fresh += 1
                self._timings.add("latency", now - captured)
                self._recent.append(now - captured)

    @property
    def fps(self) -> float:
        """Frames per second over the last two seconds."""
        with self._lock:
            return self._meter.rate

    @property
    def mean_fps(self) -> float:
        """Driving frames shown per second, over the time from the first to the last."""
        with self._lock:
            return (self._fresh - 1) / self._span if self._span > 0 else 0.0

    @property
    def seconds(self) -> float:
        """Seconds from the first to the last driving frame shown."""
        with self._lock:
            return self._span

    @property
    def _span(self) -> float:
        return self._last - self._first if self._first is not None else 0.0

    @property
    def latency(self) -> StageTime | None:
        """Latency over the whole session, or None."""
        return self._timings.report().get("latency")

    @property
    def recent_latency(self) -> float:
        """Median of the last latencies in seconds, 0 if there are none."""
        with self._lock:
            values = sorted(self._recent)
        return values[len(values) // 2] if values else 0.0


@dataclass(frozen=True)
class SinkInfo:
    """One sink, for display.

    Attributes:
        name: Its name, unique in the session.
        status: waiting (not started), running or failed.
        message: Why it failed, or a note.
        shown: Frames shown.
        dropped: Frames dropped because it was too slow.
        fps: Frames per second over the last two seconds.
        latency_ms: Capture to shown, median of the last frames.
        retrying: It failed, and will be opened again after a while.
    """

    name: str
    status: str
    message: str = ""
    shown: int = 0
    dropped: int = 0
    fps: float = 0.0
    latency_ms: float = 0.0
    retrying: bool = False


@dataclass(frozen=True)
class LiveStats:
    """A snapshot of a session's statistics.

    Attributes:
        state: State of the session.
        fps: Frames shown per second over the last two seconds.
        mean_fps: Driving frames shown per second over the whole session.
        latency_ms: Capture to shown, median of the last frames, in milliseconds.
        latency_ms_median: The same over the whole session.
        latency_ms_p95: 95th percentile over the whole session.
        captured: Frames received from the driver.
        shown: Frames shown by the first sink.
        dropped: Captured frames that were never shown because something was too slow.
        lost: Frames in which the driver's face was not detected.
        crop: Side of the crop in pixels.
        engine: Name of the engine, empty before it is loaded.
        camera: Requested, reported and measured mode, or None.
        sinks: All sinks.
        stages: Time per frame of "track", "render" and "paste".
        seconds: From the first to the last driving frame shown.
    """

    state: str
    fps: float = 0.0
    mean_fps: float = 0.0
    latency_ms: float = 0.0
    latency_ms_median: float = 0.0
    latency_ms_p95: float = 0.0
    captured: int = 0
    shown: int = 0
    dropped: int = 0
    lost: int = 0
    crop: int = 0
    engine: str = ""
    camera: CameraFacts | None = None
    sinks: tuple[SinkInfo, ...] = ()
    stages: dict[str, StageTime] = field(default_factory=dict)
    seconds: float = 0.0

    def shown_by(self, meter: SinkMeter) -> LiveStats:
        """The same with the rate and latency of a sink."""
        latency = meter.latency
        return replace(
            self,
            fps=meter.fps,
            mean_fps=meter.mean_fps,
            latency_ms=1000 * meter.recent_latency,
            latency_ms_median=latency.median if latency is not None else 0.0,
            latency_ms_p95=latency.p95 if latency is not None else 0.0,
            shown=meter.shown,
            seconds=meter.seconds,
        )

    def to_json(self) -> dict[str, Any]:
        """The statistics as a JSON object (described in docs/live.md)."""
        return {
            "fps": round(self.mean_fps, 2),
            "latency_ms_median": round(self.latency_ms_median, 2),
            "latency_ms_p95": round(self.latency_ms_p95, 2),
            "dropped": self.dropped,
            "captured": self.captured,
            "shown": self.shown,
            "lost": self.lost,
            "seconds": round(self.seconds, 3),
            "engine": self.engine,
            "crop": self.crop,
            "camera": None if self.camera is None else _camera_json(self.camera),
            "sinks": {
                s.name: {
                    "status": s.status, "shown": s.shown, "dropped": s.dropped, "fps": round(s.fps, 2),
                    "latency_ms": round(s.latency_ms, 2), "message": s.message,
                }
                for s in self.sinks
            },
            "stages": {name: stage.to_json() for name, stage in self.stages.items()},
        }  # fmt: skip


def _camera_json(facts: CameraFacts) -> dict[str, Any]:
    modes = {
        name: {"width": m.width, "height": m.height, "rate": round(m.rate, 2), "mjpg": m.mjpg}
        for name, m in (("asked", facts.asked), ("reported", facts.reported), ("measured", facts.measured))
    }
    return {"name": facts.name, "backend": facts.backend, **modes}
