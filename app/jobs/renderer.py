"""Render jobs one after another, keeping everything that the next one can reuse."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.environment import fault
from app.errors import AppError, CancelledError, ExitCode
from app.events import CancelToken, EventStream
from app.frames.motion_cache import MotionCache
from app.frames.resources import Resources
from app.jobs.hashes import input_files, joint_hash
from app.jobs.queue import tag
from app.jobs.record import JobRecord
from app.jobs.rows import State
from app.jobs.target import Files, Target, open_target
from app.media.contents import content_hash
from app.media.outnames import check_not_inputs, check_plain
from app.options import RenderOptions
from app.render import Job, render
from app.render.job import side_by_side_path
from liveportrait.batching import is_out_of_memory
from models.messages import changed, joined, msg

if TYPE_CHECKING:
    pass

PORTRAITS: Final = 2  # encoded portraits that a worker keeps
ENGINES: Final = 2  # engines that a worker keeps


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job.

    Attributes:
        state: done (the files are staged and only lack their final names), failed, skipped or cancelled.
        files: Files of the result.
        error: One line; for done jobs a note on a truncated input.
        exit_code: Exit code of running this job alone.
        input_hash: Hash of both inputs.
        frames: Frames written.
        seconds: Duration.
        short_of_memory: Whether memory ran out.
        pid: Process that rendered it, 0 for the one that claimed it.
        host: Its machine.
        notes: Notes collected during the run.
        details: Traceback of a failure.
    """

    state: State
    files: Files = ()
    error: str = ""
    exit_code: int = 0
    input_hash: str = ""
    frames: int = 0
    seconds: float = 0.0
    short_of_memory: bool = False
    pid: int = 0
    host: str = ""
    notes: tuple[str, ...] = ()
    details: str = ""


class JobRenderer:
    """Renders jobs. The result of each is left hidden beside its name, see app.jobs.target.

    Args:
        cache: Folder of cached motion; the user's own by default.
        file_hash: Hash of the content of an input; computed each time by default.
        threads: CPU threads for the engine; 0 lets it choose.
    """

    def __init__(
        self, cache: Path | None = None, file_hash: Callable[[Path], str] = content_hash, threads: int = 0
    ) -> None:
        self._hash = file_hash
        self.resources = Resources(MotionCache(cache), file_hash, threads=threads, engines=ENGINES, photos=PORTRAITS)

    def render(self, job: JobRecord, events: EventStream, token: CancelToken) -> Outcome:
        """Render one job; all errors become part of the outcome.

        Args:
            job: The job, claimed.
            events: Receives progress and messages.
            token: Stops the job.
        """
        outcome = self._guarded(job, events, token)
        if outcome.short_of_memory:
            self.resources.forget()
            outcome = replace(self._guarded(job, events, token), short_of_memory=True)
        return outcome

    def _guarded(self, job: JobRecord, events: EventStream, token: CancelToken) -> Outcome:
        folder = ""
        try:
            target = open_target(job.output, job.numbered)
            refusal = _refusal(job, target)
            if refusal is not None:
                return refusal
            hidden = target.open(tag(job))
            folder = str(hidden)
            try:
                outcome = self._render(job, target, hidden, events, token)
            except BaseException:
                target.clean(tag(job))
                raise
            if outcome.state != "done":
                target.clean(tag(job))
            return outcome
        except CancelledError as error:
            return Outcome("cancelled", error=error.message, exit_code=int(ExitCode.CANCELLED))
        except AppError as error:
            parent = str(Path(job.output).parent)
            text = changed(str(error), lambda text: text.replace(folder, parent)) if folder else str(error)
            return Outcome("failed", error=_line(text), exit_code=int(error.exit_code), details=traceback.format_exc())
        except Exception as error:  # noqa: BLE001 - one failing job must not abort the batch
            if is_out_of_memory(error):
                text = "There is not enough memory for this image or clip."
                return Outcome(
                    "failed", error=text, exit_code=int(ExitCode.ERROR), short_of_memory=True,
                    details=traceback.format_exc(),
                )  # fmt: skip
            if isinstance(error, OSError) and error.strerror:
                text = msg("{filename}: {reason}.", error.filename or job.output, error.strerror)
            else:
                text = str(fault(error))
            return Outcome("failed", error=_line(text), exit_code=int(ExitCode.ERROR), details=traceback.format_exc())

    def _render(self, job: JobRecord, target: Target, hidden: Path, events: EventStream, token: CancelToken) -> Outcome:
        from liveportrait.expression import Expression

        hashed = joint_hash(self._hash(path) for path in input_files(job.source, job.driving, job.values))
        options = RenderOptions.from_values({**job.values, "output": "%05d" if job.numbered else "", "overwrite": True})
        expression = None if job.expression is None else Expression.from_dict(job.expression)
        driving = Path() if job.driving is None else job.driving
        one = Job(job.source, driving, options, expression=expression, target=hidden / target.name)
        report = render(one, events, token, resources=self.resources)
        if report.status == "cancelled":
            return Outcome("cancelled", error="Stopped.", exit_code=int(ExitCode.CANCELLED))
        files = target.stage(tag(job))
        refusal = _taken(job, target, [name for name, _, _ in files])  # the file may have been created in the meantime
        if refusal is not None:
            return refusal
        return Outcome(
            "done",
            files=files,
            error=_line(report.message),
            exit_code=int(report.exit_code),
            input_hash=hashed,
            frames=report.frames,
            seconds=report.seconds,
            notes=report.notes,
        )


def _refusal(job: JobRecord, target: Target) -> Outcome | None:
    """Why a job must not write its output, or None."""
    if target.exists() and "://" not in job.output:
        check_not_inputs([Path(job.output)], input_files(job.source, job.driving, job.values))
    names = [target.first]
    if job.values.get("side_by_side"):
        names.append(side_by_side_path(Path(target.first)).name)
    return _taken(job, target, names)


def _taken(job: JobRecord, target: Target, names: list[str]) -> Outcome | None:
    """The outcome if a name belongs to something else or not to a regular file, or None."""
    if "://" not in job.output:
        for one in names:
            check_plain(Path(job.output).with_name(one))
    name = "" if job.values.get("overwrite") else target.foreign(names, job.files)
    if not name:
        return None
    path = f"{job.output.rpartition('/')[0]}/{name}" if "://" in job.output else str(Path(job.output).with_name(name))
    return Outcome(
        "skipped",
        error=joined(
            (
                msg("{path} already exists and is not a result of this queue.", path),
                msg("Add {option:overwrite} to replace it."),
            )
        ),
    )


def _line(text: str) -> str:
    return changed(text, lambda text: " ".join(part.strip() for part in text.splitlines() if part.strip()))
