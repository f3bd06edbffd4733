"""`animate doctor`: what is installed and what can run."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.cli.flags import command, make_app, switch
from app.cli.output import say, write
from app.cli.program import PROGRAM
from app.errors import ExitCode

if TYPE_CHECKING:
    from app.doctor import Finding

MARKS = {"ok": "ok", "info": "  ", "warning": "!!", "missing": "--"}

app = make_app("Show what is installed, which engines can run, and what is missing.")


def doctor(values: Mapping[str, Any]) -> int:
    """Run the verb; 6 if no engine can run."""
    from app.cli.animate import stop_on_signals
    from app.doctor import examine, summary
    from app.events import CancelToken
    from app.loading import interruptible

    token = CancelToken()
    with stop_on_signals(token):
        findings = interruptible(
            lambda step: examine(values["tune"], step), token, _tell, "Checking the program", lost=""
        )  # fmt: skip
    report = summary(findings)
    say(json.dumps(report) if values["as_json"] else table(findings))
    return int(ExitCode.OK if report["ready"] else ExitCode.MISSING)


def _tell(text: str) -> None:
    """Announce slow steps on standard error, which keeps standard output clean."""
    write(sys.stderr, f"{PROGRAM}: {text}\n")


def table(findings: list[Finding]) -> str:
    """The findings as text; "!!" marks problems, "--" optional parts that are not installed."""
    lines: list[str] = []
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines += ["", section]
        hint = f"  ({finding.hint})" if finding.hint else ""
        lines.append(f"  {MARKS[finding.status]} {finding.name:<22} {finding.value}{hint}")
    return "\n".join(lines[1:])


command(
    app,
    [switch("tune", ["--tune"], "Time every engine, compile those that can be, and remember the results for --engine "
            "auto; takes minutes.", "Program"),
     switch("as_json", ["--json"], "Print one JSON object.", "Output"),
     switch("debug", ["--debug"], "Show the traceback of an error.", "Output")],
    doctor, armed=True,
)  # fmt: skip
