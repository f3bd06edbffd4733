"""Receive packets of one sender on demand; the newest face counts."""

from __future__ import annotations

import select
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from app.choices import TrackingAddress
from app.media.ports import port_error
from app.sources.sensors.ifacialmocap import read_ifacialmocap
from app.sources.sensors.livelink import read_livelink
from app.sources.sensors.vmc import VmcReader
from models.messages import msg

if TYPE_CHECKING:
    from liveportrait.blendshapes import FaceReading

Decode = Callable[[bytes], "FaceReading | None"]

LARGEST: Final = 65535  # bytes of a packet
KEPT: Final = 256  # newest packets to decode; VMC may send one per bone and shape, two hundred per frame
MOST: Final = 4096  # most packets read from the system at a time
LEFT_ALONE: Final = 1.0  # seconds of silence after which another sender is accepted


def decoder(address: TrackingAddress) -> Decode:
    """The decoder for packets of a protocol."""
    if address.protocol == "osc":
        return VmcReader()
    return read_livelink if address.protocol == "livelink" else read_ifacialmocap


class Receiver:
    """Listens on one port while it is open.

    Args:
        address: Address and protocol.
        clock: Source of seconds.

    Attributes:
        packets: Number of packets received.
        strange: Number of packets not of the protocol.
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
        """Start listening.

        Raises:
            PortError: The port is in use, or the address is not one of this computer.
        """
        self.close()
        where = self._address
        self._decode, self._sender = decoder(where), None
        listening = socket.socket(socket.AF_INET6 if ":" in where.host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if sys.platform == "win32":  # prevents other programs from taking over the port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            listening.setblocking(False)
            listening.bind((where.host, where.port))
        except OSError as error:
            listening.close()
            hint = msg("Close that program, or choose another port here and in the app.")
            raise port_error(where.host, where.port, where.place, error, hint) from None
        self._socket = listening

    def close(self) -> None:
        """Stop listening; harmless when called again."""
        listening, self._socket = self._socket, None
        if listening is not None:
            listening.close()

    def newest(self, seconds: float) -> FaceReading | None:
        """The face in the newest packet; None if none arrives in time, or none with a face.

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
        """The newest packets of the accepted sender; all others are discarded."""
        kept: deque[bytes] = deque(maxlen=KEPT)
        assert self._socket is not None
        for _ in range(MOST):
            try:
                packet, sender = self._socket.recvfrom(LARGEST)
            except BlockingIOError:
                break
            except ConnectionError:  # Windows reports here that an earlier reply was not delivered
                continue
            now = self._clock()
            if self._sender != sender and self._sender is not None and now - self._heard < LEFT_ALONE:
                continue
            self._sender, self._heard = sender, now
            self.packets += 1
            kept.append(packet)
        return kept


def own_address() -> str:
    """Address of this computer in its network, or empty if it has none; determined without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address; connecting only selects a route
            return str(probe.getsockname()[0])
        except OSError:
            return ""
