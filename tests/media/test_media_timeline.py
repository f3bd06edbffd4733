"""Pairing of clips by time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from media_clips import steady

from app.media import timeline
from app.media.timeline import Pair, frame_at, output_duration, pair, sample_times

S30, S25 = steady(300, 30), steady(250, 25)


def test_8_frames_are_paired_by_time_not_by_number() -> None:
    pairs = list(pair(S30, Fraction(10), S25, Fraction(10), "driving"))
    assert [p.time for p in pairs] == S25
    assert [p.driving for p in pairs] == list(range(250))
    for p in pairs:  # the source frame on screen at that moment
        assert S30[p.source] <= p.time < S30[p.source] + Fraction(1, 30)
    assert pairs[-1] == Pair(Fraction(249, 25), 298, 249)


def test_8_each_rule_has_its_length() -> None:
    source, driving = steady(60 * 5, 5), steady(26 * 10, 10)
    lengths = {"source": 60, "driving": 26, "shortest": 26, "loop": 60}
    for rule, seconds in lengths.items():
        pairs = list(pair(source, Fraction(60), driving, Fraction(26), rule))  # type: ignore[arg-type]
        step = Fraction(1, 10) if rule == "driving" else Fraction(1, 5)
        assert len(pairs) == seconds / step
        assert pairs[-1].time == seconds - step
    held = list(pair(source, Fraction(60), driving, Fraction(26), "source"))
    assert {p.driving for p in held[26 * 5 :]} == {259}  # the last pose is held
    looped = list(pair(source, Fraction(60), driving, Fraction(26), "loop"))
    assert looped[26 * 5].driving == 0  # starts over
    assert looped[52 * 5 + 1].driving == 2


def test_8_loop_repeats_the_shorter_source() -> None:
    pairs = list(pair(steady(10), Fraction(10, 25), steady(25), Fraction(1), "loop"))
    assert [p.source for p in pairs] == [*range(10), *range(10), *range(5)]
    assert [p.driving for p in pairs] == list(range(25))


def test_8_variable_time_stamps() -> None:
    times = [Fraction(t, 1000) for t in (0, 20, 60, 120, 160)]
    pairs = list(pair(steady(10, 50), Fraction(1, 5), times, Fraction(1, 5), "driving"))
    assert [(p.time, p.source) for p in pairs] == list(zip(times, [0, 1, 3, 6, 8], strict=True))


def test_8_still_source() -> None:
    assert output_duration(None, Fraction(7), "source") == 7
    with pytest.raises(ValueError, match="source, driving, shortest, loop"):
        output_duration(Fraction(1), Fraction(1), "longest")  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [Fraction(15), Fraction(30000, 2002), Fraction(12)])
def test_68_lower_rate_shows_the_right_frames(rate: Fraction) -> None:
    source = steady(120, 30)
    pairs = list(pair(source, Fraction(4), source, Fraction(4), "driving", rate))
    ratio = 30 / rate
    assert len(pairs) == len([k for k in range(1000) if k / rate < 4])
    for k, p in enumerate(pairs):
        assert p.source == p.driving
        assert abs(p.source - k * ratio) < 1


@pytest.mark.parametrize("rate", [24, 60])
def test_83_rate_is_an_input(rate: int) -> None:
    times = list(sample_times(Fraction(2), Fraction(rate)))
    assert times == steady(2 * rate, rate)


def test_edges() -> None:
    assert list(sample_times(Fraction(0), Fraction(25))) == [0]
    assert frame_at(S25, Fraction(-1)) == 0
    assert frame_at(S25, Fraction(1, 25)) == 1
    assert frame_at(S25, Fraction(100)) == 249
    with pytest.raises(ValueError, match="without frames"):
        frame_at([], Fraction(0))
    assert timeline.clip_time(Fraction(5), Fraction(0), True) == 0
    assert timeline.clip_time(Fraction(5), Fraction(2), True) == 1
    assert timeline.clip_time(Fraction(5), Fraction(2), False) == 2
