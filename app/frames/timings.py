"""Time per frame of each stage: median, 95th and 99th percentile, in memory that does not grow with the clip."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

LIMIT: Final = 8192  # samples kept per stage


@dataclass(frozen=True)
class StageTime:
    """Time per frame of one stage.

    Attributes:
        count: Frames measured.
        total: Seconds in all.
        median: Milliseconds.
        p95: Milliseconds.
        p99: Milliseconds.
    """

    count: int
    total: float
    median: float
    p95: float
    p99: float = 0.0

    def to_json(self) -> dict[str, float]:
        """The values as JSON, rounded."""
        return {
            "count": self.count,
            "total_s": round(self.total, 4),
            "median_ms": round(self.median, 3),
            "p95_ms": round(self.p95, 3),
            "p99_ms": round(self.p99, 3),
        }


class Timings:
    """Collects durations by stage, from any thread. When full, halves the samples and doubles the step."""

    def __init__(self) -> None:
        self._samples: dict[str, array[float]] = {}
        self._steps: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._totals: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, stage: str, frames: int = 1) -> Iterator[None]:
        """Time a block that processes a number of frames."""
        start = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - start, frames)

    def add(self, stage: str, seconds: float, frames: int = 1) -> None:
        """Add the time that one stage took for some frames."""
        with self._lock:
            samples = self._samples.setdefault(stage, array("d"))
            step = self._steps.setdefault(stage, 1)
            count = self._counts.get(stage, 0)
            if count % step == 0:
                samples.append(seconds / frames)
            if len(samples) >= LIMIT:
                self._samples[stage] = samples[::2]
                self._steps[stage] = step * 2
            self._counts[stage] = count + frames
            self._totals[stage] = self._totals.get(stage, 0.0) + seconds

    def report(self) -> dict[str, StageTime]:
        """Statistics by stage, in the order in which the stages first ran."""
        with self._lock:
            return {
                name: StageTime(
                    self._counts[name],
                    self._totals[name],
                    1000 * percentile(samples, 0.5),
                    1000 * percentile(samples, 0.95),
                    1000 * percentile(samples, 0.99),
                )
                for name, samples in self._samples.items()
            }


def percentile(samples: array[float], share: float) -> float:
    """Value below which this share of the samples lies (linearly interpolated); 0 without samples."""
    if not samples:
        return 0.0
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
