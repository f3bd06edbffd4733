"""`bench.py start`: how long it takes until something is there, each time in a new process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "assets" / "sample"


def say(what: str) -> None:
    """Report that something is there: its name and the CPU time of the process so far."""
    print(json.dumps({"what": what, "at": time.time(), "cpu_s": time.process_time()}), flush=True)


def imports() -> None:
    """What a render needs."""
    import app.render  # noqa: F401

    say("imports of a render")


def first_frame() -> None:
    """From nothing to one animated picture of the sample, as a Python script makes it."""
    from itertools import islice

    from app.media.images import read_image
    from app.media.reader import open_clip
    from liveportrait import Animator, DrivingReader, FaceTracker, load_engine
    from liveportrait.driving import Shown

    say("imports of the library")
    engine = load_engine("mesh")
    tracker = FaceTracker()
    animator, reader = Animator(engine), DrivingReader(engine)
    portrait = read_image(SAMPLE / "portrait.jpg").rgb
    scene = animator.scene(portrait, tracker.detect(portrait)[:1])
    say("portrait ready")
    motions = []
    with open_clip(SAMPLE / "driving.mp4") as clip:
        for frame in islice(clip, 2):
            face = tracker.track(frame.rgb)
            assert face is not None
            motions.append(reader.read(frame.rgb, face))
    animator.frame(scene, Shown(motions[1], motions[0]))
    say("first animated picture")


def window() -> None:
    """The window with the sample, driven by its clip as a camera."""
    from fractions import Fraction

    from PySide6.QtCore import QEvent, QObject

    from app.gui.main import Program, Start
    from app.live import file_source

    class Watch(QObject):
        """Tells when the window is painted for the first time."""

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
            """Look at an event."""
            if event.type() == QEvent.Type.Paint:
                watched.removeEventFilter(self)
                say("window")
            return False

    program = Program(Start(files=(SAMPLE / "portrait.jpg",), language="en"))
    studio, shown = program.studio, program.window
    watch = Watch()
    shown.installEventFilter(watch)

    def painted() -> None:
        if studio.shown is not None and studio.shown.frame.fresh:
            say("first animated picture in the window")
            shown.close()
            shown.preview.painted.disconnect(painted)

    shown.preview.painted.connect(painted)
    studio.live.set_driver(file_source(SAMPLE / "driving.mp4", rate=Fraction(30)))
    program.run()


CASES: dict[str, Callable[[], None]] = {"imports": imports, "first_frame": first_frame, "window": window}


def once(case: str) -> list[dict[str, Any]]:
    """Run a case in a new process: what was there after how many seconds of wall and CPU time."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        own = {
            "QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen"),
            "PORTRAIT_ANIMATE_CONFIG": str(Path(folder) / "config"),
            "PORTRAIT_ANIMATE_QUEUE": str(Path(folder) / "queue.sqlite3"),
        }
        code = (
            f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'tools')]}; from benching import start; start.{case}()"
        )
        began = time.time()
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True, check=False, timeout=120
        )
    if done.returncode:
        raise ValueError(f"{case}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [{"what": one["what"], "wall_s": one["at"] - began, "cpu_s": one["cpu_s"]} for one in lines]


def measure(runs: int, cases: list[str]) -> dict[str, Any]:
    """Median and least times of some cases; the first run of each, which fills the system's caches, doesn't count.

    Raises:
        ValueError: A case is not known or failed.
    """
    from benching.machine import load, system

    found: dict[str, dict[str, list[float]]] = {}
    failed: dict[str, str] = {}
    for case in cases:
        try:
            once(case)
            for _ in range(runs):
                for one in once(case):
                    row = found.setdefault(one["what"], {"wall_s": [], "cpu_s": []})
                    row["wall_s"].append(one["wall_s"])
                    row["cpu_s"].append(one["cpu_s"])
        except ValueError as error:
            failed[case] = str(error)
    rows = {
        what: {
            name: {"median": round(statistics.median(values), 3), "least": round(min(values), 3)}
            for name, values in row.items()
        }
        for what, row in found.items()
    }
    command = "python tools/bench.py " + " ".join(sys.argv[1:])
    return {"rows": rows, "failed": failed, "runs": runs, "load": load(), "system": system(), "command": command}


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    lines = [
        f"{result['system']}, load {result['load']} after, {result['runs']} runs. `{result['command']}`",
        "",
        "| seconds from the start of the process until | median | least | CPU, least |",
        "| --- | --- | --- | --- |",
    ]
    for what, row in result["rows"].items():
        wall = row["wall_s"]
        lines.append(f"| {what} | {wall['median']:.2f} | {wall['least']:.2f} | {row['cpu_s']['least']:.2f} |")
    lines += ["", *(f"Not measured: {case}: {why}" for case, why in result["failed"].items())]
    return "\n".join(lines).rstrip() + "\n"
