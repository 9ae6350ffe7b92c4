"""Constant-velocity Kalman filtering of many tracks at once: state x, y, vx, vy in a fixed plane.

Measurements are detections with their 4 x 4 covariance. Where a detection's velocity is unknown its velocity block is a
prior, and the block that couples position and velocity tells the lag at which the position was seen
(`timed.move_detections`): z = x - lag v. So a late position of a moving object is used as what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.messages import Detections

Array = NDArray[np.float64]

MIN_VARIANCE = 1e-4
GATE_PLANE = 16.0  # squared Mahalanobis distance of position: 99.97 % of two degrees of freedom
GATE_FULL = 22.0  # of position and velocity: 99.98 % of four


@dataclass(frozen=True)
class Measurements:
    """Detections as the filter takes them, in the filter's plane. Rows without velocity use the first two lines of
    `model`.
    """

    z: Array  # (N, 4) x, y, vx, vy (0 where unknown)
    model: Array  # (N, 4, 4) H
    noise: Array  # (N, 4, 4) R
    full: NDArray[np.bool_]  # (N,) velocity is measured


def make_measurements(found: Detections, rotation: Array, translation: Array) -> Measurements:
    """Detections in base_link -> measurements in the plane that `rotation` (2, 2) and `translation` (2,) lead to."""
    n = len(found)
    full = np.asarray(np.isfinite(found.velocity).all(axis=1), dtype=bool)
    both = np.kron(np.eye(2), rotation)
    covariance = both @ found.covariance @ both.T
    z = np.zeros((n, 4))
    z[:, :2] = found.center[:, :2] @ rotation.T + translation
    z[full, 2:] = found.velocity[full] @ rotation.T
    model = np.tile(np.eye(4), (n, 1, 1))
    late = np.flatnonzero(~full & (np.abs(covariance[:, :2, 2:]).max(axis=(1, 2)) > 0))
    if len(late):
        prior, cross = covariance[late, 2:, 2:], covariance[late, :2, 2:]
        lag = cross @ np.linalg.pinv(prior)
        model[late, :2, 2:] = -lag
        covariance[late, :2, :2] -= lag @ prior @ lag.transpose(0, 2, 1)
    covariance[:, np.arange(4), np.arange(4)] = np.maximum(covariance[:, np.arange(4), np.arange(4)], MIN_VARIANCE)
    return Measurements(z, model, covariance, full)


def predict(state: Array, covariance: Array, dt_s: float, accel_sigma: Array) -> tuple[Array, Array]:
    """States (T, 4) and covariances (T, 4, 4) `dt_s` later; white acceleration, one sigma (T,) over one second."""
    step = np.eye(4)
    step[0, 2] = step[1, 3] = dt_s
    drive = np.zeros((4, 4))
    for axis in (0, 1):
        drive[axis, axis] = dt_s**3 / 3
        drive[axis, axis + 2] = drive[axis + 2, axis] = dt_s**2 / 2
        drive[axis + 2, axis + 2] = dt_s
    return state @ step.T, step @ covariance @ step.T + drive * np.square(accel_sigma)[:, None, None]


@njit(cache=True)
def likelihoods(
    state: Array, covariance: Array, z: Array, model: Array, noise: Array, full: NDArray[np.bool_], reach_m: float
) -> Array:
    """Density (T, N) of each measurement under each track, 0 outside the gate: per m^2, or per m^2 (m/s)^2 with
    velocity.
    """
    out = np.zeros((len(state), len(z)))
    for t in range(len(state)):
        for j in range(len(z)):
            if abs(z[j, 0] - state[t, 0]) > reach_m or abs(z[j, 1] - state[t, 1]) > reach_m:
                continue
            residual = z[j] - model[j] @ state[t]
            spread = model[j] @ covariance[t] @ model[j].T + noise[j]
            det = spread[0, 0] * spread[1, 1] - spread[0, 1] * spread[1, 0]
            dx, dy = residual[0], residual[1]
            distance = (spread[1, 1] * dx * dx - 2 * spread[0, 1] * dx * dy + spread[0, 0] * dy * dy) / det
            if distance > GATE_PLANE:
                continue
            if full[j]:
                distance = residual @ np.linalg.solve(spread, residual)
                if distance > GATE_FULL:
                    continue
                out[t, j] = np.exp(-0.5 * distance) / (4 * np.pi**2 * np.sqrt(np.linalg.det(spread)))
            else:
                out[t, j] = np.exp(-0.5 * distance) / (2 * np.pi * np.sqrt(det))
    return out


@njit(cache=True)
def update_mixture(
    state: Array,
    covariance: Array,
    share: Array,
    z: Array,
    model: Array,
    noise: Array,
    full: NDArray[np.bool_],
) -> tuple[Array, Array]:
    """Posterior of each track, the mixture over its associations moment-matched.

    `share` (T, N + 1) are probabilities given that the track exists; the last column keeps the prediction.
    """
    out_state, out_covariance = state.copy(), covariance.copy()
    n = len(z)
    for t in range(len(state)):
        if share[t, n] > 1 - 1e-6:
            continue
        mean = share[t, n] * state[t]
        second = share[t, n] * covariance[t]
        picks = np.empty((n + 1, 4))
        picks[n] = state[t]
        for j in range(n):
            if share[t, j] < 1e-6:
                picks[j] = state[t]
                continue
            size = 4 if full[j] else 2
            h = model[j][:size].copy()
            gain = np.linalg.solve(h @ covariance[t] @ h.T + noise[j][:size, :size], h @ covariance[t]).T
            picks[j] = state[t] + gain @ (z[j][:size] - h @ state[t])
            keep = np.eye(4) - gain @ h
            r = noise[j][:size, :size].copy()
            second += share[t, j] * (keep @ covariance[t] @ keep.T + gain @ r @ gain.T)
            mean += share[t, j] * picks[j]
        for j in range(n + 1):
            if share[t, j] >= 1e-6:
                away = picks[j] - mean
                second += share[t, j] * np.outer(away, away)
        out_state[t] = mean
        out_covariance[t] = 0.5 * (second + second.T)
    return out_state, out_covariance
