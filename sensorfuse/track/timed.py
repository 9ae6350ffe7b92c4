"""Detections with the instant of each, and how they move to another instant."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import motion_between
from sensorfuse.messages import Detections

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TimedDetections:
    """Objects of one sample, each in `base_link` at its own instant: `time_ns` (N,) after the sample's stamp."""

    detections: Detections
    time_ns: NDArray[np.int64]


def axis_covariance(yaw: Array, sigma_along: Array, sigma_across: Array) -> Array:
    """Covariances (N, 2, 2) of errors with the given one-sigma along and across the directions `yaw` (N,)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)  # (N, 2, 2)
    square = np.zeros_like(turn)
    square[:, 0, 0], square[:, 1, 1] = np.square(sigma_along), np.square(sigma_across)
    return np.asarray(turn @ square @ turn.transpose(0, 2, 1))


def move_detections(timed: TimedDetections, dt_ns: int, twist: NDArray[np.floating]) -> Detections:
    """The same objects in `base_link` at t_ref.

    `dt_ns` is the stamp's event time minus t_ref; `twist` (6,) that of `base_link` at t_ref. Objects move with their
    own velocity where it is known and the frame moves with the ego motion. An unknown velocity (NaN) is taken as zero
    and its prior in the covariance becomes an error of position, correlated with it: `covariance[:2, 2:]` is then the
    lag times the prior, from which a tracker that knows the velocity can undo it.
    """
    found = timed.detections
    if not len(found):
        return found
    lag_s = -(np.asarray(timed.time_ns, dtype=np.float64) + dt_ns) / 1e9  # positive: seen before t_ref
    velocity = np.where(np.isfinite(found.velocity), found.velocity, 0.0)
    center = found.center.copy()
    center[:, :2] += velocity * lag_s[:, None]
    step = np.tile(np.eye(4), (len(found), 1, 1))
    step[:, 0, 2] = step[:, 1, 3] = lag_s
    covariance = step @ found.covariance @ step.transpose(0, 2, 1)
    moved = found.velocity.copy()
    yaw = found.yaw.copy()
    for lag in np.unique(np.round(lag_s, 3)):  # one transform per millisecond of lag
        rows = np.round(lag_s, 3) == lag
        T_now_then = motion_between(twist, float(lag))
        turn = T_now_then.rotation[:2, :2]
        center[rows] = T_now_then @ center[rows]
        moved[rows] = moved[rows] @ turn.T
        yaw[rows] += T_now_then.yaw()
        both = np.kron(np.eye(2), turn)
        covariance[rows] = both @ covariance[rows] @ both.T
    return replace(found, center=center, velocity=moved, yaw=(yaw + np.pi) % (2 * np.pi) - np.pi, covariance=covariance)
