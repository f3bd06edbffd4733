"""A driving channel: the motion of one driver with its neutral frame, smoothed and sampled at any time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from liveportrait.cues import NAME as CUES
from liveportrait.cuts import CutEaser
from liveportrait.driving import FaceHold
from liveportrait.motion import Array, Motion, blend, euler_from_rotation
from liveportrait.noise import NoiseHold
from liveportrait.reference import lone_reference, neutrality, reference_index
from liveportrait.shots import Shots, neutral_frames, shot_starts
from liveportrait.smoothing import SMOOTHING_UNIT, smooth_motion
from liveportrait.track import MotionTrack
from models.messages import msg

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine
    from liveportrait.options import AnimationOptions

MARGIN: Final = 256  # extra frames on both sides from which a piece of a smoothed track is computed
HOLD: Final = 0.5  # seconds for which the last motion is held after the driving face is lost
EASE: Final = 0.7  # seconds over which it then eases to neutral
FAR: Final = 1.0  # excess of the neutrality cost from which the user is warned about a chosen reference


def pose_of(track: MotionTrack) -> Motion:
    """Pose, ratios and cues of every frame, not the expression: fits in memory. Lost frames repeat the last."""
    return _found_pose(track)[np.array([track.row(i) for i in range(len(track))])]


def _found_pose(track: MotionTrack) -> Motion:
    """Pose, ratios and cues of the frames with a face only."""
    return Motion.concatenate(
        [replace(part, delta=part.delta[:, :0], extra=_cues_only(part)) for _, part in track.chunks()]
    )


def _cues_only(part: Motion) -> dict[str, Array]:
    return {name: values for name, values in part.extra.items() if name == CUES}


def choose_reference(
    track: MotionTrack, engine: Engine, options: AnimationOptions, lone: bool
) -> tuple[Motion, int, list[str]]:
    """The neutral frame that relative motion is measured from.

    Args:
        track: Motion of the driving clip.
        engine: Engine that read it.
        options: The option "reference" decides.
        lone: The driving file is a single image: the engine estimates its neutral frame.

    Returns:
        The reference (one frame), its frame number, and notes for the user.

    Raises:
        ValueError: The requested frame does not exist or has no face.
    """
    if lone:
        return lone_reference(engine, track.motion(0)), 0, []
    pose = pose_of(track)
    seen = np.array([track.seen(i) for i in range(len(track))])
    index = reference_index(options.reference, pose, seen)
    notes: list[str] = []
    if options.relative and options.reference != "auto":
        cost = neutrality(pose, seen)
        best = int(np.argmin(cost))
        if cost[index] > cost[best] + FAR:
            notes.append(
                msg(
                    "Driving frame {index}, the neutral reference, is far from neutral ({pose_text}); frame "
                    "{best} is the most neutral one ({option:reference=auto}).",
                    index, _pose_text(pose[index]), best
                )
            )  # fmt: skip
    return track.motion(index), index, notes


def _pose_text(frame: Motion) -> str:
    pitch, yaw, roll = (abs(float(v)) for v in euler_from_rotation(frame.rotation)[0])
    text = msg("head turned by {pitch:.0f} degrees", max(pitch, yaw, roll))
    lips = float(frame.lip_ratio[0, 0])
    return msg("{text}, lips open by {value:.0f} %", text, 100 * lips) if lips > 0.03 else text


def find_shots(track: MotionTrack, reference: Motion, engine: Engine) -> Shots | None:
    """Shots of a clip that have neutral frames of their own; None if there are none.

    Args:
        track: Motion of the driving clip.
        reference: Neutral frame of the clip, which the engine chose.
        engine: Engine that read it.
    """
    starts = shot_starts(part for _, part in track.chunks())
    if len(starts) < 2:
        return None
    frames = neutral_frames(_found_pose(track), starts)
    neutral = [None if frame is None else track.rows(frame, frame + 1) for frame in frames]
    return Shots(starts, neutral, reference, engine.camera_turns) if any(neutral) else None


def smooth_track(
    track: MotionTrack,
    variance: float,
    regions: Mapping[str, npt.NDArray[Any]],
    ease: float = 0.0,
    shots: Shots | None = None,
) -> MotionTrack:
    """Remove noise from the motion of a clip, ease its cuts and smooth it, in pieces to bound the memory.

    Args:
        track: The clip; it is closed.
        variance: Observation variance of the smoother; 0 leaves the motion as it is, including noise.
        regions: The engine's; lids are not smoothed.
        ease: Seconds of the transition after a cut; 0 for none.
        shots: Shots that have neutral frames of their own, if there are any.
    """
    if (variance <= 0 and ease <= 0 and shots is None) or track.found < 3:
        return track
    result = track.emptied()
    parts = _held(track, regions) if variance > 0 else (part for _, part in track.chunks(MARGIN))
    parts = parts if shots is None else _levelled(parts, shots)
    for before, part, after in _neighbours(_eased(parts, track, ease) if ease > 0 else parts):
        wide = smooth_motion(Motion.concatenate([*before, part, *after]), variance, keep=regions.get("lids"))
        start = sum(map(len, before))
        result.append_rows(wide[np.arange(start, start + len(part))])
    track.close()
    return result


def _held(track: MotionTrack, regions: Mapping[str, npt.NDArray[Any]]) -> Iterator[Motion]:
    """The motion of a clip in pieces, without image noise."""
    hold = NoiseHold(regions)
    for _, part in track.chunks(MARGIN):
        yield Motion.concatenate([hold(part[i]) for i in range(len(part))])


def _levelled(parts: Iterable[Motion], shots: Shots) -> Iterator[Motion]:
    """The motion of a clip in pieces, each shot relative to its own neutral frame."""
    first = 0
    for part in parts:
        yield shots.levelled(part, first)
        first += len(part)


def _eased(parts: Iterable[Motion], track: MotionTrack, seconds: float) -> Iterator[Motion]:
    """The motion of a clip in pieces, with its cuts eased."""
    ease = CutEaser()
    times = (float(time) for index, time in enumerate(track.times) if track.seen(index))
    for part in parts:
        yield Motion.concatenate([ease(part[i], next(times), seconds) for i in range(len(part))])


def _neighbours(parts: Iterable[Motion]) -> Iterator[tuple[list[Motion], Motion, list[Motion]]]:
    """Each piece with its predecessor and its successor, if there are any."""
    before: list[Motion] = []
    current: list[Motion] = []
    for part in parts:
        if current:
            yield before, current[0], [part]
        before, current = current, [part]
    if current:
        yield before, current[0], []


class MotionSampler:
    """Motion at any time of a clip, interpolated between frames.

    Args:
        track: The clip.
        loop: Whether the clip starts over after its end; otherwise the last frame holds.
    """

    def __init__(self, track: MotionTrack, loop: bool) -> None:
        self._track = track
        self._loop = loop

    def __call__(self, time: Fraction) -> tuple[Motion | None, int]:
        """Motion (one frame; None if no face was found) and the number of the driving frame on screen."""
        track = self._track
        if self._loop and track.duration > 0:
            time %= track.duration
        index, part = track.at(time)
        if not track.seen(index):
            return None, index
        motion = track.motion(index)
        if part > 0 and track.seen(index + 1):
            motion = blend(motion, track.motion(index + 1), part)
        return motion, index


def reference_rule(options: AnimationOptions, *, further: bool = False, chosen: int | None = None) -> str:
    """Value of the option "reference" that applies to a driver.

    Args:
        options: reference and official are used.
        further: The driver drives a part of the face or a further face; a frame number refers to the main driver only.
        chosen: Neutral frame chosen when the template was made, or None.
    """
    rule = options.reference
    if further and rule not in ("auto", "first"):
        rule = "auto"
    if options.official and rule == "auto":
        rule = "first"
    return str(chosen) if chosen is not None and rule == "auto" else rule


@dataclass(frozen=True)
class Neutral:
    """The reference that the motion of a clip is measured from.

    Attributes:
        motion: The neutral frame (N = 1).
        index: Its number.
        measured: Whether it was searched for.
        shots: Shots that have neutral frames of their own, or None.
        starts: When they begin, in seconds.
        notes: Notes for the user.
    """

    motion: Motion
    index: int = 0
    measured: bool = False
    shots: Shots | None = None
    starts: tuple[Fraction, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        track: MotionTrack,
        engine: Engine,
        options: AnimationOptions,
        *,
        further: bool = False,
        chosen: int | None = None,
    ) -> Neutral:
        """Choose the neutral frame of a driver; arguments as in ``DrivingChannel.of``.

        Raises:
            ValueError: The requested neutral frame does not exist or has no face.
        """
        rule = reference_rule(options, further=further, chosen=chosen)
        lone = len(track) == 1
        motion, index, notes = choose_reference(track, engine, replace(options, reference=rule), lone)
        measured = options.relative and rule == "auto" and not lone
        shots = find_shots(track, motion, engine) if measured else None
        times = [time for i, time in enumerate(track.times) if track.seen(i)] if shots is not None else []
        starts = tuple(times[row] for row in shots.starts) if shots is not None else ()
        return cls(motion, index, measured, shots, starts, tuple(notes))

    def levelled(self, motion: Motion, time: Fraction) -> Motion:
        """Motion at a time of the clip (N = 1), its shot relative to its own neutral frame."""
        if self.shots is None:
            return motion
        return self.shots.levelled(motion, self.shots.starts[max(0, bisect_right(self.starts, time) - 1)])


@dataclass(frozen=True)
class DrivingChannel:
    """The motion of one driver, ready to be shown.

    Attributes:
        track: Smoothed motion of every frame.
        neutral: What it is measured from.
    """

    track: MotionTrack
    neutral: Neutral

    @classmethod
    def of(
        cls,
        track: MotionTrack,
        engine: Engine,
        options: AnimationOptions,
        *,
        further: bool = False,
        chosen: int | None = None,
    ) -> DrivingChannel:
        """Choose the neutral frame of a driver and smooth its motion.

        Args:
            track: The motion that was read; it is closed if the channel replaces it.
            engine: Engine that read it.
            options: reference, relative, official, smooth and ease_cuts are used.
            further: The driver drives a part of the face or a further face.
            chosen: Neutral frame chosen when the template was made, or None.

        Raises:
            ValueError: The requested neutral frame does not exist or has no face.
        """
        neutral = Neutral.of(track, engine, options, further=further, chosen=chosen)
        # the release smooths only under source clips, and there the combined motion of source and driver
        variance = 0.0 if options.official else options.smooth * SMOOTHING_UNIT
        smoothed = smooth_track(track, variance, engine.regions, options.ease_cuts, neutral.shots)
        return cls(smoothed, neutral)

    @property
    def reference(self) -> Motion:
        """The neutral frame (N = 1)."""
        return self.neutral.motion

    @property
    def still(self) -> bool:
        """Whether the driver is a single image."""
        return len(self.track) == 1

    def close(self) -> None:
        """Close the scratch file."""
        self.track.close()


class ChannelPlayer:
    """Motion of a channel at increasing times; where its face is lost, the last motion is held, then eased to neutral.

    Args:
        channel: The channel.
    """

    def __init__(self, channel: DrivingChannel) -> None:
        self.channel = channel
        self._samplers = {loop: MotionSampler(channel.track, loop) for loop in (False, True)}
        self._hold: FaceHold[Motion] = FaceHold(HOLD, EASE)
        self._before = Fraction(0)

    def at(self, time: Fraction, rest: Motion | None = None, *, loop: bool = False) -> tuple[Motion, bool, int]:
        """Motion (N = 1) at a time, whether a face is visible then, and the number of the frame on screen.

        Args:
            time: Seconds.
            rest: Motion that a lost driver eases to (N = 1); None is the channel's reference.
            loop: Whether it starts over after its end; otherwise the last frame holds.
        """
        motion, index = self._samplers[loop](time)
        step, self._before = abs(float(time - self._before)), time
        rest = self.channel.reference if rest is None else rest
        return self._hold(motion, rest, step), motion is not None, index
