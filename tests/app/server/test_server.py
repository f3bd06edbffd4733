"""The HTTP server, in process; the worker processes are those of the queue."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="FastAPI (extra 'server') is not installed")
pytest.importorskip("httpx", reason="httpx (extra 'dev') is not installed")

from fastapi.testclient import TestClient

from app.errors import MissingError
from app.server import work
from app.server.api import build_app
from app.server.files import FileStore, safe_name
from app.server.guard import host_of, is_local
from app.server.limits import Limits, status_of
from app.server.work import Work

SAMPLE = Path(__file__).resolve().parents[3] / "assets" / "sample"
BASE = "http://localhost"


@pytest.fixture
def client(tmp_path, monkeypatch):
    """A server whose jobs wait, so that nothing is rendered."""
    monkeypatch.setattr(Work, "start", lambda self: None)
    with TestClient(build_app(tmp_path / "server", media=SAMPLE, limits=Limits(waiting=6)), base_url=BASE) as client:
        client.folder = tmp_path / "server"
        yield client


def upload(client, path: Path) -> str:
    answer = client.post(f"/v1/files?name={path.name}", content=path.read_bytes())
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def left(client) -> list[str]:
    return sorted(p.name for folder in ("uploads", "results") for p in (client.folder / folder).iterdir())


def test_a_job_is_created_once_for_its_key_and_known_by_a_name_without_paths(client):
    photo, clip = upload(client, SAMPLE / "portrait.jpg"), upload(client, SAMPLE / "driving.mp4")
    request = {"source": {"file": photo}, "driving": {"file": clip}, "options": {"max_side": 64}, "key": "mine"}
    first, second = (client.post("/v1/jobs", json=request) for _ in range(2))
    assert first.status_code == 201
    assert first.json() == second.json()
    job = first.json()
    assert (job["state"], job["source"], job["driving"], job["result"]) == (
        "queued",
        "portrait.jpg",
        "driving.mp4",
        None,
    )
    assert str(client.folder) not in first.text
    assert client.get("/v1/jobs").json() == [job]
    assert client.get(f"/v1/jobs/{job['id']}/result").status_code == 409
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 409
    assert client.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    events = client.get(f"/v1/jobs/{job['id']}/events").text
    assert json.loads(events.split("data: ")[1])["state"] == "cancelled"
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404


def test_files_below_the_media_folder_may_be_named_and_no_others(client, tmp_path):
    good = client.post("/v1/jobs", json={"source": {"path": "portrait.jpg"}, "driving": {"path": "driving.mp4"}})
    assert good.status_code == 201
    (tmp_path / "secret.jpg").write_bytes((SAMPLE / "portrait.jpg").read_bytes())
    outside = os.path.relpath(tmp_path / "secret.jpg", SAMPLE)
    for name in (outside, str(tmp_path / "secret.jpg"), "../../pyproject.toml", ".", "", "nul\0", 3, None):
        answer = client.post("/v1/jobs", json={"source": {"path": name}, "driving": {"path": "driving.mp4"}})
        assert answer.status_code == 404, name
    assert client.post("/v1/files?name=../../x.jpg", content=b"no").status_code == 422
    assert not (tmp_path / "x.jpg").exists()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"output": "/etc/x.mp4"}, 422),
        ({"voice": "/etc/passwd"}, 422),
        ({"background": "/etc/passwd"}, 422),
        ({"background": "pyproject.toml"}, 422),  # a file of the folder that the server was started in
        ({"expression": "mine"}, 422),
        ({"signing_key": {"path": "portrait.jpg"}}, 422),
        ({"driver_for": "left=/etc/passwd"}, 422),
        ({"detector": "/tmp/x.onnx"}, 422),
        ({"voice": {"path": "../x.wav"}}, 404),
        ({"max_side": {"path": "portrait.jpg"}}, 422),
        ({"nonsense": 1}, 422),
        ({"quality": 1000}, 422),
        ([], 201),
        ({"background": "blur", "idle": "0.5"}, 201),
        ({"background": {"path": "portrait.jpg"}}, 201),
    ],
)
def test_options_name_no_files_of_the_machine(client, options, status, monkeypatch):
    monkeypatch.chdir(SAMPLE.parents[1])
    request = {"source": {"path": "portrait.jpg"}, "driving": {"path": "driving.mp4"}, "options": options}
    answer = client.post("/v1/jobs", json=request)
    assert answer.status_code == status, answer.text
    assert status == 201 or answer.json()["error"]


def test_what_is_refused_leaves_nothing(client):
    """Damaged files, wrong requests: a plain sentence with a 4xx status."""
    rng = random.Random(7)
    photo, clip = (SAMPLE / "portrait.jpg").read_bytes(), (SAMPLE / "driving.mp4").read_bytes()
    kept = 0
    for n in range(40):
        data = bytearray(rng.choice((photo, clip))[: rng.choice((0, 10, 300, 5000))])
        for _ in range(rng.randrange(20)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        name = rng.choice(
            ("a.jpg", "a.mp4", "a.wav", "a.motion", "a.json", "%d.png", "..", "a/b.gif", "a.speech", "\x00")
        )
        answer = client.post("/v1/files", params={"name": name}, content=bytes(data))
        assert answer.status_code in (201, 422), (n, name, answer.text)
        kept += answer.status_code == 201
        body = rng.choice(
            ([1], {"source": 1}, {"source": {"file": "x" * 24}}, {"jobs": {}}, {"source": {"path": ["a"]}})
        )
        answer = client.post("/v1/jobs", json=body)
        assert 400 <= answer.status_code < 500, answer.text
    assert len(left(client)) == kept
    big = client.post("/v1/jobs", content=b" " * 1_000_001, headers={"Content-Type": "application/json"})
    assert big.status_code == 413


def test_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(Work, "start", lambda self: None)
    limits = Limits(upload=40_000, seconds=1.0, waiting=1, storage=900_000)
    with TestClient(build_app(tmp_path, media=SAMPLE, limits=limits), base_url=BASE) as client:
        client.folder = tmp_path
        assert client.post("/v1/files?name=a.jpg", content=(SAMPLE / "portrait.jpg").read_bytes()).status_code == 413
        long = client.post("/v1/jobs", json={"source": {"path": "portrait.jpg"}, "driving": {"path": "driving.mp4"}})
        assert long.status_code == 413
        assert "1 second" in long.json()["error"]
        idle = {"source": {"path": "portrait.jpg"}, "options": {"idle": "0.5"}}
        assert client.post("/v1/jobs", json=idle).status_code == 201
        assert client.post("/v1/jobs", json=idle).status_code == 429
        (tmp_path / "uploads" / "x").write_bytes(bytes(1_000_000))
        assert client.post("/v1/files?name=a.jpg", content=b"x").status_code == 507
        assert left(client) == ["x", client.get("/v1/jobs").json()[0]["id"]] or len(left(client)) == 2


def test_old_files_go_and_those_of_waiting_jobs_stay(tmp_path):
    files = FileStore(tmp_path, None, Limits(keep_hours=1.0))
    for name in ("old", "used"):
        (tmp_path / "uploads" / name).mkdir()
        (tmp_path / "uploads" / name / "a.jpg").write_bytes(b"")
    (tmp_path / "results" / "job").mkdir()
    now = time.time()
    assert files.sweep([tmp_path / "uploads" / "used" / "a.jpg"], now + 3000) == []
    assert files.sweep([tmp_path / "uploads" / "used" / "a.jpg"], now + 4000) == ["job"]
    assert [p.name for p in (tmp_path / "uploads").iterdir()] == ["used"]


def test_pages_of_other_sites_and_strangers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Work, "start", lambda self: None)
    with TestClient(build_app(tmp_path / "a"), base_url=BASE) as open_:
        assert open_.get("/v1/jobs").status_code == 200
        assert open_.get("/v1/jobs", headers={"Origin": "http://evil.example"}).status_code == 403
        assert open_.get("/v1/jobs", headers={"Host": "evil.example"}).status_code == 403
        assert open_.get("/v1/jobs", headers={"Origin": BASE}).status_code == 200
    with TestClient(build_app(tmp_path / "b", token="s" * 20), base_url="http://10.0.0.5:8765") as closed:
        assert closed.get("/").status_code == closed.get("/openapi.json").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert closed.get("/v1/jobs", headers=headers).status_code == 401
        assert closed.get("/v1/jobs", headers={"Authorization": "Bearer " + "s" * 20}).status_code == 200
    assert [is_local(h) for h in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.5")] == [True] * 3 + [False] * 2
    assert host_of("[::1]:80") == "::1"


def test_a_portrait_is_posed_at_once(client):
    request = {"source": {"path": "portrait.jpg"}, "expression": {"sliders": {"smile": 0.8}}, "format": "png"}
    request["options"] = {"max_side": 240}
    smiling = client.post("/v1/edit", json=request)
    assert smiling.status_code == 200, smiling.text
    assert smiling.headers["content-type"] == "image/png"
    plain = client.post("/v1/edit", json=request | {"expression": {"sliders": {}}})
    first, second = (cv2.imdecode(np.frombuffer(a.content, np.uint8), 1).astype(int) for a in (smiling, plain))
    assert max(first.shape) <= 240
    assert np.abs(first - second).max() > 20
    for wrong in ({"expression": {"sliders": {"nose": 1}}}, {"format": "exe"}, {"source": {"path": "driving.mp4"}}):
        assert client.post("/v1/edit", json=request | wrong).status_code == 422


def test_camera_frames_come_back_animated(client):
    photo = upload(client, SAMPLE / "portrait.jpg")
    frame = (SAMPLE / "portrait.jpg").read_bytes()
    with client.websocket_connect(f"ws://localhost/v1/live?source={photo}") as socket:
        assert socket.receive_json() == {"state": "ready"}
        socket.send_json({"expression": {"sliders": {"smile": 0.5}}})
        socket.send_bytes(frame)
        found = cv2.imdecode(np.frombuffer(socket.receive_bytes(), np.uint8), 1)
        assert found.shape[2] == 3
        socket.send_bytes(b"no image")
        while True:
            message = socket.receive()
            if message.get("text"):
                assert "JPEG" in json.loads(message["text"])["error"]
                break
    with client.websocket_connect("ws://localhost/v1/live?source=none") as socket:
        assert "no such file" in socket.receive_json()["error"]


def test_jobs_are_rendered_and_followed(tmp_path, monkeypatch):
    """The queue's workers are replaced by one that finishes at once; the test of the queue renders for real."""
    stop = threading.Event()

    def run(queue, **_):
        for job in queue.reader.jobs(states=["queued"], lane=work.LANE):
            queue.register("tester", tmp_path / "scratch")
            claimed = queue.claim("tester", lane=work.LANE)
            Path(job.output).write_bytes(b"result")
            queue.done(claimed, [])
        stop.set()

    monkeypatch.setattr(work, "run_workers", run)
    with TestClient(build_app(tmp_path / "server", media=SAMPLE), base_url=BASE) as client:
        job = client.post("/v1/jobs", json={"source": {"path": "portrait.jpg"}, "options": {"idle": "0.5"}}).json()
        events = client.get(f"/v1/jobs/{job['id']}/events").text
        assert json.loads(events.split("data: ")[-1])["state"] == "done"
        answer = client.get(f"/v1/jobs/{job['id']}/result")
        assert (answer.content, answer.headers["content-type"]) == (b"result", "video/mp4")
        assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
        assert client.get(f"/v1/jobs/{job['id']}/result").status_code == 404
    assert stop.is_set()


def test_names_and_statuses():
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("Meine Fotos/Größe %d.JPG") == "Gr_e_d.JPG"
    assert safe_name("\x00") == "_"
    assert safe_name("") == "file"
    assert len(safe_name("a" * 500 + ".mp4")) < 100
    assert status_of(MissingError("x")) == 501
