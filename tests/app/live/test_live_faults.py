"""Whatever a driver, an engine, a sink or a listener does at any moment, a live session goes on or says why not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from live_stubs import (
    WAIT,
    Box,
    Clock,
    Context,
    HandDriver,
    Shown,
    StubEngine,
    StubResources,
    StubTracker,
    drives,
    face_at,
    picture,
    pipeline_of,
)  # fmt: skip

from app.errors import AppError, MissingError
from app.events import EventStream
from app.live import DriverSource, LiveFrame, LiveSession, NullSink
from app.live import capture as captures
from app.live.channel import ChannelLoader
from app.live.control import Control, guarded
from app.live.parts import PartLoader
from app.live.quality import Quality
from app.live.recorder import RecorderSink
from app.live.settings import Settings
from app.live.sinks import Sink
from app.options import RenderOptions
from app.sources.named import file_source
from app.sources.sample import Sample
from liveportrait import driving
from liveportrait.live_channel import LiveChannel
from liveportrait.options import AnimationOptions
from models.face import Face

Make = Callable[..., LiveSession]


class OddError(Exception):
    """An error of a runtime: those of ONNX Runtime and sounddevice derive from Exception alone."""


@pytest.fixture
def seen() -> Shown:
    return Shown()


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """Exceptions that were shown as those of threads."""
    shown: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_value))
    return shown


# ---- engine and tracker ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["render", "read_motion", "track"])
def test_error_of_any_kind_while_animating_is_said_and_the_next_frame_comes(
    make_session: Make, seen: Shown, messages: Any, where: str
) -> None:
    faults: list[Exception] = []

    def fail() -> None:
        if faults:
            raise faults[0]

    class Engine(StubEngine):
        def render(self, portrait: Any, x_d: Any) -> Any:
            if where == "render":
                fail()
            return super().render(portrait, x_d)

        def read_motion(self, crop: Any, face: Face) -> Any:
            if where == "read_motion":
                fail()
            return super().read_motion(crop, face)

    class Tracker(StubTracker):
        def track(self, rgb: np.ndarray) -> Face | None:
            if where == "track":
                fail()
            return super().track(rgb)

    session = make_session(engine=Engine(), resources=StubResources(Tracker))
    session.add_sink(seen)
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(10))
    seen.wait(lambda f: drives(f, 10))
    faults.append(OddError("the device is gone"))
    box.items.put(picture(20))
    assert session.wait_for(lambda: "OddError: the device is gone" in messages.text, WAIT)
    faults.clear()
    box.items.put(picture(30))
    seen.wait(lambda f: drives(f, 30))
    assert session.state == "running"


def test_portrait_that_an_engine_fails_at_leaves_the_others_alone(make_session: Make) -> None:
    class Engine(StubEngine):
        def encode(self, crop: Any, face: Face) -> Any:
            if crop[0, 0, 0] == 66:
                raise OddError("out of memory.")
            return super().encode(crop, face)

    session = make_session(engine=Engine())
    session.add_portrait("bad", picture(66), title="Bad")
    session.add_portrait("good", picture(67))
    assert session.wait_for(lambda: all(p.status != "waiting" for p in session.portraits), WAIT)
    assert str(session.portrait("bad").error) == "Bad can't be animated: out of memory."
    assert session.portrait("good").status == "ready"


def test_tracker_that_can_not_be_made_is_said_by_the_portrait() -> None:
    def make() -> Any:
        raise OddError("no model")

    with LiveSession(engine=StubEngine(), resources=StubResources(make)) as session:
        session.add_portrait("a", picture(9))
        assert session.wait_for(lambda: session.portrait("a").status == "failed", WAIT)
        assert "no model" in str(session.portrait("a").error)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (1, 1)])
def test_frames_without_size_are_no_end(make_session: Make, size: tuple[int, int]) -> None:
    """With the real tracker, which is what looks at them."""
    from models.tracker import FaceTracker

    looked, real = threading.Event(), FaceTracker()

    class Both(StubTracker):
        """A real tracker looks at every driving frame; what counts is what the stub sees."""

        def track(self, rgb: np.ndarray) -> Face | None:
            looked.set()
            real.track(rgb)
            return super().track(rgb)

    seen = Shown()
    session = make_session(resources=StubResources(Both))
    session.add_sink(seen)
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(np.zeros((*size, 3), np.uint8))
    assert looked.wait(WAIT)
    box.items.put(picture(30))
    seen.wait(lambda f: drives(f, 30))


def test_face_is_followed_through_frames_of_other_sizes_and_turned_ones(astronaut: np.ndarray) -> None:
    from models.tracker import FaceTracker

    tracker = FaceTracker()
    for rgb in (astronaut, astronaut[::2, ::2], astronaut[:400], np.rot90(astronaut), astronaut[:, ::-1], astronaut):
        face = tracker.track(np.ascontiguousarray(rgb))
        assert face is not None
        assert np.all(face.centre > 0)
        assert np.all(face.centre < rgb.shape[1::-1])


def test_another_driving_face_is_followed_at_once(make_session: Make, seen: Shown) -> None:
    class Two(StubTracker):
        """Two faces; it follows the one that it was told to, or the right one."""

        def __init__(self) -> None:
            super().__init__()
            self.followed: Face | None = None

        def reset(self) -> None:
            self.followed = None

        def start(self, face: Face, rgb: np.ndarray | None = None) -> Face:
            self.followed = face
            return face

        def detect(self, rgb: np.ndarray, limit: int | None = None, *, covered: bool = False) -> list[Face]:
            return [face_at(40, 100), face_at(160, 100)]

        def track(self, rgb: np.ndarray) -> Face | None:
            return self.followed or self.detect(rgb)[1]

    session = make_session(resources=StubResources(Two))
    session.add_sink(seen)
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(10))
    frame = seen.wait(lambda f: drives(f, 10))
    assert frame.face is not None
    assert frame.face.centre[0] == pytest.approx(160, abs=8)
    session.set_options(RenderOptions.from_values({"driving_face": "left"}))
    box.items.put(picture(20))
    frame = seen.wait(lambda f: drives(f, 20))
    assert frame.face is not None
    assert frame.face.centre[0] == pytest.approx(40, abs=8)


def test_engine_that_can_not_be_had_is_left_for_another_one() -> None:
    """The window starts its session once; who then chooses an engine that works sees the portrait."""
    asked: list[str] = []

    def load(options: RenderOptions, *_: Any) -> StubEngine:
        asked.append(options.program.engine)
        if options.program.engine != "good":
            raise MissingError(f"{options.program.engine} is not here.")
        return StubEngine()

    seen = Shown()
    with LiveSession(RenderOptions.from_values({"engine": "gone"}), resources=StubResources(load=load)) as session:
        session.add_sink(seen)
        session.add_portrait("a", picture(100))
        session.start()
        assert session.settle(WAIT)
        assert session.state == "idle"
        tried = len(asked)
        session.set_options(RenderOptions.from_values({"engine": "gone", "multiplier": 2.0}))
        assert session.settle(WAIT)
        assert len(asked) == tried  # not tried again with every option that changes
        session.set_options(RenderOptions.from_values({"engine": "good"}))
        assert seen.wait(lambda f: True).portrait == "a"
        assert session.state == "running"


def test_engine_that_breaks_while_it_is_loaded_leaves_the_one_before(make_session: Make, messages: Any) -> None:
    def load(options: RenderOptions, *_: Any) -> StubEngine:
        if options.program.device == "cuda":
            raise OddError("driver too old")
        return StubEngine()

    session = make_session(engine=None, resources=StubResources(load=load))
    before = session.engine
    session.start()
    session.set_options(RenderOptions.from_values({"device": "cuda", "multiplier": 2.0}))
    assert session.settle(WAIT)
    assert session.engine is before
    assert session.state == "running"
    assert (session.options.program.device, session.options.animation.multiplier) == ("auto", 2.0)
    assert str(session.error) == "The engine auto can't be loaded (OddError: driver too old)."


@pytest.mark.parametrize("values", [{"precision": "fp32"}, {"animals": True}, {"threads": 2}])
def test_options_of_the_engine_load_it_anew_once(make_session: Make, values: dict[str, Any]) -> None:
    loaded: list[RenderOptions] = []

    def load(options: RenderOptions, *_: Any) -> StubEngine:
        loaded.append(options)
        return StubEngine()

    session = make_session(engine=None, resources=StubResources(load=load))
    session.start()
    for multiplier in (1.0, 1.5):
        session.set_options(RenderOptions.from_values(values | {"multiplier": multiplier}))
    assert session.settle(WAIT)
    assert len(loaded) == 2
    assert session.state == "running"


def test_detector_that_can_not_be_had_leaves_the_one_before(make_session: Make, seen: Shown) -> None:
    gone = threading.Event()

    def tracker() -> Any:
        if gone.is_set():
            raise MissingError("There is no such detector.")
        return StubTracker()

    session = make_session(resources=StubResources(tracker))

    session.add_sink(seen)
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(10))
    seen.wait(lambda f: drives(f, 10))
    gone.set()
    session.set_options(RenderOptions.from_values({"detector": "insightface"}))
    assert session.settle(WAIT)
    assert "no such detector" in str(session.error)
    assert session.state == "running"
    box.items.put(picture(20))
    seen.wait(lambda f: drives(f, 20))


def test_recording_goes_on_through_another_engine_and_detector(make_session: Make, seen: Shown) -> None:
    """It was finished and begun anew under the same name, which left only the last part."""
    opened, closed = [], []

    class Film(Sink):
        name = "recorder"

        def open(self) -> None:
            opened.append(1)

        def write(self, frame: LiveFrame) -> None:
            pass

        def close(self) -> str:
            closed.append(1)
            return ""

    session = make_session(engine=None, resources=StubResources())
    session.add_sink(Film())
    session.add_sink(seen)
    box = Box()
    session.set_driver(box.source())
    session.start()
    values = [{"device": "cpu"}, {"device": "cpu", "detector": "auto"}]
    for i, changed in enumerate([{}, *values]):
        session.set_options(RenderOptions.from_values(changed))
        assert session.settle(WAIT)
        box.items.put(picture(10 + i))
        seen.wait(lambda f, i=i: drives(f, 10 + i))
    assert (opened, closed) == ([1], [])
    assert session.stats().captured == 3
    session.stop()
    assert session.settle(WAIT)
    assert closed == [1]


def test_size_is_governed_by_one_thread_at_a_time() -> None:
    quality, entered, go, settled = Quality(), threading.Event(), threading.Event(), threading.Event()

    class Slow:
        size = 64

        def __call__(self, *_: Any) -> str:
            entered.set()
            assert go.wait(WAIT)
            assert not settled.is_set()
            return "done"

        def settle(self, now: float) -> None:
            settled.set()

    quality.renew(StubEngine(), Settings(), 0.0)
    quality._governor = Slow()  # type: ignore[assignment]
    said: list[str] = []
    first = threading.Thread(target=lambda: said.append(quality.watch(0.0, 0.1, 30.0, 30.0, 64)))
    second = threading.Thread(target=lambda: quality.settle(0.0))
    first.start()
    assert entered.wait(WAIT)
    second.start()
    go.set()
    first.join(WAIT)
    second.join(WAIT)
    assert said == ["done"]
    assert settled.is_set()


@pytest.mark.parametrize("what", ["parts", "channel"])
def test_readers_ahead_say_what_went_wrong(what: str, tmp_path: Path) -> None:
    def tracker() -> Any:
        raise OddError("no model")

    clip = tmp_path / "clip.png"
    from app.media.images import write_image

    write_image(clip, picture(9))
    context = Context(resources=StubResources(tracker))
    if what == "parts":
        loader = PartLoader(context)
        loader.want(StubEngine(), RenderOptions.from_values({"lips_from": str(clip)}))
        end: Callable[[], None] = loader.task.cancel
    else:
        finder = ChannelLoader(context)
        finder.want(StubEngine(), file_source(clip), RenderOptions())
        end = finder.cancel
    assert context.complained.wait(WAIT)
    assert "no model" in context.said[0]
    end()


def test_no_room_for_scratch_files_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from app.frames import channels
    from app.media.images import write_image

    def full() -> Any:
        raise OSError("No space left on device")

    monkeypatch.setattr(channels, "scratch_track", full)
    write_image(tmp_path / "clip.png", picture(9))
    context = Context()
    loader = PartLoader(context)
    loader.want(StubEngine(), RenderOptions.from_values({"lips_from": str(tmp_path / "clip.png")}))
    assert context.complained.wait(WAIT)
    assert "No space left" in context.said[0]
    loader.task.cancel()


# ---- drivers --------------------------------------------------------------------------------------------------------


def test_nobody_drives_although_the_last_frame_comes_late() -> None:
    """A frame that is still being tracked when its driver is taken away must not win over the portrait at rest."""
    engine, tracker = StubEngine(), StubTracker()
    looking, look, drawing, draw = (threading.Event() for _ in range(4))
    published: list[LiveFrame] = []
    came = threading.Condition()

    def publish(frame: LiveFrame, _: float) -> None:
        with came:
            published.append(frame)
            came.notify_all()

    def wait(good: Callable[[], bool]) -> bool:
        with came:
            return came.wait_for(good, WAIT)

    with LiveSession(engine=engine, resources=StubResources(lambda: tracker), clock=Clock(0.0)) as session:
        session.add_portrait("a", picture(100))
        assert session.wait_for(lambda: session.portrait("a").status == "ready", WAIT)
        run = pipeline_of(session, engine, publish)
        try:
            run.drive(1, driven=True)
            run.captured.put(Sample(0, 0.1, picture(10), run=1))
            assert wait(lambda: bool(published) and drives(published[-1], 10))
            engine.before = lambda: (drawing.set(), draw.wait(WAIT))  # type: ignore[assignment, return-value]
            run.redraw()
            assert drawing.wait(WAIT)  # the drawing thread takes nothing meanwhile
            tracker.seen = lambda _: (looking.set(), look.wait(WAIT))  # type: ignore[assignment, return-value]
            run.captured.put(Sample(1, 0.2, picture(20), run=1))
            assert looking.wait(WAIT)
            run.drive(2, driven=False)
            handed_on, take = threading.Event(), run.captured.take
            run.captured.take = lambda timeout: (handed_on.set(), take(timeout))[1]  # type: ignore[method-assign]
            look.set()
            assert handed_on.wait(WAIT)  # the thread that tracks asks for the next frame
            tracker.seen = lambda _: None
            engine.before = lambda: None
            draw.set()
            assert wait(lambda: published[-1].driver is None)
        finally:
            look.set()
            draw.set()
            run.stop()
            assert run.join(WAIT)


class Dark:
    """Drivers of parts that move the portrait far to the left."""

    plays = False

    def join(self, shown: driving.Shown, *_: object) -> tuple[driving.Shown, dict[Path, driving.Shown]]:
        return replace(shown, motion=replace(shown.motion, translation=shown.motion.translation - 1)), {}


def test_parts_that_come_while_a_frame_waits_to_be_drawn_are_taken() -> None:
    """The frame stands still, so that no other one would bring them."""
    engine, parts = StubEngine(), SimpleNamespace(current=None)
    drawing, draw, told = (threading.Event() for _ in range(3))
    came = threading.Condition()
    published: list[LiveFrame] = []

    def publish(frame: LiveFrame, _: float) -> None:
        with came:
            published.append(frame)
            came.notify_all()

    def wait(good: Callable[[LiveFrame], bool]) -> bool:
        with came:
            return came.wait_for(lambda: bool(published) and good(published[-1]), WAIT)

    with LiveSession(engine=engine, resources=StubResources(), clock=Clock(0.0)) as session:
        session.add_portrait("a", picture(100))
        assert session.wait_for(lambda: session.portrait("a").status == "ready", WAIT)
        session.parts = parts
        run = pipeline_of(session, engine, publish)
        try:
            run.drive(1, driven=True)
            assert wait(lambda frame: frame.driver is None)
            engine.before = lambda: (drawing.set(), draw.wait(WAIT))  # type: ignore[assignment, return-value]
            run.redraw()
            assert drawing.wait(WAIT)  # the drawing thread takes nothing meanwhile
            redraw = run.redraw
            run.redraw = lambda: (redraw(), told.set())  # type: ignore[method-assign, assignment, return-value]
            asked, take = threading.Semaphore(0), run.captured.take
            run.captured.take = lambda timeout: (asked.release(), take(timeout))[1]  # type: ignore[method-assign]
            run.captured.put(Sample(0, 0.1, picture(10), run=1))
            while run.tracked.count == 0:
                assert asked.acquire(timeout=WAIT)  # it waits to be drawn
            parts.current = Dark()
            run.renew()
            assert told.wait(WAIT)
            draw.set()
            assert wait(lambda frame: drives(frame, 10) and frame.picture[100, 100, 0] < 60)
        finally:
            draw.set()
            run.stop()
            assert run.join(WAIT)


class Stuck(HandDriver):
    """A camera whose driver does not answer, in one of its methods, until the test ends."""

    gate = threading.Event()

    def __init__(self, box: Box, where: str) -> None:
        super().__init__(box)
        self._where = where
        self._gate = self.gate

    def open(self) -> None:
        super().open()
        if self._where == "open":
            self._gate.wait(WAIT)

    def read(self) -> Sample | None:
        captured = super().read() if self._index < 0 else None
        if captured is None:
            self._gate.wait(WAIT)
        return captured


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Box, Callable[[], str]], DriverSource]]:
    monkeypatch.setattr(captures, "JOIN", 0.01)
    monkeypatch.setattr(captures, "LAST_WAIT", 0.01)
    monkeypatch.setattr(Stuck, "gate", threading.Event())

    def source(box: Box, where: Callable[[], str]) -> DriverSource:
        def make(clock: Any, _engine: Any) -> Any:
            box.clock = clock
            place = where()
            return Stuck(box, place) if place else HandDriver(box)

        return DriverSource("camera", "Cam", make)

    yield source
    Stuck.gate.set()


def test_camera_that_never_answers_again_is_said_and_opened_anew(
    make_session: Make, seen: Shown, stuck: Any, messages: Any
) -> None:
    clock, box, where = Clock(), Box(), ["read", ""]
    session = make_session(clock=clock)
    session.add_sink(seen)
    session.set_driver(stuck(box, lambda: where.pop(0)))
    session.start()
    box.items.put(picture(40))
    seen.wait(lambda f: drives(f, 40))
    clock.now += captures.SILENCE + 1
    assert session.wait_for(lambda: session.state == "waiting", WAIT)
    assert "No frames received from" in str(session.driver_error)
    assert box.opened == 1
    clock.now += captures.STUCK
    box.items.put(picture(41))
    seen.wait(lambda f: drives(f, 41))
    assert session.wait_for(lambda: session.state == "running", WAIT)
    assert box.opened == 2
    assert "The camera is back." in messages.text
    session.close()
    assert session.state == "closed"


def test_camera_that_hangs_while_it_opens_is_said_and_not_opened_for_ever(
    make_session: Make, stuck: Any, messages: Any
) -> None:
    clock, box = Clock(), Box()
    session = make_session(clock=clock)
    session.set_driver(stuck(box, lambda: "open"))
    session.start()
    assert session.wait_for(lambda: box.opened == 1, WAIT)
    clock.now += captures.OPENING + 1
    assert session.wait_for(lambda: session.state == "waiting", WAIT)
    assert "has not opened within 10 s" in str(session.driver_error)
    for _ in range(captures.STUCK_AT_ONCE + 3):
        clock.now += captures.STUCK + 1
        for _ in range(2):
            session._control.put(session._capture.watch)
        assert session.settle(WAIT)
    assert box.opened == 1 + captures.STUCK_AT_ONCE


def test_driver_that_can_not_be_made_is_an_error_and_not_the_end(make_session: Make, seen: Shown) -> None:
    def make(*_: Any) -> Any:
        raise OddError("no such back end")

    session = make_session()
    session.add_sink(seen)
    session.set_driver(DriverSource("camera", "odd", make))
    session.start()
    assert session.wait_for(lambda: session.driver_error is not None, WAIT)
    assert "no such back end" in str(session.driver_error)
    box = Box()
    session.set_driver(box.source())
    box.items.put(picture(7))
    seen.wait(lambda f: drives(f, 7))


@pytest.mark.parametrize("method", ["hint", "close", "cancel"])
def test_driver_whose_other_methods_fail(make_session: Make, seen: Shown, method: str) -> None:
    """Those that are called between frames, from the control thread, or when the device is gone."""
    called = threading.Event()

    def fail(*_: Any) -> Any:
        called.set()
        raise OddError(method)

    session = make_session()
    session.add_sink(seen)
    box = Box()
    odd = type("OddDriver", (HandDriver,), {method: fail})

    def make(clock: Any, _engine: Any) -> HandDriver:
        box.clock = clock
        made: HandDriver = odd(box)
        return made

    session.set_driver(DriverSource("camera", "odd", make))
    session.start()
    box.items.put(picture(5))
    seen.wait(lambda f: drives(f, 5))
    if method == "close":
        box.items.put(AppError("unplugged"))
    if method == "cancel":
        session.stop()
    assert called.wait(WAIT)
    good = Box()
    session.start()
    session.set_driver(good.source())
    good.items.put(picture(6))
    seen.wait(lambda f: drives(f, 6))
    for each in list(threading.enumerate()):
        if each.name.startswith("live-capture"):
            box.items.put(AppError("it ends"))  # the one that could not be told to


def test_motion_survives_time_that_goes_back_or_leaps() -> None:
    motion, engine = LiveChannel(StubEngine()), StubEngine()
    times = [0.0, 0.04, 0.02, 3600.0, 3600.04, 10.0, 10.04]
    for number, time in enumerate(times):
        step = motion(engine._motion(0.1 * number), time, AnimationOptions())
        assert step is not None
        assert np.isfinite(step.motion.translation).all()
        assert abs(step.motion.translation[0, 0] - 0.1 * number) <= 0.2
    held = [motion(None, time, AnimationOptions()) for time in (9.0, 10.1, 4000.0)]
    assert all(each is not None and np.isfinite(each.motion.translation).all() for each in held)


# ---- sinks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["open", "write", "close"])
def test_sink_with_an_error_of_any_kind_stops_alone_and_says_so(
    make_session: Make, seen: Shown, messages: Any, method: str
) -> None:
    def fail(*_: Any) -> Any:
        raise OddError("the microphone is gone")

    class Good(Sink):
        name = "odd"

        def write(self, frame: LiveFrame) -> None:
            pass

    session = make_session()
    odd = type("OddSink", (Good,), {method: fail})
    session.add_sink(odd())
    session.add_sink(seen)
    session.start()
    seen.wait(lambda f: True)
    if method == "close":
        session.stop()
    status = {s.name: s for s in session.sinks}
    assert session.wait_for(lambda: "the microphone is gone" in messages.text, WAIT)
    assert session.settle(WAIT)
    assert status["preview"].status == "running"


def test_output_that_keeps_failing_is_told_once() -> None:
    from app.live.sinks import SinkThread

    tries = threading.Semaphore(0)

    class Failing(Sink):
        name, retry = "failing", 0.0

        def write(self, frame: LiveFrame) -> None:
            tries.release()
            raise AppError("The device is busy.")

    context = Context(Clock())
    runner = SinkThread(Failing(), context)
    grey = picture(1)
    while not tries.acquire(blocking=False):
        runner.frames.put(LiveFrame(0, 0.0, grey, grey))
    for _ in range(5):
        while not tries.acquire(blocking=False):
            runner.frames.put(LiveFrame(0, 0.0, grey, grey))
    runner.stop()
    assert runner.join(WAIT)
    assert context.said == ["The device is busy. Trying again every 0 s."]


def test_output_that_hangs_is_left_out_at_the_next_start(make_session: Make, seen: Shown, messages: Any) -> None:
    """Two threads in one sink would close each other's device."""
    gate, inside = threading.Event(), threading.Semaphore(0)
    opened: list[threading.Thread] = []

    class Hanging(Sink):
        name, patience = "hanging", 0.01

        def open(self) -> None:
            opened.append(threading.current_thread())

        def write(self, frame: LiveFrame) -> None:
            inside.release()
            gate.wait(WAIT)

    session = make_session()
    session.add_sink(Hanging())
    session.add_sink(seen)
    session.start()
    assert inside.acquire(timeout=WAIT)
    for _ in range(2):
        session.stop()
        session.start()
    assert session.settle(WAIT)
    assert len(opened) == 1
    assert messages.text.count("The output hanging no longer responds and is skipped") == 2
    gate.set()
    opened[0].join(WAIT)
    session.stop()
    session.start()
    assert inside.acquire(timeout=WAIT)
    assert len(opened) == 2


def test_recording_is_completed_although_the_engine_is_stuck(make_session: Make, tmp_path: Path) -> None:
    gate, begun = threading.Event(), threading.Event()
    engine = StubEngine()
    path, written = tmp_path / "out.mp4", threading.Event()

    class Recorder(RecorderSink):
        def write(self, frame: LiveFrame) -> None:
            super().write(frame)
            written.set()

    session = make_session(engine=engine)
    session.add_sink(Recorder(path))
    session.start()
    assert written.wait(WAIT)

    def hang() -> None:
        begun.set()
        gate.wait(WAIT)

    engine.before = hang
    session.context.redraw()
    assert begun.wait(WAIT)
    session.close(0.0)
    assert path.stat().st_size > 0
    gate.set()
    session.close()
    assert session.state == "closed"


# ---- listeners ------------------------------------------------------------------------------------------------------


def test_listeners_that_fail_are_shown_and_the_session_goes_on(seen: Shown, hooked: list[BaseException | None]) -> None:
    """A window that has closed, or a terminal that has gone."""

    def fail(*_: Any) -> None:
        raise OddError("nobody listens")

    session = LiveSession(engine=StubEngine(), resources=StubResources(), events=EventStream(fail), on_change=fail)
    with session:
        session.add_sink(seen)
        session.add_sink(NullSink())
        session.add_portrait("a", picture(100))
        box = Box()
        session.set_driver(box.source())
        session.start()
        box.items.put(picture(5))
        seen.wait(lambda f: drives(f, 5))
        box.items.put(AppError("unplugged"))  # which is told
        assert session.wait_for(lambda: session.state == "waiting", WAIT)
        box.items.put(picture(6))
        seen.wait(lambda f: drives(f, 6))
    assert session.state == "closed"
    assert hooked
    assert all(isinstance(error, OddError) for error in hooked)


def test_guarded_callback_passes_everything_on(hooked: list[BaseException | None]) -> None:
    got: list[Any] = []
    guarded(lambda *args, **named: got.append((args, named)))(1, b=2)
    assert got == [((1,), {"b": 2})]
    assert hooked == []


def test_commands_follow_each_other_whatever_one_of_them_does() -> None:
    done: list[str] = []
    told: list[AppError] = []

    def bad() -> None:
        raise OddError("no")

    def complain(error: AppError) -> None:
        told.append(error)
        raise OddError("not even that")

    control = Control(lambda: None, complain, lambda: done.append("end"))
    control.thread.start()
    for command in (bad, lambda: done.append("first"), bad):
        control.put(command)
    assert control.settle(WAIT)
    control.end()
    control.thread.join(WAIT)
    assert done == ["first", "end"]
    assert [str(error) for error in told] == ["Internal error (OddError: no)."] * 2
