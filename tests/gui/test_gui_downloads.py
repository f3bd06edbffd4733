"""Downloads of weights in the window: licence and size first, bytes and speed, stop, continue, failure."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from app.gui.dialogs.weights import ModelCard, ModelState, progress_text
from app.gui.downloads import Downloads, Transfer, _Meter
from models.registry import ModelFile, ModelSpec

DATA = bytes(range(251)) * 8000


class Site:
    """A web server that gives half of the file and then waits to be let go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.missing = False
        self.ranges: list[str | None] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.reply(body=False)

            def do_GET(self) -> None:
                site.ranges.append(self.headers.get("Range"))
                self.reply(body=True)

            def reply(self, body: bool) -> None:
                if site.missing:
                    self.send_error(404)
                    return
                asked = self.headers.get("Range")
                start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
                self.send_response(206 if asked else 200)
                self.send_header("Content-Length", str(len(DATA) - start))
                if asked:
                    self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
                self.end_headers()
                if body:
                    middle = max(start, len(DATA) // 2)
                    try:
                        self.wfile.write(DATA[start:middle])
                        self.wfile.flush()
                        site.go.wait(60)
                        self.wfile.write(DATA[middle:])
                    except OSError:  # the other side has gone
                        return

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.go.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path / "models"))
    for name in ("HF_ENDPOINT", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Site()
    yield made
    made.close()


@pytest.fixture
def spec(site: Site) -> ModelSpec:
    file = ModelFile("g/weights.bin", None, hashlib.sha256(DATA).hexdigest(), url=f"{site.address}/weights.bin")
    return ModelSpec("g/weights", "a task", (file,), "CC-BY-NC-4.0", False, "a test")


@pytest.fixture
def downloads(site: Site) -> Iterator[Downloads]:
    made = Downloads()
    yield made
    site.go.set()
    assert made.close()


@pytest.fixture
def card(qtbot: QtBot, theme: object, spec: ModelSpec, downloads: Downloads) -> ModelCard:
    made = ModelCard(ModelState(spec, here=False, fault=""), downloads)
    qtbot.addWidget(made)
    downloads.changed.connect(lambda _: made.show_transfer())
    made.show()
    return made


def test_licence_and_size_come_first_then_bytes_stop_and_continue(
    qtbot: QtBot, site: Site, card: ModelCard, downloads: Downloads, tmp_path: Path
) -> None:
    name = card.spec.name
    assert any(
        "CC-BY-NC-4.0" in label.text() and "no commercial use" in label.text() for label in card.findChildren(QLabel)
    )
    assert not card.fetch.isEnabled()
    card.accept.click()
    assert site.ranges == []  # nothing is fetched by that
    card.fetch.click()
    qtbot.waitUntil(lambda: downloads.transfer(name).phase == "asked")
    assert "2.0 MB" in card.note.text()
    assert card.fetch.text() == "Download 2.0 MB"
    assert site.ranges == []
    card.fetch.click()
    qtbot.waitUntil(lambda: "1.0 MB of 2.0 MB" in progress_text(downloads.transfer(name)))
    card.show_transfer()
    assert card.bar.isVisible()
    assert 400 < card.bar.value() < 600
    assert not card.fetch.isVisible()
    assert downloads.running == [name]
    card.stop.click()
    site.go.set()
    qtbot.waitUntil(lambda: downloads.transfer(name).phase in ("stopped", "done"))
    assert downloads.transfer(name).phase == "stopped"
    assert card.fetch.text() == "Continue"
    assert (tmp_path / "models" / "g" / "weights.bin.part").stat().st_size >= len(DATA) // 2 - (1 << 18)
    card.fetch.click()
    qtbot.waitUntil(lambda: downloads.transfer(name).phase == "asked")
    with qtbot.waitSignal(downloads.arrived):
        card.fetch.click()
    assert (tmp_path / "models" / "g" / "weights.bin").read_bytes() == DATA
    assert site.ranges[-1] is not None
    assert site.ranges[-1].startswith("bytes=")


def test_failure_is_told_and_can_be_tried_again(
    qtbot: QtBot, site: Site, card: ModelCard, downloads: Downloads
) -> None:
    site.missing = True
    card.accept.click()
    card.fetch.click()
    qtbot.waitUntil(lambda: downloads.transfer(card.spec.name).phase == "asked")
    assert "size is not known" in card.note.text()
    card.fetch.click()
    qtbot.waitUntil(lambda: downloads.transfer(card.spec.name).phase == "failed")
    assert "404" in card.note.text()
    assert (card.note.objectName(), card.fetch.text()) == ("error", "Try again")
    assert card.fetch.isEnabled()


def test_speed_and_time_left() -> None:
    meter = _Meter()
    for second in range(11):
        fetched, speed = meter.count("a/b.bin", 1_000_000 + 2_000_000 * second, float(second))
    assert (fetched, speed) == (20_000_000, 2_000_000)
    fetched, _ = meter.count("a/c.bin", 500, 11.0)
    assert fetched == 20_000_000
    transfer = Transfer("running", 150_000_000, fetched, speed, "a/b.bin")
    assert transfer.seconds_left == 65
    assert progress_text(transfer) == "b.bin  ·  20.0 MB of 150.0 MB  ·  2.0 MB/s  ·  1:05 left"
    assert Transfer("running", None, fetched, speed).seconds_left is None
