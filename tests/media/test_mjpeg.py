"""The server of MJPEG, spoken to over real connections on this computer."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from app.media.mjpeg import MjpegServer
from app.media.ports import PortError

WAIT = 20.0  # seconds after which a test gives up


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    made = MjpegServer()
    yield made
    made.close()


def clear(value: int, size: tuple[int, int] = (40, 24)) -> np.ndarray:
    """A picture whose left half is clear."""
    picture = np.full((size[1], size[0], 4), value, np.uint8)
    picture[..., 3] = 255
    picture[:, : size[0] // 2, 3] = 0
    return picture


class Viewer:
    """One connection."""

    def __init__(self, server: MjpegServer, path: str = "/", host: str | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT)
        self.connection.request("GET", path, headers={} if host is None else {"Host": host})
        self.answer = self.connection.getresponse()

    def part(self) -> np.ndarray:
        """The next picture of a stream, BGR or BGRA."""
        head: dict[str, str] = {}
        while (line := self.answer.readline().decode().strip()) or not head:
            assert line or not head
            if ":" in line:
                name, _, value = line.partition(":")
                head[name] = value.strip()
        data = self.answer.read(int(head["Content-Length"]))
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert self.answer.readline() == b"\r\n"
        return np.asarray(picture)

    def whole(self) -> np.ndarray:
        data = self.answer.read()
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def test_stream_and_single_pictures(server: MjpegServer) -> None:
    server.publish(clear(200), fill=(0, 255, 0))
    viewer, overlay = Viewer(server), Viewer(server, "/overlay.png")
    assert viewer.answer.headers["Content-Type"].startswith("multipart/x-mixed-replace")
    first = viewer.part()
    assert np.abs(first[12, 4].astype(int) - (0, 255, 0)).max() < 12  # the key colour, in BGR
    assert np.abs(first[12, 34].astype(int) - 200).max() < 12
    assert overlay.part()[12, 4, 3] == 0
    server.publish(clear(90))
    assert abs(int(viewer.part()[12, 34, 0]) - 90) < 12
    assert overlay.part()[12, 34].tolist() == [90, 90, 90, 255]
    assert server.viewers == 2
    png, jpeg = Viewer(server, "/frame.png").whole(), Viewer(server, "/frame.jpg").whole()
    assert png.shape == (24, 40, 4)
    assert jpeg.shape == (24, 40, 3)
    assert b"/overlay.png" in Viewer(server, "/overlay").answer.read()
    assert Viewer(server, "/../secret").answer.status == 404


def test_slow_viewer_skips_pictures_and_holds_up_nobody(server: MjpegServer) -> None:
    """He reads nothing while 200 pictures come that no buffer of the system can hold."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (300, 400, 3), np.uint8)
    slow = Viewer(server)
    quick = Viewer(server)
    for number in range(200):
        picture = noise.copy()
        picture[:64, :64] = number
        server.publish(picture)
        assert abs(int(quick.part()[20, 20, 0]) - number) <= 3
    assert server.skipped > 0
    seen = [int(slow.part()[20, 20, 0])]
    while seen[-1] < 197:
        seen.append(int(slow.part()[20, 20, 0]))
    assert len(seen) < 150


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:80", 200), ("localhost", 200), ("[::1]:8090", 200), ("evil.example.org:8090", 403), ("", 403)],
)
def test_pages_of_others_can_not_reach_it_by_a_name_of_their_own(server: MjpegServer, host: str, status: int) -> None:
    server.publish(clear(1))
    assert Viewer(server, "/frame.png", host).answer.status == status


def test_port_in_use_and_strange_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortError, match=r"Port \d+ is already used"):
            MjpegServer("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(PortError, match=r"192\.0\.2\.1 is not an address of this computer"):
        MjpegServer("192.0.2.1", 0)


def test_it_listens_on_this_computer_alone_and_not_after_its_end() -> None:
    before = threading.active_count()
    server = MjpegServer()
    viewer = Viewer(server)
    assert server._server.socket.getsockname()[0] == "127.0.0.1"
    server.close()
    assert viewer.answer.read() == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    viewer.close()
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(WAIT)
    assert threading.active_count() == before
