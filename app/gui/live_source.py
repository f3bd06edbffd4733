"""The window's driver: from the session's choice to a live source. No Qt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.frames.voices import TrackDriver, alone, open_voice
from app.gui.session import LIVE_ONLY
from app.media.camera import Mode
from app.sources.camera import camera_source
from app.sources.microphone import microphone_source
from app.sources.named import address_source, file_source
from app.sources.voice import track_source
from liveportrait.expression_track import ExpressionTrack

if TYPE_CHECKING:
    from app.gui.session import Session
    from app.sources.playback import Playback
    from app.sources.sample import DriverSource


def live_source(session: Session, playback: Playback) -> DriverSource | None:
    """The live source of a session's driver, or None if sliders alone pose the portrait; may read files, list cameras.

    Args:
        session: The driver, the part of it to play, and the settings of a camera.
        playback: Playback controls: pause, and for what has a timeline also seek, step and loop.

    Raises:
        AppError: There is no such file, camera or part.
    """
    driver, options = session.driver, session.options().input
    if driver.kind == "sliders":
        if not session.plays:
            return None
        return replace(track_source(_unseen(session), playback), voiced=not session.keyed)
    if driver.kind in LIVE_ONLY:
        live = session.live_options
        if driver.kind == "camera" and live.voice_driver:
            return microphone_source(playback)
        turn = int(live.camera_turn)
        address = address_source(driver.source, mirror=live.mirror, turn=turn, playback=playback)
        if address is not None:
            return address
        width, height = live.size
        mode = Mode(width, height, live.camera_rate, live.camera_mjpg)
        return camera_source(driver.source, mode, mirror=live.mirror, turn=turn, playback=playback)
    return file_source(driver.source, playback=playback, part=options.driving_part)


def _unseen(session: Session) -> TrackDriver:
    """What moves the portrait where no file drives: keyframes, the voice of the options, or life alone."""
    options = session.options().input
    if session.keyed:
        length = session.keys.length
        return TrackDriver(Path(), None, session.keys.track() or ExpressionTrack({}, float(length)), length)
    if options.voice:
        return open_voice(Path(options.voice), options.driving_part)
    return alone(options.driving_part)
