"""Streams as sinks of a session: each may fail and come back without stopping the others."""

from __future__ import annotations

import http.client
import socket
import threading
from typing import Any

import cv2
import numpy as np
import pytest
from live_stubs import WAIT, Clock, Context, picture

from app.errors import AppError, MissingError
from app.live import streams
from app.live.frames import LiveFrame
from app.live.recorder import RecorderSink
from app.live.sinks import NullSink, Sink, SinkThread
from app.live.streams import MjpegSink, SenderSink, TransmissionSink, stream_sinks
from app.live_options import LiveOptions
from app.media.reader import open_clip
from app.options import RenderOptions
from app.stream_targets import StreamTarget

SECRET = "Xy7sEcReT"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def frame(value: int, time: float = 0.0, size: tuple[int, int] = (64, 48), channels: int = 3) -> LiveFrame:
    image = np.full((size[1], size[0], channels), value, np.uint8)
    if channels == 4:
        image[..., 3] = 255
        image[:, : size[0] // 2, 3] = 0
    return LiveFrame(value, time, image, image, fill=(0, 255, 0))


class Line:
    """Stands in for a Transmission; all of them share what they were given."""

    sent: list[np.ndarray]
    fault: Exception | None
    opened: int
    closed: int
    came = threading.Condition()

    def __init__(self, target: StreamTarget, size: tuple[int, int], rate: float, kilobits: int, **how: Any) -> None:
        Line.opened += 1
        self.size = size
        if Line.fault is not None:
            raise Line.fault

    def send(self, rgb: np.ndarray, time: float) -> None:
        assert rgb.shape == (self.size[1], self.size[0], 3)
        if Line.fault is not None:
            raise Line.fault
        with Line.came:
            Line.sent.append(rgb)
            Line.came.notify_all()

    def close(self) -> None:
        Line.closed += 1


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> type[Line]:
    Line.sent, Line.fault, Line.opened, Line.closed = [], None, 0, 0
    monkeypatch.setattr(streams, "Transmission", Line)
    return Line


def test_stream_repeats_the_last_frame_in_its_first_size(line: type[Line]) -> None:
    thread = SinkThread(TransmissionSink(StreamTarget.parse("udp://a:1"), LiveOptions(stream_rate=100.0)), Context())
    thread.frames.put(frame(90, size=(65, 49), channels=4))
    with line.came:
        assert line.came.wait_for(lambda: len(line.sent) >= 4, WAIT)
    assert line.sent[0].shape == (48, 64, 3)
    assert line.sent[0][24, 4].tolist() == [0, 255, 0]  # clear parts get the key colour
    thread.frames.put(frame(30, size=(200, 100)))
    with line.came:
        assert line.came.wait_for(lambda: line.sent[-1][24, 32, 0] == 30, WAIT)
    thread.stop()
    assert thread.join(WAIT)
    assert (line.opened, line.closed) == (1, 1)


def test_failures_are_retried_ever_more_seldom_and_told_once(line: type[Line]) -> None:
    class Impatient(TransmissionSink):
        retry, longest_retry = 0.01, 0.04

    context = Context()
    line.fault = AppError("rtmp://a:1935 does not accept frames: Connection refused.")
    thread = SinkThread(Impatient(StreamTarget.parse(f"rtmp://a/x/{SECRET}"), LiveOptions()), context)
    assert [thread._pause(n) for n in (0, 1, 2, 3, 9, 1000)] == [0.01, 0.01, 0.02, 0.04, 0.04, 0.04]
    while line.opened < 4:
        thread.frames.put(frame(1))
        context.wait_for(lambda: thread.info().status == "running", WAIT)
    line.fault = None
    with line.came:
        while not line.came.wait_for(lambda: len(line.sent) > 0, 0.05):
            thread.frames.put(frame(2))
    assert thread.info().status == "running"
    thread.stop()
    assert thread.join(WAIT)
    assert len(context.said) == 1
    assert context.said[0].endswith("Trying again.")
    assert SECRET not in "".join([*context.said, str(thread.info())])


def test_what_is_missing_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise MissingError("NDI needs the package cyndilib.", "Install it.")

    monkeypatch.setattr(streams, "open_sender", missing)
    thread = SinkThread(SenderSink(StreamTarget.parse("ndi://Me"), 30.0), Context())
    assert thread.join(WAIT)
    assert (thread.info().status, thread.info().retrying) == ("failed", False)


def test_page_comes_back_once_its_port_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MjpegSink, "retry", 0.02)
    context, port = Context(), free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        thread = SinkThread(MjpegSink(StreamTarget.parse(f"mjpeg://127.0.0.1:{port}")), context)
        assert context.wait_for(lambda: thread.info().status == "failed", WAIT)
    assert context.wait_for(lambda: thread.info().status == "running", WAIT)
    thread.frames.put(frame(77, channels=4))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    connection.request("GET", "/frame.png")
    seen = cv2.imdecode(np.frombuffer(connection.getresponse().read(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert seen[4, 60].tolist() == [77, 77, 77, 255]
    assert seen[4, 4, 3] == 0
    connection.close()
    thread.stop()
    assert thread.join(WAIT)
    assert f"http://127.0.0.1:{port}/" in context.said[-1]
    assert "network" not in context.said[-1]


def test_open_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Server:
        port, skipped = 8090, 3

        def __init__(self, *_: Any) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setattr(streams, "MjpegServer", Server)
    sink = MjpegSink(StreamTarget.parse("mjpeg://0.0.0.0"))
    sink.open()
    assert "Anyone on the network can watch it" in sink.greeting
    assert sink.skipped == 3
    sink.close()
    sink.open()
    assert sink.skipped == 6  # those of the viewers before count on


def test_each_output_goes_on_while_others_fail(make_session: Any, line: type[Line]) -> None:
    """A page and a stream beside each other; the stream is lost and comes back, the page never stops."""
    port = free_port()
    live = LiveOptions(stream=f"mjpeg://127.0.0.1:{port}\nrtmp://a/x/{SECRET}", stream_rate=100.0)
    session = make_session(live=live)
    names = [sink.name for sink in stream_sinks(live)]
    assert names == [f"mjpeg://127.0.0.1:{port}", "rtmp://a:1935"]
    for sink in (NullSink(), *stream_sinks(live)):
        sink.retry = None if sink.retry is None else 0.01
        session.add_sink(sink)

    def status(name: str) -> str:
        return next(one.status for one in session.sinks if one.name == name)

    session.start()
    with line.came:
        assert line.came.wait_for(lambda: len(line.sent) > 2, WAIT)
    line.fault = AppError("the receiver has gone")
    assert session.wait_for(lambda: status(names[1]) == "failed", WAIT)
    assert status(names[0]) == "running"
    line.fault = None
    session.add_portrait("b", picture(60))
    sent = len(line.sent)
    assert session.wait_for(lambda: status(names[1]) == "running", WAIT)
    session.set_options(RenderOptions())  # another frame
    with line.came:
        assert line.came.wait_for(lambda: len(line.sent) > sent, WAIT)
    session.stop()
    assert session.settle(WAIT)
    figures = session.stats().to_json()["sinks"]
    assert all(figures[name]["shown"] > 0 for name in names)
    assert SECRET not in str(session.stats())


def test_nothing_listens_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, make_session: Any) -> None:
    opened: list[Any] = []
    real = socket.socket.bind
    monkeypatch.setattr(socket.socket, "bind", lambda self, where: (opened.append(where), real(self, where))[1])
    session = make_session()
    for sink in (NullSink(), *stream_sinks(LiveOptions())):
        session.add_sink(sink)
    session.start()
    assert session.wait_for(lambda: session.state == "running", WAIT)
    session.stop()
    assert session.settle(WAIT)
    assert opened == []


@pytest.mark.parametrize(("name", "clear"), [("out.mov", True), ("out.mp4", False)])
def test_recording_keeps_transparency_where_the_format_can(tmp_path: Any, name: str, clear: bool) -> None:
    clock = Clock(5.0)
    sink: Sink = RecorderSink(tmp_path / name)
    sink.clock = clock
    sink.open()
    for number in range(3):
        clock.now = 5.0 + number / 30
        sink.write(frame(200, clock.now, channels=4))
    sink.close()
    with open_clip(tmp_path / name) as reader:
        seen = next(iter(reader))
    if clear:
        assert seen.alpha is not None
        assert (seen.alpha[24, 4], seen.alpha[24, 60]) == (0, 255)
    else:
        assert np.abs(seen.rgb[24, 4].astype(int) - (0, 255, 0)).max() < 8  # the key colour
