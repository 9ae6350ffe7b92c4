"""What carries the sensors: exact derivatives, laps without a seam, lively motion, and room to move in."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sensorfuse.errors import SensorfuseError
from sensorfuse.sim.scenario import Scenario, load_scenario
from sensorfuse.sim.scene.rigid_motion import GRAVITY_MPS2, RigidMotion
from sensorfuse.sim.scene.shapes import COS, CYLINDER, HX, HY, HZ, KIND, SIN, X, Y, Z
from sensorfuse.sim.scene.world import World
from sensorfuse.yaml_model import parse_model

KINDS = ("town", "town_bumps", "handheld", "drone")


@pytest.fixture(scope="module")
def worlds() -> dict[str, World]:
    return {name: World(load_scenario(name), 4) for name in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_velocity_rate_and_their_derivatives_are_those_of_the_pose(worlds: dict[str, World], kind: str) -> None:
    world = worlds[kind]
    h = 1e-4
    t = np.random.default_rng(0).uniform(-world.lap_s, 2 * world.lap_s, 300)
    now, before, after = world.ego(t), world.ego(t - h), world.ego(t + h)
    np.testing.assert_allclose(now.velocity, (after.position - before.position) / (2 * h), atol=1e-4)
    np.testing.assert_allclose(now.acceleration, (after.velocity - before.velocity) / (2 * h), atol=1e-3)
    turned = before.rotation.transpose(0, 2, 1) @ after.rotation
    np.testing.assert_allclose(now.rate, Rotation.from_matrix(turned).as_rotvec() / (2 * h), atol=1e-4)
    np.testing.assert_allclose(now.spin, (after.rate - before.rate) / (2 * h), atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_laps_follow_one_another_without_a_seam(worlds: dict[str, World], kind: str) -> None:
    world = worlds[kind]
    assert world.lap_s >= 120
    t = np.linspace(0.0, world.lap_s, 40)
    first, second = world.ego(t), world.ego(t + world.lap_s)
    before, after = world.ego(t[:1] - 1e-7), world.ego(t[:1] + 1e-7)
    for field in fields(RigidMotion):
        np.testing.assert_allclose(getattr(first, field.name), getattr(second, field.name), atol=1e-6)
        np.testing.assert_allclose(getattr(before, field.name), getattr(after, field.name), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_distance_grows_with_speed_and_lap_by_lap(worlds: dict[str, World], kind: str) -> None:
    world = worlds[kind]
    t = np.arange(0, world.lap_s, 0.05)
    speed = np.linalg.norm(world.ego(t).velocity, axis=1)
    rate = (world.ego_distance(t + 1e-3) - world.ego_distance(t - 1e-3)) / 2e-3
    assert rate.min() > -1e-6
    share = 0.25 if kind.startswith("town") else 0.02  # a car's lane is longer or shorter than the centre line in bends
    np.testing.assert_allclose(rate, speed, atol=share * speed.max())
    ends = world.ego_distance(np.array([0.0, world.lap_s, 2 * world.lap_s]))
    assert ends[2] - ends[1] == pytest.approx(ends[1] - ends[0], rel=1e-9)


@pytest.mark.parametrize("kind", ["handheld", "drone"])
def test_carried_sensors_turn_about_all_axes_and_stand_now_and_then(worlds: dict[str, World], kind: str) -> None:
    world = worlds[kind]
    t = np.arange(0, world.lap_s, 0.02)
    now = world.ego(t)
    assert (now.rate.std(axis=0) > 0.2).all()
    for start in np.arange(0, world.lap_s - 10, 10.0):
        window = (t >= start) & (t < start + 10)
        assert (now.rate[window].std(axis=0) > 0.03).all()
    speed = np.linalg.norm(now.velocity, axis=1)
    assert (speed < (0.1 if kind == "handheld" else 0.8)).mean() > 0.04  # a drone in a hover is pushed about
    assert np.abs(now.rate).max() < 6.0
    assert np.abs(now.acceleration).max() < 12.0


def gait_hz(world: World) -> float:
    t = np.arange(0, world.lap_s, 0.01)
    lift = world.ego(t).acceleration[:, 2]
    power = np.abs(np.fft.rfft(lift)) ** 2
    cycles = np.fft.rfftfreq(len(t), 0.01)
    low = (cycles > 0.5) & (cycles < 5.0)
    return float(cycles[low][np.argmax(power[low])])


def test_a_walker_walks_at_hand_height_and_at_the_pace_of_walking(worlds: dict[str, World]) -> None:
    world = worlds["handheld"]
    now = world.ego(np.arange(0, world.lap_s, 0.05))
    assert 1.3 < now.position[:, 2].min() < now.position[:, 2].max() < 1.5
    speed = np.hypot(now.velocity[:, 0], now.velocity[:, 1])
    assert 1.2 < np.median(speed) < 1.5
    assert 1.5 < gait_hz(world) < 2.0
    heading = np.unwrap(now.yaw)
    assert np.ptp(heading) > np.pi  # turns back


@pytest.mark.parametrize("seed", range(4))
def test_a_walker_runs_into_nobody_and_nothing(seed: int) -> None:
    world = World(load_scenario("handheld"), seed)
    t = np.arange(0, 1.3 * world.lap_s, 0.5)
    place = world.ego(t).position[:, :2]
    for at, (x, y) in zip(t, place, strict=True):
        states = world.states(at)
        dx, dy = x - states[:, 0], y - states[:, 1]
        cos, sin = np.cos(states[:, 2]), np.sin(states[:, 2])
        along, across = np.abs(cos * dx + sin * dy), np.abs(cos * dy - sin * dx)
        gap = np.hypot(np.maximum(along - world.size[:, 0] / 2, 0), np.maximum(across - world.size[:, 1] / 2, 0))
        assert gap.min() > 0.3, f"{world.names[int(gap.argmin())]} at {at:.1f} s"
    for row in world.static[world.static[:, Z] - world.static[:, HZ] < 2.0]:
        dx, dy = place[:, 0] - row[X], place[:, 1] - row[Y]
        u, v = np.abs(row[COS] * dx + row[SIN] * dy), np.abs(row[COS] * dy - row[SIN] * dx)
        box = np.hypot(np.maximum(u - row[HX], 0), np.maximum(v - row[HY], 0)).min()
        assert (np.hypot(dx, dy).min() - row[HX] if row[KIND] == CYLINDER else box) > 0.5
    people = sum(name == "pedestrian" for name in world.names)
    assert 0 < people < sum(name == "pedestrian" for name in World(load_scenario("town"), seed).names)


@pytest.mark.parametrize("seed", range(4))
def test_a_drone_flies_clear_of_everything_within_its_heights(seed: int) -> None:
    world = World(load_scenario("drone"), seed)
    place = world.ego(np.arange(0, world.lap_s, 0.1)).position
    low, high = world.scenario.ego.height_m
    assert low < place[:, 2].min() < place[:, 2].max() < high
    assert np.ptp(place[:, 2]) > 0.5 * (high - low)  # climbs
    assert world.size[:, 2].max() < low - 1.0
    for row in world.static:
        dx, dy = place[:, 0] - row[X], place[:, 1] - row[Y]
        u, v = np.abs(row[COS] * dx + row[SIN] * dy), np.abs(row[COS] * dy - row[SIN] * dx)
        aside = np.hypot(np.maximum(u - row[HX], 0), np.maximum(v - row[HY], 0))
        if row[KIND] == CYLINDER:
            aside = np.maximum(np.hypot(dx, dy) - row[HX], 0)
        above = np.maximum(np.abs(place[:, 2] - row[Z]) - row[HZ], 0)
        assert np.hypot(aside, above).min() > 1.0


def test_a_drone_is_carried_by_its_thrust(worlds: dict[str, World]) -> None:
    """Specific force is along the body's z axis but for drag, gusts and the lag of attitude."""
    now = worlds["drone"].ego(np.arange(0, worlds["drone"].lap_s, 0.05))
    force = now.acceleration + 0.25 * now.velocity + [0.0, 0.0, GRAVITY_MPS2]
    body = np.einsum("kji,kj->ki", now.rotation, force)
    tilt = np.degrees(np.arccos(body[:, 2] / np.linalg.norm(body, axis=1)))
    assert np.median(tilt) < 2.0
    assert np.degrees(np.arccos(now.rotation[:, 2, 2])).max() > 12.0  # and it does lean


def test_without_an_ego_car_the_world_is_the_same(worlds: dict[str, World]) -> None:
    town, drone = worlds["town"], worlds["drone"]
    assert town.names == drone.names
    np.testing.assert_array_equal(town.states(17.0), drone.states(17.0))


def test_a_seed_gives_one_path_and_another_seed_another() -> None:
    for kind in ("handheld", "drone", "town_bumps"):
        a, b, c = (World(load_scenario(kind), seed).ego([33.0]) for seed in (1, 1, 2))
        np.testing.assert_array_equal(a.rotation, b.rotation)
        assert not np.allclose(a.position, c.position)


@pytest.mark.parametrize("seed", range(3))
def test_a_walker_keeps_away_from_crossings(seed: int) -> None:
    scenario = load_scenario("handheld")
    busy = scenario.model_copy(update={"road": scenario.road.model_copy(update={"crossings": 3})})
    world = World(busy, seed)
    place = world.ego(np.arange(0, world.lap_s, 0.5)).position[:, :2]
    assert len(world.crossings) == 3
    for crossing in world.crossings:
        assert np.hypot(*(place - crossing.middle).T).min() > 20.0


def test_a_drone_below_the_lorries_is_refused_with_its_key() -> None:
    for height in ("[2.0, 9.0]", "[12.0, 8.0]"):
        with pytest.raises(SensorfuseError, match=r"town.yaml:1: ego.height_m: expected lowest, highest"):
            parse_model(Scenario, f"ego: {{kind: drone, height_m: {height}}}", "town.yaml", "scenario")
