"""The last seconds of an IMU: its samples, and running products of their motion every 10 ms.

With the products the motion between any two times is found without going through the samples in between: two binary
searches, and a step of at most 10 ms at either end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.align.preintegration import ImuNoise, Preintegrated, fill_exponential, preintegrate

Array = NDArray[np.float64]
Times = NDArray[np.int64]

KNOT_NS = 10_000_000
HOLD_NS = 1_000_000_000  # a sample says nothing about times further away than this
MAX_PERIODS = 3  # a longer silence is a hole, across which motion is a guess
PIECE_S, MAX_PIECES = 0.02, 500  # a long step is taken in pieces
FIRST_CAPACITY = 1024
VELOCITY, POSITION, SWAY, DOUBT, TIME, ROW = 9, 12, 15, 24, 25, 26
"""Where things are in the row of a motion, after the rotation: flat arrays, and how many numbers."""


@dataclass(frozen=True)
class ImuMotion:
    """Motions from one time to K others, in the axes that the body had at the first.

    As in `Preintegrated`, without covariance; and `sway`, the integral of the rotation: a velocity constant in body
    axes moves the body by `sway @ velocity`. For `doubt_s` of the time the samples cannot be believed.
    """

    rows: Array  # (K, ROW): all of it

    @property
    def dt_s(self) -> Array:
        """(K,), negative to earlier times."""
        return self.rows[:, TIME]

    @property
    def rotation(self) -> Array:
        """(K, 3, 3)."""
        return self.rows[:, :VELOCITY].reshape(-1, 3, 3)

    @property
    def velocity(self) -> Array:
        """(K, 3) m/s."""
        return self.rows[:, VELOCITY:POSITION]

    @property
    def position(self) -> Array:
        """(K, 3) m."""
        return self.rows[:, POSITION:SWAY]

    @property
    def sway(self) -> Array:
        """(K, 3, 3) seconds."""
        return self.rows[:, SWAY:DOUBT].reshape(-1, 3, 3)

    @property
    def doubt_s(self) -> Array:
        """(K,)."""
        return self.rows[:, DOUBT]


@njit(cache=True)
def _step(row, rate, force, dt, doubt_s, turn, half, jacobian):  # type: ignore[no-untyped-def]
    """Carry a running product on by `dt` of one rate and force; the last three arguments are room to work in."""
    fill_exponential(rate, 0.5 * dt, half, jacobian)
    fill_exponential(rate, dt, turn, jacobian)
    for i in range(3):
        r0, r1, r2 = row[3 * i], row[3 * i + 1], row[3 * i + 2]
        pull = 0.0
        for k in range(3):
            pull += (r0 * half[0, k] + r1 * half[1, k] + r2 * half[2, k]) * force[k]
            row[SWAY + 3 * i + k] += dt * (r0 * jacobian[k, 0] + r1 * jacobian[k, 1] + r2 * jacobian[k, 2])
            row[3 * i + k] = r0 * turn[0, k] + r1 * turn[1, k] + r2 * turn[2, k]
        row[POSITION + i] += dt * row[VELOCITY + i] + 0.5 * dt * dt * pull
        row[VELOCITY + i] += dt * pull
    row[DOUBT] += doubt_s


@njit(cache=True)
def _glide(row, rate_a, rate_b, force_a, force_b, dt, doubted, turn, half, jacobian):  # type: ignore[no-untyped-def]
    """Carry a running product on by `dt`, over which rate and force go linearly from one to the other."""
    pieces = min(max(math.ceil(dt / PIECE_S - 1e-6), 1), MAX_PIECES)
    h = dt / pieces
    for n in range(pieces):
        share = (n + 0.5) / pieces
        rate, force = rate_a + share * (rate_b - rate_a), force_a + share * (force_b - force_a)
        _step(row, rate, force, h, h if doubted else 0.0, turn, half, jacobian)


@njit(cache=True)
def _append(  # type: ignore[no-untyped-def]
    t, rates, forces, saturated, times, gyro, accel, doubted, count, head, knot_row, knot_at, knots, hole_ns
):
    """Take samples in, those that are not after the newest left out, and carry the products on. The new counts."""
    turn, half, jacobian = np.eye(3), np.eye(3), np.eye(3)
    for k in range(len(t)):
        if count and t[k] <= times[count - 1]:
            continue
        n = count
        times[n] = t[k]
        gyro[n], accel[n] = rates[k], forces[k]
        if n == 0:
            doubted[n] = saturated[k]
            head[:] = 0.0
            head[0] = head[4] = head[8] = 1.0
        else:
            dt = (times[n] - times[n - 1]) * 1e-9
            doubted[n] = saturated[k] or times[n] - times[n - 1] > hole_ns
            _glide(head, gyro[n - 1], gyro[n], accel[n - 1], accel[n], dt, doubted[n], turn, half, jacobian)
        if knots == 0 or times[n] - times[knot_at[knots - 1]] >= KNOT_NS:
            knot_row[knots] = head
            knot_at[knots] = n
            knots += 1
        count += 1
    return count, knots


@njit(cache=True)
def _product(t, times, gyro, accel, doubted, count, knot_row, knot_at, knots, hole_ns, row):  # type: ignore[no-untyped-def]
    """Fill the running product at time `t`; the rate ends HOLD_NS before the first and after the last sample."""
    turn, half, jacobian, still = np.eye(3), np.eye(3), np.eye(3), np.zeros(3)
    low, high = 0, knots
    while high - low > 1:  # the last knot that is not after t
        middle = (low + high) // 2
        if times[knot_at[middle]] <= t:
            low = middle
        else:
            high = middle
    row[:] = knot_row[low]
    i = knot_at[low]
    while i + 1 < count and times[i + 1] <= t:
        dt = (times[i + 1] - times[i]) * 1e-9
        _glide(row, gyro[i], gyro[i + 1], accel[i], accel[i + 1], dt, doubted[i + 1], turn, half, jacobian)
        i += 1
    away = t - times[i]
    if away == 0:
        return
    if away > 0 and i + 1 < count:
        share = away / (times[i + 1] - times[i])
        rate, force = gyro[i] + share * (gyro[i + 1] - gyro[i]), accel[i] + share * (accel[i + 1] - accel[i])
        _glide(row, gyro[i], rate, accel[i], force, away * 1e-9, doubted[i + 1], turn, half, jacobian)
        return
    near = min(max(away, -HOLD_NS), HOLD_NS)
    beyond = max(abs(away) - hole_ns, 0) * 1e-9
    _step(row, gyro[i], accel[i], near * 1e-9, beyond if away > 0 else -beyond, turn, half, jacobian)
    if near != away:
        _step(row, still, still, (away - near) * 1e-9, 0.0, turn, half, jacobian)


@njit(cache=True)
def _motions(  # type: ignore[no-untyped-def]
    start_ns, end_ns, times, gyro, accel, doubted, count, knot_row, knot_at, knots, hole_ns
):
    """The motions from one time to others (K,), in the axes at the first, a row each; doubt is never negative."""
    a, b, out = np.empty(ROW), np.empty(ROW), np.zeros((len(end_ns), ROW))
    if count:
        _product(start_ns, times, gyro, accel, doubted, count, knot_row, knot_at, knots, hole_ns, a)
    for n in range(len(end_ns)):
        row = out[n]
        dt = (end_ns[n] - start_ns) * 1e-9
        row[TIME] = dt
        if not count:
            row[0] = row[4] = row[8] = 1.0
            row[SWAY] = row[SWAY + 4] = row[SWAY + 8] = dt
            row[DOUBT] = abs(dt)
            continue
        _product(end_ns[n], times, gyro, accel, doubted, count, knot_row, knot_at, knots, hole_ns, b)
        for i in range(3):
            for k in range(3):
                for m in range(3):
                    row[3 * i + k] += a[3 * m + i] * b[3 * m + k]
                    row[SWAY + 3 * i + k] += a[3 * m + i] * (b[SWAY + 3 * m + k] - a[SWAY + 3 * m + k])
                row[VELOCITY + i] += a[3 * k + i] * (b[VELOCITY + k] - a[VELOCITY + k])
                row[POSITION + i] += a[3 * k + i] * (b[POSITION + k] - a[POSITION + k] - dt * a[VELOCITY + k])
        row[DOUBT] = abs(b[DOUBT] - a[DOUBT])
    return out


@njit(cache=True)
def _poses(  # type: ignore[no-untyped-def]
    start_ns, end_ns, times, gyro, accel, doubted, count, knot_row, knot_at, knots, hole_ns,
    state, seen, velocity, lever, first_ns, last_ns,
):  # fmt: skip
    """Poses (K, 3, 4) after the motions of the IMU's place: by `state` and forces within the times at which those are
    known, by the base's velocity otherwise. And their doubt (K,).
    """
    rows = _motions(start_ns, end_ns, times, gyro, accel, doubted, count, knot_row, knot_at, knots, hole_ns)
    out = np.empty((len(rows), 3, 4))
    for n in range(len(rows)):
        row = rows[n]
        dt, forced = row[TIME], first_ns <= end_ns[n] <= last_ns
        for i in range(3):
            place = lever[i] + state[i] * dt + row[POSITION + i] - 0.5 * dt * dt * state[3 + i]
            sway = 0.0
            for k in range(3):
                out[n, i, k] = row[3 * i + k]
                place -= row[3 * i + k] * lever[k]
                sway += row[SWAY + 3 * i + k] * velocity[k]
            out[n, i, 3] = place if forced and seen[i] else sway
    return out, rows[:, DOUBT].copy()


@njit(cache=True)
def _rate(t_ns, times, gyro, doubted, count, hole_ns, out):  # type: ignore[no-untyped-def]
    """Fill the rate at a time; how many seconds outside the samples that is, and whether it is a guess."""
    away_ns = max(times[0] - t_ns, t_ns - times[count - 1], 0)
    if away_ns > HOLD_NS:
        out[:] = 0.0
        return math.inf, True
    i = np.searchsorted(times[:count], t_ns)
    if i == 0 or i == count:
        i = min(i, count - 1)
        out[:] = gyro[i]
    else:
        share = (t_ns - times[i - 1]) / (times[i] - times[i - 1])
        out[:] = gyro[i - 1] + share * (gyro[i] - gyro[i - 1])
    return away_ns / 1e9, doubted[i] or away_ns > hole_ns


class ImuHistory:
    """Samples of the last `keep_ns` in body axes. Those that come out of order are left out."""

    def __init__(self, keep_ns: int = 3_000_000_000) -> None:
        self.keep_ns = keep_ns
        self.period_ns = 0  # between samples, followed slowly
        self._count = self._knots = 0
        self._head = np.zeros(ROW)
        self._allocate(FIRST_CAPACITY)

    def _allocate(self, capacity: int) -> None:
        self._times = np.zeros(capacity, np.int64)
        self._gyro, self._accel = np.zeros((capacity, 3)), np.zeros((capacity, 3))
        self._doubted = np.zeros(capacity, np.bool_)  # the step that ends at this sample
        self._knot_row, self._knot_at = np.zeros((capacity, ROW)), np.zeros(capacity, np.int64)

    @property
    def first_ns(self) -> int | None:
        return int(self._times[0]) if self._count else None

    @property
    def last_ns(self) -> int | None:
        return int(self._times[self._count - 1]) if self._count else None

    @property
    def hole_ns(self) -> int:
        """A silence longer than this is a hole."""
        return MAX_PERIODS * self.period_ns if self.period_ns else HOLD_NS

    def push(self, times_ns: Times, gyro: Array, accel: Array, saturated: NDArray[np.bool_] | None = None) -> None:
        """Angular rates and specific forces (N, 3) at `times_ns` (N,); `saturated` (N,) marks what is out of range."""
        n = len(times_ns)
        if n > 1:
            period = int(times_ns[-1] - times_ns[0]) // (n - 1)
            if period > 0:
                known = self.period_ns or period
                self.period_ns = known + (min(period, 2 * known) - known) // 4
        if self._count + n > len(self._times):
            self._make_room(n)
        marks = np.zeros(n, np.bool_) if saturated is None else saturated
        self._extend(np.asarray(times_ns, np.int64), gyro, accel, marks)

    def _extend(self, times_ns: Times, gyro: Array, accel: Array, saturated: NDArray[np.bool_]) -> None:
        self._count, self._knots = _append(
            times_ns, gyro, accel, saturated, self._times, self._gyro, self._accel, self._doubted, self._count,
            self._head, self._knot_row, self._knot_at, self._knots, self.hole_ns,
        )  # fmt: skip

    def _make_room(self, wanted: int) -> None:
        """Forget what is too old, or grow; the products start anew at the oldest sample kept."""
        n = self._count
        stale = int(np.searchsorted(self._times[:n], self._times[n - 1] - self.keep_ns)) if n else 0
        kept = [a[stale:n].copy() for a in (self._times, self._gyro, self._accel, self._doubted)]
        capacity = len(self._times)
        while n - stale + wanted > capacity // 2:
            capacity *= 2
        self._allocate(capacity)
        self._count = self._knots = 0
        self._extend(*kept)  # type: ignore[arg-type]

    def rate_at(self, t_ns: int) -> tuple[Array, float, bool]:
        """Angular rate (3,) at a time, how many seconds outside the samples that is (inf where zero is returned for
        want of any near), and whether it is a guess.
        """
        rate = np.zeros(3)
        if not self._count:
            return rate, np.inf, True
        away_s, guess = _rate(t_ns, self._times, self._gyro, self._doubted, self._count, self.hole_ns, rate)
        return rate, away_s, guess

    def motions(self, start_ns: int, end_ns: Times) -> ImuMotion:
        """The motions from one time to others (K,), before or after it; beyond the samples the nearest is held for 1 s.

        Without samples there is no rotation and no force.
        """
        return ImuMotion(
            _motions(
                start_ns, np.asarray(end_ns, np.int64), self._times, self._gyro, self._accel, self._doubted,
                self._count, self._knot_row, self._knot_at, self._knots, self.hole_ns,
            )
        )  # fmt: skip

    def poses(
        self, start_ns: int, end_ns: Times, state: Array, seen: NDArray[np.bool_], velocity: Array, lever: Array,
        forced_ns: int | None,
    ) -> tuple[Array, Array]:  # fmt: skip
        """`T_start_end` (K, 3, 4) of a base whose velocity is `velocity` (3,) in its own axes, and for how many seconds
        (K,) the samples cannot be believed.

        From `forced_ns` on specific forces are known: there the IMU's place, `lever` (3,), moves by them and `state`
        (6,), its velocity and gravity at the start, along the axes where velocity was `seen` (3,).
        """
        first, last = (1, 0) if forced_ns is None else (forced_ns, (self.last_ns or 0) + self.hole_ns)
        poses, doubt_s = _poses(
            start_ns, end_ns, self._times, self._gyro, self._accel, self._doubted, self._count, self._knot_row,
            self._knot_at, self._knots, self.hole_ns, state, seen, velocity, lever, first, last,
        )  # fmt: skip
        return poses, doubt_s

    def preintegrate(self, start_ns: int, end_ns: int, noise: ImuNoise | None = None) -> Preintegrated:
        """The same with Jacobians and covariance, sample by sample; samples at both ends are split linearly.

        Beyond the samples the nearest is held, in doubt.

        Raises:
            ValueError: the end lies before the start, or there is no sample yet.
        """
        n = self._count
        if end_ns < start_ns or not n:
            msg = f"expected samples and an end at or after {start_ns}, got {n} samples and {end_ns}"
            raise ValueError(msg)
        known = self._times[:n]
        first, last = known.searchsorted([start_ns + 1, end_ns])
        inner = slice(int(first), max(int(first), int(last)))
        times = np.empty(inner.stop - inner.start + 2, np.int64)
        times[0], times[1:-1], times[-1] = start_ns, known[inner], end_ns
        rates, forces = np.empty((len(times), 3)), np.empty((len(times), 3))
        for values, out in ((self._gyro, rates), (self._accel, forces)):
            out[1:-1] = values[inner]
            for edge, t_ns in ((0, start_ns), (-1, end_ns)):
                out[edge] = self._interpolated(values, t_ns)
        doubted = self._doubted[np.minimum(known.searchsorted(times[1:]), n - 1)]
        if start_ns < known[0] or end_ns > known[-1]:
            outside = (times[1:] > known[-1]) | (times[:-1] < known[0])
            doubted |= outside & (np.diff(times) > self.hole_ns)
        return preintegrate((times - start_ns) / 1e9, rates, forces, noise, doubted)

    def _interpolated(self, values: Array, t_ns: int) -> Array:
        """Rates or forces (3,) at a time; beyond the samples those of the nearest."""
        i = int(self._times[: self._count].searchsorted(t_ns))
        if i == 0 or i == self._count:
            return values[min(i, self._count - 1)]
        before, after = int(self._times[i - 1]), int(self._times[i])
        return np.asarray(values[i - 1] + (t_ns - before) / (after - before) * (values[i] - values[i - 1]))
