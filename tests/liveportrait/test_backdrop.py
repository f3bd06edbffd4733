"""The background of a source clip is completed from other frames, where the camera stands still."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from liveportrait.backdrop import Backdrop
from liveportrait.crop import Box, Crop

SIDE = 240


@pytest.fixture(scope="module")
def room():
    """A wall with lines, (300, 400, 3)."""
    picture = np.full((300, 400, 3), (190, 170, 150), np.uint8)
    rng = np.random.default_rng(3)
    for _ in range(60):
        a, b = rng.integers(0, 400, 2), rng.integers(0, 300, 2)
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        cv2.line(picture, (int(a[0]), int(b[0])), (int(a[1]), int(b[1])), colour, 2)
    return cv2.GaussianBlur(picture, (0, 0), 0.8)


def looked_at(behind, room, person, *, shift=0, light=0, box=(200, 150)):
    """What a backdrop makes of one frame: a person (x0, x1) before the room; returns square, known and the truth."""
    frame = np.clip(np.roll(room, shift, axis=1).astype(int) + light, 0, 255).astype(np.uint8)
    truth = frame.copy()
    frame[60:, person[0] : person[1]] = (40, 60, 90)
    crop = Crop.of_box(Box(*box, SIDE), SIDE)
    known = np.ones(frame.shape[:2], np.uint8)
    known[60:, person[0] : person[1]] = 0
    square, there = crop.apply(frame), crop.apply(np.dstack([known * 255] * 3))[..., 0] > 127
    out, complete = behind.at(crop, frame.shape)(square, there)
    return out, complete, there, crop.apply(truth)


def test_what_another_frame_showed_fills_the_strip(room):
    behind = Backdrop()
    looked_at(behind, room, (160, 230))
    out, complete, known, truth = looked_at(behind, room, (170, 250))
    gained = complete & ~known
    assert gained.sum() > 0.9 * 10 * 170  # x 160 to 170 was free before
    assert (out[gained] == truth[gained]).all()
    assert not (complete & (out != truth).any(axis=2)).any()


def test_the_square_may_follow_the_head(room):
    behind = Backdrop()
    looked_at(behind, room, (160, 230), box=(190, 150))
    out, complete, known, truth = looked_at(behind, room, (180, 250), box=(215, 142))
    gained = complete & ~known
    assert gained.sum() > 0.9 * 20 * 170
    assert (out[gained] == truth[gained]).all()


def test_light_that_changes_is_followed(room):
    behind = Backdrop()
    looked_at(behind, room, (160, 230))
    out, complete, known, truth = looked_at(behind, room, (180, 250), light=14)
    gained = complete & ~known
    assert gained.any()
    assert np.abs(out[gained].astype(int) - truth[gained]).mean() < 4


@pytest.mark.parametrize("shift", [6, 90])
def test_a_moving_camera_adds_nothing(room, shift):
    behind = Backdrop()
    looked_at(behind, room, (160, 230))
    _, complete, known, _ = looked_at(behind, room, (180, 250), shift=shift)
    assert (complete == known).mean() > 0.999
    again, complete, known, truth = looked_at(behind, room, (160, 230), shift=shift)  # it stands still again
    gained = complete & ~known
    assert gained.any()
    assert np.abs(again[gained].astype(int) - truth[gained]).mean() < 1


def test_another_size_of_frame_starts_anew(room):
    behind = Backdrop()
    looked_at(behind, room, (160, 230))
    _, complete, known, _ = looked_at(behind, np.ascontiguousarray(room[:280]), (180, 250))
    assert (complete == known).all()
