"""A spinning LiDAR: one ray per ring and column, each column at its own time.

The beam turns clockwise (seen from above) from straight behind the sensor. Whether an echo is found follows from the
energy that returns: reflectivity x cosine of incidence x two-way extinction / range^2, scaled so that a surface of
10 %, seen head on at `max_range_m` in clear air, is found three times in four. In fog and rain some pulses come back
from drops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import LidarConfig
from sensorfuse.sim.noise import normal, uniform
from sensorfuse.sim.scene.ground import REFLECT as GROUND_REFLECT
from sensorfuse.sim.scene.ground import GroundMap, material_at
from sensorfuse.sim.scene.shapes import GLASS, OWNER, REFLECT, TEXTURE
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.raycast import CANDIDATE_COLUMNS, GROUND, SKY, TOP, gather, incidence, nearest

Array = NDArray[np.float64]

MIN_RANGE_M = 0.7
WEAKEST_REFLECT = 0.1
DROPOUT = 0.01
MISS = -3


@njit(cache=True, fastmath=True)
def _aim(rotation, local, rays):  # type: ignore[no-untyped-def]
    """Turn a column's rays (R, 3) into the world: fill `rays` (R, 4) with the unit direction over ground, the slope and
    the horizontal share of a metre. Return the middle direction over ground, and the cosine and sine of the largest
    angle to it.
    """
    mx, my = 0.0, 0.0
    for r in range(len(local)):
        lx, ly, lz = local[r, 0], local[r, 1], local[r, 2]
        dx = rotation[0, 0] * lx + rotation[0, 1] * ly + rotation[0, 2] * lz
        dy = rotation[1, 0] * lx + rotation[1, 1] * ly + rotation[1, 2] * lz
        dz = rotation[2, 0] * lx + rotation[2, 1] * ly + rotation[2, 2] * lz
        flat = max(math.sqrt(dx * dx + dy * dy), 1e-9)
        rays[r, 0], rays[r, 1], rays[r, 2], rays[r, 3] = dx / flat, dy / flat, dz / flat, flat
        mx += rays[r, 0]
        my += rays[r, 1]
    norm = math.sqrt(mx * mx + my * my) + 1e-12
    mx /= norm
    my /= norm
    cosine = 1.0
    for r in range(len(local)):
        cosine = min(cosine, rays[r, 0] * mx + rays[r, 1] * my)
    return mx, my, cosine, math.sqrt(max(1.0 - cosine * cosine, 0.0))


@njit(cache=True, fastmath=True)
def _sweep(  # type: ignore[no-untyped-def]
    parts, origins, rotations, dts, local, max_m, sigma_m, extinction, key, material, map_place, ground_reflect, noisy,
    points, intensity, ring, column, hit,
):  # fmt: skip
    """Fill one row per echo; return how many. `origins` (C, 3), `rotations` (C, 3, 3): T_world_sensor of each column;
    `local` (C, R, 3): rays in sensor axes.
    """
    columns, rings = local.shape[0], local.shape[1]
    table = np.empty((len(parts) + 1, CANDIDATE_COLUMNS))
    rays = np.empty((rings, 4))
    found = 0
    for c in range(columns):
        ox, oy, oz = origins[c, 0], origins[c, 1], origins[c, 2]
        mx, my, cosine, sine = _aim(rotations[c], local[c], rays)
        count = gather(parts, dts[c], ox, oy, oz, mx, my, cosine, sine, max_m, table)
        for r in range(rings):
            ux, uy, slope, flat = rays[r, 0], rays[r, 1], rays[r, 2], rays[r, 3]
            rho, who, face = nearest(parts, table, count, oz, ux, uy, slope, max_m * flat)
            stretch = math.sqrt(1.0 + slope * slope)
            distance = rho * stretch
            index = c * rings + r
            hit[index] = MISS
            if who == SKY:
                echo = 0.0
            else:
                px, py = ox + rho * ux, oy + rho * uy
                if who == GROUND:
                    kind = material_at(material, map_place[0], map_place[1], map_place[2], px, py)
                    reflect = ground_reflect[kind]
                    facing = abs(slope) / stretch
                else:
                    reflect = parts[who, REFLECT]
                    facing = incidence(parts, dts[c], who, face, ux, uy, slope, px, py)
                    if parts[who, TEXTURE] == GLASS and face != TOP and noisy and uniform(key, 16 * index + 7) < 0.6:
                        reflect = 0.01  # most of the light goes through a window
                echo = reflect * (0.1 + 0.9 * facing) * math.exp(-2.0 * extinction * distance)
            if noisy:
                scatter = 1.0 - math.exp(-0.6 * extinction * 12.0)
                if extinction > 1e-3 and uniform(key, 16 * index) < scatter:
                    drop = 1.0 - math.log(uniform(key, 16 * index + 1)) * min(6.0, 0.25 / extinction)
                    if drop < distance or who == SKY:
                        distance, echo, who = drop, 0.02 + 0.05 * uniform(key, 16 * index + 6), SKY
                        if drop > max_m or uniform(key, 16 * index + 7) < 0.3:
                            continue
                elif echo > 0.0:
                    strength = echo / WEAKEST_REFLECT * (max_m / max(distance, 1.0)) ** 2
                    if uniform(key, 16 * index + 2) > (1.0 - DROPOUT) * (1.0 - math.exp(-1.5 * strength)):
                        continue
                distance += sigma_m * normal(key, 8 * index + 4)
            if echo <= 0.0 or distance < MIN_RANGE_M or distance > max_m:
                continue
            hit[index] = int(parts[who, OWNER]) if who >= 0 else who
            for d in range(3):
                points[found, d] = local[c, r, d] * distance
            shade = 255.0 * echo
            if noisy:
                shade *= 1.0 + 0.06 * normal(key, 8 * index + 5)
            intensity[found] = min(max(math.floor(shade + 0.5), 0.0), 255.0)
            ring[found] = r
            column[found] = c
            found += 1
    return found


class LidarModel:
    """One LiDAR in one world."""

    def __init__(self, world: World, config: LidarConfig, T_base_sensor: Transform, ground: GroundMap) -> None:
        self.world, self.config, self.ground = world, config, ground
        azimuth = np.pi - 2 * np.pi * np.arange(config.columns) / config.columns
        low, high = np.radians(config.elevation_deg)
        elevation = np.linspace(low, high, config.rings) if config.rings > 1 else np.array([(low + high) / 2])
        a, e = np.meshgrid(azimuth, elevation, indexing="ij")
        self._local = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=-1)  # (C, R, 3)
        self.pose = T_base_sensor

    def sweep(self, start_s: float, period_s: float, key: np.uint64 | None) -> tuple[NDArray[Any], ...]:
        """One turn from `start_s` on: points (N, 3) float32 in the sensor frame at each ray's own time, intensity (N,),
        ring (N,), time (N,) in seconds after the start, and what each of the C * R rays hit: an actor, -1 for ground or
        anything fixed, -2 for nothing or a drop, -3 for no echo. Without a key there is no noise and no loss.
        """
        config, n = self.config, self.config.columns
        times = start_s + period_s * np.arange(n) / n
        middle = start_s + period_s / 2
        ego = self.world.ego(times)
        origins, _, _ = ego.at(self.pose.translation)
        rotations = ego.rotation @ self.pose.rotation
        parts = self.world.parts(middle, origins[n // 2], config.max_range_m + 5.0)
        total = n * config.rings
        points, intensity = np.empty((total, 3), np.float32), np.empty(total, np.float32)
        ring, column, hit = np.empty(total, np.uint16), np.empty(total, np.int32), np.empty(total, np.int64)
        g = self.ground
        count = _sweep(
            parts, origins, rotations, times - middle, self._local, config.max_range_m, config.range_noise_m,
            self.world.scenario.weather.extinction_per_m, np.uint64(0) if key is None else key, g.material,
            np.array([g.x0_m, g.y0_m, g.cell_m]), GROUND_REFLECT, key is not None, points, intensity, ring, column, hit,
        )  # fmt: skip
        return points[:count], intensity[:count], ring[:count], period_s * column[:count] / n, hit
