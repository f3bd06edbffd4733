"""The documentation: links lead somewhere, commands and names exist."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from app.cli import main as cli
from app.cli.verbs import find_command
from app.options import all_options
from app.presets import resolve

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PAGES += ["assets/LICENSES.md"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page without its code."""
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ {4,}\S.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def code_lines(page: str) -> list[str]:
    """Lines of the code blocks of a page: indented or fenced."""
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", read(page), flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4,}(\S.*)$", read(page), flags=re.MULTILINE)
    return [line.strip() for block in fenced for line in block.splitlines()] + indented


def anchors(page: str) -> set[str]:
    """Names of a page's headings as forges make them."""
    headings = re.findall(r"^#+ +(.+?) *$", read(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def animate_commands() -> list[tuple[str, str]]:
    """Page and text of every `animate` command shown in a code block."""
    found = [(page, line) for page in PAGES for line in code_lines(page)]
    return [(page, line) for page, line in found if re.match(r"(?:\$ )?animate(?: |$)", line)]


def test_pages_are_there() -> None:
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/install.md", "docs/architecture.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), f"{page}: {target}"
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), f"{page}: {target} does not exist"
        if anchor:
            inside = linked.resolve().relative_to(ROOT).as_posix()
            assert anchor in anchors(inside), f"{page}: {target} has no such heading"


@pytest.mark.parametrize("page", PAGES)
def test_page_is_tidy(page: str) -> None:
    text = read(page)
    assert text.startswith("# ")
    assert text.endswith("\n")
    assert not re.search(r"\b(TODO|FIXME|TBD|XXX)\b", text)
    for line in text.splitlines():
        assert len(line) <= 140 or line.startswith("|"), f"{page}: {line[:60]}..."


def test_commands_of_make_exist() -> None:
    makefile = read("Makefile")
    script = read("tools/make.py")
    for page in PAGES:
        shown = re.findall(r"^make ([a-z]+)", "\n".join(code_lines(page)), flags=re.MULTILINE)
        for target in shown + re.findall(r"`make ([a-z]+)", read(page)):
            assert re.search(rf"^[a-z ]*\b{target}\b[a-z ]*:", makefile, re.MULTILINE), f"{page}: make {target}"
        for target in re.findall(r"make\.py ([a-z]+)", read(page)):
            assert f'"{target}": {target}' in script, f"{page}: make.py {target}"


def test_extras_exist_and_are_documented() -> None:
    extras = set(PYPROJECT["project"]["optional-dependencies"])
    for page in PAGES:
        for names in re.findall(r"\.\[([a-z,-]+)\]", read(page)):
            assert set(names.split(",")) <= extras, f"{page}: {names}"
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", read("docs/install.md"), flags=re.MULTILINE))
    assert documented == extras


def test_paths_named_in_code_exist() -> None:
    """Files and folders of the project in backticks, such as `tools/make.py` or `assets/`, are there."""
    for page in sorted(set(PAGES) - {"assets/LICENSES.md"}):  # its paths start at assets
        for name in re.findall(
            r"`((?:app|liveportrait|models|tools|docs|assets|tests)/[\w/.-]*(?:\.\w+|/))`", read(page)
        ):
            assert (ROOT / name).exists(), f"{page}: {name}"


COMMANDS = animate_commands()


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}:{line}" for page, line in COMMANDS])
def test_animate_command_parses(page: str, line: str) -> None:
    """Verb, flags and values of a command shown are what the command line takes; nothing is run."""
    name, *words = shlex.split(line.removeprefix("$ "), comments=True)
    assert name == "animate"
    if set(words) & {"--help", "--version"}:
        assert cli.main(words) == 0
        return
    found = find_command(words)
    assert not found.commands, f"{page}: {line} lacks a command, or names an unknown one"
    values = found.command.make_context("animate", list(found.rest)).params
    if found.module == cli.DEFAULT_VERB:
        names = {option.name for option in all_options()}
        resolve({key: value for key, value in values.items() if key in names and value is not None})


def test_readme_shows_the_main_command() -> None:
    assert [line for page, line in COMMANDS if page == "README.md" and re.match(r"animate \S+\.jpg \S+\.mp4", line)]


def test_every_picture_is_shown() -> None:
    shown = "\n".join(read(page) for page in PAGES)
    for path in (ROOT / "docs" / "images").glob("*"):
        assert f"images/{path.name}" in shown, f"no page shows {path.relative_to(ROOT)}"


def test_pages_named_in_code_exist() -> None:
    for folder in ("app", "liveportrait", "models", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8")):
                assert (ROOT / name).exists(), f"{path.relative_to(ROOT)} names {name}"


def test_pages_are_reached_from_the_front_page() -> None:
    linked = "\n".join(prose(page) for page in PAGES)
    for page in sorted(set(PAGES) - {"assets/LICENSES.md"}):  # its paths start at assets
        if page.startswith("docs/"):
            assert re.search(rf"\]\((?:docs/)?{re.escape(page.removeprefix('docs/'))}[)#]", linked), (
                f"nothing links to {page}"
            )
