"""The IMU: integrates back to the trajectory, at the order of the integrator; saturates; lies on its grid."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.geometry import Transform, exp_rotation
from sensorfuse.sensor_config import ImuConfig
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.scene.rigid_motion import GRAVITY_MPS2
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.imu import ImuModel, digitise, exact_imu

POSE = Transform.from_rpy([0.8, -0.4, 0.5], [0.3, -0.2, 1.1])
QUIET = ImuConfig(gyro_noise_density=0, gyro_random_walk=0, accel_noise_density=0, accel_random_walk=0)
KINDS = ("town", "town_bumps", "handheld", "drone")


@pytest.fixture(scope="module")
def worlds() -> dict[str, World]:
    return {name: World(load_scenario(name), 0) for name in KINDS}


@pytest.fixture(scope="module")
def world(worlds: dict[str, World]) -> World:
    return worlds["town"]


def sensor_pose(world: World, t_s: float) -> Transform:
    return world.ego_pose(t_s) @ POSE


def strapdown(world: World, start_s: float, dt_s: float, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place, velocity and attitude at the end of a strapdown integration by the midpoint rule, from the exact start."""
    gyro, force = exact_imu(world, start_s + (np.arange(steps) + 0.5) * dt_s, POSE)
    start = world.ego([start_s])
    place, velocity, _ = (v[0] for v in start.at(POSE.translation))
    rotation = start.rotation[0] @ POSE.rotation
    halves, turns = exp_rotation(0.5 * dt_s * gyro), exp_rotation(dt_s * gyro)
    gravity = np.array([0.0, 0.0, GRAVITY_MPS2])
    for half, turn, f in zip(halves, turns, force, strict=True):
        acceleration = rotation @ (half @ f) - gravity
        place = place + velocity * dt_s + 0.5 * acceleration * dt_s * dt_s
        velocity = velocity + acceleration * dt_s
        rotation = rotation @ turn
    return place, velocity, rotation


@pytest.mark.parametrize("kind", KINDS)
def test_integrating_it_returns_to_the_trajectory(worlds: dict[str, World], kind: str) -> None:
    """20 s at 1 kHz at a tilted sensor with a lever arm."""
    world, start, seconds = worlds[kind], 30.0, 20.0
    place, velocity, rotation = strapdown(world, start, 1e-3, 20_000)
    end = sensor_pose(world, start + seconds)
    assert world.ego_distance([start + seconds])[0] - world.ego_distance([start])[0] > 15
    np.testing.assert_allclose(rotation, end.rotation, atol=1e-4)
    np.testing.assert_allclose(velocity, world.ego([start + seconds]).at(POSE.translation)[1][0], atol=5e-3)
    np.testing.assert_allclose(place, end.translation, atol=3e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_halving_the_step_quarters_the_error(worlds: dict[str, World], kind: str) -> None:
    """The midpoint rule is of second order. A value, rate or lever arm that is off would leave an error behind."""
    world, seconds = worlds[kind], 4.0
    errors = []
    for steps in (1000, 2000, 4000):
        squares = []
        for start in (21.0, 47.0, 83.0):
            place, velocity, rotation = strapdown(world, start, seconds / steps, steps)
            end = sensor_pose(world, start + seconds)
            speed = world.ego([start + seconds]).at(POSE.translation)[1][0]
            gaps = (place - end.translation, velocity - speed, rotation - end.rotation)
            squares.append([(gap**2).sum() for gap in gaps])
        errors.append(np.sqrt(np.sum(squares, axis=0)))
    orders = np.log2(np.array(errors)[:-1] / np.array(errors)[1:])
    np.testing.assert_allclose(orders, 2.0, atol=0.06)


def test_at_rest_it_measures_gravity_upwards(world: World) -> None:
    t = np.arange(0, world.lap_s, 0.1)
    rest = t[np.linalg.norm(world.ego(t).velocity, axis=1) < 1e-9]
    assert len(rest)
    gyro, force = exact_imu(world, rest[:1], Transform.identity())
    np.testing.assert_allclose(force[0], [0, 0, 9.80665], atol=1e-9)
    np.testing.assert_allclose(gyro[0], 0, atol=1e-9)


@pytest.mark.parametrize("kind", ["town_bumps", "handheld", "drone"])
def test_its_mean_over_a_lap_is_gravity_in_the_world(worlds: dict[str, World], kind: str) -> None:
    """Whatever the attitude: the acceleration of a closed lap averages to nothing."""
    world = worlds[kind]
    t = np.arange(0, world.lap_s, 2e-3)
    _, force = exact_imu(world, t, POSE)
    rotation = world.ego(t).rotation @ POSE.rotation
    np.testing.assert_allclose(np.einsum("kij,kj->ki", rotation, force).mean(axis=0), [0, 0, GRAVITY_MPS2], atol=5e-3)


def test_it_saturates(world: World) -> None:
    model = ImuModel(world, QUIET.model_copy(update={"accel_range_mps2": 5.0}), 200.0, Transform.identity(), 0, "imu")
    assert model.batch(np.array([3.0]), 0)[1][0, 2] == 5.0


def test_values_lie_on_the_grid_of_its_counts_within_half_a_count(world: World) -> None:
    steps = {"gyro_resolution_radps": 2.66e-4, "accel_resolution_mps2": 4.79e-3}
    t = 12.0 + np.arange(400) / 200.0
    coarse = ImuModel(world, ImuConfig(samples_per_message=400, **steps), 200.0, POSE, 0, "imu").batch(t, 6)
    fine = ImuModel(world, ImuConfig(samples_per_message=400), 200.0, POSE, 0, "imu").batch(t, 6)
    for got, exact, step in zip(coarse, fine, steps.values(), strict=True):
        counts = got / step
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-8)
        assert np.abs(got - exact).max() <= step / 2 * (1 + 1e-9)
        assert np.abs(got - exact).max() > step / 4
        assert len(np.unique(np.rint(counts))) > 5


def test_full_scale_is_a_whole_count_within_the_range() -> None:
    out = digitise(np.array([-99.0, -0.26, 0.24, 99.0]), 1.05, 0.1)
    np.testing.assert_allclose(out, [-1.0, -0.3, 0.2, 1.0], atol=1e-12)
    np.testing.assert_allclose(digitise(np.array([9.0]), 0.3, 0.1), 0.3, atol=1e-12)
    np.testing.assert_array_equal(digitise(np.array([-9.0, 0.123]), 1.05, 0.0), [-1.05, 0.123])
