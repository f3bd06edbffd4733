"""`animate completion`, what it answers, and the scripts in the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.cli.candidates import FILES, FOLDERS, answer, candidates
from app.cli.completion import SCRIPTS
from app.cli.program import VERBS
from app.options import all_options

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("torch", "cv2", "onnxruntime", "av", "PySide6", "rich")


def words_for(*words: str) -> list[str]:
    return [word for word, _ in candidates(words) if word]


def asked(*words: str) -> str:
    return next((text for word, text in candidates(words) if not word), "")


def test_the_first_word_is_a_verb_or_a_file() -> None:
    assert words_for("") == list(VERBS)
    assert words_for("jo") == ["jobs"]
    assert asked("jo") == "files"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("jobs", "re"), ["retry", "resume", "report"]),
        (("template", ""), ["make", "show"]),
        (("help", "ret"), ["retouch"]),
        (("help", "template", "m"), ["make"]),
        (("completion", ""), ["bash", "zsh", "fish", "powershell"]),
        (("a.jpg", "b.mp4", "--len"), ["--length"]),
        (("a.jpg", "--no-stit"), ["--no-stitching"]),
        (("--length", "lo"), ["loop"]),
        (("--length=lo",), ["--length=loop"]),
        (("--length", "loop", "--leng"), []),  # given already
        (("--driver-for", "1=a.mp4", "--driver-f"), ["--driver-for"]),  # may be given again
        (("--region", "lip,ey"), ["lip,eyes"]),
        (("--region", "lip,lip"), []),
        (("--sliders", "smile=0.5,ya"), ["smile=0.5,yaw="]),
        (("--preset", "liv"), ["lively"]),
        (("--engine", "me"), ["mesh"]),
        (("--expression", "Smi"), ["Smile"]),
        (("--mask", "ma"), ["matte"]),
        (("--face", "l"), ["largest", "left"]),
        (("jobs", "list", "--state", "que"), ["queued"]),
        (("jobs", "list", "--format", ""), ["table", "json", "csv"]),
        (("models", "verify", "liveportrait/h"), ["liveportrait/human"]),
        (("gui", "--theme", "d"), ["dark"]),
        (("live", "a.jpg", "--camera-turn", "9"), ["90"]),
        (("a.jpg", "b.mp4", "--fps", ""), []),  # a number
        (("a.jpg", "b.mp4", "c"), []),  # one too many
        (("--", "--len"), []),
        (("jobs", "nonsense", ""), []),
        (("--nonsense=", "--nonsense=x"), []),
    ],
    ids=" ".join,
)
def test_what_may_come_next(words: tuple[str, ...], expected: list[str]) -> None:
    assert words_for(*words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("a.jpg", ""), "files"),
        (("--", "-a"), "files"),
        (("--points", "x"), "files"),
        (("--points=x",), "files"),
        (("-o", ""), "files"),
        (("gui", "a.jpg", "b.jpg", ""), "files"),
        (("batch", "--sources", "in"), "files"),
        (("live", "a.jpg", "--record", ""), "files"),
        (("models", "import", ""), "folders"),
        (("batch", "--cache", ""), "folders"),
        (("--multiplier", ""), ""),
        (("doctor", ""), ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_where_the_shell_adds_its_files(words: tuple[str, ...], expected: str) -> None:
    assert asked(*words) == expected
    assert {FILES[1], FOLDERS[1]} >= {expected} - {""}


def test_every_choice_and_flag_of_the_options_is_known() -> None:
    flags = set(words_for("a.jpg", "b.mp4", "--"))
    for info in all_options():
        assert info.flags[-1] in flags
        offered = words_for(info.flags[-1], "")
        assert set(offered) >= {word for word in info.choices if "," not in word}, info.name


def test_bash_breaks_words_in_its_own_way() -> None:
    """It replaces what comes after its last break, and wants blanks escaped."""
    assert answer(["bash", "--length", "=", "lo"]) == "loop\t\n"
    assert answer(["bash", "--length", "="]).split() == ["shortest", "source", "driving", "loop", "pingpong"]
    assert answer(["bash", "--sliders", "smile", "=", "1,ya"]).startswith("1,yaw=\t")
    assert answer(["bash", "my\\ photo.jpg", '"my clip.mp4"', "--qual"]).startswith("--quality\t")
    assert answer(["bash", "'half a na", "--qual"]).startswith("--quality\t")


def test_a_name_with_blanks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.expressions import save_expression
    from liveportrait.expression import Expression

    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path))
    save_expression("Zoo day", Expression({"smile": 1.0}))
    assert answer(["bash", "--expression", "Zo"]) == "Zoo\\ day\t\n\tfiles\n"
    assert answer(["bash", "--expression", "'Zo"]) == "Zoo day\t\n\tfiles\n"
    assert answer(["zsh", "--expression", "Zo"]) == "Zoo day\t\n\tfiles\n"


def test_powershell_marks_the_word_being_typed() -> None:
    assert answer(["powershell", "jobs", "=ret"]).startswith("retry\t")
    assert answer(["powershell", "="]).startswith("batch\t")


def test_nothing_is_said_where_something_is_wrong(run_cli: Callable) -> None:
    for words in ((), ("bash",), ("zsh", "\udc80"), ("nonsense", "--x", "--y=")):
        done = run_cli("__complete", *words)
        assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("words", [["a.jpg", "--en"], ["--engine", ""], ["live", "a", "--mask", ""], ["jobs", ""]])
def test_an_answer_imports_nothing_heavy(words: list[str]) -> None:
    code = f"import sys; from app.cli.main import main; main(['__complete', 'zsh', *{words!r}])\n"
    code += f"print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_an_unknown_shell(run_cli: Callable) -> None:
    done = run_cli("completion", "bsh")
    assert (done.code, done.out) == (2, "")
    assert "Did you mean bash?" in done.err


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_is_for_both_names(run_cli: Callable, shell: str) -> None:
    done = run_cli("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert "__complete" in done.out
    assert " animate" in done.out
    assert " portrait-animate" in done.out


# ---- in the shells themselves: Tab is pressed on a line, and a command of that name shows the words that it got


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, and with the program in bin/."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "portrait-animate"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m portrait_animate "$@"\n')
    program.chmod(0o755)
    for name in ("my photo.jpg", "talk.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "jolly").mkdir()
    return tmp_path


def pressed(folder: Path, command: Sequence[str], prepare: str, lines: Sequence[str]) -> list[list[str]]:
    """Words of each line after Tab (\\t in it), typed at an interactive shell on a terminal of its own."""
    import pty

    script = folder / "script"
    script.write_text(SCRIPTS[command[0]].replace("ANSWER", "__complete"))
    shown = folder / "shown"
    show = f"""animate() {{ printf '<%s>' "$@" >> {shown}; echo >> {shown}; }}\n"""
    text = f"cd {folder}\n{prepare}\n. {script}\n{show}" + "".join(f"{line}\n" for line in lines) + "exit\n"
    outer, inner = pty.openpty()
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(folder), "PS1": "> "}
    process = subprocess.Popen(
        command, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True, close_fds=True
    )
    os.close(inner)
    os.write(outer, text.encode())
    try:
        while os.read(outer, 65536):
            pass
    except OSError:  # the shell has ended
        pass
    os.close(outer)
    process.wait(timeout=60)
    return [line[1:-1].split("><") for line in shown.read_text().splitlines()]


LINES = {
    "animate jobs ret\t": ["jobs", "retry"],
    "animate a.jpg --length lo\t": ["a.jpg", "--length", "loop"],
    "animate --length=pi\t": ["--length=pingpong"],
    "animate edit x --sliders smile=1,ya\t5": ["edit", "x", "--sliders", "smile=1,yaw=5"],
    "animate 'my photo.jpg' tal\t --region lip,ey\t": ["my photo.jpg", "talk.mp4", "--region", "lip,eyes"],
    "animate my\t": ["my photo.jpg"],
    "animate models import jol\t": ["models", "import", "jolly/"],
    "animate --preset=liv\t": ["--preset=lively"],
}


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="there is no bash here")
def test_bash_completes(folder: Path) -> None:
    command = ["bash", "--norc", "--noprofile", "-i"]
    assert pressed(folder, command, "bind 'set bell-style none'", list(LINES)) == list(LINES.values())


@pytest.mark.skipif(shutil.which("zsh") is None or sys.platform == "win32", reason="there is no zsh here")
def test_zsh_completes(folder: Path) -> None:
    assert pressed(
        folder, ["zsh", "-f", "-i"], "setopt no_auto_remove_slash; autoload -Uz compinit; compinit -u -D", list(LINES)
    ) == list(LINES.values())


@pytest.mark.skipif(shutil.which("fish") is None or sys.platform == "win32", reason="there is no fish here")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("animate jobs ret", ["retry"]),
        ("portrait-animate a.jpg --length lo", ["loop"]),
        ("animate a.jpg --length=pi", ["--length=pingpong"]),
        ("animate a.jpg tal", ["talk.mp4"]),
        ("animate a.jpg --points=tal", ["--points=talk.mp4"]),
    ],
)
def test_fish_completes(folder: Path, line: str, expected: list[str]) -> None:
    script = folder / "script.fish"
    script.write_text(SCRIPTS["fish"].replace("ANSWER", "__complete"))
    code = f"cd {folder}; source {script}; complete -C '{line}'"
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder)}
    done = subprocess.run(
        ["fish", "--no-config", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert [found.partition("\t")[0] for found in done.stdout.splitlines()] == expected
