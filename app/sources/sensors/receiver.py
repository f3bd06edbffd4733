"""Packets of one sender: received while somebody asks for them, the newest face counts."""

from __future__ import annotations

import errno
import select
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from app.choices import SENDERS, TrackingAddress
from app.errors import AppError
from app.sources.sensors.ifacialmocap import read_ifacialmocap
from app.sources.sensors.livelink import read_livelink
from app.sources.sensors.vmc import VmcReader
from models.messages import msg

if TYPE_CHECKING:
    from liveportrait.blendshapes import FaceReading

Decode = Callable[[bytes], "FaceReading | None"]

LARGEST: Final = 65535  # bytes of a packet
KEPT: Final = 256  # newest packets that are looked at; VMC may take one for each bone and shape, two hundred a frame
MOST: Final = 4096  # packets that are taken off the system at once
LEFT_ALONE: Final = 1.0  # seconds of silence after which another sender is heard


class PortError(AppError):
    """A port can't be listened at."""


def decoder(address: TrackingAddress) -> Decode:
    """What reads the packets of a protocol."""
    if address.protocol == "osc":
        return VmcReader()
    return read_livelink if address.protocol == "livelink" else read_ifacialmocap


class Receiver:
    """Listens at one port while it is open.

    Args:
        address: Where, and for what.
        clock: Source of seconds.

    Attributes:
        packets: How many packets came.
        strange: How many of them were not of the protocol.
    """

    def __init__(self, address: TrackingAddress, clock: Callable[[], float]) -> None:
        self.packets = self.strange = 0
        self._address = address
        self._clock = clock
        self._socket: socket.socket | None = None
        self._decode = decoder(address)
        self._sender: Any = None
        self._heard = 0.0

    def open(self) -> None:
        """Listen.

        Raises:
            PortError: The port is in use, or the address is not one of this computer.
        """
        self.close()
        where = self._address
        self._decode, self._sender = decoder(where), None
        listening = socket.socket(socket.AF_INET6 if ":" in where.host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if sys.platform == "win32":  # there a port could be taken over from its owner
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            listening.setblocking(False)
            listening.bind((where.host, where.port))
        except OSError as error:
            listening.close()
            raise _refused(where, error) from None
        self._socket = listening

    def close(self) -> None:
        """Listen no more; harmless when called again."""
        listening, self._socket = self._socket, None
        if listening is not None:
            listening.close()

    def newest(self, seconds: float) -> FaceReading | None:
        """The face of the newest packet; None if none comes in time, or none with a face.

        Args:
            seconds: How long to wait for a packet.
        """
        if self._socket is None or not select.select([self._socket], [], [], seconds)[0]:
            return None
        reading = None
        for packet in self._waiting():
            try:
                reading = self._decode(packet) or reading
            except ValueError:
                self.strange += 1
        return reading

    def _waiting(self) -> deque[bytes]:
        """The newest packets of the sender that is heard; all others are thrown away."""
        kept: deque[bytes] = deque(maxlen=KEPT)
        assert self._socket is not None
        for _ in range(MOST):
            try:
                packet, sender = self._socket.recvfrom(LARGEST)
            except BlockingIOError:
                break
            except ConnectionError:  # Windows reports here that an earlier answer found nobody
                continue
            now = self._clock()
            if self._sender != sender and self._sender is not None and now - self._heard < LEFT_ALONE:
                continue
            self._sender, self._heard = sender, now
            self.packets += 1
            kept.append(packet)
        return kept


def _refused(where: TrackingAddress, error: OSError) -> PortError:
    if error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", None)):
        return PortError(
            msg("Port {port} is already used by another program.", where.port),
            msg("Close that program, or choose another port here and in {sender}.", SENDERS[where.protocol]),
        )
    if error.errno in (errno.EADDRNOTAVAIL, getattr(errno, "WSAEADDRNOTAVAIL", None)):
        return PortError(
            msg("{host} is not an address of this computer.", where.host), "0.0.0.0 stands for all of its addresses."
        )
    if error.errno == errno.EACCES:
        return PortError(msg("Port {port} may not be used.", where.port), "Choose one from 1024 on.")
    return PortError(
        msg("{place} can't be listened at: {reason}.", where.place, error.strerror or type(error).__name__)
    )


def own_address() -> str:
    """Address of this computer in its network, or empty where it has none; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # kept for documentation; connecting only chooses the way to it
            return str(probe.getsockname()[0])
        except OSError:
            return ""
