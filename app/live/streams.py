"""Sinks that send the result to other programs and computers, created from the addresses in an option."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from app.live.sinks import Sink
from app.media.mjpeg import MjpegServer
from app.media.senders import open_sender
from app.media.transmission import Transmission
from app.media.virtual_camera import fit_picture
from app.stream_targets import LOCAL, StreamTarget, parse_targets, unique_names
from models.messages import joined, msg

if TYPE_CHECKING:
    from app.live.frames import LiveFrame, Pixels
    from app.live_options import LiveOptions
    from app.media.senders import Sender

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds until an unavailable receiver is retried: initial, and maximum."""
PACE: Final = 0.7  # fraction of the frame interval within which another frame is dropped


class MjpegSink(Sink):
    """Serves the result as MJPEG and as single images on this computer.

    Args:
        target: Address to listen on.
        name: Unique within a session.
    """

    retry = FIRST_RETRY
    longest_retry = LAST_RETRY

    def __init__(self, target: StreamTarget, name: str = "") -> None:
        super().__init__()
        self.name = name or target.shown
        self.target = target
        self._server: MjpegServer | None = None
        self._skipped = 0  # by viewers of servers that were closed

    def reset(self) -> None:
        """See Sink.reset."""
        super().reset()
        self._skipped = 0

    def open(self) -> None:
        """See Sink.open."""
        self._server = MjpegServer(self.target.host, self.target.port)
        host = f"[{self.target.host}]" if ":" in self.target.host else self.target.host
        seen = msg("The result is shown at {address}.", f"http://{host}:{self._server.port}/")
        everybody = msg("Anyone on the network can watch it there.") if self.target.is_open else ""
        self.greeting = joined((seen, everybody))

    @property
    def port(self) -> int:
        """Port in use, 0 while it does not listen."""
        return 0 if self._server is None else self._server.port

    def write(self, frame: LiveFrame) -> None:
        """See Sink.write."""
        assert self._server is not None
        self._server.publish(frame.picture, frame.fill)

    @property
    def skipped(self) -> int:
        """See Sink.skipped."""
        server = self._server
        return self._skipped + (0 if server is None else server.skipped)

    def close(self) -> str:
        """See Sink.close."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._skipped += server.skipped
        return ""


class PacedSink(Sink):
    """Sends frames of one size at its own rate; the last one is repeated while no new one arrives.

    Args:
        target: The destination.
        rate: Frames per second.
        name: Unique within a session.
    """

    retry = FIRST_RETRY
    longest_retry = LAST_RETRY

    def __init__(self, target: StreamTarget, rate: float, name: str = "") -> None:
        super().__init__()
        self.name = name or target.shown
        self.target = target
        self._rate = rate
        self._picture: Pixels | None = None  # as last sent
        self._sent = 0.0
        self.interval = 1 / rate

    def open(self) -> None:
        """See Sink.open."""
        self._picture = None
        self._sent = -1.0

    def write(self, frame: LiveFrame) -> None:
        """See Sink.write."""
        self._picture = self._fitted(frame)
        if self.clock() - self._sent > PACE / self._rate:
            self._give()

    def idle(self) -> None:
        """See Sink.idle."""
        if self._picture is not None:
            self._give()

    def _give(self) -> None:
        assert self._picture is not None
        self._sent = self.clock()
        self._send(self._picture)

    @abstractmethod
    def _fitted(self, frame: LiveFrame) -> Pixels:
        """The frame in the format and size to send."""

    @abstractmethod
    def _send(self, picture: Pixels) -> None:
        """Send a fitted frame."""


class TransmissionSink(PacedSink):
    """Sends H.264, with sound if requested, to a receiver. The stream keeps the size of its first frame.

    Args:
        target: The receiver.
        live: Rate, bit rate and microphone.
        name: Unique within a session.
    """

    patience = 8.0

    def __init__(self, target: StreamTarget, live: LiveOptions, name: str = "") -> None:
        super().__init__(target, live.stream_rate, name)
        self._kilobits = live.stream_bitrate
        self._microphone = live.microphone
        self._transmission: Transmission | None = None
        self._size = (0, 0)
        self._zero = 0.0

    @property
    def pid(self) -> int:
        """Id of the sending process, 0 if there is none."""
        return 0 if self._transmission is None else self._transmission.pid

    def write(self, frame: LiveFrame) -> None:
        """See Sink.write; the first frame waits for the receiver, and is sent only if no newer one comes."""
        if self._transmission is None:
            height, width = frame.picture.shape[:2]
            self._size = max(2, width - width % 2), max(2, height - height % 2)
            self._zero = self.clock()
            self._transmission = Transmission(
                self.target, self._size, self._rate, self._kilobits, microphone=self._microphone, zero=self._zero
            )
            self._picture = self._fitted(frame)
        else:
            super().write(frame)

    def _fitted(self, frame: LiveFrame) -> Pixels:
        return fit_picture(frame.opaque, self._size, "contain")

    def _send(self, picture: Pixels) -> None:
        assert self._transmission is not None
        self._transmission.send(picture, self._sent - self._zero)

    def close(self) -> str:
        """See Sink.close."""
        transmission, self._transmission = self._transmission, None
        if transmission is not None:
            transmission.close()
        return ""


class SenderSink(PacedSink):
    """Offers the result, with transparency, to programs on this computer or network that support NDI, Spout or Syphon.

    Args:
        target: Protocol, and the name that they see.
        rate: Frames per second.
        name: Unique within a session.
    """

    def __init__(self, target: StreamTarget, rate: float, name: str = "") -> None:
        super().__init__(target, rate, name)
        self._sender: Sender | None = None

    def open(self) -> None:
        """See Sink.open."""
        super().open()
        self._sender = open_sender(self.target.protocol, self.target.host, self._rate)

    def _fitted(self, frame: LiveFrame) -> Pixels:
        return frame.picture

    def _send(self, picture: Pixels) -> None:
        assert self._sender is not None
        self._sender.send(picture)

    def close(self) -> str:
        """See Sink.close."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()
        return ""


def stream_sinks(live: LiveOptions) -> list[Sink]:
    """A sink for each address in the option ``stream``."""
    targets = parse_targets(live.stream)
    return [make_sink(one, live, name) for one, name in zip(targets, unique_names(targets), strict=True)]


def make_sink(target: StreamTarget, live: LiveOptions, name: str = "") -> Sink:
    """Create the sink for an address.

    Args:
        target: The address.
        live: Rate, bit rate and microphone.
        name: Name of the sink; the address without its secrets by default.
    """
    if target.protocol == "mjpeg":
        return MjpegSink(target, name)
    if target.protocol in LOCAL:
        return SenderSink(target, live.stream_rate, name)
    return TransmissionSink(target, live, name)
