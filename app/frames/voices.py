"""Drivers without a face: a voice, an expression track, or idle animation. They use sliders, not motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.errors import MediaError, UsageError
from app.line_numbers import read_located
from app.media import container, files, tracks
from app.media.audio import AudioSource
from app.media.sound import Voice, sound_of, sound_only
from app.speech_options import LIVELY
from liveportrait.expression import POSE_SLIDERS, SLIDERS, Expression
from liveportrait.expression_track import OPENINGS, ExpressionTrack, added
from liveportrait.rules import moves
from liveportrait.template import is_template
from models.messages import Option, about, msg

if TYPE_CHECKING:
    from app.clip_options import Part
    from app.options import RenderOptions
    from models.speech import Visemes

RATE: Final = Fraction(25)
"""Frames per second of a photo without a driving clip."""
ALONE: Final = Fraction(10)
"""Default length of idle animation in seconds."""
SUFFIX: Final = ".speech"
WRITTEN: Final = (".json", ".yaml", ".yml", ".toml")
LIP_CHANNELS: Final = ("lips", "lip_open", "wide", "pout", "purse")
CHANNELS: Final[Mapping[str, tuple[str, ...]]] = {
    "pose": POSE_SLIDERS,
    "lip": LIP_CHANNELS,
    "eyes": (*OPENINGS[:2], *(name for name, slider in SLIDERS.items() if slider.group == "Eyes")),
    "exp": tuple(
        name for name, slider in SLIDERS.items() if slider.group in ("Brows", "Mouth") and name not in LIP_CHANNELS
    ),
}
"""Part of the face that each channel of a track moves."""


@dataclass(frozen=True)
class TrackDriver:
    """A voice, an expression track or idle animation.

    Attributes:
        path: Its file, Path() for idle animation.
        sound: The sound that moves the lips, or None.
        track: Content of the file, None for a voice.
        length: Length in seconds, if known without reading it all.
    """

    path: Path
    sound: AudioSource | None = None
    track: ExpressionTrack | None = None
    length: Fraction | None = None

    def opened(self, check: Callable[[], None] = lambda: None) -> Performance:
        """Its speech and motion, read once.

        Args:
            check: Called between blocks of sound; raises to stop the work.

        Raises:
            MediaError: Its sound can't be read.
        """
        return Performance(self, None if self.sound is None else Voice(self.sound, check))

    def played(
        self, *, idle: float | None, gain: float, smile: float, loop: bool, check: Callable[[], None]
    ) -> tuple[ExpressionTrack, Fraction, str]:
        """The expressions of this driver, their exact length in seconds, and a sentence if its sound is truncated.

        Args:
            idle: Amount of idle motion, 0 to 1; None is the default for the kind.
            gain: How far the mouth opens.
            smile: How much the source itself smiles.
            loop: Whether idle animation loops seamlessly.
            check: Called between blocks of sound; raises to stop the work.
        """
        opened = self.opened(check)
        return opened.track(idle, gain, smile, loop=loop), opened.length, opened.note


@dataclass(frozen=True)
class Manner:
    """How a driver without a face is played.

    Attributes:
        gain: How far the mouth opens.
        idle: Amount of idle motion, 0 to 1; None is the default for the kind.
        smile: How much the source itself smiles, 0..1.
        region: Part of the face that moves, as in the option of that name.
        owned: Parts of the face with other drivers, see :func:`with_inner`.
    """

    gain: float = 1.0
    idle: float | None = None
    smile: float = 0.0
    region: str = "all"
    owned: frozenset[str] = frozenset()

    @classmethod
    def of(cls, options: RenderOptions, smile: float, *, moving: bool, owned: Iterable[str] = ()) -> Manner:
        """The manner requested by options.

        Args:
            options: Options of the job or session.
            smile: How much the source itself smiles, 0..1.
            moving: Whether the source is a clip, which has its own motion.
            owned: Parts of the face with other drivers.
        """
        idle = options.input.liveliness
        idle = 0.0 if idle is None and moving else idle
        return cls(options.input.speech_gain, idle, smile, options.animation.region, with_inner(owned))

    def beside(self, owned: Iterable[str]) -> Manner:
        """The manner of a driver of all but some parts of the face."""
        return replace(self, owned=with_inner(owned))

    def alone(self, part: str, taken: Iterable[str]) -> Manner:
        """The manner of a driver of one part of the face.

        Args:
            part: "pose", "lip", "eyes", or "exp", which includes lips and eyes without their own driver.
            taken: All parts with their own driver.
        """
        own = {part} | ({"lip", "eyes"} - set(taken) if part == "exp" else set())
        return replace(self, owned=frozenset(CHANNELS) - own, idle=0.0 if part == "lip" else self.idle)

    @property
    def _own(self) -> list[str]:
        return [part for part in CHANNELS if moves(self.region, part) and part not in self.owned]

    def chosen(self, track: ExpressionTrack) -> ExpressionTrack:
        """The parts of a track that the region selects and no other driver moves."""
        return track.without(name for part in CHANNELS if part not in self._own for name in CHANNELS[part])

    def kept(self, expression: Expression) -> Expression:
        """The same of a single expression."""
        own = self._own
        names = {name for part in own for name in CHANNELS[part]}
        values = {name: value for name, value in expression.values.items() if name in names}
        return Expression(
            values, expression.eye_ratio if "eyes" in own else None, expression.lip_ratio if "lip" in own else None
        )


class Performance:
    """Speech and motion of a driver without a face, from which expressions in any manner are made.

    Args:
        driver: The driver.
        voice: Speech in its sound, or None.

    Attributes:
        length: Exact length in seconds.
        note: A sentence if its sound is truncated, else empty.
    """

    def __init__(self, driver: TrackDriver, voice: Voice | None) -> None:
        self._driver = driver
        self._voice = voice
        self._made: tuple[Manner, ExpressionTrack] | None = None
        self.length = driver.length or ALONE if voice is None else voice.duration
        self.note = "" if voice is None else voice.note

    def track(self, idle: float | None, gain: float, smile: float, *, loop: bool) -> ExpressionTrack:
        """The expressions; see :meth:`TrackDriver.played`."""
        from liveportrait.speech import idle_track, speaking_track

        own, voice, length = self._driver.track, self._voice, float(self.length)
        if voice is not None:
            return speaking_track(voice.visemes, gain, float(LIVELY) if idle is None else idle, voice.seed, smile)
        if own is not None:
            return added([idle_track(length, idle), own]) if idle else own
        return idle_track(length, float(LIVELY) if idle is None else idle, loop=loop)

    def at(self, time: Fraction, manner: Manner) -> Expression:
        """The expression at a time in seconds, the same as in a render; for one thread."""
        if self._made is None or self._made[0] != manner:
            whole = self.track(manner.idle, manner.gain, manner.smile, loop=True)
            self._made = manner, manner.chosen(whole)
        return self._made[1].at(float(time))


class Heard:
    """What was just said into a microphone; its expression is made for any manner.

    Args:
        recent: The last frames that were heard.
        time: Seconds since the microphone was opened.
    """

    def __init__(self, recent: Visemes, time: Fraction) -> None:
        self._recent = recent
        self._time = time

    def at(self, _time: Fraction, manner: Manner) -> Expression:
        """The newest expression; see :meth:`Performance.at`."""
        from liveportrait.speech import spoken_now

        idle = float(LIVELY) if manner.idle is None else manner.idle
        life = _life(idle).at(float(self._time) % _life(idle).duration)
        return manner.kept(life + spoken_now(self._recent, manner.gain, manner.smile))


@lru_cache(maxsize=4)
def _life(idle: float) -> ExpressionTrack:
    """Life of somebody who speaks into a microphone, over and over."""
    from liveportrait.speech import ROUND, idle_track

    return idle_track(ROUND, idle, loop=True).without([*CHANNELS["lip"], "smile", *(() if idle else ("blink",))])


def open_track(path: Path, part: Part = (None, None)) -> TrackDriver | None:
    """Open a file as a driver without a face; None for clips, images and motion templates.

    Args:
        path: The file.
        part: Start and end of the used part in seconds.

    Raises:
        MediaError: It is such a driver and can't be read.
    """
    if is_template(path):
        return None
    ending = path.suffix.lower()
    if ending == SUFFIX or (ending in WRITTEN and not path.is_dir()):
        return _cut(path, _load(path) if ending == SUFFIX else _written(path), part)
    return open_voice(path, part) if sound_only(path) else None


def open_voice(path: Path, part: Part = (None, None)) -> TrackDriver:
    """Open the sound of any file as a voice.

    Args:
        path: Sound file, or a clip with sound.
        part: Start and end of the used part in seconds.

    Raises:
        MediaError: It can't be read, or contains no sound.
    """
    sound = sound_of(path, *part)
    with container.open_input(path) as opened:
        whole = tracks.length(tracks.sound_stream(opened))
    length = max(Fraction(0), whole - (part[0] or 0)) if whole else None
    if part[1] is not None:
        length = min(filter(None, (length, part[1] - (part[0] or 0))))
    return TrackDriver(path, sound, None, length)


def alone(part: Part) -> TrackDriver:
    """Idle animation without a driver, as long as a part of a clip."""
    start, end = part
    return TrackDriver(Path(), length=ALONE if end is None else end - (start or 0))


def _cut(path: Path, track: ExpressionTrack, part: Part) -> TrackDriver:
    whole = Fraction(track.duration).limit_denominator(1_000_000)
    start, end = part[0] or Fraction(0), whole if part[1] is None else min(part[1], whole)
    if start >= end:
        raise UsageError(
            about(Option("start"), msg("{path} lasts {duration:g} s.", path, float(whole))), "Choose an earlier start."
        )
    if start > 0 or end < whole:
        track = track.part(float(start), float(end))
    return TrackDriver(path, None, track, end - start)


def _load(path: Path) -> ExpressionTrack:
    files.check_input(path)
    try:
        with path.open("rb") as file:
            return ExpressionTrack.load(file)
    except ValueError as error:
        raise MediaError(
            about(path, str(error)), "Make it again with `animate template make SOUND -o NAME.speech`."
        ) from None
    except OSError as error:
        raise files.read_error(path, error) from error


def _written(path: Path) -> ExpressionTrack:
    """A track written as keyframes."""
    files.check_input(path)
    data: Any = read_located(path).data
    hint = "docs/speech.md shows what such a file looks like."
    if not isinstance(data, dict):
        raise MediaError(about(path, msg('it needs "keys", a list of tables with a time and sliders.')), hint)
    try:
        return ExpressionTrack.from_dict(data)
    except ValueError as error:
        raise MediaError(about(path, str(error)), hint) from None


def with_inner(parts: Iterable[str]) -> frozenset[str]:
    """Parts of the face, with lips and eyes if the whole expression is among them."""
    named = frozenset(parts)
    return named | {"lip", "eyes"} if "exp" in named else named


def joined(first: Expression, second: Expression) -> Expression:
    """Two expressions of different parts of the face as one."""
    eyes, lips = second.eye_ratio, second.lip_ratio
    return Expression(
        {**first.values, **second.values}, first.eye_ratio if eyes is None else eyes,
        first.lip_ratio if lips is None else lips,
    )  # fmt: skip


def save_track(output: Path, track: ExpressionTrack) -> None:
    """Write a speech template in one step: the file is whole, or as it was before.

    Raises:
        MediaError: It can't be written.
    """
    part = files.scratch_name(output)
    try:
        with part.open("wb") as file:
            track.save(file)
        files.sync(part)
        part.replace(output)
    except OSError as error:
        files.remove(part)
        raise files.write_error(output, error) from error
