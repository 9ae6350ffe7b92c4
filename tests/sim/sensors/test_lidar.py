"""The LiDAR: geometry, motion within a sweep, weather."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import LidarConfig
from sensorfuse.sim.noise import noise_key
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.scene.ground import GroundMap
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.lidar import LidarModel

POSE = Transform.from_rpy([1.0, 0.0, 1.9], [0.0, 0.0, 0.3])
CONFIG = LidarConfig(rings=32, columns=512, elevation_deg=(-25.0, 15.0), max_range_m=80.0)
PERIOD_S = 0.1


@pytest.fixture(scope="module")
def world() -> World:
    return World(load_scenario("town"), 0)


@pytest.fixture(scope="module")
def lidar(world: World) -> LidarModel:
    return LidarModel(world, CONFIG, POSE, GroundMap.of(world.scenario.road, world.road))


def to_world(world: World, points: np.ndarray, times_s: np.ndarray, pose: Transform = POSE) -> np.ndarray:
    """Points (N, 3), each by the ego's exact pose at its own time."""
    ego = world.ego(times_s)
    return np.asarray(ego.position + np.einsum("kij,kj->ki", ego.rotation, pose @ points))


@pytest.mark.parametrize("start_s", [12.0, 47.0, 90.0])
def test_points_on_objects_lie_in_their_boxes_at_the_time_of_each_ray(
    world: World, lidar: LidarModel, start_s: float
) -> None:
    points, _, ring, after_s, hit = lidar.sweep(start_s, PERIOD_S, None)
    column = np.round(after_s / PERIOD_S * CONFIG.columns).astype(int)
    owner = hit[column * CONFIG.rings + ring]
    on = owner >= 0
    assert on.sum() > 200
    places = to_world(world, points, start_s + after_s)[on]
    motion = world.motion(owner[on], start_s + after_s[on])
    dx, dy = places[:, 0] - motion[:, 0], places[:, 1] - motion[:, 1]
    cos, sin = np.cos(motion[:, 2]), np.sin(motion[:, 2])
    local = np.column_stack([cos * dx + sin * dy, cos * dy - sin * dx, places[:, 2]])
    half = world.size[owner[on]] / 2
    slack = 0.03  # objects move in a straight line within a sweep
    assert (np.abs(local[:, :2]) <= half[:, :2] + slack).all()
    assert (local[:, 2] >= -1e-3).all()
    assert (local[:, 2] <= 2 * half[:, 2] + 1e-3).all()


def test_rays_that_go_down_meet_the_ground_at_height_over_sine(lidar: LidarModel) -> None:
    points, _, ring, after_s, hit = lidar.sweep(20.0, PERIOD_S, None)
    column = np.round(after_s / PERIOD_S * CONFIG.columns).astype(int)
    lowest = (ring == 0) & (hit[column * CONFIG.rings + ring] == -1)
    assert lowest.sum() > 300
    expected = 1.9 / np.sin(np.radians(25.0))
    assert np.median(np.abs(np.linalg.norm(points[lowest], axis=1) - expected)) < 1e-5


def test_a_sweep_is_distorted_by_the_egos_motion(world: World, lidar: LidarModel) -> None:
    """The same fixed points, found again a sweep later: they agree in the world only when each ray has its own pose."""
    times = np.arange(0, world.lap_s, 0.5)
    start = float(times[np.argmax(np.linalg.norm(world.ego(times).velocity, axis=1))])
    points, _, ring, after_s, hit = lidar.sweep(start, PERIOD_S, None)
    column = np.round(after_s / PERIOD_S * CONFIG.columns).astype(int)
    fixed = (hit[column * CONFIG.rings + ring] == -1) & (POSE.translation[2] + points[:, 2] > 0.05)
    assert fixed.sum() > 100
    right = to_world(world, points[fixed], start + after_s[fixed])
    frozen = to_world(world, points[fixed], np.full(fixed.sum(), start))

    def to_walls(places: np.ndarray) -> np.ndarray:
        gaps = []
        for p in places[:: max(1, len(places) // 60)]:
            rows = world.static
            dx, dy = p[0] - rows[:, 1], p[1] - rows[:, 2]
            u = np.abs(rows[:, 7] * dx + rows[:, 8] * dy) - rows[:, 4]
            v = np.abs(rows[:, 7] * dy - rows[:, 8] * dx) - rows[:, 5]
            box = np.where(np.maximum(u, v) < 0, np.abs(np.maximum(u, v)), np.hypot(np.maximum(u, 0), np.maximum(v, 0)))
            round_ = np.abs(np.hypot(dx, dy) - rows[:, 4])
            gaps.append(np.where(rows[:, 0] == 0, box, round_).min())
        return np.array(gaps)

    assert np.quantile(to_walls(right), 0.9) < 2e-3
    assert np.median(to_walls(frozen)) > 0.05


def test_noise_has_the_stated_spread_and_losses_grow_with_range(world: World, lidar: LidarModel) -> None:
    clean, _, ring, after_s, _ = lidar.sweep(12.0, PERIOD_S, None)
    noisy, _, ring2, after2_s, _ = lidar.sweep(12.0, PERIOD_S, noise_key(0, "lidar", 3))
    index = {(r, t): i for i, (r, t) in enumerate(zip(ring, after_s, strict=True))}
    pairs = [(i, index[key]) for i, key in enumerate(zip(ring2, after2_s, strict=True)) if key in index]
    assert 0.5 < len(pairs) / len(clean) < 1.0
    a, b = np.array(pairs).T
    error = np.linalg.norm(noisy[a], axis=1) - np.linalg.norm(clean[b], axis=1)
    kept = np.abs(error) < 0.2
    assert kept.mean() > 0.99
    assert error[kept].std() == pytest.approx(CONFIG.range_noise_m, rel=0.1)
    clean_range = np.linalg.norm(clean, axis=1)
    found = np.isin(np.arange(len(clean)), b)
    assert found[clean_range < 15].mean() > found[clean_range > 45].mean() + 0.05


def test_fog_hides_what_is_far_and_adds_echoes_of_drops_near_by() -> None:
    counts = {}
    for name in ("town", "town_fog"):
        world = World(load_scenario(name), 0)
        model = LidarModel(world, CONFIG, POSE, GroundMap.of(world.scenario.road, world.road))
        points = model.sweep(12.0, PERIOD_S, noise_key(0, "lidar", 0))[0]
        distance = np.linalg.norm(points, axis=1)
        above = (points[:, 2] > 0.3) & (distance < 4.0)
        counts[name] = ((distance > 50).sum(), above.sum())
    assert counts["town_fog"][0] < 0.1 * counts["town"][0]
    assert counts["town_fog"][1] > counts["town"][1] + 300


def test_a_tilted_sensor_sees_the_same_world(world: World, lidar: LidarModel) -> None:
    """Points of a LiDAR that lies on its side are on the same surfaces: ground at z = 0, nothing below."""
    pose = Transform.from_rpy([1.0, 0.2, 1.9], [1.2, 0.4, -0.5])
    model = LidarModel(world, CONFIG, pose, lidar.ground)
    points, _, _, after_s, hit = model.sweep(12.0, PERIOD_S, None)
    places = to_world(world, points, 12.0 + after_s, pose)
    assert places[:, 2].min() > -1e-3
    assert (np.abs(places[:, 2]) < 1e-3).sum() > 1000
    assert (hit >= 0).sum() > 50


@pytest.mark.parametrize("name", ["town_bumps", "handheld", "drone"])
def test_what_sways_and_flies_sees_a_flat_ground_and_whole_objects(name: str) -> None:
    world = World(load_scenario(name), 1)
    config = LidarConfig(rings=32, columns=512, elevation_deg=(-60.0, 15.0), max_range_m=80.0)
    model = LidarModel(world, config, POSE, GroundMap.of(world.scenario.road, world.road))
    onto = 0
    for start in (7.0, 52.0, 96.0):
        points, _, ring, after_s, hit = model.sweep(start, PERIOD_S, None)
        owner = hit[np.round(after_s / PERIOD_S * config.columns).astype(int) * config.rings + ring]
        places = to_world(world, points, start + after_s)
        assert places[:, 2].min() > -1e-4
        assert (np.abs(places[:, 2]) < 1e-4).sum() > 4000
        on = owner >= 0
        onto += on.sum()
        motion = world.motion(owner[on], start + after_s[on])
        gap = np.hypot(*(places[on, :2] - motion[:, :2]).T)
        assert (gap < np.hypot(world.size[owner[on], 0], world.size[owner[on], 1]) / 2 + 0.03).all()
    assert onto > 100
