"""The world: nobody collides, nothing jumps, seeds differ, scenes are as full as they should be."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.scene.population import EGO_CENTRE_M
from sensorfuse.sim.scene.rigid_motion import RigidMotion
from sensorfuse.sim.scene.shapes import BOUND, COS, CYLINDER, HX, HY, HZ, KIND, OWNER, SIN, X, Y, Z
from sensorfuse.sim.scene.world import World


def outlines(states: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Corners (N, 4, 2)."""
    half = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * size[:, None, :2] / 2
    cos, sin = np.cos(states[:, 2])[:, None], np.sin(states[:, 2])[:, None]
    x, y = half[..., 0], half[..., 1]
    return np.stack([states[:, :1] + cos * x - sin * y, states[:, 1:2] + sin * x + cos * y], axis=-1)


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Separating axes of two rectangles (4, 2)."""
    for p in (a, b):
        for i in range(2):
            edge = p[i + 1] - p[i]
            normal = np.array([-edge[1], edge[0]])
            if (a @ normal).max() < (b @ normal).min() or (b @ normal).max() < (a @ normal).min():
                return False
    return True


@pytest.mark.parametrize(
    ("name", "seed"),
    [("town", 0), ("town", 7), ("town", 22), ("highway", 3), ("city", 0), ("city", 1), ("city", 2), ("city", 5)],
)
def test_nobody_collides(name: str, seed: int) -> None:
    world = World(load_scenario(name), seed)
    size = np.vstack([world.size, [4.7, 1.9, 1.5]])
    reach = np.hypot(size[:, 0], size[:, 1]) / 2
    for t in np.arange(0.0, 1.4 * world.lap_s, 1.1 if world.crossings else 2.3):
        now = world.ego(t)
        middle = now.at(np.array([EGO_CENTRE_M, 0.0, 0.0]))[0][0]
        ego = np.array([*middle[:2], now.yaw[0], 0.0, 0.0, 0.0])
        states = np.vstack([world.states(t), ego])
        corners = outlines(states, size)
        distance = np.hypot(*(states[:, None, :2] - states[None, :, :2]).transpose(2, 0, 1))
        for i, j in zip(*np.nonzero(np.triu(distance < reach[:, None] + reach, 1)), strict=True):
            assert not overlap(corners[i], corners[j]), f"{i} and {j} overlap at {t:.1f} s"


def test_nothing_jumps_at_the_end_of_a_lap() -> None:
    world = World(load_scenario("town"), 1)
    for t in (world.lap_s, 2 * world.lap_s):
        before, after = world.ego(t - 1e-6), world.ego(t + 1e-6)
        for field in fields(RigidMotion):
            np.testing.assert_allclose(getattr(before, field.name), getattr(after, field.name), atol=1e-3)
    t = np.linspace(0, 3 * world.lap_s, 4000)
    for near in t[:: len(t) // 40]:
        before, after = world.states(near - 5e-3), world.states(near + 5e-3)
        step = np.hypot(*(after - before)[:, :2].T)
        speed = np.hypot(before[:, 3], before[:, 4])
        np.testing.assert_allclose(step, 0.01 * speed, atol=2e-3)


def test_a_lap_lasts_two_minutes_and_has_a_stop_and_turns() -> None:
    for seed in range(3):
        world = World(load_scenario("town"), seed)
        assert world.lap_s >= 120
        ego = world.ego(np.arange(0, world.lap_s, 0.1))
        speed = np.linalg.norm(ego.velocity, axis=1)
        assert speed.min() < 1e-6
        assert speed.max() > 6
        assert np.abs(ego.rate[:, 2]).max() > 0.2


def test_scenes_are_populated_and_seeds_differ() -> None:
    worlds = [World(load_scenario("town"), seed) for seed in range(4)]
    for world in worlds:
        counts = []
        for t in np.linspace(0, world.lap_s, 12):
            ego, states = world.ego(t).position[0], world.states(t)
            counts.append((np.hypot(states[:, 0] - ego[0], states[:, 1] - ego[1]) < 50).sum())
        assert 5 <= np.median(counts) <= 30
        assert {"car", "pedestrian", "cyclist", "emergency_vehicle"} <= set(world.names)
    assert len({w.road.length_m for w in worlds}) == 4
    assert len({w.size[0, 0] for w in worlds}) == 4


def test_the_parts_of_an_object_lie_in_its_box() -> None:
    world = World(load_scenario("town"), 2)
    t = 31.0
    states = world.states(t)
    parts = world.parts(t, world.ego(t).position[0], 500.0)
    parts = parts[parts[:, OWNER] >= 0]
    assert set(parts[:, OWNER].astype(int)) == set(range(len(world.names)))
    for row in parts:
        x, y, yaw = states[int(row[OWNER]), :3]
        half = world.size[int(row[OWNER])] / 2
        dx, dy = row[X] - x, row[Y] - y
        along, across = np.cos(yaw) * dx + np.sin(yaw) * dy, np.cos(yaw) * dy - np.sin(yaw) * dx
        wide = row[HX] if row[KIND] == CYLINDER else row[HY]
        assert abs(along) + row[HX] <= half[0] + 1e-6
        assert abs(across) + wide <= half[1] + 1e-6
        assert row[Z] - row[HZ] >= -1e-9
        assert row[Z] + row[HZ] <= 2 * half[2] + 1e-6


def test_houses_and_trees_keep_off_the_road() -> None:
    world = World(load_scenario("town"), 3)
    line = world.road.points(np.arange(0, world.road.length_m, 1.0))[:, :2]
    for row in world.static:
        dx, dy = line[:, 0] - row[X], line[:, 1] - row[Y]
        if row[KIND] == CYLINDER:
            gap = np.hypot(dx, dy).min() - min(row[BOUND], 0.2)  # crowns hang over the kerb, trunks do not
        else:
            u, v = np.abs(row[COS] * dx + row[SIN] * dy), np.abs(row[COS] * dy - row[SIN] * dx)
            gap = np.hypot(np.maximum(u - row[HX], 0), np.maximum(v - row[HY], 0)).min()
        assert gap > world.edge_m + 3.0
