"""Loading that hangs can be stopped, by every command that loads an engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app import loading
from app.errors import CancelledError, UsageError
from app.events import CancelToken
from app.loading import interruptible

ROOT = Path(__file__).resolve().parents[2]
SOON = 2.0  # seconds in which a command must have stopped


@pytest.fixture
def held() -> threading.Event:
    """Holds work until the test is over."""
    return threading.Event()


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, held: threading.Event):
    monkeypatch.setattr(loading, "_abandoned", [])
    yield
    held.set()


def test_the_result_and_every_error_come_through() -> None:
    told: list[str] = []
    assert interruptible(lambda _: 7, CancelToken(), told.append, "Loading it") == 7
    assert told == []
    for error in (UsageError("wrong"), ValueError("odd"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised:
            interruptible(lambda _, error=error: _raise(error), CancelToken(), told.append, "Loading it")
        assert raised.value is error
    assert not loading._abandoned


def _raise(error: BaseException) -> None:
    raise error


def test_stopping_does_not_wait_for_the_work(held: threading.Event) -> None:
    token, begun = CancelToken(), threading.Event()

    def work(step: loading.Say) -> None:
        step("Loading the torch engine")
        begun.set()
        held.wait()

    threading.Thread(target=lambda: begun.wait() and token.cancel()).start()
    start = time.monotonic()
    with pytest.raises(CancelledError) as stopped:
        interruptible(work, token, lambda _: None, "Loading the engine")
    assert time.monotonic() - start < SOON
    assert str(stopped.value) == "Stopped while loading the torch engine; nothing was written."
    assert [thread.is_alive() for thread in loading._abandoned] == [True]


def test_what_is_stopped_before_is_not_begun() -> None:
    token, begun = CancelToken(), []
    token.cancel()
    for lost, text in (("nothing was written", "Stopped; nothing was written."), ("", "Stopped.")):
        with pytest.raises(CancelledError, match=f"^{text}$"):
            interruptible(begun.append, token, begun.append, "Loading it", lost)
    assert begun == []


def test_steps_that_take_long_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "PATIENCE", 0.0)
    monkeypatch.setattr(loading, "POLL", 0.001)
    told: list[str] = []
    ready = {"Loading a.": threading.Event(), "Loading b.": threading.Event()}

    def tell(text: str) -> None:
        told.append(text)
        ready.get(text, threading.Event()).set()

    def work(step: loading.Say) -> str:
        for name in ("Loading a", "Loading b"):
            step(name)
            assert ready[f"{name}."].wait(30)
        return "done"

    assert interruptible(work, CancelToken(), tell, "Loading") == "done"
    assert [text for text in told if text != "Loading."] == ["Loading a.", "Loading b."]


PROGRAM = """
import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run in the background
sys.path.insert(0, {root!r})
import portrait_animate
import liveportrait.engines as engines
from app import loading
loading.PATIENCE = 0.0
def hang(name="", *_, step=None, **__):
    if step is not None:
        step("Loading the slow engine")
    threading.Event().wait()
if {detector!r}:
    import app.frames.resources
    app.frames.resources.open_tracker = hang
else:
    engines.load_engine = hang
sys.argv = ["animate", *{words!r}]
portrait_animate.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are POSIX")
@pytest.mark.parametrize(
    "words",
    [
        ["in/photo.jpg", "in/clip.mp4"],
        ["in/photo.jpg", "in/clip.mp4", "--json"],
        ["edit", "in/photo.jpg", "--smile", "1"],
        ["retouch", "in/clip.mp4"],
        ["template", "make", "in/clip.mp4"],
        ["live", "in/photo.jpg", "--no-window", "--camera", "in/clip.mp4", "--record", "out.mp4"],
        ["doctor"],
        ["doctor", "--json"],
    ],
    ids=" ".join,
)
def test_ctrl_c_while_an_engine_loads(here: Path, words: list[str]) -> None:
    """Within two seconds, with one line that says what was loading, and nothing left behind."""
    _stop_while_it_hangs(here, words, "slow engine")


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are POSIX")
@pytest.mark.parametrize(
    "words",
    [
        ["in/photo.jpg", "in/clip.mp4"],
        ["edit", "in/photo.jpg", "--smile", "1"],
        ["template", "make", "in/clip.mp4"],
        ["live", "in/photo.jpg", "--no-window", "--camera", "in/clip.mp4"],
    ],
    ids=" ".join,
)
def test_ctrl_c_while_a_face_detector_loads(here: Path, words: list[str]) -> None:
    _stop_while_it_hangs(here, words, "face detector")


def _stop_while_it_hangs(here: Path, words: list[str], what: str) -> None:
    code = PROGRAM.format(root=str(ROOT), words=words, detector=what == "face detector")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    stream = process.stdout if "--json" in words and words[0] != "doctor" else process.stderr
    for line in stream:
        if f"Loading the {what}" in line:
            process.send_signal(signal.SIGTERM if words[0] == "retouch" else signal.SIGINT)
            break
    start = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - start < SOON
    assert process.returncode == 4, err
    lost = "" if words[0] == "doctor" else "; nothing was written"
    assert err == f"animate: error: Stopped while loading the {what}{lost}.\n"
    if words[-1] == "--json" and words[0] != "doctor":
        assert json.loads(out.splitlines()[-1])["exit_code"] == 4
    assert sorted(path.name for path in here.iterdir()) == ["in"]
