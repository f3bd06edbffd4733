"""Write the files in requirements/ from pyproject.toml: ``python tools/lock.py`` (``--check`` only compares).

``cli.txt`` is the base installation without the window's PySide6, with the same bounds. ``constraints.txt`` pins one
version of every direct and indirect dependency for Python 3.10 to 3.13 on every system; uv resolves it (``pip install
uv``).
"""

import argparse
import datetime
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "requirements"
WINDOW = "pyside6-essentials"
# not on PyPI, not for every Python from 3.10 on, or for one system alone
LEFT_OUT = ("tensorrt", "onnx-rtx", "ndi", "spout", "syphon")
CLI_HEADER = """\
# Written by tools/lock.py from pyproject.toml: all but the window, without its PySide6.
#   pip install -r requirements/cli.txt
#   pip install --no-deps .
"""
LOCK_HEADER = """\
# Written by tools/lock.py on {date}: versions that pyproject.toml allowed and that were the newest on that day.
#   pip install -c requirements/constraints.txt .
# Extras that it covers: {extras}
"""


def project() -> "dict[str, Any]":
    """The table [project] of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def cli_text() -> str:
    """The content of requirements/cli.txt."""
    wanted = [text for text in project()["dependencies"] if not text.lower().startswith(WINDOW)]
    return CLI_HEADER + "".join(f"{text}\n" for text in wanted)


def locked_extras() -> "list[str]":
    """Extras that requirements/constraints.txt covers."""
    return [name for name in project()["optional-dependencies"] if name not in LEFT_OUT]


def lock() -> str:
    """The content of requirements/constraints.txt as resolved today.

    Raises:
        SystemExit: uv is not installed, or finds no compatible versions.
    """
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        sys.exit("lock.py: uv is needed to resolve the versions: pip install uv")
    oldest = re.sub(r"[^0-9.]", "", project()["requires-python"])
    command = [
        uv,
        "pip",
        "compile",
        "pyproject.toml",
        "--universal",
        "--python-version",
        oldest,
        "--upgrade",
        "--quiet",
    ]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    for name in locked_extras():
        command += ["--extra", name]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("lock.py: uv found no versions that fit together; it says why above.")
    extras = ", ".join(locked_extras())
    return LOCK_HEADER.format(date=datetime.datetime.now(datetime.timezone.utc).date(), extras=extras) + done.stdout


def main() -> int:
    """Write both files, or compare cli.txt with pyproject.toml."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if cli.txt is out of date")
    parser.add_argument(
        "--cli-only", action="store_true", help="write cli.txt alone, which needs neither uv nor a network"
    )
    options = parser.parse_args()
    cli, constraints = FOLDER / "cli.txt", FOLDER / "constraints.txt"
    if options.check:
        same = cli.is_file() and cli.read_text(encoding="utf-8") == cli_text()
        print("requirements/cli.txt is up to date" if same else "requirements/cli.txt: run tools/lock.py --cli-only")
        return 0 if same else 1
    FOLDER.mkdir(exist_ok=True)
    cli.write_text(cli_text(), encoding="utf-8")
    if not options.cli_only:
        constraints.write_text(lock(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
