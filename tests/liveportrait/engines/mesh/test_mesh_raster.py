"""The rasterisers agree with each other and with interpolation by hand."""

from __future__ import annotations

import numpy as np
import pytest

from liveportrait.engines.mesh import raster

SIZE = 96


def grid(n: int = 12, wobble: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A wobbly sheet of triangles, its vertices and their undistorted places as attributes."""
    rng = np.random.default_rng(3)
    line = np.linspace(4, SIZE - 5, n)
    xy = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    vertices = np.column_stack([xy + rng.uniform(-wobble, wobble, xy.shape), rng.uniform(-20, 20, len(xy))])
    index = np.arange(n * n).reshape(n, n)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([d, c, b], -1).reshape(-1, 3)])
    attributes = np.column_stack([xy, np.ones(len(xy))]).astype(np.float32)
    return triangles.astype(np.int32), vertices.astype(np.float32), attributes


def canvas() -> np.ndarray:
    return np.full((SIZE, SIZE, 3), -1, np.float32)


DRAW = [raster.rasterise_numpy]
if raster.HAS_OPENCV_RASTER:
    DRAW.append(raster.rasterise)


@pytest.mark.parametrize("draw", DRAW)
def test_identity(draw):
    triangles, vertices, attributes = grid(wobble=0)
    out = draw(triangles, vertices, attributes, canvas())
    yy, xx = np.mgrid[:SIZE, :SIZE]
    inside = out[..., 2] > 0.5
    assert inside[6:-7, 6:-7].all()
    assert np.abs(out[..., 0] - xx)[inside].max() < 0.02
    assert np.abs(out[..., 1] - yy)[inside].max() < 0.02


@pytest.mark.parametrize("draw", DRAW)
def test_uncovered_pixels_keep_their_value(draw):
    triangles, vertices, attributes = grid()
    out = draw(triangles[:4], vertices, attributes, canvas())
    assert (out[-10:] == -1).all()


@pytest.mark.parametrize("draw", DRAW)
def test_nearer_triangle_wins(draw):
    square = np.array([[10, 10], [80, 10], [10, 80], [80, 80]], np.float32)
    vertices = np.concatenate([np.column_stack([square, np.full(4, z)]) for z in (30, -30)]).astype(np.float32)
    attributes = np.repeat(np.array([[0.2] * 3, [0.9] * 3], np.float32), 4, 0)
    one = np.array([[0, 1, 2], [3, 2, 1]], np.int32)
    for order in ([one, one + 4], [one + 4, one]):
        assert np.isclose(draw(np.concatenate(order), vertices, attributes, canvas())[40, 40, 0], 0.9, atol=1e-3)


@pytest.mark.skipif(not raster.HAS_OPENCV_RASTER, reason="this OpenCV has no rasteriser")
def test_both_rasterisers_agree():
    triangles, vertices, attributes = grid()
    vertices[:, 2] *= 0.01  # no overlaps in depth: the numpy one sorts whole triangles
    a = raster.rasterise(triangles, vertices, attributes, canvas())
    b = raster.rasterise_numpy(triangles, vertices, attributes, canvas())
    both = (a[..., 2] > 0.5) & (b[..., 2] > 0.5)
    assert both.mean() > 0.8
    assert np.quantile(np.abs(a - b)[both].max(-1), 0.995) < 0.05
    assert ((a[..., 2] > 0.5) != (b[..., 2] > 0.5)).mean() < 0.03


def test_points_of_any_depth_are_drawn(capfd):
    """A depth far beyond any head lies behind the camera of OpenCV's rasteriser, which then fails."""
    vertices = np.array([[0, 0, 1e9], [60, 0, -1e9], [0, 60, 0]], np.float32)
    empty = np.zeros((64, 64, 3), np.float32)
    drawn = raster.rasterise(np.array([[0, 1, 2]], np.int32), vertices, np.ones((3, 3), np.float32), empty)
    assert drawn[5, 5].tolist() == [1, 1, 1]
    assert drawn[62, 62].tolist() == [0, 0, 0]
    assert capfd.readouterr().err == ""
