"""The program to measure: `animate` from this checkout or another one, in a persistent process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
LOOP = """
import json, sys
from app.cli.main import main
answers = sys.stdout
sys.stdout = sys.stderr
for line in sys.stdin:
    print(main(json.loads(line)), file=answers, flush=True)
"""


class Program:
    """Runs `animate` repeatedly without its start-up time.

    Args:
        checkout: Folder of the program, possibly of another commit. It is the working folder, so paths must be
            absolute.
    """

    def __init__(self, checkout: Path = ROOT) -> None:
        self.checkout = checkout.resolve()
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, *arguments: str | Path) -> None:
        """Run a command line; files that exist are replaced.

        Raises:
            RuntimeError: It returned a non-zero exit code.
        """
        if self._process is None:
            environment = os.environ | {"PYTHONPATH": str(self.checkout)}
            self._process = subprocess.Popen(
                [sys.executable, "-c", LOOP],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.checkout, env=environment,
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = [str(argument) for argument in arguments]
        self._process.stdin.write(json.dumps([*line, "--overwrite", "--quiet"]) + "\n")
        self._process.stdin.flush()
        code = self._process.stdout.readline().strip()
        if code != "0":
            raise RuntimeError(f"animate {' '.join(line)} ended with {code or 'a crash'}.")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
