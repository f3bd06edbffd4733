"""Packets of face trackers: read as their senders mean them, and harmless when they are broken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tracker_packets import IFACIALMOCAP, bone, bundle, livelink, message, vmc

from app.sources.sensors.ifacialmocap import read_ifacialmocap
from app.sources.sensors.livelink import read_livelink
from app.sources.sensors.osc import DEEPEST, MOST_MESSAGES, messages
from app.sources.sensors.turns import head_degrees, unity_turn
from app.sources.sensors.vmc import VmcReader
from liveportrait.blendshapes import ARKIT, PRESETS

HALF = math.sqrt(0.5)


# ---------------------------------------------------------------------- OSC


def test_osc_values_of_all_types_and_nested_bundles():
    plain = message("/a/b", 7, -1.5, "ä text", b"12345", True, False)
    wide = b"/w\0\0,hdtNIc[f]\0\0" + bytes(7) + b"\x05" + np.array([2.5], ">f8").tobytes() + bytes(7) + b"\x01"
    wide += b"\0\0\0A" + np.array([0.25], ">f4").tobytes()
    found = messages(bundle(plain, bundle(wide), message("/last")))
    assert [m.address for m in found] == ["/a/b", "/w", "/last"]
    assert found[0].values == (7, -1.5, "ä text", b"12345", True, False)
    assert found[1].values == (5, 2.5, 1, None, True, 65, 0.25)
    assert messages(b"/VMC/Ext/Blend/Apply\0\0\0\0")[0].values == ()  # an older sender without types


@pytest.mark.parametrize(
    "packet",
    [
        b"", b"abcd", b"/a\0\0,i\0\0\0\0", b"/a\0\0,b\0\0\x7f\xff\xff\xff", b"/a\0\0,s\0\0abcd", b"/a\0\0,z\0\0",
        b"/a\0\0ii\0\0", b"#bundle\0", b"#bundle\0" + bytes(8) + b"\0\0\1\0", b"#bundle\0" + bytes(8) + 4 * b"\xff",
        bundle(*[message("/a")] * (MOST_MESSAGES + 1)),
    ],
)  # fmt: skip
def test_broken_osc_is_refused(packet):
    with pytest.raises(ValueError, match="OSC"):
        messages(packet)


def test_bundles_are_not_followed_without_end():
    packet = message("/a")
    for _ in range(DEEPEST):
        packet = bundle(packet)
    assert len(messages(packet)) == 1
    with pytest.raises(ValueError, match="OSC"):
        messages(bundle(packet))


# ---------------------------------------------------------------------- VMC


def test_vmc_shapes_count_once_they_are_applied():
    read = VmcReader()
    assert read(message("/VMC/Ext/Blend/Val", "JawOpen", 0.5)) is None
    assert read(message("/VMC/Ext/Blend/Val", "Unknown", 0.5)) is None
    reading = read(message("/VMC/Ext/Blend/Apply"))
    assert reading is not None
    assert reading.shapes == {"jawOpen": 0.5}
    full = read(vmc({"A": 2.0, "Blink_L": -1.0, "Joy": float("nan")}))
    assert full is not None
    assert full.shapes == {"jawOpen": 0.5, "a": 1.0, "blinkLeft": 0.0}


@pytest.mark.parametrize(
    ("turn", "head"),
    [
        ((math.sin(math.radians(5)), 0, 0, math.cos(math.radians(5))), (10.0, 0.0, 0.0)),  # chin down
        ((0, math.sin(math.radians(10)), 0, math.cos(math.radians(10))), (0.0, 20.0, 0.0)),  # to its own right
        ((0, 0, math.sin(math.radians(4)), math.cos(math.radians(4))), (0.0, 0.0, 8.0)),  # to its own left shoulder
        ((0, 0, 0, 3.0), (0.0, 0.0, 0.0)),  # any length
    ],
)
def test_vmc_head_and_neck_turn_together(turn, head):
    reading = VmcReader()(bone("Head", *turn))
    assert reading is not None
    assert reading.head == pytest.approx(head, abs=1e-3)
    both = VmcReader()(bundle(bone("Neck", *turn), bone("Head", *turn), bone("LeftHand", *turn)))
    assert both is not None
    assert both.head == pytest.approx([2 * angle for angle in head], abs=1e-3)


def test_vmc_eye_bones_are_a_gaze_unless_shapes_say_it():
    up_left = (-math.sin(math.radians(3)), -math.sin(math.radians(5)), 0, 1.0)
    reading = VmcReader()(bundle(bone("LeftEye", *up_left), bone("RightEye", *up_left)))
    assert reading is not None
    assert reading.gaze is not None
    assert reading.gaze == pytest.approx((10 / 15, 6 / 15), abs=0.02)
    told = VmcReader()(vmc({"LookUp": 0.5}, bone("LeftEye", *up_left)))
    assert told is not None
    assert told.gaze is None


def test_vmc_says_when_nobody_is_seen():
    read = VmcReader()
    assert read(bundle(message("/VMC/Ext/OK", 1, 3, 0, 0), message("/VMC/Ext/Blend/Apply"))) is None
    assert read(bundle(message("/VMC/Ext/OK", 1, 3, 0, 1), message("/VMC/Ext/Blend/Apply"))) is not None


@pytest.mark.parametrize(
    "broken",
    [
        message("/VMC/Ext/Bone/Pos", "Head", 0.0), bone("Head", 0, 0, 0, 0), bone("Head", float("nan")),
        bone("Head", float("inf"), 0, 0, 1), bone("Head", 1e30, 0, 0, 1), message("/VMC/Ext/Bone/Pos", *[1.0] * 8),
        message("/VMC/Ext/Bone/Pos", "Head", *["a"] * 7), message("/VMC/Ext/Blend/Val", 1.0, "A"),
        message("/VMC/Ext/Blend/Val", "A"), message("/VMC/Ext/OK"), message("/VMC/Ext/Bone/Pos"),
    ],
)  # fmt: skip
def test_vmc_messages_of_a_wrong_kind_say_nothing(broken):
    read = VmcReader()
    assert read(broken) is None
    after = read(message("/VMC/Ext/Blend/Apply"))
    assert after is not None
    assert (after.shapes, after.head) == ({}, (0.0, 0.0, 0.0))


# ---------------------------------------------------------------------- Live Link Face, iFacialMocap


def test_live_link_face():
    reading = read_livelink(livelink({"jawOpen": 0.5, "tongueOut": 1.5, "eyeBlinkLeft": -0.1}, 0.1, 0.2, -0.3))
    assert reading is not None
    assert list(reading.shapes) == list(ARKIT)
    assert {n: v for n, v in reading.shapes.items() if v} == {"jawOpen": 0.5, "tongueOut": 1.0}
    assert reading.head == pytest.approx([math.degrees(0.2), -math.degrees(0.1), math.degrees(-0.3)])
    assert read_livelink(livelink({}, face=False)) is None


@pytest.mark.parametrize("cut", [0, 1, 3, 20, 41, 60, -1])
def test_broken_packets_of_live_link_face_are_refused(cut):
    with pytest.raises(ValueError, match="Live Link Face"):
        read_livelink(livelink({})[:cut])


def test_numbers_of_live_link_face_are_finite():
    with pytest.raises(ValueError, match="no numbers"):
        read_livelink(livelink({"jawOpen": math.nan}))


def test_ifacialmocap():
    reading = read_ifacialmocap(IFACIALMOCAP.encode())
    assert reading is not None
    assert reading.shapes["eyeBlinkLeft"] == 0.7
    assert reading.shapes["browInnerUp"] == 0.2
    assert len(reading.shapes) == 11
    assert reading.head == pytest.approx((-21.4, -6.4, -6.6), abs=2.5)
    second = read_ifacialmocap(IFACIALMOCAP.replace("-", "&", 11).encode())
    assert second is not None
    assert second.shapes["eyeBlinkLeft"] == 0.7


@pytest.mark.parametrize(
    "broken", [b"", b"|", b"\xff\xfe|", b"jawOpen-x|", b"jawOpen-nan|", b"jawOpen-1|=head#1|", b"jawOpen-1|" * 300]
)
def test_broken_packets_of_ifacialmocap_are_refused(broken):
    with pytest.raises(ValueError, match=r"\w"):
        read_ifacialmocap(broken)


def test_turns_of_unity():
    for angles in ((10, 0, 0), (0, 20, 0), (0, 0, -8)):
        assert head_degrees(unity_turn(*angles)) == pytest.approx(angles, abs=1e-4)


# ---------------------------------------------------------------------- fuzz


def mutated(random: np.random.Generator, packet: bytes) -> bytes:
    data = bytearray(packet)
    for _ in range(int(random.integers(1, 6))):
        at = int(random.integers(0, max(len(data), 1)))
        match int(random.integers(0, 4)):
            case 0:
                data[at : at + 1] = random.bytes(1)
            case 1:
                data[at : at + 4] = [b"\xff\xff\xff\xff", b"\x7f\xc0\0\0", b"\x7f\x80\0\0", bytes(4)][at % 4]
            case 2:
                del data[at : at + int(random.integers(1, 40))]
            case _:
                data[at:at] = random.bytes(int(random.integers(1, 9)))
    return bytes(data)


def test_ten_thousand_fuzzed_packets_neither_crash_nor_leave_the_bounds():
    random = np.random.default_rng(7)
    shapes = dict.fromkeys(ARKIT, 0.5)
    good = [
        vmc({"jawOpen": 0.5, "Joy": 1.0, "eyeBlink_L": 0.2}, bone("Head", 0, HALF, 0, HALF)),
        livelink(shapes, 1, 2, 3),
        IFACIALMOCAP.encode(),
        b"",
    ]
    readers = [VmcReader(), read_livelink, read_ifacialmocap]
    known, seen, refused = {*ARKIT, *PRESETS}, 0, 0
    for number in range(10_000):
        packet = mutated(random, good[number % 4]) if number % 4 < 3 else random.bytes(int(random.integers(0, 400)))
        for read in readers if number % 4 == 3 else readers[number % 4 : number % 4 + 1]:
            try:
                reading = read(packet)
            except ValueError:
                refused += 1
                continue
            if reading is not None:
                seen += 1
                assert set(reading.shapes) <= known
                assert all(0 <= weight <= 1 for weight in reading.shapes.values())
                assert all(abs(angle) <= 180 for angle in reading.head)
    assert seen > 1000
    assert refused > 1000
