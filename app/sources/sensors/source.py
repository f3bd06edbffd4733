"""A face tracker that drives: its packets become samples, the newest one at each time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from app.choices import SENDERS, TrackingAddress
from app.sources.sample import Clock, DriverSource, Sample, Source
from app.sources.sensors.receiver import Receiver
from models.messages import msg

if TYPE_CHECKING:
    from app.sources.playback import Playback
    from liveportrait.engines.base import Engine

LISTEN: Final = 0.05  # seconds after which a stop is noticed
SILENT: Final = 0.25  # seconds without a face after which it counts as lost
STEP: Final = 1 / 30  # seconds between two samples of a lost face, while it eases to rest
RESTS: Final = 3.0  # seconds after which it has come to rest
AWAITED: Final = 1.0  # seconds without a face after which that is said


class TrackingSource(Source):
    """The face that a tracker sends. While packets fail to come the face is lost, and the port stays open.

    Args:
        address: Where its packets are awaited.
        clock: Source of seconds.
        mirror: Swap left and right.
        playback: Says whether a pause is on; the face then stays as it is.
    """

    lasting = True

    def __init__(
        self, address: TrackingAddress, clock: Clock, *, mirror: bool = True, playback: Playback | None = None
    ) -> None:
        self._address = address
        self._clock = clock
        self._mirror = mirror
        self._playback = playback
        self._receiver = Receiver(address, clock)
        self._stop = threading.Event()
        self._count = 0
        self._opened: float | None = None
        self._seen: float | None = None  # clock at the last face

    def open(self) -> None:
        """See Source.open."""
        self._receiver.open()
        self._opened, self._seen = self._clock(), None

    def read(self) -> Sample | None:
        """See Source.read: waits for a packet; while a face is lost, samples without one come for some time."""
        while not self._stop.is_set():
            lost = self._seen is not None and SILENT < self._clock() - self._seen < SILENT + RESTS
            reading = self._receiver.newest(STEP if lost else LISTEN)
            now = self._clock()
            if self._playback is not None and self._playback.paused:
                self._seen = None if self._seen is None else now
                continue
            if reading is not None:
                self._seen = now
            elif self._seen is None or not SILENT < now - self._seen < SILENT + RESTS:
                continue
            self._count += 1
            return Sample(self._count - 1, now, reading=reading, sensed=True, mirror=self._mirror)
        return None

    def close(self) -> None:
        """See Source.close."""
        self._receiver.close()
        self._opened = self._seen = None

    def cancel(self) -> None:
        """See Source.cancel."""
        self._stop.set()

    def waits_for(self) -> str:
        """See Source.waits_for."""
        since = self._opened if self._seen is None else self._seen
        if since is None or self._clock() - since < AWAITED:
            return ""
        sender, place = SENDERS[self._address.protocol], self._address.place
        if 0 < self._receiver.packets == self._receiver.strange:
            return msg(
                "Packets arrive at {place}, but they are not of {sender}: choose the protocol that the app sends.",
                place, sender,
            )  # fmt: skip
        return msg("Waiting for packets of {sender} at {place}.", sender, place)


def tracking_source(address: TrackingAddress, *, mirror: bool = True, playback: Playback | None = None) -> DriverSource:
    """A face tracker as driver; nothing listens before it is made.

    Args:
        address: Where its packets are awaited.
        mirror: Swap left and right.
        playback: Says whether a pause is on; None has none.
    """

    def make(clock: Clock, _: Engine) -> Source:
        return TrackingSource(address, clock, mirror=mirror, playback=playback)

    note = msg("{place} is open to the network: any computer there can send to it.", address.place)
    return DriverSource("tracking", address.title, make, note=note if address.is_open else "")
