"""The window's driver: from the session's choice to a live source. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.gui.session import LIVE_ONLY
from app.media.camera import Mode
from app.sources.camera import camera_source
from app.sources.microphone import microphone_source
from app.sources.named import address_source, file_source

if TYPE_CHECKING:
    from app.gui.session import Driver
    from app.live_options import LiveOptions
    from app.options import InputOptions
    from app.sources.playback import Playback
    from app.sources.sample import DriverSource


def live_source(
    driver: Driver, live: LiveOptions, options: InputOptions, reference: str, playback: Playback
) -> DriverSource | None:
    """The live source of a driver, or None for sliders only; it may read files and list cameras.

    Args:
        driver: The session's choice.
        live: Size and rate to request from a camera.
        options: Part of a clip or template to play.
        reference: Neutral frame of a template.
        playback: Playback controls: pause, and for clips and templates also seek, step and loop.

    Raises:
        AppError: There is no such file, camera or part.
    """
    if driver.kind == "sliders":
        return None
    if driver.kind == "camera" and live.voice_driver:
        return microphone_source(playback)
    turn = int(live.camera_turn)
    if driver.kind in LIVE_ONLY:
        address = address_source(driver.source, mirror=live.mirror, turn=turn, playback=playback)
        if address is not None:
            return address
        width, height = live.size
        mode = Mode(width, height, live.camera_rate, live.camera_mjpg)
        return camera_source(driver.source, mode, mirror=live.mirror, turn=turn, playback=playback)
    return file_source(driver.source, playback=playback, reference=reference, part=options.driving_part)
