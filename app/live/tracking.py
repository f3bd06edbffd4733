"""From a driver's frame to the motion to show: that of its channel, or read from the frame as it arrives."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from app.errors import UsageError
from app.frames.follow import FaceFollower
from app.frames.voices import Manner
from app.live.frames import Tracked
from app.live.readings import LiveReadings
from liveportrait.driving import DrivingReader, Shown
from liveportrait.live_channel import LiveChannel
from liveportrait.motion import blend
from liveportrait.ramps import smoothstep
from liveportrait.rules import rests_at_reference
from models.choices import LARGEST, FaceChoice
from models.messages import msg

if TYPE_CHECKING:
    from app.frames.voices import Heard, Performance
    from app.live.channel import ChannelLoader
    from app.live.context import SessionContext
    from app.live.parts import PartDrivers, PartLoader
    from app.live.portraits import PortraitStore
    from app.sources.sample import Sample
    from liveportrait.channel import ChannelPlayer
    from liveportrait.engines.base import Engine, Portrait
    from liveportrait.expression import Expression
    from liveportrait.motion import Motion
    from liveportrait.options import AnimationOptions
    from models.tracker import FaceTracker

SWITCH: Final = 0.5  # seconds of the transition to a channel that becomes known while its clip plays


class Tracking:
    """Converts the frames of a driver to motion to show; used in one thread.

    Args:
        context: Shared by the parts of the session.
        engine: Reads motion.
        tracker: Finds and tracks the face.
        portraits: The portrait on screen determines what motion eases to when the face is lost.
        parts: Drivers of parts of the face.
        channel: The channel of a driving file.

    Attributes:
        live: Smooths motion that is read here and makes it relative.
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
        channel: ChannelLoader,
    ) -> None:
        self.live = LiveChannel(engine, self._count_down)
        self.readings = LiveReadings(self._count_down)
        self.lost = 0
        self.last: Tracked | None = None
        self._context = context
        self._engine = engine
        self._tracker = tracker
        self._portraits = portraits
        self._parts = parts
        self._channel = channel
        self._reader = DrivingReader(engine)
        self._follow: FaceFollower | None = None
        self._number, self._choice = 0, LARGEST
        self._player: ChannelPlayer | None = None  # that gave the last motion
        self._before: tuple[Shown, float] | None = None  # shown last by another one, and when
        self._own_neutral = False  # whether the user asked for a neutral frame in place of the channel's
        self._joined: PartDrivers | None = None  # part drivers in the last frame
        self._said: tuple[Expression | None, ...] = ()  # expressions in it
        self._smiled: tuple[str, Portrait | None, float] = ("", None, 0.0)  # portrait, and how much it smiles

    def __call__(self, sample: Sample) -> Tracked:
        """A driver's frame with the motion to show.

        Raises:
            UsageError: The face requested by the options does not exist; the largest one is tracked from now on.
            AppError: A still shows no face.
        """
        options = self._context.settings.options
        follow = self._follower(sample, options.input.followed)
        if sample.sensed:
            return self._sensed(sample, options.animation)
        if sample.play is not None:
            return self._with_parts(self._played(sample, sample.play))
        face = None
        if sample.rgb is not None:
            self._tracker.steady = not options.animation.official
            try:
                face = follow(sample.rgb)
            except UsageError:
                self._follow = FaceFollower(self._tracker, LARGEST)
                raise
        shown = self._from_channel(sample, options.animation)
        if shown is None and sample.rgb is not None:
            raw = None if face is None else self._reader.read(sample.rgb, face)
            shown = self.live(raw, sample.time, options.animation, jump=sample.jump, rest=self._rest())
            self.lost += raw is None
        return self._with_parts(Tracked(sample, face, shown))

    def _from_channel(self, sample: Sample, options: AnimationOptions) -> Shown | None:
        """Motion of a driving file at the place of a sample; None until its channel is known."""
        player = self._channel.current
        if player is None or sample.place is None:
            return None
        if player is not self._player:
            last = None if self.last is None or sample.jump else self.last.shown
            self._player, self._before = player, None if last is None else (last, sample.time)
            self.live.start_from(player.channel.reference)
        shown = player.at(sample.place, self._rest())
        self.lost += not shown.seen
        if self._own_neutral:  # the channel has cleaned and smoothed the motion
            raw = shown.motion if shown.seen else None
            plain = replace(options, smooth=0.0, ease_cuts=0.0)
            return self.live(raw, sample.time, plain, jump=sample.jump, rest=self._rest())
        return self._eased(shown, sample)

    def _eased(self, shown: Shown, sample: Sample) -> Shown:
        """Ease from what was shown before the channel was known, so that the portrait does not jump."""
        before, since = self._before or (shown, sample.time)
        share = smoothstep(since, since + SWITCH, sample.time)
        old, new = (before.motion, before.reference), (shown.motion, shown.reference)
        if sample.jump or share >= 1 or before is shown or None in (*old, *new):
            self._before = None
            return shown
        motion, reference = (
            None if a is None or b is None else blend(a, b, share) for a, b in zip(old, new, strict=True)
        )
        return replace(shown, motion=motion, reference=reference)

    def recentre(self, at: float) -> None:
        """Capture a new neutral reference, or a new neutral face, in the half second after a time."""
        self.live.recentre(at)
        self._own_neutral = True
        self.readings.recentre(at)

    def _sensed(self, sample: Sample, options: AnimationOptions) -> Tracked:
        """Process a reading of a face tracker."""
        self.lost += sample.reading is None
        expression = self.readings(sample.reading, sample.time, smooth=options.smooth > 0).scaled(options.multiplier)
        expression = expression.mirrored() if sample.mirror else expression
        if self._parts.regions:
            expression = Manner().beside(self._parts.regions).kept(expression)
        shown = Shown(None, None, sample.reading is not None, expression=expression)
        return self._with_parts(Tracked(sample, shown=shown))

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
        """The last frame with a newer channel or part drivers, or None if there are none."""
        last = self.last
        if last is None or last.sample is None:
            return None
        if last.sample.play is not None:
            again = self._played(last.sample, last.sample.play)
            changed = again.shown != last.shown or self._parts.current is not self._joined
            return self._with_parts(again) if changed else None
        player = self._channel.current
        fresh = player is not None and player is not self._player and last.sample.place is not None
        if fresh:
            sample = replace(last.sample, jump=True)
            last = replace(last, shown=self._from_channel(sample, self._context.settings.options.animation))
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
            self.live.reset()
            self.readings.reset()
            self._player = self._before = self.last = None
            self._own_neutral = False
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
