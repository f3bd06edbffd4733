"""MIDI controllers that move the window's sliders."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.errors import AppError
from app.media.midi import Bindings, MidiInput

if TYPE_CHECKING:
    from app.gui.studio import Studio


class Controllers(QObject):
    """Opens the MIDI input that the live options name, and none while they name none.

    Args:
        studio: The session whose sliders move.
        system: See MidiInput.

    Signals:
        moved: Name of a slider and its value; emitted in a thread of the MIDI system.
    """

    moved = Signal(str, float)

    def __init__(self, studio: Studio, system: Any = None) -> None:
        super().__init__(studio)
        self._studio, self._system = studio, system
        self._wanted = ("", "")
        self._input: MidiInput | None = None
        self.moved.connect(studio.set_slider)
        studio.session_changed.connect(self.follow)

    @property
    def name(self) -> str:
        """Name of the open input, or empty."""
        return "" if self._input is None else self._input.name

    def follow(self) -> None:
        """Open or close the input if the options have changed; it is opened in the background."""
        live = self._studio.session.live_options
        wanted = (live.midi.strip(), live.midi_map)
        if wanted == self._wanted:
            return
        self.close()
        self._wanted = wanted
        if wanted[0]:
            self._studio.background.run(partial(self._open, *wanted), partial(self._opened, wanted), self._failed)

    def _open(self, name: str, controllers: str) -> MidiInput:
        return MidiInput(name, Bindings.parse(controllers), self.moved.emit, self._system)

    def _opened(self, wanted: tuple[str, str], found: MidiInput) -> None:
        if wanted == self._wanted:
            self._input = found
        else:  # another one was chosen meanwhile
            found.close()

    def _failed(self, error: Exception, text: str) -> None:
        self._studio.failed.emit(error, "" if isinstance(error, AppError) else text)

    def close(self) -> None:
        """Close the input."""
        found, self._input = self._input, None
        self._wanted = ("", "")
        if found is not None:
            found.close()
