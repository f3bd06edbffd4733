"""The VMC protocol (protocol.vmc.info, version 3.1) over OSC: blend shapes and the bones of head and eyes."""

from __future__ import annotations

import math
from typing import Final

from app.sources.sensors.osc import Value, messages
from app.sources.sensors.turns import Quaternion, head_degrees, product, unit
from liveportrait.blendshapes import FaceReading, shape_name

_STILL: Final[Quaternion] = (0.0, 0.0, 0.0, 1.0)
_BONES: Final = ("Neck", "Head", "LeftEye", "RightEye")
EYE_TURN: Final = 15.0  # rotation of an eye bone in degrees for a full gaze


class VmcReader:
    """Collects the messages of a sender; memory does not grow, since only known names are kept."""

    def __init__(self) -> None:
        self._coming: dict[str, float] = {}  # shapes since the last /VMC/Ext/Blend/Apply, and before
        self._shapes: dict[str, float] = {}
        self._bones: dict[str, Quaternion] = {}
        self._tracked = True

    def __call__(self, packet: bytes) -> FaceReading | None:
        """Process a packet; returns the updated face, or None if the packet contains nothing new.

        Raises:
            ValueError: It is not an OSC packet.
        """
        fresh = False
        for message in messages(packet):
            if message.address == "/VMC/Ext/Blend/Val":
                self._blend(message.values)
            elif message.address == "/VMC/Ext/Blend/Apply":
                self._shapes, fresh = dict(self._coming), True
            elif message.address == "/VMC/Ext/Bone/Pos":
                fresh = self._bone(message.values) or fresh
            elif message.address == "/VMC/Ext/OK" and len(message.values) >= 4:
                self._tracked = message.values[3] != 0  # since version 2.7: whether the sender detects a face
        return self._reading() if fresh and self._tracked else None

    def _blend(self, values: tuple[Value, ...]) -> None:
        if len(values) < 2 or not isinstance(values[0], str) or not isinstance(values[1], float | int):
            return
        name, weight = shape_name(values[0]), float(values[1])
        if name and math.isfinite(weight):
            self._coming[name] = min(max(weight, 0.0), 1.0)

    def _bone(self, values: tuple[Value, ...]) -> bool:
        if len(values) < 8 or values[0] not in _BONES:
            return False
        numbers = [float(value) for value in values[4:8] if isinstance(value, float | int)]
        turn = unit(*numbers) if len(numbers) == 4 else None
        if turn is not None:
            self._bones[str(values[0])] = turn
        return turn is not None

    def _reading(self) -> FaceReading:
        turn = product(self._bones.get("Neck", _STILL), self._bones.get("Head", _STILL))
        eyes = [head_degrees(self._bones[name]) for name in ("LeftEye", "RightEye") if name in self._bones]
        gaze = None
        if eyes and not any(name.startswith(("eyeLook", "look")) and w for name, w in self._shapes.items()):
            yaw, pitch = (sum(eye[axis] for eye in eyes) / len(eyes) / EYE_TURN for axis in (1, 0))
            gaze = (min(max(-yaw, -1.0), 1.0), min(max(-pitch, -1.0), 1.0))
        return FaceReading(dict(self._shapes), head_degrees(turn), gaze, levelled=True)
