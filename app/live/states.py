"""States of a live session and the ways between them."""

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
"""idle: nothing runs. starting: the engine is loaded or the driver opened. running: pictures arrive. waiting: the
driver gives no picture; the last one stays and it is tried again. stopping: threads end. closed: for good."""

ACTIVE: Final = ("starting", "running", "waiting")


def may_move(old: State, new: State) -> bool:
    """Whether there is a way from one state to another."""
    return new in TRANSITIONS[old]
