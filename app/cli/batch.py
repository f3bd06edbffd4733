"""`animate batch`: many jobs through the queue."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli.flags import (
    Argument,
    Flag,
    command,
    make_app,
    number_of,
    option_flag,
    optional_argument,
    switch,
    text_flag,
)
from app.cli.output import JsonLines, PlainLines, clock, complain, one_line, say, show_path, tell, write
from app.errors import ExitCode, UsageError
from app.events import CancelToken, Event, EventStream
from app.options import all_options

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from app.jobs import Entry, Summary

PANEL = "Jobs"
QUOTES = "Put patterns in quotes, so that the shell does not expand them: --sources 'in/*.jpg'."
OWN = (
    "jobs", "sources", "drivings", "pairs", "resume", "queue", "workers", "fail_fast", "keep_going", "cluster",
    "cluster_cpus", "cluster_gpus", "cache", "schema", "dry_run", "preset", "debug",
)  # fmt: skip

app = make_app(
    "Animate many pairs of files. An interrupted batch continues where it stopped; finished jobs are not repeated."
)


def batch(values: Mapping[str, Any]) -> int:
    """Run the verb with the parsed flags."""
    if values["schema"]:
        from app.jobs.schema import schema

        say(json.dumps(schema(), indent=2))
        return int(ExitCode.OK)
    given = {k: v for k, v in values.items() if v is not None and k not in OWN}
    json_lines, quiet = _on(given.pop("json_lines", None)), _on(given.pop("quiet", None))
    label, entries = _entries(values, given)
    if values["dry_run"]:
        return _show(entries, json_lines)
    sink: Any = JsonLines() if json_lines else _Bars() if not quiet and sys.stderr.isatty() else _Lines(quiet)
    events, token = EventStream(sink), CancelToken()
    from app.cli.animate import stop_on_signals

    try:
        with stop_on_signals(token):
            summary = _work(values, label, entries, events, token)
    finally:
        sink.close()
    return _conclude(summary, events, json_lines=json_lines, quiet=quiet)


def _on(value: Any) -> bool:
    return bool(value)


def _entries(values: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[str | None, list[Entry]]:
    """Name of the batch (None for everything queued) and its jobs."""
    from app.jobs import make_jobs, read_jobs

    file, sources, drivings = values["jobs"], values["sources"] or [], values["drivings"] or []
    preset = values["preset"] or ""
    if values["resume"]:
        if file or sources or drivings:
            raise UsageError("--resume continues the queue and takes no JOBS, --sources or --drivings.")
        return None, []
    if file:
        if sources or drivings or values["pairs"]:
            raise UsageError("JOBS and --sources, --drivings or --pairs exclude each other.", QUOTES)
        return os.path.abspath(file), read_jobs(Path(file), given, preset=preset)
    if not sources or not (drivings or given.get("idle")):
        raise UsageError(
            "A job file is needed, or --sources and --drivings.", "See animate batch --help, or --resume for the queue."
        )
    words = [os.getcwd(), *sources, "", *drivings, *(["idle"] if not drivings else []), str(given.get("output", ""))]
    mark = hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"command line {mark}", make_jobs(sources, drivings, given, pairs=values["pairs"], preset=preset)


def _work(
    values: Mapping[str, Any], label: str | None, entries: list[Entry], events: EventStream, token: CancelToken
) -> Summary:
    from app.jobs import Queue, run_workers

    workers = number_of(values["workers"], "--workers", 0, 1024, whole=True)
    cache = Path(values["cache"]) if values["cache"] else None
    with Queue(values["queue"]) as queue:
        if label is not None:
            queue.recover()
            added = queue.add(entries, label, replace=True)
            parts = [f"{added.queued} to do"]
            parts += [f"{added.kept} done already"] if added.kept else []
            parts += [f"{added.cancelled} cancelled"] if added.cancelled else []
            one = "job" if len(added.ids) == 1 else "jobs"
            events.info(f"{len(added.ids)} {one}: {', '.join(parts)}.")
        else:
            queue.resume(job.id for job in queue.reader.jobs(states=["paused"]))
        if values["cluster"]:
            from app.jobs.cluster import run_on_cluster

            return run_on_cluster(
                queue, values["cluster"], batch=label, workers=int(workers), events=events, token=token,
                fail_fast=values["fail_fast"], cache=cache,
                cpus=number_of(values["cluster_cpus"], "--cluster-cpus", 0, 1024, default=1.0),
                gpus=number_of(values["cluster_gpus"], "--cluster-gpus", 0, 64),
            )  # fmt: skip
        return run_workers(
            queue, batch=label, workers=int(workers), events=events, token=token, fail_fast=values["fail_fast"],
            cache=cache,
        )  # fmt: skip


def _show(entries: list[Entry], json_lines: bool) -> int:
    """Print the jobs without running them."""
    from app.jobs.record import driver_name

    for entry in entries:
        if json_lines:
            data = {"source": str(entry.source), "driving": driver_name(entry.driving), "output": entry.output}
            say(json.dumps({**data, "options": dict(entry.values), "where": entry.where}))
        else:
            driver = "idle" if entry.driving is None else short_name(entry.driving)
            say(f"{short_name(entry.source)} + {driver} -> {short_name(entry.output)}")
    return int(ExitCode.OK)


def short_name(path: object) -> str:
    """Shorten a file name: relative to the current folder if it is inside it."""
    text = str(path)
    here = os.getcwd() + os.sep
    return show_path(text[len(here) :] if text.startswith(here) else text)


def _conclude(summary: Summary, events: EventStream, *, json_lines: bool, quiet: bool) -> int:
    if json_lines:
        events.emit(Event("result", data=summary.to_json()))
    for job in summary.failed:
        complain(
            f"{short_name(job.source)} + {'sliders' if job.driving is None else short_name(job.driving)}: {job.error}",
            "error" if job.state == "failed" else "warning",
        )
    if not json_lines and not quiet:
        say(totals(summary))
    return int(summary.exit_code)


def totals(summary: Summary) -> str:
    """The last line: the number of jobs by outcome."""
    words = [f"{summary.count('done')} of {len(summary.jobs)} jobs done"]
    if summary.rendered != summary.count("done"):
        words[0] += f" ({summary.rendered} in this run)"
    broken = sum(job.state == "done" for job in summary.failed)
    words += [f"{broken} of these from truncated input"] if broken else []
    words += [f"{summary.count(s)} {s}" for s in ("failed", "skipped", "cancelled") if summary.count(s)]
    left = sum(summary.count(s) for s in ("queued", "paused", "running"))
    words += [f"{left} left for the next run"] if left else []
    return f"{', '.join(words)}; {clock(summary.seconds)}."


def _title(event: Event) -> str:
    names = [Path(event.data[key]).name or "sliders" for key in ("source", "driving")]
    return one_line(" + ".join(names))


class _Lines(PlainLines):
    """One line for each job that ends, and warnings; for pipes and log files."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet)
        self._silent = quiet
        self._count, self._total = 0, 0

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.phase == "batch":
            self._count, self._total = event.done, event.total or 0
        elif event.kind == "job" and event.data["state"] != "running" and not self._silent:
            self._count += 1
            error = f": {event.message}" if event.message else ""
            left = f"{self._count}/{self._total}"
            write(sys.stderr, f"{left} {event.data['state']}: {_title(event)}{one_line(error)}\n")
        elif event.kind == "message" and "worker" not in event.data and (event.level != "info" or not self._silent):
            tell(event)


class _Bars:
    """A progress bar for all jobs and one for each worker, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[int, TaskID] = {}
        self._titles: dict[int, str] = {}
        self._started = time.monotonic()
        self._progress.start()

    def _task(self, worker: int) -> TaskID:
        if worker not in self._tasks:
            self._tasks[worker] = self._progress.add_task("", total=None, count="", left="")
        return self._tasks[worker]

    def __call__(self, event: Event) -> None:
        """Show an event."""
        worker = int(event.data.get("worker", 0))
        if event.phase == "batch":
            left = "" if event.eta is None else f"{clock(event.eta)} left"
            count = f"{event.done}/{event.total}"
            self._progress.update(
                self._task(0), description="All jobs", completed=event.done, total=event.total, count=count, left=left
            )
        elif event.kind == "job":
            if event.data["state"] == "running":
                self._titles[worker] = _title(event)
                task = self._task(worker)
                self._progress.update(task, description=f"{worker}: {self._titles[worker]}", completed=0, total=None)
            elif event.message:
                self._print(f"{event.data['state']}: {_title(event)}: {one_line(event.message)}")
        elif event.kind == "progress":
            count = f"{event.message or event.phase} {event.done}" + (f"/{event.total}" if event.total else "")
            left = "" if event.eta is None else f"{clock(event.eta)} left"
            self._progress.update(self._task(worker), completed=event.done, total=event.total, count=count, left=left)
        elif event.kind == "message" and "worker" not in event.data:
            self._print(one_line(event.message))

    def _print(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bars from the screen."""
        self._progress.stop()


def advise(arguments: Sequence[str], text: str) -> str:
    """Specific advice for a wrong command line, or empty."""
    return QUOTES if "unexpected extra" in text and {"--sources", "--drivings"} & set(arguments) else ""


def queue_flag() -> Flag:
    """The flag that names the queue's file."""
    text = "SQLite file of the queue; by default $PORTRAIT_ANIMATE_QUEUE, or the user's own."
    return text_flag("queue", ["--queue"], "FILE", text, PANEL)


def _parameters() -> list[Flag | Argument]:
    options = [info for info in all_options() if info.name not in ("crop",)]
    return [
        optional_argument("jobs", "JOBS", "Job file: TOML, YAML, JSON or CSV."),
        text_flag("sources", ["--sources"], "GLOB", "Source files; may be repeated.", PANEL, multiple=True),
        text_flag("drivings", ["--drivings"], "GLOB", "Driving files; may be repeated.", PANEL, multiple=True),
        switch(
            "pairs",
            ["--pairs"],
            "Pair the first source with the first driving file and so on, instead of each with each.",
            PANEL,
        ),
        switch("resume", ["--resume"], "Continue with everything in the queue.", PANEL),
        queue_flag(),
        text_flag("workers", ["--workers"], "N", "Worker processes; chosen by cores and memory by default.", PANEL),
        switch("keep_going", ["--keep-going"], "Continue when a job fails; this is the default.", PANEL),
        switch("fail_fast", ["--fail-fast"], "Stop when a job fails.", PANEL),
        text_flag("cache", ["--cache"], "FOLDER", "Folder for the motion read from driving clips.", PANEL),
        text_flag("cluster", ["--cluster"], "ADDRESS", "Run on a Ray cluster: auto, local, or its address.", PANEL),
        text_flag("cluster_cpus", ["--cluster-cpus"], "N", "Cores that Ray gives to each worker.", PANEL),
        text_flag("cluster_gpus", ["--cluster-gpus"], "SHARE", "Graphics cards for each worker, such as 0.25.", PANEL),
        switch("schema", ["--schema"], "Print the JSON schema of job files and exit.", PANEL),
        switch("dry_run", ["--dry-run"], "List the jobs and exit.", PANEL),
        text_flag("preset", ["--preset"], "NAME", "Start from this preset instead of the file's.", PANEL),
        *(option_flag(info) for info in options),
        switch("debug", ["--debug"], "Show the traceback of an error.", "Program"),
    ]


command(app, _parameters(), batch, armed=True)
