"""Set the project up and run it: ``python tools/make.py demo|test|matrix|lint|clean``.

Needs only Python 3.10 or newer (the file also parses on older versions, to report that). The Makefile and ``.ci/run``
call this script; on Windows it is called directly. The virtual environment is ``.venv`` beside pyproject.toml; the
project is reinstalled into it only after pyproject.toml, the Python version or the folder has changed.
"""

import argparse
import glob
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
OLDEST = (3, 10)
MOST_WORKERS = 4  # of pytest
WORKER_MEMORY = 6 << 30  # bytes: a worker with all networks in memory holds 4 GB
SMOKE = "pytest.mark.smoke"
SAMPLE = ("portrait.jpg", "driving.mp4")
CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", "build", "dist")


class MakeError(Exception):
    """A step failed; the text says why and what to do."""


def call(command: "list[str]", quiet: bool = False, folder: "Path | None" = None, log: "IO[str] | None" = None) -> int:
    """Run a command.

    Args:
        command: Program and arguments.
        quiet: Discard its output.
        folder: Working folder; the project's folder by default.
        log: File for its output; None prints it.

    Returns:
        Its exit code; -1 if the program can't be started.
    """
    sink = subprocess.DEVNULL if quiet else log
    try:
        return subprocess.run(command, check=False, cwd=str(folder or ROOT), stdout=sink, stderr=sink).returncode
    except OSError:
        return -1


def must(command: "list[str]", failure: str, folder: "Path | None" = None, log: "IO[str] | None" = None) -> None:
    """Run a command that has to succeed.

    Raises:
        MakeError: It failed; the text is ``failure`` with the command.
    """
    code = call(command, folder=folder, log=log)
    if code:
        raise MakeError(f"{failure} (exit code {code}): {' '.join(command)}")


def python_version(python: str) -> "tuple[int, ...]":
    """Version of an interpreter as (major, minor), or () if it doesn't run."""
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
    """Create .venv if it does not exist or doesn't run.

    Raises:
        MakeError: This Python can't create one, or $PYTHON has another version than .venv.
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
    """Hash of the inputs of an installation, which is repeated when it changes."""
    version = repr(python_version(venv_program("python")))
    parts = [(ROOT / "pyproject.toml").read_bytes(), extra.encode(), version.encode(), str(ROOT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def install(extra: str = "") -> None:
    """Install the project into .venv, editable, unless it is already installed.

    Args:
        extra: Name of an extra of pyproject.toml, or empty. An installation with "dev" also serves as the plain one.

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
    command = [venv_program("animate"), *(str(Path("assets", "sample", name)) for name in SAMPLE)]
    must([*command, "-o", "demo.mp4", "--overwrite", *arguments], "The demo failed")
    print(ROOT / "demo.mp4", flush=True)
    print(next_steps(), flush=True)


def next_steps() -> str:
    """Lines that show the next steps in the syntax of this system's shell."""
    windows = os.name == "nt"
    folder = VENV if Path.cwd() != ROOT else Path(VENV.name)
    program = str(folder / ("Scripts" if windows else "bin") / "portrait-animate")
    names = [os.path.join(str(ROOT) if Path.cwd() != ROOT else "", "assets", "sample", name) for name in SAMPLE]
    active = [str(folder / "Scripts" / "Activate.ps1")] if windows else ["source", str(folder / "bin" / "activate")]

    def line(words: "list[str]") -> str:
        if windows:
            quoted = [f'"{word}"' if " " in word else word for word in words]
            return "    " + ("& " if quoted[0].startswith('"') else "") + " ".join(quoted)
        return "    " + " ".join(shlex.quote(word) for word in words)

    return "\n".join(
        [
            "",
            "Your own files, from this folder (animate is the same program under a shorter name):",
            line([program, *names]),
            "With the environment active, the name alone will do:",
            line(active),
            "    portrait-animate --help",
        ]
    )


def test(arguments: "list[str]") -> None:
    """Run the tests and all other checks; with arguments, only pytest with these."""
    install("dev")
    several = [] if arguments else ["-n", str(test_workers()), "--dist", "worksteal"]
    tests = {"pytest": [venv_program("python"), "-m", "pytest", *several, *arguments]}
    check_all(tests if arguments else {**tests, **linters()})


def test_workers() -> int:
    """Number of pytest workers, by cores and memory."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        memory = 2 * WORKER_MEMORY
    return max(1, min(os.cpu_count() or 1, MOST_WORKERS, memory // WORKER_MEMORY))


# prints the version; nothing for pre-releases, builds without the GIL, non-CPython, and those without venv
PROBE = """
import ensurepip, sys, sysconfig, venv
if sys.version_info[3] == "final" and sys.implementation.name == "cpython":
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        print(*sys.version_info[:3])
"""


def other_pythons() -> "dict[tuple[int, int], str]":
    """Sufficiently new interpreters on this machine, one per version: from the path, pyenv and uv."""
    home = os.path.expanduser("~")
    uv = os.environ.get("UV_PYTHON_INSTALL_DIR", "")
    patterns = [
        os.path.join(os.environ.get("PYENV_ROOT", os.path.join(home, ".pyenv")), "versions", "3.*", "bin", "python"),
        os.path.join(uv or os.path.join(home, ".local", "share", "uv", "python"), "cpython-3.*", "bin", "python3"),
        os.path.join("/usr", "local", "bin", "python3.[0-9]*"),
        os.path.join("/usr", "bin", "python3.[0-9]*"),
        os.path.join(os.environ.get("LOCALAPPDATA", home), "Programs", "Python", "Python3*", "python.exe"),
        os.path.join(home, ".pyenv", "pyenv-win", "versions", "3.*", "python.exe"),
    ]
    names = [
        sys.executable,
        *(name for name in (f"python3.{minor}" for minor in range(30, 9, -1)) if shutil.which(name)),
    ]
    for pattern in patterns:
        names += sorted(glob.glob(pattern))
    found = {}  # type: dict[tuple[int, int], tuple[tuple[int, ...], str]]
    for name in names:
        if name.endswith("-config"):
            continue
        try:
            done = subprocess.run([name, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            version = tuple(int(part) for part in done.stdout.split())
        except (OSError, ValueError, subprocess.CalledProcessError):
            continue  # for example a pyenv shim for a version that is not installed
        if version[:2] >= OLDEST and version > found.get(version[:2], ((), ""))[0]:
            found[version[:2]] = (version, name)
    return {version: found[version][1] for version in sorted(found)}


def promised_pythons() -> "list[tuple[int, int]]":
    """Versions that pyproject.toml names in its classifiers."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return [(3, int(minor)) for minor in re.findall(r"Programming Language :: Python :: 3\.(\d+)", text)]


def matrix(arguments: "list[str]") -> None:
    """Run demo and smoke tests on every other Python on this machine, in fresh environments with the newest packages.

    The wheel is installed instead of the checkout, and everything runs in another folder; this detects files missing
    from the wheel as well as incompatible new releases of Python and packages.

    Args:
        arguments: Versions such as "3.12" to try only these, including that of .venv; empty for all others.

    Raises:
        MakeError: Names the versions that failed, or a requested one that is not installed.
    """
    install()
    own = python_version(venv_program("python"))
    found = other_pythons()
    wanted = [tuple(int(part) for part in text.split(".")) for text in arguments]
    for version in wanted:
        if version not in found:
            raise MakeError(f"Python {dotted(version)} is not on this machine. Here: {', '.join(map(dotted, found))}.")
    chosen = wanted or [version for version in found if version != own]
    absent = [version for version in promised_pythons() if version not in chosen and version != own]
    print(
        f"== Python {dotted(own)} is the one of {VENV}; trying {', '.join(map(dotted, chosen)) or 'no other'}",
        flush=True,
    )
    if absent:
        print(
            f"== NOT TRIED: Python {', '.join(map(dotted, absent))}" + ("" if wanted else ", not on this machine"),
            flush=True,
        )
    failed = []
    with tempfile.TemporaryDirectory(prefix="portrait-matrix-") as folder:
        if chosen:
            pip = [venv_program("python"), "-m", "pip", "wheel", "--disable-pip-version-check", "--quiet", "--no-deps"]
            must([*pip, "--wheel-dir", folder, "."], "The wheel could not be built")
        with ThreadPoolExecutor(test_workers()) as pool:
            tries = {
                version: pool.submit(try_python, found[version], Path(folder), dotted(version)) for version in chosen
            }
            for version, trial in tries.items():
                error = trial.exception()
                print((Path(folder) / f"{dotted(version)}.log").read_text(encoding="utf-8"), flush=True)
                if isinstance(error, MakeError):
                    print(f"make.py: Python {dotted(version)}: {error}", file=sys.stderr, flush=True)
                    failed.append(dotted(version))
                elif error:
                    raise error
    if failed:
        raise MakeError(f"Failed with the newest packages on Python {', '.join(failed)}")


def dotted(version: "tuple[int, ...]") -> str:
    """A version as text."""
    return ".".join(str(part) for part in version)


def try_python(python: str, folder: Path, version: str) -> None:
    """Run demo and smoke tests of the wheel with one interpreter, outside the checkout.

    Args:
        python: The interpreter.
        folder: Folder with the wheel; also for the environment, the tests' files and the output, VERSION.log.
        version: Name of the interpreter's version.

    Raises:
        MakeError: A step failed.
    """
    (wheel,) = folder.glob("*.whl")
    home = folder / version
    work = home / "work"
    work.mkdir(parents=True)
    programs = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check"]
    sample = ROOT / "assets" / "sample"
    tests = [str(p) for p in sorted((ROOT / "tests").rglob("test_*.py")) if SMOKE in p.read_text(encoding="utf-8")]
    options = [
        "-m",
        "smoke",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(ROOT),
    ]
    animate = [str(programs / "animate"), str(sample / "portrait.jpg"), str(sample / "driving.mp4")]
    steps = [
        ("a fresh environment", [python, "-m", "venv", str(home / "venv")], "The environment could not be made"),
        (
            "the newest packages",
            [*pip, "install", "--quiet", "--no-compile", f"{wheel}[smoke]"],
            "The installation failed",
        ),
        ("check of the packages", [*pip, "check"], "Packages do not fit together"),
        ("packages", [*pip, "list", "--format", "freeze"], "The packages could not be listed"),
        ("demo", [*animate, "-o", "demo.mp4"], "The demo failed"),
        ("smoke tests", [str(programs / "python"), "-m", "pytest", *options, *tests], "The smoke tests failed"),
    ]
    started = time.monotonic()
    with (folder / f"{version}.log").open("w", encoding="utf-8") as log:
        for title, command, failure in steps:
            print(f"== Python {version}: {title}", file=log, flush=True)
            must(command, failure, work, log)
        print(f"== Python {version}: {time.monotonic() - started:.0f} s", file=log, flush=True)


def lint(arguments: "list[str]") -> None:
    """Run all checks except the tests."""
    install("dev")
    check_all(linters())


def linters() -> "dict[str, list[str]]":
    """Name and command of every check except the tests."""
    return {
        "ruff check": [venv_program("ruff"), "check", "."],
        "ruff format": [venv_program("ruff"), "format", "--check", "."],
        "mypy": [venv_program("mypy")],
        "import-linter": [venv_program("lint-imports"), "--no-cache", "--no-logo"],
    }


def check_all(checks: "dict[str, list[str]]") -> None:
    """Run every check, even after one has failed.

    Raises:
        MakeError: Names all that failed.
    """
    failed = []
    for name, command in checks.items():
        print(f"== {name}", flush=True)
        if call(command):
            failed.append(name)
    if failed:
        raise MakeError(f"Failed: {', '.join(failed)}")


def clean(arguments: "list[str]") -> None:
    """Delete the environment, the caches and the demo's output."""
    for name in (".venv", *CACHES):
        shutil.rmtree(str(ROOT / name), ignore_errors=True)
    if (ROOT / "demo.mp4").exists():
        (ROOT / "demo.mp4").unlink()


def main() -> int:
    """Run the task named on the command line; see the module docstring."""
    jobs = {"demo": demo, "test": test, "matrix": matrix, "lint": lint, "clean": clean}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=list(jobs), help="what to do")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, help="passed on to animate (demo) or pytest (test); versions (matrix)"
    )
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
