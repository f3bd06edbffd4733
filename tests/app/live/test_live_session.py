"""Live sessions: states, drivers, portraits, settings, faults; with stub engine and driver, and once with real ones."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_stubs import (
    WAIT,
    Box,
    Clock,
    HandDriver,
    Shown,
    StubEngine,
    StubResources,
    StubTracker,
    drives,
    picture,
    pipeline_of,
)

from app.errors import MediaError, MissingError, NoFaceError
from app.events import EventStream
from app.live import TRANSITIONS, LiveFrame, LiveSession, NullSink, PreviewSink, file_source
from app.live.portraits import READY, shrunk
from app.live.sinks import Sink
from app.live_options import LiveOptions
from app.options import RenderOptions
from app.sources.sample import Sample
from liveportrait.expression import Expression

ROOT = Path(__file__).resolve().parents[3]
Make = Callable[..., LiveSession]


def level(frame: LiveFrame) -> int:
    """Brightness of the animated square: where the stub engine's keypoints are."""
    height, width = frame.picture.shape[:2]
    y, x, half = height // 2, width // 2, height // 8
    return round(float(frame.picture[y - half : y + half, x - half : x + half, 0].mean()))  # the watermark has mean 0


@pytest.fixture
def shown() -> Shown:
    return Shown()


# ---- states ---------------------------------------------------------------------------------------------------------


def test_states_form_one_machine() -> None:
    assert set().union(*TRANSITIONS.values()) | {"idle"} == set(TRANSITIONS)
    assert all("stopping" in TRANSITIONS[s] for s in ("starting", "running", "waiting"))
    assert not TRANSITIONS["closed"]


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_commands(make_session: Make, shown: Shown, seed: int, tmp_path: Path) -> None:
    """Photo, video, camera, start and stop in any order: only allowed transitions, and it always works at the end."""
    moves: list[tuple[str, str]] = []

    class Watched(LiveSession):
        def _move(self, new: Any) -> bool:
            with self._changed:
                old = self._state
                done = super()._move(new)
                if done:
                    moves.append((old, new))
            return done

    session = make_session(Watched)
    session.add_sink(shown)
    boxes = [Box(), Box(lasting=False)]
    commands: list[Callable[[], None]] = [
        session.start, session.start, session.stop, lambda: session.set_driver(None),
        lambda: session.set_driver(boxes[0].source()), lambda: session.set_driver(boxes[1].source("video")),
        lambda: session.select_portrait("a"), session.recentre, lambda: boxes[0].items.put(picture(50)),
    ]  # fmt: skip
    for command in random.Random(seed).choices(commands, k=50):
        command()
    session.settle(WAIT)
    assert all(new in TRANSITIONS[old] for old, new in moves)
    session.stop()
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(77))
    shown.wait(lambda f: drives(f, 77))
    assert session.state == "running"
    session.stop()
    session.settle(WAIT)
    assert session.state == "idle"
    assert box.closed == box.opened == 1


def test_close_during_work_and_twice(make_session: Make) -> None:
    session = make_session()
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(9))
    session.close()
    session.close()
    assert session.state == "closed"
    session.start()
    assert session.state == "closed"
    assert box.closed == box.opened


def test_stop_before_the_first_picture(make_session: Make) -> None:
    session = make_session()
    session.set_driver(Box().source())
    session.start()
    session.stop()
    assert session.settle(WAIT)
    assert session.state == "idle"


def test_stop_waits_for_a_slow_frame(make_session: Make) -> None:
    gate = threading.Event()
    engine = StubEngine()
    session = make_session(engine=engine)
    engine.before = lambda: gate.wait(WAIT)  # type: ignore[assignment]
    session.add_sink(NullSink())
    session.start()
    session.stop()
    assert session.wait_for(lambda: session.state == "stopping", WAIT)
    gate.set()
    assert session.settle(WAIT)
    assert session.state == "idle"


def test_engine_that_does_not_load(messages: Any) -> None:
    def load(*_: Any) -> Any:
        raise MissingError("There is no engine.", "Get one.")

    with LiveSession(resources=StubResources(load=load), events=EventStream(messages.append)) as session:
        session.start()
        assert session.wait_for(lambda: session.error is not None and session.state == "idle", WAIT)
        assert str(session.error) == "There is no engine. Get one."
        assert [e.level for e in messages] == ["error"]


def test_another_engine_while_running(make_session: Make, shown: Shown) -> None:
    engines: list[StubEngine] = []

    def load(options: RenderOptions, *_: Any) -> StubEngine:
        if options.program.engine == "broken":
            raise MissingError("broken is not here.")
        engines.append(StubEngine())
        return engines[-1]

    session = make_session(engine=None, resources=StubResources(load=load))
    session.add_sink(shown)
    session.start()
    shown.wait(lambda f: True)
    session.set_options(RenderOptions.from_values({"engine": "other"}))
    session.settle(WAIT)
    assert session.engine is engines[1]
    assert session.wait_for(lambda: session.state == "running" and engines[1].encoded > 0, WAIT)
    session.set_options(RenderOptions.from_values({"engine": "broken"}))
    session.settle(WAIT)
    assert session.engine is engines[1]
    assert session.options.program.engine == "other"
    assert session.state == "running"
    assert str(session.error) == "broken is not here."


# ---- picture and settings -------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_portrait_follows_driver_sliders_and_options(make_session: Make, shown: Shown) -> None:
    session = make_session()
    session.add_sink(shown)
    session.start()
    rest = shown.wait(lambda f: f.driver is None)
    assert level(rest) == 128
    assert rest.source[0, 0, 0] == 100
    session.set_expression(Expression({"smile": 0.5}))
    assert level(shown.wait(lambda f: level(f) != 128)) == 178
    session.set_expression(None)
    shown.wait(lambda f: level(f) == 128)
    box = Box()
    session.set_driver(box.source())
    box.items.put(picture(80))
    shown.wait(lambda f: drives(f, 80))
    box.items.put(picture(240))
    moved = level(shown.wait(lambda f: drives(f, 240)))
    assert moved > 132
    session.set_options(RenderOptions.from_values({"multiplier": 0.0}))
    assert shown.wait(lambda f: level(f) == 128).fresh is False
    session.set_options(RenderOptions())
    shown.wait(lambda f: level(f) == moved)
    session.set_driver(None)
    assert level(shown.wait(lambda f: f.driver is None)) == 128


def test_bare_crop(make_session: Make, shown: Shown) -> None:
    session = make_session()
    session.add_sink(shown)
    session.start()
    shown.wait(lambda f: f.picture.shape == (200, 200, 3))
    session.set_options(RenderOptions.from_values({"paste_back": False}))
    assert shown.wait(lambda f: f.picture.shape[0] == 64).source.shape == (64, 64, 3)


def test_lost_face_is_counted_and_the_picture_goes_on(make_session: Make, shown: Shown) -> None:
    session = make_session()
    session.add_sink(shown)
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(200))
    assert shown.wait(lambda f: drives(f, 200)).seen
    box.items.put(picture(0))
    frame = shown.wait(lambda f: drives(f, 0))
    assert not frame.seen
    assert frame.face is None
    assert session.stats().lost == 1


def test_drawing_that_fails_is_said_once_and_recovers(make_session: Make, shown: Shown, messages: Any) -> None:
    engine = StubEngine()
    session = make_session(engine=engine)
    session.add_sink(shown)
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(10))
    shown.wait(lambda f: drives(f, 10))
    engine.fault = RuntimeError("out of memory")
    box.items.put(picture(20))
    assert session.wait_for(lambda: session.draw_error is not None, WAIT)
    assert "out of memory" in str(session.draw_error)
    session.set_expression(Expression({"smile": 0.1}))  # fails as well
    engine.fault = None
    box.items.put(picture(30))
    shown.wait(lambda f: drives(f, 30))
    assert session.draw_error is None
    assert messages.text.count("out of memory") == 1


def test_numbers_that_are_none_keep_the_last_picture(make_session: Make, shown: Shown, messages: Any) -> None:
    class Broken(StubEngine):
        def slider_delta(self, portrait: Any, sliders: Any) -> Any:
            return np.full((1, 4, 3), np.nan, np.float32)

    session = make_session(engine=Broken())
    session.add_sink(shown)
    session.start()
    shown.wait(lambda f: True)
    count = len(shown.frames)
    session.set_expression(Expression({"smile": 1.0}))
    assert session.wait_for(lambda: session.draw_error is not None, WAIT)
    assert "not a number" in messages.text
    assert len(shown.frames) == count


# ---- portraits ------------------------------------------------------------------------------------------------------


def test_ready_portraits_switch_at_once(make_session: Make, shown: Shown) -> None:
    engine = StubEngine()
    session = make_session(engine=engine)
    for key, value in (("b", 30), ("c", 60)):
        session.add_portrait(key, picture(value))
    assert session.wait_for(lambda: all(p.status == "ready" for p in session.portraits), WAIT)
    session.add_sink(shown)
    session.start()
    shown.wait(lambda f: f.portrait == "a")
    encoded = engine.encoded
    for i in range(200):
        session.select_portrait("abc"[i % 3])
    frame = shown.wait(lambda f: f.portrait == "b")
    assert frame.source[0, 0, 0] == 30
    assert engine.encoded == encoded
    with pytest.raises(KeyError):
        session.select_portrait("z")


def test_many_portraits_keep_only_some_ready(make_session: Make, shown: Shown) -> None:
    session = make_session()
    for i in range(READY + 8):
        session.add_portrait(f"p{i}", picture(i + 1))
    assert session.wait_for(lambda: all(p.status == "ready" for p in session.portraits), WAIT)
    ready = [e for e in session._store._entries.values() if e.prepared is not None]
    assert len(ready) <= READY + 1
    session.add_sink(shown)
    session.start()
    for i in (0, 5, READY + 7):
        session.select_portrait(f"p{i}")
        assert shown.wait(lambda f, key=f"p{i}": f.portrait == key).source[0, 0, 0] == i + 1


def test_portrait_without_a_face_fails_alone(make_session: Make, shown: Shown, tmp_path: Path) -> None:
    session = make_session()
    session.add_portrait("black", picture(0))
    session.add_portrait("gone", tmp_path / "gone.png")
    assert session.wait_for(lambda: all(p.status != "waiting" for p in session.portraits), WAIT)
    assert isinstance(session.portrait("black").error, NoFaceError)
    assert isinstance(session.portrait("gone").error, MediaError)
    session.select_portrait("black")
    session.add_sink(shown)
    session.start()
    assert shown.wait(lambda f: True).portrait == "a"


def test_replacing_and_removing(make_session: Make, shown: Shown) -> None:
    session = make_session()
    session.add_sink(shown)
    session.start()
    session.add_portrait("a", picture(44))
    shown.wait(lambda f: f.source[0, 0, 0] == 44)
    session.add_portrait("b", picture(55))
    session.remove_portrait("a")
    assert session.selected == "b"
    shown.wait(lambda f: f.source[0, 0, 0] == 55)


def test_new_crop_is_prepared_in_the_background(make_session: Make, shown: Shown) -> None:
    engine = StubEngine()
    session = make_session(engine=engine)
    before = engine.encoded
    session.set_options(RenderOptions.from_values({"crop_scale": 3.0}))
    assert session.wait_for(lambda: engine.encoded > before, WAIT)
    session.set_options(RenderOptions.from_values({"crop_scale": 3.0, "multiplier": 2.0}))
    session.settle(WAIT)
    assert engine.encoded == before + 1


def test_size_of_the_square_is_an_option(make_session: Make) -> None:
    engine = StubEngine()
    engine.max_crop = 1024  # type: ignore[attr-defined]
    session = make_session(engine=engine)
    assert engine.max_crop == 512
    before = engine.encoded
    session.set_options(RenderOptions.from_values({"max_crop": 400}))
    assert session.wait_for(lambda: engine.encoded > before, WAIT)
    assert engine.max_crop == 400


def test_large_portraits_are_scaled_down() -> None:
    big = np.zeros((300, 600, 4), np.uint8)
    big[:, :300] = (200, 100, 50, 255)
    small = shrunk(big, 150)
    assert small.shape == (75, 150, 4)
    assert small[10, 10].tolist() == [200, 100, 50, 255]
    edge = small[30, 74]  # clear pixels don't darken the border
    assert edge[3] == 255 or edge[0] >= 198
    assert shrunk(big, 0) is big


# ---- drivers --------------------------------------------------------------------------------------------------------


def test_camera_goes_and_comes_back(make_session: Make, shown: Shown, messages: Any) -> None:
    session = make_session()
    session.add_sink(shown)
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(40))
    shown.wait(lambda f: drives(f, 40))
    box.refusal = MediaError("The camera is not connected.")
    box.items.put(MediaError("The camera gives no more images."))
    assert session.wait_for(lambda: session.state == "waiting", WAIT)
    assert str(session.driver_error) == "The camera gives no more images."
    session.set_expression(Expression({"smile": 0.5}))  # the portrait still answers
    assert drives(shown.wait(lambda f: not f.fresh), 40)
    box.refusal = None
    box.items.put(picture(41))
    shown.wait(lambda f: drives(f, 41))
    assert session.state == "running"
    assert session.driver_error is None
    assert "Trying again." in messages.text
    assert "The camera is back." in messages.text
    assert box.opened >= 2
    session.stop()
    session.settle(WAIT)
    assert box.closed == box.opened


def test_silent_camera_is_noticed(make_session: Make, shown: Shown) -> None:
    clock = Clock()
    session = make_session(clock=clock)
    session.add_sink(shown)
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(40))
    shown.wait(lambda f: drives(f, 40))
    clock.now += 60
    assert session.wait_for(lambda: session.state == "waiting", WAIT)
    assert "No frames received from" in str(session.driver_error)
    box.items.put(picture(41))
    shown.wait(lambda f: drives(f, 41))
    assert session.wait_for(lambda: session.state == "running", WAIT)


def test_driver_that_can_not_be_opened(make_session: Make, shown: Shown, messages: Any) -> None:
    session = make_session()
    session.add_sink(shown)
    box = Box(lasting=False)
    box.refusal = MediaError("talk.mp4 is broken.")
    session.set_driver(box.source("video"))
    session.start()
    assert session.wait_for(lambda: session.driver_error is not None, WAIT)
    assert box.opened == 1
    good = Box()
    session.set_driver(good.source())
    good.items.put(picture(12))
    shown.wait(lambda f: drives(f, 12))
    assert session.driver_error is None


def test_fault_of_a_driver_is_an_error_and_not_the_end(make_session: Make, shown: Shown) -> None:
    class Odd(HandDriver):
        def open(self) -> None:
            raise TypeError("odd camera")

    session = make_session()
    box = Box()
    source = box.source()
    session.set_driver(type(source)("camera", "odd", lambda clock, engine: Odd(box)))
    session.start()
    assert session.wait_for(lambda: session.driver_error is not None, WAIT)
    assert "odd camera" in str(session.driver_error)


def test_frames_of_the_driver_before_do_not_count(make_session: Make, shown: Shown) -> None:
    session = make_session()
    session.add_sink(shown)
    session.start()
    for value in range(1, 21):
        box = Box()
        session.set_driver(box.source())
        box.items.put(picture(value))
    shown.wait(lambda f: drives(f, 20))
    values = [int(f.driver[0, 0, 0]) for f in shown.frames if f.driver is not None and f.fresh]
    assert values == sorted(values)


def test_still_drives_with_its_expression(make_session: Make, shown: Shown, tmp_path: Path) -> None:
    from app.media.images import write_image

    path = tmp_path / "still.png"
    write_image(path, picture(90))
    session = make_session()
    session.add_sink(shown)
    source = file_source(path)
    assert source.kind == "still"
    session.set_driver(source)
    session.start()
    assert drives(shown.wait(lambda f: f.driver is not None), 90)
    session.set_expression(Expression({"smile": 0.2}))
    assert level(shown.wait(lambda f: not f.fresh and level(f) != 128)) == 148


def test_template_drives_over_and_over(make_session: Make, shown: Shown, tmp_path: Path) -> None:
    from fractions import Fraction

    from liveportrait.template import save_track
    from liveportrait.track import MotionTrack

    path = tmp_path / "wave.motion"
    engine = StubEngine()
    track = MotionTrack()
    for i in range(4):
        track.append(Fraction(i, 100), engine._motion(0.1 * i))
    save_track(path, track, Fraction(100))
    track.close()
    session = make_session(engine=engine, options=RenderOptions.from_values({"smooth": 0}))
    session.add_sink(shown)
    session.set_driver(file_source(path))
    session.start()
    for wanted in (158, 128, 158):  # the last frame, the first one of the next round, and on
        shown.wait(lambda f, wanted=wanted: abs(level(f) - wanted) <= 1)
    assert session.stats().captured >= 8


def test_slow_engine_never_builds_up_delay() -> None:
    """A camera of 30 and an engine of 8 frames a second, for a minute of the test's own time."""
    clock, tracker, engine = Clock(0.0), StubTracker(), StubEngine()
    looked = threading.Semaphore(0)
    begun, go, published = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)
    tracker.seen = lambda _: looked.release()
    ages: list[float] = []
    numbers: list[int] = []

    def draw() -> None:
        begun.release()
        assert go.acquire(timeout=WAIT)

    def publish(frame: LiveFrame, _: float) -> None:
        if frame.fresh:
            ages.append(clock() - frame.time)
            numbers.append(frame.index)
        published.release()

    session = LiveSession(engine=engine, resources=StubResources(lambda: tracker), clock=clock)
    session.add_portrait("a", picture(100))
    assert session.wait_for(lambda: session.portrait("a").status == "ready", WAIT)
    engine.before = draw
    run = pipeline_of(session, engine, publish)
    try:
        run.drive(1, driven=True)
        assert begun.acquire(timeout=WAIT)  # the portrait at rest
        engine_time, finish, captured = 1 / 8, 1 / 8, 0
        while clock.now < 60.0:
            tick = captured / 30
            if tick < finish:
                clock.now = tick
                run.captured.put(Sample(captured, tick, picture(captured % 200 + 1), run=1))
                captured += 1
                assert looked.acquire(timeout=WAIT)
            else:
                clock.now = finish
                finish += engine_time
                go.release()
                assert published.acquire(timeout=WAIT)
                assert begun.acquire(timeout=WAIT)
        dropped = run.captured.dropped + run.tracked.dropped
        assert run.drawn.dropped == 0
    finally:
        run.stop()
        engine.before = lambda: None
        go.release()
        assert run.join(WAIT)
        session.close()
    assert len(ages) > 450
    assert max(ages) < 2 * engine_time
    assert dropped > 1200
    assert numbers == sorted(numbers)


def test_a_square_is_pasted_while_the_next_one_is_drawn(make_session: Make) -> None:
    """The engine works on the second frame while the first one is still on its way to the sinks."""
    engine, clock = StubEngine(), Clock(0.0)
    begun = threading.Semaphore(0)
    together: list[bool] = []
    numbers: list[int] = []

    def publish(frame: LiveFrame, _: float) -> None:
        numbers.append(frame.index)
        rested.set()
        if frame.fresh and not together:
            run.captured.put(Sample(2, 0.2, picture(20), run=1))
            together.append(begun.acquire(timeout=WAIT))  # the next drawing begins before this one is done
            done.set()

    rested, done = threading.Event(), threading.Event()
    session = make_session(engine=engine, clock=clock)
    run = pipeline_of(session, engine, publish)
    try:
        run.drive(1, driven=True)
        assert rested.wait(WAIT)
        engine.before = begun.release
        run.captured.put(Sample(1, 0.1, picture(10), run=1))
        assert begun.acquire(timeout=WAIT)  # the drawing of the first frame
        assert done.wait(WAIT)
    finally:
        run.stop()
        assert run.join(WAIT)
    assert together == [True]
    assert numbers == sorted(numbers)


def test_recentre_through_the_session(make_session: Make, shown: Shown, messages: Any) -> None:
    clock = Clock()
    session = make_session(clock=clock)
    session.add_sink(shown)
    box = Box()
    session.set_driver(box.source())
    session.start()

    def hold(value: int, seconds: float) -> LiveFrame:
        for _ in range(round(seconds * 10)):
            clock.now += 0.1
            box.items.put(picture(value))
            count = len(shown.frames)
            shown.wait(lambda f, count=count: len(shown.frames) > count and drives(f, value))
        return shown.frames[-1]

    assert level(hold(80, 2)) == 128
    assert level(hold(240, 2)) > 130
    session.recentre(countdown=2.0)
    moved = hold(240, 1)
    assert session.countdown in (1, 2)
    assert level(moved) > 130
    assert level(hold(240, 4)) == 128
    assert "neutral pose" in messages.text


# ---- sinks ----------------------------------------------------------------------------------------------------------


def test_broken_sink_stops_alone(make_session: Make, shown: Shown, messages: Any) -> None:
    class Broken(Sink):
        name = "broken"

        def write(self, frame: LiveFrame) -> None:
            raise MediaError("The disk is full.")

    session = make_session()
    session.add_sink(Broken())
    session.add_sink(shown)
    box = Box()
    session.set_driver(box.source())
    session.start()
    for value in range(5, 10):
        box.items.put(picture(value))
        shown.wait(lambda f, value=value: drives(f, value))
    info = {s.name: s for s in session.sinks}
    assert (info["broken"].status, info["broken"].message) == ("failed", "The disk is full.")
    assert info["preview"].status == "running"
    assert messages.text.count("The disk is full.") == 1


def test_slow_sink_does_not_hold_up_the_picture(make_session: Make, shown: Shown) -> None:
    gate = threading.Event()

    class Slow(Sink):
        name = "slow"

        def write(self, frame: LiveFrame) -> None:
            gate.wait(WAIT)

    session = make_session()
    session.add_sink(Slow())
    session.add_sink(shown)
    box = Box()
    session.set_driver(box.source())
    session.start()
    for value in range(1, 31):
        box.items.put(picture(value))
        shown.wait(lambda f, value=value: drives(f, value))
    slow = next(s for s in session.sinks if s.name == "slow")
    assert slow.dropped >= 27
    gate.set()
    session.stop()
    session.settle(WAIT)


def test_sinks_come_and_go_while_running(make_session: Make, shown: Shown) -> None:
    session = make_session()
    session.add_sink(NullSink())
    session.start()
    session.add_sink(shown)
    shown.wait(lambda f: True)
    session.remove_sink("none")
    session.settle(WAIT)
    assert [s.name for s in session.sinks] == ["preview"]


def test_painted_by_the_window(make_session: Make) -> None:
    clock = Clock()
    session = make_session(clock=clock)
    painted = threading.Event()
    preview = PreviewSink(lambda f: painted.set() if f.fresh else None, painted_by_caller=True)
    session.add_sink(preview)
    box = Box()
    session.set_driver(box.source())
    session.start()
    box.items.put(picture(5))
    assert painted.wait(WAIT)
    assert session.stats().shown == 0
    assert preview.latest is not None
    preview.painted(preview.latest, clock() + 0.05)
    assert session.stats().latency_ms == pytest.approx(50)


def test_figures(make_session: Make, shown: Shown) -> None:
    clock = Clock()
    session = make_session(clock=clock)
    session.add_sink(shown)
    box = Box()
    session.set_driver(box.source())
    session.start()
    for i in range(11):
        clock.now += 0.04
        box.items.put(picture(i + 1))
        shown.wait(lambda f, value=i + 1: drives(f, value))
    session.stop()
    session.settle(WAIT)
    stats = session.stats()
    assert stats.mean_fps == pytest.approx(25)
    assert stats.seconds == pytest.approx(0.4)
    assert (stats.captured, stats.dropped, stats.lost, stats.state) == (11, 0, 0, "idle")
    assert stats.latency_ms_median == 0
    data = stats.to_json()
    assert {"fps", "latency_ms_median", "latency_ms_p95", "dropped"} <= set(data)
    assert data["sinks"]["preview"]["shown"] == stats.shown


# ---- for real -------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_sample_comes_alive(messages: Any) -> None:
    """Sample portrait and clip, real engine and tracker."""
    shown = Shown()
    with LiveSession(live=LiveOptions(picture_size=320), events=EventStream(messages.append)) as session:
        session.add_portrait("sample", ROOT / "assets/sample/portrait.jpg")
        session.add_sink(shown)
        assert session.wait_for(lambda: session.portrait("sample").status == "ready", 3 * WAIT)
        session.set_driver(file_source(ROOT / "assets/sample/driving.mp4"))
        session.start()
        frame = shown.wait(lambda f: f.seen and f.fresh and len(shown.frames) > 12)
        assert frame.picture.shape == (320, 256, 3)
        assert frame.driver is not None
        assert frame.face is not None
        changed = np.abs(frame.picture.astype(int) - frame.source).max(axis=2)
        assert changed.max() > 20
        assert not changed[-4:].any()
        stats = session.stats()
        assert stats.engine == "mesh"
        assert stats.latency_ms > 0
        assert stats.camera is None  # a clip is none
