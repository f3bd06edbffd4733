"""A face tracker that drives: from packets on a loopback port to frames, and what happens while none come."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_stubs import WAIT, Clock, Shown
from tracker_packets import IFACIALMOCAP, bone, livelink, message, vmc

from app.choices import LOOPBACK, PORTS, TrackingAddress
from app.errors import UsageError
from app.frames.voices import open_track
from app.live import LiveSession
from app.live.frames import LiveFrame
from app.live.readings import LiveReadings
from app.live.track_recorder import TrackRecorderSink
from app.media.ports import PortError
from app.sources.named import source_from_text
from app.sources.sensors.receiver import KEPT, Receiver
from app.sources.sensors.source import AWAITED, RESTS, SILENT, TrackingSource
from liveportrait.blendshapes import FaceReading
from liveportrait.expression import Expression


@pytest.fixture
def phone() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield sender


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def at(protocol: Any = "livelink") -> TrackingAddress:
    return TrackingAddress(protocol, LOOPBACK, free_port())


def udp_ports() -> set[int]:
    """Ports at which this process or another one receives, as the system tells."""
    ports = set()
    for name in ("udp", "udp6"):
        path = Path(f"/proc/net/{name}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            ports.add(int(line.split()[1].rpartition(":")[2], 16))
    return ports


# ---------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("text", "place", "is_open"),
    [
        ("osc://", "127.0.0.1:39539", False), ("livelink://:11112", "127.0.0.1:11112", False),
        ("OSC://localhost:9000/", "127.0.0.1:9000", False), ("livelink://0.0.0.0", "0.0.0.0:11111", True),
        ("ifacialmocap://192.168.1.7", "192.168.1.7:49983", True), ("osc://[::1]:39540", "[::1]:39540", False),
        ("osc://[::]", "[::]:39539", True),
    ],
)  # fmt: skip
def test_addresses_of_trackers(text, place, is_open):
    address = TrackingAddress.parse(text)
    assert address is not None
    assert (address.place, address.is_open) == (place, is_open)
    assert TrackingAddress.parse(str(address)) == address


@pytest.mark.parametrize("text", ["osc://phone.local:1", "osc://127.0.0.1:0", "osc://127.0.0.1:70000", "osc://a b",
                                  "livelink://1.2.3", "osc://127.0.0.1:1/path", "osc://[x]"])  # fmt: skip
def test_what_is_no_address_of_this_computer_is_refused_in_one_sentence(text):
    with pytest.raises(UsageError, match="is not an address of this computer such as"):
        source_from_text(text)
    assert TrackingAddress.parse(text.replace("osc", "x").replace("livelink", "x")) is None


# ---------------------------------------------------------------------- receiving


def test_nothing_listens_before_a_session_drives_and_after_it_stopped(
    make_session: Callable[..., LiveSession], messages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/net/udp").exists():
        pytest.skip("this system does not list its sockets in /proc")
    monkeypatch.setattr("app.sources.sensors.source.AWAITED", 0.05)
    address = TrackingAddress("livelink", "0.0.0.0", free_port())
    session = make_session()
    source = source_from_text(str(address))
    assert address.port not in udp_ports()
    session.set_driver(source)
    session.start()
    assert session.wait_for(lambda: session.awaited != "", WAIT)
    assert address.port in udp_ports()
    note = f"{address.place} is open to the network: any computer there can send to it."
    assert messages.text.count(note) == 1
    session.stop()
    assert session.settle(WAIT)
    assert address.port not in udp_ports()


def test_the_newest_packet_counts_in_a_flood_and_memory_stays_flat(phone):
    address, clock = at(), Clock()
    receiver = Receiver(address, clock)
    receiver.open()
    for number in range(400):
        phone.sendto(livelink({"jawOpen": number / 400}), (address.host, address.port))
    phone.sendto(b"nonsense", (address.host, address.port))
    reading = receiver.newest(WAIT)
    received = receiver.packets
    while (following := receiver.newest(0)) is not None:
        reading = following
    receiver.close()
    assert reading is not None
    assert reading.shapes["jawOpen"] >= min(KEPT, received - 1) / 400 - 0.01
    assert receiver.newest(0) is None  # closed


def test_one_sender_is_heard_until_it_falls_silent(phone):
    address, clock = at(), Clock()
    receiver = Receiver(address, clock)
    receiver.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        phone.sendto(livelink({"jawOpen": 0.25}), (address.host, address.port))
        assert receiver.newest(WAIT) is not None
        other.sendto(livelink({"jawOpen": 0.75}), (address.host, address.port))
        assert receiver.newest(WAIT) is None
        clock.now += 5
        other.sendto(livelink({"jawOpen": 0.75}), (address.host, address.port))
        reading = receiver.newest(WAIT)
    receiver.close()
    assert reading is not None
    assert reading.shapes["jawOpen"] == 0.75


def test_a_port_in_use_or_a_strange_address_is_one_sentence(phone):
    phone.bind((LOOPBACK, 0))
    port = phone.getsockname()[1]
    with pytest.raises(PortError, match=f"Port {port} is already used by another program"):
        Receiver(TrackingAddress("osc", LOOPBACK, port), Clock()).open()
    with pytest.raises(PortError, match=r"192\.0\.2\.1 is not an address of this computer"):  # kept for documentation
        Receiver(TrackingAddress("osc", "192.0.2.1", port), Clock()).open()


def test_a_lost_face_gives_samples_until_it_rests_and_says_what_it_waits_for(phone, monkeypatch):
    address, clock = at("ifacialmocap"), Clock()
    source = TrackingSource(address, clock)
    assert source.waits_for() == ""
    source.open()
    clock.now += 2 * AWAITED
    assert source.waits_for() == f"Waiting for packets from iFacialMocap at {address.place}."
    phone.sendto(b"something else", (address.host, address.port))
    assert source._receiver.newest(WAIT) is None
    assert "choose the protocol that the app sends" in (source.waits_for() or "")
    phone.sendto(IFACIALMOCAP.encode(), (address.host, address.port))
    first = source.read()
    assert first is not None
    assert first.reading is not None
    assert source.waits_for() == ""

    def nothing_comes(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(source._receiver, "newest", nothing_comes)
    lost = [sample for _ in range(200) if clock.now - first.time < SILENT + RESTS - 0.1 and (sample := source.read())]
    assert len(lost) > 60
    assert all(sample.sensed and sample.reading is None for sample in lost)
    source.cancel()
    assert source.read() is None
    source.close()


# ---------------------------------------------------------------------- what is shown


def test_rest_is_where_the_head_was_at_first_and_then_what_was_asked_for():
    seconds: list[int] = []
    show = LiveReadings(seconds.append)
    away = FaceReading({"jawOpen": 0.3}, (-20.0, 12.0, 0.0))
    first = [show(away, k / 30) for k in range(40)][-1]
    assert dict(first.values) == pytest.approx({"lip_open": 0.3}, abs=1e-3)  # the tracker knows a closed mouth
    show.recentre(2.0)
    for k in range(40, 150):
        before = show(away, k / 30)
    assert all(abs(value) < 0.01 for value in before.values.values())
    assert (seconds[0], seconds[-1]) == (1, 0)
    opened = show(FaceReading({"jawOpen": 1.0}, (-20.0, 22.0, 0.0)), 5.01, smooth=False)
    assert opened.values["lip_open"] == pytest.approx(1.0, abs=0.01)
    assert opened.values["yaw"] == pytest.approx(9.5, abs=0.2)
    show.reset()
    levelled = show(FaceReading({}, (5.0, 0.0, 0.0), levelled=True), 0.0)
    assert levelled.values["pitch"] == pytest.approx(4.8, abs=0.1)


def test_a_face_that_is_lost_holds_and_then_eases_to_rest():
    show = LiveReadings()
    smile = FaceReading({"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}, levelled=True)
    values = [show(smile if k < 5 else None, k / 30).values.get("smile", 0.0) for k in range(60)]
    assert values[4] == values[16] == 1.0
    assert sorted(values[16:], reverse=True) == values[16:]
    assert 0 < values[25] < 1
    assert values[45] == 0
    assert max(abs(b - a) for a, b in pairwise(values) if b < a) < 0.12
    back = [show(smile, 2 + k / 30).values["smile"] for k in range(12)]
    assert back[0] < 0.3
    assert back[-1] == pytest.approx(1.0, abs=0.01)


def test_packets_drive_frames_and_no_packets_leave_the_portrait_at_rest(
    make_session: Callable[..., LiveSession], phone: socket.socket, messages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.sources.sensors.source.AWAITED", 0.05)
    address = at("osc")
    sink, session = Shown(), make_session()
    session.add_sink(sink)
    session.set_driver(source_from_text(str(address), mirror=False))
    session.start()
    rest = sink.wait(lambda frame: not frame.seen)
    assert session.wait_for(lambda: session.state == "waiting", WAIT)
    assert session.driver_error is None
    assert f"Waiting for packets from VMC over OSC at {address.place}." in messages.text

    def send(smile: float) -> float:
        phone.sendto(vmc({"Joy": smile}, bone("Head")), (address.host, address.port))
        return time.perf_counter()

    send(1.0)
    shown = sink.wait(lambda frame: frame.seen and int(frame.picture.max()) > int(rest.picture.max()) + 50)
    assert shown.driver is None
    assert (session.state, session.awaited) == ("running", "")
    assert "Receiving a face from the tracker." in messages.text
    delays = []
    for number in range(10):  # the newest packet is in the next frame
        start = send(number / 10)
        at_least = len(sink.frames)
        sink.wait(lambda frame, n=at_least: len(sink.frames) > n and frame.fresh)
        delays.append(time.perf_counter() - start)
    assert min(delays) < 0.2
    sink.wait(lambda frame: frame.picture.max() == rest.picture.max())  # packets stopped: the portrait eases to rest
    assert session.stats().lost > 0


def frame(time: float, expression: Expression | None, *, fresh: bool = True) -> LiveFrame:
    blank = np.zeros((2, 2, 3), np.uint8)
    return LiveFrame(0, time, blank, blank, fresh=fresh, expression=expression)


def test_what_a_tracker_sent_is_recorded_as_a_track_that_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "me.speech"
    sink = TrackRecorderSink(path)
    sink.open()
    assert "was not written" in sink.close()
    sink.open()
    for k in range(10):
        sink.write(frame(5 + k / 50, Expression({"smile": k / 10})))
        sink.write(frame(5 + k / 50, Expression({"smile": 1.0}), fresh=False))  # drawn again: it says nothing new
        sink.write(frame(5 + k / 50, None))
    assert "10 expressions, 0.2 s" in sink.close()
    driver = open_track(path)
    assert driver is not None
    assert driver.track is not None
    assert driver.track.duration == pytest.approx(0.2)
    assert set(driver.track.channels) == {"smile"}
    assert driver.track.at(0.05).values["smile"] == pytest.approx(0.25, abs=1e-6)
    sink.open()
    sink.write(frame(1.0, Expression({})))
    assert "me-2.speech" in sink.close()
    with pytest.raises(UsageError, match="exists"):
        TrackRecorderSink(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["me-2.speech", "me.speech"]


def test_each_protocol_has_its_usual_port():
    assert {protocol: TrackingAddress(protocol).port for protocol in PORTS} == dict(PORTS)
    assert message("/a") == b"/a\0\0,\0\0\0"
