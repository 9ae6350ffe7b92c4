"""An automotive radar: a list of detections with range, azimuth, elevation, range rate and cross-section.

Each object offers a few scatterers (corners and middles of the sides that face the sensor), each with a fluctuating
cross-section (Swerling 1: exponential). What is found follows from the radar equation: received power falls with the
fourth power of range; the mean target of 0 dBsm at `max_range_m` is at the threshold. Detections in one resolution
cell merge into the strongest. Ghosts come by way of walls and double bounces (`multipath`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import RadarConfig
from sensorfuse.sim.scene.shapes import CYLINDER, KIND, OWNER
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.multipath import Echoes, Faces, mirror_ghosts, twice
from sensorfuse.sim.sensors.raycast import GROUND, SKY, cast_rays
from sensorfuse.sim.sensors.scatterers import FACING, Scatterers

Array = NDArray[np.float64]

RANGE_CELL_M, AZIMUTH_CELL_RAD, DOPPLER_CELL_MPS = 0.5, np.radians(2.5), 0.4
CLUTTER_RAYS = 72
HIDDEN_DB = -14.0  # of what lies behind a vehicle and is seen under it
MIN_RANGE_M = 0.5


def range_rate(point: Array, velocity: Array, sensor: Array, sensor_velocity: Array) -> Array:
    """d|point - sensor| / dt (N,), positive when the distance grows; all (N, 3) or (3,), world axes."""
    line = point - sensor
    return np.asarray(
        ((velocity - sensor_velocity) * line).sum(axis=-1) / np.maximum(np.linalg.norm(line, axis=-1), 1e-9)
    )


def sensor_motion(world: World, t_s: float, T_base_sensor: Transform) -> tuple[Transform, Array]:
    """T_world_sensor, and the sensor's velocity (3,) over ground in world axes, with the lever arm."""
    ego = world.ego(t_s)
    return ego.pose() @ T_base_sensor, ego.at(T_base_sensor.translation)[1][0]


def bearing(line: Array, pose: Transform) -> tuple[Array, Array]:
    """Azimuth and elevation (K,) of lines (K, 3), world axes, as seen by a sensor at `pose`."""
    local = line @ pose.rotation
    return np.arctan2(local[:, 1], local[:, 0]), np.arctan2(local[:, 2], np.hypot(local[:, 0], local[:, 1]))


def fade(level: Array, rng: np.random.Generator) -> Array:
    """Cross-sections (N,) in dBsm of one look, from their means (N,): exponential in power (Swerling 1)."""
    return np.asarray(level + 10 * np.log10(np.maximum(rng.standard_exponential(len(level)), 1e-3)))


class RadarModel:
    """One radar in one world."""

    def __init__(self, world: World, config: RadarConfig, T_base_sensor: Transform) -> None:
        self.world, self.config, self.pose = world, config, T_base_sensor
        self._half_fov_rad = np.radians(config.fov_deg) / 2

    def _clutter(self, parts: Array, pose: Transform, rng: np.random.Generator) -> tuple[Array, Array]:
        """Points (K, 3) on fixed things and their cross-sections (K,)."""
        half = self._half_fov_rad
        azimuth, elevation = rng.uniform(-half, half, CLUTTER_RAYS), rng.normal(0, np.radians(2.0), CLUTTER_RAYS)
        rays = np.stack(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=1
        )
        rays = rays @ pose.rotation.T
        fixed = parts[parts[:, OWNER] < 0]
        distance, hit = cast_rays(fixed, pose.translation, rays, self.config.max_range_m)
        points = pose.translation + rays * distance[:, None]
        solid = hit >= 0
        thin = np.zeros(len(hit), bool)
        thin[solid] = fixed[hit[solid], KIND] == CYLINDER
        level = np.where(hit == GROUND, -14.0, np.where(thin, 2.0, 7.0))
        return points[hit != SKY], level[hit != SKY]

    def _shade(self, parts: Array, sensor: Array, targets: Scatterers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which scatterers (K,) lie behind another object, and which behind something nothing comes through."""
        line = targets.point - sensor
        distance, hit = cast_rays(parts, sensor, line, self.config.max_range_m + 6.0)
        blocker = np.where(hit >= 0, parts[np.maximum(hit, 0), OWNER].astype(np.int64), -1)
        covered = (hit != SKY) & (distance < np.linalg.norm(line, axis=1) - 0.4) & (hit != GROUND)
        covered &= blocker != targets.owner
        return covered, covered & (blocker < 0) & (parts[np.maximum(hit, 0), KIND] != CYLINDER)

    def detections(self, t_s: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """Detections (N, 5) at one instant: range, azimuth (left +), elevation, range rate, cross-section in dBsm."""

        def within(line: Array) -> NDArray[np.bool_]:
            return self._within(*bearing(line, pose))

        reach = self.config.max_range_m + 6.0
        pose, sensor_velocity = sensor_motion(self.world, t_s, self.pose)
        sensor = pose.translation
        parts = self.world.parts(t_s, sensor, reach)
        targets = Scatterers.near(self.world, t_s, sensor, reach, rng)
        facing = targets.facing(sensor)
        front = facing > FACING
        seen = targets.select(front)
        covered, lost = self._shade(parts, sensor, seen)
        level = seen.levels(facing[front]) + np.where(covered, HIDDEN_DB, 0.0)
        clutter, clutter_level = self._clutter(parts, pose, rng)
        points = np.vstack([seen.point[~lost], clutter])
        velocity = np.vstack([seen.velocity[~lost], np.zeros_like(clutter)])
        line = points - sensor
        distance = np.maximum(np.linalg.norm(line, axis=1), 0.1)
        direct = Echoes(
            line / distance[:, None],
            distance,
            range_rate(points, velocity, sensor, sensor_velocity),
            fade(np.concatenate([level[~lost], clutter_level]), rng),
        )
        objects = np.arange(len(direct.level)) < np.count_nonzero(~lost)
        straight = front.copy()
        straight[front] = ~covered & within(seen.point - sensor)
        faces = Faces.of(parts, self.world.class_id)
        ghosts = mirror_ghosts(
            parts, faces, sensor, sensor_velocity, targets, straight, self.config.max_range_m, within, rng
        )
        return self._measure(pose, Echoes.join([direct, twice(direct.select(objects)), ghosts]), rng)

    def _within(self, azimuth: Array, elevation: Array) -> NDArray[np.bool_]:
        """Which directions (K,) are in the field of view."""
        half_up = np.radians(self.config.elevation_fov_deg) / 2
        return np.asarray((np.abs(azimuth) < self._half_fov_rad) & (np.abs(elevation) <= half_up))

    def _measure(self, pose: Transform, echoes: Echoes, rng: np.random.Generator) -> NDArray[np.float32]:
        """Detection, resolution and noise."""
        config = self.config
        distance, level, rate = echoes.distance, echoes.level, echoes.rate
        azimuth, elevation = bearing(echoes.toward, pose)
        seen = level - 40 * np.log10(distance / config.max_range_m) > 0
        seen &= self._within(azimuth, elevation) & (distance < config.max_range_m) & (distance > MIN_RANGE_M)
        strongest = np.flatnonzero(seen)[np.argsort(-level[seen], kind="stable")]
        cell = np.stack([distance / RANGE_CELL_M, azimuth / AZIMUTH_CELL_RAD, rate / DOPPLER_CELL_MPS], axis=1)[
            strongest
        ]
        _, first = np.unique(np.floor(cell), axis=0, return_index=True)
        picked = strongest[np.sort(first)]
        out = np.stack([distance, azimuth, elevation, rate, level], axis=1)[picked]
        angle = np.radians(config.azimuth_noise_deg)
        out[:, :4] += rng.standard_normal((len(out), 4)) * [
            config.range_noise_m,
            angle,
            2 * angle,
            config.doppler_noise_mps,
        ]
        out[:, 0] = np.maximum(out[:, 0], 0.1)
        return out.astype(np.float32)
