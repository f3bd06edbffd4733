"""`animate SOURCE DRIVING` in this process: what is written, what is said, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from app.errors import ExitCode
from app.media.audio import AudioSource
from app.media.images import read_image
from app.media.reader import open_clip


def times_of(path: Path) -> list[Fraction]:
    with open_clip(path) as clip:
        return [frame.time for frame in clip]


@pytest.mark.smoke
def test_photo_and_clip(run_cli: Callable, listing: Callable, here: Path) -> None:
    """Frame n in is frame n out, at its time, at the exact rate, with the clip's sound, at the photo's size."""
    outcome = run_cli("in/photo.jpg", "in/clip.mp4")
    assert outcome.code == 0, outcome.err
    assert listing() == ["photo--clip.mp4"]
    assert "Wrote photo--clip.mp4 (12 frames" in outcome.out
    with open_clip("photo--clip.mp4") as clip:
        assert clip.info.rate == Fraction(30000, 1001)
        assert (clip.info.width, clip.info.height) == (224, 224)
        frames = [frame.rgb.astype(int) for frame in clip]
    assert times_of(here / "photo--clip.mp4") == [k * Fraction(1001, 30000) for k in range(12)]
    assert AudioSource("photo--clip.mp4").present
    assert max(np.abs(frame - frames[0]).mean() for frame in frames) > 2, "the face does not move"


def test_variable_rate_is_kept(run_cli: Callable, here: Path) -> None:
    assert run_cli("in/photo.jpg", "in/vfr.mp4", "-o", "out.mp4").code == 0
    assert times_of(here / "out.mp4") == times_of(here / "in" / "vfr.mp4")


def test_rate_can_be_chosen(run_cli: Callable, here: Path) -> None:
    """The head of the same moments: 0.6 s at 10 frames a second become 15 frames at 25."""
    assert run_cli("in/photo.jpg", "in/slow.mp4", "-o", "out.mp4", "--fps", "25").code == 0
    assert times_of(here / "out.mp4") == [Fraction(k, 25) for k in range(15)]


def test_two_stills_give_a_still(run_cli: Callable, listing: Callable) -> None:
    outcome = run_cli("in/photo.jpg", "in/other.jpg")
    assert (outcome.code, listing()) == (0, ["photo--other.jpg"])
    picture = read_image("photo--other.jpg")
    assert picture.rgb.shape == (224, 224, 3)


def test_transparency_is_kept_where_the_format_can(run_cli: Callable, here: Path) -> None:
    assert run_cli("in/cutout.png", "in/other.jpg").code == 0
    picture = read_image("cutout--other.png")
    assert picture.alpha is not None
    assert picture.alpha[2, 2] == 0
    assert picture.alpha[112, 112] == 255
    assert run_cli("in/cutout.png", "in/slow.mp4", "-o", "out.webm").code == 0
    with open_clip("out.webm") as clip:
        frame = next(iter(clip))
    assert frame.alpha is not None
    assert frame.alpha[2, 2] < 20
    flat = run_cli("in/cutout.png", "in/slow.mp4", "-o", "flat.mp4", "--fill", "#00ff00")
    assert "does not support transparency" in flat.err
    with open_clip("flat.mp4") as clip:
        red, green, blue = next(iter(clip)).rgb[3, 3].astype(int)
    assert green > 200
    assert max(red, blue) < 60


def test_numbered_pictures_in_and_out(run_cli: Callable, here: Path) -> None:
    outcome = run_cli("in/photo.jpg", "in/shots", "-o", "frames/%03d.png")
    assert outcome.code == 1, "the folder is not there"
    (here / "frames").mkdir()
    assert run_cli("in/photo.jpg", "in/shots/shot_%04d.png", "-o", "frames/%03d.png").code == 0
    assert sorted(p.name for p in (here / "frames").iterdir()) == ["001.png", "002.png", "003.png"]


def test_source_clip(run_cli: Callable, here: Path) -> None:
    """Paired by time; the shorter one ends it; frames without a face stay as they are and are counted."""
    outcome = run_cli("in/gap.mp4", "in/slow.mp4", "-o", "out.mp4", "--quiet")
    assert outcome.code == 0
    assert outcome.out == ""
    assert len(outcome.lines) == 1
    assert "no face was found in 3 of 12 frames; they were left unchanged" in outcome.err
    assert times_of(here / "out.mp4") == [Fraction(k, 25) for k in range(12)]


@pytest.mark.parametrize(("rule", "frames"), [("shortest", 12), ("source", 12), ("driving", 6), ("loop", 15)])
def test_length_rules(run_cli: Callable, here: Path, rule: str, frames: int) -> None:
    """Source: 12 frames at 25 a second (0.48 s). Driving: 6 frames at 10 a second (0.6 s)."""
    assert run_cli("in/gap.mp4", "in/slow.mp4", "-o", "out.mp4", "--length", rule).code == 0
    assert len(times_of(here / "out.mp4")) == frames


def test_lost_driving_face(run_cli: Callable, here: Path) -> None:
    outcome = run_cli("in/photo.jpg", "in/gap.mp4", "-o", "out.mp4")
    assert outcome.code == 0
    assert "no face was found in 3 of 12 frames; the motion was held" in outcome.err
    with open_clip("out.mp4") as clip:
        frames = [frame.rgb.astype(int) for frame in clip]
    assert len(frames) == 12
    assert np.abs(frames[4] - frames[2]).mean() < 1.0, "the last motion is not held"


def test_clip_that_breaks_off(run_cli: Callable, here: Path) -> None:
    outcome = run_cli("in/photo.jpg", "in/cut.mkv", "-o", "out.mp4", "-q")
    assert outcome.code == ExitCode.PARTIAL
    assert len(outcome.lines) == 1
    assert "is truncated after" in outcome.err
    with open_clip("in/cut.mkv") as clip:
        decodable = sum(1 for _ in clip)
    assert 0 < decodable < 40
    assert len(times_of(here / "out.mp4")) == decodable


def test_side_by_side(run_cli: Callable, listing: Callable) -> None:
    assert run_cli("in/photo.jpg", "in/slow.mp4", "-o", "out.mp4", "--side-by-side").code == 0
    assert listing() == ["out--side-by-side.mp4", "out.mp4"]
    with open_clip("out--side-by-side.mp4") as clip:
        assert (clip.info.width, clip.info.height) == (3 * 224, 224)
        last = list(clip)[-1].rgb.astype(int)
    with open_clip("in/slow.mp4") as clip:
        assert np.abs(last[:, :224] - list(clip)[-1].rgb).mean() < 6
    assert np.abs(last[:, 224:448] - read_image("in/photo.jpg").rgb).mean() < 6
    with open_clip("out.mp4") as clip:
        assert np.abs(last[:, 448:] - list(clip)[-1].rgb).mean() < 6


def test_bare_crop(run_cli: Callable) -> None:
    assert run_cli("in/photo.jpg", "in/other.jpg", "-o", "out.png", "--no-paste-back", "--max-crop", "300").code == 0
    assert read_image("out.png").rgb.shape == (300, 300, 3)
    assert run_cli("in/gap.mp4", "in/other.jpg", "-o", "out.mp4", "--no-paste-back").code == 0
    with open_clip("out.mp4") as clip:
        frames = [frame.rgb for frame in clip]
    assert len(frames) == 12
    assert frames[4].max() < 20, "a frame without a face is black"
    assert frames[0].mean() > 40


def test_choice_of_face(run_cli: Callable) -> None:
    """Only the half with the chosen face changes."""
    source = read_image("in/pair.jpg").rgb.astype(int)

    def halves(*flags: str) -> tuple[float, float]:
        outcome = run_cli("in/pair.jpg", "in/other.jpg", "-o", "out.png", "--overwrite", *flags)
        assert outcome.code == 0, outcome.err
        change = np.abs(read_image("out.png").rgb.astype(int) - source).mean(axis=2)
        return change[:, :224].max(), change[:, 250:].max()

    left, right = halves()
    assert left > 10
    assert right == 0
    left, right = halves("--face", "right")
    assert left == 0
    assert right > 10
    left, right = halves("--crop", "325,149,150")
    assert left == 0
    assert right > 10
    outcome = run_cli("in/pair.jpg", "in/other.jpg", "-o", "no.png", "--face", "3")
    assert outcome.code == ExitCode.USAGE
    assert "Face 3 does not exist" in outcome.err


@pytest.mark.smoke
def test_json_lines(run_cli: Callable) -> None:
    outcome = run_cli("in/photo.jpg", "in/slow.mp4", "--json")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert {event["schema"] for event in events} == {1}
    assert {"phase", "progress", "message", "result"} == {event["event"] for event in events}
    last = {e["phase"]: e for e in events if e["event"] == "progress"}
    assert set(last) == {"track", "render"}
    assert all(e["done"] == e["total"] == 6 for e in last.values())
    result = events[-1]
    assert result["event"] == "result"
    assert (result["status"], result["exit_code"], result["frames"], result["lost"]) == ("done", 0, 6, 0)
    assert result["output"] == "photo--slow.mp4"
    assert {"decode", "track", "motion", "render", "compose", "encode"} <= set(result["stages"])
    assert outcome.err == ""


def test_json_error(run_cli: Callable) -> None:
    outcome = run_cli("in/photo.jpg", "in/no_face.mp4", "--json")
    error = json.loads(outcome.out.splitlines()[-1])
    assert (outcome.code, error["event"], error["exit_code"]) == (3, "error", 3)


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        (MemoryError(), 1, "There is not enough memory for this image or clip."),
        (KeyboardInterrupt(), 4, "Stopped."),
        (OSError(5, "Input/output error", "disk"), 1, "disk can't be used: the disk reports an error."),
        (ZeroDivisionError("by zero"), 1, "Internal error (ZeroDivisionError: by zero)."),
    ],
)
def test_json_of_any_fault(
    run_cli: Callable, monkeypatch: pytest.MonkeyPatch, fault: BaseException, code: int, text: str
) -> None:
    """Programs get a last line in every case, not only for errors that are expected."""

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr("app.render.render", fail)
    outcome = run_cli("in/photo.jpg", "in/clip.mp4", "--json")
    error = json.loads(outcome.out.splitlines()[-1])
    assert (outcome.code, error["event"], error["exit_code"], error["message"]) == (code, "error", code, text)
    assert text in outcome.err


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["-o", "out.avi"], "out.avi has no clip extension that can be written"),
        (["-o", "out.webm", "--codec", "h264"], "webm can't hold h264"),
        (["-o", "out.mp4", "--codec", "gif"], "out.mp4 does not end in .gif"),
        (["-o", "in/shots/shot_%04d.png"], "shot_0001.png already exists. Add --overwrite"),
    ],
)
def test_bad_outputs_are_refused_before_the_work(
    run_cli: Callable, listing: Callable, flags: list[str], text: str
) -> None:
    """Nobody waits for the motion of an hour to be read and is told then that the name won't do."""
    outcome = run_cli("in/photo.jpg", "in/clip.mp4", "--json", *flags)
    events = [json.loads(line)["event"] for line in outcome.out.splitlines()]
    assert (outcome.code, events[-1]) == (ExitCode.USAGE, "error")
    assert "phase" not in events
    assert text in outcome.err
    assert listing() == []


def test_a_folder_that_is_named_is_made(run_cli: Callable, listing: Callable) -> None:
    """A name that ends in a slash asks for a folder; another one that is missing is a typing error."""
    outcome = run_cli("in/photo.jpg", "in/other.jpg", "-o", "new/{source}/", "--dry-run")
    assert (outcome.code, listing()) == (0, [])
    assert "Would write new/photo/photo--other.jpg" in outcome.out
    assert run_cli("in/photo.jpg", "in/other.jpg", "-o", "new/{source}/").code == 0
    assert run_cli("edit", "in/photo.jpg", "--smile", "0.5", "-o", "edits/").code == 0
    assert run_cli("template", "make", "in/other.jpg", "-o", "motion/").code == 0
    for name in ("new/photo/photo--other.jpg", "edits/photo--edited.jpg", "motion/other.motion"):
        assert Path(name).is_file()
    outcome = run_cli("in/photo.jpg", "in/other.jpg", "-o", "mew/out.jpg")
    assert outcome.code == ExitCode.ERROR
    assert "Folder mew does not exist" in outcome.err


def test_a_template_without_sound_says_so(run_cli: Callable) -> None:
    """A template as the driver brings no sound: one note in each case, and none where no sound was wanted."""
    assert run_cli("template", "make", "in/slow.mp4", "-o", "m.motion").code == 0
    silent = "m.motion is a motion template, which has no sound; the result is silent."
    outcome = run_cli("in/photo.jpg", "m.motion", "-o", "a.mp4")
    assert outcome.code == 0
    assert outcome.err.count(silent) == 1
    for flags in (["--audio", "none", "-o", "b.mp4"], ["-o", "b.gif"]):
        outcome = run_cli("in/photo.jpg", "m.motion", *flags, "--dry-run")
        assert (outcome.code, "has no sound" in outcome.err) == (0, False)


@pytest.mark.parametrize(("codec", "name"), [("gif", "photo--slow.gif"), ("prores", "photo--slow.mov")])
def test_default_name_fits_the_codec(run_cli: Callable, listing: Callable, codec: str, name: str) -> None:
    assert run_cli("in/photo.jpg", "in/slow.mp4", "--codec", codec).code == 0
    assert listing() == [name]


def test_version_anywhere(run_cli: Callable, listing: Callable) -> None:
    """It stops, as its help says, wherever it stands."""
    for words in (["--version"], ["in/photo.jpg", "in/slow.mp4", "--version"]):
        outcome = run_cli(*words)
        assert outcome.code == 0
        assert outcome.out.startswith("animate ")
    assert listing() == []


def test_plan_says_everything_once(run_cli: Callable) -> None:
    outcome = run_cli("in/pair.jpg", "in/slow.mp4", "--dry-run", "--json")
    said = [event["message"] for event in map(json.loads, outcome.out.splitlines()) if event["event"] == "message"]
    assert len(said) == len(set(said)) > 0


def test_full_or_missing_scratch_folder(
    run_cli: Callable, listing: Callable, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place of the trouble is named, and the variable that names another one."""
    resource = pytest.importorskip("resource", reason="file size limits are a Unix thing")
    signal = pytest.importorskip("signal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        outcomes = [run_cli("in/photo.jpg", "in/clip.mp4"), run_cli("template", "make", "in/clip.mp4")]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    for outcome in outcomes:
        assert outcome.code == ExitCode.ERROR
        error = [line for line in outcome.err.splitlines() if "error" in line]
        assert len(error) == 1
        assert "Temporary files can't be written to" in error[0]
        assert "TMPDIR" in error[0]
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(here / "gone"))
        outcome = run_cli("in/photo.jpg", "in/clip.mp4")
    assert outcome.code == ExitCode.ERROR
    assert "No folder for temporary files can be created in" in outcome.err
    assert "TMPDIR" in outcome.err
    assert listing() == []


def test_only_the_first_picture_of_an_animation_is_told(run_cli: Callable, here: Path) -> None:
    assert run_cli("in/photo.jpg", "in/slow.mp4", "-o", "in/moves.gif").code == 0
    outcome = run_cli("in/moves.gif", "in/other.jpg")
    assert outcome.code == 0
    assert "in/moves.gif is an animated image; only its first frame is used." in outcome.err


def test_errors_of_a_choice_name_flag_and_file(run_cli: Callable) -> None:
    outcome = run_cli("in/photo.jpg", "in/slow.mp4", "--driving-face", "3")
    assert outcome.code == ExitCode.USAGE
    assert "--driving-face: in/slow.mp4: Face 3 does not exist" in outcome.err
    outcome = run_cli("in/photo.jpg", "in/slow.mp4", "--crop", "2,2,16")
    assert outcome.code == ExitCode.NO_FACE
    assert "no face was found in the crop given by --crop. Move or enlarge the crop so that it contains" in outcome.err


def test_names_cannot_command_the_terminal(run_cli: Callable) -> None:
    outcome = run_cli("in/\x1b[31mno\x07.jpg", "in/clip.mp4")
    assert outcome.code == ExitCode.ERROR
    assert "in/\\x1b[31mno\\x07.jpg can't be read: it does not exist" in outcome.err
    assert "\x1b" not in outcome.err


def test_existing_file_is_not_lost(run_cli: Callable, here: Path) -> None:
    Path("photo--other.jpg").write_bytes(b"precious")
    outcome = run_cli("in/photo.jpg", "in/other.jpg")
    assert outcome.code == ExitCode.USAGE
    assert "already exists. Add --overwrite" in outcome.err
    assert Path("photo--other.jpg").read_bytes() == b"precious"
    assert run_cli("in/photo.jpg", "in/other.jpg", "--overwrite").code == 0
    assert read_image("photo--other.jpg").width == 224
    before = Path("in/clip.mp4").read_bytes()
    outcome = run_cli("in/photo.jpg", "in/clip.mp4", "-o", "in/clip.mp4", "--overwrite")
    assert outcome.code == ExitCode.USAGE
    assert "is an input" in outcome.err
    assert Path("in/clip.mp4").read_bytes() == before


def test_dry_run(run_cli: Callable, listing: Callable) -> None:
    outcome = run_cli("in/photo.jpg", "in/clip.mp4", "-o", "{driving}-{engine}.mkv", "--dry-run")
    assert outcome.code == 0
    assert "Would write clip-auto.mkv (224x224, 12 frames, 30000/1001 frames/s, sound: driving)" in outcome.out
    outcome = run_cli("in/photo.jpg", "in/clip.mp4", "--dry-run", "--json", "--audio", "none")
    result = json.loads(outcome.out.splitlines()[-1])
    assert (result["dry_run"], result["frames"], result["audio"]) == (True, 12, "none")
    assert listing() == []


NAMES = [
    "with space", "it's", 'double"quote', "50%25", "%04d", "-x", "$(touch pwned)", "`touch pwned`", "a{b}", "{source}",
    "{}", "é照片😀", "semi;colon&and", "#hash", "a:b", "star*", "dot.ted", "[odd]", "back\\slash", "a  b",
]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forbids most of these names")
@pytest.mark.parametrize(("one", "two"), list(zip(NAMES[::2], NAMES[1::2], strict=True)))
def test_awkward_names(run_cli: Callable, listing: Callable, one: str, two: str) -> None:
    """Names mean nothing to a shell, a template or FFmpeg, as source, as driver and in the default output name."""
    shutil.copy("in/photo.jpg", f"{one}.jpg")
    shutil.copy("in/other.jpg", f"{two}.jpg")
    outcome = run_cli(*(f"./{name}.jpg" if name.startswith("-") else f"{name}.jpg" for name in (one, two)))
    assert outcome.code == 0, outcome.err
    assert listing() == sorted([f"{one}.jpg", f"{two}.jpg", f"{one}--{two}.jpg"])


@pytest.mark.parametrize("name", ["50%25", "%04d", "{source}"])
def test_awkward_names_of_clips(run_cli: Callable, listing: Callable, name: str) -> None:
    shutil.copy("in/slow.mp4", f"{name}.mp4")
    assert run_cli("in/photo.jpg", f"{name}.mp4").code == 0
    assert listing() == sorted([f"{name}.mp4", f"photo--{name}.mp4"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
def test_names_that_are_no_text(run_cli: Callable, here: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    shutil.copy("in/photo.jpg", f"{name}.jpg")
    shutil.copy("in/slow.mp4", f"{name}.mp4")
    outcome = run_cli(f"{name}.jpg", f"{name}.mp4")
    assert outcome.code == 0, outcome.err
    assert b"caf\xe9--caf\xe9.mp4" in os.listdir(b".")
    assert run_cli("--", f"{name}-gone.jpg", f"{name}.mp4").code == 1


def test_double_dash_ends_the_flags(run_cli: Callable, listing: Callable) -> None:
    shutil.copy("in/photo.jpg", "-a.jpg")
    shutil.copy("in/other.jpg", "-b.jpg")
    assert run_cli("-o", "out.png", "--", "-a.jpg", "-b.jpg").code == 0
    assert "out.png" in listing()


BAD = [
    ("missing.jpg", "in/clip.mp4", 1, "does not exist"),
    ("in/photo.jpg", "missing.mp4", 1, "does not exist"),
    ("in/photo.jpg", "in/zero.mp4", 1, "empty (0 bytes)"),
    ("in/zero.mp4", "in/clip.mp4", 1, "empty (0 bytes)"),
    ("in/photo.jpg", "in/text.mp4", 1, "not a clip"),
    ("in/text.jpg", "in/clip.mp4", 1, "text.jpg"),
    ("in/sound.wav", "in/clip.mp4", 1, "only sound"),
    ("in/photo.jpg", "in", 1, "in/"),
    ("in/empty_room.jpg", "in/clip.mp4", 3, "no face was found in the image. Use an image that shows a larger"),
    ("in/photo.jpg", "in/no_face.mp4", 3, "no face was found in any of its 3 frames"),
    ("in/no_face.mp4", "in/clip.mp4", 3, "no face was found in any of its 3 frames"),
    ("in/photo.jpg", "in/empty_room.jpg", 3, "no face was found"),
    ("in/photo.jpg", "missing.motion", 1, "does not exist"),
]


@pytest.mark.parametrize(("source", "driving", "code", "text"), BAD)
def test_bad_inputs(run_cli: Callable, listing: Callable, source: str, driving: str, code: int, text: str) -> None:
    """One clear line, the documented exit code, nothing left."""
    outcome = run_cli(source, driving, "-o", "out.mp4")
    assert outcome.code == code
    errors = [line for line in outcome.lines if line.startswith("animate: error: ")]
    assert len(errors) == 1
    assert text in errors[0]
    assert "Traceback" not in outcome.err
    assert outcome.lines[-1] == errors[0]
    assert listing() == []


WRONG = [
    (["--multiplier", "7"], "--multiplier: 7 is out of bounds, it must be 0 to 3."),
    (["--multiplier", "much"], "--multiplier: 'much' is not a number"),
    (["--region", "lips"], "Did you mean lip?"),
    (["--multiplyer", "1"], "--multiplier"),
    (["--fps", "0"], "--fps: '0' is not a frame rate"),
    (["--crop", "1,2"], "--crop: '1,2' is not x,y,size"),
    (["--face", "middle"], "--face: 'middle' is not one of"),
    (["--reference", "99"], "frame 99 doesn't exist"),
    (["--engine", "mash"], "Did you mean mesh?"),
    (["--engine", "mesh", "--device", "cuda"], "doesn't run on 'cuda'"),
    (["-o", "{sorce}.mp4"], "Did you mean {source}?"),
    (["-o", "brace{.mp4"], "single '{'"),
    (["-o", "noending"], "no extension"),
    (["-o", "out.doc"], "out.doc has no clip extension"),
    (["-o", "out.png"], "is a single image"),
    (["-o", "out.webm", "--codec", "h264"], "can't hold h264"),
    (["--preset", "clam"], "Did you mean calm?"),
    (["--config", "no.toml"], "no.toml does not exist"),
    (["extra.mp4"], "unexpected extra argument (extra.mp4). The result is named by -o FILE. See animate --help."),
]


@pytest.mark.parametrize(("flags", "text"), WRONG)
@pytest.mark.smoke
def test_wrong_usage(run_cli: Callable, listing: Callable, flags: list[str], text: str) -> None:
    outcome = run_cli("in/photo.jpg", "in/slow.mp4", *flags)
    assert outcome.code == ExitCode.USAGE, outcome.err
    assert text in outcome.lines[-1]
    assert outcome.lines[-1].startswith("animate: error: ")
    assert "Traceback" not in outcome.err
    assert listing() == []


def test_engine_that_is_not_here(run_cli: Callable, listing: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTRAIT_MODELS", "empty")
    outcome = run_cli("in/photo.jpg", "in/slow.mp4", "--engine", "torch")
    assert outcome.code == ExitCode.MISSING
    assert len(outcome.lines) == 1
    assert "The torch engine can't run here" in outcome.err
    assert listing() == []


def test_output_that_cannot_be_written(run_cli: Callable, listing: Callable, here: Path) -> None:
    outcome = run_cli("in/photo.jpg", "in/slow.mp4", "-o", "nowhere/out.mp4")
    assert outcome.code == ExitCode.ERROR
    assert len(outcome.lines) == 1, "refused before any work"
    assert "nowhere does not exist" in outcome.err
    Path("file").write_text("")
    assert run_cli("in/photo.jpg", "in/slow.mp4", "-o", "file/out.mp4").code == ExitCode.ERROR
    assert listing() == ["file"]


def test_full_disk(run_cli: Callable, listing: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses to write on: one line, no file under the name, none beside it."""
    resource = pytest.importorskip("resource", reason="file size limits are a Unix thing")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal = pytest.importorskip("signal")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, hard))
    try:
        outcome = run_cli("in/photo.jpg", "in/other.jpg", "-o", "out.bmp")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert outcome.code == ExitCode.ERROR
    assert len([line for line in outcome.lines if "error" in line]) == 1
    assert "out.bmp can't be written" in outcome.err
    assert listing() == []


def test_reference_far_from_neutral_is_reported(run_cli: Callable) -> None:
    assert "far from neutral" not in run_cli("in/photo.jpg", "in/clip.mp4", "-o", "a.mp4").err
    outcome = run_cli("in/photo.jpg", "in/clip.mp4", "-o", "b.mp4", "--reference", "first")
    assert outcome.code == 0


def test_crash_is_one_line(run_cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the program itself: one line that says how to report it; --debug shows the traceback."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("app.render.render", fail)
    outcome = run_cli("in/photo.jpg", "in/clip.mp4")
    assert outcome.code == ExitCode.ERROR
    assert len(outcome.lines) == 1
    assert "Internal error (ZeroDivisionError: division by zero)" in outcome.err
    assert "--debug" in outcome.err
    outcome = run_cli("in/photo.jpg", "in/clip.mp4", "--debug")
    assert "Traceback" in outcome.err


def test_clip_is_playable_and_marked(run_cli: Callable) -> None:
    assert run_cli("in/photo.jpg", "in/slow.mp4", "-o", "out.mp4").code == 0
    with av.open("out.mp4") as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_a_driver_for_each_face(run_cli: Callable, here: Path) -> None:
    """The flag may be given several times; a job file takes a list, and its names start from its folder."""
    done = run_cli("in/pair.jpg", "in/other.jpg", "--driver-for", "left=in/photo.jpg", "--driver-for",
                   "right=in/other.jpg", "-o", "a.png", "-q", "--mark", "metadata")  # fmt: skip
    assert done.code == 0, done.err
    same = run_cli("in/pair.jpg", "in/other.jpg", "--driver-for", "left=in/photo.jpg", "--driver-for",
                   "left=in/other.jpg", "-o", "b.png", "-q")  # fmt: skip
    assert (same.code, "two drivers" in same.err) == (2, True)
    Path("jobs").mkdir()
    Path("jobs/j.toml").write_text(
        'source = "../in/pair.jpg"\ndriving = "../in/other.jpg"\noutput = "../c.png"\n'
        '[options]\nmark = "metadata"\ndriver_for = ["left=../in/photo.jpg", "right=../in/other.jpg"]\n'
    )
    batch = run_cli("batch", "jobs/j.toml", "--queue", "q.db", "-q")
    assert batch.code == 0, batch.err
    assert Path("a.png").read_bytes() == Path("c.png").read_bytes()


def test_a_changed_driver_of_a_face_is_a_new_job(here: Path) -> None:
    from app.jobs.hashes import input_files, settled

    values = settled({"driver_for": "left=in/photo.jpg\n2=in/other.jpg"}, here)
    assert values["driver_for"] == f"left={here}/in/photo.jpg\n2={here}/in/other.jpg"
    assert here / "in" / "photo.jpg" in input_files(here / "in" / "pair.jpg", None, values)
