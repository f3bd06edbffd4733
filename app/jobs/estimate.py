"""Progress of jobs, individually and in total, their remaining time, and the memory they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from app.errors import AppError
from app.jobs.record import ENDED, JobRecord

LEAST: Final = 0.02  # progress of a running job from which its time can be estimated
# Measured with the mesh engine: a worker uses 250 to 300 MB for a portrait of 640x800 pixels, 907 MB for 12 million.
BASE_BYTES: Final = 300_000_000
PIXEL_BYTES: Final = 50
LOOKED_AT: Final = 200  # number of sources whose headers are read


@dataclass(frozen=True)
class Overall:
    """Overall progress of some jobs.

    Attributes:
        ended: Number of jobs that have ended, successfully or not.
        total: Number of jobs.
        share: Fraction of the work that is done, 0 to 1.
        seconds: Remaining time, None if it can't be estimated yet.
    """

    ended: int
    total: int
    share: float
    seconds: float | None


def seconds_left(job: JobRecord, now: float) -> float | None:
    """Remaining time of a running job, None if it can't be estimated yet.

    Args:
        job: The job.
        now: Seconds since 1970.
    """
    if job.state != "running" or job.started is None:
        return None
    if job.progress is not None and job.progress.phase == "render" and job.progress.eta is not None:
        return max(0.0, job.progress.eta)
    passed = now - job.started
    return None if job.share < LEAST or passed <= 0 else passed * (1 - job.share) / job.share


def overall(jobs: Sequence[JobRecord], now: float) -> Overall:
    """Overall progress of some jobs; a waiting one is assumed to take as long as the rendered ones.

    Args:
        jobs: The jobs.
        now: Seconds since 1970.
    """
    ended = [job for job in jobs if job.state in ENDED]
    running = [(job, seconds_left(job, now)) for job in jobs if job.state == "running"]
    waiting = len(jobs) - len(ended) - len(running)
    lengths = [job.seconds for job in ended if job.state == "done" and job.seconds > 0]
    lengths += [now - job.started + left for job, left in running if left is not None and job.started is not None]
    share = (len(ended) + sum(job.share for job, _ in running)) / len(jobs) if jobs else 1.0
    seconds = None
    known = [left for _, left in running if left is not None]
    if lengths or not (waiting or running):
        typical = sum(lengths) / len(lengths) if lengths else 0.0
        abreast = max(1, len(running))
        seconds = (sum(known) + (waiting + len(running) - len(known)) * typical) / abreast
    return Overall(len(ended), len(jobs), share, seconds)


def worker_bytes(sources: Iterable[Path], size: Callable[[Path], tuple[int, int]] | None = None) -> int:
    """Memory in bytes that a worker needs for the largest of some sources; unreadable ones are ignored.

    Only the headers of the first 200 distinct sources are read.

    Args:
        sources: Source of each job.
        size: Returns (width, height) of a file; by default as declared in its header.
    """
    from app.media.headers import declared_size

    measure = size or declared_size
    most = 0
    for source in islice(dict.fromkeys(sources), LOOKED_AT):
        try:
            width, height = measure(source)
        except (AppError, OSError, ValueError):
            continue
        most = max(most, width * height)
    return BASE_BYTES + PIXEL_BYTES * most
