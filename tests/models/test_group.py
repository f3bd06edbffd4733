"""Several people in one clip: each keeps a number of its own, whatever comes between."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.face import Face
from models.group import Bystanders, FaceGroup
from models.identity import SAME
from models.tracker import FaceTracker, look_of

SIDE = 200
GREY = 120


@pytest.fixture(scope="module")
def people(astronaut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Head and shoulders of two people, (200, 200, 3) each: one lit from the left, the other, mirrored, from below."""
    head = cv2.resize(astronaut[0:270, 90:360], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    light = np.linspace(1, 0.25, SIDE)[None, :, None], np.linspace(0.2, 1, SIDE)[:, None, None]
    one, other = head * light[0], head[:, ::-1] * light[1]
    return one.astype(np.uint8), other.astype(np.uint8)


def test_they_look_different(people: tuple[np.ndarray, np.ndarray], tracker: FaceTracker) -> None:
    a, b = (look_of(one, tracker.detect(one, 1)[0]) for one in people)
    assert float(a @ b) < SAME - 0.1


def frame(*placed: tuple[np.ndarray, float], width: int = 640) -> np.ndarray:
    """People with their left edges at these places, later ones in front."""
    picture = np.full((SIDE + 40, width, 3), GREY, np.uint8)
    for person, left in placed:
        x = round(left)
        picture[20 : 20 + SIDE, x : x + SIDE] = person
    return picture


def numbers(found: list[tuple[int, Face]]) -> list[int]:
    """Numbers from left to right."""
    return [number for number, face in sorted(found, key=lambda pair: float(pair[1].centre[0]))]


def test_two_people_cross(people: tuple[np.ndarray, np.ndarray], tracker: FaceTracker) -> None:
    """The one behind is hidden on the way; both come out as who they were."""
    a, b = people
    group = FaceGroup(tracker, newcomers=True)
    seen = [group(frame((a, 20 + 14 * i), (b, 420 - 14 * i))) for i in range(30)]
    assert numbers(seen[0]) == [0, 1] or numbers(seen[0]) == [1, 0]
    assert numbers(seen[-1]) == numbers(seen[0])[::-1]
    assert {number for found in seen for number, _ in found} == {0, 1}
    assert all(len(found) <= 2 for found in seen)
    assert sum(len(found) for found in seen) >= 48


def test_one_leaves_and_comes_back_elsewhere(people: tuple[np.ndarray, np.ndarray], tracker: FaceTracker) -> None:
    a, b = people
    group = FaceGroup(tracker, newcomers=True)
    before = [group(frame((a, 20), (b, 420))) for _ in range(3)]
    right = numbers(before[0])[1]
    away = [group(frame((a, 20))) for _ in range(40)]
    assert all(numbers(found) == [1 - right] for found in away)
    back = [group(frame((b, 230), (a, 20))) for _ in range(12)]
    assert numbers(back[-1]) == [1 - right, right]


def test_who_comes_later(people: tuple[np.ndarray, np.ndarray], tracker: FaceTracker) -> None:
    """Is followed where everybody is wanted, and left alone where somebody was chosen."""
    a, b = people
    for newcomers, expected in ((True, [0, 1]), (False, [0])):
        group = FaceGroup(tracker, lambda faces, size: faces[:1], newcomers=newcomers)
        assert numbers(group(frame((a, 20)))) == [0]
        for _ in range(12):
            found = group(frame((a, 20), (b, 420)))
        assert numbers(found) == expected


def test_behind_a_cut_looks_decide(people: tuple[np.ndarray, np.ndarray], tracker: FaceTracker) -> None:
    a, b = people
    group = FaceGroup(tracker, newcomers=True)
    first = [numbers(group(frame((a, 20), (b, 420)))) for _ in range(4)][-1]
    other = frame((b, 20), (a, 420))
    outside = np.ones(other.shape[:2], bool)
    outside[20 : 20 + SIDE, 20:220] = outside[20 : 20 + SIDE, 420:620] = False
    other[outside] = (20, 30, 90)
    assert numbers(group(other)) == first[::-1]


def test_nobody_at_first(people: tuple[np.ndarray, np.ndarray], tracker: FaceTracker) -> None:
    a, b = people
    group = FaceGroup(tracker, newcomers=True)
    empty = np.full((SIDE + 40, 640, 3), GREY, np.uint8)
    assert group(empty) == []
    assert len(group(frame((a, 20), (b, 420)))) == 2


def test_memory_does_not_grow(people: tuple[np.ndarray, np.ndarray], tracker: FaceTracker,
                              monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """People who are away for long are forgotten; when they come back they are new."""
    monkeypatch.setattr("models.group.MEMORY", 15)
    monkeypatch.setattr("models.group.PATIENCE", 2)
    a, b = people
    group = FaceGroup(tracker, newcomers=True)
    group(frame((a, 20), (b, 420)))
    for _ in range(20):
        group(frame((a, 20)))
    for _ in range(12):
        found = group(frame((a, 20), (b, 420)))
    assert max(numbers(found)) == 2
    assert len(group._members) == 2


def test_bystanders_are_found_and_followed_but_not_the_chosen_ones(
    people: tuple[np.ndarray, np.ndarray], tracker: FaceTracker
) -> None:
    look = Bystanders(tracker)
    for step in range(3):
        picture = frame((people[0], 20 + 3 * step), (people[1], 380 - 3 * step))
        left, right = sorted(tracker.detect(picture), key=lambda face: float(face.centre[0]))
        (other,) = look(picture, [left])
        assert np.linalg.norm(other.centre - right.centre) < 0.1 * right.size
    assert look(frame((people[0], 26)), [left]) == []
