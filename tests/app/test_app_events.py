"""Events, progress and the cancel token."""

from __future__ import annotations

import json
import threading

import pytest

from app.cli.output import PlainLines, TerminalBar, clock, one_line, show_path
from app.errors import CancelledError
from app.events import CancelToken, Event, EventStream
from models.messages import msg


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_phase_counts_and_estimates() -> None:
    events: list[Event] = []
    time = Clock()
    stream = EventStream(events.append, interval=0.1, clock=time)
    with stream.phase("render", 100, "Rendering") as phase:
        for _ in range(50):
            time.now += 0.04
            phase.advance()
    kinds = [event.kind for event in events]
    assert kinds[0] == "phase"
    progress = events[1:]
    assert len(progress) == 50 // 3 + 1, "not more often than the interval, and once at the end"
    assert progress[0].done == 3
    assert progress[10].fps == pytest.approx(25)
    assert progress[10].eta == pytest.approx((100 - progress[10].done) / 25)
    assert (progress[-1].done, progress[-1].total, progress[-1].eta) == (50, 50, 0)


def test_failed_phase_does_not_claim_its_end() -> None:
    events: list[Event] = []
    with pytest.raises(ValueError, match="x"), EventStream(events.append).phase("render", 2):
        raise ValueError("x")
    assert [event.kind for event in events] == ["phase"]


def test_events_from_many_threads_come_one_at_a_time() -> None:
    busy = threading.Lock()
    seen: list[str] = []

    def sink(event: Event) -> None:
        assert busy.acquire(blocking=False)
        seen.append(event.message)
        busy.release()

    stream = EventStream(sink)
    threads = [threading.Thread(target=lambda: [stream.info("x") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 800


def test_json_form() -> None:
    event = Event("progress", "track", 3, 9, fps=12.3456, eta=0.4891, message="Reading motion")
    assert event.to_json() == {
        "schema": 1, "event": "progress", "phase": "track", "done": 3, "total": 9, "fps": 12.35, "eta_s": 0.49,
        "message": "Reading motion",
    }  # fmt: skip
    assert json.loads(json.dumps(Event("result", data={"frames": 3}).to_json()))["frames"] == 3


def test_token() -> None:
    token = CancelToken()
    token.check()
    token.cancel()
    assert token.cancelled
    with pytest.raises(CancelledError):
        token.check()


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    sink = PlainLines(quiet=False)
    sink(Event("progress", "render", 1, 10, fps=1.0))
    assert capsys.readouterr().err == "", "sparse: nothing for the first seconds"
    sink(Event("message", message="a\nb"))
    sink(Event("message", message="look", level="warning"))
    assert capsys.readouterr().err == "animate: a; b\nanimate: warning: look\n"
    quiet = PlainLines(quiet=True)
    quiet(Event("message", message="chatter"))
    quiet(Event("message", message="look", level="warning"))
    assert capsys.readouterr().err == "animate: warning: look\n"


def test_terminal_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    bar = TerminalBar()
    bar(Event("phase", "render", total=10, message="Rendering"))
    bar(Event("progress", "render", 5, 10, fps=24.5, eta=65))
    bar(Event("message", message="a [red]note[/red]"))
    bar.close()
    shown = capsys.readouterr().err
    for text in ("Rendering", "5/10", "24.5 fps", "1:05 left", "[red]note[/red]"):
        assert text in shown


def test_messages_tell_programs_what_they_are_made_of() -> None:
    line = Event("message", message=msg("{path} is gone.", "a.mp4")).to_json()
    assert (line["message"], line["message_id"], line["values"]) == (
        "a.mp4 is gone.", "{path} is gone.", {"path": "a.mp4"},
    )  # fmt: skip
    assert "message_id" not in Event("message", message="plain").to_json()


def test_texts() -> None:
    assert [clock(s) for s in (0.4, 7, 65, 3661)] == ["0:00", "0:07", "1:05", "1:01:01"]
    assert one_line("a\n  b\n\nc") == "a; b; c"
    assert show_path("caf\udce9") == "caf\\xe9"
