"""Packets of iFacialMocap and compatible apps (ifacialmocap.com/for-developer): one text per frame.

name-value|...|=head#x,y,z,px,py,pz|rightEye#x,y,z|leftEye#x,y,z|, with "&" instead of "-" in its second version.
Weights run from 0 to 100; angles are in degrees, in Unity's axes.
"""

from __future__ import annotations

import math
from typing import Final

from app.sources.sensors import broken
from app.sources.sensors.turns import head_degrees, unity_turn
from liveportrait.blendshapes import ARKIT, FaceReading, shape_name

MOST_PARTS: Final = 256


def read_ifacialmocap(packet: bytes) -> FaceReading | None:
    """Decode the face in a packet.

    Raises:
        ValueError: It is not a packet of iFacialMocap.
    """
    parts = packet.decode("utf-8").split("|")  # a UnicodeDecodeError is a ValueError
    if not 1 < len(parts) <= MOST_PARTS:
        raise broken("no packet of iFacialMocap.")
    shapes: dict[str, float] = {}
    head = (0.0, 0.0, 0.0)
    for part in parts:
        name, numbers = part.partition("#")[::2]
        if numbers:
            if name in ("=head", "head"):
                x, y, z = (_number(text) for text in numbers.split(",")[:3])
                head = head_degrees(unity_turn(x, y, z))
            continue
        name, weight = part.partition("&" if "&" in part else "-")[::2]
        known = shape_name(name)
        if known in ARKIT:
            shapes[known] = min(max(_number(weight) / 100, 0.0), 1.0)
    if not shapes:
        raise broken("a packet without blend shapes of iFacialMocap.")
    return FaceReading(shapes, head)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise broken("a packet of iFacialMocap with values that are no numbers.")
    return value
