"""Open Sound Control 1.0 (opensoundcontrol.stanford.edu/spec-1_0.html): decoding of packets.

Implemented here instead of using a package, since only decoding is needed, and input from the network must be bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.sources.sensors import broken

Value = float | int | str | bytes | bool | None

MOST_MESSAGES: Final = 2048  # per packet
DEEPEST: Final = 4  # nesting of bundles
_BUNDLE: Final = b"#bundle\0"
_NUMBERS: Final = {"i": ">i", "f": ">f", "h": ">q", "d": ">d", "t": ">Q", "c": ">i", "r": ">I", "m": ">I"}
_PLAIN: Final[dict[str, Value]] = {"T": True, "F": False, "N": None, "I": True}  # types without data bytes


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        address: Address such as "/VMC/Ext/OK".
        values: Its arguments: int (i, h, c, r, m; t as the 64 bits of a time tag), float (f, d), str (s, S), bytes (b),
            bool (T, F, I) or None (N). Arrays are flattened.
    """

    address: str
    values: tuple[Value, ...]


def messages(packet: bytes) -> list[Message]:
    """All messages of a packet, those of bundles in order; time tags of bundles are ignored.

    Raises:
        ValueError: It is not an OSC packet, or has more messages than any sender needs.
    """
    found: list[Message] = []
    for message in _elements(packet, 0):
        found.append(message)
        if len(found) > MOST_MESSAGES:
            raise broken(f"an OSC packet of more than {MOST_MESSAGES} messages.")
    return found


def _elements(data: bytes, depth: int) -> Iterator[Message]:
    if not data.startswith(_BUNDLE):
        yield _message(data)
        return
    if depth >= DEEPEST:
        raise broken("OSC bundles within bundles within bundles.")
    at = len(_BUNDLE) + 8
    if at > len(data):
        raise broken("an OSC bundle without its time tag.")
    while at < len(data):
        size = int(_unpack(">i", data, at)[0])
        at += 4
        if not 0 < size <= len(data) - at:
            raise broken("an OSC bundle whose part is longer than itself.")
        yield from _elements(data[at : at + size], depth + 1)
        at += size


def _message(data: bytes) -> Message:
    address, at = _text(data, 0)
    if not address.startswith("/"):
        raise broken("an OSC message without an address.")
    if at >= len(data):
        return Message(address, ())  # older senders omit the types if there are no values
    types, at = _text(data, at)
    if not types.startswith(","):
        raise broken("an OSC message without types.")
    values: list[Value] = []
    for kind in types[1:]:
        if kind in _NUMBERS:
            (value,) = _unpack(_NUMBERS[kind], data, at)
            at += struct.calcsize(_NUMBERS[kind])
            values.append(value)
        elif kind in _PLAIN:
            values.append(_PLAIN[kind])
        elif kind in "sS":
            text, at = _text(data, at)
            values.append(text)
        elif kind == "b":
            blob, at = _blob(data, at)
            values.append(blob)
        elif kind not in "[]":
            raise broken(f"an OSC message with a value of type {kind!r}.")
    return Message(address, tuple(values))


def _unpack(form: str, data: bytes, at: int) -> tuple[int | float, ...]:
    try:
        return struct.unpack_from(form, data, at)
    except struct.error:
        raise broken("an OSC packet that was cut off.") from None


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A zero-terminated text, and the start of the next value at a multiple of four bytes."""
    end = data.find(b"\0", at)
    if end < 0:
        raise broken("an OSC text without an end.")
    return data[at:end].decode("utf-8", "replace"), end + 4 - end % 4


def _blob(data: bytes, at: int) -> tuple[bytes, int]:
    (size,) = _unpack(">i", data, at)
    at += 4
    if not 0 <= int(size) <= len(data) - at:
        raise broken("an OSC blob longer than its message.")
    end = at + int(size)
    return data[at:end], end + -end % 4
