"""The visible label: in the corner, over everything, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from app.provenance.label import labelled, place
from liveportrait.patched import Patch, Patched


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("covered", [False, True])
def test_label_lies_in_the_corner(channels: int, covered: bool) -> None:
    base = np.zeros((200, 300, channels), np.uint8)
    base[..., :3] = 90
    patch = Patch(*((250, 150) if covered else (10, 10)), np.full((40, 45, channels), 60, np.uint8))
    picture = Patched(base, (patch,))
    window = place(base.shape)
    assert window is not None
    x0, y0, x1, y1 = window
    shown, plain = labelled(picture).whole(), picture.whole()
    inside = np.zeros((200, 300), bool)
    inside[y0:y1, x0:x1] = True
    assert np.array_equal(shown[~inside], plain[~inside])
    part = shown[y0:y1, x0:x1, :3]
    assert part.max() > 230  # the letters
    assert part.min() < 40  # their box
    assert (base[..., :3] == 90).all()
    if channels == 4:
        assert shown[y0:y1, x0:x1, 3].max() == 255


def test_no_label_where_there_is_no_room() -> None:
    tiny = Patched(np.zeros((8, 8, 3), np.uint8))
    assert place(tiny.shape) is None
    assert labelled(tiny) is tiny
