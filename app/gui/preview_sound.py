"""Let the preview be heard: the sound that the file will have, in step with the images on screen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from PySide6.QtCore import QObject, Signal

from app.clip_options import PART_OPTIONS
from app.driver_options import PART_FILES
from app.gui.last_session import is_on
from app.gui.session import LIVE_ONLY
from app.media.audio import AudioSource
from app.media.reader import open_clip
from app.media.speaker import Played, Speaker
from app.render.job import Job
from app.render.unseen import UnseenDrivers

if TYPE_CHECKING:
    from app.clip_options import Part
    from app.gui.session import Session
    from app.gui.studio import Studio

LOUD: Final = 0.8
"""Volume at the first start."""
NAMES: Final = frozenset({"voice", "audio", "driver_for", *PART_FILES, *PART_OPTIONS})
"""Options that decide what is heard."""


@dataclass(frozen=True)
class SessionSound:
    """The sound of a session.

    Attributes:
        sound: The sound.
        side: Whether it follows the driver's time or that of a portrait that is a clip.
    """

    sound: AudioSource
    side: Literal["driving", "source"]

    def same(self, other: SessionSound | None) -> bool:
        """Whether it is the same part of the same sound."""
        return other is not None and self._key == other._key

    @property
    def _key(self) -> tuple[object, ...]:
        return self.side, self.sound.path, self.sound.start, self.sound.duration


def sound_of_session(session: Session) -> SessionSound | None:
    """The sound that a render of the session would have, or None; reads files.

    Raises:
        AppError: A file can't be read.
    """
    options, portrait, driver = session.options(), session.portrait, session.driver
    if portrait is None or options.output.audio == "none":
        return None
    driving = Path() if driver.kind in ("sliders", *LIVE_ONLY) else Path(driver.source)
    source_part, driving_part = options.input.source_part, options.input.driving_part

    def of_driving() -> AudioSource | None:
        spoken = UnseenDrivers(Job(Path(portrait.path), driving, options)).sound
        return _of_clip(driving, driving_part, film=True) if spoken is None and driver.kind == "file" else spoken

    def of_source() -> AudioSource | None:
        return _of_clip(Path(portrait.path), source_part, film=False)

    sides = (("driving", of_driving), ("source", of_source))
    for side, find in sides if options.output.audio == "driving" else reversed(sides):
        sound = find()
        if sound is not None and sound.present:
            return SessionSound(sound, "driving" if side == "driving" else "source")
    return None


def _of_clip(path: Path, part: Part, *, film: bool) -> AudioSource:
    with open_clip(path, *part, film=film) as clip:
        return AudioSource.of_part(clip)


class PreviewSound(QObject):
    """Plays the session's sound while the preview plays.

    Args:
        studio: The session and the images.
        speaker: Plays it; None uses the system's output.

    Signals:
        changed: Whether there is a sound, its volume, or why nothing can be heard.
    """

    changed = Signal()

    def __init__(self, studio: Studio, speaker: Speaker | None = None) -> None:
        super().__init__(studio)
        self._studio = studio
        self.speaker = Speaker() if speaker is None else speaker
        self.heard: SessionSound | None = None
        self._wanted: tuple[object, ...] = ()
        self._problem = self.speaker.problem
        self.muted = is_on(studio.settings, "window/muted")
        self.volume = _share(studio.settings.value("window/volume", LOUD))
        self._set_volume()

    @property
    def problem(self) -> str:
        """Why nothing can be heard, or an empty text."""
        return self.speaker.problem

    def show_session(self) -> None:
        """Find the sound of the session, if that may have changed."""
        session = self._studio.session
        values = {name: value for name, value in session.values.items() if name in NAMES}
        portrait = None if session.portrait is None else (session.portrait.path, session.portrait.subject.drivers)
        wanted = (session.driver, session.plays, portrait, tuple(sorted(values.items())))
        if wanted != self._wanted:
            self._wanted = wanted
            self._studio.background.run(partial(sound_of_session, session), partial(self._found, wanted), self._none)

    def painted(self) -> None:
        """An image is on screen."""
        shown, heard = self._studio.shown, self.heard
        if shown is None or heard is None or self.muted:
            return
        if self._studio.paused:
            self.speaker.hush()
            return
        clip = self._studio.live.clip
        line = self._studio.playback if heard.side == "driving" else clip
        place = shown.frame.place if heard.side == "driving" else None if clip is None else clip.place.time
        if line is None or place is None or not line.seekable or not (shown.frame.fresh or heard.side == "source"):
            return
        self.speaker.play(Played(heard.sound, line.place.duration, line.place.loop))
        self.speaker.show(place)
        if self.speaker.problem != self._problem:
            self._problem = self.speaker.problem
            self.changed.emit()

    def hush(self) -> None:
        """Be silent at once, as in a pause."""
        self.speaker.hush()

    def set_volume(self, volume: float) -> None:
        """Set the volume, 0 to 1."""
        self.volume = volume
        self._studio.settings.setValue("window/volume", volume)
        self._set_volume()

    def mute(self, on: bool) -> None:
        """Silence it, or let it be heard again."""
        self.muted = on
        self._studio.settings.setValue("window/muted", on)
        if on:
            self.speaker.hush()

    def close(self) -> None:
        """Release the device."""
        self._wanted, self.heard = (), None
        self.speaker.close()

    def _set_volume(self) -> None:
        self.speaker.volume = self.volume**2  # about as loud as it looks

    def _found(self, wanted: tuple[object, ...], heard: SessionSound | None) -> None:
        if wanted != self._wanted:
            return
        if heard is None or not heard.same(self.heard):
            self.heard = heard
            self.speaker.play(None)
        self.changed.emit()

    def _none(self, _error: Exception, _text: str) -> None:
        """What can't be read is told by the live session."""
        self._found(self._wanted, None)


def _share(value: object) -> float:
    """A number from the settings, 0 to 1."""
    try:
        return min(1.0, max(0.0, float(str(value))))
    except ValueError:
        return LOUD
