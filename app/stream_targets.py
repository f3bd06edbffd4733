"""Destinations of a live result: addresses typed by the user, parsed once.

An address may contain a secret, such as a stream key. Only ``StreamTarget.url`` does; messages, names and statistics
use ``StreamTarget.shown``. This module deliberately imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args
from urllib.parse import unquote, urlsplit

from models.messages import msg

Protocol = Literal["mjpeg", "srt", "rtmp", "rtmps", "udp", "rtp", "ndi", "spout", "syphon"]
LOCAL: Final = ("ndi", "spout", "syphon")
"""Protocols whose address is the name shown by other programs."""
PORTS: Final = {"mjpeg": 8090, "rtmp": 1935, "rtmps": 443}
"""Default ports."""
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
LONGEST_NAME: Final = 200
EXAMPLES: Final = "mjpeg://127.0.0.1:8090, srt://127.0.0.1:9000, rtmp://HOST/APP/KEY, udp://127.0.0.1:5000, ndi://NAME"


@dataclass(frozen=True)
class StreamTarget:
    """One receiver, or one address that receivers connect to.

    Attributes:
        protocol: How frames are sent.
        host: Name or IP address of the computer; for the protocols in LOCAL the name that other programs see.
        port: Port, 0 for the protocols in LOCAL.
        url: The whole address with its secrets.
    """

    protocol: Protocol
    host: str
    port: int
    url: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> StreamTarget:
        """Parse an address such as mjpeg://127.0.0.1:8090.

        Raises:
            ValueError: It is not valid; the message shows only its protocol.
        """
        address = text.strip()
        scheme = address.partition("://")[0].lower() if "://" in address else ""
        if scheme not in get_args(Protocol):
            raise ValueError(msg("a stream has an address such as {examples}.", EXAMPLES))
        protocol = cast(Protocol, scheme)
        if protocol in LOCAL:
            return cls(protocol, _name(address, protocol), 0, address)
        try:
            parts = urlsplit(address)
            host, port = parts.hostname or "", parts.port or PORTS.get(protocol, 0)
        except ValueError:
            raise ValueError(msg("the {protocol} address has no valid host and port.", protocol)) from None
        if protocol == "mjpeg":
            host = host or LOOPBACK[0]
            if parts.path.strip("/") or parts.query or parts.username:
                raise ValueError("an mjpeg address is mjpeg://HOST:PORT and nothing more.")
        if not host or re.search(r"\s", address):
            raise ValueError(msg("the {protocol} address has no valid host and port.", protocol))
        if not port:
            raise ValueError(msg("the {protocol} address lacks the port, such as :9000 after the host.", protocol))
        if protocol in ("rtmp", "rtmps") and not parts.path.strip("/"):
            raise ValueError(msg("an {protocol} address ends in the application and the stream key.", protocol))
        return cls(protocol, host, port, address)

    @property
    def shown(self) -> str:
        """The address without anything that may be secret."""
        if self.protocol in LOCAL:
            return f"{self.protocol}://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}://{host}:{self.port}"

    @property
    def is_open(self) -> bool:
        """Whether other computers can connect to it."""
        return self.protocol == "mjpeg" and self.host not in LOOPBACK


def _name(address: str, protocol: str) -> str:
    name = unquote(address.partition("://")[2]).strip("/ ")
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(msg("the {protocol} address needs the name that other programs see.", protocol))
    return name


def parse_targets(text: str) -> tuple[StreamTarget, ...]:
    """Parse targets, one per line, without duplicates.

    Raises:
        ValueError: A line is not valid.
    """
    lines = filter(None, (line.strip() for line in text.splitlines()))
    return tuple(dict.fromkeys(StreamTarget.parse(line) for line in lines))


def unique_names(targets: tuple[StreamTarget, ...]) -> list[str]:
    """A name for each target without secrets; targets with the same name are numbered."""
    shown = [target.shown for target in targets]
    return [
        name if shown.count(name) == 1 else f"{name} ({shown[: index + 1].count(name)})"
        for index, name in enumerate(shown)
    ]
