"""Expressions over time: sliders, head pose and eye and lip ratios as curves that work with every engine.

A track is written by hand as keyframes (JSON, or anything that a caller reads into the same tables), made from sound
(``liveportrait.speech``), or both combined. It does not depend on keypoints, so one track drives all engines.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from liveportrait.expression import MAX_OPENING, SLIDERS, Expression
from liveportrait.limits import shown

Floats = npt.NDArray[np.float64]
Ease = Literal["smooth", "linear", "hold"]

SCHEMA_VERSION: Final = 1
EASES: Final[tuple[str, ...]] = get_args(Ease)
OPENINGS: Final = ("eye_left", "eye_right", "lips")
"""Channels besides the sliders: eye and lip ratios as in Expression.eye_ratio and lip_ratio."""
MOST_KEYS: Final = 2_000_000
"""Limit of the keys of one channel in a file: 11 hours at 50 per second."""
_HEADER: Final = "track.json"


@dataclass(frozen=True)
class Channel:
    """One value over time.

    Attributes:
        times: (n,) seconds, increasing.
        values: (n,).
        eases: Transition from each key to the next: "smooth" without overshoot (Fritsch and Carlson, 1980), "linear" or
            "hold". A single text applies to all keys.
    """

    times: Floats
    values: Floats
    eases: str | Sequence[str] = "smooth"
    _tangents: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        times, values = np.asarray(self.times, np.float64), np.asarray(self.values, np.float64)
        if times.ndim != 1 or times.shape != values.shape or not len(times):
            raise ValueError("a channel needs as many times as values, and at least one.")
        if not (np.isfinite(times).all() and np.isfinite(values).all()) or (np.diff(times) <= 0).any():
            raise ValueError("the times of a channel must increase, and all its numbers must be finite.")
        eases = [self.eases] if isinstance(self.eases, str) else self.eases
        if len(eases) not in (1, len(times)) or not all(ease in EASES for ease in eases):
            raise ValueError(f"a channel needs one ease, or one for each key: {', '.join(EASES)}.")
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "_tangents", tangents(times, values))

    def ease(self, index: int) -> str:
        """Transition from a key to the next one."""
        if isinstance(self.eases, str):
            return self.eases
        return self.eases[index if len(self.eases) > 1 else 0]

    def at(self, time: float) -> float:
        """Value at a time; before the first and after the last key, that key's value."""
        times, values = self.times, self.values
        if time <= times[0] or len(times) == 1:
            return float(values[0])
        if time >= times[-1]:
            return float(values[-1])
        i = int(np.searchsorted(times, time, side="right")) - 1
        step = times[i + 1] - times[i]
        t = (time - times[i]) / step
        ease = self.ease(i)
        if ease == "hold":
            return float(values[i])
        if ease == "linear":
            between = values[i] + t * (values[i + 1] - values[i])
        else:
            a, b = self._tangents[i], self._tangents[i + 1]
            between = (
                (1 + 2 * t) * (1 - t) ** 2 * values[i]
                + t * (1 - t) ** 2 * step * a
                + t**2 * (3 - 2 * t) * values[i + 1]
                + t**2 * (t - 1) * step * b
            )
        # Both stay between their keys but for rounding, which would leave a slider's bounds where a key lies on them.
        return float(np.clip(between, *sorted(values[i : i + 2])))


def tangents(times: Floats, values: Floats) -> Floats:
    """(n,) slopes at keys (n,) of a monotone piecewise cubic (Fritsch and Carlson, 1980)."""
    out = np.zeros_like(values)
    if len(times) < 3:
        return out
    step = np.diff(times)
    slope = np.diff(values) / step
    before, after = slope[:-1], slope[1:]
    first, second = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (first + second) / (first / before + second / after)
    out[1:-1] = np.where(before * after > 0, mean, 0.0)
    return out


@dataclass(frozen=True)
class ExpressionTrack:
    """Expressions over time.

    Attributes:
        channels: Name of a slider, or one of OPENINGS -> its curve.
        duration: Length in seconds.
    """

    channels: Mapping[str, Channel]
    duration: float

    def __post_init__(self) -> None:
        for name, channel in self.channels.items():
            least, most = limits(name)
            if (low := float(channel.values.min())) < least or float(channel.values.max()) > most:
                wrong = low if low < least else float(channel.values.max())
                raise ValueError(f"{name} must be within {least:g} to {most:g}, not {shown(wrong)}.")
        if not 0 < self.duration < np.inf:
            raise ValueError(f"the duration of a track must be above 0 seconds, not {shown(self.duration)}.")

    def at(self, time: float) -> Expression:
        """The expression at a time in seconds."""
        values = {name: channel.at(time) for name, channel in self.channels.items()}
        eyes = (values.pop("eye_left", None), values.pop("eye_right", None))
        lips = values.pop("lips", None)
        return Expression(values, None if eyes == (None, None) else eyes, lips)

    def without(self, names: Iterable[str]) -> ExpressionTrack:
        """The track without some of its channels."""
        gone = set(names)
        return ExpressionTrack({n: c for n, c in self.channels.items() if n not in gone}, self.duration)

    def part(self, start: float, end: float) -> ExpressionTrack:
        """The piece from one time to another, in seconds."""
        channels = {n: Channel(c.times - start, c.values, c.eases) for n, c in self.channels.items()}
        return ExpressionTrack(channels, end - start)

    # ---- written by hand -------------------------------------------------------------------------------------------
    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExpressionTrack:
        """Track from keyframes.

        Args:
            data: "keys": a list of {"time": seconds, "sliders": {name: value}, "eye_ratio": [left, right],
                "lip_ratio": value, "ease": "smooth", "linear" or "hold"}; "duration" (seconds; default: the last key)
                and "schema_version".

        Raises:
            ValueError: A newer schema, unknown names, values out of range or of the wrong type; the text names the key.
        """
        version = data.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise ValueError(
                f"its schema_version is {shown(version)}; this version of the program reads {SCHEMA_VERSION}."
            )
        if unknown := set(data) - {"schema_version", "keys", "duration"}:
            raise ValueError(f"unknown entries in the track: {', '.join(sorted(map(shown, unknown)))}.")
        keys = data.get("keys")
        if not isinstance(keys, list) or not keys:
            raise ValueError('it needs "keys", a list of tables with a time and sliders.')
        rows: dict[str, list[tuple[float, float, str]]] = {}
        last = -1.0
        for number, key in enumerate(keys, 1):
            time, ease, values = _key(key, number)
            if time <= last:
                raise ValueError(f"key {number} is at {time:g} s, not after the one before.")
            last = time
            for name, value in values.items():
                rows.setdefault(name, []).append((time, value, ease))
        channels = {
            name: Channel(np.array([r[0] for r in row]), np.array([r[1] for r in row]), [r[2] for r in row])
            for name, row in rows.items()
        }
        duration = data.get("duration", last)
        if isinstance(duration, bool) or not isinstance(duration, int | float):
            raise ValueError(f"its duration is {shown(duration)}, not a number of seconds.")
        return cls(channels, float(duration))

    # ---- files -----------------------------------------------------------------------------------------------------
    def save(self, out: BinaryIO) -> None:
        """Write the track: a zip archive of a JSON header and one .npy per channel; equal tracks give equal bytes."""
        names = sorted(self.channels)
        header = {
            "schema_version": SCHEMA_VERSION,
            "duration": self.duration,
            "channels": {n: {"ease": c.eases if isinstance(c.eases, str) else list(c.eases)} for n in names
                         for c in (self.channels[n],)},
        }  # fmt: skip
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_entry(_HEADER), json.dumps(header, indent=1, sort_keys=True))
            for name in names:
                data = io.BytesIO()
                channel = self.channels[name]
                np.save(data, np.stack([channel.times, channel.values]), allow_pickle=False)
                archive.writestr(_entry(f"{name}.npy"), data.getvalue())

    @classmethod
    def load(cls, source: BinaryIO) -> ExpressionTrack:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: It is not a track file, or damaged.
        """
        try:
            with zipfile.ZipFile(source) as archive:
                header = json.loads(archive.read(_HEADER))
                if header["schema_version"] != SCHEMA_VERSION:
                    raise ValueError(f"it was saved with schema {shown(header['schema_version'])}; update the program.")
                channels = {}
                for name, how in header["channels"].items():
                    limits(name)
                    if archive.getinfo(f"{name}.npy").file_size > 16 * MOST_KEYS + 1024:
                        raise ValueError(f"channel {name} is larger than any track.")
                    with archive.open(f"{name}.npy") as file:
                        times, values = np.load(io.BytesIO(file.read()), allow_pickle=False)
                    channels[name] = Channel(times, values, how["ease"])
                return cls(channels, float(header["duration"]))
        except (zipfile.BadZipFile, KeyError, TypeError, EOFError, OSError, json.JSONDecodeError) as error:
            raise ValueError(f"it is damaged, or not an expression track ({error}).") from None


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def limits(name: str) -> tuple[float, float]:
    """Smallest and largest value of a channel.

    Raises:
        ValueError: There is no channel of that name.
    """
    if name in OPENINGS:
        return 0.0, MAX_OPENING
    if name not in SLIDERS:
        raise ValueError(f"there is no slider named {shown(name)}; known are {', '.join(SLIDERS)}.")
    return SLIDERS[name].minimum, SLIDERS[name].maximum


def _key(key: Any, number: int) -> tuple[float, str, dict[str, float]]:
    """Time, ease and values of one keyframe."""
    if not isinstance(key, Mapping) or "time" not in key:
        raise ValueError(f"key {number} is not a table with a time.")
    data = dict(key)
    time, ease = data.pop("time"), data.pop("ease", "smooth")
    if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < np.inf:
        raise ValueError(f"the time of key {number} is {shown(time)}, not a number of seconds from 0.")
    if ease not in EASES:
        raise ValueError(f"the ease of key {number} is {shown(ease)}; known are {', '.join(EASES)}.")
    try:
        expression = Expression.from_dict(data)
    except ValueError as error:
        raise ValueError(f"key {number}: {error}") from None
    values = {name: float(value) for name, value in expression.values.items()}
    for name, opening in zip(OPENINGS, (*(expression.eye_ratio or (None, None)), expression.lip_ratio), strict=True):
        if opening is not None:
            values[name] = float(opening)
    return float(time), cast("str", ease), values


def between(first: Expression, second: Expression, part: float) -> Expression:
    """Interpolate between two expressions.

    Args:
        first: Expression at part 0.
        second: Expression at part 1; it sets the same ratios.
        part: 0..1.
    """

    def way(a: float | None, b: float | None) -> float | None:
        return a if a is None or b is None else a + part * (b - a)

    names = {*first.values, *second.values}
    rest = {name: SLIDERS[name].default for name in names}
    start, goal = rest | dict(first.values), rest | dict(second.values)
    eyes = first.eye_ratio
    if eyes is not None and second.eye_ratio is not None:
        eyes = (way(eyes[0], second.eye_ratio[0]), way(eyes[1], second.eye_ratio[1]))
    values = {name: start[name] + part * (goal[name] - start[name]) for name in sorted(names)}
    return Expression(values, eyes, way(first.lip_ratio, second.lip_ratio))


def added(tracks: Iterable[ExpressionTrack], rate: float = 50.0) -> ExpressionTrack:
    """The sum of several tracks, limited to the ranges; eye and lip ratios of later ones take precedence.

    Args:
        tracks: At least one.
        rate: Keys per second of channels that more than one track has.
    """
    parts = list(tracks)
    duration = max(part.duration for part in parts)
    channels: dict[str, Channel] = {}
    for name in dict.fromkeys(name for part in parts for name in part.channels):
        owners = [part.channels[name] for part in parts if name in part.channels]
        if len(owners) == 1 or name in OPENINGS:
            channels[name] = owners[-1]
            continue
        times = np.arange(int(np.ceil(duration * rate)) + 1) / rate
        rest = SLIDERS[name].default
        total = rest + sum(np.array([owner.at(t) for t in times]) - rest for owner in owners)
        channels[name] = Channel(times, np.clip(total, *limits(name)), "linear")
    return ExpressionTrack(channels, duration)
