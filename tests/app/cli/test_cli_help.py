"""The help texts: one layout for every command, however it is asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from app.cli.layout import NARROWEST, ROOM
from app.cli.program import VERBS
from app.cli.verbs import find_command


def all_commands() -> Iterator[tuple[str, ...]]:
    """The words of every command: the default one, verbs, and what is below them."""
    yield ()
    for verb in VERBS:
        yield (verb,)
        for sub in find_command([verb]).commands:
            yield (verb, sub)


COMMANDS = list(all_commands())


def test_every_kind_of_command_is_here() -> None:
    assert {(), ("batch",), ("jobs",), ("jobs", "list"), ("template", "make"), ("help",)} <= set(COMMANDS)
    assert len(COMMANDS) > 35


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_has_the_one_layout(run_cli: Callable, monkeypatch: pytest.MonkeyPatch, words: tuple) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    done = run_cli(*words, "--help")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    name = " ".join(("animate", *words))
    assert lines[0].startswith(f"Usage: {name} ")
    assert lines[1] == ""
    assert lines[2].strip()  # says what it is for
    assert not set("╭│╰─\x1b") & set(done.out)
    assert [line for line in lines if len(line) > 90] == []
    assert any(line.split("  ")[1:2] == ["-h, --help"] and line[30:] == "Show this text and exit." for line in lines)
    assert "[default:" not in done.out
    command = find_command(words)
    for one in command.command.params:
        for form in one.opts if one.param_type_name == "option" else [one.metavar]:
            assert form in done.out
    for sub in command.commands:
        assert f"\n  {sub} " in done.out
    assert run_cli("help", *words).out == done.out
    assert run_cli(*words, "-h").out == done.out


def test_click_prints_the_same_help_by_itself(run_cli: Callable) -> None:
    """Flags joined as in -qh are taken apart by click alone."""
    assert run_cli("batch", "-qh").out.split() == run_cli("batch", "--help").out.split()


@pytest.mark.parametrize("columns", [NARROWEST - 20, NARROWEST, ROOM - 1, ROOM, 100, 300])
def test_no_line_is_wider_than_the_terminal(run_cli: Callable, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    widest = max(len(line) for line in run_cli("batch", "--help").out.splitlines())
    assert min(columns, 100) - 10 < widest <= max(NARROWEST, columns)


def test_a_pipe_gets_eighty_columns_and_any_encoding() -> None:
    import os

    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "portrait_animate", "help", "live"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert 70 < max(len(line) for line in done.stdout.splitlines()) <= 80


def test_flags_after_an_unfinished_one_still_get_the_help(run_cli: Callable) -> None:
    done = run_cli("in/photo.jpg", "--start", "--help")
    assert (done.code, done.out.split()[1]) == (0, "animate")
    assert run_cli("jobs", "list", "--state", "--help").out.startswith("Usage: animate jobs list")


@pytest.mark.parametrize("words", [(), ("jobs",), ("models",)], ids=" ".join)
def test_a_command_that_lacks_its_words_shows_the_help(run_cli: Callable, words: tuple) -> None:
    done = run_cli(*words)
    assert (done.code, done.out) == (2, run_cli(*words, "--help").out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("help", "job"), "There is no command 'job'. Did you mean animate help jobs?"),
        (("help", "jobs", "lst"), "There is no command 'jobs lst'. Did you mean animate help jobs list?"),
        (("help", "doctor", "x"), "There is no command 'doctor x'. See animate doctor --help."),
        (("help", "q"), "There is no command 'q'. See animate --help."),
        (("jobs", "lst", "--help"), "No such command 'lst'. Did you mean 'list'?"),
        (("jobs", "list", "--sate", "x"), "See animate jobs list --help."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_unknown_commands(run_cli: Callable, words: tuple, said: str) -> None:
    done = run_cli(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
