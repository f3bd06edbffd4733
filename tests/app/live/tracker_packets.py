"""Packets as face trackers send them, made after the public descriptions of their formats."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from liveportrait.blendshapes import ARKIT


def text(value: str) -> bytes:
    """An OSC text."""
    data = value.encode()
    return data + bytes(4 - len(data) % 4)


def message(address: str, *values: float | int | str | bool | bytes) -> bytes:
    """An OSC message."""
    types, data = ",", b""
    for value in values:
        if isinstance(value, bool):
            types += "T" if value else "F"
        elif isinstance(value, str):
            types, data = types + "s", data + text(value)
        elif isinstance(value, bytes):
            padded = value + bytes(-len(value) % 4)
            types, data = types + "b", data + struct.pack(">i", len(value)) + padded
        elif isinstance(value, int):
            types, data = types + "i", data + struct.pack(">i", value)
        else:
            types, data = types + "f", data + struct.pack(">f", value)
    return text(address) + text(types) + data


def bundle(*parts: bytes, time: int = 1) -> bytes:
    """An OSC bundle; a time tag of 1 means at once."""
    return b"#bundle\0" + struct.pack(">Q", time) + b"".join(struct.pack(">i", len(part)) + part for part in parts)


def bone(name: str, x: float = 0.0, y: float = 0.0, z: float = 0.0, w: float = 1.0) -> bytes:
    """A bone of VMC with its turn as quaternion."""
    return message("/VMC/Ext/Bone/Pos", name, 0.0, 0.1, 0.0, x, y, z, w)


def vmc(shapes: Mapping[str, float], *bones: bytes) -> bytes:
    """A frame of a VMC sender in one bundle."""
    values = [message("/VMC/Ext/Blend/Val", name, float(value)) for name, value in shapes.items()]
    return bundle(message("/VMC/Ext/OK", 1), message("/VMC/Ext/T", 1.5), *bones, *values,
                  message("/VMC/Ext/Blend/Apply"))  # fmt: skip


def livelink(
    shapes: Mapping[str, float], yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, *, face: bool = True
) -> bytes:
    """A frame of Live Link Face; angles in radians."""
    device, subject = b"6A1C29B0-52B4-4E5D-9C0F-0123456789AB", "Größe".encode()
    head = bytes([6]) + b"".join(struct.pack(">i", len(name)) + name for name in (device, subject))
    head += struct.pack(">ifii", 4711, 0.25, 60, 1)
    values = [float(shapes.get(name, 0.0)) for name in ARKIT] + [yaw, pitch, roll, *[0.1] * 6]
    return head + (bytes([61]) + struct.pack(">61f", *values) if face else b"")


IFACIALMOCAP = (
    "mouthSmile_R-0|eyeLookOut_L-0|mouthUpperUp_L-11|eyeWide_R-0|mouthClose-8|mouthPucker-4|eyeBlink_R-7|"
    "eyeLookDown_L-17|eyeBlink_L-70|jawOpen-12|browInnerUp-20|hairs-3|"
    "=head#-21.5,-6.0,-6.6,-0.03,-0.1,-0.65|rightEye#6.0,2.4,0.25|leftEye#6.0,-1.6,-0.17|"
)
"""A frame of iFacialMocap, shortened from its developers' page."""
