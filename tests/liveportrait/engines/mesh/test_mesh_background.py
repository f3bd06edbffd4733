"""Who is the person in a picture, where the matte is not sure of it."""

from __future__ import annotations

import cv2
import numpy as np

from liveportrait.engines.mesh.background import find_person, person_mask
from liveportrait.engines.mesh.data import face_model

SIZE = 300
POINTS = face_model().mean.astype(np.float64) * 90 + [150, 150, 0]


def test_a_print_in_one_ink_is_shown_to_the_matte_in_the_colour_of_skin():
    print_ = np.zeros((SIZE, SIZE, 3), np.uint8) + np.uint8([60, 70, 160])
    shown = []

    def matte(image):
        shown.append(image)
        skin = image[..., 0].astype(float) > image[..., 2]
        return np.where(skin, 1.0, 0.3).astype(np.float32)

    found = find_person(print_, POINTS, matte)
    assert len(shown) == 2
    assert found is not None
    assert found.min() == 1


def test_where_nobody_is_seen_the_matte_is_not_used():
    assert (
        find_person(np.zeros((SIZE, SIZE, 3), np.uint8), POINTS, lambda image: np.zeros((SIZE, SIZE), np.float32))
        is None
    )


def test_half_transparent_hair_is_solid_and_a_veil_elsewhere_is_nobody():
    matte = np.zeros((SIZE, SIZE), np.float32)
    cv2.circle(matte, (150, 150), 60, 1.0, -1)
    matte[140:190, 205:225] = 0.4  # a bunch of hair beside the ear
    matte[10:60, 10:60] = 0.4  # a flag in the corner
    soft = np.linspace(0, 1, 5, dtype=np.float32)[None]
    matte[250:290, 100:105] = soft  # an edge
    person = person_mask(matte, POINTS)
    assert person[150:180, 210:220].min() == 1
    assert person[20:50, 20:50].max() == 0
    assert np.abs(person[260:280, 102] - (0.5 - 0.06) / 0.88).max() < 1e-3
