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
from sensorfuse.rig import RadarConfig
from sensorfuse.sim.raycast import CANDIDATE_COLUMNS, SKY, gather, nearest
from sensorfuse.sim.shapes import OWNER
from sensorfuse.sim.world import World

Array = NDArray[np.float64]

AZIMUTHS, BINS = 400, 576
ELEVATIONS_DEG = np.linspace(-6.0, 6.0, 9)
LEVELS_PER_DB = 2.0
FLOOR_LEVEL = 24.0


@njit(cache=True, fastmath=True)
def _scan(parts, poses, dts, offset, rotation, azimuths, slopes, max_m, bins, power):  # type: ignore[no-untyped-def]
    table = np.empty((len(parts) + 1, CANDIDATE_COLUMNS))
    spread = 2.0 * math.pi / len(azimuths)
    for a in range(len(azimuths)):
        cos, sin = math.cos(poses[a, 2]), math.sin(poses[a, 2])
        ox = poses[a, 0] + cos * offset[0] - sin * offset[1]
        oy = poses[a, 1] + sin * offset[0] + cos * offset[1]
        for sub in range(2):
            angle = azimuths[a] + (sub - 0.5) * 0.5 * spread
            lx, ly = math.cos(angle), math.sin(angle)
            for e in range(len(slopes)):
                bx = rotation[0, 0] * lx + rotation[0, 1] * ly + rotation[0, 2] * slopes[e]
                by = rotation[1, 0] * lx + rotation[1, 1] * ly + rotation[1, 2] * slopes[e]
                bz = rotation[2, 0] * lx + rotation[2, 1] * ly + rotation[2, 2] * slopes[e]
                flat = max(math.sqrt(bx * bx + by * by), 1e-9)
                ux, uy, slope = (cos * bx - sin * by) / flat, (sin * bx + cos * by) / flat, bz / flat
                if e == 0 or abs(rotation[2, 2]) < 0.9999:
                    count = gather(parts, dts[a], ox, oy, offset[2], ux, uy, 1.0, 0.0, max_m, table)
                rho, who, _ = nearest(parts, table, count, offset[2], ux, uy, slope, max_m)
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
        poses = np.column_stack([ego.position[:, :2], ego.yaw])
        parts = self.world.parts(middle, poses[AZIMUTHS // 2, :2], self.config.max_range_m + 5.0)
        power = np.zeros((AZIMUTHS, BINS))
        _scan(
            parts, poses, times - middle, self.pose.translation, np.ascontiguousarray(self.pose.rotation),
            self.azimuths, np.tan(np.radians(ELEVATIONS_DEG)), self.config.max_range_m, BINS, power,
        )  # fmt: skip
        beam = 0.5 * power + 0.25 * (np.roll(power, 1, axis=0) + np.roll(power, -1, axis=0))
        speckle = rng.standard_exponential((AZIMUTHS, BINS), dtype=np.float32)
        echo = beam * (0.5 + 0.5 * speckle) + 0.01 * rng.standard_exponential((AZIMUTHS, BINS), dtype=np.float32)
        level = FLOOR_LEVEL + LEVELS_PER_DB * (10 * np.log10(echo + 0.004) + 22.0)
        return np.clip(level, 0, 255).astype(np.uint8), self.azimuths.astype(np.float32)
