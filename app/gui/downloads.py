"""Downloads of model weights: one at a time in a thread, with bytes and speed; they outlive the dialog."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QObject, Signal

from app.gui.threads import Background
from models.download import DownloadCancelledError, download_model, missing_bytes
from models.registry import ModelSpec
from models.weights import import_model

Phase = Literal["idle", "asking", "asked", "waiting", "running", "stopped", "failed", "done"]
TELL = 0.2  # seconds between progress reports
SPAN = 5.0  # seconds over which the speed is measured


@dataclass(frozen=True)
class Transfer:
    """State of a download.

    Attributes:
        phase: "asking" and "asked": for its size; "waiting": for another download; "stopped": by the user.
        total: Bytes to fetch, or None if the source does not report the size.
        fetched: Bytes fetched since the start.
        speed: Bytes per second, 0 while not known.
        file: Current file.
        error: Why it failed, or None.
    """

    phase: Phase = "idle"
    total: int | None = None
    fetched: int = 0
    speed: float = 0.0
    file: str = ""
    error: Exception | None = None

    @property
    def seconds_left(self) -> float | None:
        """Remaining seconds, or None while not known."""
        if self.total is None or self.speed <= 0:
            return None
        return max(0, self.total - self.fetched) / self.speed


class _Meter:
    """Counts the bytes of all files of a model and measures their speed."""

    def __init__(self) -> None:
        self._done: dict[str, tuple[int, int]] = {}
        self._recent: deque[tuple[float, int]] = deque()

    def count(self, name: str, done: int, now: float) -> tuple[int, float]:
        """Update the byte count of a file; returns the bytes fetched so far and bytes per second."""
        first, _ = self._done.get(name, (done, done))
        self._done[name] = first, done
        fetched = sum(last - begin for begin, last in self._done.values())
        self._recent.append((now, fetched))
        while now - self._recent[0][0] > SPAN:
            self._recent.popleft()
        span = now - self._recent[0][0]
        return fetched, (fetched - self._recent[0][1]) / span if span > 0.5 else 0.0


class Downloads(QObject):
    """All downloads of the program.

    Args:
        parent: Owner.
        hubs: See models.download.

    Signals:
        changed: Name of a model whose transfer changed.
        arrived: Name of a model that is now complete.
    """

    changed = Signal(str)
    arrived = Signal(str)
    _poked = Signal(str)

    def __init__(self, parent: QObject | None = None, hubs: Sequence[str] | None = None) -> None:
        super().__init__(parent)
        self._work = Background(self, threads=1)
        self._asking = Background(self, threads=1)
        self._hubs = hubs
        self._lock = threading.Lock()
        self._transfers: dict[str, Transfer] = {}
        self._stops: dict[str, threading.Event] = {}
        self._poked.connect(self.changed)

    def transfer(self, name: str) -> Transfer:
        """State of a model's download."""
        with self._lock:
            return self._transfers.get(name, Transfer())

    @property
    def running(self) -> list[str]:
        """Names of models that are being fetched or are waiting."""
        with self._lock:
            return [name for name, t in self._transfers.items() if t.phase in ("waiting", "running")]

    def ask_size(self, spec: ModelSpec) -> None:
        """Ask the source how large a download would be."""
        self._set(spec.name, Transfer("asking"))
        self._asking.run(
            lambda: missing_bytes(spec, hubs=self._hubs),
            lambda size: self._set(spec.name, Transfer("asked", size)),
            lambda error, _: self._set(spec.name, Transfer("failed", error=error)),
        )

    def start(self, spec: ModelSpec) -> None:
        """Fetch a model whose licence the user has accepted."""
        name, stop, meter, shown = spec.name, threading.Event(), _Meter(), [0.0]
        self._stops[name] = stop
        self._set(name, replace(self.transfer(name), phase="waiting", fetched=0, error=None))

        def progress(file: str, done: int, _: int | None) -> None:
            now = time.monotonic()
            fetched, speed = meter.count(file, done, now)
            with self._lock:
                self._transfers[name] = replace(
                    self._transfers[name], phase="running", file=file, fetched=fetched, speed=speed
                )
            if now - shown[0] > TELL:
                shown[0] = now
                self._poke(name)

        def work() -> object:
            return download_model(
                spec, accept_licence=True, hubs=self._hubs, progress=progress, cancelled=stop.is_set
            )  # fmt: skip

        self._run(name, work)

    def import_folder(self, spec: ModelSpec, folder: Path) -> None:
        """Import a model's files from a folder."""
        self._set(spec.name, Transfer("waiting"))
        self._run(spec.name, lambda: import_model(spec, folder))

    def cancel(self, name: str) -> None:
        """Stop a download; the data received so far are kept."""
        stop = self._stops.get(name)
        if stop is not None:
            stop.set()

    def close(self) -> bool:
        """Stop all downloads and wait until they have ended."""
        for stop in list(self._stops.values()):
            stop.set()
        self._work.drop()
        self._asking.drop()
        return self._work.wait(40_000) and self._asking.wait(40_000)

    def _run(self, name: str, work: Callable[[], object]) -> None:
        def done(_: object) -> None:
            self._set(name, replace(self.transfer(name), phase="done"))
            self.arrived.emit(name)

        def failed(error: Exception, _: str) -> None:
            if isinstance(error, DownloadCancelledError):
                self._set(name, replace(self.transfer(name), phase="stopped"))
            else:
                self._set(name, replace(self.transfer(name), phase="failed", error=error))

        self._work.run(work, done, failed)

    def _set(self, name: str, transfer: Transfer) -> None:
        with self._lock:
            self._transfers[name] = transfer
        self.changed.emit(name)

    def _poke(self, name: str) -> None:
        try:
            self._poked.emit(name)
        except RuntimeError:  # the window was deleted
            return
