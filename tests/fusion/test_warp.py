import numpy as np
import pytest

from sensorfuse.fusion.grid import GRID, BevGrid
from sensorfuse.fusion.warp import planar_motion, warp_map
from sensorfuse.geometry import motion_between


def blobs(xy: np.ndarray, grid: BevGrid = GRID) -> np.ndarray:
    """A map (N, X, Y) with one smooth blob per world point (N, 2)."""
    away = grid.centres()[None] - xy[:, None, None]
    return np.exp(-np.square(away).sum(axis=-1) / (2 * 4.0**2)).astype(np.float32)


@pytest.mark.parametrize("twist", [[10, 0, 0, 0, 0, 0], [8, 0.5, 0, 0, 0, 0.6], [0, 0, 0, 0, 0, -1.0]])
@pytest.mark.parametrize("dt_ms", [-150, 80])
def test_warped_map_is_the_map_of_the_moved_world(twist: list[float], dt_ms: int) -> None:
    points = np.random.default_rng(0).uniform(-20, 20, (8, 2))
    moved = (motion_between(twist, -dt_ms * 1e-3) @ np.column_stack([points, np.zeros(8)]))[:, :2]
    assert np.abs(moved - points).max() > 0.5
    warped = warp_map(blobs(points), planar_motion(motion_between(np.array(twist, float), -dt_ms * 1e-3)))
    assert np.abs(warped - blobs(moved)).max() < 0.025  # bilinear bound: 2 * cell^2 / (8 * 4^2)
    assert np.abs(blobs(points) - blobs(moved)).max() > 0.1


def test_nothing_comes_in_from_beyond_the_edge() -> None:
    ones = np.ones((1, 64, 64), np.float32)
    warped = warp_map(ones, planar_motion(motion_between([20.0, 0, 0, 0, 0, 0], 0.5)))  # 10 m = 8 cells on
    assert (warped[0, -7:] == 0).all()
    assert warped[0, 10:50].min() == pytest.approx(1.0)


def test_standing_still_changes_nothing() -> None:
    features = np.random.default_rng(0).random((3, 64, 64)).astype(np.float32)
    assert warp_map(features, planar_motion(motion_between(np.zeros(6), 0.05))) is features


def test_training_moves_maps_the_same_way() -> None:
    torch = pytest.importorskip("torch")
    from sensorfuse.fusion.training.driving import warp_features

    features = np.random.default_rng(0).random((2, 5, 64, 64)).astype(np.float32)
    motions = np.stack([planar_motion(motion_between([9.0, 1, 0, 0, 0, w], 0.09)) for w in (0.5, -1.2)])
    got = warp_features(torch.from_numpy(features), torch.from_numpy(motions).float()).numpy()
    for k in range(2):
        assert np.abs(got[k] - warp_map(features[k], motions[k])).max() < 1e-4
