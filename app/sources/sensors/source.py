"""A face tracker as a driver: its newest packet becomes the sample at each time."""

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

LISTEN: Final = 0.05  # seconds within which a stop is noticed
SILENT: Final = 0.25  # seconds without a face after which it counts as lost
STEP: Final = 1 / 30  # seconds between samples of a lost face while it eases to neutral
RESTS: Final = 3.0  # seconds after which it has reached neutral
AWAITED: Final = 1.0  # seconds without a face after which the user is notified


class TrackingSource(Source):
    """The face sent by a tracker. While no packets arrive, the face counts as lost and the port stays open.

    Args:
        address: Address at which its packets are received.
        clock: Source of seconds.
        mirror: Swap left and right.
        playback: Controls pausing, during which the face is held.
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
        self._seen: float | None = None  # clock time of the last face

    def open(self) -> None:
        """See Source.open."""
        self._receiver.open()
        self._opened, self._seen = self._clock(), None

    def read(self) -> Sample | None:
        """See Source.read: waits for a packet; after a face is lost, returns samples without a face for some time."""
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
                "Packets arrive at {place}, but not from {sender}: choose the protocol that the app sends.",
                place, sender,
            )  # fmt: skip
        return msg("Waiting for packets from {sender} at {place}.", sender, place)


def tracking_source(address: TrackingAddress, *, mirror: bool = True, playback: Playback | None = None) -> DriverSource:
    """A face tracker as a driver; the port is opened when the source is created.

    Args:
        address: Address at which its packets are received.
        mirror: Swap left and right.
        playback: Controls pausing; None never pauses.
    """

    def make(clock: Clock, _: Engine) -> Source:
        return TrackingSource(address, clock, mirror=mirror, playback=playback)

    note = msg("{place} is open to the network: any computer there can send to it.", address.place)
    return DriverSource("tracking", address.title, make, note=note if address.is_open else "")
