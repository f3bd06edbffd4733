"""States of a live session and their transitions."""

from __future__ import annotations

from typing import Final, Literal

State = Literal["idle", "starting", "running", "waiting", "stopping", "closed"]

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    "idle": frozenset({"starting", "closed"}),
    "starting": frozenset({"running", "waiting", "stopping"}),
    "running": frozenset({"starting", "waiting", "stopping"}),
    "waiting": frozenset({"starting", "running", "stopping"}),
    "stopping": frozenset({"idle"}),
    "closed": frozenset(),
}
"""idle: nothing runs. starting: the engine is loaded or the driver opened. running: frames arrive. waiting: the driver
delivers no frames; the last one is held and the driver is retried. stopping: threads end. closed: permanently."""

ACTIVE: Final = ("starting", "running", "waiting")


def may_move(old: State, new: State) -> bool:
    """Whether a transition from one state to another is allowed."""
    return new in TRANSITIONS[old]
