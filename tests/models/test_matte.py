from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.matte import PersonMatte, guided_coefficients


@pytest.fixture(scope="module")
def matte(astronaut: np.ndarray) -> np.ndarray:
    return PersonMatte()(astronaut)


def test_person_and_background_are_told_apart(matte: np.ndarray):
    assert matte.shape == (512, 512)
    assert matte.dtype == np.float32
    assert 0 <= matte.min() <= matte.max() <= 1
    assert matte[60:170, 190:260].mean() > 0.98, "face"
    assert matte[250:400, 150:300].mean() > 0.95, "suit"
    assert matte[:120, :110].mean() < 0.05, "wall"
    assert matte[:120, 320:400].mean() < 0.05, "flag"


def test_refinement_follows_the_edges_of_the_picture(astronaut: np.ndarray, matte: np.ndarray):
    """Edges of the refined matte lie on edges of the picture more often than those of the coarse one."""
    coarse = PersonMatte(refine=False)(astronaut)
    assert np.abs(matte - coarse).mean() < 0.05
    grey = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY).astype(np.float32)

    def slope(image: np.ndarray) -> np.ndarray:
        return np.hypot(cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1))[:180, 150:300]

    def agreement(alpha: np.ndarray) -> float:
        return float((slope(alpha) * slope(grey)).sum() / slope(alpha).sum())

    assert agreement(matte) > 1.05 * agreement(coarse)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 300), (1300, 900)])
def test_any_size(astronaut: np.ndarray, size: tuple[int, int]):
    picture = cv2.resize(astronaut, size, interpolation=cv2.INTER_AREA)
    result = PersonMatte()(picture)
    assert result.shape == size[::-1]
    assert np.isfinite(result).all()


def test_any_memory_layout(astronaut: np.ndarray, matte: np.ndarray):
    mirrored = PersonMatte()(astronaut[:, ::-1])
    assert np.abs(mirrored[:, ::-1] - matte).mean() < 0.05


def test_guided_filter_reproduces_what_is_linear_in_the_guide():
    guide = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    values = guide @ np.array([0.5, -0.2, 0.3], np.float32) + np.float32(0.1)
    slope, offset = guided_coefficients(guide, values, radius=4, smoothness=1e-6)
    np.testing.assert_allclose((slope * guide).sum(-1) + offset, values, atol=2e-3)
    flat = np.full_like(guide, 0.5)
    slope, offset = guided_coefficients(flat, values, radius=4)
    np.testing.assert_allclose(slope, 0, atol=1e-2)
    assert (slope * flat).sum(-1).shape == offset.shape
