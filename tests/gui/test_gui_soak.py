"""A clip drives as a camera would for a while: threads and memory stay as they are, and the figures are told.

PORTRAIT_SOAK_SECONDS sets how long; tools/bench_gui.py measures the same for a minute, with limits for time.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import pytest
from pytestqt.qtbot import QtBot

from app.gui.session import Driver
from app.gui.window import MainWindow

SECONDS = float(os.environ.get("PORTRAIT_SOAK_SECONDS", "4"))
GROWTH = 24.0  # MB that caches and the heap may still take in the second half


def resident() -> float:
    """Memory of this process in MB."""
    with open("/proc/self/statm", encoding="ascii") as facts:
        return int(facts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_long_session_keeps_its_threads_and_memory(
    qtbot: QtBot, window: MainWindow, clip_driver: Driver, next_frame: Callable[[MainWindow], None]
) -> None:
    studio = window.studio
    studio.live.channel.delay = 0.0
    studio.set_driver(clip_driver)
    qtbot.waitUntil(lambda: studio.shown is not None and studio.shown.frame.seen)
    qtbot.waitUntil(lambda: studio.live.channel.current is not None)
    seen: list[tuple[set[str], float]] = []
    first = studio.stats().captured
    steps = max(8, round(2 * SECONDS))
    for step in range(steps):
        studio.set_slider("smile", step % 4 / 4)
        window.commands.choose_portrait(step % 2)
        window.commands.set_view(("result", "side", "over")[step % 3])
        qtbot.wait(round(1000 * SECONDS / steps))
        next_frame(window)
        names = {thread.name for thread in threading.enumerate() if not thread.name.startswith(("Dummy", "Thread"))}
        seen.append((names, resident()))
    half = steps // 2
    assert {name for names, _ in seen[half:] for name in names} <= {name for names, _ in seen[:half] for name in names}
    early, late = (sorted(memory for _, memory in part)[len(part) // 2] for part in (seen[2:half], seen[half:]))
    assert late < early + GROWTH
    stats = studio.stats()
    assert stats.captured > first + steps
    assert 0 < stats.latency_ms_median <= stats.latency_ms_p95
    assert stats.fps > 0
    qtbot.waitUntil(lambda: " ms" in window.transport.figures.text())
