"""The field is the mesh drawn pixel by pixel, though most of it is interpolated."""

from __future__ import annotations

import numpy as np
import pytest

from liveportrait.engines.mesh.field import COARSEST, FINEST, PER_FACE, find_field
from liveportrait.engines.mesh.raster import rasterise

SIZE = 151


def sheet(top: float, bottom: float, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """Triangles and vertices of a flat sheet between two rows, as wide as the crop."""
    x, y = np.linspace(-0.5, SIZE - 0.5, 12), np.linspace(top, bottom, 8)
    vertices = np.stack([*(one.ravel() for one in np.meshgrid(x, y)), np.full(96, depth)], -1)
    index = np.arange(96).reshape(8, 12)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([d, c, b], -1).reshape(-1, 3)])
    return triangles.astype(np.int32), vertices.astype(np.float32)


def two_sheets() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A near sheet that moved down over a far one and bent: triangles, vertices and their source places."""
    (far_triangles, far), (near_triangles, near) = sheet(-0.5, SIZE - 0.5, 30), sheet(-0.5, 70, -30)
    moved = near.copy()
    moved[:, 0] += 1.5 * np.sin(near[:, 1] / 9)
    moved[:, 1] += 9 + near[:, 0] / 16
    drawn, source = np.concatenate([far, moved]), np.concatenate([far, near])
    return np.concatenate([far_triangles, near_triangles + len(far)]), drawn, source[:, :2].copy()


@pytest.mark.parametrize("step", [FINEST, 3, COARSEST])
def test_every_step_gives_what_drawing_every_pixel_gives(step):
    triangles, drawn, source = two_sheets()
    field = find_field(triangles, drawn, source, SIZE, step * PER_FACE + 1)
    shift = np.column_stack([source - drawn[:, :2], np.zeros(len(source))]).astype(np.float32)
    exact = rasterise(triangles, drawn, shift, np.zeros((SIZE, SIZE, 3), np.float32))
    place = np.arange(SIZE, dtype=np.float32)
    whole = field.at((0, 0, SIZE, SIZE))
    error = np.maximum(np.abs(whole.x - place - exact[..., 0]), np.abs(whole.y - place[:, None] - exact[..., 1]))
    assert error.max() < 0.35, "also at the edge of the near sheet, where the field jumps by more than nine pixels"
    assert error.mean() < 0.03
    assert field.jumps


def test_what_stands_still_is_left_out():
    triangles, vertices = sheet(-0.5, SIZE - 0.5, 0)
    still = find_field(triangles, vertices, vertices[:, :2], SIZE, 150)
    assert not still.at((0, 0, SIZE, SIZE)).shift().any()
    moved = vertices.copy()
    middle = (np.abs(vertices[:, :2] - SIZE / 2) < 16).all(1)
    moved[middle, 0] += 5
    field = find_field(triangles, moved, vertices[:, :2], SIZE, 150)
    x0, y0, x1, y1 = field.window
    assert min(x0, y0, SIZE - x1, SIZE - y1) > 15
    assert 4 < field.at(field.window).shift().max() <= 5.001


def test_every_part_is_the_same_as_in_the_whole():
    triangles, drawn, source = two_sheets()
    field = find_field(triangles, drawn, source, SIZE, 250)
    whole = field.at((0, 0, SIZE, SIZE))
    bands = list(field.bands())
    assert np.array_equal(np.concatenate([band.x for band in bands]), whole.x[bands[0].window[1] : bands[-1].window[3]])
    for window in ((0, 0, 7, 5), (3, 70, 101, 90), (SIZE - 4, SIZE - 2, SIZE, SIZE)):
        piece = field.at(window).columns(1, 3)
        assert np.array_equal(piece.x, whole.x[piece.part])
        assert np.array_equal(piece.y, whole.y[piece.part])
