"""Rates, time bases, tags and display matrices, which versions of PyAV give in different ways."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from media_clips import make_clip, number, steady

from app.media import container as containers
from app.media.reader import open_clip
from app.media.video import Orientation

pytestmark = pytest.mark.smoke


class Rational:
    """Stands for PyAV 19's AVRational: false where nothing is set, and also where the denominator is 0."""

    def __init__(self, numerator: int, denominator: int) -> None:
        self.numerator, self.denominator = numerator, denominator

    def __bool__(self) -> bool:
        return self.numerator != 0 and self.denominator != 0


@pytest.mark.parametrize("make", [Rational, getattr(av, "AVRational", Rational)])
def test_unset_and_impossible_rates_are_none(make: Any) -> None:
    assert containers.fraction(make(30000, 1001)) == Fraction(30000, 1001)
    assert type(containers.fraction(make(25, 1))) is Fraction
    for unset in (None, make(0, 1), make(1, 0), make(0, 0), Fraction(0)):
        assert containers.fraction(unset) is None


@pytest.mark.parametrize("base", [None, Rational(0, 1), Rational(1, 0)])
def test_time_base_is_never_missing(base: Any) -> None:
    assert containers.time_base(SimpleNamespace(time_base=base)) == Fraction(1, 1_000_000)


def test_numbers_of_a_clip_are_exact_fractions(tmp_path: Path) -> None:
    """PyAV 19's own numbers round to 32 bits as soon as two of them meet."""
    rate = Fraction(24000, 1001)
    path = make_clip(tmp_path / "a.mp4", steady(10, rate), rate=rate, aspect=Fraction(4, 3))
    with open_clip(path) as clip:
        times = [frame.time for frame in clip]
        for value in (clip.info.rate, clip.info.time_base, clip.info.duration, clip.info.lead, *times):
            assert type(value) is Fraction
        assert times == steady(10, rate)
        assert clip.info.width == round(96 * 4 / 3)


def test_tags_in_another_encoding_do_not_keep_a_clip_from_opening(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", steady(5), metadata={"title": "PLACEHOLDER", "DURATION": "00:00:00.2"})
    data = path.read_bytes()
    assert data.count(b"PLACEHOLDER") == 1
    path.write_bytes(data.replace(b"PLACEHOLDER", "Café à 5 €".encode("cp1252") + b"\xff"))
    with open_clip(path) as clip:
        assert [number(frame.rgb) for frame in clip] == list(range(5))


def test_display_matrix_is_found_among_other_side_data(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", steady(3), rotation=90)
    with containers.open_input(path) as source:
        frame = next(source.decode(video=0))
        assert len(frame.side_data) > 0
        turn = Orientation.of(frame)
        assert turn is not None
        assert turn.transpose
    plain = make_clip(tmp_path / "b.mp4", steady(3))
    with containers.open_input(plain) as source:
        assert Orientation.of(next(source.decode(video=0))) is None


def test_decoded_frames_wait_for_no_garbage_collector(tmp_path: Path) -> None:
    """A cycle in PyAV kept each frame whose side data was looked at: 90 MB of a clip of 512 x 512, 640 MB of 1080p."""
    for rotation in (0, 90):
        path = make_clip(tmp_path / f"{rotation}.mp4", steady(12), rotation=rotation)
        with open_clip(path) as reader:
            gc.collect()
            gc.disable()
            try:
                shapes = {frame.rgb.shape for frame in reader}
                left = sum(type(one).__name__ == "VideoFrame" for one in gc.get_objects())
            finally:
                gc.enable()
        assert len(shapes) == 1
        assert left <= 3
