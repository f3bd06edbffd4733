"""Holds the frame rate: the animated square gets smaller where the engine is too slow, larger where it has time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

SIZES: Final = (1024, 896, 768, 640, 512, 448, 384, 320)
START: Final = 512  # side that a session begins with, where nothing else is asked for
FULL: Final = 0.9  # share of the time of a frame that drawing may take
EASY: Final = 0.55  # share that the next larger size must be expected to stay below
PATIENCE: Final = 1.5  # seconds of too slow frames before the size is changed
CALM: Final = 6.0  # seconds of easy frames before it is raised
FORGIVE: Final = 60.0  # seconds in which a size that was too slow is not tried again


@dataclass(frozen=True)
class SizeChange:
    """A decision.

    Attributes:
        size: New side of the square in pixels.
        sentence: What to tell the user.
    """

    size: int
    sentence: str


class Governor:
    """Decides on the size of the animated square.

    Args:
        size: Side to begin with.
        largest: Largest side allowed.
        adapt: False never changes anything.
    """

    def __init__(self, size: int, largest: int, adapt: bool = True) -> None:
        self.size = size
        self._largest = largest
        self._adapt = adapt
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

    def __call__(self, now: float, busy: float, wanted: float, actual: float) -> SizeChange | None:
        """Take a finished frame into account.

        Args:
            now: Seconds on the clock.
            busy: Seconds that it took to draw.
            wanted: Frames a second to hold: the driver's, at most the target.
            actual: Frames a second that are finished; 0 if unknown.

        Returns:
            A new size, or None.
        """
        if not self._adapt or wanted <= 0:
            return None
        self._busy.append((now, busy))
        while now - self._busy[0][0] > PATIENCE:
            self._busy.popleft()
        if now - self._since < PATIENCE or len(self._busy) < 4:
            return None
        times = sorted(b for _, b in self._busy)
        load = times[len(times) // 2] * wanted
        short = 0 < actual < 0.92 * wanted and load > EASY
        if load > FULL or short:
            self._easy_since = None
            return self._lower(now, load, wanted)
        larger = self._neighbour(+1)
        if (
            larger is None
            or load * (larger / self.size) ** 2 > EASY
            or now - self._slow.get(larger, -FORGIVE) < FORGIVE
        ):
            self._easy_since = None
            return None
        self._easy_since = now if self._easy_since is None else self._easy_since
        if now - self._easy_since < CALM:
            return None
        return self._change(now, larger, f"There is time left: the animated square was raised to {larger} px.")

    def _neighbour(self, step: int) -> int | None:
        if step > 0:
            return min((s for s in SIZES if self.size < s <= self._largest), default=None)
        return max((s for s in SIZES if s < self.size), default=None)

    def _lower(self, now: float, load: float, wanted: float) -> SizeChange | None:
        smaller = self._neighbour(-1)
        if smaller is None:
            return None
        while load * (smaller / self.size) ** 2 > 1.3 and (next_ := max((s for s in SIZES if s < smaller), default=0)):
            smaller = next_
        self._slow[self.size] = now
        return self._change(
            now,
            smaller,
            f"The animated square was lowered from {self.size} to {smaller} px to hold {wanted:.0f} frames/s.",
        )

    def _change(self, now: float, size: int, sentence: str) -> SizeChange:
        self.size = size
        self.settle(now)
        return SizeChange(size, sentence)
