"""What an IMU measured between two times, as one motion: turned, sped up, moved; with Jacobians and covariance.

Forster, Carlone, Dellaert and Scaramuzza, "On-manifold preintegration for real-time visual-inertial odometry", IEEE
Trans. Robotics 33, 2017. Nothing here knows where the body was, how fast it went or where down is: with attitude R,
velocity v, position p at the beginning and gravity g, all in world axes, after `dt_s`

    R' = R dR,    v' = v + g dt + R dv,    p' = p + v dt + g dt^2 / 2 + R dp.

Midpoint rule: between two samples the rate is their mean, and the force acts with the attitude half way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.geometry import exp_rotation

Array = NDArray[np.float64]

DOUBT_RADPS = 0.5  # one sigma of a rate, and
DOUBT_MPS2 = 3.0  # of a specific force, where the sensor was saturated or silent for too long
DOUBT_S = 0.1  # for so long such an error keeps its direction


@dataclass(frozen=True)
class ImuNoise:
    """White noise of the two sensors, continuous-time densities."""

    gyro: float = 2.0e-4  # rad/s/sqrt(Hz)
    accel: float = 2.0e-3  # m/s^2/sqrt(Hz)


@dataclass(frozen=True)
class Preintegrated:
    """Motion over `dt_s` in the axes that the body had at its beginning.

    `covariance` is that of (rotation, velocity, position): the true rotation is `rotation @ exp(error)`. The Jacobians
    tell how much each changes with a constant bias of the rates or of the forces, to first order (rotation: on the
    right, as the error).
    """

    dt_s: float
    rotation: Array  # (3, 3)
    velocity: Array  # (3,) m/s
    position: Array  # (3,) m
    covariance: Array  # (9, 9)
    rotation_by_gyro: Array  # (3, 3)
    velocity_by_gyro: Array
    velocity_by_accel: Array
    position_by_gyro: Array
    position_by_accel: Array

    def without_bias(self, gyro_radps: Array, accel_mps2: Array) -> tuple[Array, Array, Array]:
        """Rotation (3, 3), velocity (3,) and position (3,) had the samples been freed of (further) biases (3,)."""
        return (
            self.rotation @ exp_rotation(-self.rotation_by_gyro @ gyro_radps),
            self.velocity - self.velocity_by_gyro @ gyro_radps - self.velocity_by_accel @ accel_mps2,
            self.position - self.position_by_gyro @ gyro_radps - self.position_by_accel @ accel_mps2,
        )


@njit(cache=True)
def _skew(v, out):  # type: ignore[no-untyped-def]
    out[0, 0] = out[1, 1] = out[2, 2] = 0.0
    out[0, 1], out[0, 2], out[1, 2] = -v[2], v[1], -v[0]
    out[1, 0], out[2, 0], out[2, 1] = v[2], -v[1], v[0]


@njit(cache=True)
def fill_exponential(v, scale, rotation, jacobian):  # type: ignore[no-untyped-def]
    """Fill the rotation of `scale * v`, and its right Jacobian (Forster et al., eq. 8)."""
    x, y, z = scale * v[0], scale * v[1], scale * v[2]
    square = x * x + y * y + z * z
    if square < 1e-6:
        a, b, c = 1.0 - square / 6.0, 0.5 - square / 24.0, 1.0 / 6.0 - square / 120.0
    else:
        angle = math.sqrt(square)
        a, b = math.sin(angle) / angle, (1.0 - math.cos(angle)) / square
        c = (1.0 - a) / square
    xx, xy, xz, yy, yz, zz = x * x, x * y, x * z, y * y, y * z, z * z
    rotation[0, 0], rotation[0, 1], rotation[0, 2] = 1.0 - b * (yy + zz), b * xy - a * z, b * xz + a * y
    rotation[1, 0], rotation[1, 1], rotation[1, 2] = b * xy + a * z, 1.0 - b * (xx + zz), b * yz - a * x
    rotation[2, 0], rotation[2, 1], rotation[2, 2] = b * xz - a * y, b * yz + a * x, 1.0 - b * (xx + yy)
    jacobian[0, 0], jacobian[0, 1], jacobian[0, 2] = 1.0 - c * (yy + zz), c * xy + b * z, c * xz - b * y
    jacobian[1, 0], jacobian[1, 1], jacobian[1, 2] = c * xy - b * z, 1.0 - c * (xx + zz), c * yz + b * x
    jacobian[2, 0], jacobian[2, 1], jacobian[2, 2] = c * xz + b * y, c * yz - b * x, 1.0 - c * (xx + yy)


@njit(cache=True)
def _preintegrate(t_s, gyro, accel, doubted, noise_gyro, noise_accel):  # type: ignore[no-untyped-def]
    rotation, velocity, position = np.eye(3), np.zeros(3), np.zeros(3)
    covariance = np.zeros((9, 9))
    r_g, v_g, v_a, p_g, p_a = (np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3)))
    turn, right, half, unused, cross = np.eye(3), np.eye(3), np.eye(3), np.eye(3), np.zeros((3, 3))
    step, eye = np.eye(9), np.eye(3)
    for i in range(len(t_s) - 1):
        dt = t_s[i + 1] - t_s[i]
        rate, force = 0.5 * (gyro[i] + gyro[i + 1]), 0.5 * (accel[i] + accel[i + 1])
        fill_exponential(rate, dt, turn, right)
        fill_exponential(rate, 0.5 * dt, half, unused)
        middle = rotation @ half
        pull = middle @ force
        _skew(force, cross)
        lever = middle @ cross  # what a small turn of the attitude in the middle does to the pull, negated
        back = np.ascontiguousarray(turn.T)
        half_back = np.ascontiguousarray(half.T)
        tilt = lever @ (half_back @ r_g + 0.5 * dt * eye)
        p_g += dt * v_g - 0.5 * dt * dt * tilt
        v_g -= dt * tilt
        p_a += dt * v_a + 0.5 * dt * dt * middle
        v_a += dt * middle
        r_g = back @ r_g + dt * right
        by_error = lever @ half_back
        step[:3, :3] = back
        step[3:6, :3], step[6:, :3] = -dt * by_error, -0.5 * dt * dt * by_error
        step[6:, 3:6] = dt * eye
        covariance = step @ covariance @ step.T
        long = max(dt, DOUBT_S) * dt * doubted[i]
        wobble = noise_gyro**2 * dt + DOUBT_RADPS**2 * long
        shake = noise_accel**2 * dt + DOUBT_MPS2**2 * long
        for k in range(3):
            covariance[k, k] += wobble
            covariance[3 + k, 3 + k] += shake
            covariance[6 + k, 6 + k] += shake * dt * dt / 3.0
            covariance[3 + k, 6 + k] += shake * dt / 2.0
            covariance[6 + k, 3 + k] += shake * dt / 2.0
        position += dt * velocity + 0.5 * dt * dt * pull
        velocity += dt * pull
        rotation = rotation @ turn
    return rotation, velocity, position, covariance, r_g, v_g, v_a, p_g, p_a


def preintegrate(
    t_s: Array,
    gyro_radps: Array,
    accel_mps2: Array,
    noise: ImuNoise | None = None,
    doubted: NDArray[np.bool_] | None = None,
) -> Preintegrated:
    """Pre-integrate samples at ascending times `t_s` (N,) from the first to the last of them, in seconds.

    Angular rates and specific forces (N, 3) in body axes, biases removed as far as they are known. `doubted` (N - 1,)
    marks steps on which the sensor cannot be believed (saturated, or a hole in its samples).

    Raises:
        ValueError: fewer than one sample, or shapes that do not fit each other.
    """
    n = len(t_s)
    if n < 1 or gyro_radps.shape != (n, 3) or accel_mps2.shape != (n, 3):
        msg = f"expected (N, 3) rates and forces at (N,) times, got {gyro_radps.shape}, {accel_mps2.shape} and {n}"
        raise ValueError(msg)
    density = noise or ImuNoise()
    steps = np.zeros(max(n - 1, 0)) if doubted is None else np.asarray(doubted, dtype=np.float64)
    t, gyro, accel = (np.ascontiguousarray(a, dtype=np.float64) for a in (t_s, gyro_radps, accel_mps2))
    parts = _preintegrate(t, gyro, accel, steps, density.gyro, density.accel)
    return Preintegrated(float(t[-1] - t[0]), *parts)
