"""A scanning radar: a power picture over azimuth and range, as Navtech devices give, in steps of about half a decibel.

The beam turns clockwise from straight ahead, once per message, each azimuth at its own time. It is narrow in azimuth
and wide in elevation: rays of several elevations share out the power of the first thing each meets; far things
behind near ones show where a higher ray passes over. Speckle is exponential in power; the picture is the logarithm.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import RadarConfig
from sensorfuse.sim.scene.shapes import OWNER
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.raycast import CANDIDATE_COLUMNS, SKY, gather, nearest

Array = NDArray[np.float64]

AZIMUTHS, BINS = 400, 576
ELEVATIONS_DEG = np.linspace(-6.0, 6.0, 9)
LEVELS_PER_DB = 2.0
FLOOR_LEVEL = 24.0


@njit(cache=True, fastmath=True)
def _scan(parts, origins, rotations, dts, azimuths, slopes, max_m, bins, power):  # type: ignore[no-untyped-def]
    """Add echoes to `power` (A, bins). `origins` (A, 3), `rotations` (A, 3, 3): of the sensor in the world."""
    table = np.empty((len(parts) + 1, CANDIDATE_COLUMNS))
    spread = 2.0 * math.pi / len(azimuths)
    rays = np.empty((len(slopes), 3))  # horizontal unit direction and slope
    for a in range(len(azimuths)):
        r = rotations[a]
        ox, oy, oz = origins[a, 0], origins[a, 1], origins[a, 2]
        for sub in range(2):
            angle = azimuths[a] + (sub - 0.5) * 0.5 * spread
            lx, ly = math.cos(angle), math.sin(angle)
            mx, my = 0.0, 0.0
            for e in range(len(slopes)):
                wx = r[0, 0] * lx + r[0, 1] * ly + r[0, 2] * slopes[e]
                wy = r[1, 0] * lx + r[1, 1] * ly + r[1, 2] * slopes[e]
                wz = r[2, 0] * lx + r[2, 1] * ly + r[2, 2] * slopes[e]
                flat = max(math.sqrt(wx * wx + wy * wy), 1e-9)
                rays[e, 0], rays[e, 1], rays[e, 2] = wx / flat, wy / flat, wz / flat
                mx += wx / flat
                my += wy / flat
            norm = math.sqrt(mx * mx + my * my) + 1e-12
            mx, my = mx / norm, my / norm
            narrow = 1.0
            for e in range(len(slopes)):
                narrow = min(narrow, rays[e, 0] * mx + rays[e, 1] * my)
            narrow = max(narrow, 0.0)
            count = gather(parts, dts[a], ox, oy, oz, mx, my, narrow, math.sqrt(1.0 - narrow * narrow), max_m, table)
            for e in range(len(slopes)):
                ux, uy, slope = rays[e, 0], rays[e, 1], rays[e, 2]
                rho, who, _ = nearest(parts, table, count, oz, ux, uy, slope, max_m)
                if who == SKY:
                    continue
                distance = rho * math.sqrt(1.0 + slope * slope)
                cell = int(distance / max_m * bins)
                if cell >= bins:
                    continue
                strength = 0.012
                if who >= 0:
                    strength = 2.2 if parts[who, OWNER] >= 0.0 else 0.8
                weight = strength * (20.0 / max(distance, 4.0)) ** 2
                power[a, cell] += weight
                if cell + 1 < bins:
                    power[a, cell + 1] += 0.35 * weight
                if cell > 0:
                    power[a, cell - 1] += 0.25 * weight


class PolarRadarModel:
    """One scanning radar in one world."""

    def __init__(self, world: World, config: RadarConfig, T_base_sensor: Transform) -> None:
        self.world, self.config, self.pose = world, config, T_base_sensor
        turn = -2 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS
        self.azimuths = np.where(turn < -np.pi, turn + 2 * np.pi, turn)

    def scan(
        self, start_s: float, period_s: float, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Power (400, 576) and azimuths (400,), left positive, of one turn from `start_s` on."""
        times = start_s + period_s * np.arange(AZIMUTHS) / AZIMUTHS
        middle = start_s + period_s / 2
        ego = self.world.ego(times)
        origins = ego.at(self.pose.translation)[0]
        parts = self.world.parts(middle, origins[AZIMUTHS // 2], self.config.max_range_m + 5.0)
        power = np.zeros((AZIMUTHS, BINS))
        _scan(
            parts, origins, np.ascontiguousarray(ego.rotation @ self.pose.rotation), times - middle, self.azimuths,
            np.tan(np.radians(ELEVATIONS_DEG)), self.config.max_range_m, BINS, power,
        )  # fmt: skip
        beam = 0.5 * power + 0.25 * (np.roll(power, 1, axis=0) + np.roll(power, -1, axis=0))
        speckle = rng.standard_exponential((AZIMUTHS, BINS), dtype=np.float32)
        echo = beam * (0.5 + 0.5 * speckle) + 0.01 * rng.standard_exponential((AZIMUTHS, BINS), dtype=np.float32)
        level = FLOOR_LEVEL + LEVELS_PER_DB * (10 * np.log10(echo + 0.004) + 22.0)
        return np.clip(level, 0, 255).astype(np.uint8), self.azimuths.astype(np.float32)
