"""Packets of Live Link Face, Epic's app for iPhones: binary, big-endian, one per frame.

byte 6 (version) | text device | text subject | int32 frame, float part of it, int32 rate, int32 per | byte 61, floats

A text is its length as int32 and UTF-8. The layout is that of Unreal Engine's AppleARKitFaceSupport; head angles are in
radians, as in public senders and receivers.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from app.sources.sensors import broken
from liveportrait.blendshapes import ARKIT, FaceReading

VERSION: Final = 6
VALUES: Final = 61  # 52 shapes; yaw, pitch and roll of the head and of both eyes
LONGEST_TEXT: Final = 1024
_TIME: Final = struct.Struct(">ifii")
_VALUES: Final = struct.Struct(f">{VALUES}f")


def read_livelink(packet: bytes) -> FaceReading | None:
    """Decode the face in a packet; None for a packet without one, which the app sends while it detects no face.

    Raises:
        ValueError: It is not a packet of Live Link Face.
    """
    if not packet or packet[0] != VERSION:
        raise broken("no packet of Live Link Face, version 6.")
    at = 1
    for _ in ("device", "subject"):
        at = _after_text(packet, at)
    at += _TIME.size
    if len(packet) == at:
        return None
    if len(packet) < at + 1 + _VALUES.size or packet[at] != VALUES:
        raise broken(f"a packet of Live Link Face without its {VALUES} values.")
    values = _VALUES.unpack_from(packet, at + 1)
    if not all(map(math.isfinite, values)):
        raise broken("a packet of Live Link Face with values that are no numbers.")
    shapes = {name: min(max(value, 0.0), 1.0) for name, value in zip(ARKIT, values, strict=False)}
    yaw, pitch, roll = (math.degrees(min(max(value, -math.pi), math.pi)) for value in values[52:55])
    return FaceReading(shapes, (pitch, -yaw, roll))


def _after_text(packet: bytes, at: int) -> int:
    """End of a text."""
    if len(packet) < at + 4:
        raise broken("a packet of Live Link Face that was cut off.")
    size = int.from_bytes(packet[at : at + 4], "big", signed=True)
    if not 0 <= size <= min(LONGEST_TEXT, len(packet) - at - 4):
        raise broken("a packet of Live Link Face with a name longer than itself.")
    return at + 4 + size
