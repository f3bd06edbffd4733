"""Portraits that are clips: the chosen one plays, each of its frames followed, encoded and handed to the shelf."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from app.clip_options import WHOLE
from app.frames.scene import SceneMaker
from app.frames.timings import Timings
from app.live.portraits import prepared_scene, shrunk
from app.live.trackers import KeptTracker
from app.sources.playback import Playback
from app.sources.player import ClipReel, Player

if TYPE_CHECKING:
    from app.live.portraits import Moving, PreparedPortrait, Shelf
    from app.live.settings import Settings
    from app.media.reader import Frame
    from liveportrait.engines.base import Engine


class ClipShow:
    """Plays the chosen portrait while it is a clip and the session runs.

    Args:
        shelf: Holds the portraits.
        tracker: Follows the face of the clip.
        engine: The engine in use, or None.
        settings: Options of the moment.
        clock: Source of seconds.
        running: Whether the session shows pictures.
        shown: Called when another frame of the clip is on the shelf.
        warn: Told of faults.
    """

    def __init__(
        self,
        shelf: Shelf,
        tracker: KeptTracker,
        engine: Callable[[], Engine | None],
        settings: Callable[[], Settings],
        clock: Callable[[], float],
        *,
        running: Callable[[], bool],
        shown: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self.playback: Playback | None = None
        """Knobs of the clip that plays, or None."""
        self._shelf = shelf
        self._tracker = tracker
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._running = running
        self._shown = shown
        self._warn = warn
        self._closing = threading.Event()
        self._look = threading.Event()
        self._player: Player | None = None
        self._part = WHOLE
        self._failed = ""
        self._thread = threading.Thread(target=self._work, name="live-clip", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Something may have changed: another portrait, another state; any thread may call it."""
        self._look.set()
        player, moving = self._player, self._moving()
        if player is not None and (moving is None or (moving.playback, moving.part) != (self.playback, self._part)):
            player.cancel()

    def close(self, timeout: float | None = None) -> None:
        """End the thread and wait for it."""
        self._closing.set()
        self._look.set()
        player = self._player
        if player is not None:
            player.cancel()
        self._thread.join(timeout)

    def _moving(self) -> Moving | None:
        """The chosen portrait, if it is a clip that can play now."""
        engine = self._engine()
        if engine is None or self._closing.is_set() or not self._running():
            return None
        settings = self._settings()
        return self._shelf.moving(engine, settings.options, settings.live.picture_size)

    def _work(self) -> None:
        while not self._closing.is_set():
            self._look.wait()
            self._look.clear()
            while (moving := self._moving()) is not None and moving.name != self._failed:
                try:
                    self._play(moving)
                except Exception as error:  # noqa: BLE001 - whatever an engine raises, others can still play
                    self._failed = moving.name
                    self._warn(f"{moving.title} stands still: {error}")
                finally:
                    player, self._player, self.playback = self._player, None, None
                    if player is not None:
                        with suppress(Exception):
                            player.close()

    def _play(self, moving: Moving) -> None:
        """Play one clip until it is no longer wanted; another crop or size takes effect on the way."""
        self._part = moving.part
        self._player = player = Player(lambda: ClipReel(moving.path, moving.part), moving.playback, self._clock)
        self.playback = moving.playback
        player.open()
        now: Moving | None = moving
        while now is not None and (now.playback, now.part) == (moving.playback, moving.part) and not player.cancelled:
            self._tracker.get().reset()
            self._show(now, player)
            now = self._moving()

    def _show(self, moving: Moving, player: Player) -> None:
        """Hand scenes to the shelf while the recipe stays the same."""
        engine, settings = self._engine(), self._settings()
        if engine is None:
            return
        maker = SceneMaker(engine, self._tracker.get(), settings.options, moving.title, moving.subject)
        last: PreparedPortrait | None = None
        for _, scene in maker.moving(self._frames(player, settings.live.picture_size), Timings()):
            current = self._moving()
            if current is None or current.recipe != moving.recipe:
                return
            if scene.face is not None:
                last = prepared_scene(moving.key, scene, moving.recipe, moving.subject.drivers)
            elif last is not None:
                last = replace(last, scene=replace(last.scene, picture=scene.picture), hidden=True)
            if last is not None:
                self._shelf.show(last)
                self._shown()

    @staticmethod
    def _frames(player: Player, longest: int) -> Iterator[tuple[Fraction, Frame]]:
        from app.media.reader import Frame

        while (captured := player.read()) is not None:
            assert captured.rgb is not None
            rgb = np.ascontiguousarray(shrunk(captured.rgb, longest))
            yield Fraction(captured.index), Frame(captured.index, Fraction(captured.index), rgb)
