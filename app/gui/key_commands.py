"""Commands for keyframes: set, move and delete keys, choose transitions, save and open expression tracks."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog

from app.errors import MediaError
from app.gui import store
from app.gui.keyframes import Keyframes
from app.gui.prompts import Prompts
from app.gui.session import Session
from app.gui.studio import Studio
from app.gui.translate import tr
from app.line_numbers import read_located
from liveportrait.expression import Expression
from models.messages import about

if TYPE_CHECKING:
    from app.gui.window import MainWindow

WRITTEN = (".json", ".yaml", ".yml")  # JSON is YAML too
READ = (*WRITTEN, ".toml")


class KeyCommands(QObject):
    """Changes the session's keyframes, and shows them on the time line.

    Args:
        window: The window.
        studio: What they act on.
        prompts: Remembers folders.
    """

    def __init__(self, window: MainWindow, studio: Studio, prompts: Prompts) -> None:
        super().__init__(window)
        self.window, self.studio, self.prompts = window, studio, prompts
        self._chosen: Fraction | None = None  # time of the selected key
        track, bar = window.transport.keyframes, window.transport.keys
        track.selected.connect(self.select)
        track.moved.connect(self.move)
        track.removed.connect(self.remove)
        track.wanted.connect(self.set_key)
        bar.set_requested.connect(partial(self.set_key, None))
        bar.removed.connect(lambda: self.remove(self.chosen))
        bar.ease_chosen.connect(self.set_ease)
        bar.length_chosen.connect(self.set_length)
        bar.save_requested.connect(self.save)
        bar.open_requested.connect(self.open)
        window.side.driver.keyed.connect(self.show_lane)

    @property
    def frames(self) -> Keyframes:
        """The session's keyframes."""
        return self.studio.session.keys

    @property
    def chosen(self) -> int | None:
        """Number of the selected key."""
        return None if self._chosen is None else self.frames.at(self._chosen)

    def show_session(self) -> None:
        """Show the keys of the session, if the time line is theirs."""
        session, transport = self.studio.session, self.window.transport
        shown = session.driver.kind == "sliders" and session.keyed
        for widget in (transport.keyframes, transport.keys):
            widget.setVisible(shown)
        if shown:
            transport.keyframes.show_keys(session.keys, self.chosen)
            transport.keys.show_keys(session.keys, self.chosen)

    def show_lane(self, on: bool) -> None:
        """Play the keyframes with the sliders, or let the sliders alone pose; keys are kept."""
        self.studio.apply(replace(self.studio.session, keyed=on), tr("keyframes"))
        if on:
            self.studio.set_paused(True)

    def _change(self, frames: Keyframes, text: str, key: str = "") -> None:
        self.studio.apply(replace(self.studio.session, keys=frames), text, key)
        self.show_session()

    # ---- keys -----------------------------------------------------------------------------------------------------
    def select(self, number: int) -> None:
        """Select a key and go to its time; below 0 selects none."""
        self._chosen = self.frames.keys[number].time if 0 <= number < len(self.frames.keys) else None
        if self._chosen is not None:
            self.studio.set_paused(True)
            self.studio.seek(float(self._chosen))
        self.show_session()

    def set_key(self, seconds: float | None = None) -> None:
        """Make a key of what the portrait shows at a time, by default the play head's; the sliders go to rest."""
        session, frames = self.studio.session, self.frames
        if not session.keyed or session.driver.kind != "sliders":
            return
        time = self.studio.playback.place.time if seconds is None else Fraction(seconds)
        made = frames.with_key(time, frames.shown(frames.frame(time)) + session.expression)
        self._chosen = frames.frame(time)
        self.studio.set_paused(True)
        posed = replace(session, keys=made).with_expression(Expression({}))
        self.studio.apply(posed, tr("set a keyframe"))
        if seconds is not None:
            self.studio.seek(float(self._chosen))
        self.show_session()

    def move(self, number: int, seconds: float) -> None:
        """Move a key; a place that another one has is not taken."""
        frames = self.frames.moved(number, seconds)
        if frames != self.frames:
            self._chosen = frames.frame(min(max(Fraction(seconds), Fraction(0)), frames.length))
        self._change(frames, tr("move a keyframe"))

    def remove(self, number: int | None) -> None:
        """Delete a key."""
        if number is not None:
            self._change(self.frames.without(number), tr("delete a keyframe"))

    def set_ease(self, ease: str) -> None:
        """Choose the transition from the selected key to the next one."""
        if self.chosen is not None:
            self._change(self.frames.with_ease(self.chosen, ease), tr("choose a transition"))

    def set_length(self, seconds: float) -> None:
        """Choose how long the time line is; not shorter than the last key."""
        self._change(self.frames.with_length(seconds), tr("change the length"), "key length")

    # ---- files ----------------------------------------------------------------------------------------------------
    def save(self) -> None:
        """Ask for a name and save the keys as an expression track."""
        pattern = f"{tr('Expression tracks')} ({' '.join(f'*{ending}' for ending in WRITTEN)})"
        name, _ = QFileDialog.getSaveFileName(
            self.window, tr("Save as an expression track…"), self.prompts.in_home("track.json"), pattern
        )
        if name:
            path, _ = store.with_ending(Path(name), WRITTEN, ".json")
            self.studio.store(partial(write, path, self.frames), tr("{name} is ready.", name=path.name))

    def open(self) -> None:
        """Ask for an expression track and take its keys over."""
        pattern = f"{tr('Expression tracks')} ({' '.join(f'*{ending}' for ending in READ)})"
        name, _ = QFileDialog.getOpenFileName(
            self.window, tr("Open an expression track…"), self.prompts.folder("drivers"), pattern
        )
        if name:
            self.studio.background.run(partial(read, Path(name)), self._take, self.studio.failed.emit)

    def _take(self, frames: Keyframes) -> None:
        session: Session = replace(self.studio.session, keys=frames, keyed=True)
        self._chosen = None
        self.studio.apply(session, tr("open an expression track"))


def write(path: Path, frames: Keyframes) -> Path:
    """Save keys as an expression track."""
    return store.write_text(path, json.dumps(frames.to_dict(), indent=2) + "\n")


def read(path: Path) -> Keyframes:
    """The keys of an expression track.

    Raises:
        AppError: It can't be read, or is none.
    """
    data = read_located(path).data
    hint = "docs/speech.md shows what such a file looks like."
    try:
        if not isinstance(data, dict):
            raise ValueError('it needs "keys", a list of tables with a time and sliders.')
        return Keyframes.from_dict(data)
    except ValueError as error:
        raise MediaError(about(path, str(error)), hint) from None
