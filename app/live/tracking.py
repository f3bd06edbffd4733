"""From a driver's frame to the motion to show: track the face, read its motion, smooth it, make it relative."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from app.errors import AppError, UsageError
from app.frames.follow import FaceFollower
from app.frames.voices import Manner
from app.live.frames import Tracked
from app.live.motion import LiveMotion
from app.live.readings import LiveReadings
from liveportrait.driving import DrivingReader, Shown
from liveportrait.rules import rests_at_reference
from models.choices import LARGEST, FaceChoice
from models.messages import msg

if TYPE_CHECKING:
    from app.frames.voices import Heard, Performance
    from app.live.context import SessionContext
    from app.live.neutral import NeutralFinder
    from app.live.parts import PartDrivers, PartLoader
    from app.live.portraits import PortraitStore
    from app.sources.sample import Sample
    from liveportrait.engines.base import Engine, Portrait
    from liveportrait.expression import Expression
    from liveportrait.motion import Motion
    from liveportrait.options import AnimationOptions
    from models.tracker import FaceTracker


class Tracking:
    """Converts the frames of a driver to motion to show; used in one thread.

    Args:
        context: Shared by the parts of the session.
        engine: Reads motion.
        tracker: Finds and tracks the face.
        portraits: The portrait on screen determines what motion eases to when the face is lost.
        parts: Drivers of parts of the face.
        neutral: Neutral frame of a driving clip.

    Attributes:
        motion: Smooths motion and makes it relative.
        readings: The same for readings of face trackers.
        lost: Frames in which the face was not detected.
        last: The last frame, without drivers of parts; None before the first one.
    """

    def __init__(
        self,
        context: SessionContext,
        engine: Engine,
        tracker: FaceTracker,
        portraits: PortraitStore,
        parts: PartLoader,
        neutral: NeutralFinder,
    ) -> None:
        self.motion = LiveMotion(engine, self._count_down)
        self.readings = LiveReadings(self._count_down)
        self.lost = 0
        self.last: Tracked | None = None
        self._context = context
        self._engine = engine
        self._tracker = tracker
        self._portraits = portraits
        self._parts = parts
        self._neutral = neutral
        self._reader = DrivingReader(engine)
        self._follow: FaceFollower | None = None
        self._number, self._choice = 0, LARGEST
        self._reference: Motion | None = None  # reference that was set for motion
        self._joined: PartDrivers | None = None  # part drivers in the last frame
        self._said: tuple[Expression | None, ...] = ()  # expressions in it
        self._smiled: tuple[str, Portrait | None, float] = ("", None, 0.0)  # portrait, and how much it smiles

    def __call__(self, sample: Sample) -> Tracked:
        """A driver's frame with the motion to show.

        Raises:
            UsageError: The face requested by the options does not exist; the largest one is tracked from now on.
            AppError: A still shows no face.
        """
        settings = self._context.settings
        options, raw, face = settings.options.animation, sample.motion, None
        follow = self._follower(sample, settings.options.input.followed)
        if sample.sensed:
            return self._sensed(sample, options)
        if sample.play is not None:
            return self._with_parts(self._played(sample, sample.play))
        if sample.rgb is not None:
            self._tracker.steady = not options.official
            try:
                face = follow(sample.rgb)
            except UsageError:
                self._follow = FaceFollower(self._tracker, LARGEST)
                raise
            raw = None if face is None else self._reader.read(sample.rgb, face)
        if sample.lone:
            if raw is None:
                raise AppError("The driving image shows no face.", "Choose one that shows a large face from the front.")
            return self._with_parts(Tracked(sample, face, self.motion.lone(raw)))
        neutral = self._neutral.current
        if raw is not None and neutral is not None and sample.place is not None:
            raw = neutral.levelled(raw, sample.place)
        known = sample.reference or (None if neutral is None else neutral.motion)
        if known is not None and self._reference is not known:
            self._reference = known
            self.motion.fix(known)
        if raw is None:
            self.lost += 1
        shown = self.motion(
            raw, sample.time, jump=sample.jump, hold=options.smooth > 0 and not options.official,
            ease=options.ease_cuts, smooth=options.smooth > 0 and sample.motion is None,
            first=options.reference == "first", rest=self._rest(),
        )  # fmt: skip
        return self._with_parts(Tracked(sample, face, shown))

    def recentre(self, at: float) -> None:
        """Capture a new neutral reference, or a new neutral face, in the half second after a time."""
        self.motion.recentre(at)
        self.readings.recentre(at)

    def _sensed(self, sample: Sample, options: AnimationOptions) -> Tracked:
        """Process a reading of a face tracker."""
        if sample.reading is None:
            self.lost += 1
        expression = self.readings(sample.reading, sample.time, smooth=options.smooth > 0).scaled(options.multiplier)
        expression = expression.mirrored() if sample.mirror else expression
        if self._parts.regions:
            expression = Manner().beside(self._parts.regions).kept(expression)
        return self._with_parts(Tracked(sample, shown=Shown(None, None, expression=expression)))

    def _played(self, sample: Sample, play: Performance | Heard) -> Tracked:
        """The motion of a driver without a face at that time, as in a render."""
        manner = self._manner().beside(self._parts.regions)
        return Tracked(sample, shown=Shown(None, None, expression=play.at(sample.place or Fraction(0), manner)))

    def _manner(self) -> Manner:
        """How drivers without a face are played."""
        moving = self._portraits.moving() is not None
        return Manner.of(self._context.settings.options, self._smile(moving), moving=moving)

    def _smile(self, moving: bool) -> float:
        """How much the portrait smiles; for a clip, its first frame."""
        prepared = self._portraits.shown
        if prepared is None:
            return 0.0
        portrait = prepared.scene.faces[0].portrait
        key, known, smile = self._smiled
        if key != prepared.key or (known is not portrait and not moving):
            smile = self._engine.own_smile(portrait)
            self._smiled = prepared.key, portrait, smile
        return smile

    def renewed(self) -> Tracked | None:
        """The last frame with a newer neutral frame or part drivers, or None if there are none."""
        last, neutral = self.last, self._neutral.current
        if last is None or last.sample is None or last.shown is None:
            return None
        if last.sample.play is not None:
            again = self._played(last.sample, last.sample.play)
            changed = again.shown != last.shown or self._parts.current is not self._joined
            return self._with_parts(again) if changed else None
        fresh = neutral is not None and neutral.motion is not self._reference and not last.sample.lone
        if fresh and neutral is not None:
            self._reference = neutral.motion
            self.motion.fix(neutral.motion, at_once=True)
            moved = last.shown.motion
            if moved is not None and last.sample.place is not None:
                moved = neutral.levelled(moved, last.sample.place)
            reference = self.motion.reference or last.shown.reference
            last = replace(last, shown=replace(last.shown, motion=moved, reference=reference))
        if fresh or self._parts.current is not self._joined:
            return self._with_parts(last)
        if self._joined is None or not self._joined.plays:
            return None
        before = self._said
        again = self._with_parts(last)
        return again if self._said != before else None

    def _follower(self, sample: Sample, wanted: FaceChoice) -> FaceFollower:
        """The follower of the selected face; reset for another driver or face."""
        if self._follow is None or (sample.run, wanted) != (self._number, self._choice):
            self._number, self._choice = sample.run, wanted
            self._reader.reset()
            self.motion.reset()
            self.readings.reset()
            self._reference = self.last = None
            self._follow = FaceFollower(self._tracker, wanted)
        return self._follow

    def _with_parts(self, tracked: Tracked) -> Tracked:
        """The same with the motion of part drivers at that time."""
        parts, sample = self._parts.current, tracked.sample
        self.last, self._joined = tracked, parts
        if parts is None or tracked.shown is None or sample is None:
            return tracked
        shown = tracked.shown
        if sample.play is not None and parts.rest is not None:
            shown = replace(shown, motion=parts.rest, reference=parts.rest)
        shown, own = parts.join(
            shown, sample.time, self._manner() if parts.plays else Manner(), sample.place, self._rest()
        )
        self._said = shown.expression, *(one.expression for one in own.values())
        return replace(tracked, shown=shown, own=own)

    def _rest(self) -> Motion | None:
        """Motion to ease to when the face is lost; None is the reference."""
        prepared, options = self._portraits.shown, self._context.settings.options.animation
        if prepared is None or rests_at_reference(self._engine, options):
            return None
        return prepared.scene.faces[0].portrait.motion

    def _count_down(self, left: int) -> None:
        self._context.countdown = left
        if left == 0:
            self._context.events.info(msg("Capturing the neutral pose now."))
        self._context.notify("countdown")
