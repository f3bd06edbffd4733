"""A face that is being placed by hand: its handles, dragging and undo. No Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from liveportrait.crop import Box, face_box
from liveportrait.placed import HANDLES, Handles, PlacedError, Point, moved, placed_points

STEPS: Final = 200
Points = npt.NDArray[np.float32]


class Placing:
    """Handles on an image, with undo.

    Args:
        handles: Initial handles, in image pixels.

    Attributes:
        mirrored: Whether a handle's counterpart on the other side of the face moves along.
        chosen: The handle that the arrow keys move.
        points: (478, 3) landmarks fitted to the handles; the last valid ones while the handles form no face.
        problem: Why the handles form no face, or empty.
    """

    def __init__(self, handles: Handles) -> None:
        self.mirrored = True
        self.chosen = next(iter(HANDLES))
        self.problem = ""
        self.points: Points = placed_points(handles)
        self._handles = dict(handles)
        self._past: list[dict[str, Point]] = []
        self._future: list[dict[str, Point]] = []
        self._begun = True

    @property
    def handles(self) -> Mapping[str, Point]:
        """Name -> position in image pixels."""
        return self._handles

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to redo."""
        return bool(self._future)

    def begin(self) -> None:
        """Begin a step: all changes until the next one are undone together."""
        self._begun = True

    def move(self, name: str, place: Point) -> None:
        """Move a handle as part of the current step; the lips can't cross."""
        self.chosen = name
        x, y = place
        if name in ("lip_top", "lip_bottom"):
            other = self._handles["lip_bottom" if name == "lip_top" else "lip_top"]
            down = self._down()
            beyond = (x - other[0]) * down[0] + (y - other[1]) * down[1]
            beyond = max(beyond, 0.0) if name == "lip_top" else min(beyond, 0.0)
            x, y = x - beyond * down[0], y - beyond * down[1]
        self._step(moved(self._handles, name, (x, y), mirrored=self.mirrored))

    def carry(self, old: Box, new: Box) -> None:
        """Move, scale and rotate the whole face as part of the current step, as the box around it was."""
        scale, turn = new.size / old.size, new.angle - old.angle
        c, s = scale * math.cos(turn), scale * math.sin(turn)
        self._step(
            {
                name: (new.x + (x - old.x) * c - (y - old.y) * s, new.y + (x - old.x) * s + (y - old.y) * c)
                for name, (x, y) in self._handles.items()
            }
        )

    def replace(self, handles: Handles) -> None:
        """Replace the handles, as a step of its own."""
        self.begin()
        self._step(dict(handles))

    def undo(self) -> None:
        """Undo the last step."""
        if self._past:
            self._future.append(dict(self._handles))
            self._take(self._past.pop())

    def redo(self) -> None:
        """Redo the last undone step."""
        if self._future:
            self._past.append(dict(self._handles))
            self._take(self._future.pop())

    def box(self, scale: float, x: float, y: float) -> Box:
        """The box around the face, rotated with it, see liveportrait.crop.face_box."""
        return face_box(self.points, scale, x, y)

    def near(self, place: Point, reach: float) -> str:
        """The handle within reach of a position, in image pixels; for closed lips, the one on the position's side."""
        away = {name: math.hypot(place[0] - x, place[1] - y) for name, (x, y) in self._handles.items()}
        name = min(away, key=lambda one: away[one])
        if away[name] > reach:
            return ""
        if name in ("lip_top", "lip_bottom"):
            (ax, ay), (bx, by) = self._handles["lip_top"], self._handles["lip_bottom"]
            if math.hypot(ax - bx, ay - by) < reach:
                down = self._down()
                below = (place[0] - (ax + bx) / 2) * down[0] + (place[1] - (ay + by) / 2) * down[1] > 0
                return "lip_bottom" if below else "lip_top"
        return name

    def choose_next(self, step: int) -> None:
        """Select the next or previous handle."""
        names = list(HANDLES)
        self.chosen = names[(names.index(self.chosen) + step) % len(names)]

    def _down(self) -> Point:
        top, chin = self._handles["face_top"], self._handles["chin"]
        length = math.hypot(chin[0] - top[0], chin[1] - top[1]) or 1.0
        return (chin[0] - top[0]) / length, (chin[1] - top[1]) / length

    def _step(self, handles: dict[str, Point]) -> None:
        if handles == self._handles:
            return
        if self._begun:
            self._past.append(dict(self._handles))
            del self._past[:-STEPS]
            self._future.clear()
            self._begun = False
        self._take(handles)

    def _take(self, handles: dict[str, Point]) -> None:
        self._handles = handles
        try:
            self.points, self.problem = placed_points(handles), ""
        except PlacedError as error:
            self.problem = str(error)
