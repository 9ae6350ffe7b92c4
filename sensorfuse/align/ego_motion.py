"""Where the body is and how it moves, from gyro rates and whatever velocity the sensors give.

Rotation is integrated from the gyro (midpoint rule); velocity in the base frame is a random walk corrected by measured
velocities (radar Doppler, an INS). Position is dead-reckoned: good over the second that fusion needs, not a
localisation.
"""

from __future__ import annotations

import bisect
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform, exp_rotation

Array = NDArray[np.float64]

VELOCITY_WALK_MPS2 = 2.0  # how fast velocity may change unseen, one sigma per second
RATE_WALK_RADPS2 = 0.5
GYRO_SIGMA_RADPS = 0.01
STILL_MPS = 0.2
MAX_SPEED_SIGMA_MPS = 1.0
KEEP_NS = 3_000_000_000
MAX_GAP_S = 1.0  # a rate says nothing about times further away than this
MAX_STEP_S = 0.1  # longest step with one twist


class EgoMotion:
    """Twist and dead-reckoned pose of `base_link`. Feed in any order within `KEEP_NS`; `advance` only goes forward."""

    def __init__(self) -> None:
        self._times: list[int] = []  # event_ns of each rate, ascending
        self._rates: list[Array] = []  # angular rate (3,) in base axes
        self._velocity = np.zeros(3)
        self._variance = np.full(3, np.inf)
        self._velocity_ns = 0
        self._pose = Transform.identity()
        self._pose_ns: int | None = None

    def push_rates(self, event_ns: NDArray[np.int64], gyro_base: Array) -> None:
        """Angular rates (N, 3) in base axes, rad/s, at `event_ns` (N,)."""
        for t, rate in zip(event_ns.tolist(), gyro_base, strict=True):
            if not self._times or t > self._times[-1]:
                self._times.append(t)
                self._rates.append(rate)
        stale = bisect.bisect_left(self._times, self._times[-1] - KEEP_NS) if self._times else 0
        if stale > len(self._times) // 2:
            del self._times[:stale], self._rates[:stale]

    def push_velocity(self, event_ns: int, velocity: Array, sigma: Array) -> None:
        """A measured velocity (3,) of the base origin over ground in base axes, m/s; `sigma` (3,) inf where
        unobserved.
        """
        if self._velocity_ns:
            self._variance = self._variance + (VELOCITY_WALK_MPS2 * max(0, event_ns - self._velocity_ns) / 1e9) ** 2
        self._velocity_ns = max(self._velocity_ns, event_ns)
        for axis in range(3):
            variance = float(sigma[axis]) ** 2
            if not np.isfinite(variance) or not np.isfinite(velocity[axis]):
                continue
            if np.isinf(self._variance[axis]):
                self._velocity[axis], self._variance[axis] = velocity[axis], variance
                continue
            if (velocity[axis] - self._velocity[axis]) ** 2 > 25 * (variance + self._variance[axis]) + 4.0:
                self._variance[axis] += 1.0  # disbelieved this time; believed if it persists
                continue
            gain = self._variance[axis] / (self._variance[axis] + variance)
            self._velocity[axis] += gain * (velocity[axis] - self._velocity[axis])
            self._variance[axis] *= 1 - gain

    def moves(self) -> bool:
        """Whether a measured velocity says that the body moves; False where none was measured."""
        seen = self._variance < MAX_SPEED_SIGMA_MPS**2
        return bool(np.abs(self._velocity[seen]).max(initial=0.0) > STILL_MPS)

    def rate_at(self, t_ns: int) -> tuple[Array, Array]:
        """Angular rate (3,) in base axes and its sigma at a time; zeros with infinite sigma where no gyro is near."""
        i = bisect.bisect_left(self._times, t_ns)
        rates, away_s = self._rates_at([t_ns], max(0, i - 1), i + 1)
        sigma = GYRO_SIGMA_RADPS + RATE_WALK_RADPS2 * away_s[0] if away_s[0] <= MAX_GAP_S else np.inf
        return rates[0], np.full(3, sigma)

    def twist_at(self, t_ns: int) -> tuple[Array, Array]:
        """(vx vy vz wx wy wz) in base axes and one sigma each; velocity unobserved so far is 0 with infinite sigma."""
        rate, rate_sigma = self.rate_at(t_ns)
        age = max(0, t_ns - self._velocity_ns) / 1e9 if self._velocity_ns else 0.0
        sigma = np.sqrt(self._variance + (VELOCITY_WALK_MPS2 * age) ** 2)
        return np.concatenate([self._velocity, rate]), np.concatenate([sigma, rate_sigma])

    def advance(self, t_ns: int) -> Array:
        """`T_odom_base` (4, 4) at `t_ns`, integrated from the last call on; the first call sets the origin."""
        if self._pose_ns is not None and t_ns > self._pose_ns:
            first, last = bisect.bisect_right(self._times, self._pose_ns), bisect.bisect_left(self._times, t_ns)
            knots = [self._pose_ns, *self._times[first:last], t_ns]
            self._pose = self._integrate(self._pose, knots, max(0, first - 1), last + 1)
        if self._pose_ns is None or t_ns > self._pose_ns:
            self._pose_ns = t_ns
        return self._pose.matrix()

    def _integrate(self, pose: Transform, knots: list[int], first: int, last: int) -> Transform:
        """A pose carried over the times `knots`, rates interpolated between those of rows `first` to `last`."""
        steps = np.diff(np.array(knots, dtype=np.int64)) / 1e9
        rates, _ = self._rates_at([(t0 + t1) // 2 for t0, t1 in pairwise(knots)], first, last)
        pieces = np.maximum(1, np.ceil(steps / MAX_STEP_S)).astype(int)
        turns = np.repeat(rates * (steps / pieces)[:, None], pieces, axis=0)
        moved = np.repeat((steps / pieces)[:, None] * self._velocity, pieces, axis=0)
        half, whole = exp_rotation(0.5 * turns), exp_rotation(turns)
        rotation, translation = pose.rotation, pose.translation
        for i, move in enumerate((half @ moved[:, :, None])[:, :, 0]):
            translation = translation + rotation @ move
            rotation = rotation @ whole[i]
        return Transform(rotation, translation)

    def _rates_at(self, times_ns: list[int], first: int, last: int) -> tuple[Array, Array]:
        """Angular rates (N, 3) interpolated between rows `first` to `last`, zero where no gyro is near, and how many
        seconds outside those rows each time lies (N,).
        """
        known = self._times[first:last]
        if not known:
            return np.zeros((len(times_ns), 3)), np.full(len(times_ns), np.inf)
        at, knots = (np.array(t, dtype=np.int64) - known[0] for t in (times_ns, known))
        rows = np.array(self._rates[first:last])
        rates = np.stack([np.interp(at, knots, rows[:, axis]) for axis in range(3)], axis=1)
        away_s = np.maximum(np.maximum(knots[0] - at, at - knots[-1]), 0) / 1e9
        rates[away_s > MAX_GAP_S] = 0.0
        return rates, away_s

    def adopt(self, T_odom_base: Array, t_ns: int) -> None:
        """Take over another estimator's pose (4, 4) at `t_ns`."""
        self._pose = Transform.from_matrix(T_odom_base)
        self._pose_ns = t_ns
