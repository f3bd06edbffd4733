"""Portraits that are clips: the selected one plays; each frame is tracked, encoded and shown as the portrait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from app.clip_options import WHOLE
from app.frames.scene import SceneMaker
from app.frames.timings import Timings
from app.live.portraits import prepared_scene, shrunk
from app.sources.playback import Playback
from app.sources.player import ClipFrames, Player
from models.messages import msg

if TYPE_CHECKING:
    from app.live.capture import Capture
    from app.live.context import SessionContext
    from app.live.portraits import Moving, PortraitStore, PreparedPortrait
    from app.media.clip import Frame


class ClipPlayer:
    """Plays the selected portrait while it is a clip and the session is running.

    Args:
        context: Shared by the parts of the session.
        portraits: Provides the clip and receives its frames.
        capture: Tells whether the driver's next frame is imminent.
    """

    def __init__(self, context: SessionContext, portraits: PortraitStore, capture: Capture) -> None:
        self.playback: Playback | None = None
        """Controls of the playing clip, or None."""
        self._context = context
        self._portraits = portraits
        self._capture = capture
        self._changed = threading.Event()
        self._player: Player | None = None
        self._part = WHOLE
        self._failed = ""
        self._thread = threading.Thread(target=self._work, name="live-clip", daemon=True)
        self._thread.start()

    def update(self) -> None:
        """React to a new portrait or state; callable from any thread."""
        self._changed.set()
        player, moving = self._player, self._moving()
        if player is not None and (moving is None or (moving.playback, moving.part) != (self.playback, self._part)):
            player.cancel()

    def close(self, timeout: float | None = None) -> None:
        """Wait for the thread, which ends with ``context.closing``."""
        self.update()
        self._thread.join(timeout)

    def _moving(self) -> Moving | None:
        """The selected portrait, if it is a clip that can play now."""
        context = self._context
        if context.engine is None or context.pipeline is None or context.closing.is_set():
            return None
        return self._portraits.moving()

    def _work(self) -> None:
        while not self._context.closing.is_set():
            self._changed.wait()
            self._changed.clear()
            while (moving := self._moving()) is not None and moving.name != self._failed:
                try:
                    self._play(moving)
                except Exception as error:  # noqa: BLE001 - other clips can still play
                    self._failed = moving.name
                    self._context.warn(msg("{title} can't be played: {error}", moving.title, error))
                finally:
                    player, self._player, self.playback = self._player, None, None
                    if player is not None:
                        with suppress(Exception):
                            player.close()

    def _play(self, moving: Moving) -> None:
        """Play one clip until it is no longer selected; a new crop or size takes effect while it plays."""
        self._part = moving.part
        self._player = player = Player(
            lambda: ClipFrames(moving.path, moving.part), moving.playback, self._context.clock
        )
        self.playback = moving.playback
        player.open()
        now: Moving | None = moving
        while now is not None and (now.playback, now.part) == (moving.playback, moving.part) and not player.cancelled:
            self._context.tracker().reset()
            self._show(now, player)
            now = self._moving()

    def _show(self, moving: Moving, player: Player) -> None:
        """Show scenes as long as the recipe is unchanged."""
        engine, settings = self._context.engine, self._context.settings
        if engine is None:
            return
        maker = SceneMaker(engine, self._context.tracker(), settings.options, moving.title, moving.subject)
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
                self._portraits.show(last)
                if not self._capture.busy:  # else the driver's next frame will use it
                    self._context.redraw()

    @staticmethod
    def _frames(player: Player, longest: int) -> Iterator[tuple[Fraction, Frame]]:
        from app.media.clip import Frame

        while (captured := player.read()) is not None:
            assert captured.rgb is not None
            rgb = np.ascontiguousarray(shrunk(captured.rgb, longest))
            yield Fraction(captured.index), Frame(captured.index, Fraction(captured.index), rgb)
