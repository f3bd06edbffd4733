"""Find the driver named by the user: a file, a local or network camera, or a face tracker."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from app.addresses import local_path
from app.choices import TrackingAddress, driver_address
from app.clip_options import WHOLE, Part
from app.errors import UsageError
from app.frames.voices import open_track
from app.sources.camera import camera_source, stream_source
from app.sources.microphone import microphone_source
from app.sources.playback import Playback
from app.sources.player import ClipFrames, Player, StillFrames, TemplateFrames
from app.sources.sample import DriverSource
from app.sources.sensors.source import tracking_source
from app.sources.voice import track_source
from app.speech_options import VOICE

if TYPE_CHECKING:
    from app.media.camera import Mode
    from app.sources.playback import Playback
    from app.sources.sample import DriverSource


def source_from_text(
    text: str,
    mode: Mode | None = None,
    *,
    mirror: bool = True,
    turn: int = 0,
) -> DriverSource:
    """The driver named by the user: a file, a camera by index, name or URL, or the address of a face tracker.

    Args:
        text: What the user typed.
        mode: Size and rate to request from a camera; the rate also plays a file.
        mirror: Swap left and right of a camera.
        turn: Degrees by which the images of a camera are turned clockwise: 0, 90, 180 or 270.

    Raises:
        MediaError: There is no such file or camera.
        UsageError: It is a URL of nothing that can drive.
    """
    if (driver := address_source(text, mirror=mirror, turn=turn)) is not None:
        return driver
    path = local_path(text)
    if text and (path.exists() or path.suffix.lower() in (".mp4", ".mov", ".mkv", ".webm", ".gif", ".jpg", ".png")):
        rate = Fraction(mode.rate).limit_denominator(1001) if mode is not None and mode.rate else None
        return file_source(path, rate=rate)
    return camera_source(text, mode, mirror=mirror, turn=turn)


def address_source(
    text: str,
    *,
    mirror: bool = True,
    turn: int = 0,
    playback: Playback | None = None,
) -> DriverSource | None:
    """The driver at a URL: the microphone, a face tracker or a network camera; None if it is none of these.

    Args:
        text: What the user typed.
        mirror: Swap left and right.
        turn: Degrees by which the images of a camera are turned clockwise: 0, 90, 180 or 270.
        playback: Tells whether a pause is on; None has none.

    Raises:
        UsageError: It is meant as one, but is none.
    """
    if text == VOICE:
        return microphone_source(playback)
    try:
        address = driver_address(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if isinstance(address, TrackingAddress):
        return tracking_source(address, mirror=mirror, playback=playback)
    return None if address is None else stream_source(address, mirror=mirror, turn=turn, playback=playback)


def file_source(
    path: str | Path,
    *,
    playback: Playback | None = None,
    rate: Fraction | None = None,
    part: Part = WHOLE,
) -> DriverSource:
    """A file as a driver: a template, a still, a voice, an expression track, or a clip that plays in a loop.

    Args:
        path: The file.
        playback: Playback controls; None always plays.
        rate: Frames per second to play a clip at; None uses its own time stamps.
        part: Start and end of the part to play.

    Raises:
        MediaError: The file is missing.
    """
    from app.media import files, images, pictures
    from liveportrait.template import is_template

    path = Path(path)
    playback = playback or Playback()
    if not pictures.is_sequence(path):
        files.check_input(path)
    if is_template(path):
        return DriverSource(
            "template", path.name,
            lambda clock, engine: Player(lambda: TemplateFrames(path, engine, part), playback, clock), path,
        )  # fmt: skip
    if (unseen := open_track(path, part)) is not None:
        return track_source(unseen, playback)
    if images.is_image(path) and not pictures.is_sequence(path) and not _moves(path):
        return DriverSource(
            "still", path.name, lambda clock, _: Player(lambda: StillFrames(path), Playback(), clock), path
        )
    return DriverSource(
        "video", path.name,
        lambda clock, _: Player(lambda: ClipFrames(path, part, rate, film=True), playback, clock), path,
    )  # fmt: skip


def _moves(path: Path) -> bool:
    from app.media.reader import open_clip

    with open_clip(path, film=True) as reader:
        return reader.info.kind != "image"
