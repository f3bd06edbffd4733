"""The keyframes of the window's time line: expressions at times, set, moved and taken away. Immutable; no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from liveportrait.expression import SLIDERS, Expression
from liveportrait.expression_track import EASES, SCHEMA_VERSION, ExpressionTrack

SHORTEST, LONGEST = Fraction(1, 2), Fraction(600)
"""Seconds that the time line of keyframes may last."""
STEP: Final = Fraction(1, 25)
"""Keys stand at the frames of a render of a photo."""


@dataclass(frozen=True)
class Key:
    """One keyframe.

    Attributes:
        time: Seconds.
        expression: All sliders of the key; those that it doesn't name are neutral.
        ease: Transition to the next keyframe: "smooth", "linear" or "hold".
    """

    time: Fraction
    expression: Expression
    ease: str = EASES[0]


@dataclass(frozen=True)
class Keyframes:
    """Keys in order of time.

    Attributes:
        keys: The keys; no two at the same time.
        length: Seconds of the time line.
    """

    keys: tuple[Key, ...] = ()
    length: Fraction = Fraction(5)

    @staticmethod
    def frame(time: Fraction | float) -> Fraction:
        """The time of the frame nearest to a time."""
        return round(Fraction(time) / STEP) * STEP

    def _place(self, time: Fraction | float) -> Fraction:
        return min(max(self.frame(time), Fraction(0)), self.length)

    def at(self, time: Fraction | float) -> int | None:
        """Number of the key at the frame of a time, or None."""
        place = self._place(time)
        return next((number for number, key in enumerate(self.keys) if key.time == place), None)

    def shown(self, time: Fraction | float) -> Expression:
        """The expression of the track at a time; neutral without keys."""
        track = self.track()
        return Expression({}) if track is None else track.at(float(time))

    def with_key(self, time: Fraction | float, expression: Expression) -> Keyframes:
        """With a key at the frame of a time; one that is there is replaced and keeps its ease."""
        place, there = self._place(time), self.at(time)
        ease = EASES[0] if there is None else self.keys[there].ease
        return self._with(there, Key(place, replace(expression, values=_moved(expression.values)), ease))

    def moved(self, number: int, time: Fraction | float) -> Keyframes:
        """With one key at another time; a place that another key has is not taken."""
        place, there = self._place(time), self.at(time)
        if there is not None:
            return self
        return self._with(number, replace(self.keys[number], time=place))

    def without(self, number: int) -> Keyframes:
        """Without one key."""
        return replace(self, keys=self.keys[:number] + self.keys[number + 1 :])

    def with_ease(self, number: int, ease: str) -> Keyframes:
        """With another transition from one key to the next."""
        return self._with(number, replace(self.keys[number], ease=ease))

    def with_length(self, seconds: Fraction | float) -> Keyframes:
        """With another length; no key is lost."""
        last = self.keys[-1].time if self.keys else Fraction(0)
        return replace(self, length=min(max(self.frame(seconds), SHORTEST, last), LONGEST))

    def _with(self, number: int | None, key: Key) -> Keyframes:
        rest = [one for index, one in enumerate(self.keys) if index != number]
        return replace(self, keys=tuple(sorted([*rest, key], key=lambda one: one.time)))

    # ---- files ----------------------------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """The expression track as tables for a file; each key names all sliders that any key moves."""
        names = sorted({name for key in self.keys for name in key.expression.values})
        return {"schema_version": SCHEMA_VERSION, "duration": float(self.length),
                "keys": [_table(key, names) for key in self.keys]}  # fmt: skip

    def track(self) -> ExpressionTrack | None:
        """What plays, or None without keys."""
        return ExpressionTrack.from_dict(self.to_dict()) if self.keys else None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Keyframes:
        """Keys from the tables of a file; each gets all that the file moves at its time, at the nearest frame.

        Raises:
            ValueError: It is no expression track.
        """
        if not data.get("keys"):
            length = data.get("duration")
            return cls().with_length(length) if isinstance(length, int | float) and 0 < length <= LONGEST else cls()
        track, keys = ExpressionTrack.from_dict(data), {}
        for table in data["keys"]:
            rest = {name: value for name, value in table.items() if name not in ("time", "ease")}
            time, own = cls.frame(table["time"]), Expression.from_dict(rest)
            full = replace(own, values=_moved(track.at(float(table["time"])).values))  # also what this key leaves out
            keys[time] = Key(time, full, table.get("ease", EASES[0]))
        return cls(tuple(keys.values())).with_length(track.duration)


def _moved(values: Mapping[str, float]) -> dict[str, float]:
    """The sliders that are not neutral."""
    return {name: value for name, value in values.items() if value != SLIDERS[name].default}


def _table(key: Key, names: list[str]) -> dict[str, Any]:
    rest = {name: SLIDERS[name].default for name in names}
    own = {**key.expression.to_dict(), "sliders": rest | dict(key.expression.values)}
    own.pop("schema_version", None)
    return {"time": float(key.time), "ease": key.ease, **own}
