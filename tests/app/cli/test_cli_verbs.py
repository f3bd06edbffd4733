"""`animate template`, `models`, `doctor`, `--print-config`."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from app import doctor, environment
from app.errors import ExitCode
from app.media.audio import AudioSource
from app.media.images import read_image
from app.media.reader import open_clip


def test_template_drives_like_its_clip(run_cli: Callable, listing: Callable) -> None:
    made = run_cli("template", "make", "in/gap.mp4")
    assert made.code == 0, made.err
    assert "Wrote gap.motion (12 frames)" in made.out
    assert "no face was found in 3 of 12 frames" in made.err
    shown = json.loads(run_cli("template", "show", "gap.motion", "--json").out)
    assert (shown["frames"], shown["rate"], shown["family"], shown["lost"]) == (12, "25", "mesh478", 3)
    assert "mesh478" in run_cli("template", "show", "gap.motion").out
    assert run_cli("in/photo.jpg", "gap.motion", "-o", "a.mp4").code == 0
    assert run_cli("in/photo.jpg", "in/gap.mp4", "-o", "b.mp4", "--audio", "none").code == 0
    with open_clip("a.mp4") as a, open_clip("b.mp4") as b:
        pairs = list(zip(a, b, strict=True))
    assert [x.time for x, _ in pairs] == [y.time for _, y in pairs]
    assert max(np.abs(x.rgb.astype(int) - y.rgb).max() for x, y in pairs) == 0
    assert listing() == ["a.mp4", "b.mp4", "gap.motion"]


def test_template_of_a_photo(run_cli: Callable) -> None:
    assert run_cli("template", "make", "in/other.jpg", "-o", "o.motion", "-q").code == 0
    assert run_cli("in/photo.jpg", "o.motion", "-o", "a.png").code == 0
    assert run_cli("in/photo.jpg", "in/other.jpg", "-o", "b.png").code == 0
    np.testing.assert_array_equal(read_image("a.png").rgb, read_image("b.png").rgb)


def test_template_keeps_a_chosen_reference(run_cli: Callable) -> None:
    assert run_cli("template", "make", "in/clip.mp4", "--reference", "7").code == 0
    assert json.loads(run_cli("template", "show", "clip.motion", "--json").out)["reference"] == 7
    assert run_cli("in/photo.jpg", "clip.motion", "-o", "a.mp4", "--audio", "none").code == 0
    assert run_cli("in/photo.jpg", "in/clip.mp4", "-o", "b.mp4", "--audio", "none", "--reference", "7").code == 0
    assert Path("a.mp4").stat().st_size == Path("b.mp4").stat().st_size


SILENT = "which has no sound; the result is silent"
TAKEN = "which has no sound; that of the source is used"


@pytest.mark.parametrize(
    ("words", "sound", "said"),
    [
        (["in/clip.mp4"], "source", TAKEN),
        (["in/clip.mp4", "--audio", "source"], "source", ""),
        (["in/clip.mp4", "--audio", "none"], "none", ""),
        (["in/clip.mp4", "-o", "a.gif"], "source", ""),  # no place for sound, so that none is missed
        (["in/photo.jpg"], "none", SILENT),
        (["in/photo.jpg", "--audio", "none"], "none", ""),
        (["in/photo.jpg", "-o", "a-%04d.png"], "none", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_template_brings_no_sound(run_cli: Callable, here: Path, words: list, sound: str, said: str) -> None:
    assert run_cli("template", "make", "in/clip.mp4", "-o", "m.motion").code == 0
    source, *flags = words
    done = run_cli(source, "m.motion", "--dry-run", "--json", *flags)
    assert done.code == 0, done.err
    plan = json.loads(done.out.splitlines()[-1])
    assert plan["audio"] == sound
    assert [note for note in plan["notes"] if "has no sound" in note] == (
        [f"m.motion is a motion template, {said}."] if said else []
    )


def test_the_sound_of_the_source_is_used_under_a_template(run_cli: Callable) -> None:
    assert run_cli("template", "make", "in/clip.mp4", "-o", "m.motion").code == 0
    done = run_cli("in/clip.mp4", "m.motion", "-o", "a.mp4")
    assert (done.code, TAKEN in done.err) == (0, True)
    assert AudioSource(Path("a.mp4")).present
    done = run_cli("in/photo.jpg", "m.motion", "-o", "b.mp4")
    assert (done.code, SILENT in done.err) == (0, True)
    assert not AudioSource(Path("b.mp4")).present


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["make", "in/missing.mp4"], 1, "does not exist"),
        (["make", "in/no_face.mp4"], 3, "no face was found"),
        (["make", "in/clip.mp4", "-o", "x.mp4"], 2, "End it in .motion"),
        (["make", "in/clip.mp4", "--reference", "-1"], 2, "--reference"),
        (["show", "in/text.mp4"], 1, "not a motion template"),
        (["show", "missing.motion"], 1, "does not exist"),
        ([], 2, ""),
        (["mend"], 2, "mend"),
    ],
)
def test_template_refusals(run_cli: Callable, listing: Callable, arguments: list[str], code: int, text: str) -> None:
    outcome = run_cli("template", *arguments)
    assert outcome.code == code
    assert text in outcome.err
    assert "Traceback" not in outcome.err
    assert listing() == []


class Evil:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("pwned"),)


def test_malicious_template(run_cli: Callable, listing: Callable) -> None:
    Path("evil.pkl").write_bytes(pickle.dumps({"motion": [Evil()], "n_frames": 1}))
    outcome = run_cli("in/photo.jpg", "evil.pkl")
    assert outcome.code == ExitCode.ERROR
    assert len(outcome.lines) == 1
    assert listing() == ["evil.pkl"]


def test_template_of_another_engine(run_cli: Callable, listing: Callable) -> None:
    frame = {"scale": np.ones((1, 1)), "R": np.eye(3)[None], "exp": np.zeros((1, 21, 3)), "t": np.zeros((1, 3))}
    frame = {name: value.astype(np.float32) for name, value in frame.items()}
    Path("talk.pkl").write_bytes(pickle.dumps({"n_frames": 2, "output_fps": 25, "motion": [frame, frame]}))
    outcome = run_cli("in/photo.jpg", "talk.pkl")
    assert outcome.code == ExitCode.USAGE
    assert len(outcome.lines) == 1
    assert "21 keypoints" in outcome.err
    assert "478" in outcome.err
    assert listing() == ["talk.pkl"]


def test_models(run_cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path / "models"))
    listed = run_cli("models", "list")
    assert listed.code == 0
    assert "here    landmarks/mesh478" in listed.out
    assert "missing liveportrait/human" in listed.out
    assert "no commercial use" in listed.out
    lines = [json.loads(line) for line in run_cli("models", "list", "detect/*", "--json").out.splitlines()]
    assert {"detect/blaze_full", "detect/blaze_short", "detect/emo2_1m"} <= {line["name"] for line in lines}
    assert all(line["name"].startswith("detect/") for line in lines)
    assert all(len(line["files"][0]["sha256"]) == 64 for line in lines if line.get("files"))
    assert run_cli("models", "verify").code == 0
    assert run_cli("models", "verify", "liveportrait/human").code == ExitCode.MISSING
    assert run_cli("models", "list", "nothing/here").code == ExitCode.USAGE
    assert run_cli("models", "import", "in", "--model", "liveportrait/human").code == ExitCode.MISSING


def test_models_verify_names_a_damaged_file(run_cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path))
    pointer = tmp_path / "liveportrait" / "landmark.onnx"
    pointer.parent.mkdir()
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    outcome = run_cli("models", "verify", "liveportrait/landmark203")
    assert outcome.code == ExitCode.ERROR
    assert "Git LFS pointer" in outcome.out


@pytest.mark.smoke
def test_doctor(run_cli: Callable) -> None:
    outcome = run_cli("doctor")
    assert outcome.code == 0, outcome.err
    for text in ("ok mesh", "self-test passed", "CPUExecutionProvider", "libx264", "landmarks/mesh478", "Folders"):
        assert text in outcome.out
    report = json.loads(run_cli("doctor", "--json").out)
    assert report["ready"] is True
    assert {"section", "name", "status", "value", "hint"} == set(report["findings"][0])


def test_doctor_sees_what_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    both = {"opencv-python": "4.10", "opencv-python-headless": "4.10", "onnxruntime-gpu": "1.20"}
    monkeypatch.setattr(environment.metadata, "version", lambda name: both.get(name) or real(name))
    findings = {f.name: f for f in doctor.examine()}
    assert findings["OpenCV"].status == "warning"
    assert "overwrite each other" in findings["OpenCV"].value
    assert findings["ONNX Runtime"].status == "warning"
    assert findings["OpenCV variant"].status == "info"


def test_doctor_sees_settings_that_stop_every_command(run_cli: Callable, here: Path) -> None:
    folder = Path(os.environ["PORTRAIT_ANIMATE_CONFIG"])
    (folder / "presets").mkdir(parents=True)
    (folder / "config.toml").write_text("[options")
    (folder / "presets" / "mine.toml").write_text("[options]\nquality = 101\n")
    outcome = run_cli("doctor")
    assert outcome.code == 0
    assert f"!! settings               {folder / 'config.toml'} is not valid TOML" in outcome.out
    assert "mine.toml: quality: 101 is out of bounds" in outcome.out


def test_doctor_survives_a_broken_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list:
        raise OSError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor, "CHECKS", (("Engines", broken), *doctor.CHECKS[:1]))
    findings = doctor.examine()
    assert "libGL.so.1" in findings[0].value
    assert findings[-1].section == "Program"
    assert doctor.summary(findings)["ready"] is False


def test_print_config(run_cli: Callable) -> None:
    outcome = run_cli("in/photo.jpg", "in/clip.mp4", "--preset", "calm", "--quality", "77", "--print-config")
    assert outcome.code == 0
    lines = dict(line.split(" = ", 1) for line in outcome.out.splitlines() if " = " in line)
    assert lines["quality"].split() == ["77", "#", "command", "line"]
    assert lines["multiplier"].endswith("# preset calm")
    assert lines["stitching"].endswith("# default")


def test_verb_in_the_wrong_place(run_cli: Callable) -> None:
    outcome = run_cli("--json", "doctor", "x")
    assert outcome.code == ExitCode.USAGE
    assert "doctor is a command" in outcome.err


def test_a_broken_network_in_the_middle_of_the_work_is_no_fault_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from app.cli import main as program
    from models.registry import ModelError

    def run(_: list[str]) -> int:
        raise ModelError("own.onnx outputs numbers that are not finite; it is damaged.")

    monkeypatch.setattr(program, "run", run)
    assert program.main(["a.jpg", "b.mp4"]) == ExitCode.ERROR
    assert capsys.readouterr().err == ("animate: error: own.onnx outputs numbers that are not finite; it is damaged.\n")
