"""Show what a driver without images plays: its waveform on the time line, and its picture in the driver panel."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QObject, QSize
from PySide6.QtGui import QImage

from app.clip_options import Part
from app.errors import AppError, CancelledError
from app.frames.voices import open_voice
from app.gui import qt_images
from app.gui.translate import tr
from app.gui.widgets.driver import is_sound
from app.media.waveform import Peaks, waveform

if TYPE_CHECKING:
    from app.gui.studio import Studio
    from app.gui.window import MainWindow

COLUMNS: Final = 2000
"""Columns of a waveform, about as many as the widest window has pixels for."""
PICTURE: Final = QSize(228, 132)
"""Size of a picture in the narrowest driver panel."""


class Waves(QObject):
    """Reads waveforms in the background and shows those of the current driver.

    Args:
        window: Shows them.
        studio: Holds the session.
    """

    def __init__(self, window: MainWindow, studio: Studio) -> None:
        super().__init__(window)
        self._window, self._studio = window, studio
        self._sound: tuple[str, Part] | None = None
        self._pictured = ""

    def show_session(self) -> None:
        """Show the waveform of the session's sound, and a picture of its voice or template."""
        session = self._studio.session
        driver = session.driver
        voice = driver.source if driver.kind == "template" and is_sound(driver.source) else ""
        voice = session.value("voice") if driver.kind == "sliders" else voice
        try:
            part: Part = session.options().input.driving_part
        except AppError:
            return
        wanted = (voice, part) if voice else None
        if wanted != self._sound:
            self._sound = wanted
            self._window.transport.slider.show_wave(None)
            if wanted is not None:
                show = partial(self._show_wave, wanted)
                self._studio.background.run(partial(self._read, wanted), show, lambda error, text: None)
        pictured = driver.source if driver.kind == "template" else voice
        if pictured != self._pictured:
            self._pictured = pictured
            if pictured:
                self._picture(pictured)
            elif driver.kind == "sliders":
                self._window.side.driver.thumb.show_text(tr("Sliders only"))

    def _read(self, wanted: tuple[str, Part]) -> Peaks:
        def check() -> None:
            if wanted != self._sound:
                raise CancelledError("Another driver was chosen.")

        sound = open_voice(Path(wanted[0]), wanted[1]).sound
        assert sound is not None
        return waveform(sound, COLUMNS, check)

    def _show_wave(self, wanted: tuple[str, Part], wave: Peaks) -> None:
        if wanted == self._sound:
            self._window.transport.slider.show_wave(wave)

    def _picture(self, path: str) -> None:
        thumb = self._window.side.driver.thumb
        width, height = qt_images.device_size(PICTURE, thumb.devicePixelRatioF())

        def show(image: QImage) -> None:
            if path == self._pictured:
                thumb.show_image(image)

        def failed(error: Exception, _: str) -> None:
            if path == self._pictured:
                thumb.show_text(tr("No image"))

        spoken = self._sound is not None
        self._studio.background.run(partial(_picture_of, Path(path), spoken, width, height), show, failed)


def _picture_of(path: Path, spoken: bool, width: int, height: int) -> QImage:
    """Plot a template or an expression track, or the sound of a file, which may be a video."""
    sound = open_voice(path).sound if spoken else None
    if sound is None:
        return qt_images.motion_picture(path, width, height)
    return qt_images.voice_picture(sound, width, height)
