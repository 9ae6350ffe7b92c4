"""The radar: range rates, clutter, and the scanning kind."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.rig import RadarConfig
from sensorfuse.sim.polar_radar import PolarRadarModel
from sensorfuse.sim.radar import RadarModel, range_rate, sensor_motion
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.world import World

POSE = Transform.from_rpy([3.3, 0.5, 0.6], [0.0, 0.0, 0.2])
EXACT = RadarConfig(max_range_m=80.0, range_noise_m=0, azimuth_noise_deg=0, doppler_noise_mps=0)


@pytest.fixture(scope="module")
def world() -> World:
    return World(load_scenario("town"), 0)


def test_range_rate_is_the_derivative_of_range_with_lever_arm(world: World) -> None:
    h = 1e-4
    who = np.flatnonzero(world.moving)
    times = np.linspace(0, world.lap_s, 25)
    turning = np.abs(world.ego(times).rate[:, 2]).max()
    assert turning > 0.1
    for t in times:

        def ranges(at: float) -> np.ndarray:
            sensor = sensor_motion(world, at, POSE)[0].translation
            return np.linalg.norm(np.column_stack([world.motion(who, at)[:, :2], np.ones(len(who))]) - sensor, axis=1)

        pose, velocity = sensor_motion(world, t, POSE)
        motion = world.motion(who, t)
        rate = range_rate(
            np.column_stack([motion[:, :2], np.ones(len(who))]),
            np.column_stack([motion[:, 3:5], np.zeros(len(who))]),
            pose.translation,
            velocity,
        )
        np.testing.assert_allclose(rate, (ranges(t + h) - ranges(t - h)) / (2 * h), atol=1e-4)


def test_fixed_things_recede_as_the_sensor_moves(world: World) -> None:
    """What does not move has minus the sensor's speed towards it as range rate: a third of detections or more."""
    checked = 0
    for t in (5.0, 40.0, 75.0, 101.0):
        found = RadarModel(world, EXACT, POSE).detections(t, np.random.default_rng(0)).astype(float)
        pose, velocity = sensor_motion(world, t, POSE)
        c = np.cos(found[:, 2])
        toward = np.column_stack([c * np.cos(found[:, 1]), c * np.sin(found[:, 1]), np.sin(found[:, 2])])
        expected = -toward @ (pose.rotation.T @ velocity)
        still = np.abs(found[:, 3] - expected) < 1e-3
        checked += still.sum()
        assert still.mean() > 0.3
        assert found[:, 0].max() <= 80.0
        assert np.abs(found[:, 1]).max() <= np.radians(60.0)
    assert checked > 60


def test_objects_in_view_are_mostly_found_where_they_are(world: World) -> None:
    found_of, seen_of = 0, 0
    for t in np.linspace(2, world.lap_s, 12):
        found = RadarModel(world, EXACT, POSE).detections(float(t), np.random.default_rng(int(t))).astype(float)
        pose, _ = sensor_motion(world, float(t), POSE)
        x, y = found[:, 0] * np.cos(found[:, 1]), found[:, 0] * np.sin(found[:, 1])
        states = world.states(float(t))
        local = pose.inverse() @ np.column_stack([states[:, :2], np.full(len(states), 0.6)])
        distance, bearing = np.hypot(local[:, 0], local[:, 1]), np.arctan2(local[:, 1], local[:, 0])
        near = np.flatnonzero((distance < 25) & (np.abs(bearing) < np.radians(50)) & world.motors)
        for i in near:
            seen_of += 1
            found_of += np.hypot(x - local[i, 0], y - local[i, 1]).min() < 0.6 * np.hypot(*world.size[i, :2])
    assert seen_of > 20
    assert found_of / seen_of > 0.7


def test_noise_is_as_the_rig_says(world: World) -> None:
    noisy = EXACT.model_copy(update={"range_noise_m": 0.5})
    errors = []
    for k in range(30):
        a = RadarModel(world, EXACT, POSE).detections(40.0, np.random.default_rng(k))
        b = RadarModel(world, noisy, POSE).detections(40.0, np.random.default_rng(k))
        errors.append((b - a)[:, 0])
        np.testing.assert_array_equal(a[:, 1:], b[:, 1:])
    assert np.concatenate(errors).std() == pytest.approx(0.5, rel=0.1)


def test_the_scanning_radar_shows_cars_where_they_are(world: World) -> None:
    model = PolarRadarModel(world, RadarConfig(kind="polar", max_range_m=60.0, fov_deg=360.0), POSE)
    start, period = 30.0, 0.25
    power, azimuths = model.scan(start, period, np.random.default_rng(0))
    assert power.shape == (400, 576)
    assert azimuths[100] == pytest.approx(-np.pi / 2)  # clockwise: a quarter turn on, it looks right
    hits = 0
    checked = 0
    for i in np.flatnonzero(world.motors):
        for t in (start, start + period / 2):
            pose, _ = sensor_motion(world, t, POSE)
            state = world.states(t)[i]
            local = pose.inverse() @ np.array([state[0], state[1], 0.6])
        distance, bearing = np.hypot(*local[:2]), np.arctan2(local[1], local[0])
        if not 5 < distance < 20:
            continue
        a = round(-bearing / (2 * np.pi) * 400) % 400
        r = int(distance / 60.0 * 576)
        window = power[np.arange(a - 6, a + 7) % 400][:, max(0, r - 30) : r + 30]
        checked += 1
        hits += window.max() > np.median(power) + 60
    assert checked >= 3
    assert hits / checked > 0.7
