"""The radar: range rates, clutter, and the scanning kind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import RadarConfig
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.scene.rigid_motion import RigidMotion
from sensorfuse.sim.scene.shapes import BOX, CYLINDER, part
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.multipath import Echoes
from sensorfuse.sim.sensors.polar_radar import PolarRadarModel
from sensorfuse.sim.sensors.radar import RadarModel, range_rate, sensor_motion
from sensorfuse.sim.sensors.raycast import cast_rays
from sensorfuse.sim.sensors.scatterers import Scatterers

POSE = Transform.from_rpy([3.3, 0.5, 0.6], [0.0, 0.0, 0.2])
EXACT = RadarConfig(max_range_m=80.0, range_noise_m=0, azimuth_noise_deg=0, doppler_noise_mps=0)


@pytest.fixture(scope="module")
def world() -> World:
    return World(load_scenario("town"), 0)


@pytest.mark.parametrize("shaken", [False, True])
def test_range_rate_is_the_derivative_of_range_with_lever_arm(world: World, shaking_ego: Any, shaken: bool) -> None:
    h = 1e-4
    who = np.flatnonzero(world.moving)
    by_hand = SimpleNamespace(ego=lambda t: RigidMotion.from_derivatives(*shaking_ego(np.atleast_1d(t))))
    ego: Any = by_hand if shaken else world
    times = np.linspace(0, world.lap_s, 25)
    assert np.abs(ego.ego(times).rate[:, 2]).max() > 0.1
    if shaken:
        assert np.abs(ego.ego(times).rate[:, :2]).max() > 0.4
    for t in times:

        def ranges(at: float) -> np.ndarray:
            sensor = sensor_motion(ego, at, POSE)[0].translation
            return np.linalg.norm(np.column_stack([world.motion(who, at)[:, :2], np.ones(len(who))]) - sensor, axis=1)

        pose, velocity = sensor_motion(ego, t, POSE)
        motion = world.motion(who, t)
        rate = range_rate(
            np.column_stack([motion[:, :2], np.ones(len(who))]),
            np.column_stack([motion[:, 3:5], np.zeros(len(who))]),
            pose.translation,
            velocity,
        )
        np.testing.assert_allclose(rate, (ranges(t + h) - ranges(t - h)) / (2 * h), atol=1e-4)


@pytest.mark.parametrize("shaken", [False, True])
def test_fixed_things_recede_as_the_sensor_moves(world: World, stage: Any, shaking_ego: Any, shaken: bool) -> None:
    """What does not move has minus the sensor's speed towards it as range rate: a third of detections or more."""
    poles = [part(CYLINDER, (25.0 + 3 * i, 9.0 - 5 * i, 3.0), (0.3, 0.3, 3.0), (90, 90, 90)) for i in range(5)]
    scene = stage([("car", 30.0, 5.0, 0.2, 8.0, 1.0)], poles, shaking_ego) if shaken else world
    checked = 0
    for t in (0.1, 0.2, 0.3, 0.4) if shaken else (5.0, 40.0, 75.0, 101.0):
        found = RadarModel(scene, EXACT, POSE).detections(t, np.random.default_rng(0)).astype(float)
        pose, velocity = sensor_motion(scene, t, POSE)
        c = np.cos(found[:, 2])
        toward = np.column_stack([c * np.cos(found[:, 1]), c * np.sin(found[:, 1]), np.sin(found[:, 2])])
        expected = -toward @ (pose.rotation.T @ velocity)
        still = np.abs(found[:, 3] - expected) < 1e-3
        checked += still.sum()
        assert still.mean() > 0.3
        assert found[:, 0].max() <= 80.0
        assert np.abs(found[:, 1]).max() <= np.radians(60.0)
    assert checked > 30


def test_positions_are_in_the_axes_of_the_tilted_sensor(stage: Any, shaking_ego: Any) -> None:
    """A far car's detections, put back into the world by the whole pose, lie on it."""
    scene = stage([("car", 34.0, 6.0, 0.3, 0.1, 0.0)], [], shaking_ego)
    hits = 0
    for k in range(12):
        t = 0.05 * k
        found = RadarModel(scene, EXACT, POSE).detections(t, np.random.default_rng(k)).astype(float)
        pose, _ = sensor_motion(scene, t, POSE)
        c = np.cos(found[:, 2])
        local = np.column_stack([c * np.cos(found[:, 1]), c * np.sin(found[:, 1]), np.sin(found[:, 2])])
        place = pose @ (found[:, :1] * local)
        near = np.abs(found[:, 0] - np.linalg.norm([34.0, 6.0, 0.5] - pose.translation)) < 3.0
        body = Transform.from_rpy([34.0 + 0.1 * t, 6.0, 0.0], [0, 0, 0.3]).inverse() @ place
        on_car = (np.abs(body[:, :2]) < scene.size[0, :2] / 2 + 0.01).all(axis=1) & (body[:, 2] > 0.2)
        hits += (near & on_car & (body[:, 2] < scene.size[0, 2])).sum()
    assert hits > 10


@pytest.mark.parametrize("distance", [40.0, 60.0, 75.0])
def test_a_lone_car_is_found_as_often_as_swerling_and_the_radar_equation_say(stage: Any, distance: float) -> None:
    """Each scatterer is found with probability exp(-threshold / mean); the threshold is 0 dBsm at 80 m, and falls with
    the fourth power of range. They fluctuate independently. The car drives off, so that no clutter has its range rate.
    """
    scene = stage([("car", distance, 0.0, 0.0, 12.0, 0.0)])
    straight = Transform.from_rpy([0.0, 0, 0.6], [0, 0, 0])
    model = RadarModel(scene, EXACT, straight)
    found, expected, looks = 0, 0.0, 500
    for k in range(looks):
        out = model.detections(0.0, np.random.default_rng(k))
        found += bool(((np.abs(out[:, 0] - distance) < 4.0) & (out[:, 3] > 8.0)).any())
        if k < 100:  # the spots differ a little from look to look
            spots = Scatterers.near(scene, 0.0, straight.translation, 90.0, np.random.default_rng(10_000 + k))  # type: ignore[arg-type]
            facing = spots.facing(straight.translation)
            level = spots.levels(facing)[facing > 0.08]
            away = np.linalg.norm(spots.point[facing > 0.08] - straight.translation, axis=1)
            found_one = np.exp(-((away / 80.0) ** 4) / 10 ** (level / 10))
            expected += 1 - np.prod(1 - found_one)
    share, wanted = found / looks, expected / 100
    assert share == pytest.approx(wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / looks) + 0.005)


def test_echoes_of_one_cell_merge_into_the_strongest(world: World) -> None:
    model = RadarModel(world, EXACT, POSE)

    def measured(second: dict[str, float]) -> np.ndarray:
        rows = [{"distance": 20.1, "azimuth": 0.01, "rate": 3.1, "level": 20.0, "up": 0.0}]
        rows.append({**rows[0], "level": 25.0, **second})
        distance, azimuth, rate, level, up = (np.array([r[n] for r in rows]) for n in rows[0])
        toward = np.column_stack([np.cos(up) * np.cos(azimuth), np.cos(up) * np.sin(azimuth), np.sin(up)])
        return model._measure(Transform.identity(), Echoes(toward, distance, rate, level), np.random.default_rng(0))

    merged = measured({"distance": 20.3})
    assert len(merged) == 1
    np.testing.assert_allclose(merged[0, [0, 4]], [20.3, 25.0], rtol=1e-6)
    for apart in ({"distance": 20.6}, {"azimuth": 0.06}, {"rate": 3.6}):
        assert len(measured(apart)) == 2
    assert len(measured({"distance": 85.0})) == 1  # beyond the range
    assert len(measured({"azimuth": 1.1})) == 1  # beside the field of view
    assert len(measured({"distance": 30.0, "up": 0.2})) == 2
    model = RadarModel(world, EXACT.model_copy(update={"elevation_fov_deg": 20.0}), POSE)
    assert len(measured({"distance": 30.0, "up": 0.2})) == 1
    assert len(measured({"distance": 30.0, "up": -0.15})) == 2
    assert len(measured({"distance": 40.0, "level": -13.0})) == 1  # too weak there
    assert len(measured({"distance": 40.0, "level": -11.0})) == 2


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


def test_the_scan_follows_the_whole_pose_at_each_azimuth(stage: Any, shaking_ego: Any) -> None:
    """Which cells hold power, ray by ray, by an ego that rolls, pitches and heaves during the turn."""
    walls = [part(BOX, (x, y, 1.5), (2.0, 3.0, 1.5), (90, 90, 90)) for x, y in ((18, 3), (-9, 14), (6, -20), (-22, -8))]
    scene = stage([], walls, shaking_ego)
    model = PolarRadarModel(scene, RadarConfig(kind="polar", max_range_m=60.0, fov_deg=360.0), POSE)
    start, period = 0.4, 0.25

    class Silent(np.random.Generator):
        def standard_exponential(self, size: Any = None, *_: Any, **__: Any) -> Any:  # type: ignore[override]
            return np.zeros(size)

    power, azimuths = model.scan(start, period, Silent(np.random.PCG64(0)))
    bright, parts = 0, scene.parts(start, (0, 0), 90.0)
    for a in range(0, 400, 3):
        pose, _ = sensor_motion(scene, start + period * a / 400, POSE)
        angle = azimuths[a] + np.array([-0.25, 0.25])[:, None] * 2 * np.pi / 400
        slope = np.tan(np.radians(np.linspace(-6, 6, 9)))[None]
        rays = np.stack(np.broadcast_arrays(np.cos(angle), np.sin(angle), slope), -1).reshape(-1, 3)
        distance, hit = cast_rays(parts, pose.translation, rays @ pose.rotation.T, 60.0)
        cells = (distance[hit >= 0] / 60.0 * 576).astype(int)
        bright += len(cells)
        assert (power[a, cells] > power[a, -1] + 6).all()
    assert bright > 100
