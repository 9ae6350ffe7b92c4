"""Velocity and gravity in body axes: a Kalman filter between an IMU's forces and measured velocities.

With f the specific force, w the rate, v the velocity of the IMU's place and u gravity's reaction (what f is at rest):
v' = f - u - w x v and u' = -w x u. That is linear in the state (v, u), and exact over any time by pre-integration. An
accelerometer's bias hides in u.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.align.preintegration import DOUBT_MPS2, DOUBT_RADPS, DOUBT_S

Array = NDArray[np.float64]

VELOCITY_WALK_MPS2 = 2.0  # how fast velocity may change unseen, one sigma per second
RATE_WALK_RADPS2 = 0.5
FORCE_NOISE = 0.05  # m/s^2/sqrt(Hz): white noise, vibration and scale
GRAVITY_WALK, FIRST_GRAVITY_SIGMA = 0.02, 1.5  # m/s^2: per sqrt(s); when it is the mean of the first forces
UNSEEN_ACCELERATION_MPS2 = 1.5  # of the body in its own axes, and for so long it keeps its direction:
UNSEEN_ACCELERATION_S = 1.0
UNSEEN_VELOCITY_MPS, UNSEEN_VELOCITY_S = 2.0, 10.0  # along an axis that nothing measures
GRAVITY_MPS2 = 9.81


@njit(cache=True)
def _correct(state, covariance, axis, value, variance):  # type: ignore[no-untyped-def]
    column = covariance[:, axis].copy()
    spread = variance + column[axis]
    share = (value - state[axis]) / spread
    for i in range(6):
        state[i] += column[i] * share
        for k in range(6):
            covariance[i, k] -= column[i] * column[k] / spread


@njit(cache=True)
def _carry_forced(state, covariance, rotation, sped, dt, shake, drift):  # type: ignore[no-untyped-def]
    step = np.zeros((6, 6))
    velocity, gravity = state[:3].copy(), state[3:].copy()
    for i in range(3):
        state[i] = state[3 + i] = 0.0
        for k in range(3):
            back = rotation[k, i]
            step[i, k] = step[3 + i, 3 + k] = back
            step[i, 3 + k] = -dt * back
            state[i] += back * (velocity[k] + sped[k] - dt * gravity[k])
            state[3 + i] += back * gravity[k]
    covariance[:] = step @ covariance @ step.T
    for i in range(3):
        covariance[i, i] += shake
        covariance[3 + i, 3 + i] += drift


@njit(cache=True)
def _carry_steady(state, covariance, rotation, shake, drift):  # type: ignore[no-untyped-def]
    step = np.eye(6)
    gravity = state[3:].copy()
    for i in range(3):
        state[3 + i] = 0.0
        for k in range(3):
            step[3 + i, 3 + k] = rotation[k, i]
            state[3 + i] += rotation[k, i] * gravity[k]
    covariance[:] = step @ covariance @ step.T
    for i in range(3):
        covariance[i, i] += shake
        covariance[3 + i, 3 + i] += drift


def _unknown() -> Array:
    return np.diag([UNSEEN_VELOCITY_MPS**2] * 3 + [FIRST_GRAVITY_SIGMA**2] * 3)


@dataclass
class VelocityFilter:
    """State (6,) of velocity and gravity, its covariance (6, 6), and along which axes velocity was ever measured."""

    state: Array = field(default_factory=lambda: np.zeros(6))
    covariance: Array = field(default_factory=_unknown)
    seen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(3, np.bool_))

    @property
    def velocity(self) -> Array:
        """(3,) m/s, 0 along axes that nothing measured."""
        return np.where(self.seen, self.state[:3], 0.0)

    def velocity_sigma(self) -> Array:
        """(3,), inf along axes that nothing measured."""
        return np.where(self.seen, np.sqrt(np.diag(self.covariance)[:3]), np.inf)

    def copy(self) -> VelocityFilter:
        return VelocityFilter(self.state.copy(), self.covariance.copy(), self.seen)

    # ---- on

    def begin_gravity(self, mean_force: Array) -> None:
        """Take the mean of the first forces for gravity."""
        self.state[3:] = mean_force
        self.covariance[3:, :] = self.covariance[:, 3:] = 0.0
        self.covariance[3:, 3:] = np.eye(3) * FIRST_GRAVITY_SIGMA**2

    def carry_forced(self, rotation: Array, sped: Array, dt_s: float, doubt_s: float) -> None:
        """Over a time (also backwards) in which the body turned by `rotation` (3, 3) and the forces summed to `sped`
        (3,), m/s in the axes at its beginning; `doubt_s` of it cannot be believed.
        """
        wide, doubt = abs(dt_s), doubt_s * max(doubt_s, DOUBT_S)
        shake = FORCE_NOISE**2 * wide + DOUBT_MPS2**2 * doubt
        drift = GRAVITY_WALK**2 * wide + (GRAVITY_MPS2 * DOUBT_RADPS) ** 2 * doubt
        _carry_forced(self.state, self.covariance, rotation, sped, dt_s, shake, drift)

    def carry_steady(self, rotation: Array, dt_s: float) -> None:
        """Over a time of which no force is known: velocity in body axes may have become any other."""
        drift = GRAVITY_WALK**2 * abs(dt_s) + (GRAVITY_MPS2 * RATE_WALK_RADPS2 * dt_s * dt_s) ** 2
        _carry_steady(self.state, self.covariance, rotation, (VELOCITY_WALK_MPS2 * dt_s) ** 2, drift)

    # ---- corrections

    def hear_force(self, mean_force: Array, dt_s: float) -> None:
        """The mean force (3,) of `dt_s` seconds, less what turning a steady velocity takes, is gravity but for
        accelerations unseen, which last.
        """
        variance = UNSEEN_ACCELERATION_MPS2**2 * UNSEEN_ACCELERATION_S / min(dt_s, UNSEEN_ACCELERATION_S)
        for axis in range(3):
            _correct(self.state, self.covariance, 3 + axis, float(mean_force[axis]), variance)

    def measure(self, velocity: Array, sigma: Array, since_s: float, late_s: float) -> None:
        """A velocity (3,) with one sigma each, inf or NaN where not observed; `since_s` after the one before it, and
        `late_s` older than the state.
        """
        if not self.seen.any():  # what was carried along unmeasured means nothing
            self.state[:3] = 0.0
            self.covariance[:3, :] = self.covariance[:, :3] = 0.0
            self.covariance[:3, :3] = np.eye(3) * UNSEEN_VELOCITY_MPS**2
        observed = np.isfinite(sigma) & np.isfinite(velocity)
        first = observed & ~self.seen
        self.seen = self.seen | observed
        for axis in range(3):
            value, spread = float(velocity[axis]), float(self.covariance[axis, axis])
            variance = float(sigma[axis]) ** 2 + (VELOCITY_WALK_MPS2 * late_s) ** 2
            if first[axis]:
                self.state[axis] = value
                self.covariance[axis, :] = self.covariance[:, axis] = 0.0
                self.covariance[axis, axis] = variance
            elif not observed[axis]:
                if not self.seen[axis]:
                    variance = UNSEEN_VELOCITY_MPS**2 * UNSEEN_VELOCITY_S / max(since_s, 1e-3)
                    _correct(self.state, self.covariance, axis, 0.0, variance)
            elif (value - self.state[axis]) ** 2 > 25 * (variance + spread) + 4.0:
                self.covariance[axis, axis] += 1.0  # disbelieved this time; believed if it persists
            else:
                _correct(self.state, self.covariance, axis, value, variance)
