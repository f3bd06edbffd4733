"""Following one face through a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from face_measures import error, moved, placed

from models.face import Face
from models.tracker import FaceTracker

Pose = Callable[..., tuple[np.ndarray, Face]]


def noise(seed: int, size: tuple[int, int] = (640, 480)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def test_lost_and_found_again_200_px_away(tracker: FaceTracker, pose: Pose, face: Face):
    before = placed(face, 110, 200, 240)
    after = placed(face, 110, 400, 240)
    for frame in range(30):
        picture, expected = pose(moved(before, 0.7 * frame, 0.3 * frame), (640, 480))
        found = tracker.track(picture)
        assert found is not None
        assert error(found, expected) < 0.04
    for frame in range(10):
        assert tracker.track(noise(frame)) is None
        assert tracker.lost == frame + 1
    seen = 0
    for frame in range(30):
        picture, expected = pose(moved(after, 0.7 * frame, 0), (640, 480))
        found = tracker.track(picture)
        if found is None:
            assert frame < 3
        else:
            seen += 1
            assert error(found, expected) < 0.04
            assert tracker.lost == 0
    assert seen >= 28


def test_small_face_is_found_again(tracker: FaceTracker, pose: Pose, face: Face):
    """A 40 px face in full HD: too small for the whole-picture search, so the neighbourhood has to find it."""
    picture, expected = pose(placed(face, 40, 1300, 300), (1920, 1080))
    assert tracker.track(picture) is not None
    for frame in range(2):
        assert tracker.track(noise(frame, (1920, 1080))) is None
    found = tracker.track(pose(placed(face, 40, 1320, 310), (1920, 1080))[0])
    assert found is not None
    assert np.linalg.norm(found.centre - expected.centre) < 40


def test_full_search_goes_on_in_slices(tracker: FaceTracker, pose: Pose, face: Face):
    """A small face elsewhere is found too, within one round of the sliced search."""
    assert tracker.track(noise(0, (1280, 720))) is None
    picture, expected = pose(placed(face, 34, 1000, 560), (1280, 720))
    for _ in range(40):
        found = tracker.track(picture)
        if found is not None:
            break
    assert found is not None
    assert np.linalg.norm(found.centre - expected.centre) < 10


def two_faces(astronaut: np.ndarray, face: Face, first: tuple[float, float], second: tuple[float, float]) -> np.ndarray:
    picture = np.full((480, 800, 3), 110, np.uint8)
    for (x, y), height, mirror in ((first, 90, False), (second, 120, True)):
        matrix = placed(face, height, x, y, mirror)
        drawn = cv2.warpAffine(astronaut, matrix, (800, 480))
        r = height * 0.75
        y0, y1, x0, x1 = (int(max(v, 0)) for v in (y - r, y + r, x - r, x + r))
        picture[y0:y1, x0:x1] = drawn[y0:y1, x0:x1]
    return picture


def test_the_chosen_face_is_kept_though_another_is_larger(tracker: FaceTracker, astronaut: np.ndarray, face: Face):
    faces = tracker.detect(two_faces(astronaut, face, (200, 240), (600, 240)))
    assert len(faces) == 2
    small = faces[1]
    assert small.centre[0] < 400
    tracker.start(small)
    for frame in range(12):
        x = 200 + 6 * frame
        found = tracker.track(two_faces(astronaut, face, (x, 240), (600 - 6 * frame, 240)))
        assert found is not None
        assert abs(found.centre[0] - x) < 10
    for frame in range(3):
        assert tracker.track(noise(frame, (800, 480))) is None
    found = tracker.track(two_faces(astronaut, face, (300, 240), (540, 240)))
    assert found is not None
    assert abs(found.centre[0] - 300) < 15, "the nearer one, not the larger one"


def test_without_a_choice_the_largest_is_followed(tracker: FaceTracker, astronaut: np.ndarray, face: Face):
    found = tracker.track(two_faces(astronaut, face, (200, 240), (600, 240)))
    assert found is not None
    assert abs(found.centre[0] - 600) < 15


def test_reset_forgets_the_place(tracker: FaceTracker, astronaut: np.ndarray, face: Face):
    picture = two_faces(astronaut, face, (200, 240), (600, 240))
    tracker.start(tracker.detect(picture)[1])
    tracker.reset()
    found = tracker.track(picture)
    assert found is not None
    assert abs(found.centre[0] - 600) < 15


def test_covered_face_is_let_go(tracker: FaceTracker, astronaut: np.ndarray, face: Face):
    """A region that no longer shows a face must not be followed on."""
    assert tracker.track(astronaut) is not None
    x0, y0, x1, y1 = face.box.astype(int)
    for content in (np.uint8(128), astronaut[260:460, 60:260], noise(5, (200, 200))):
        tracker.start(face)
        picture = astronaut.copy()
        patch = np.broadcast_to(content, (200, 200, 3))
        picture[y0 - 25 : y1 + 25, x0 - 35 : x1 + 35] = patch[: y1 - y0 + 50, : x1 - x0 + 70]
        assert [tracker.track(picture) for _ in range(4)] == [None] * 4
        assert tracker.track(astronaut) is not None


def test_face_leaves_the_picture(tracker: FaceTracker, pose: Pose, face: Face):
    seen = []
    for x in range(300, -120, -20):
        found = tracker.track(pose(placed(face, 120, x, 240), (640, 480))[0])
        seen.append(found is not None)
    assert all(seen[:12]), "wholly inside"
    assert not any(seen[-3:]), "gone"


def test_turning_head_over_is_followed(tracker: FaceTracker, pose: Pose, face: Face):
    for degrees in range(0, 360, 8):
        turn = moved(cv2.getRotationMatrix2D((225.0, 122.0), degrees, 1.0), 30, 130)
        picture, expected = pose(turn, (512, 512))
        found = tracker.track(picture)
        assert found is not None, degrees
        assert error(found, expected) < 0.05, degrees


def test_upside_down_clip_starts_right(tracker: FaceTracker, pose: Pose):
    turn = cv2.getRotationMatrix2D((255.5, 255.5), 180, 1.0)
    for _ in range(3):
        picture, expected = pose(turn, (512, 512))
        found = tracker.track(picture)
        assert found is not None
        assert error(found, expected) < 0.03


def test_steady_picture_gives_steady_points(tracker: FaceTracker, astronaut: np.ndarray):
    readings = [tracker.track(astronaut) for _ in range(8)]
    points = np.stack([r.points for r in readings[3:] if r is not None])
    assert len(points) == 5
    assert np.abs(points - points.mean(axis=0)).mean() < 0.15


def test_any_sizes_in_a_row(tracker: FaceTracker, astronaut: np.ndarray):
    """A source that changes its size, as a camera does, neither crashes nor sticks."""
    for size in ((512, 512), (31, 17), (1, 1), (1024, 768), (5, 900), (512, 512)):
        found = tracker.track(cv2.resize(astronaut, size, interpolation=cv2.INTER_AREA))
    assert found is not None


def frames(path: Path, limit: int) -> Iterator[np.ndarray]:
    clip = cv2.VideoCapture(str(path))
    for _ in range(limit):
        ok, bgr = clip.read()
        if not ok:
            return
        yield np.ascontiguousarray(bgr[..., ::-1])


def test_clips_are_followed_without_a_loss(shared: Path):
    data = shared / "data"
    clips = [*sorted((data / "drivings").glob("*.mp4")), *sorted((data / "source_videos").glob("*.mp4"))]
    assert len(clips) >= 8
    tracker = FaceTracker()
    for clip in clips:
        tracker.reset()
        found = [tracker.track(frame) for frame in frames(clip, 70)]
        assert len(found) >= 60
        assert None not in found, clip.name
