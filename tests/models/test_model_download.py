from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.download import HUB, DownloadCancelledError, default_hubs, download_model, missing_bytes
from models.registry import ModelError, ModelFile, ModelSpec
from models.transport import check_address, check_redirect
from models.weights import verify

DATA = bytes(range(251)) * 4000
HASH = hashlib.sha256(DATA).hexdigest()


@dataclass
class Server:
    """A web server in this process.

    Attributes:
        files: Path -> content.
        breaks: Bytes after which the next answer breaks off, or None.
        ranges: Range headers that came in.
        paths: Paths asked for.
        resumes: Whether Range is honoured.
        redirects: Path -> address that it redirects to.
        extra: Headers of redirects.
        shift: Added to the beginning that Content-Range tells.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    breaks: int | None = None
    resumes: bool = True
    ranges: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    address: str = ""
    redirects: dict[str, str] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    shift: int = 0


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            server.paths.append(self.path)
            asked = self.headers.get("Range")
            if body:
                server.ranges.append(asked)
            if self.path in server.redirects:
                self.send_response(302)
                self.send_header("Location", server.redirects[self.path])
                for name, value in server.extra.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").split("-")[0]) if asked and server.resumes else 0
            self.send_response(206 if asked and server.resumes else 200)
            self.send_header("Content-Length", str(len(content) - start))
            if asked and server.resumes:
                self.send_header("Content-Range", f"bytes {start + server.shift}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            if body:
                end = len(content) if server.breaks is None else start + server.breaks
                server.breaks = None
                self.wfile.write(content[start:end])

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    state.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path))
    for name in (
        "HF_ENDPOINT",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def spec(server: Server, size: int | None = len(DATA), sha256: str | None = HASH, **changes: object) -> ModelSpec:
    server.files.setdefault("/weights.bin", DATA)
    file = ModelFile("g/weights.bin", size, sha256, url=f"{server.address}/weights.bin")
    return ModelSpec("g/weights", "test", (file,), "MIT", True, "a test", **changes)


def test_whole_file_arrives_with_progress(server: Server, folder: Path):
    told: list[tuple[str, int, int | None]] = []
    model = spec(server)
    paths = download_model(model, progress=lambda *step: told.append(step))
    assert paths == [folder / "g" / "weights.bin"]
    assert paths[0].read_bytes() == DATA
    assert told[-1] == ("g/weights.bin", len(DATA), len(DATA))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert verify(model)[0].ok
    assert [p.name for p in paths[0].parent.iterdir()] == ["weights.bin"]
    download_model(model)
    assert len(server.ranges) == 1, "a good file is not fetched again"


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("size", [len(DATA), None])
def test_broken_download_is_continued(server: Server, folder: Path, resumes: bool, size: int | None):
    server.resumes, server.breaks = resumes, 300_000
    model = spec(server, size)
    with pytest.raises(ModelError, match=r"interrupted after 300,000 of 1,004,000 bytes.* is kept"):
        download_model(model)
    assert not (folder / "g" / "weights.bin").exists()
    assert (folder / "g" / "weights.bin.part").stat().st_size == 300_000
    (path,) = download_model(model)
    assert path.read_bytes() == DATA
    assert server.ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (DATA[:-1] + b"x", "SHA-256 differs"),
        (DATA[:1000], "is truncated after 1,000"),
        (DATA + DATA, "instead of"),
        (b"<html>quota exceeded</html>", "web page"),
    ],
)
def test_wrong_file_never_gets_the_name(server: Server, folder: Path, content: bytes, words: str):
    server.files["/weights.bin"] = content
    with pytest.raises(ModelError, match=words):
        download_model(spec(server))
    assert not (folder / "g" / "weights.bin").exists()


def test_wrong_hash_is_deleted_and_fetched_afresh(server: Server, folder: Path):
    server.files["/weights.bin"] = DATA[:-1] + b"x"
    with pytest.raises(ModelError, match="It was deleted"):
        download_model(spec(server))
    assert list((folder / "g").iterdir()) == []
    server.files["/weights.bin"] = DATA
    assert download_model(spec(server))[0].read_bytes() == DATA


def test_damaged_file_is_replaced(server: Server, folder: Path):
    (folder / "g").mkdir()
    (folder / "g" / "weights.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert download_model(spec(server))[0].read_bytes() == DATA


def test_refused_connection_and_error_answer_are_one_sentence(server: Server, folder: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = ModelSpec(
        "g/w", "test", (ModelFile("g/w.bin", url=f"http://127.0.0.1:{port}/w.bin"),), "MIT", True, "a test"
    )
    with pytest.raises(ModelError, match=rf"127\.0\.0\.1:{port}/w\.bin can't be fetched \(.*refused.*\)"):
        download_model(model)
    gone = ModelSpec("g/w", "test", (ModelFile("g/w.bin", url=f"{server.address}/gone.bin"),), "MIT", True, "a test")
    with pytest.raises(ModelError, match=r"gone\.bin returned 404"):
        download_model(gone)


def test_licence_and_source_are_asked_first(server: Server):
    closed = ModelSpec("g/w", "test", spec(server).files, "research only", False, "a test")
    with pytest.raises(ModelError, match="licence research only; accept it"):
        download_model(closed)
    assert server.paths == []
    assert download_model(closed, accept_licence=True)[0].read_bytes() == DATA
    with pytest.raises(ModelError, match="can't be downloaded by this app"):
        download_model("insightface/buffalo_l", accept_licence=True)
    with pytest.raises(ModelError, match="not an https URL"):
        download_model(ModelSpec("g/v", "t", (ModelFile("g/v.bin", url="file:///etc/hosts"),), "MIT", True, "a test"))


def test_hub_mirrors_are_tried_in_turn(server: Server, folder: Path):
    pytest.importorskip("huggingface_hub")
    server.files["/owner/name/resolve/main/sub/weights.bin"] = DATA
    file = ModelFile("g/weights.bin", len(DATA), HASH, repo="owner/name", path="sub/weights.bin")
    model = ModelSpec("g/weights", "test", (file,), "MIT", True, "a test")
    (path,) = download_model(model, hubs=[f"{server.address}/dead", server.address])
    assert path == folder / "g" / "weights.bin"
    assert path.read_bytes() == DATA
    assert any(p.startswith("/dead/") for p in server.paths)


def test_hub_faults_are_listed(server: Server):
    pytest.importorskip("huggingface_hub")
    file = ModelFile("g/weights.bin", repo="owner/name")
    model = ModelSpec("g/weights", "test", (file,), "MIT", True, "a test")
    with pytest.raises(ModelError, match=r"g/weights\.bin of owner/name can't be fetched \(http://127"):
        download_model(model, hubs=[server.address])
    with pytest.raises(ModelError, match="no hub is given"):
        download_model(model, hubs=[])


def test_the_users_mirror_comes_first(monkeypatch: pytest.MonkeyPatch):
    assert default_hubs() == [HUB]
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert default_hubs() == ["https://mirror.example", HUB]


@pytest.mark.parametrize("hub", [True, False])
def test_cancelled_download_is_kept_and_continued(server: Server, folder: Path, hub: bool):
    server.files["/owner/name/resolve/main/weights.bin"] = server.files["/weights.bin"] = DATA
    where = {"repo": "owner/name", "path": "weights.bin"} if hub else {"url": f"{server.address}/weights.bin"}
    model = ModelSpec("g/weights", "test", (ModelFile("g/weights.bin", None, HASH, **where),), "MIT", True, "a test")
    hubs, told = [server.address], []
    assert missing_bytes(model, hubs=hubs) == len(DATA)
    with pytest.raises(DownloadCancelledError, match="the received part is kept"):
        download_model(
            model, hubs=hubs, progress=lambda *step: told.append(step), cancelled=lambda: sum(s[1] for s in told) > 0
        )
    kept = (folder / "g" / "weights.bin.part").stat().st_size
    assert 0 < kept < len(DATA)
    assert missing_bytes(model, hubs=hubs) == len(DATA) - kept
    (path,) = download_model(model, hubs=hubs, progress=lambda *step: told.append(step))
    assert path.read_bytes() == DATA
    assert server.ranges[-1] == f"bytes={kept}-"
    assert told[-1] == ("g/weights.bin", len(DATA), len(DATA))
    assert missing_bytes(model, hubs=hubs) == 0


def test_size_that_nobody_tells(server: Server):
    file = ModelFile("g/weights.bin", repo="owner/name")
    assert missing_bytes(ModelSpec("g/weights", "t", (file,), "MIT", True, "a test"), hubs=[server.address]) is None
    assert missing_bytes(ModelSpec("g/weights", "t", (file,), "MIT", True, "a test"), hubs=[]) is None


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_offline_is_honoured(server: Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(ModelError, match=f"{name} is set"):
        download_model(spec(server))
    assert missing_bytes(spec(server, size=None)) is None
    assert server.paths == []


def test_offline_says_nothing_about_files_that_are_there(server: Server, monkeypatch: pytest.MonkeyPatch):
    (path,) = download_model(spec(server))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert download_model(spec(server)) == [path]
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    path.unlink()
    assert download_model(spec(server)) == [path]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("http://example.com/weights.bin", "not https"),
        ("https://example.com/weights.bin", "another host"),
        ("http://localhost:{port}/real.bin", "another host"),
        ("file:///etc/passwd", "not allowed"),
        ("http://[", "an invalid URL"),
        ("ftp://example.com/x", "not https"),
        ("https://huggingface.co.example.com/x", "another host"),
    ],
)
def test_redirects_lead_only_where_downloads_may_come_from(server: Server, folder: Path, target: str, words: str):
    server.files["/real.bin"] = DATA
    server.redirects["/weights.bin"] = target.format(port=server.address.rpartition(":")[2])
    with pytest.raises(ModelError, match=words):
        download_model(spec(server))
    assert server.paths == ["/weights.bin"]
    assert not (folder / "g" / "weights.bin").exists()


@pytest.mark.parametrize(
    ("first", "target", "allowed"),
    [
        ("https://huggingface.co/a", "https://cdn-lfs.huggingface.co/b", True),
        ("https://huggingface.co/a", "https://cas-bridge.xethub.hf.co/b", True),
        ("https://mirror.example.com/a", "https://cdn.mirror.example.com/b", True),
        ("https://mirror.example.com/a", "https://cdn-lfs.hf.co/b", True),
        ("https://huggingface.co/a", "http://huggingface.co/a", False),
        ("https://huggingface.co/a", "http://127.0.0.1/a", False),
        ("https://huggingface.co/a", "https://evilhf.co/b", False),
        ("https://huggingface.co/a", "https://example.com/b", False),
        ("https://huggingface.co/a", "https://huggingface.co@example.com/b", False),
    ],
)
def test_hosts_of_redirects(first: str, target: str, allowed: bool):
    if allowed:
        check_redirect(first, target)
    else:
        with pytest.raises(ModelError, match="nothing was downloaded"):
            check_redirect(first, target)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1.example.com/x", "http://localhost.example.com/x", "http://hf.co/x", ""]
)
def test_only_https_is_fetched(url: str):
    with pytest.raises(ModelError, match="not an https URL"):
        check_address(url)


def test_redirects_on_one_host_are_followed_and_the_hash_of_the_hub_is_checked(server: Server, folder: Path):
    server.files["/real.bin"] = DATA
    server.redirects["/weights.bin"] = f"{server.address}/real.bin"
    server.extra = {"X-Linked-ETag": f'"{HASH}"', "X-Linked-Size": str(len(DATA))}
    (path,) = download_model(spec(server, size=None, sha256=None))
    assert path.read_bytes() == DATA
    path.unlink()
    server.files["/real.bin"] = DATA[:4]
    with pytest.raises(ModelError, match="is truncated after 4 of"):
        download_model(spec(server, size=None, sha256=None))
    server.files["/real.bin"] = DATA[:-1] + b"x"
    with pytest.raises(ModelError, match="SHA-256 differs"):
        download_model(spec(server, size=None, sha256=None))
    assert not path.exists()


def test_the_rest_of_other_content_is_not_added(server: Server, folder: Path):
    """The source changed between two tries, and no hash is known: it begins again."""
    server.breaks = 1000
    with pytest.raises(ModelError, match="interrupted"):
        download_model(spec(server, size=None, sha256=None))
    server.files["/weights.bin"] = other = bytes(reversed(DATA))
    (path,) = download_model(spec(server, size=None, sha256=None))
    assert path.read_bytes() == other
    assert server.ranges == [None, "bytes=1000-", None]
    assert sorted(p.name for p in path.parent.iterdir()) == ["weights.bin"]


def test_a_range_that_was_not_asked_for_is_not_added(server: Server, folder: Path):
    server.breaks = 1000
    with pytest.raises(ModelError, match="interrupted"):
        download_model(spec(server))
    server.shift = 7
    (path,) = download_model(spec(server))
    assert path.read_bytes() == DATA
    assert server.ranges == [None, "bytes=1000-", None]


def test_a_part_of_unknown_origin_is_not_continued_without_a_hash(server: Server, folder: Path):
    (folder / "g").mkdir()
    (folder / "g" / "weights.bin.part").write_bytes(b"x" * 50)
    (path,) = download_model(spec(server, size=None, sha256=None))
    assert path.read_bytes() == DATA
    assert server.ranges == [None]
