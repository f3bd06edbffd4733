"""Fixtures of live tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from live_stubs import WAIT, StubEngine, StubResources, picture

from app.events import Event, EventStream
from app.live import LiveSession


@pytest.fixture(autouse=True)
def _own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user gets no signing key from tests."""
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path_factory.getbasetemp() / "settings"))


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + WAIT
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, end - time.monotonic()))
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert left == []


class Messages(list[Event]):
    """All events of a session."""

    @property
    def text(self) -> str:
        return "\n".join(event.message for event in self)


@pytest.fixture
def messages() -> Messages:
    return Messages()


@pytest.fixture
def make_session(messages: Messages) -> Iterator[Callable[..., LiveSession]]:
    """Makes sessions of stub engine and tracker with one portrait, and closes them."""
    made = []

    def make(kind: type[LiveSession] = LiveSession, **how: Any) -> LiveSession:
        how = {"engine": StubEngine(), "resources": StubResources(), "events": EventStream(messages.append)} | how
        session = kind(**how)
        made.append(session)
        session.add_portrait("a", picture(100))
        assert session.wait_for(lambda: session.portrait("a").status == "ready", WAIT)
        return session

    yield make
    for session in made:
        session.close()
