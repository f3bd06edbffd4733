"""The report of a finished job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.errors import ExitCode
from app.frames.timings import StageTime

Status = Literal["done", "partial", "cancelled"]


@dataclass(frozen=True)
class RenderReport:
    """Result of a job.

    Attributes:
        status: done; partial if an input was truncated and the decodable part was rendered; cancelled if the user
            stopped the job and the frames rendered so far are kept.
        output: File that holds the result.
        side_by_side: Comparison clip, or None.
        frames: Frames written.
        lost: Driving frames among them in which no face was found.
        source_lost: Source frames in which no face was found.
        size: Width and height in pixels.
        engine: Name of the engine.
        seconds: Duration of the whole job.
        message: One sentence for a status other than done.
        notes: Further sentences for the user.
        stages: Time per frame of each stage.
    """

    status: Status
    output: Path
    side_by_side: Path | None
    frames: int
    lost: int
    source_lost: int
    size: tuple[int, int]
    engine: str
    seconds: float
    message: str = ""
    notes: tuple[str, ...] = ()
    stages: Mapping[str, StageTime] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """Exit code that stands for the status."""
        return {"done": ExitCode.OK, "partial": ExitCode.PARTIAL, "cancelled": ExitCode.CANCELLED}[self.status]

    @property
    def fps(self) -> float:
        """Frames of output per second of work, from start to end."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object (docs/cli.md describes it)."""
        return {
            "status": self.status,
            "exit_code": int(self.exit_code),
            "output": str(self.output),
            "side_by_side": None if self.side_by_side is None else str(self.side_by_side),
            "frames": self.frames,
            "lost": self.lost,
            "source_lost": self.source_lost,
            "width": self.size[0],
            "height": self.size[1],
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 2),
            "notes": list(self.notes),
            "stages": {name: stage.to_json() for name, stage in self.stages.items()},
        }
