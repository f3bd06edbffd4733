"""The command as a process: start-up, signals, pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.animate import stop_on_signals
from app.events import CancelToken
from app.media.images import read_image
from app.media.reader import open_clip

HEAVY = ("numpy", "cv2", "av", "onnxruntime", "PySide6", "pydantic", "torch", "PIL", "huggingface_hub", "safetensors")
unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals and pipes")


def start(*arguments: str, **how: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "app.cli.main", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)  # type: ignore[call-overload]


def imported(*arguments: str) -> set[str]:
    """Heavy modules that a command imports."""
    code = (
        "import sys\nfrom app.cli.main import main\n"
        f"assert main({list(arguments)!r}) == 0\n"
        "print('LOADED', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.rpartition("LOADED")[2].split()} & set(HEAVY)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("models", "list"), ("a", "b", "--print-config")])
@pytest.mark.smoke
def test_quick_commands_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) == set()


@pytest.mark.smoke
def test_cli_never_imports_qt(here: Path) -> None:
    assert "PySide6" not in imported("in/photo.jpg", "in/other.jpg")
    assert (here / "photo--other.jpg").exists()


@pytest.mark.smoke
def test_help_names_every_option_and_command() -> None:
    from app.options import all_options

    process = start("--help")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    for info in all_options():
        assert all(flag in out for flag in info.flags)
    for word in ("Motion:", "Output:", "animate template", "animate models", "animate doctor", "Exit codes:"):
        assert word in out
    assert max(len(line) for line in out.splitlines()) <= 110
    nothing = start()
    assert nothing.communicate()[0] == out
    assert nothing.returncode == 2


@unix
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_stopped_render_keeps_a_playable_part(here: Path, number: str) -> None:
    """Stopped once the first frames are written: exit code 4, a playable file that is named, nothing else left."""
    what = getattr(signal, number)

    def as_usual() -> None:
        signal.signal(what, signal.SIG_DFL)  # the tests may run under nohup

    command = ("in/photo.jpg", "in/whole.mkv", "-o", "out.mp4", "--json", "--length", "loop", "--fps", "200")
    process = start(*command, preexec_fn=as_usual)
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["phase"] == "render" and event["done"] >= 3:
            process.send_signal(what)
            break
    out, err = process.communicate(timeout=300)
    assert process.returncode == 4, err
    result = json.loads(out.splitlines()[-1])
    assert result["status"] == "cancelled"
    assert result["output"] == "out.partial.mp4"
    assert "Stopped after" in err
    assert "out.partial.mp4" in err
    assert sorted(p.name for p in here.iterdir()) == ["in", "out.partial.mp4"]
    with open_clip(here / "out.partial.mp4") as clip:
        assert sum(1 for _ in clip) == result["frames"] >= 3


@unix
def test_stopped_while_motion_is_read_writes_nothing(here: Path) -> None:
    process = start("in/photo.jpg", "in/whole.mkv", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "phase":
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=300)
    assert process.returncode == 4, err
    assert "Traceback" not in err
    assert sorted(p.name for p in here.iterdir()) in (["in"], ["in", "photo--whole.partial.mp4"])


@unix
def test_reader_that_goes_away(here: Path) -> None:
    """`animate ... --json | head -1`: no traceback, and the work is done nevertheless."""
    process = start("in/photo.jpg", "in/slow.mp4", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(timeout=300) == 0
    assert err == ""
    assert (here / "photo--slow.mp4").exists()


def test_second_signal_gives_up_at_once() -> None:
    """The first one asks for a good end, the second one does not wait for it; afterwards all is as before."""
    before, token = signal.getsignal(signal.SIGINT), CancelToken()
    with stop_on_signals(token):
        signal.raise_signal(signal.SIGINT)
        assert token.cancelled
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@unix
@pytest.mark.parametrize("verb", [(), ("batch",), ("jobs",), ("template", "make")])
def test_reader_of_a_help_that_goes_away(verb: tuple[str, ...]) -> None:
    """`animate jobs --help | true`: no error, whoever lays the text out."""
    command = [sys.executable, "-m", "app.cli.main", *verb, "--help"]
    outer, inner = os.pipe()
    os.close(outer)
    done = subprocess.run(command, stdout=inner, stderr=subprocess.PIPE, text=True, check=False)
    os.close(inner)
    assert (done.returncode, done.stderr) == (0, "")


@unix
def test_standard_streams_that_are_closed_or_full(here: Path) -> None:
    """The result is what counts; a file of the work must not take the place of a closed stream either."""
    shell = f'"{sys.executable}" -m app.cli.main in/photo.jpg in/other.jpg'
    cases = [(" -o a.png >&- 2>&- <&-", ""), (" -o b.png 2>&-", "")]
    if os.path.exists("/dev/full"):
        cases.append((" -o c.png --json > /dev/full", "Standard output can't be written: No space left on device."))
    for ending, said in cases:
        done = subprocess.run(["sh", "-c", shell + ending], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    made = sorted(p.name for p in here.iterdir() if p.name != "in")
    assert made == ["a.png", "b.png", "c.png"][: len(cases)]
    assert read_image(here / "a.png").rgb.shape == read_image(here / "b.png").rgb.shape


@unix
def test_a_user_without_a_home(here: Path) -> None:
    """No HOME and no entry among the system's users, as in containers: no settings, but everything else."""
    code = (
        "import pwd\n"
        "def nobody(_): raise KeyError('uid not found')\n"
        "pwd.getpwuid = nobody\n"
        "from app.cli.main import main\n"
        "raise SystemExit(main(['in/photo.jpg', 'in/other.jpg', '-o', 'out.png']) or main(['expression', 'list']))"
    )
    known = ("HOME", "PORTRAIT_ANIMATE_CONFIG", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in known}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (here / "out.png").exists()


@unix
def test_a_terminal_that_goes_away(here: Path) -> None:
    """The window of the terminal is closed: what was rendered is kept, as after Ctrl-C."""
    import pty

    outer, inner = pty.openpty()

    def adopt() -> None:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    command = [sys.executable, "-m", "app.cli.main", "in/photo.jpg", "in/whole.mkv", "-o", "out.mp4", "--fps", "500"]
    process = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, preexec_fn=adopt)  # noqa: PLW1509
    os.close(inner)
    shown = b""
    while b"Rendering" not in shown or not re.search(rb"[1-9][0-9]*/8[0-9][0-9]", shown.rpartition(b"Rendering")[2]):
        shown += os.read(outer, 4096)
    os.close(outer)
    assert process.wait(timeout=300) == 4
    assert sorted(p.name for p in here.iterdir()) == ["in", "out.partial.mp4"]


@unix
@pytest.mark.smoke
def test_no_scratch_files_stay(here: Path, tmp_path: Path) -> None:
    """Neither in the folder for temporary files nor in the user's home (ONNX Runtime's telemetry would leave some)."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = os.environ | {"TMPDIR": str(scratch), "HOME": str(scratch), "XDG_CACHE_HOME": str(scratch)}
    for driving, code in (("in/slow.mp4", 0), ("in/no_face.mp4", 3)):
        process = start("in/photo.jpg", driving, "-q", env=environment)
        process.communicate(timeout=300)
        assert process.returncode == code
        assert list(scratch.iterdir()) == []


@unix
def test_nothing_is_executed_and_no_ffmpeg_is_needed(here: Path) -> None:
    """With an empty PATH, and a name that a shell would run."""
    name = 'a"$(touch pwned)b`touch pwned`.mp4'
    (here / "in" / "slow.mp4").rename(here / name)
    process = start("in/photo.jpg", name, "-o", "out.mp4", env=os.environ | {"PATH": ""})
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert sorted(p.name for p in here.iterdir()) == sorted(["in", name, "out.mp4"])
