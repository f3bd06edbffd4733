"""Expressions over time: keyframes, files, sums."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from liveportrait.expression_track import Channel, ExpressionTrack, added

KEYS = {
    "keys": [
        {"time": 0, "sliders": {"smile": 0.0, "yaw": -5}, "lip_ratio": 0},
        {"time": 1, "sliders": {"smile": 0.8}, "lip_ratio": 0.3, "ease": "hold"},
        {"time": 2, "sliders": {"smile": 0.2, "yaw": 5}, "lip_ratio": 0.1, "ease": "linear"},
        {"time": 4, "sliders": {"smile": 0.0}, "eye_ratio": [0.3, None]},
    ],
    "duration": 5,
}


def test_keyframes_are_met_and_eased_as_they_say() -> None:
    track = ExpressionTrack.from_dict(KEYS)
    assert track.duration == 5
    assert track.at(0).values["smile"] == 0
    assert 0 < track.at(0.5).values["smile"] < 0.8
    assert track.at(1.9).values["smile"] == 0.8  # holds
    assert track.at(3).values["smile"] == pytest.approx(0.1)  # linear
    assert track.at(9).values["smile"] == 0
    assert track.at(1).lip_ratio == pytest.approx(0.3)
    assert track.at(4).eye_ratio == (0.3, None)
    assert track.at(2).values["yaw"] == 5


def test_smooth_curves_do_not_overshoot() -> None:
    channel = Channel(np.array([0.0, 1, 2, 3]), np.array([0.0, 1, 1, 0.2]))
    values = [channel.at(t) for t in np.linspace(-1, 4, 101)]
    assert min(values) >= 0
    assert max(values) <= 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"keys": []}, "keys"),
        ({"keys": [{"time": 0, "sliders": {"grimace": 1}}]}, "key 1: there is no slider named 'grimace'"),
        ({"keys": [{"time": 0, "sliders": {"smile": 9}}]}, "key 1: slider smile must be within"),
        ({"keys": [{"time": 1}, {"time": 1}]}, "key 2 is at 1 s"),
        ({"keys": [{"time": 0, "ease": "bounce"}]}, "ease of key 1"),
        ({"keys": [{"time": float("nan")}]}, "time of key 1"),
        ({"keys": ["smile"]}, "key 1 is not a table"),
        ({"schema_version": 2}, "schema_version"),
        ({"speed": 2}, "unknown entries"),
        ({"duration": "long"}, "duration"),
        ({"duration": -1}, "duration"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(change: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ExpressionTrack.from_dict(KEYS | change)


def test_a_file_gives_back_the_track_and_the_same_bytes() -> None:
    track = ExpressionTrack.from_dict(KEYS)
    first, second = io.BytesIO(), io.BytesIO()
    track.save(first)
    track.save(second)
    assert first.getvalue() == second.getvalue()
    back = ExpressionTrack.load(io.BytesIO(first.getvalue()))
    for time in np.linspace(0, 5, 23):
        assert back.at(time) == track.at(time)


def test_damaged_files_are_refused() -> None:
    good = io.BytesIO()
    ExpressionTrack.from_dict(KEYS).save(good)
    data = good.getvalue()
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("track.json", '{"schema_version": 1, "duration": 1, "channels": {"../x": {"ease": "hold"}}}')
    for bad in (b"", b"nothing", data[: len(data) // 2], other.getvalue()):
        with pytest.raises(ValueError, match=r"."):
            ExpressionTrack.load(io.BytesIO(bad))


def test_tracks_add_up_within_the_ranges() -> None:
    smile = ExpressionTrack({"smile": Channel(np.array([0.0]), np.array([1.0]))}, 1)
    more = ExpressionTrack(
        {"smile": Channel(np.array([0.0]), np.array([0.9])), "lips": Channel(np.array([0.0]), np.array([0.2]))}, 2
    )
    both = added([smile, more])
    assert both.duration == 2
    assert both.at(0.5).values["smile"] == pytest.approx(1.3)
    assert both.at(0.5).lip_ratio == pytest.approx(0.2)


def test_keys_at_the_limits_stay_within_them() -> None:
    """Rounding gave 1.0000000000000002 between two keys at 1, which no slider takes."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        times = np.sort(rng.choice(np.arange(1, 640), 6, replace=False)) / 100
        keys = [{"time": float(t), "sliders": {"wink_right": float(rng.integers(2))}} for t in times]
        track = ExpressionTrack.from_dict({"keys": keys})
        for time in np.arange(0, 6.4, 0.04):
            assert 0 <= track.at(float(time)).values.get("wink_right", 0.0) <= 1
