"""Ghosts by multipath: geometry against a minimum of path length, rates against finite differences, losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES
from sensorfuse.sensor_config import RadarConfig
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.scene.shapes import BOX, COS, HOUSE, OWNER, PLAIN, SIN, SPIN, VX, VY, X, Y, part
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors import radar
from sensorfuse.sim.sensors.multipath import (
    RAIL,
    SIDE,
    WALL,
    WALL_LOSS_DB,
    Bounces,
    Echoes,
    Faces,
    bounces,
    mirror_gain_db,
    mirror_ghosts,
    reaches,
    twice,
)
from sensorfuse.sim.sensors.radar import RadarModel
from sensorfuse.sim.sensors.scatterers import Scatterers

SENSOR = np.array([0.0, 0.0, 0.7])
CLASS_ID = np.array([CLASSES.index("truck"), CLASSES.index("car")], np.uint8)


def box(x: float, y: float, yaw: float, half: tuple[float, float, float], texture: int = HOUSE) -> np.ndarray:
    row = part(BOX, (x, y, half[2]), half, (100, 100, 100), texture)
    row[COS], row[SIN] = np.cos(yaw), np.sin(yaw)
    return row


def target(point: tuple[float, float, float], velocity: tuple[float, float, float] = (0, 0, 0)) -> Scatterers:
    """One place that is seen from everywhere but from its right."""
    return Scatterers(
        np.array([point]), np.array([velocity], float), np.array([1]), np.array([[0.0, 1.0]]), np.array([[1.0, -1.0]]),
        np.array([6.0]),
    )  # fmt: skip


def one(parts: np.ndarray, at: Scatterers, sensor: np.ndarray = SENSOR, velocity: Any = (0.0, 0, 0)) -> Bounces:
    return bounces(parts, Faces.of(parts, CLASS_ID), sensor, np.array(velocity), at, np.array([500.0]))


WALL_YAW = 0.3
LEFT_WALL = box(14.0, 12.0, WALL_YAW, (15.0, 2.0, 5.0))
POINT = (22.0, 1.0, 0.9)


def test_the_path_is_the_shortest_by_the_wall() -> None:
    """Fermat, found by a minimiser that knows nothing of mirrors."""
    found = one(LEFT_WALL[None], target(POINT))
    assert len(found.target) == 1
    along, out = np.array([np.cos(WALL_YAW), np.sin(WALL_YAW)]), np.array([np.sin(WALL_YAW), -np.cos(WALL_YAW)])

    def on_wall(u: np.ndarray) -> np.ndarray:
        return np.append(LEFT_WALL[[X, Y]] + 2.0 * out + u[0] * along, u[1])

    def length(u: np.ndarray) -> float:
        return float(np.linalg.norm(on_wall(u) - SENSOR) + np.linalg.norm(on_wall(u) - POINT))

    best = minimize(length, [0.0, 1.0], tol=1e-12)
    assert found.length[0] == pytest.approx(best.fun, abs=1e-9)
    np.testing.assert_allclose(found.point[0], on_wall(best.x), atol=1e-4)


def ghosts_of(
    parts: np.ndarray, seen: bool, within: Any = lambda line: np.ones(len(line), bool), seed: int = 0
) -> Echoes:
    faces, rng = Faces.of(parts, CLASS_ID), np.random.default_rng(seed)
    return mirror_ghosts(parts, faces, SENSOR, np.zeros(3), target(POINT), np.array([seen]), 80.0, within, rng)


def test_ghosts_lie_where_the_paths_say() -> None:
    parts = LEFT_WALL[None]
    ghosts, found = ghosts_of(parts, True), one(parts, target(POINT))
    assert len(ghosts.level) == 3
    by_wall, out_by_wall, back_by_wall = ghosts.toward * ghosts.distance[:, None] + SENSOR
    out = np.array([np.sin(WALL_YAW), -np.cos(WALL_YAW), 0.0])
    face = np.array([*LEFT_WALL[[X, Y]], 0.0]) + 2.0 * out
    image = np.array(POINT) - 2 * (np.array(POINT) - face) @ out * out
    np.testing.assert_allclose(by_wall, image, atol=1e-9)
    half = (np.linalg.norm(np.array(POINT) - SENSOR) + found.length[0]) / 2
    for place, via in ((out_by_wall, found.point[0]), (back_by_wall, np.array(POINT))):
        np.testing.assert_allclose(place - SENSOR, half * (via - SENSOR) / np.linalg.norm(via - SENSOR), atol=1e-9)
    assert ghosts.level[1] == ghosts.level[2]  # one path, gone both ways


def test_ghosts_are_as_strong_as_spreading_and_the_wall_leave_them() -> None:
    """Mean power over many looks, against the radar equation leg by leg: each way spreads over its own length."""
    parts, at = LEFT_WALL[None], target(POINT)
    found = one(parts, at)
    straight, by_wall = np.linalg.norm(np.array(POINT) - SENSOR), found.length[0]
    looks = [ghosts_of(parts, True, seed=k) for k in range(3000)]
    power = np.mean([10 ** (g.level / 10) / g.distance**4 for g in looks], axis=0)
    seen_from_wall = 10 ** (at.levels(at.facing(found.point)) / 10)[0]
    seen_from_here = 10 ** (at.levels(at.facing(SENSOR)) / 10)[0]
    kept = 10 ** (found.gain_db[0] / 10)
    assert power[0] == pytest.approx(seen_from_wall * kept**2 / by_wall**4, rel=0.08)
    both = np.sqrt(seen_from_wall * seen_from_here)
    assert power[1] == pytest.approx(both * kept / (straight * by_wall) ** 2, rel=0.08)


def test_a_target_that_is_not_seen_straight_has_only_the_ghost_behind_the_wall() -> None:
    assert len(ghosts_of(LEFT_WALL[None], False).level) == 1


def test_a_wall_beside_the_field_of_view_gives_no_ghosts() -> None:
    assert len(ghosts_of(LEFT_WALL[None], True, lambda line: np.arctan2(line[:, 1], line[:, 0]) < 0.1).level) == 0


def test_rates_are_derivatives_of_the_path_length() -> None:
    """By the side of a truck that drives and turns, of a target and a sensor that move in three dimensions."""
    truck = box(12.0, 6.0, 0.1, (6.0, 1.2, 1.8), PLAIN)
    truck[OWNER], truck[VX], truck[VY], truck[SPIN] = 0, 7.0, -1.0, 0.3
    velocity, at = np.array([11.0, 0.5, -0.4]), target((20.0, 1.5, 0.8), (4.0, 1.0, 0.2))

    def after(dt: float) -> Bounces:
        moved = truck.copy()
        moved[X], moved[Y] = truck[X] + truck[VX] * dt, truck[Y] + truck[VY] * dt
        yaw = 0.1 + truck[SPIN] * dt
        moved[COS], moved[SIN] = np.cos(yaw), np.sin(yaw)
        point = at.point[0] + at.velocity[0] * dt
        there = target((point[0], point[1], point[2]), (4.0, 1.0, 0.2))
        return one(moved[None], there, SENSOR + velocity * dt, velocity)

    h = 1e-4
    now, before, later = after(0.0), after(-h), after(h)
    assert len(now.length) == 1
    assert now.rate[0] == pytest.approx((later.length[0] - before.length[0]) / (2 * h), abs=1e-5)
    still = bounces(truck[None], Faces.of(truck[None], CLASS_ID), SENSOR, np.zeros(3), at, np.array([500.0]))
    assert abs(still.rate[0] - now.rate[0]) > 1.0


def test_both_legs_must_be_free_and_the_face_wide_enough() -> None:
    assert len(one(LEFT_WALL[None], target(POINT)).target) == 1
    short = box(14.0 + 9.0 * np.cos(WALL_YAW), 12.0 + 9.0 * np.sin(WALL_YAW), WALL_YAW, (3.0, 2.0, 5.0))
    assert len(one(short[None], target(POINT)).target) == 0
    point = one(LEFT_WALL[None], target(POINT)).point[0]
    for end in (SENSOR, np.array(POINT)):
        x, y, _ = (point + end) / 2
        block = box(x, y, 0.0, (0.3, 0.3, 2.0), PLAIN)
        assert len(one(np.stack([LEFT_WALL, block]), target(POINT)).target) == 0
    low = LEFT_WALL.copy()
    low[[3, 6]] = 0.1  # a kerb below the line of sight
    assert len(one(low[None], target(POINT)).target) == 0


def test_a_way_is_free_but_for_what_stands_in_it() -> None:
    parts = np.stack([box(10.0, 0.0, 0.0, (1.0, 1.0, 1.0)), box(20.0, 0.0, 0.0, (1.0, 1.0, 1.0))])
    parts[1, OWNER] = 5
    starts, ends = np.zeros((3, 3)) + [0, 0, 0.5], np.array([[5.0, 0, 0.5], [18.5, 0, 0.5], [20.0, 8.0, 0.5]])
    np.testing.assert_array_equal(reaches(parts, starts, ends, np.full(3, 7)), [True, False, True])
    back = np.array([[30.0, 0.0, 0.5]])
    assert reaches(parts, back, np.array([[20.0, 0, 0.5]]), np.array([5]))[0]
    assert not reaches(parts, back, np.array([[20.0, 0, 0.5]]), np.array([4]))[0]


def test_losses_are_those_of_fresnel_and_of_a_convex_rail() -> None:
    grazing = mirror_gain_db(np.array([WALL]), np.array([1e-6]), np.array([10.0]), np.array([10.0]))[0]
    assert grazing == pytest.approx(-WALL_LOSS_DB, abs=0.01)
    cosine = np.linspace(0.01, 1, 50)
    ten = np.full(50, 10.0)
    wall, rail, side = (mirror_gain_db(np.full(50, kind), cosine, ten, ten) for kind in (WALL, RAIL, SIDE))
    assert (np.diff(wall) < 0).all()
    assert (np.diff(rail) < 0).all()
    assert (side == side[0]).all()
    assert max(wall.max(), rail.max(), side.max()) < 0
    # far from the rail, a cylinder's divergence is that of its radius over twice the distance
    expected = 10 * np.log10(0.04 / (2 * 5.0))
    assert rail[-1] - rail[0] == pytest.approx(expected + 10 * np.log10(1 + 2 * 0.01 / 0.04 * 5), abs=0.05)


def test_a_double_bounce_has_twice_the_range_and_rate_and_falls_with_the_eighth_power() -> None:
    direct = Echoes(np.eye(3)[:1].repeat(2, 0), np.array([5.0, 10.0]), np.array([-3.0, 2.0]), np.array([15.0, 15.0]))
    ghosts = twice(direct)
    np.testing.assert_allclose(ghosts.distance, [10.0, 20.0])
    np.testing.assert_allclose(ghosts.rate, [-6.0, 4.0])
    power = ghosts.level - 40 * np.log10(ghosts.distance)
    assert power[0] - power[1] == pytest.approx(80 * np.log10(2))


def test_ghosts_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One or two per list: two per cent of the detections, about."""
    pose = Transform.from_rpy([2.3, 0, 0.6], [0, 0, 0])
    world = World(load_scenario("town"), 0)
    model = RadarModel(world, RadarConfig(max_range_m=80.0), pose)
    times = np.linspace(0, world.lap_s, 40)
    both = sum(len(model.detections(float(t), np.random.default_rng(0))) for t in times)
    monkeypatch.setattr(radar, "mirror_ghosts", lambda *_: Echoes.none())
    monkeypatch.setattr(radar, "twice", lambda _: Echoes.none())
    alone = sum(len(model.detections(float(t), np.random.default_rng(0))) for t in times)
    assert 0.2 < (both - alone) / len(times) < 4.0
