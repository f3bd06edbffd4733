"""`animate jobs`: show and change the queue."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from app.cli.batch import queue_flag, short_name
from app.cli.flags import Argument, Flag, arguments, command, make_app, switch, text_flag
from app.cli.output import clock, complain, one_line, say, write
from app.errors import ExitCode, UsageError, not_one_of

if TYPE_CHECKING:
    from app.jobs import JobRecord, Queue

app = make_app("Show and change the queue of `animate batch` and the window.")
COLUMNS = ("id", "state", "attempts", "seconds", "frames", "source", "driving", "output", "error")
MOST_TOLD = 20  # damaged jobs listed at most
MOST = 100_000  # jobs in a range of numbers at most
FORMATS = ("table", "json", "csv")


def list_(values: Mapping[str, Any]) -> int:
    """Show the jobs in processing order."""
    with _queue(values) as queue:
        chosen, others = _chosen(queue, values), sum(queue.reader.counts().values())
        _complain_of_damage(queue)
    _print(chosen, _format(values))
    if not chosen and _format(values) == "table":
        write(
            sys.stderr, f"None of the {others} jobs is in that state or batch.\n" if others else "The queue is empty.\n"
        )
    return int(ExitCode.OK)


def show(values: Mapping[str, Any]) -> int:
    """Show everything about some jobs."""
    with _queue(values) as queue:
        for job in queue.reader.jobs(ids=_numbers(values["ids"])):
            facts = job.to_json()
            if values["as_json"]:
                say(json.dumps(facts))
                continue
            for name in ("created", "started", "finished"):
                facts[name] = _moment(facts[name])
            facts["options"] = ", ".join(f"{k} = {v}" for k, v in facts["options"].items()) or "all at their default"
            say("\n".join(f"{name:<12} {one_line(str(value))}" for name, value in facts.items()) + "\n")
    return int(ExitCode.OK)


def retry(values: Mapping[str, Any]) -> int:
    """Queue jobs again; `animate batch --resume` or the job file then runs them."""
    return _change(values, "retry", "queued again", ("failed",))


def pause(values: Mapping[str, Any]) -> int:
    """Pause queued jobs until `animate jobs resume`; running ones continue."""
    return _change(values, "pause", "paused", ("queued",))


def resume(values: Mapping[str, Any]) -> int:
    """Queue paused jobs again; `animate batch --resume`, the job file or the window then runs them."""
    return _change(values, "resume", "queued again", ("paused",))


def cancel(values: Mapping[str, Any]) -> int:
    """Cancel waiting or running jobs."""
    return _change(values, "cancel", "cancelled", ("queued", "paused", "running"))


def clear(values: Mapping[str, Any]) -> int:
    """Remove ended jobs from the queue; their files stay."""
    if values["cache"]:
        from app.frames.motion_cache import MotionCache

        say(f"{MotionCache().clear()} motion tracks removed.")
        if not any(values[name] for name in ("ids", "state", "batch", "all")):
            return int(ExitCode.OK)
    return _change(values, "clear", "forgotten", ("done", "failed", "cancelled", "skipped"))


def report(values: Mapping[str, Any]) -> int:
    """Summarise a batch: how many jobs ended in which state, how long they took, and what failed and why."""
    with _queue(values) as queue:
        chosen = _chosen(queue, values)
        _complain_of_damage(queue)
    form = _format(values)
    if form == "csv":
        _print(chosen, form)
        return int(ExitCode.OK)
    facts = summary_of(chosen)
    if form == "json":
        say(json.dumps(facts))
        return int(ExitCode.OK)
    for name, count in facts["states"].items():
        say(f"{name:<10} {count}")
    say(
        f"{facts['frames']} frames in {clock(facts['work_seconds'])} of work"
        + (f", {clock(facts['wall_seconds'])} from first start to last end." if facts["wall_seconds"] else ".")
    )
    for job in facts["failures"]:
        say(f"{job['id']}: {short_name(job['source'])} + {short_name(job['driving'])}: {one_line(job['error'])}")
    return int(ExitCode.OK)


def _complain_of_damage(queue: Queue) -> None:
    """Warn of damaged rows in the queue; the others are still shown."""
    for number, why in list(queue.reader.damaged().items())[:MOST_TOLD]:
        complain(f"Job {number} of {queue.path} is damaged: {why}. Remove it: animate jobs clear {number}.", "warning")


def summary_of(jobs: Sequence[JobRecord]) -> dict[str, Any]:
    """Summary of some jobs as a JSON object."""
    from app.jobs import STATES

    started = [job.started for job in jobs if job.started]
    ended = [job.finished for job in jobs if job.finished and job.started]
    return {
        "jobs": len(jobs),
        "states": {state: sum(job.state == state for job in jobs) for state in STATES},
        "frames": sum(job.frames for job in jobs if job.state == "done"),
        "work_seconds": round(sum(job.seconds for job in jobs), 3),
        "wall_seconds": round(max(ended) - min(started), 3) if started and ended else 0,
        "attempts": sum(job.attempts for job in jobs),
        "failures": [job.failure() for job in jobs if job.error],
    }


def _queue(values: Mapping[str, Any]) -> Queue:
    from app.jobs import Queue

    return Queue(values["queue"])


def _numbers(texts: Iterable[str]) -> list[int]:
    found: list[int] = []
    for text in texts:
        match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UsageError(f"{text!r} is not the number of a job, such as 12 or 3-8.")
        if last - first >= MOST:
            raise UsageError(f"{text} are more than {MOST:,} jobs.", "Give --state, --batch or --all instead.")
        found += range(first, last + 1)
    return found


def _states(values: Mapping[str, Any], default: Sequence[str] = ()) -> list[str]:
    text = values.get("state")
    return [word.strip() for word in text.split(",")] if text else list(default)


def _chosen(queue: Queue, values: Mapping[str, Any]) -> list[JobRecord]:
    return queue.reader.jobs(batch=_batch(queue, values), states=_states(values))


def _batch(queue: Queue, values: Mapping[str, Any]) -> str | None:
    """The batch with this name, or of this job file."""
    import os

    wanted: str | None = values.get("batch")
    if not wanted:
        return None
    known = {job.batch for job in queue.reader.jobs()}
    for name in (wanted, os.path.abspath(wanted)):
        if name in known:
            return name
    raise UsageError(f"There is no batch {wanted!r}.", f"Known are {', '.join(sorted(known))}." if known else "")


def _change(values: Mapping[str, Any], what: str, word: str, states: Sequence[str]) -> int:
    numbers = _numbers(values["ids"] or [])
    if not numbers and not values["all"] and not values["state"] and not values["batch"]:
        raise UsageError(
            "Which jobs? Give their numbers, --state, --batch or --all.", f"See animate jobs {what} --help."
        )
    with _queue(values) as queue:
        chosen = queue.reader.jobs(
            batch=_batch(queue, values), states=_states(values, () if numbers else states), ids=numbers
        )
        count = getattr(queue, what)([job.id for job in chosen])
        if what == "clear" and (numbers or values["all"]):
            count += queue.clear_damaged(numbers or None)
    say(f"{count} job{'' if count == 1 else 's'} {word}.")
    return int(ExitCode.OK)


def _format(values: Mapping[str, Any]) -> str:
    form = "json" if values["as_json"] else values["format"] or "table"
    if form not in FORMATS:
        raise not_one_of("--format", form, FORMATS)
    return str(form)


def _moment(stamp: float | None) -> str:
    if stamp is None:
        return ""
    return datetime.fromtimestamp(stamp, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _print(jobs: Sequence[JobRecord], form: str) -> None:
    if form == "json":
        for job in jobs:
            say(json.dumps(job.to_json()))
    elif form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for job in jobs:
            facts = job.to_json()
            writer.writerow([facts[name] for name in COLUMNS])
        say(text.getvalue())
    else:
        width = max([len(str(job.id)) for job in jobs], default=2)
        for job in jobs:
            spent = clock(job.seconds) if job.seconds else "-"
            if job.state == "running" and job.progress is not None:
                spent = f"{job.share:.0%}"
            line = f"{job.id:>{width}} {job.state:<9} {spent:>7}  {_pair(job)}"
            say(f"{line} -> {short_name(job.output)}" + (f": {one_line(job.error)}" if job.error else ""))


def _pair(job: JobRecord) -> str:
    return short_name(job.source) + (" + sliders" if job.driving is None else f" + {short_name(job.driving)}")


IDS = "ids", "ID...", "Numbers of jobs, such as 12 or 3-8."
PANEL = "Jobs"
WHICH = [
    text_flag("state", ["--state"], "STATE", "Only jobs in these states, separated by commas.", PANEL),
    text_flag("batch", ["--batch"], "JOBS", "Only jobs of this job file or batch.", PANEL),
]
FORM = [
    text_flag("format", ["--format"], "|".join(FORMATS), "How to print; table by default.", "Output"),
    switch("as_json", ["--json"], "The same as --format json.", "Output"),
]
DEBUG = switch("debug", ["--debug"], "Show the traceback of an error.", "Output")
ALL = switch("all", ["--all"], "All jobs that this applies to.", PANEL)
CACHE = switch("cache", ["--cache"], "Also remove the cached motion of driving clips.", PANEL)

command(app, [queue_flag(), *WHICH, *FORM, DEBUG], list_, name="list", help=list_.__doc__)
command(app, [arguments(*IDS, required=True), queue_flag(), FORM[1], DEBUG], show, name="show", help=show.__doc__)
for _name, _work, _extra in (
    ("retry", retry, []), ("cancel", cancel, []), ("pause", pause, []), ("resume", resume, []),
    ("clear", clear, [CACHE]),
):  # fmt: skip
    _flags: list[Flag | Argument] = [arguments(*IDS), queue_flag(), *WHICH, ALL, *_extra, DEBUG]
    command(app, _flags, _work, name=_name, help=_work.__doc__)
command(app, [queue_flag(), *WHICH, *FORM, DEBUG], report, name="report", help=report.__doc__)
