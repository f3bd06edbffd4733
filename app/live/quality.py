"""Hold the frame rate: the crop gets smaller if the engine is too slow, and larger if it has time to spare."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from models.messages import msg

if TYPE_CHECKING:
    from app.live.settings import Settings
    from liveportrait.engines.base import Engine

SIZES: Final = (1024, 896, 768, 640, 512, 448, 384, 320)
START: Final = 512  # initial crop size, unless another one is requested
LARGEST: Final = 1024
FULL: Final = 0.9  # fraction of the frame time that rendering may take
EASY: Final = 0.55  # fraction below which the next larger size is expected to stay
SHORT: Final = 0.92  # fraction of the target rate below which it counts as missed
PATIENCE: Final = 1.5  # seconds of slow frames before the size is reduced
CALM: Final = 6.0  # seconds of fast frames before it is increased
FORGIVE: Final = 60.0  # seconds before a size that was too slow is tried again


class Governor:
    """Chooses the crop size.

    Args:
        size: Initial side in pixels.
        sizes: Allowed sides; with only ``size`` it never changes.
    """

    def __init__(self, size: int, sizes: tuple[int, ...] = SIZES) -> None:
        self.size = size
        self._sizes = sizes
        self._busy: deque[tuple[float, float]] = deque(maxlen=240)
        self._since = 0.0
        self._easy_since: float | None = None
        self._slow: dict[int, float] = {}
        self._warned = False

    def settle(self, now: float) -> None:
        """Discard the measurements, as after a change of size, portrait or driver."""
        self._busy.clear()
        self._easy_since = None
        self._since = now

    def __call__(self, now: float, busy: float, wanted: float, actual: float, side: int = 0) -> str:
        """Account for a finished frame; ``size`` is then the side to use.

        Args:
            now: Seconds on the clock.
            busy: Rendering time in seconds.
            wanted: Frames per second to hold: the driver's, at most the target.
            actual: Frames per second achieved; 0 if unknown.
            side: Side of the portrait's crop; if it is below ``size``, a larger size changes nothing.

        Returns:
            A message for the user, or empty.
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
        return msg("The engine is fast enough: the animated crop was enlarged to {larger} px.", larger)

    def _lower(self, now: float, load: float, wanted: float, actual: float, old: int) -> str:
        smaller = sorted((s for s in self._sizes if s < old), reverse=True)
        if not smaller:
            warned, self._warned = self._warned, True
            rate = min(actual or wanted, wanted)
            return (
                ""
                if warned
                else msg(
                    "This computer manages {rate:.0f} of {wanted:.0f} frames/s; the others are dropped.", rate, wanted
                )
            )
        fitting = next((s for s in smaller if load * (s / old) ** 2 < FULL), smaller[-1])
        self._slow[old] = now
        self._change(now, fitting)
        return msg(
            "The animated crop was reduced from {old} to {fitting} px to hold {wanted:.0f} frames/s.",
            old, fitting, wanted
        )  # fmt: skip

    def _change(self, now: float, size: int) -> None:
        self.size = size
        self.settle(now)


class Quality:
    """The governor of a session, and the engine that it controls. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._governor = Governor(START, (START,))
        self._engine: Engine | None = None

    def renew(self, engine: Engine, settings: Settings, now: float) -> bool:
        """Start with the size requested by the options, or a moderate one that may grow.

        Returns:
            Whether the size has changed, so that portraits must be prepared again.
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
        """See Governor; the engine gets the new size, and the caller prepares the portraits again."""
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
