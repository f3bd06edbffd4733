"""`animate live` without a window, and the live options."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from app.cli import live as verb
from app.cli.main import main
from app.errors import UsageError
from app.live_options import LiveOptions, check_live, live_options
from app.media.reader import open_clip
from app.option_parsers import parse_size
from app.options import options_table

ROOT = Path(__file__).resolve().parents[3]
PHOTO, CLIP = ROOT / "assets/sample/portrait.jpg", ROOT / "assets/sample/driving.mp4"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["live", *(str(word) for word in words)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_session_with_figures_and_recording(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    code, out, _ = run(
        capsys, PHOTO, "--camera", CLIP, "--no-window", "--seconds", 2.0, "--json", "--picture-size", 256,
        "--record", path, "--stream", "udp://127.0.0.1:9", "--stream", f"mjpeg://127.0.0.1:{port}",
    )  # fmt: skip
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    last = lines[-1]
    assert last["event"] == "result"
    assert last["fps"] > 0
    assert 0 < last["latency_ms_median"] <= last["latency_ms_p95"]
    assert last["dropped"] >= 0
    assert min(last["captured"], last["shown"]) > 1
    assert last["recorded"] == str(path)
    assert last["camera"] is None  # a clip is none
    assert last["sinks"]["udp://127.0.0.1:9"]["shown"] > 0  # nobody has to be there
    assert last["sinks"][f"mjpeg://127.0.0.1:{port}"]["shown"] > 0
    assert any(line["event"] == "progress" and line["phase"] == "live" for line in lines)
    with open_clip(path) as reader:
        times = [frame.time for frame in reader]
        assert (reader.info.width, reader.info.height) == (204, 256)
    assert len(times) > 1
    assert times == sorted(times)


def test_still_as_driver_and_plain_output(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, PHOTO, "--camera", PHOTO, "--no-window", "--seconds", 0.2, "--picture-size", 200)
    assert code == 0
    assert "frames/s" in out


def test_sliders_lie_on_the_session(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With eyes for nothing but a still as driver, only the sliders tell the two recordings apart."""
    shown = []
    for flags in ((), ("--sliders", "lip_open=1"), ("--expression", "A", "--sliders", "lip_open=0.1")):
        path = tmp_path / f"{len(flags)}.mov"  # ProRes: each frame by itself, however many came before it
        code, _, err = run(capsys, PHOTO, "--camera", PHOTO, "--no-window", "--seconds", 1.2, "--picture-size", 200,
                           "--record", path, "--codec", "prores", *flags)  # fmt: skip
        assert code == 0, err
        with open_clip(path) as reader:
            shown.append([frame.rgb.astype(int) for frame in reader][-1])
    assert abs(shown[0] - shown[1]).mean() > 0.5
    assert abs(shown[1] - shown[2]).mean() < 0.3


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((PHOTO, "--sliders", "smirk=1", "--no-window"), 2, "there is no slider named 'smirk'"),
        ((PHOTO, "--camera", CLIP, "--expression", "smlie", "--no-window"), 2, "Did you mean Smile?"),
        ((PHOTO, "--camera", "no such camera", "--no-window"), 1, "no camera and no file named"),
        (("none.jpg", "--camera", CLIP, "--no-window"), 1, "none.jpg"),
        ((Path(__file__).parent, "--camera", CLIP, "--no-window"), 1, "contains no images"),
        ((PHOTO, "--camera", "none.mp4", "--no-window"), 1, "none.mp4"),
        ((PHOTO, "--camera-size", "big", "--no-window"), 2, "--camera-size: 'big' is not a size"),
        ((PHOTO, "--hold-rate", "0", "--no-window"), 2, "--hold-rate"),
        ((PHOTO, "--seconds", "-1", "--no-window"), 2, "--seconds"),
        ((PHOTO, "--reference", "5", "--no-window"), 2, "numbered frames"),
        ((PHOTO, "--camera", CLIP, "--record", "x.txt", "--no-window"), 2, "x.txt is not the name of a video file"),
        ((PHOTO, "--camera", CLIP, "--engine", "none", "--no-window"), 2, "no engine named"),
    ],
)
def test_errors(capsys: pytest.CaptureFixture[str], words: tuple[Any, ...], code: int, text: str) -> None:
    got, _, err = run(capsys, *words, *([] if "--seconds" in words else ["--seconds", "1"]))
    assert got == code
    assert text in err


def test_virtual_camera_without_its_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.media.virtual_camera.package_missing", lambda: True)
    code, _, err = run(capsys, PHOTO, "--camera", CLIP, "--vcam", "--no-window")
    assert code == 6
    assert "pip install" in err


def _virtual_camera(monkeypatch: pytest.MonkeyPatch, message: str) -> list[int]:
    """Let the driver of the virtual camera refuse with a message; the list grows with each try."""
    tries: list[int] = []

    def make(width: int, *_: Any, **__: Any) -> Any:
        tries.append(width)
        raise RuntimeError(message)

    monkeypatch.setattr("app.media.virtual_camera.package_missing", lambda: False)
    monkeypatch.setattr("app.media.virtual_camera._pyvirtualcam", lambda: make)
    return tries


def test_busy_virtual_camera_does_not_end_the_recording(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tries = _virtual_camera(monkeypatch, "Device /dev/video9 is busy")
    path = tmp_path / "rec.mp4"
    code, _, err = run(capsys, PHOTO, "--camera", CLIP, "--vcam", "--record", path, "--seconds", 1, "--picture-size",
                       200, "--no-window")  # fmt: skip
    assert code == 0, err
    assert err.count("Device /dev/video9 is busy") == 1
    assert tries
    with open_clip(path) as reader:
        assert [frame.time for frame in reader][-1] > 0.7


def test_missing_virtual_camera_is_an_error_at_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _virtual_camera(monkeypatch, "No v4l2loopback device found")
    code, _, err = run(capsys, PHOTO, "--camera", CLIP, "--vcam", "--no-window", "--picture-size", 200)
    assert code == 6
    assert "rying again" not in err


def test_window_gets_portrait_and_driver(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    asked: list[Any] = []

    class Window:
        class Start:
            def __init__(self, files: tuple[Path, ...], **others: Any) -> None:
                self.files = files
                self.others = others

        @staticmethod
        def main(start: Any) -> int:
            opened.append(start.files)
            asked.append(start.others)
            return 0

    monkeypatch.setattr(verb, "_window_module", lambda: Window)
    assert run(capsys, PHOTO, "--camera", CLIP)[0] == 0
    assert run(capsys, PHOTO)[0] == 0
    assert opened == [(PHOTO, CLIP), (PHOTO,)]
    assert asked[-1] == {"values": {}, "live": {}, "expression": None, "address": ""}
    code, _, err = run(capsys, PHOTO, "--sliders", "smile=0.5,lips=0", "--face", "left", "--hold-rate", "25",
                       "--lips-from", CLIP, "--quality", "90")  # fmt: skip
    assert (code, err) == (0, "")
    expression = asked[-1].pop("expression")
    assert (dict(expression.values), expression.lip_ratio) == ({"smile": 0.5}, 0.0)
    values = {"face": "left", "lips_from": str(CLIP), "quality": 90}
    assert asked[-1] == {"values": values, "live": {"hold_rate": 25.0}, "address": ""}
    code, _, err = run(capsys, PHOTO, "--camera", "0", "--vcam")
    assert code == 0
    assert "--no-window" in err
    monkeypatch.setattr(verb, "_window_module", lambda: None)
    code, _, err = run(capsys, PHOTO)
    assert code == 6
    assert "--no-window" in err


def test_options_are_documented() -> None:
    table = options_table(live_options())
    page = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) == len(live_options())
    for row in rows:
        assert row in page


def test_live_options_are_checked() -> None:
    assert check_live({}) == LiveOptions()
    assert check_live({"mirror": "no", "camera_rate": "60"}) == LiveOptions(mirror=False, camera_rate=60.0)
    with pytest.raises(UsageError, match="no live option"):
        check_live({"colour": 1})
    with pytest.raises(UsageError, match="vcam_fit"):
        check_live({"vcam_fit": "zoom"})
    assert parse_size("1280 x 720") == (1280, 720)
    assert parse_size("") is None
    for text in ("8x8", "1280", "axb", "99999x1"):
        with pytest.raises(ValueError, match="not a size"):
            parse_size(text)


def test_camera_that_never_opens_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The portrait at rest, which is shown meanwhile, is no success."""
    code, _, err = run(capsys, PHOTO, "--camera", "987", "--no-window", "--seconds", 0.2, "--picture-size", 200)
    assert code == 1
    assert "error: No frames received from camera 987" in err or "error: There is no camera 987" in err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--lips-from", "gone.mp4"), 1, "gone.mp4 can't be read: it does not exist"),
        (("--pose-from", "gone.motion"), 1, "gone.motion can't be read: it does not exist"),
        (("--record", str(CLIP), "--overwrite"), 2, "driving.mp4 is an input and can't be the output as well"),
    ],
)
def test_files_are_checked_before_the_session(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, text: str
) -> None:
    before = CLIP.stat().st_mtime_ns
    found, _, err = run(capsys, PHOTO, "--camera", CLIP, "--no-window", "--seconds", 0.2, *words)
    assert found == code
    assert text in err
    assert CLIP.stat().st_mtime_ns == before
