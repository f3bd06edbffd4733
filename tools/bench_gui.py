"""Measure the running window: frames on screen, latency from capture to screen, threads and memory.

    python tools/bench_gui.py                                   # the sample at 30 frames/s, mesh engine, 512 crop, 60 s
    xvfb-run -a python tools/bench_gui.py --platform xcb        # on an X server instead of Qt's offscreen platform
    python tools/bench_gui.py --seconds 10 --json result.json

The driver is a clip played as a camera at --rate. A frame counts as shown once the preview has painted it; its latency
is the time since its driving frame arrived. Every three seconds a slider is moved and another view is selected, as a
user would. The crop size is fixed. The first --warm seconds don't count. The exit code is 1 if a limit is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MEMORY_GROWTH = 24  # MB that the second half may use more than the first
EVERY = 0.5  # seconds between samples of threads and memory


@dataclass
class Sample:
    """A sample of the process."""

    at: float
    threads: int
    memory: float


@dataclass
class Figures:
    """The measurements.

    Attributes:
        shown: Times at which frames were painted.
        delays: Seconds from capture to paint of each.
        samples: Samples of the process.
        crops: Crop sizes that were used.
        busy: CPU seconds of the longest events in the window's thread.
    """

    shown: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    crops: set[int] = field(default_factory=set)
    busy: list[float] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """The report."""
        span = self.shown[-1] - self.shown[0] if len(self.shown) > 1 else 0.0
        delays = 1000 * np.array(self.delays or [0.0])
        half = len(self.samples) // 2
        early, late = self.samples[:half], self.samples[half:]
        memory = [float(np.median([s.memory for s in part])) if part else 0.0 for part in (early, late)]
        threads = [int(np.median([s.threads for s in part])) if part else 0 for part in (early, late)]
        return {
            "fps": round((len(self.shown) - 1) / span, 2) if span else 0.0,
            "latency_ms_median": round(float(np.median(delays)), 1),
            "latency_ms_p95": round(float(np.percentile(delays, 95)), 1),
            "latency_ms_max": round(float(delays.max()), 1),
            "frames": len(self.shown),
            "seconds": round(span, 2),
            "crop": sorted(self.crops),
            "threads": threads,
            "memory_mb": [round(m, 1) for m in memory],
            "longest_event_ms": round(1000 * max(self.busy, default=0.0), 1),
        }


def memory_mb() -> float:
    """Resident memory of this process in MB."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def thread_count() -> int:
    """Number of threads of this process, including those not started by Python."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def enlarged(portrait: Path, folder: Path, crop: int) -> Path:
    """The portrait, enlarged if its crop would have fewer pixels than requested."""
    import cv2

    from app.media.images import read_image, write_image

    rgb = read_image(portrait).rgb
    scale = 2.5 * crop / max(rgb.shape[:2])
    if scale > 1:
        rgb = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    path = folder / "portrait.png"
    write_image(path, rgb)
    return path


def faults(result: dict[str, Any], rate: float) -> list[str]:
    """Exceeded limits, one sentence each."""
    found = []
    if result["fps"] < 0.99 * rate:
        found.append(f"{result['fps']} frames/s instead of {rate:g}")
    if result["latency_ms_median"] >= 60:
        found.append(f"{result['latency_ms_median']} ms from capture to screen; 60 is the limit")
    if result["threads"][1] > result["threads"][0]:
        found.append(f"threads grew from {result['threads'][0]} to {result['threads'][1]}")
    if result["memory_mb"][1] > result["memory_mb"][0] + MEMORY_GROWTH:
        found.append(f"memory grew from {result['memory_mb'][0]} to {result['memory_mb'][1]} MB")
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Open the window, run it, and close it."""
    from PySide6.QtCore import QEvent, QObject, QTimer
    from PySide6.QtWidgets import QApplication

    from app.gui.main import Program, Start
    from app.live import file_source

    figures = Figures()

    class Watched(QApplication):
        """Measures the CPU time of each event in the window's thread."""

        depth = 0

        def notify(self, receiver: QObject, event: QEvent) -> bool:
            """Deliver an event."""
            if self.depth or threading.current_thread() is not threading.main_thread():
                return super().notify(receiver, event)
            self.depth, begin = 1, time.thread_time()
            try:
                return super().notify(receiver, event)
            finally:
                self.depth = 0
                figures.busy.append(time.thread_time() - begin)
                if len(figures.busy) > 4096:
                    figures.busy = sorted(figures.busy)[-64:]

    app = Watched([sys.argv[0]])
    width, _, height = options.size.partition("x")
    program = Program(Start(files=(options.portrait.resolve(),), size=(int(width), int(height)), language="en"))
    studio, window = program.studio, program.window
    studio.change(lambda s: s.with_value("max_crop", options.crop).with_value("engine", options.engine), "bench")
    studio.set_live_option("adapt", False)
    began = [0.0]
    painted = window.preview.painted

    def frame() -> None:
        shown, now = studio.shown, studio.live.clock()
        if shown is None or not shown.frame.fresh or not began[0] or now - began[0] < options.warm:
            return
        figures.shown.append(now)
        figures.delays.append(now - shown.frame.time)

    def look() -> None:
        now = studio.live.clock()
        if began[0] and now - began[0] >= options.warm:
            figures.samples.append(Sample(now, thread_count(), memory_mb()))
            figures.crops.add(studio.stats().crop)

    step = [0]

    def act() -> None:
        """Simulate the user."""
        step[0] += 1
        studio.set_slider("smile", 0.5 * (step[0] % 2))
        window.actions_[("view_result", "view_side", "view_over")[step[0] % 3]].trigger()

    def begin() -> None:
        began[0] = studio.live.clock()
        figures.busy.clear()

    def drive() -> None:
        studio.live.set_driver(file_source(options.driver, rate=Fraction(options.rate).limit_denominator(1001)))

    painted.connect(frame)
    timers: list[tuple[float, Callable[[], None], bool]] = [
        (1.0, drive, True), (2.0, begin, True), (EVERY, look, False), (3.0, act, False),
        (2.0 + options.warm + options.seconds, window.close, True),
    ]  # fmt: skip
    kept = []
    for seconds, call, once in timers:
        timer = QTimer(app)
        timer.setSingleShot(once)
        timer.timeout.connect(call)
        timer.start(round(1000 * seconds))
        kept.append(timer)
    code = program.run()
    result = figures.result() | {
        "rate": options.rate, "engine": options.engine, "window": options.size, "platform": app.platformName(),
        "load": [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else [], "exit": code,
    }  # fmt: skip
    return result | {"faults": faults(result, options.rate)}


def main() -> int:
    """Measure and report; returns 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sample = ROOT / "assets" / "sample"
    parser.add_argument("--portrait", type=Path, default=sample / "portrait.jpg")
    parser.add_argument("--driver", type=Path, default=sample / "driving.mp4", help="clip that stands in for a camera")
    parser.add_argument("--rate", type=float, default=30.0, help="frames a second of that camera")
    parser.add_argument("--engine", default="mesh")
    parser.add_argument("--crop", type=int, default=512, help="side of the animated square in pixels")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm", type=float, default=5.0, help="seconds at the beginning that don't count")
    parser.add_argument("--size", default="1280x800", help="size of the window")
    parser.add_argument("--platform", default="offscreen", help="Qt platform: offscreen, xcb, wayland, windows, cocoa")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    os.environ["QT_QPA_PLATFORM"] = options.platform
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PORTRAIT_ANIMATE_CONFIG"] = str(Path(folder) / "config")
        os.environ["PORTRAIT_ANIMATE_QUEUE"] = str(Path(folder) / "queue.sqlite3")
        options.portrait = enlarged(options.portrait, Path(folder), options.crop)
        result = measure(options)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
