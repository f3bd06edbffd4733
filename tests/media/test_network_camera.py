"""Cameras of the network: read within time limits, opened anew after a drop, and discreet about their passwords."""

from __future__ import annotations

import base64
import io
import logging
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from app.addresses import address_error
from app.choices import StreamAddress
from app.errors import UsageError
from app.media.camera import CameraError
from app.media.netcamera import StreamCamera
from app.sources.named import source_from_text

SECRET = "tom:pa55word"


def jpeg(level: int) -> bytes:
    """A picture whose left half is of this grey."""
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:, :32] = level
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, "JPEG")
    return data.getvalue()


class Handler(BaseHTTPRequestHandler):
    """MJPEG over HTTP as cameras send it: /live with a password, /short, /silent, /hang, /away."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        ends: threading.Event = self.server.ends  # type: ignore[attr-defined]
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        if self.path.startswith("/hang"):
            ends.wait(10)
            return
        wanted = "Basic " + base64.b64encode(SECRET.encode()).decode()
        if self.path.startswith("/live") and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for level in range(60, 200, 10) if self.path.startswith("/live") else range(60, 100, 10):
                data = jpeg(level)
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data))
                self.wfile.write(data + b"\r\n")
            if self.path.startswith("/silent"):
                ends.wait(10)
        except OSError:  # the reader has gone
            pass
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.ends = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{running.server_address[1]}"
        running.ends.set()  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


def camera(url: str, **how: Any) -> StreamCamera:
    address = StreamAddress.parse(url)
    assert address is not None
    return StreamCamera(address, opening=2.0, reading=0.5, **how)


def read_on(stream: StreamCamera) -> None:
    """Read more pictures than the server sends."""
    for _ in range(99):
        stream.read()


def test_pictures_arrive_mirrored_and_the_facts_are_told(server: str) -> None:
    stream = camera(f"http://{SECRET}@{server}/live?token=5", mirror=True)
    stream.open()
    shots = [stream.read() for _ in range(3)]
    stream.close()
    levels = [int(shot.rgb[24, 48].mean()) for shot in shots if shot is not None]
    assert np.diff(levels) == pytest.approx([10, 10], abs=2)
    assert [shot.jump for shot in shots if shot is not None] == [True, False, False]
    assert all(int(shot.rgb[24, 16].max()) < 8 for shot in shots if shot is not None)  # mirrored: the left is dark
    assert (stream.facts.measured.width, stream.facts.measured.height) == (64, 48)
    assert stream.facts.name == f"http://{server}/live"


def test_a_camera_that_drops_is_opened_anew(server: str) -> None:
    stream = camera(f"http://{server}/short")
    for _ in range(2):
        stream.open()
        with pytest.raises(CameraError, match="stopped sending frames"):
            read_on(stream)
    stream.close()
    with pytest.raises(CameraError, match="is not open"):
        stream.read()
    assert stream.lasting


def test_a_server_that_hangs_is_given_up_in_time(server: str) -> None:
    start = time.perf_counter()
    stream = camera(f"http://{server}/hang")
    stream._limits = 0.3, 0.3
    with pytest.raises(CameraError, match=r"for 0.3 s"):
        stream.open()
    silent = camera(f"http://{server}/silent")
    silent._limits = 2.0, 0.3
    silent.open()
    with pytest.raises(CameraError, match=r"for 0.3 s"):
        read_on(silent)
    silent.close()
    assert time.perf_counter() - start < 5


def test_passwords_are_never_told(
    server: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"
        for url in (
            f"http://tom:wr0ng@{server}/live?key=wr0ng", f"rtsp://tom:wr0ng@{closed}/wr@ng;wr0ng", f"srt://tom:wr0ng@{closed}",
            f"http://tom:wr0ng@{server}/away?wr0ng", f"https://tom:wr0ng@{closed}/#wr0ng", f"rtmp://tom:wr0ng@{closed}/a",
        ):  # fmt: skip
            stream = camera(url)
            with pytest.raises(CameraError) as caught:
                stream.open()
            told += [str(caught.value), repr(StreamAddress(url)), stream.name, source_from_text(url).title]
            assert caught.value.__cause__ is None
    assert any("requires a user name and password" in text for text in told)
    for url in ("rtsp://tom:wr0ng@", "rtsp://tom:wr0ng/?#wr0ng@host/a"):
        with pytest.raises(UsageError) as broken:
            source_from_text(url)
        told.append(str(broken.value))
    told += [str(address_error("htp://tom:wr0ng@host/x", "--camera"))]
    told += [caplog.text, *capfd.readouterr()]
    assert not [text for text in told if "wr0ng" in text]


@pytest.mark.parametrize("text", ["rtsp://", "http://:80/x", "rtsp://host:99999/x", "http://a b/c", "rtsp:///x"])
def test_what_names_no_camera_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of a camera such as"):
        source_from_text(text)


def test_other_addresses_are_not_read() -> None:
    with pytest.raises(UsageError, match="is a URL, and URLs can't be read"):
        source_from_text("ftp://host/clip.mp4")


# ---------------------------------------------------------------------- RTSP


def transport_stream() -> bytes:
    """Three seconds of pictures that get lighter, in an MPEG transport stream; the first one is spent on opening."""
    data = io.BytesIO()
    with av.open(data, "w", format="mpegts") as out:
        stream = out.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 1
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 30 + 3 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return data.getvalue()


class RtspHandler(socketserver.StreamRequestHandler):
    """A camera that sends a transport stream over RTP within the RTSP connection (RFC 2326, RFC 2250)."""

    def handle(self) -> None:
        while request := self.rfile.readline().decode():
            fields = {}
            while line := self.rfile.readline().decode().strip():
                name, _, value = line.partition(":")
                fields[name.lower()] = value.strip()
            method, more, body = request.split()[0], "", ""
            if fields.get("authorization") != "Basic " + base64.b64encode(SECRET.encode()).decode():
                more = 'WWW-Authenticate: Basic realm="camera"\r\n'
            elif method == "DESCRIBE":
                body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:one\r\n"
                more = "Content-Type: application/sdp\r\n"
            elif method == "SETUP":
                more = f"Transport: {fields['transport']}\r\n"
            status = "401 Unauthorized" if "WWW" in more else "200 OK"
            head = f"RTSP/1.0 {status}\r\nCSeq: {fields['cseq']}\r\nSession: 1\r\n{more}"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            self.wfile.write((head + body).encode())
            if method == "PLAY":
                self.play()
                return

    def play(self) -> None:
        data = transport_stream()
        for number, at in enumerate(range(0, len(data), 7 * 188)):
            packet = struct.pack(">BBHII", 0x80, 33, number, number * 3600, 1) + data[at : at + 7 * 188]
            self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)


@pytest.fixture
def rtsp_server() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), RtspHandler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_an_rtsp_camera_with_a_password(rtsp_server: str) -> None:
    stream = camera(f"rtsp://{SECRET}@{rtsp_server}/live?channel=1", mirror=False)
    stream.open()
    shots = [stream.read() for _ in range(3)]
    with pytest.raises(CameraError, match="stopped sending frames"):
        read_on(stream)
    stream.close()
    levels = [float(shot.rgb.mean()) for shot in shots if shot is not None]
    assert np.diff(levels) == pytest.approx([3, 3], abs=1.5)
    assert stream.facts.name == f"rtsp://{rtsp_server}/live"
