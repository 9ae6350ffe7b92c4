import numpy as np
import pytest

from sensorfuse.fusion.grid import GRID, LIDAR_GRID, BevGrid


@pytest.mark.parametrize("grid", [GRID, LIDAR_GRID, BevGrid(10, 3.0)])
def test_index_and_metres_are_inverse(grid: BevGrid) -> None:
    xy = np.random.default_rng(0).uniform(-50, 50, (100, 2))
    assert np.allclose(grid.metres(grid.index(xy)), xy)


def test_centres_are_where_whole_indices_lie() -> None:
    centres = GRID.centres()
    assert centres.shape == (64, 64, 2)
    assert np.allclose(GRID.index(centres[3, 50]), [3, 50])
    assert centres[-1, 0, 0] > 0 > centres[-1, 0, 1]  # the first axis runs forward, the second left


def test_contains_ends_at_the_edge() -> None:
    assert GRID.contains([39.9, -39.9])
    assert not GRID.contains([40.1, 0.0])
    assert not GRID.contains([0.0, float("nan")])


def test_finer_covers_the_same_square() -> None:
    assert LIDAR_GRID.half_m == GRID.half_m
    assert np.allclose(LIDAR_GRID.centres()[:2, :2].mean(axis=(0, 1)), GRID.centres()[0, 0])
