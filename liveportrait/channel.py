"""A driving channel: the motion of one driver with its neutral frame, smoothed and sampled at any time.

What a camera shows has no future: ``liveportrait.live_channel`` takes the same steps while the motion arrives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from liveportrait.cues import NAME as CUES
from liveportrait.cuts import CutEaser
from liveportrait.driving import FaceHold, Shown
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


class MotionCleaner:
    """The first steps of every channel, frame by frame: remove image noise, level shots, ease cuts.

    Args:
        regions: The engine's.
        shots: Shots that have neutral frames of their own; None if there are none.
    """

    def __init__(self, regions: Mapping[str, npt.NDArray[Any]], shots: Shots | None = None) -> None:
        self._noise = NoiseHold(regions)
        self._cuts = CutEaser()
        self._shots = shots
        self._row = 0

    def reset(self) -> None:
        """Start over, as after a jump in time."""
        self._noise.reset()
        self._cuts.reset()
        self._row = 0

    def __call__(self, motion: Motion, time: float, *, hold: bool, ease: float) -> Motion:
        """Motion without noise and hard cuts.

        Args:
            motion: The next frame with a face (N = 1).
            time: Its time in seconds.
            hold: Whether to remove image noise (liveportrait.noise).
            ease: Seconds of the transition after a cut; 0 for none.
        """
        if hold:
            motion = self._noise(motion)
        if self._shots is not None:
            motion = self._shots.levelled(motion, self._row)
        self._row += 1
        return self._cuts(motion, time, ease) if ease > 0 else motion


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
    clean = MotionCleaner(regions, shots)
    times = (float(time) for index, time in enumerate(track.times) if track.seen(index))
    parts = (
        Motion.concatenate([clean(part[i], next(times), hold=variance > 0, ease=ease) for i in range(len(part))])
        for _, part in track.chunks(MARGIN)
    )
    for before, part, after in _neighbours(parts):
        wide = smooth_motion(Motion.concatenate([*before, part, *after]), variance, keep=regions.get("lids"))
        start = sum(map(len, before))
        result.append_rows(wide[np.arange(start, start + len(part))])
    track.close()
    return result


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
        notes: Notes for the user.
    """

    motion: Motion
    index: int = 0
    measured: bool = False
    shots: Shots | None = None
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
        return cls(motion, index, measured, find_shots(track, motion, engine) if measured else None, tuple(notes))


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
        self._hold: FaceHold[Motion] = FaceHold()
        self._before = Fraction(0)

    def at(self, time: Fraction, rest: Motion | None = None, *, loop: bool = False) -> Shown:
        """Motion at a time.

        Args:
            time: Seconds.
            rest: Motion that a lost driver eases to (N = 1); None is the channel's reference.
            loop: Whether it starts over after its end; otherwise the last frame holds.
        """
        motion, index = self._samplers[loop](time)
        step, self._before = abs(float(time - self._before)), time
        reference = self.channel.reference
        held = self._hold(motion, reference if rest is None else rest, step)
        return Shown(held, reference, motion is not None, index, self.channel.still)
