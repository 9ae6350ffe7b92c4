"""Where the body is and how it moves, from an IMU and whatever velocity the other sensors give.

Rotation is integrated from the gyro. Measured velocities (radar Doppler, LiDAR, an INS) correct the velocity, and in
between the specific force carries it on, as far as it is known which part of the force is gravity: the mean force tells
that roughly at once; velocities tell it well after a second or two, and then a second without them costs little. Where
no force is given, velocity in body axes is a random walk. Position is dead-reckoned: good over the second that fusion
needs, not a localisation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.align.dead_reckoning import DeadReckoning
from sensorfuse.align.imu_history import ImuHistory, ImuMotion
from sensorfuse.align.preintegration import DOUBT_RADPS, ImuNoise, Preintegrated
from sensorfuse.align.velocity_filter import (
    RATE_WALK_RADPS2,
    UNSEEN_VELOCITY_S,
    VelocityFilter,
)
from sensorfuse.sensor_config import ImuConfig

Array = NDArray[np.float64]
Times = NDArray[np.int64]

GYRO_SIGMA_RADPS = 0.01
STILL_MPS = 0.2
MAX_SPEED_SIGMA_MPS = 1.0
MAX_LATE_NS = 1_000_000_000  # a velocity older than this behind the newest is left out
CONSISTENT = 5
MAX_WAITING = 64
LAG_NS = 250_000_000  # without velocities, gravity is followed so far behind the newest force
KNOT_NS, RECENT_NS = 10_000_000, 200_000_000
RECENT = np.arange(-RECENT_NS, RECENT_NS + 1, KNOT_NS, dtype=np.int64)
RECENT.setflags(write=False)
NONE = RECENT[:0]


class _Instant(NamedTuple):
    """What is known of one time."""

    known: VelocityFilter
    twist: Array  # (6,), see `twist_at`
    sigma: Array  # (6,)


@njit(cache=True)
def _twist(state, covariance, seen, rate, rate_sigma, lever):  # type: ignore[no-untyped-def]
    """Twist (6,) of the base's origin and one sigma each; a velocity along an axis that nothing measured is 0 with
    infinite sigma.
    """
    twist, sigma = np.empty(6), np.empty(6)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        twist[i] = state[i] - (rate[j] * lever[k] - rate[k] * lever[j]) if seen[i] else 0.0
        sigma[i] = math.sqrt(covariance[i, i]) if seen[i] else math.inf
        twist[3 + i], sigma[3 + i] = rate[i], rate_sigma
    return twist, sigma


class EgoMotion:
    """Twist and dead-reckoned pose of `base_link`. Feed in any order within 1 s; `advance` only goes forward."""

    def __init__(self) -> None:
        self._imu = ImuHistory()
        self._force_since_ns: int | None = None
        self._lever = np.zeros(3)
        self._filter = VelocityFilter()  # of the IMU's place
        self._filter_ns: int | None = None
        self._asked: tuple[int, _Instant] | None = None  # the last answer, until anything new comes
        self._measured_ns: int | None = None  # newest velocity
        self._too_late = 0  # velocities in a row that were
        self._waiting: list[tuple[int, Array, Array]] = []  # velocities that are newer than the IMU's samples
        self._odometry = DeadReckoning()

    # ---- input

    def push_rates(
        self,
        event_ns: Times,
        gyro_base: Array,
        force_base: Array | None = None,
        lever_m: Array | None = None,
        saturated: NDArray[np.bool_] | None = None,
    ) -> None:
        """Angular rates (N, 3) in base axes, rad/s, at `event_ns` (N,); and if known the specific forces (N, 3) in base
        axes, m/s^2, at the IMU's place `lever_m` (3,), and which samples were out of the sensor's range (N,).
        """
        if not len(event_ns):
            return
        self._asked = None
        newest = self._imu.last_ns
        if newest is not None and event_ns[-1] < newest - MAX_LATE_NS:  # the clock was set back
            self._begin_again()
            newest = None
        if force_base is None:
            self._force_since_ns = None
        elif self._force_since_ns is None and (newest is None or event_ns[0] > newest):
            self._force_since_ns = int(event_ns[0])
            self._settle(max(self._force_since_ns, self._filter_ns or 0))
            self._filter.begin_gravity(force_base.mean(axis=0))
        if lever_m is not None:
            self._lever = np.asarray(lever_m, dtype=np.float64)
        forces = np.zeros_like(gyro_base) if force_base is None else force_base
        self._imu.push(event_ns, gyro_base, forces, saturated)
        last = int(event_ns[-1])
        self._take_waiting(last)
        if self._forced(last - LAG_NS) and self._filter_ns is not None and last - self._filter_ns > 2 * LAG_NS:
            self._settle(last - LAG_NS)

    def push_velocity(self, event_ns: int, velocity: Array, sigma: Array) -> None:
        """A measured velocity (3,) of the base origin over ground in base axes, m/s; `sigma` (3,) inf where
        unobserved.
        """
        last = self._imu.last_ns
        if self._force_since_ns is None or last is None or event_ns <= last:
            self._measure(event_ns, velocity, sigma)
            return
        self._waiting.append((event_ns, velocity, sigma))
        if len(self._waiting) > MAX_WAITING:
            self._take_waiting(self._waiting[0][0])

    def _take_waiting(self, up_to_ns: int) -> None:
        if not self._waiting:
            return
        due = sorted((w for w in self._waiting if w[0] <= up_to_ns), key=lambda w: w[0])
        self._waiting = [w for w in self._waiting if w[0] > up_to_ns]
        for event_ns, velocity, sigma in due:
            self._measure(event_ns, velocity, sigma)

    def _measure(self, event_ns: int, velocity: Array, sigma: Array) -> None:
        self._asked = None
        late_ns = 0 if self._filter_ns is None else self._filter_ns - event_ns
        if not (np.isfinite(sigma) & np.isfinite(velocity)).any():
            return
        self._too_late = self._too_late + 1 if late_ns > MAX_LATE_NS else 0
        if self._too_late:
            if self._too_late >= CONSISTENT:  # not late: the clock was set back
                self._begin_again()
            return
        if late_ns < 0 or self._filter_ns is None:
            self._settle(event_ns)
        since_s = 1.0 if self._measured_ns is None else abs(event_ns - self._measured_ns) / 1e9
        self._measured_ns = event_ns if self._measured_ns is None else max(self._measured_ns, event_ns)
        at_imu = velocity + _cross(self._imu.rate_at(event_ns)[0], self._lever)
        self._filter.measure(at_imu, sigma, since_s, max(late_ns, 0) / 1e9)

    def _begin_again(self) -> None:
        """Forget all but the dead-reckoned pose."""
        self._imu, self._filter = ImuHistory(), VelocityFilter()
        self._force_since_ns = self._filter_ns = self._measured_ns = None
        self._waiting.clear()
        self._too_late = 0

    # ---- the filter between measurements

    def _settle(self, t_ns: int) -> None:
        """Carry the filter to `t_ns` for good; on its way gravity is told by the mean force."""
        start_ns, self._filter_ns = self._filter_ns, t_ns
        if start_ns is None or start_ns == t_ns:
            return
        before = self._filter.state[:3].copy()
        motion = self._carry(self._filter, start_ns, t_ns)
        last = self._imu.last_ns
        if motion is not None and last is not None and t_ns <= last:
            back, dt = motion.rotation[0].T, float(motion.dt_s[0])
            turning = before - back @ before
            self._filter.hear_force((back @ motion.velocity[0] - turning) / dt, dt)

    def _carry(self, state: VelocityFilter, start_ns: int, end_ns: int) -> ImuMotion | None:
        """Carry a state from one time to another; the motion over the part of it for which forces are known."""
        forced = None
        last = self._imu.last_ns
        if last is not None and self._forced(min(start_ns, end_ns)) and min(start_ns, end_ns) < last:
            until_ns = min(end_ns, last + self._imu.hole_ns)
            forced = self._imu.motions(start_ns, np.array([until_ns]))
            state.carry_forced(forced.rotation[0], forced.velocity[0], float(forced.dt_s[0]), float(forced.doubt_s[0]))
            start_ns = until_ns
        if start_ns != end_ns:
            rest = self._imu.motions(start_ns, np.array([end_ns]))
            state.carry_steady(rest.rotation[0], float(rest.dt_s[0]))
        return forced

    def _forced(self, t_ns: int) -> bool:
        """Whether specific forces are known from `t_ns` on."""
        since, last = self._force_since_ns, self._imu.last_ns
        return since is not None and last is not None and since <= t_ns <= last

    def _at(self, t_ns: int) -> _Instant:
        if self._asked is None or self._asked[0] != t_ns:
            state = self._filter
            if self._filter_ns is not None and self._filter_ns != t_ns:
                state = state.copy()
                self._carry(state, self._filter_ns, t_ns)
            rate, sigma = self._rate_at(t_ns)
            self._asked = (
                t_ns,
                _Instant(state, *_twist(state.state, state.covariance, state.seen, rate, sigma, self._lever)),
            )
        return self._asked[1]

    # ---- output

    def moves(self) -> bool:
        """Whether a measured velocity says that the body moves; False where none was measured."""
        known = self._filter.velocity_sigma() < MAX_SPEED_SIGMA_MPS
        return bool(np.abs(self._filter.velocity[known]).max(initial=0.0) > STILL_MPS)

    def rate_at(self, t_ns: int) -> tuple[Array, Array]:
        """Angular rate (3,) in base axes and its sigma at a time; zeros with infinite sigma where no gyro is near."""
        rate, sigma = self._rate_at(t_ns)
        return rate, np.full(3, sigma)

    def _rate_at(self, t_ns: int) -> tuple[Array, float]:
        rate, away_s, doubted = self._imu.rate_at(t_ns)
        return rate, GYRO_SIGMA_RADPS + RATE_WALK_RADPS2 * away_s + (DOUBT_RADPS if doubted else 0.0)

    def twist_at(self, t_ns: int) -> tuple[Array, Array]:
        """(vx vy vz wx wy wz) in base axes and one sigma each; velocity unobserved so far is 0 with infinite sigma."""
        self._take_waiting(t_ns)
        _, twist, sigma = self._at(t_ns)
        return twist.copy(), sigma.copy()

    def extrapolated(self, start_ns: int, end_ns: int) -> bool:
        """Whether the motion between two times is a guess in part: rates were missing for more than three periods, or
        out of the sensor's range.
        """
        return bool(self._imu.motions(start_ns, np.array([end_ns])).doubt_s[0] > 0)

    def preintegrated(self, start_ns: int, end_ns: int, noise: ImuNoise | None = None) -> Preintegrated:
        """The IMU's samples between two times as one motion, in base axes, of the IMU's place.

        Raises:
            ValueError: the end lies before the start, or no sample has come yet.
        """
        return self._imu.preintegrate(start_ns, end_ns, noise)

    def poses(self, t_ref_ns: int, times_ns: Times) -> Array:
        """`T_ref_t` (K, 3, 4): the body at times (K,) as seen from the body at `t_ref_ns`."""
        self._take_waiting(t_ref_ns)
        return self._moved(t_ref_ns, np.asarray(times_ns, dtype=np.int64))[0]

    def recent_motion(self, t_ref_ns: int) -> tuple[Times, Array]:
        """Times (K,) after `t_ref_ns` in nanoseconds, 10 ms apart, from 0.2 s before it to the newest rate (at least
        to `t_ref_ns`), and `T_ref_t` (K, 3, 4) at them: what a cloud is brought to the tick by.
        """
        after = self._recent(t_ref_ns)
        return after, self.poses(t_ref_ns, t_ref_ns + after)

    def _recent(self, t_ref_ns: int) -> Times:
        last = self._imu.last_ns
        ahead = min(max(0, last - t_ref_ns), RECENT_NS) // KNOT_NS if last is not None else 0
        return RECENT[: ahead + 1 + RECENT_NS // KNOT_NS]

    def _moved(self, start_ns: int, end_ns: Times) -> tuple[Array, Array]:
        """`T_start_end` (K, 3, 4) by the body's state at the start and the motion since; and for how many seconds (K,)
        the samples cannot be believed.
        """
        known, twist, _ = self._at(start_ns)
        forced_ns = self._force_since_ns if self._forced(start_ns) else None
        return self._imu.poses(start_ns, end_ns, known.state, known.seen, twist[:3], self._lever, forced_ns)

    # ---- dead reckoning

    def advance(self, t_ns: int) -> Array:
        """`T_odom_base` (4, 4) at `t_ns`, integrated from the last call on; the first call sets the origin."""
        return self.advance_with_motion(t_ns)[0]

    def advance_with_motion(self, t_ns: int) -> tuple[Array, Times, Array]:
        """What `advance` and `recent_motion` give for one time, at hardly more than the cost of one of them."""
        self._take_waiting(t_ns)
        origin, last = self._odometry.t_ns, self._imu.last_ns
        after = self._recent(t_ns)
        if origin is not None and last is not None and origin < last < t_ns:
            self._go(last, NONE)  # what was measured; the rest is a guess
        if origin is not None and t_ns > origin:
            motion = self._go(t_ns, after)
        else:
            motion = self._moved(t_ns, t_ns + after)[0]
            self._odometry.t_ns = t_ns if origin is None else origin
        return self._odometry.pose(), after, motion

    def _go(self, end_ns: int, after: Times) -> Array:
        """Dead-reckon to a time; and the poses at times (K,) after it, as seen from there."""
        assert self._odometry.t_ns is not None
        times = np.empty(len(after) + 1, np.int64)
        times[0], times[1:] = self._odometry.t_ns, end_ns + after
        poses, doubt_s = self._moved(end_ns, times)  # back from the end, of which more is known
        known = self._at(end_ns).known
        age_s = UNSEEN_VELOCITY_S if self._measured_ns is None else abs(end_ns - self._measured_ns) / 1e9
        self._odometry.go(end_ns, poses[0], known.covariance, known.seen, doubt_s[0], age_s)
        return poses[1:]

    def pose_covariance(self) -> Array:
        """Covariance (6, 6) of the pose that `advance` gave last: of x, y, z and of a small turn about x, y, z, both in
        odometry axes, since the origin (or since `adopt`).
        """
        return self._odometry.covariance()

    def adopt(self, T_odom_base: Array, t_ns: int, covariance: Array | None = None) -> None:
        """Take over another estimator's pose (4, 4) at `t_ns`, and its covariance (6, 6) where that is known."""
        self._odometry.adopt(T_odom_base, t_ns, covariance)


def out_of_range(gyro_radps: Array, accel_mps2: Array, config: ImuConfig) -> NDArray[np.bool_]:
    """Which samples (N,) of rates and forces (N, 3), in the IMU's own axes, are at the end of its range."""
    turning = np.abs(gyro_radps).max(axis=1) >= 0.999 * config.gyro_range_radps
    return np.asarray(turning | (np.abs(accel_mps2).max(axis=1) >= 0.999 * config.accel_range_mps2))


def _cross(a: Array, b: Array) -> Array:
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
