"""The car's springs: against an integrated equation of motion, and against what a car does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lsim

from sensorfuse.sim.scenario import RoadConfig, load_scenario
from sensorfuse.sim.scene.carrier import Car
from sensorfuse.sim.scene.spline import LoopSpline
from sensorfuse.sim.scene.suspension import (
    BUMP_HEIGHT_M,
    DAMPING,
    DIVE,
    LEAN,
    PITCH_HZ,
    STEP_S,
    WHEELBASE_M,
    RoadSurface,
    bump_places,
)
from sensorfuse.sim.scene.trajectory import Driving, Road, time_law
from sensorfuse.sim.scene.world import World

SMOOTH = RoadConfig()


def circle(radius_m: float) -> Road:
    angle = np.linspace(0, 2 * np.pi, 800, endpoint=False)
    return Road.through(radius_m * np.column_stack([np.cos(angle), np.sin(angle)]))


def steady(road: Road, speed_mps: float) -> LoopSpline:
    lap = road.length_m / speed_mps
    return LoopSpline(np.arange(40)[:, None] * road.length_m / 40, lap, [road.length_m])


def rpy(car: Car, t: np.ndarray) -> np.ndarray:
    """Height, roll, pitch (K, 3)."""
    now = car.motion(t)
    r = now.rotation
    return np.column_stack([now.position[:, 2], np.arctan2(r[:, 2, 1], r[:, 2, 2]), -np.arcsin(r[:, 2, 0])])


def test_a_steady_bend_to_the_left_lifts_the_left_side() -> None:
    road = circle(60.0)
    car = Car(road, steady(road, 11.0), 0.0, RoadSurface.of(SMOOTH, road.length_m, 0))
    z, roll, pitch = rpy(car, np.linspace(0, car.lap_s, 50)).T
    np.testing.assert_allclose(roll, LEAN * 11.0**2 / 60.0, rtol=0.01)
    np.testing.assert_allclose(z, pitch * WHEELBASE_M / 2, atol=1e-4)
    assert 2.0 < 1 / np.degrees(LEAN) < 3.0  # about a degree per 2 to 3 m/s^2
    assert 2.0 < 1 / np.degrees(DIVE) < 3.0


def test_it_dives_when_braking_and_follows_the_equation_of_motion() -> None:
    """Pitch of a lap against a linear simulation of the oscillator, driven by the acceleration in body axes."""
    road = circle(200.0)
    law = time_law(road, Driving(12.0, stops_m=(300.0,), dwell_s=5.0))
    car = Car(road, law, 0.0, RoadSurface.of(SMOOTH, road.length_m, 0))
    level = Car(road, law, 0.0)
    t = np.arange(0, 2 * law.period, STEP_S)
    now = level.motion(t)
    ahead = np.einsum("kij,ki->kj", now.rotation, now.at([1.4, 0.0, 0.0])[2])[:, 0]
    own = 2 * np.pi * PITCH_HZ
    _, reference, _ = lsim(([-DIVE * own**2], [1.0, 2 * DAMPING * own, own**2]), ahead, t)
    second = t > law.period
    pitch = rpy(car, t)[:, 2]
    np.testing.assert_allclose(pitch[second], reference[second], atol=2e-3 * np.abs(reference).max())
    assert pitch[np.argmin(ahead)] > 0.6 * DIVE * 2.0  # nose down


def test_a_bump_lifts_the_front_first_and_the_rear_a_wheelbase_later() -> None:
    road, speed = circle(400.0), 4.0
    config = RoadConfig(bumps=1)
    car = Car(road, steady(road, speed), 0.0, RoadSurface.of(config, road.length_m, 5))
    (place,) = bump_places(config, road.length_m, 5)
    t = place / speed + np.arange(-3.0, 3.0, 0.005)
    z, _, pitch = rpy(car, t).T
    front = z - WHEELBASE_M * pitch
    assert t[np.argmax(z)] - t[np.argmax(front)] == pytest.approx(WHEELBASE_M / speed, abs=0.15)
    assert 0.7 * BUMP_HEIGHT_M < z.max() < 1.8 * BUMP_HEIGHT_M
    assert t[np.argmin(pitch)] < t[np.argmax(pitch)]  # the nose rises, then dives
    assert np.abs(rpy(car, t + 20.0)[:, 0]).max() < 1e-3


def test_roughness_has_its_spread_shakes_all_axes_and_depends_on_the_seed() -> None:
    config = RoadConfig(roughness_mm=9.0)
    surfaces = [RoadSurface.of(config, 900.0, seed) for seed in range(8)]
    assert np.sqrt(np.mean([s.height.var() for s in surfaces])) == pytest.approx(9e-3, rel=0.15)
    height, cross = surfaces[0].under(np.array([1.0, 901.0, -899.0]))
    np.testing.assert_allclose(height, height[0], atol=1e-9)
    np.testing.assert_allclose(cross, cross[0], atol=1e-9)
    assert not np.allclose(surfaces[0].height, surfaces[1].height)
    road = circle(900.0 / (2 * np.pi))
    car = Car(road, steady(road, 10.0), 0.0, RoadSurface.of(config, road.length_m, 0))
    now = car.motion(np.arange(0, car.lap_s, 0.01))
    assert (now.rate[:, :2].std(axis=0) > 0.005).all()
    assert now.acceleration[:, 2].std() > 0.1


def test_bumps_are_spread_over_the_lap_and_slow_the_driver_down() -> None:
    config = RoadConfig(bumps=6)
    places = bump_places(config, 600.0, 1)
    assert len(places) == 6
    assert np.diff(places).min() > 40.0
    assert bump_places(config, 600.0, 2) != places
    assert bump_places(SMOOTH, 600.0, 1) == ()
    scenario = load_scenario("town_bumps")
    world = World(scenario, 0)
    t = np.arange(0, world.lap_s, 0.05)
    along, speed = world.ego_distance(t), np.linalg.norm(world.ego(t).velocity, axis=1)
    for place in bump_places(scenario.road, world.road.length_m, 0):
        assert speed[np.argmin(np.abs(along - place))] < 0.7 * speed.max()


def test_a_car_without_springs_stays_level() -> None:
    now = World(load_scenario("town"), 0).ego(np.linspace(0, 120, 30))
    assert np.abs(now.position[:, 2]).max() == 0
    assert np.abs(now.rotation[:, 2, :2]).max() == 0
    assert np.abs(now.rate[:, :2]).max() == 0


@pytest.mark.parametrize("seed", range(3))
def test_traffic_slows_for_the_bumps_too_so_that_nobody_runs_into_the_ego(seed: int) -> None:
    """The ego's outline, a little larger than the car, point by point against the boxes of all others."""
    world = World(load_scenario("town_bumps"), seed)
    edge = np.linspace(-1, 1, 15)
    ring = np.concatenate([np.column_stack([edge, s * np.ones(15)]) for s in (-1, 1)] + [[[-1, y] for y in edge]])
    outline = np.vstack([ring, [[1, y] for y in edge]]) * [2.4, 1.0] + [1.4, 0.0]
    for t in np.arange(0.0, world.lap_s, 0.8):
        now, states = world.ego([t]), world.states(t)
        heading = np.array([np.cos(now.yaw[0]), np.sin(now.yaw[0])])
        places = now.position[0, :2] + outline @ np.array([heading, [-heading[1], heading[0]]])
        away = places[:, None] - states[None, :, :2]
        cos, sin = np.cos(states[:, 2]), np.sin(states[:, 2])
        along, across = cos * away[..., 0] + sin * away[..., 1], cos * away[..., 1] - sin * away[..., 0]
        assert not ((np.abs(along) < world.size[:, 0] / 2) & (np.abs(across) < world.size[:, 1] / 2)).any()
