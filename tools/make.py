"""Set the project up and run it: ``python tools/make.py demo|test|lint|clean``.

Needs nothing but Python 3.10 or newer (the file parses on older ones too, to say so). The Makefile and ``.ci/run``
call this script; on Windows it is called directly. The virtual environment is ``.venv`` beside pyproject.toml; the
project is installed into it again only after pyproject.toml, the Python version or the folder has changed.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
OLDEST = (3, 10)
CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", "build", "dist")


class MakeError(Exception):
    """A step can't be done; the text says why and what to do."""


def call(command: "list[str]", quiet: bool = False) -> int:
    """Run a command in the project's folder.

    Args:
        command: Program and arguments.
        quiet: Drop what it prints.

    Returns:
        Its exit code; -1 where the program can't be started.
    """
    sink = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run(command, check=False, cwd=str(ROOT), stdout=sink, stderr=sink).returncode
    except OSError:
        return -1


def must(command: "list[str]", failure: str) -> None:
    """Run a command that has to succeed.

    Raises:
        MakeError: It failed; the text is ``failure`` with the command.
    """
    code = call(command)
    if code:
        raise MakeError(f"{failure} (exit code {code}): {' '.join(command)}")


def python_version(python: str) -> "tuple[int, ...]":
    """Version of an interpreter as (major, minor), or () where it doesn't run."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        return tuple(int(part) for part in done.stdout.split())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return ()


def find_python() -> str:
    """The interpreter for the environment: $PYTHON if set, else the running one, else a newer one on the path.

    Raises:
        MakeError: None is new enough.
    """
    named = os.environ.get("PYTHON", "")
    others = [f"python3.{minor}" for minor in range(13, OLDEST[1] - 1, -1)]
    for name in [named] if named else [sys.executable, *others]:
        if python_version(name) >= OLDEST:
            return name
    tried = named or sys.executable
    version = ".".join(str(part) for part in python_version(tried))
    raise MakeError(
        f"Python 3.10 or newer is needed, but {tried} {'is ' + version if version else 'does not run'}. "
        "Install a newer one, or name it in the variable PYTHON, for example PYTHON=python3.12."
    )


def venv_program(name: str) -> str:
    """Path of a program of the environment."""
    return str(VENV / "Scripts" / f"{name}.exe" if os.name == "nt" else VENV / "bin" / name)


def make_venv() -> None:
    """Create .venv if it is not there or doesn't run.

    Raises:
        MakeError: This Python can't make one, or $PYTHON asks for another version than .venv has.
    """
    inner = venv_program("python")
    version = python_version(inner)
    if version >= OLDEST:
        wanted = python_version(os.environ["PYTHON"]) if os.environ.get("PYTHON") else version
        if wanted != version:
            raise MakeError(
                f"{VENV} has Python {version[0]}.{version[1]}, but the variable PYTHON names {os.environ['PYTHON']}. "
                f"Remove the old environment first: {sys.executable} tools/make.py clean"
            )
        if call([inner, "-m", "pip", "--version"], quiet=True) == 0 or call([inner, "-m", "ensurepip"]) == 0:
            return
    python = find_python()
    if call([python, "-c", "import venv, ensurepip"], quiet=True):
        raise MakeError(
            f"{python} comes without the module venv. On Debian and Ubuntu: sudo apt install python3-venv "
            f"(for this Python: python{'.'.join(str(part) for part in python_version(python))}-venv)."
        )
    print(f"Making the virtual environment {VENV}", flush=True)
    must([python, "-m", "venv", "--clear", str(VENV)], "The virtual environment could not be made")


def fingerprint(extra: str) -> str:
    """Hash of what an installation depends on; it is repeated when this changes."""
    version = repr(python_version(venv_program("python")))
    parts = [(ROOT / "pyproject.toml").read_bytes(), extra.encode(), version.encode(), str(ROOT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def install(extra: str = "") -> None:
    """Install the project into .venv, editable, unless that is done already.

    Args:
        extra: Name of an extra of pyproject.toml, or empty. An installation with "dev" serves for the plain one too.

    Raises:
        MakeError: pip failed, or there is no environment to install into.
    """
    make_venv()
    for done in (extra, "dev"):
        stamp = VENV / f"installed-{done or 'base'}"
        if stamp.is_file() and stamp.read_text(encoding="ascii").strip() == fingerprint(done):
            return
    target = f".[{extra}]" if extra else "."
    print(f"Installing {target} into {VENV}; the first time takes minutes", flush=True)
    started = time.monotonic()
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    pip = [venv_program("python"), "-m", "pip", "install", "--disable-pip-version-check"]
    must([*pip, *quiet, "--editable", target], "The installation failed")
    (VENV / f"installed-{extra or 'base'}").write_text(fingerprint(extra) + "\n", encoding="ascii")
    print(f"Installed in {time.monotonic() - started:.0f} s", flush=True)


def demo(arguments: "list[str]") -> None:
    """Animate the shipped portrait with the shipped clip; arguments are passed on to ``animate``."""
    install()
    sample = Path("assets", "sample")
    command = [venv_program("animate"), str(sample / "portrait.jpg"), str(sample / "driving.mp4")]
    must([*command, "-o", "demo.mp4", "--overwrite", *arguments], "The demo failed")
    print(ROOT / "demo.mp4", flush=True)


def test(arguments: "list[str]") -> None:
    """Run the tests and all other checks; with arguments, only pytest with these."""
    install("dev")
    tests = {"pytest": [venv_program("python"), "-m", "pytest", *arguments]}
    check_all(tests if arguments else {**tests, **linters()})


def lint(arguments: "list[str]") -> None:
    """Run all checks but the tests."""
    install("dev")
    check_all(linters())


def linters() -> "dict[str, list[str]]":
    """Name and command of every check but the tests."""
    return {
        "ruff check": [venv_program("ruff"), "check", "."],
        "ruff format": [venv_program("ruff"), "format", "--check", "."],
        "mypy": [venv_program("mypy")],
        "import-linter": [venv_program("lint-imports"), "--no-cache", "--no-logo"],
    }


def check_all(checks: "dict[str, list[str]]") -> None:
    """Run every check, also after one has failed.

    Raises:
        MakeError: Naming all that failed.
    """
    failed = []
    for name, command in checks.items():
        print(f"== {name}", flush=True)
        if call(command):
            failed.append(name)
    if failed:
        raise MakeError(f"Failed: {', '.join(failed)}")


def clean(arguments: "list[str]") -> None:
    """Delete the environment, the caches and the demo's file."""
    for name in (".venv", *CACHES):
        shutil.rmtree(str(ROOT / name), ignore_errors=True)
    if (ROOT / "demo.mp4").exists():
        (ROOT / "demo.mp4").unlink()


def main() -> int:
    """Run the job named on the command line; see the module's text."""
    jobs = {"demo": demo, "test": test, "lint": lint, "clean": clean}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=list(jobs), help="what to do")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to animate (demo) or pytest (test)")
    options = parser.parse_args()
    try:
        jobs[options.job](options.arguments)
    except MakeError as error:
        print(f"make.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
