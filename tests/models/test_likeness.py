"""What looks like a face although the mesh can't read it: a first guess for faces placed by hand."""

from __future__ import annotations

import cv2
import numpy as np

from liveportrait.placed import HANDLES, likely_handles, placed_points
from models.likeness import find_likeness


def drawing() -> np.ndarray:
    """(400, 400, 3) a line drawing of a head: circles for eyes at (150, 180) and (250, 180), a mouth at (200, 290)."""
    picture = np.full((400, 400, 3), 250, np.uint8)
    ink = (40, 40, 40)
    cv2.ellipse(picture, (200, 205), (130, 150), 0, 0, 360, ink, 3, cv2.LINE_AA)
    for x in (150, 250):
        cv2.ellipse(picture, (x, 180), (24, 14), 0, 0, 360, ink, 3, cv2.LINE_AA)
        cv2.circle(picture, (x, 180), 7, ink, -1, cv2.LINE_AA)
        cv2.ellipse(picture, (x, 155), (28, 10), 0, 190, 350, ink, 3, cv2.LINE_AA)
    cv2.line(picture, (200, 185), (188, 240), ink, 2, cv2.LINE_AA)
    cv2.line(picture, (188, 240), (206, 242), ink, 2, cv2.LINE_AA)
    cv2.ellipse(picture, (200, 270), (46, 22), 0, 15, 165, ink, 3, cv2.LINE_AA)
    return picture


def test_a_drawing_is_seen_where_its_eyes_and_mouth_are() -> None:
    picture = drawing()
    seen = find_likeness(picture)
    assert seen is not None
    np.testing.assert_allclose(seen.points[:2], [[150, 180], [250, 180]], atol=22)
    handles = likely_handles(seen.points)
    assert set(handles) == set(HANDLES)
    points = placed_points(handles)
    np.testing.assert_allclose(points[[468, 473], :2], seen.points[:2], atol=6)
    assert abs(points[13, 1] - seen.points[3, 1]) < 12
    lengthened = likely_handles(seen.points[:4] * [1, 1.3])
    assert placed_points(lengthened)[13, 1] > points[13, 1]


def test_nothing_looks_like_a_face_on_a_wall() -> None:
    assert find_likeness(np.full((200, 260, 3), (190, 170, 140), np.uint8)) is None
