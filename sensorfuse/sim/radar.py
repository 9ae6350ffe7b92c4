"""An automotive radar: a list of detections with range, azimuth, elevation, range rate and cross-section.

Each object offers a few scatterers (corners and middles of the sides that face the sensor), each with a fluctuating
cross-section (Swerling 1: exponential). What is found follows from the radar equation: received power falls with the
fourth power of range; the mean target of 0 dBsm at `max_range_m` is at the threshold. Detections in one resolution
cell merge into the strongest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES
from sensorfuse.rig import RadarConfig
from sensorfuse.sim.raycast import GROUND, SKY, cast_rays
from sensorfuse.sim.shapes import CYLINDER, KIND, OWNER
from sensorfuse.sim.world import World

Array = NDArray[np.float64]

RCS_DBSM = {
    "car": 9.0,
    "van": 12.0,
    "truck": 18.0,
    "bus": 17.0,
    "emergency_vehicle": 13.0,
    "cyclist": -1.0,
    "pedestrian": -5.0,
}
CLASS_RCS_DBSM = np.array([RCS_DBSM.get(name, 0.0) for name in CLASSES])
RANGE_CELL_M, AZIMUTH_CELL_RAD, DOPPLER_CELL_MPS = 0.5, np.radians(2.5), 0.4
CLUTTER_RAYS = 72
LIMB_MPS = 0.35
GHOST_SHARE = 0.02
HIDDEN_DB = -14.0  # of what lies behind a vehicle and is seen under it

# Scatterers of a unit box: x, y in half sizes, and the outward normals of the sides they lie on (zero: none).
_SPOTS = np.array(
    [
        [1, 1, 1, 1], [1, -1, 1, -1], [-1, 1, -1, 1], [-1, -1, -1, -1],
        [1, 0, 1, 0], [-1, 0, -1, 0], [0, 1, 0, 1], [0, -1, 0, -1],
    ],
    dtype=np.float64,
)  # fmt: skip


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


class RadarModel:
    """One radar in one world."""

    def __init__(self, world: World, config: RadarConfig, T_base_sensor: Transform) -> None:
        self.world, self.config, self.pose = world, config, T_base_sensor

    def _scatterers(
        self, t_s: float, sensor: Array, rng: np.random.Generator
    ) -> tuple[Array, Array, NDArray[np.int64], Array]:
        """Points (K, 3), velocities (K, 3), owners (K,), mean cross-sections (K,) in dBsm, of what faces the sensor."""
        states = self.world.states(t_s)
        reach = self.config.max_range_m + 6.0
        who = np.flatnonzero(np.hypot(states[:, 0] - sensor[0], states[:, 1] - sensor[1]) < reach)
        if not len(who):
            return np.zeros((0, 3)), np.zeros((0, 3)), who, np.zeros(0)
        state, size = states[who], self.world.size[who]
        small = np.minimum(size[:, 0], size[:, 1]) < 1.0
        jitter = rng.uniform(-0.12, 0.12, (len(who), len(_SPOTS), 2))
        half = 0.5 * size[:, None, :2] * np.where(small, 0.4, 0.96)[:, None, None]
        local = half * np.clip(_SPOTS[None, :, :2] + jitter, -1, 1)  # (K, 8, 2)
        cos, sin = np.cos(state[:, 2])[:, None], np.sin(state[:, 2])[:, None]
        dx, dy = cos * local[..., 0] - sin * local[..., 1], sin * local[..., 0] + cos * local[..., 1]
        height = size[:, None, 2] * rng.uniform(0.25, 0.6, dx.shape)
        points = np.stack([state[:, None, 0] + dx, state[:, None, 1] + dy, height], axis=-1)
        spin = state[:, None, 5]
        velocity = np.stack([state[:, None, 3] - spin * dy, state[:, None, 4] + spin * dx, np.zeros_like(dx)], axis=-1)
        tx, ty = sensor[0] - points[..., 0], sensor[1] - points[..., 1]
        distance = np.maximum(np.hypot(tx, ty), 1e-6)
        fx, fy = (cos * tx + sin * ty) / distance, (cos * ty - sin * tx) / distance
        facing = np.maximum(fx * _SPOTS[:, 2], fy * _SPOTS[:, 3])
        level = CLASS_RCS_DBSM[self.world.class_id[who]][:, None] + 10 * np.log10(np.clip(facing, 0.05, 1.0)) - 3.0
        keep = facing > 0.08
        limbs = ~self.world.motors[who] & self.world.moving[who]  # arms, legs and wheels move on their own
        velocity[..., :2] += np.where(limbs, LIMB_MPS, 0.0)[:, None, None] * rng.standard_normal((*dx.shape, 2))
        owner = np.repeat(who[:, None], len(_SPOTS), axis=1)
        return points[keep], velocity[keep], owner[keep], level[keep]

    def _clutter(self, parts: Array, pose: Transform, rng: np.random.Generator) -> tuple[Array, Array]:
        """Points (K, 3) on fixed things and their cross-sections (K,)."""
        half = np.radians(self.config.fov_deg) / 2
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

    def detections(self, t_s: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """Detections (N, 5) at one instant: range, azimuth (left +), elevation, range rate, cross-section in dBsm."""
        config = self.config
        pose, sensor_velocity = sensor_motion(self.world, t_s, self.pose)
        sensor = pose.translation
        parts = self.world.parts(t_s, sensor, config.max_range_m + 6.0)
        points, velocity, owner, level = self._scatterers(t_s, sensor, rng)
        distance, hit = cast_rays(parts, sensor, points - sensor, config.max_range_m + 6.0)
        true_range = np.linalg.norm(points - sensor, axis=1)
        blocker = np.where(hit >= 0, parts[np.maximum(hit, 0), OWNER].astype(np.int64), -1)
        covered = (hit != SKY) & (distance < true_range - 0.4) & (blocker != owner) & (hit != GROUND)
        level = level + np.where(covered, HIDDEN_DB, 0.0)
        alive = ~(
            covered & (blocker < 0) & (parts[np.maximum(hit, 0), KIND] != CYLINDER)
        )  # nothing comes through a wall
        clutter, clutter_level = self._clutter(parts, pose, rng)
        points = np.vstack([points[alive], clutter])
        velocity = np.vstack([velocity[alive], np.zeros_like(clutter)])
        level = np.concatenate([level[alive], clutter_level])
        return self._measure(pose, sensor_velocity, points, velocity, level, rng)

    def _measure(
        self,
        pose: Transform,
        sensor_velocity: Array,
        points: Array,
        velocity: Array,
        level: Array,
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """Detection, resolution and noise for scatterers in the world."""
        config = self.config
        local = pose.inverse() @ points
        distance = np.maximum(np.linalg.norm(local, axis=1), 0.1)
        azimuth = np.arctan2(local[:, 1], local[:, 0])
        elevation = np.arcsin(np.clip(local[:, 2] / distance, -1, 1))
        rate = range_rate(points, velocity, pose.translation, sensor_velocity)
        level = level + 10 * np.log10(np.maximum(rng.standard_exponential(len(points)), 1e-3))
        seen = level - 40 * np.log10(distance / config.max_range_m) > 0
        seen &= (np.abs(azimuth) < np.radians(config.fov_deg) / 2) & (distance < config.max_range_m) & (distance > 0.5)
        strongest = np.flatnonzero(seen)[np.argsort(-level[seen], kind="stable")]
        cell = np.stack([distance / RANGE_CELL_M, azimuth / AZIMUTH_CELL_RAD, rate / DOPPLER_CELL_MPS], axis=1)[
            strongest
        ]
        _, first = np.unique(np.floor(cell), axis=0, return_index=True)
        picked = strongest[np.sort(first)]
        out = np.stack([distance, azimuth, elevation, rate, level], axis=1)[picked]
        n = len(out)
        ghosts = out[rng.random(n) < GHOST_SHARE].copy()  # by way of the road and a wall: twice as far, and weaker
        ghosts[:, [0, 3]] *= 2.0
        ghosts[:, 4] -= 8.0
        out = np.vstack([out, ghosts[ghosts[:, 0] < config.max_range_m]])
        angle = np.radians(config.azimuth_noise_deg)
        out[:, :4] += rng.standard_normal((len(out), 4)) * [
            config.range_noise_m,
            angle,
            2 * angle,
            config.doppler_noise_mps,
        ]
        out[:, 0] = np.maximum(out[:, 0], 0.1)
        return out.astype(np.float32)
