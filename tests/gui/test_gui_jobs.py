"""The window's render queue, which is the queue on disk, and renders without a driver."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.cli.main import main as animate
from app.errors import CancelledError, UsageError
from app.events import CancelToken, EventStream
from app.gui.dialogs.messages import CloseDialog
from app.gui.jobs import LANE, SHOWN, RenderQueue, make_entry
from app.gui.session import Driver, PortraitItem, Session
from app.gui.widgets.queue import QueuePanel, left_text
from app.jobs import Entry, JobRecord, Queue
from app.jobs.estimate import overall, seconds_left
from app.jobs.record import Progress
from app.jobs.store import SECOND, THIRD
from app.media.images import read_image
from app.media.reader import open_clip
from app.media.writer import ClipWriter
from app.render import Job, render
from app.render.report import RenderReport

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def disk() -> Iterator[Queue]:
    """The queue as `animate jobs` sees it."""
    with Queue() as opened:
        yield opened


@pytest.fixture
def queue(qtbot: QtBot, disk: Queue) -> Iterator[RenderQueue]:
    """The window's queue."""
    made = RenderQueue()
    yield made
    assert made.stop()
    assert disk.reader.workers() == []


@pytest.fixture
def colleague(disk: Queue, tmp_path: Path) -> str:
    """Somebody else who works on the window's lane."""
    disk.register("other", tmp_path / "scratch", lane=LANE)
    return "other"


@pytest.fixture
def watched(qtbot: QtBot, colleague: str) -> Iterator[RenderQueue]:
    """The window's queue while somebody else works on its lane, so that it starts nothing by itself."""
    made = RenderQueue()
    yield made
    assert made.stop()


def cut(small_media: Path, path: Path, count: int) -> Path:
    """So many frames of the clip at half its size."""
    with open_clip(small_media / "clip.mp4") as clip:
        frames = [frame.rgb[::2, ::2].copy() for frame, _ in zip(clip, range(count), strict=False)]
    with ClipWriter(path, (frames[0].shape[1], frames[0].shape[0]), Fraction(25), hardware="none") as writer:
        for index in range(count):
            writer.write(frames[index % len(frames)], Fraction(index, 25))
        writer.finish()
    return path


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, small_media: Path) -> Path:
    """Six frames."""
    return cut(small_media, tmp_path_factory.mktemp("short") / "short.mp4", 6)


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory, small_media: Path) -> Path:
    """Long enough to do something meanwhile."""
    return cut(small_media, tmp_path_factory.mktemp("longer") / "longer.mp4", 400)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, small_media: Path) -> Path:
    """Another clip, for a part of the face."""
    return cut(small_media, tmp_path_factory.mktemp("other") / "other.mp4", 12)


def states(queue: RenderQueue) -> list[str]:
    return [job.state for job in queue.jobs]


def wait_for(qtbot: QtBot, queue: RenderQueue, *wanted: str) -> None:
    qtbot.waitUntil(lambda: states(queue) == list(wanted))


def posed_entry(small_media: Path, output: Path, source: str = "a.jpg", **sliders: float) -> Entry:
    session = Session((PortraitItem(str(small_media / source)),), values={"mark": "metadata"})
    for name, value in sliders.items():
        session = session.with_slider(name, value)
    return make_entry(session, output, overwrite=False)


def driven_entry(small_media: Path, output: Path, driver: Path | None = None) -> Entry:
    portraits = (PortraitItem(str(small_media / "a.jpg")),)
    session = Session(portraits, driver=Driver("file", str(driver or small_media / "clip.mp4")))
    return make_entry(session, output, overwrite=False)


# ---- the same queue as that of the command line


def test_window_and_command_line_share_the_queue(
    qtbot: QtBot, queue: RenderQueue, disk: Queue, small_media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    over: list[JobRecord] = []
    queue.finished.connect(over.append)
    queue.add(posed_entry(small_media, tmp_path / "smile.png", smile=1.0))
    queue.add(posed_entry(small_media, tmp_path / "room.png", "room.jpg"))
    wait_for(qtbot, queue, "done", "failed")
    qtbot.waitUntil(lambda: len(over) == 2)
    assert [job.id for job in over] == [job.id for job in queue.jobs]
    failed = queue.jobs[1]
    assert "no face was found" in failed.error
    assert "\n" not in failed.error
    assert "NoFaceError" in failed.details
    assert animate(["jobs", "list", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["state"], Path(line["output"]).name) for line in lines] == [
        ("done", "smile.png"),
        ("failed", "room.png"),
    ]
    assert animate(["jobs", "list"]) == 0
    assert "a.jpg + sliders" in capsys.readouterr().out
    # what the command line queues is shown, and left alone until the user says so
    disk.add([posed_entry(small_media, tmp_path / "other.png", smile=0.5)], "night.toml")
    wait_for(qtbot, queue, "done", "failed", "queued")
    assert queue.waiting == (queue.jobs[2].id,)
    assert not queue.busy
    queue.resume(queue.waiting)
    wait_for(qtbot, queue, "done", "failed", "done")
    assert (tmp_path / "other.png").is_file()
    # and the command line changes what the window shows
    assert animate(["jobs", "clear", "--state", "failed"]) == 0
    wait_for(qtbot, queue, "done", "done")
    queue.clear_finished()
    wait_for(qtbot, queue)
    assert disk.reader.jobs() == []
    assert (tmp_path / "smile.png").is_file()


def full_session(small_media: Path, short: Path, other: Path) -> tuple[Session, list[str]]:
    """A session with all that its panels can hold, and the same as flags."""
    portrait = PortraitItem.of(str(small_media / "a.jpg"), face="1", crop="150.5,140,210,4")
    session = Session((portrait,), driver=Driver("file", str(short)))
    values = {
        "multiplier": 1.3, "relative": False, "smooth": 0.0, "region": "all", "quality": 95, "stitching": False,
        "pose_from": str(other), "lips_from": str(short), "length": "driving", "audio": "none",
        "side_by_side": True, "engine": "mesh", "background": "#102030",
    }  # fmt: skip
    for name, value in values.items():
        session = session.with_value(name, value)
    for name, value in (("smile", 0.7), ("yaw", 9.5), ("gaze_x", -0.4), ("zoom", 1.05)):
        session = session.with_slider(name, value)
    session = session.with_opening("eye_left", 0.1).with_opening("lips", 0.3)
    flags = [
        str(small_media / "a.jpg"), str(short), "--face", "1", "--crop", "150.5,140.0,210.0,4.0", "--multiplier", "1.3",
        "--no-relative", "--smooth", "0", "--quality", "95", "--no-stitching", "--pose-from",
        str(other), "--lips-from", str(short), "--length", "driving", "--audio", "none",
        "--side-by-side", "--engine", "mesh", "--background", "#102030",
        "--sliders", "smile=0.7,yaw=9.5,gaze_x=-0.4,zoom=1.05,left_eye=0.1,lips=0.3",
    ]  # fmt: skip
    return session, flags


def test_files_of_the_window_are_those_of_the_command_line(
    qtbot: QtBot, queue: RenderQueue, small_media: Path, short: Path, other: Path, tmp_path: Path
) -> None:
    session, flags = full_session(small_media, short, other)
    session = session.with_values({**session.values, "mark": "metadata"})
    flags += ["--mark", "metadata"]
    assert {"sliders", "pose_from", "lips_from", "crop", "face"} - set(session.values) == {"sliders", "crop", "face"}
    (tmp_path / "window").mkdir()
    (tmp_path / "line").mkdir()
    queue.add(make_entry(session, tmp_path / "window" / "out.mp4", overwrite=False))
    queue.add(posed_entry(small_media, tmp_path / "window" / "posed.png", smile=0.7, yaw=-6))
    assert animate([*flags, "-o", str(tmp_path / "line" / "out.mp4"), "-q"]) == 0
    posed = ["edit", str(small_media / "a.jpg"), "--smile", "0.7", "--yaw", "-6", "-q", "--mark", "metadata"]
    assert animate([*posed, "-o", str(tmp_path / "line" / "posed.png")]) == 0
    wait_for(qtbot, queue, "done", "done")
    names = sorted(path.name for path in (tmp_path / "line").iterdir())
    assert names == ["out--side-by-side.mp4", "out.mp4", "posed.png"]
    assert names == sorted(path.name for path in (tmp_path / "window").iterdir())
    for name in names:
        assert (tmp_path / "line" / name).read_bytes() == (tmp_path / "window" / name).read_bytes(), name
    plain = driven_entry(small_media, tmp_path / "plain.mp4", short)
    queue.add(plain)
    wait_for(qtbot, queue, "done", "done", "done")
    with open_clip(tmp_path / "plain.mp4") as a, open_clip(tmp_path / "line" / "out.mp4") as b:
        assert np.abs(next(iter(a)).rgb.astype(int) - next(iter(b)).rgb).max() > 60  # the options did something


# ---- what the user does to jobs


def test_cancel_retry_order_pause(
    qtbot: QtBot, queue: RenderQueue, disk: Queue, small_media: Path, short: Path, longer: Path, tmp_path: Path
) -> None:
    names = ["one", "two", "three", "four"]
    for name in names:
        driver = longer if name == "one" else short
        queue.add(driven_entry(small_media, tmp_path / f"{name}.mp4", driver))
    qtbot.waitUntil(lambda: states(queue) == ["running", "queued", "queued", "queued"])
    one, two, three, four = (job.id for job in queue.jobs)
    assert queue.busy
    queue.move(four, -1)
    queue.move(two, 1)
    queue.move(two, 1)
    queue.move(one, 1)  # it runs
    queue.cancel(three)
    qtbot.waitUntil(lambda: [j.id for j in queue.jobs] == [one, four, three, two])
    qtbot.waitUntil(lambda: queue.jobs[0].share > 0.05)
    total = queue.overall()
    assert (total.total, total.ended) == (4, 1)
    queue.cancel(one)
    wait_for(qtbot, queue, "cancelled", "done", "cancelled", "done")
    records = {job.id: job for job in disk.reader.jobs()}
    assert records[four].started < records[two].started
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["four.mp4", "two.mp4"]
    assert list(tmp_path.glob(".animate*")) == []
    for number in (three, one):
        queue.retry(number)
    qtbot.waitUntil(lambda: "running" in states(queue))
    queue.pause()
    qtbot.waitUntil(lambda: states(queue) == ["done", "done", "paused", "done"])
    assert queue.waiting == (three,)
    assert not queue.busy
    queue.resume([three])
    wait_for(qtbot, queue, "done", "done", "done", "done")


def test_names_that_are_taken(
    qtbot: QtBot, watched: RenderQueue, disk: Queue, small_media: Path, tmp_path: Path
) -> None:
    faults: list[tuple[object, str]] = []
    watched.failed.connect(lambda error, text: faults.append((error, text)))
    watched.add(posed_entry(small_media, tmp_path / "out.png", smile=1.0))
    wait_for(qtbot, watched, "queued")
    assert watched.outputs() == {tmp_path / "out.png"}
    watched.add(posed_entry(small_media, tmp_path / "out.png", smile=0.2))
    qtbot.waitUntil(lambda: bool(faults))
    assert isinstance(faults[0][0], UsageError)
    assert "is the output of waiting job 1" in str(faults[0][0])
    (kept,) = disk.reader.jobs()
    assert kept.expression is not None
    assert kept.expression["sliders"] == {"smile": 1.0}
    session = Session((PortraitItem(str(small_media / "a.jpg")),))
    with pytest.raises(UsageError, match="is an input"):
        make_entry(session, small_media / "a.jpg", overwrite=True)
    for driver in (Driver("camera", "0"), Driver("tracking", "osc://")):
        with pytest.raises(UsageError, match="can't be rendered to a file"):
            make_entry(Session(session.portraits, driver=driver), tmp_path / "x.mp4", overwrite=False)
    with pytest.raises(UsageError, match="no portrait"):
        make_entry(Session(), tmp_path / "x.mp4", overwrite=False)


# ---- crashes and ends


def test_worker_that_dies_is_replaced_and_the_window_lives(
    qtbot: QtBot, queue: RenderQueue, small_media: Path, longer: Path, tmp_path: Path
) -> None:
    queue.add(driven_entry(small_media, tmp_path / "out.mp4", longer))
    qtbot.waitUntil(lambda: bool(queue.jobs) and queue.jobs[0].share > 0.1)
    worker = queue.jobs[0].pid
    assert worker != os.getpid()
    os.kill(worker, signal.SIGKILL)
    wait_for(qtbot, queue, "done")
    assert queue.jobs[0].pid != worker
    assert queue.jobs[0].attempts == 2


def test_finish_in_the_background(qtbot: QtBot, disk: Queue, small_media: Path, short: Path, tmp_path: Path) -> None:
    queue = RenderQueue()
    for name in ("one", "two"):
        queue.add(driven_entry(small_media, tmp_path / f"{name}.mp4", short))
    qtbot.waitUntil(lambda: states(queue)[:1] == ["running"])
    assert queue.stop(background=True)
    assert disk.reader.counts()["done"] < 2
    again = RenderQueue()  # the next start sees how it goes on, and offers nothing
    qtbot.waitUntil(lambda: states(again) == ["done", "done"])
    assert again.left_over == frozenset()
    assert again.stop()
    qtbot.waitUntil(lambda: disk.reader.workers() == [])


WINDOW = """
import sys
from pathlib import Path
from PySide6.QtCore import QCoreApplication
from app.gui.jobs import RenderQueue, make_entry
from app.gui.session import Driver, PortraitItem, Session
app = QCoreApplication([])
queue = RenderQueue()
source, folder, *drivers = sys.argv[1:]
for number, driver in enumerate(drivers):
    session = Session((PortraitItem(source),), driver=Driver("file", driver))
    queue.add(make_entry(session, Path(folder) / f"{number}.mp4", overwrite=False))
app.exec()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_window_that_is_killed_leaves_a_queue_that_resumes(
    qtbot: QtBot, disk: Queue, small_media: Path, short: Path, longer: Path, tmp_path: Path, theme: object
) -> None:
    command = [sys.executable, "-c", WINDOW, str(small_media / "a.jpg"), str(tmp_path)]
    window = subprocess.Popen([*command, str(short), str(longer), str(short)], cwd=ROOT)
    try:
        qtbot.waitUntil(lambda: disk.reader.counts()["done"] == 1 and disk.reader.counts()["running"] == 1)
        qtbot.waitUntil(lambda: disk.reader.jobs(states=["running"])[0].share > 0.05)
    finally:
        window.kill()
        window.wait()
    first = (tmp_path / "0.mp4").stat().st_mtime_ns
    qtbot.waitUntil(lambda: disk.reader.workers() == [])  # nobody renders for a window that is gone
    queue = RenderQueue()
    panel = QueuePanel(queue)
    qtbot.addWidget(panel)
    panel.show()
    with qtbot.waitSignal(queue.found):
        pass
    assert states(queue) == ["done", "paused", "paused"]
    assert queue.left_over == {job.id for job in queue.jobs[1:]}
    panel.show_jobs()
    assert panel.banner.isVisible()
    assert "2" in panel.question.text()
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["0.mp4"]
    panel.resume_old.click()
    wait_for(qtbot, queue, "done", "done", "done")
    qtbot.waitUntil(lambda: not panel.banner.isVisible())
    assert (tmp_path / "0.mp4").stat().st_mtime_ns == first
    assert queue.stop()
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["0.mp4", "1.mp4", "2.mp4"]


def test_broken_queue_is_told_and_the_window_lives(qtbot: QtBot, tmp_path: Path) -> None:
    path = tmp_path / "broken.sqlite3"
    path.write_bytes(b"this is no queue" * 100)
    queue = RenderQueue(path)
    with qtbot.waitSignal(queue.failed) as caught:
        pass
    assert "can't be used as a queue" in str(caught.args[0])
    assert queue.stop()


# ---- the panel


@pytest.fixture
def gallery(disk: Queue, colleague: str, small_media: Path, tmp_path: Path) -> list[int]:
    """One job in each state before the window looks: running, two waiting, paused, failed, done, cut, left, gone."""
    names = ["run", "next", "last", "held", "bad", "good", "part", "left", "gone"]
    entries = [driven_entry(small_media, tmp_path / f"{name}.mp4") for name in names]
    ids = list(disk.add(entries, LANE, lane=LANE).ids)
    disk.pause(ids[3:4])
    disk.cancel(ids[8:])
    disk.move_first([*ids[4:8], ids[0]])
    for state, error in (
        ("failed", "bad.mp4 is bad."),
        ("done", ""),
        ("done", "It breaks off."),
        ("skipped", "There."),
    ):
        job = disk.claim(colleague, in_order=True)
        assert job is not None
        Path(job.output).write_bytes(b"clip")
        if state == "done":
            disk.staged(job, (), error=error, seconds=2.0)
            disk.done(job, ((Path(job.output).name, 4, 0),))
        else:
            disk.failed(job, error, 1, state, details="Traceback: bad")  # type: ignore[arg-type]
    job = disk.claim(colleague, in_order=True)
    assert job is not None
    disk.heartbeat(colleague, job.id, Progress("render", 30, 120, 12.5, 7.2, "Rendering"))
    return ids


def test_panel_shows_every_state(
    qtbot: QtBot, theme: object, gallery: list[int], watched: RenderQueue, disk: Queue
) -> None:
    panel = QueuePanel(watched)
    qtbot.addWidget(panel)
    panel.resize(700, 500)
    panel.show()
    panel.show_jobs()
    qtbot.waitUntil(lambda: len(panel.rows) == 9 and watched.jobs[4].state == "running")
    run, first, last, held, bad, good, part, left, gone = (panel.rows[number] for number in gallery)

    def buttons(row: object) -> set[str]:
        return {name for name, button in row.buttons.items() if button.isVisibleTo(row)}  # type: ignore[attr-defined]

    assert buttons(run) == {"cancel"}
    assert "rendering · 30 / 120 · 12 fps · 0:07 left" in run.accessibleName()
    assert run.bar.value() == 500
    assert buttons(first) == buttons(last) == {"up", "down", "cancel"}
    assert buttons(held) == {"up", "down", "resume", "cancel"}
    assert buttons(bad) == {"report", "retry", "remove"}
    assert "bad.mp4 is bad." in bad.accessibleName()
    assert buttons(good) == {"open", "folder", "remove"}
    assert buttons(part) == {"open", "folder", "report", "remove"}
    assert "done in part · It breaks off." in part.accessibleName()
    assert buttons(left) == {"report", "retry", "remove"}
    assert buttons(gone) == {"retry", "remove"}
    assert panel.overall.text() == "0 of 3 · 0:07 left" or panel.overall.text().startswith("0 of 3")
    with qtbot.waitSignal(panel.report_requested) as caught:
        bad.buttons["report"].click()
    assert caught.args == [gallery[4]]
    held.buttons["resume"].click()
    qtbot.waitUntil(lambda: watched.find(gallery[3]).state == "queued")  # type: ignore[union-attr]
    panel.pause.click()
    qtbot.waitUntil(lambda: disk.reader.counts()["paused"] == 3)
    qtbot.waitUntil(panel.resume.isVisible)
    panel.resume.click()
    qtbot.waitUntil(lambda: disk.reader.counts()["paused"] == 0)
    panel.clear.click()
    qtbot.waitUntil(lambda: len(panel.rows) == 4)
    assert not panel.clear.isVisible()


def test_long_queue_does_not_hold_the_window_up(
    qtbot: QtBot,
    theme: object,
    watched: RenderQueue,
    disk: Queue,
    small_media: Path,
    tmp_path: Path,
    watch: Callable[[Callable[[], None]], tuple[float, str]],
) -> None:
    panel = QueuePanel(watched)
    qtbot.addWidget(panel)
    panel.resize(700, 400)
    panel.show()
    one = driven_entry(small_media, tmp_path / "x.mp4")
    added = [0]

    def add() -> None:
        names = [tmp_path / f"{added[0] + n}.mp4" for n in range(500)]
        disk.add([Entry(one.source, one.driving, str(name), {}) for name in names], "night.toml")
        added[0] += 500
        qtbot.waitUntil(lambda: len(panel.rows) == SHOWN and watched.more == added[0] - SHOWN)

    worst = watch(add)
    assert len(watched.waiting) == added[0] == 1500
    assert worst[0] < 0.016, worst


@pytest.mark.parametrize("answer", ["stop", "background", "stay"])
def test_close_dialog_asks(qtbot: QtBot, theme: object, answer: str) -> None:
    dialog = CloseDialog("Files are being rendered: 2.", True)
    qtbot.addWidget(dialog)
    assert dialog.answer == "stay"
    dialog.open()
    dialog.buttons[answer].click()
    assert dialog.answer == answer
    alone = CloseDialog("A recording is running.", False)
    qtbot.addWidget(alone)
    assert not alone.buttons["background"].isVisibleTo(alone)


# ---- figures


def record(disk: Queue, entry: Entry, **changes: object) -> JobRecord:
    from dataclasses import replace

    (number,) = disk.add([entry]).ids
    return replace(disk.reader.get(number), **changes)  # type: ignore[arg-type]


def test_time_left_of_jobs(disk: Queue, small_media: Path, tmp_path: Path) -> None:
    jobs = [posed_entry(small_media, tmp_path / f"{n}.png") for n in range(4)]
    done = record(disk, jobs[0], state="done", seconds=10.0)
    halfway = Progress("render", 50, 100, 10.0, None)
    run = record(disk, jobs[1], state="running", started=1000.0, progress=halfway)
    assert run.share == pytest.approx(2 / 3)
    assert seconds_left(run, 1010.0) == pytest.approx(5.0)
    assert seconds_left(record(disk, jobs[1], state="running", started=1000.0), 1010.0) is None
    waits = [record(disk, jobs[n]) for n in (2, 3)]
    total = overall([done, run, *waits], 1010.0)
    assert (total.ended, total.total) == (1, 4)
    assert total.share == pytest.approx((1 + 2 / 3) / 4)
    assert total.seconds == pytest.approx(5 + 2 * (10 + 15) / 2)
    assert overall(waits, 0.0).seconds is None
    assert overall([done], 0.0).seconds == 0.0
    assert overall([], 0.0).share == 1.0
    assert Progress("track", 50, 100).share == pytest.approx(1 / 6)


def test_queue_of_an_older_version_is_upgraded(small_media: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with Queue(path) as made:
        made.add([driven_entry(small_media, tmp_path / "x.mp4")], "night")
    with sqlite3.connect(path) as db:
        for line in (*SECOND.strip().split(";"), THIRD):
            table, column = line.split()[2], line.split()[5]
            db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 1")
    db.close()
    with Queue(path) as opened:
        (job,) = opened.reader.jobs()
        assert (job.batch, job.state, job.lane, job.notes, job.progress) == ("night", "queued", "", (), None)


def test_time_left() -> None:
    assert [left_text(s) for s in (None, 5.4, 65, 3661)] == ["", "0:05 left", "1:05 left", "1:01:01 left"]


@pytest.fixture
def posed(small_media: Path) -> Callable[..., Job]:
    def make(source: str, output: Path, **sliders: float) -> Job:
        session = Session()
        for name, value in sliders.items():
            session = session.with_slider(name, value)
        options = session.options(output=str(output))
        return Job(small_media / source, Path(), options, session.expression)

    return make


def run(job: Job) -> RenderReport:
    return render(job, EventStream(), CancelToken())


def test_sliders_pose_a_photo(posed: Callable[..., Job], small_media: Path, tmp_path: Path) -> None:
    report = run(posed("a.jpg", tmp_path / "out.png", smile=1.0))
    source, result = read_image(small_media / "a.jpg").rgb, read_image(tmp_path / "out.png").rgb
    assert report.status == "done"
    assert result.shape == source.shape
    changed = np.abs(result.astype(int) - source).max(axis=2) > 20
    assert 20 < changed.sum() < 0.4 * changed.size  # the mouth and what moves with it


def test_sliders_pose_every_frame_of_a_clip(posed: Callable[..., Job], tmp_path: Path, small_media: Path) -> None:
    events: list[str] = []
    token = CancelToken()

    def look(event: object) -> None:
        events.append(event.phase)  # type: ignore[attr-defined]
        if event.done >= 5:  # type: ignore[attr-defined]
            token.cancel()

    stream = EventStream(look, interval=0.0)
    report = render(posed("clip.mp4", tmp_path / "out.mp4", blink=1.0), stream, token)
    assert report.status == "cancelled"
    assert 5 <= report.frames < 20
    with open_clip(report.output) as kept:
        assert sum(1 for _ in kept) == report.frames
    with pytest.raises(CancelledError):
        render(posed("clip.mp4", tmp_path / "none.mp4"), EventStream(), token)


@pytest.mark.parametrize(("source", "output"), [("a.jpg", "out.mp4"), ("clip.mp4", "out.png")])
def test_output_must_fit_the_source(posed: Callable[..., Job], tmp_path: Path, source: str, output: str) -> None:
    from app.errors import UsageError

    with pytest.raises(UsageError, match="End the name in"):
        run(posed(source, tmp_path / output))
    assert list(tmp_path.glob("out*")) == []
