"""A small web server that serves the newest frame: as MJPEG, as PNGs with transparency, or one at a time.

    /            MJPEG, for browsers, media sources and players
    /overlay     a page with a transparent background that shows the frame with its transparency
    /overlay.png the stream of PNGs that this page shows
    /frame.png   the newest frame, with its transparency
    /frame.jpg   the same without

Each viewer has a thread and gets the newest frame when it is ready for one: a slow viewer skips frames and does not
delay others. A frame is encoded when the first viewer requests it.
Python's http.server is enough for that; a web framework would be a requirement of the base installation.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from app.media.images import flatten
from app.media.ports import port_error
from models.messages import msg

Pixels = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

VIEWERS: Final = 16
"""Maximum number of viewers."""
PATIENCE: Final = 10.0
"""Seconds within which a viewer must accept data, and send a request once it is connected."""
QUIET: Final = 5.0
"""Seconds without a new frame after which the last one is sent again, so that viewers don't time out."""
SEND_BUFFER: Final = 1 << 16
"""Size of the system's send buffer for a viewer in bytes."""
JPEG_QUALITY: Final = 90
FAST_PNG: Final = 1  # compression level
BOUNDARY: Final = "portrait-animate-frame"
PAGE: Final = b"""<!doctype html><html><head><meta charset="utf-8"><title>Portrait</title><style>
html, body { margin: 0; height: 100%; background: transparent; overflow: hidden; }
img { width: 100vw; height: 100vh; object-fit: contain; }
</style></head><body><img src="/overlay.png" alt=""></body></html>
"""


class Shot:
    """One frame, encoded once for all viewers.

    Args:
        picture: (H, W, 3 or 4) uint8; it is not changed.
        fill: Colour behind transparent parts in formats without transparency.
    """

    def __init__(self, picture: Pixels, fill: Color) -> None:
        self._picture = picture
        self._fill = fill
        self._lock = threading.Lock()
        self._encoded: dict[str, bytes] = {}

    def encoded(self, form: str) -> bytes:
        """The frame as "jpeg" or "png"."""
        with self._lock:
            if form not in self._encoded:
                self._encoded[form] = self._encode(form)
            return self._encoded[form]

    def _encode(self, form: str) -> bytes:
        picture = self._picture
        if form == "jpeg":
            alpha = picture[..., 3] if picture.shape[2] == 4 else None
            opaque = flatten(np.ascontiguousarray(picture[..., :3]), alpha, self._fill)
            made = cv2.imencode(".jpg", opaque[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        else:
            order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
            made = cv2.imencode(".png", cv2.cvtColor(picture, order), [cv2.IMWRITE_PNG_COMPRESSION, FAST_PNG])
        return made[1].tobytes()


class MjpegServer:
    """Serves frames until it is closed; listens on one address only.

    Args:
        host: Address of this computer; other computers reach it unless it is 127.0.0.1 or ::1.
        port: Port, 0 for any free one.

    Attributes:
        port: Port in use.
        skipped: Frames that viewers were too slow for, over all viewers.

    Raises:
        PortError: The port is in use, or the address is not one of this computer.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._new = threading.Condition()
        self._shot: Shot | None = None
        self._number = 0
        self._closed = False
        self._viewers = 0
        self.skipped = 0
        place = f"{host}:{port}"
        try:
            self._server = _Server(host, port, self)
        except OSError as error:
            hint = msg("Close that program, or choose another port.")
            raise port_error(host, port, place, error, hint) from None
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="mjpeg", daemon=True)
        self._thread.start()

    @property
    def viewers(self) -> int:
        """Number of current viewers."""
        return self._viewers

    def publish(self, picture: Pixels, fill: Color = (0, 255, 0)) -> None:
        """Publish a frame (H, W, 3 or 4) uint8; returns immediately."""
        shot = Shot(picture, fill)
        with self._new:
            self._shot, self._number = shot, self._number + 1
            self._new.notify_all()

    def newest(self) -> Shot | None:
        """The current frame; waits briefly for the first one."""
        with self._new:
            self._new.wait_for(lambda: self._shot is not None or self._closed, QUIET)
            return None if self._closed else self._shot

    def shots(self) -> Iterator[Shot]:
        """Frames for one viewer, which may read them slowly."""
        seen = 0
        with self._new:
            self._viewers += 1
        try:
            while True:
                shot, number = self._after(seen)
                if number < 0:
                    return
                if shot is not None:
                    seen = number
                    yield shot
        finally:
            with self._new:
                self._viewers -= 1

    def _after(self, seen: int) -> tuple[Shot | None, int]:
        """The newest frame and its number, once it is newer than a number or after a timeout; -1 at the end."""
        with self._new:
            self._new.wait_for(lambda: self._number > seen or self._closed, QUIET)
            if self._closed:
                return None, -1
            self.skipped += max(0, self._number - seen - 1) if seen else 0
            return self._shot, self._number

    def close(self) -> None:
        """Stop listening and disconnect viewers."""
        with self._new:
            self._closed = True
            self._new.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name != "nt"  # on Windows it would take over another program's port
    request_queue_size = VIEWERS

    def __init__(self, host: str, port: int, pictures: MjpegServer) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.pictures = pictures
        self._room = threading.BoundedSemaphore(VIEWERS)
        super().__init__((host, port), _Viewer)

    def server_bind(self) -> None:
        # not HTTPServer's, which queries the network for this computer's name
        if sys.platform == "win32":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a viewer in its own thread, or reject it if there are too many."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one viewer."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a viewer that disconnects is not an error."""


class _Viewer(BaseHTTPRequestHandler):
    """One connection."""

    server: _Server
    timeout = PATIENCE
    server_version, sys_version = "portrait-animate", ""

    def setup(self) -> None:
        """Keep the connection's buffer small, so that a slow viewer does not see old frames."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        super().setup()

    def do_GET(self) -> None:
        """Send the requested resource."""
        if not _own_name(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.FORBIDDEN)  # another site's page that resolves its own name to this computer
            return
        answers: dict[str, Callable[[], None]] = {
            "/": lambda: self._stream("jpeg"),
            "/overlay.png": lambda: self._stream("png"),
            "/overlay": lambda: self._send("text/html; charset=utf-8", PAGE),
            "/frame.png": lambda: self._one("png"),
            "/frame.jpg": lambda: self._one("jpeg"),
        }
        answer = answers.get(self.path.partition("?")[0])
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            answer()

    def _head(self, kind: str, length: int | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, kind: str, data: bytes) -> None:
        self._head(kind, len(data))
        self.wfile.write(data)

    def _one(self, form: str) -> None:
        shot = self.server.pictures.newest()
        if shot is None:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._send(f"image/{form}", shot.encoded(form))

    def _stream(self, form: str) -> None:
        self._head(f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        for shot in self.server.pictures.shots():
            data = shot.encoded(form)
            head = f"--{BOUNDARY}\r\nContent-Type: image/{form}\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Do nothing: viewers are not logged."""


def _own_name(host: str) -> bool:
    """Whether a Host header names this computer: by number, as localhost, or by its own name."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    if name in ("localhost", socket.gethostname().lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
