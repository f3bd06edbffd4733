"""HDR and wide-gamut frames look the same with every version of PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_clips import make_clip, steady

from app.media import container as containers
from app.media import wide
from app.media.video import Orientation, ToRGB, wide_color

pytestmark = [pytest.mark.slow, pytest.mark.smoke]  # swscale takes a second to make its table of colours


def ramp(_: int, size: tuple[int, int]) -> np.ndarray:
    """Grey from black to white, left to right."""
    return np.repeat(np.tile(np.linspace(0, 255, size[0]).astype(np.uint8), (size[1], 1))[..., None], 3, axis=2)


def patches(_: int, size: tuple[int, int]) -> np.ndarray:
    """Muted colours that lie within BT.709 in any of the primaries."""
    colors = np.array([[110, 100, 90], [90, 110, 100], [100, 90, 110], [105, 105, 80]], np.uint8)
    return np.repeat(np.tile(colors, (size[1], 1, 1)), size[0] // 4, axis=1)


def first(path: Path) -> Any:
    with containers.open_input(path) as source:
        return next(source.decode(video=0))


def convert(frame: Any) -> np.ndarray:
    return ToRGB((frame.width, frame.height), Fraction(1))(frame, Orientation(), False)[0].astype(int)


@pytest.mark.parametrize("maps", [True, False])
@pytest.mark.parametrize("curve", [16, 18])
def test_hdr_white_and_black_are_those_of_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, curve: int, maps: bool
) -> None:
    if maps and not wide.REFORMATTER_MAPS:
        pytest.skip("PyAV 17 has no mapping of its own")
    monkeypatch.setattr(wide, "REFORMATTER_MAPS", maps)
    frame = first(make_clip(tmp_path / "h.mp4", steady(1), draw=ramp, pix_fmt="yuv420p10le", color=(9, 9, curve, 1)))
    assert wide_color(frame)
    row = convert(frame)[32]
    assert np.ptp(row, axis=1).max() <= 2  # grey stays grey
    assert (np.diff(row.mean(1)) >= -1).all()  # brighter stays brighter
    assert row[0].mean() <= 2
    white = row[round(0.58 * 95) if curve == 16 else round(0.75 * 95)].mean()  # 203 cd/m2, ITU-R BT.2408
    assert 240 <= white <= 255


@pytest.mark.skipif(not wide.REFORMATTER_MAPS, reason="PyAV 17 has no mapping of its own to compare with")
@pytest.mark.parametrize(("primaries", "curve"), [(9, 18), (12, 1)])
def test_both_ways_of_mapping_give_the_same_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, primaries: int, curve: int
) -> None:
    color = (9 if primaries == 9 else 1, primaries, curve, 1)
    frame = first(make_clip(tmp_path / "c.mp4", steady(1), draw=patches, pix_fmt="yuv420p10le", color=color))
    monkeypatch.setattr(wide, "REFORMATTER_MAPS", True)
    wanted = convert(frame)
    monkeypatch.setattr(wide, "REFORMATTER_MAPS", False)
    assert np.abs(convert(frame) - wanted)[:, 4::24].max() <= 2
