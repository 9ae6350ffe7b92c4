import numpy as np
import pytest

from sensorfuse.fusion.bev import detect_polar, lidar_bev, radar_bev, radar_velocity
from sensorfuse.fusion.grid import GRID, LIDAR_GRID
from sensorfuse.geometry import Transform


def test_pillars_match_a_slow_reference() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-5, 5, (500, 2)), rng.uniform(-1, 3, 500)]).astype(np.float32)
    intensity = rng.uniform(0, 255, 500).astype(np.float32)
    pose = Transform.from_rpy([1.0, -2.0, 0.5], [0.0, 0.0, 0.4])
    bev = lidar_bev(points, intensity, pose.matrix())
    base = pose @ points.astype(np.float64)
    cell = np.floor(LIDAR_GRID.index(base[:, :2]) + 0.5).astype(int)
    for i, j in np.unique(cell, axis=0):
        inside = (cell == [i, j]).all(axis=1)
        z = base[inside, 2]
        expected = [
            np.log1p(len(z)) / 4,
            np.log1p((z > 0.3).sum()) / 4,
            z.max() / 4,
            z.min() / 4,
            z.mean() / 4,
            intensity[inside].mean() / 255,
        ]
        assert bev[:, i, j] == pytest.approx(expected, abs=1e-4)
    filled = np.zeros((LIDAR_GRID.cells, LIDAR_GRID.cells), bool)
    filled[tuple(cell.T)] = True
    assert not bev[:, ~filled].any()


def test_points_that_do_not_count() -> None:
    strange = np.array([[np.nan, 0, 0], [1e6, 0, 0], [0, 0, 50], [np.inf, np.inf, 0]], np.float32)
    assert not lidar_bev(strange, None, np.eye(4)).any()
    assert not lidar_bev(np.zeros((0, 3), np.float32), None, np.eye(4)).any()


def still_targets(velocity: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    azimuth = rng.uniform(-1, 1, count)
    return azimuth, -(velocity[0] * np.cos(azimuth) + velocity[1] * np.sin(azimuth))


def test_radar_velocity_despite_movers() -> None:
    rng = np.random.default_rng(1)
    velocity = np.array([12.0, -0.8])
    azimuth, doppler = still_targets(velocity, 40, rng)
    doppler += rng.normal(0, 0.05, 40)
    doppler[:12] += rng.uniform(-15, 15, 12)  # a third of them move
    estimate = radar_velocity(azimuth, doppler)
    assert estimate is not None
    assert estimate == pytest.approx(velocity, abs=0.3)


def test_radar_velocity_refuses_what_it_cannot_know() -> None:
    rng = np.random.default_rng(2)
    assert radar_velocity(np.zeros(5), np.zeros(5)) is None  # too few
    assert radar_velocity(np.full(30, 0.2), np.full(30, -5.0)) is None  # all in one direction
    assert radar_velocity(rng.uniform(-1, 1, 40), rng.uniform(-20, 20, 40)) is None  # no agreement


def test_movers_show_and_still_targets_do_not() -> None:
    rng = np.random.default_rng(3)
    azimuth, doppler = still_targets(np.array([10.0, 0.0]), 30, rng)
    rows = np.column_stack([rng.uniform(5, 30, 30), azimuth, np.zeros(30), doppler, np.full(30, 10.0)])
    rows[0] = [20.0, 0.0, 0.0, -10.0 + 6.0, 20.0]  # ahead, going away over ground at 6 m/s
    bev = radar_bev(rows.astype(np.float32), np.eye(4))
    i, j = np.floor(GRID.index([20.0, 0.0]) + 0.5).astype(int)
    assert bev[3, i, j] == pytest.approx(0.6, abs=0.05)
    assert bev[4, i, j] == 1
    assert bev[5, 0, 0] == pytest.approx(0.5, abs=0.02)
    others = np.abs(bev[3]).copy()
    others[i, j] = 0
    assert others.max() < 0.05


def test_unknown_range_rates_are_said_to_be_unknown() -> None:
    rows = np.array([[10.0, 0.1, 0.0, np.nan, 5.0]] * 10, np.float32)
    bev = radar_bev(rows, np.eye(4))
    assert np.isfinite(bev).all()
    assert bev[0].any()
    assert not bev[2:].any()


def test_polar_peaks_become_returns() -> None:
    rng = np.random.default_rng(4)
    power = rng.integers(10, 20, (400, 576)).astype(np.uint8)
    azimuths = (-np.arange(400) * 2 * np.pi / 400).astype(np.float32)
    power[100, 200], power[7, 300] = 200, 120
    found = detect_polar(power, azimuths, 0.175, 100.0)
    assert len(found) == 2
    by_range = found[np.argsort(found[:, 0])]
    assert by_range[:, 0] == pytest.approx([200.5 * 0.175, 300.5 * 0.175], rel=1e-5)
    assert by_range[:, 1] == pytest.approx([azimuths[100], azimuths[7]])
    assert by_range[0, 4] > by_range[1, 4]
    assert np.isnan(found[:, 3]).all()
    assert len(detect_polar(power, azimuths, 0.175, 40.0)) == 1
