"""Holds the frame rate: the animated square gets smaller where the engine is too slow, larger where it has time."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from models.messages import msg

if TYPE_CHECKING:
    from app.live.settings import Settings
    from liveportrait.engines.base import Engine

SIZES: Final = (1024, 896, 768, 640, 512, 448, 384, 320)
START: Final = 512  # side that a session begins with, where nothing else is asked for
LARGEST: Final = 1024
FULL: Final = 0.9  # share of the time of a frame that drawing may take
EASY: Final = 0.55  # share that the next larger size must be expected to stay below
SHORT: Final = 0.92  # share of the wanted rate below which it counts as not held
PATIENCE: Final = 1.5  # seconds of too slow frames before the size is changed
CALM: Final = 6.0  # seconds of easy frames before it is raised
FORGIVE: Final = 60.0  # seconds in which a size that was too slow is not tried again


class Governor:
    """Decides on the size of the animated square.

    Args:
        size: Side to begin with, in pixels.
        sizes: Sides allowed; only ``size`` never changes anything.
    """

    def __init__(self, size: int, sizes: tuple[int, ...] = SIZES) -> None:
        self.size = size
        self._sizes = sizes
        self._busy: deque[tuple[float, float]] = deque(maxlen=240)
        self._since = 0.0
        self._easy_since: float | None = None
        self._slow: dict[int, float] = {}
        self._told = False

    def settle(self, now: float) -> None:
        """Forget what was measured, as after a change of size, portrait or driver."""
        self._busy.clear()
        self._easy_since = None
        self._since = now

    def __call__(self, now: float, busy: float, wanted: float, actual: float, side: int = 0) -> str:
        """Take a finished frame into account; ``size`` is the side to use from now on.

        Args:
            now: Seconds on the clock.
            busy: Seconds that it took to draw.
            wanted: Frames a second to hold: the driver's, at most the target.
            actual: Frames a second that are finished; 0 if unknown.
            side: Side of the portrait's square; where it is below ``size``, a larger size changes nothing.

        Returns:
            What to tell the user, or an empty text.
        """
        self._busy.append((now, busy))
        while now - self._busy[0][0] > PATIENCE:
            self._busy.popleft()
        if now - self._since < PATIENCE or len(self._busy) < 4 or wanted <= 0:
            return ""
        times = sorted(b for _, b in self._busy)
        load = times[len(times) // 2] * wanted
        if load > FULL or (0 < actual < SHORT * wanted and load > EASY):
            self._easy_since = None
            return self._lower(now, load, wanted, actual, min(side or self.size, self.size))
        larger = min((s for s in self._sizes if s > self.size <= (side or self.size)), default=0)
        untried = now - self._slow.get(larger, -FORGIVE) >= FORGIVE
        held = actual == 0 or actual >= SHORT * wanted
        if not larger or not untried or not held or load * (larger / self.size) ** 2 > EASY:
            self._easy_since = None
            return ""
        self._easy_since = now if self._easy_since is None else self._easy_since
        if now - self._easy_since < CALM:
            return ""
        self._change(now, larger)
        return msg("There is time left: the animated square was raised to {larger} px.", larger)

    def _lower(self, now: float, load: float, wanted: float, actual: float, old: int) -> str:
        smaller = sorted((s for s in self._sizes if s < old), reverse=True)
        if not smaller:
            told, self._told = self._told, True
            rate = min(actual or wanted, wanted)
            return (
                ""
                if told
                else msg(
                    "This computer manages {rate:.0f} of {wanted:.0f} frames/s; the others are dropped.", rate, wanted
                )
            )
        fitting = next((s for s in smaller if load * (s / old) ** 2 < FULL), smaller[-1])
        self._slow[old] = now
        self._change(now, fitting)
        return msg(
            "The animated square was lowered from {old} to {fitting} px to hold {wanted:.0f} frames/s.",
            old, fitting, wanted
        )  # fmt: skip

    def _change(self, now: float, size: int) -> None:
        self.size = size
        self.settle(now)


class Quality:
    """The governor of a session, and the engine that it governs. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._governor = Governor(START, (START,))
        self._engine: Engine | None = None

    def renew(self, engine: Engine, settings: Settings, now: float) -> bool:
        """Begin with the size that the options ask for, or a modest one that may grow.

        Returns:
            Whether the size has changed, so that portraits must be prepared anew.
        """
        asked = settings.options.program.max_crop
        size = asked or START
        if not engine.max_crop:
            governor = Governor(engine.crop_size, (engine.crop_size,))
        elif not settings.live.adapt:
            governor = Governor(size, (size,))
        else:
            governor = Governor(size, tuple(s for s in SIZES if s <= (asked or LARGEST)))
        governor.settle(now)
        with self._lock:
            self._engine, self._governor = engine, governor
            return self._apply()

    def settle(self, now: float) -> None:
        """See Governor.settle."""
        with self._lock:
            self._governor.settle(now)

    def watch(self, now: float, busy: float, wanted: float, actual: float, side: int) -> str:
        """See Governor; the engine gets the new size, and the caller prepares the portraits anew."""
        with self._lock:
            sentence = self._governor(now, busy, wanted, actual, side)
            self._apply()
            return sentence

    def _apply(self) -> bool:
        engine, size = self._engine, self._governor.size
        if engine is None or engine.max_crop in (0, size):
            return False
        engine.max_crop = size
        return True
