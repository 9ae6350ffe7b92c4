"""The IMU: integrates back to the trajectory; noise has the stated density."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.geometry import Transform, exp_rotation
from sensorfuse.rig import ImuConfig
from sensorfuse.sim.imu import GRAVITY_MPS2, ImuModel, exact_imu
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.world import World

POSE = Transform.from_rpy([0.8, -0.4, 0.5], [0.3, -0.2, 1.1])
QUIET = ImuConfig(gyro_noise_density=0, gyro_random_walk=0, accel_noise_density=0, accel_random_walk=0)


@pytest.fixture(scope="module")
def world() -> World:
    return World(load_scenario("town"), 0)


def sensor_pose(world: World, t_s: float) -> Transform:
    return world.ego_pose(t_s) @ POSE


def test_integrating_it_returns_to_the_trajectory(world: World) -> None:
    """Strapdown integration (midpoint rule) of 20 s at 1 kHz, from the exact start, at a tilted and offset sensor."""
    start, dt, n = 30.0, 1e-3, 20_000
    gyro, force = exact_imu(world, start + (np.arange(n) + 0.5) * dt, POSE)
    pose = sensor_pose(world, start)
    h = 1e-4
    velocity = (sensor_pose(world, start + h).translation - sensor_pose(world, start - h).translation) / (2 * h)
    rotation, place = pose.rotation, pose.translation
    for w, f in zip(gyro, force, strict=True):
        middle = rotation @ exp_rotation(0.5 * dt * w)
        acceleration = middle @ f - [0, 0, GRAVITY_MPS2]
        place = place + velocity * dt + 0.5 * acceleration * dt * dt
        velocity = velocity + acceleration * dt
        rotation = rotation @ exp_rotation(dt * w)
    end = sensor_pose(world, start + n * dt)
    assert np.linalg.norm(end.translation - pose.translation) > 30
    np.testing.assert_allclose(place, end.translation, atol=2e-3)
    np.testing.assert_allclose(rotation, end.rotation, atol=1e-6)


def test_at_rest_it_measures_gravity_upwards(world: World) -> None:
    t = np.arange(0, world.lap_s, 0.1)
    rest = t[np.linalg.norm(world.ego(t).velocity, axis=1) < 1e-9]
    assert len(rest)
    gyro, force = exact_imu(world, rest[:1], Transform.identity())
    np.testing.assert_allclose(force[0], [0, 0, 9.80665], atol=1e-9)
    np.testing.assert_allclose(gyro[0], 0, atol=1e-9)


def test_white_noise_has_the_stated_density(world: World) -> None:
    config = ImuConfig(gyro_random_walk=0, accel_random_walk=0)
    model = ImuModel(world, config, 200.0, POSE, 0, "imu")
    errors = []
    for k in range(400):
        t = (k * 10 + np.arange(10)) / 200.0
        gyro, accel = model.batch(t, k)
        exact = exact_imu(world, t, POSE)
        errors.append(np.hstack([gyro - exact[0], accel - exact[1]]))
    spread = np.vstack(errors).std(axis=0) / np.sqrt(200.0)
    np.testing.assert_allclose(spread[:3], config.gyro_noise_density, rtol=0.08)
    np.testing.assert_allclose(spread[3:], config.accel_noise_density, rtol=0.08)


def test_bias_walks_without_jumps_and_spreads_as_a_random_walk(world: World) -> None:
    config = QUIET.model_copy(update={"accel_random_walk": 1e-2})
    ends = []
    for seed in range(60):
        model = ImuModel(world, config, 200.0, POSE, seed, "imu")
        t = (2000 * 10 + np.arange(10)) / 200.0  # in the second chunk of bias
        ends.append((model.batch(t, 2000)[1] - exact_imu(world, t, POSE)[1])[0])
    assert np.std(ends) == pytest.approx(1e-2 * np.sqrt(100.0), rel=0.2)
    model = ImuModel(world, config, 200.0, POSE, 1, "imu")
    t = (1020 * 10 + np.arange(80)) / 200.0
    bias = (
        np.vstack([model.batch(t[i * 10 : i * 10 + 10], 1020 + i)[1] for i in range(8)]) - exact_imu(world, t, POSE)[1]
    )
    assert np.abs(np.diff(bias, axis=0)).max() < 6 * 1e-2 * np.sqrt(0.05) / 10


def test_it_saturates(world: World) -> None:
    model = ImuModel(world, QUIET.model_copy(update={"accel_range_mps2": 5.0}), 200.0, Transform.identity(), 0, "imu")
    assert model.batch(np.array([3.0]), 0)[1][0, 2] == 5.0
