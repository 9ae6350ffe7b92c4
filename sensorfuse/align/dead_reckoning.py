"""Where the body is, summed up from its motion between one time and the next, and how surely that is known."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.align.preintegration import DOUBT_RADPS, DOUBT_S
from sensorfuse.align.velocity_filter import UNSEEN_VELOCITY_MPS, UNSEEN_VELOCITY_S
from sensorfuse.geometry import Transform

Array = NDArray[np.float64]

GYRO_NOISE, GYRO_BIAS_RADPS = 3e-4, 5e-4  # white noise per sqrt(Hz), and what bias is left
SAME_ERROR_S = 0.3  # for so long an error of the velocity keeps its direction, while it is measured


@njit(cache=True)
def _go(pose, covariance, back, velocity_covariance, seen, dt, lasting_s, turn_variance):  # type: ignore[no-untyped-def]
    """Carry a pose (4, 4) and its covariance (6, 6) on by the inverse of `back` (3, 4)."""
    rotation = np.ascontiguousarray(pose[:3, :3]) @ np.ascontiguousarray(back[:, :3].T)
    spread = np.zeros((3, 3))
    for i in range(3):
        for k in range(3):
            if seen[i] and seen[k]:
                spread[i, k] = velocity_covariance[i, k] * max(dt, 2 * lasting_s)
        if not seen[i]:
            spread[i, i] = UNSEEN_VELOCITY_MPS**2 * 2 * UNSEEN_VELOCITY_S
    travelled = -(rotation @ np.ascontiguousarray(back[:, 3]))
    step = np.eye(6)
    step[0, 4], step[0, 5], step[1, 5] = travelled[2], -travelled[1], travelled[0]
    step[1, 3], step[2, 3], step[2, 4] = -travelled[2], travelled[1], -travelled[0]
    covariance[:] = step @ covariance @ step.T
    covariance[:3, :3] += rotation @ spread @ rotation.T * dt
    for i in range(3):
        covariance[3 + i, 3 + i] += turn_variance
        pose[i, 3] += travelled[i]
    pose[:3, :3] = rotation


class DeadReckoning:
    """`T_odom_base` at `t_ns`, None before it was anywhere, and its covariance since then."""

    def __init__(self) -> None:
        self.t_ns: int | None = None
        self._pose, self._covariance = np.eye(4), np.zeros((6, 6))
        self._since_origin_s = 0.0

    def go(self, t_ns: int, back: Array, covariance: Array, seen: NDArray[np.bool_], doubt_s: float, age_s: float
           ) -> None:  # fmt: skip
        """Move on to `t_ns`, from where the body at `self.t_ns` is seen at `back` (3, 4).

        `covariance` (3 or more, 3 or more) begins with that of the velocity, measured `age_s` ago, along the axes that
        were ever `seen` (3,); for `doubt_s` of the time the rates cannot be believed.
        """
        assert self.t_ns is not None
        dt = (t_ns - self.t_ns) / 1e9
        bias = GYRO_BIAS_RADPS**2 * dt * (2 * self._since_origin_s + dt)
        doubt = DOUBT_RADPS**2 * doubt_s * max(doubt_s, DOUBT_S)
        lasting_s = min(max(SAME_ERROR_S, age_s), UNSEEN_VELOCITY_S)
        turn_variance = GYRO_NOISE**2 * dt + bias + doubt
        _go(self._pose, self._covariance, back, covariance, seen, dt, lasting_s, turn_variance)
        self._since_origin_s += dt
        self.t_ns = t_ns

    def pose(self) -> Array:
        """`T_odom_base` (4, 4)."""
        return self._pose.copy()

    def covariance(self) -> Array:
        """(6, 6), of x, y, z and of a small turn about x, y, z, both in odometry axes."""
        return self._covariance.copy()

    def adopt(self, T_odom_base: Array, t_ns: int, covariance: Array | None = None) -> None:
        """Take over another estimator's pose (4, 4) at `t_ns`, and its covariance (6, 6) where that is known."""
        self._pose, self.t_ns = Transform.from_matrix(T_odom_base).matrix(), t_ns
        if covariance is not None and np.isfinite(covariance).all():
            self._covariance = np.array(covariance, dtype=np.float64)
