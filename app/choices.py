"""The animated part of a source and its drivers: options given as text, parsed once into small values.

This module deliberately imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, cast, get_args
from urllib.parse import urlsplit

from app.option_parsers import parse_colour
from models.choices import LARGEST, FaceChoice, parse_numbers
from models.messages import msg

SMALLEST_SQUARE = 16  # pixels
Ground = Literal["keep", "blur", "colour", "image", "transparent"]


@dataclass(frozen=True)
class Background:
    """The background behind the people of the source.

    Attributes:
        kind: "keep" leaves the source's own background; all others cut the people out.
        colour: (red, green, blue) for the kind "colour", 0 to 255.
        path: File for the kind "image", or None.
    """

    kind: Ground = "keep"
    colour: tuple[int, int, int] = (255, 255, 255)
    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Background:
        """Parse "keep", "blur", "transparent", a colour #rrggbb, or the name of an image.

        Raises:
            ValueError: The text is not valid.
        """
        if text in ("keep", "blur", "transparent"):
            return cls(cast(Ground, text))
        if text.startswith("#"):
            return cls("colour", parse_colour(text))
        if not Path(text).suffix:
            raise ValueError(
                msg("{text!r} is not keep, blur, transparent, a colour such as #00ff00, or the name of an image.", text)
            )
        return cls("image", path=Path(text))

    def clear(self, source: bool) -> bool:
        """Whether the result has transparent parts.

        Args:
            source: Whether the source has transparent parts.
        """
        return self.kind == "transparent" or (source and self.kind == "keep")


@dataclass(frozen=True)
class Faces:
    """The faces of a source that are animated.

    Attributes:
        choices: One or several faces; empty for all of them.
    """

    choices: tuple[FaceChoice, ...] = (LARGEST,)

    @classmethod
    def parse(cls, text: str) -> Faces:
        """Parse "all", or one or several faces joined by +.

        Raises:
            ValueError: The text is not valid.
        """
        return cls(()) if text == "all" else cls(tuple(FaceChoice.parse(part) for part in text.split("+")))

    @property
    def everybody(self) -> bool:
        """Whether all faces are animated."""
        return not self.choices

    @property
    def first(self) -> FaceChoice:
        """The first one; the largest if all are animated."""
        return self.choices[0] if self.choices else LARGEST

    def scaled(self, factor: float) -> Faces:
        """The same faces in an image of another size."""
        return Faces(tuple(choice.scaled(factor) for choice in self.choices))

    def __str__(self) -> str:
        return "+".join(map(str, self.choices)) or "all"


@dataclass(frozen=True)
class Square:
    """A crop set by hand.

    Attributes:
        x: Centre in pixels.
        y: Centre in pixels.
        side: Side in pixels, at least 16.
        angle: Degrees clockwise.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        if self.side < SMALLEST_SQUARE:
            raise ValueError(
                msg(
                    "the side of the crop is {side:g} px, it must be at least {smallest_square} px.",
                    self.side, SMALLEST_SQUARE,
                )
            )  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> Square | None:
        """Parse "x,y,size" or "x,y,size,angle"; an empty text is None.

        Raises:
            ValueError: The text is not valid, or the crop is too small.
        """
        if not text:
            return None
        numbers = parse_numbers(text)
        if numbers is None or len(numbers) not in (3, 4):
            raise ValueError(msg("{text!r} is not x,y,size or x,y,size,angle in pixels and degrees.", text))
        return cls(*numbers)

    def scaled(self, factor: float) -> Square:
        """The same crop in an image of another size."""
        return replace(self, x=self.x * factor, y=self.y * factor, side=max(self.side * factor, SMALLEST_SQUARE))

    def __str__(self) -> str:
        text = f"{self.x:.10g},{self.y:.10g},{self.side:.10g}"
        return f"{text},{self.angle:.10g}" if self.angle else text


@dataclass(frozen=True)
class FaceDriver:
    """A face with its own driver.

    Attributes:
        face: The face of the source.
        path: Clip, photo or template that drives it.
    """

    face: FaceChoice
    path: Path

    @classmethod
    def parse(cls, text: str) -> tuple[FaceDriver, ...]:
        """Parse FACE=FILE on each line; each face may occur once.

        Raises:
            ValueError: A line is not valid, or a face has two drivers.
        """
        drivers: dict[FaceChoice, FaceDriver] = {}
        for line in filter(None, (line.strip() for line in text.splitlines())):
            face, equals, name = (part.strip() for part in line.partition("="))
            if not equals or not name or not face:
                raise ValueError(msg("{line!r} is not a face and its driving file, such as left=mum.mp4.", line))
            choice = FaceChoice.parse(face)
            if choice in drivers:
                raise ValueError(
                    msg("face {face} has two drivers, {path} and {name}.", face, drivers[choice].path, name)
                )
            drivers[choice] = cls(choice, Path(name))
        return tuple(drivers.values())

    def __str__(self) -> str:
        return f"{self.face}={self.path}"


@dataclass(frozen=True)
class Subject:
    """The part of one source that is animated.

    Attributes:
        faces: The faces.
        square: Crop set by hand; None follows the face.
        drivers: Faces with their own drivers.
        landmarks: File with a face placed by hand, or None.
    """

    faces: Faces = Faces()
    square: Square | None = None
    drivers: tuple[FaceDriver, ...] = ()
    landmarks: Path | None = None

    NAMES = ("face", "crop", "driver_for", "landmarks")
    """Names of the options that it combines."""

    @classmethod
    def parse(cls, face: str = "largest", crop: str = "", driver_for: str = "", landmarks: str = "") -> Subject:
        """Parse the values of the options.

        Raises:
            ValueError: A value is not valid.
        """
        placed = Path(landmarks) if landmarks else None
        return cls(Faces.parse(face), Square.parse(crop), FaceDriver.parse(driver_for), placed)

    @property
    def values(self) -> Mapping[str, str]:
        """Values of the options that it combines."""
        return {
            "face": str(self.faces),
            "crop": str(self.square or ""),
            "driver_for": "\n".join(map(str, self.drivers)),
            "landmarks": str(self.landmarks or ""),
        }

    def scaled(self, factor: float) -> Subject:
        """The same in an image of another size; the landmarks file states its own size."""
        if factor == 1:
            return self
        return replace(
            self,
            faces=self.faces.scaled(factor),
            square=None if self.square is None else self.square.scaled(factor),
            drivers=tuple(replace(driver, face=driver.face.scaled(factor)) for driver in self.drivers),
        )


LARGEST_FACE = Subject()

Tracking = Literal["osc", "livelink", "ifacialmocap"]
LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - used only where the user opens a port to the network
PORTS: Final[Mapping[Tracking, int]] = {"osc": 39539, "livelink": 11111, "ifacialmocap": 49983}
"""Port at which each protocol is usually received."""
SENDERS: Final[Mapping[Tracking, str]] = {
    "osc": "VMC over OSC", "livelink": "Live Link Face", "ifacialmocap": "iFacialMocap",
}  # fmt: skip


@dataclass(frozen=True)
class TrackingAddress:
    """Address at which the packets of a face tracker are received, from an app on a phone or on this computer.

    Attributes:
        protocol: How it sends: OSC with the VMC protocol, Live Link Face, or iFacialMocap.
        host: Address of this computer, as numbers.
        port: 1 to 65535.
    """

    protocol: Tracking
    host: str = LOOPBACK
    port: int = 0

    def __post_init__(self) -> None:
        if not self.port:
            object.__setattr__(self, "port", PORTS[self.protocol])

    @classmethod
    def parse(cls, text: str) -> TrackingAddress | None:
        """Parse osc://127.0.0.1:39539, livelink://, ifacialmocap://0.0.0.0 and similar; None if it is none of these.

        Raises:
            ValueError: The address or port is none.
        """
        scheme, slashes, rest = text.strip().partition("://")
        protocol = scheme.lower()
        if not slashes or protocol not in get_args(Tracking):
            return None
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/]*))(?::(\d{1,5}))?/?", rest)
        host = (match[1] or match[2] or LOOPBACK) if match else ""
        host = LOOPBACK if host.lower() == "localhost" else host
        port = int(match[3]) if match and match[3] else PORTS[cast("Tracking", protocol)]
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            host = ""
        if not host or not 0 < port < 65536:
            raise ValueError(
                msg(
                    "{text!r} is not an address of this computer such as {protocol}://{loopback}:{port}.",
                    text, protocol, LOOPBACK, PORTS[cast("Tracking", protocol)],
                )
            )  # fmt: skip
        return cls(cast("Tracking", protocol), host, port)

    @property
    def place(self) -> str:
        """Host and port for display."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def title(self) -> str:
        """Display text."""
        return f"{SENDERS[self.protocol]} ({self.place})"

    @property
    def is_open(self) -> bool:
        """Whether other computers can send to it."""
        return not ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"{self.protocol}://{self.place}"


STREAMS: Final = ("rtsp", "rtsps", "http", "https", "srt", "rtmp", "rtmps", "udp")
"""Schemes of URLs of network cameras."""


@dataclass(frozen=True)
class StreamAddress:
    """A network camera.

    Attributes:
        url: As it was typed, names and passwords included; for the connection alone.
    """

    url: str

    @classmethod
    def parse(cls, text: str) -> StreamAddress | None:
        """Parse rtsp://, http:// and similar; None if it is none of these.

        Raises:
            ValueError: It names no computer.
        """
        scheme, slashes, _ = text.strip().partition("://")
        if not slashes or scheme.lower() not in STREAMS:
            return None
        address = cls(text.strip())
        try:
            parts = urlsplit(address.url)
            named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            named = False
        if not named or re.search(r"[\s\x00-\x1f]", address.url):
            raise ValueError(msg("{text!r} is not the URL of a camera such as rtsp://192.168.1.20/live.", str(address)))
        return address

    def __str__(self) -> str:
        """The URL without user names, passwords and keys: without the part before the last @ and after ? ; or #.

        A password may hold slashes and marks that should have been escaped, so nothing before an @ is trusted.
        """
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{re.split(r'[?#;]', rest.rpartition('@')[2], maxsplit=1)[0]}"

    def __repr__(self) -> str:
        return f"StreamAddress({str(self)!r})"


def driver_address(text: str) -> TrackingAddress | StreamAddress | None:
    """Parse the address of a driver: a face tracker or a network camera; None if it is neither.

    Raises:
        ValueError: It is meant as one, but is none.
    """
    return TrackingAddress.parse(text) or StreamAddress.parse(text)
