"""Where things drive: a closed road, how fast it is driven, and the exact motion of a body on it.

A body on the road keeps a lateral offset (left positive) from the centre line and its heading along it, as the rear
axle of a car does. Position is `p(s) + offset * n(s)`; every derivative below is that expression's own, by the chain
rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sensorfuse.sim.scene.spline import LoopSpline

Array = NDArray[np.float64]

LAW_STEP_S = 0.5
ROAD_STEP_M = 4.0
CREEP_MPS = 0.3  # below this a car counts as standing


@njit(cache=True)
def _frames(p: Array, law: Array, offset: Array, flip: NDArray[np.bool_], out: Array) -> None:
    for k in range(len(out)):
        x1, y1, x2, y2, x3, y3 = p[k, 1, 0], p[k, 1, 1], p[k, 2, 0], p[k, 2, 1], p[k, 3, 0], p[k, 3, 1]
        norm2 = x1 * x1 + y1 * y1
        norm = math.sqrt(norm2)
        cross = x1 * y2 - y1 * x2
        dot = x1 * x2 + y1 * y2
        turn = cross / norm2  # d yaw / d s
        turn2 = (x1 * y3 - y1 * x3) / norm2 - 2.0 * dot * cross / (norm2 * norm2)
        tx, ty = x1 / norm, y1 / norm
        d = offset[k]
        stretch = norm - d * turn  # metres travelled per unit of s
        stretch1 = dot / norm - d * turn2
        v, a = law[k, 1], law[k, 2]
        sign = -1.0 if flip[k] else 1.0
        out[k, 0] = p[k, 0, 0] - d * ty
        out[k, 1] = p[k, 0, 1] + d * tx
        out[k, 2] = math.atan2(sign * ty, sign * tx)
        out[k, 3] = stretch * v * tx
        out[k, 4] = stretch * v * ty
        out[k, 5] = turn * v
        along = stretch1 * v * v + stretch * a
        across = stretch * v * turn * v
        out[k, 6] = along * tx - across * ty
        out[k, 7] = along * ty + across * tx
        out[k, 8] = turn2 * v * v + turn * a


@dataclass(frozen=True)
class Road:
    """A closed centre line (metres, world frame), parametrised nearly by arc length."""

    curve: LoopSpline

    @staticmethod
    def through(points: ArrayLike) -> Road:
        """The road that follows a closed polyline (M, 2)."""
        line = np.asarray(points, dtype=np.float64)
        closed = np.vstack([line, line[:1]])
        length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
        n = max(12, round(length[-1] / ROAD_STEP_M))
        at = np.arange(n) * length[-1] / n
        control = np.stack([np.interp(at, length, closed[:, i]) for i in range(2)], axis=1)
        return Road(LoopSpline(control, float(length[-1]), np.zeros(2)))

    @property
    def length_m(self) -> float:
        return self.curve.period

    def points(self, s: ArrayLike, offset_m: ArrayLike = 0.0) -> Array:
        """x, y, heading (K, 3) at `s` (K,) metres along and `offset_m` to the left."""
        s_ = np.atleast_1d(np.asarray(s, dtype=np.float64))
        law = np.zeros((len(s_), 4))
        return self.motion(s_, law, np.broadcast_to(np.asarray(offset_m, np.float64), s_.shape))[:, :3]

    def motion(self, s: Array, law: Array, offset_m: Array, flip: NDArray[np.bool_] | None = None) -> Array:
        """Motion (K, 9): x, y, yaw, vx, vy, yaw rate, ax, ay, yaw acceleration; world axes, SI units.

        `law` (K, 4) holds s and its time derivatives (its first column is not read); `flip` turns the heading round for
        what drives towards smaller s.
        """
        out = np.empty((len(s), 9))
        turned: NDArray[np.bool_] = np.zeros(len(s), np.bool_) if flip is None else flip
        _frames(self.curve(s), law, np.ascontiguousarray(offset_m, dtype=np.float64), turned, out)
        return out

    def curvature(self, s: Array) -> Array:
        """Signed curvature (K,) in 1/m of the centre line."""
        p = self.curve(s)
        x1, y1, x2, y2 = p[:, 1, 0], p[:, 1, 1], p[:, 2, 0], p[:, 2, 1]
        return np.asarray((x1 * y2 - y1 * x2) / np.hypot(x1, y1) ** 3)


@dataclass(frozen=True)
class Driving:
    """How a lane is driven. Traffic stands at the stops for `dwell_s`, and passes slow places at `slow_mps`."""

    top_mps: float
    lateral_mps2: float = 2.0
    accelerate_mps2: float = 1.4
    brake_mps2: float = 2.0
    stops_m: tuple[float, ...] = ()
    dwell_s: float = 0.0
    slow_m: tuple[float, ...] = ()
    slow_mps: float = 4.0


@njit(cache=True)
def _brake_and_accelerate(square: Array, brake_mps2: float, accelerate_mps2: float, ds: float) -> Array:
    """Squared speed limits (n,) of a closed road, lowered to what braking and accelerating can follow."""
    n = len(square)
    twice = np.concatenate((square, square))
    for i in range(2 * n - 1, 0, -1):
        twice[i - 1] = min(twice[i - 1], twice[i] + 2 * brake_mps2 * ds)
    twice[n:] = twice[:n].copy()
    for i in range(1, 2 * n):
        twice[i] = min(twice[i], twice[i - 1] + 2 * accelerate_mps2 * ds)
    return twice[n:]


@dataclass(frozen=True)
class Pace:
    """How long a lap takes, cell by cell, without the time that traffic stands: `seconds` (n,) per `cell_m`."""

    seconds: Array
    cell_m: float
    length_m: float

    @staticmethod
    def of(road: Road, driving: Driving, direction: int = 1) -> Pace:
        """Fastest within the limits of `driving`, which counts metres travelled from s = 0 in `direction`.

        Speed is bounded by lateral acceleration in bends, then by braking and accelerating (one pass backwards, one
        forwards, over two laps each so that the seam does not show).
        """
        n = max(200, int(road.length_m / 0.5))
        ds = road.length_m / n
        s: Array = np.arange(n, dtype=np.float64) * ds
        bend = np.maximum(np.abs(road.curvature(direction * s)), 1e-4)
        limit = np.minimum(driving.top_mps, np.sqrt(driving.lateral_mps2 / bend))
        for place in driving.slow_m:
            near = np.abs((s - place + road.length_m / 2) % road.length_m - road.length_m / 2) < 8.0
            limit[near] = np.minimum(limit[near], driving.slow_mps)
        limit[[round(m / ds) % n for m in driving.stops_m]] = CREEP_MPS
        speed = np.sqrt(_brake_and_accelerate(limit**2, driving.brake_mps2, driving.accelerate_mps2, ds))
        return Pace(2 * ds / (speed + np.roll(speed, -1)), ds, road.length_m)

    def cell(self, metres: float) -> int:
        """The cell that begins nearest to a place."""
        return round(metres / self.cell_m) % len(self.seconds)

    def law(self, waits_s: Mapping[int, float]) -> LoopSpline:
        """Distance over time, periodic in one lap; traffic stands `waits_s` at the beginning of these cells."""
        times, places = [0.0], [0.0]
        for i, seconds in enumerate(self.seconds.tolist()):
            if i in waits_s:
                times.append(times[-1] + waits_s[i])
                places.append(places[-1])
            times.append(times[-1] + seconds)
            places.append((i + 1) * self.cell_m)
        period = times[-1]
        count = max(12, math.ceil(period / LAW_STEP_S))
        control = np.interp(np.arange(count) * period / count, times, places)
        return LoopSpline(control[:, None], period, [self.length_m])


def time_law(road: Road, driving: Driving) -> LoopSpline:
    """Distance along the road over time, periodic in one lap, with the stops of `driving`: see `Pace`."""
    pace = Pace.of(road, driving)
    return pace.law({pace.cell(m): driving.dwell_s for m in driving.stops_m})
