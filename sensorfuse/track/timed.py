"""Detections with the instant of each, and how they move to another instant."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.deskew import BodyMotion
from sensorfuse.geometry import wrap_angle
from sensorfuse.messages import Detections

Array = NDArray[np.float64]

OBJECT_ACCELERATION_MPS2 = 1.5  # what objects do in the meantime, one sigma along each axis


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


def move_detections(timed: TimedDetections, dt_ns: int, motion: BodyMotion) -> Detections:
    """The same objects in `base_link` at t_ref.

    `dt_ns` is the stamp's event time minus t_ref; `motion` that of `base_link` about t_ref. Objects move with their
    own velocity where it is known, and what they may have accelerated by widens its covariance; the frame moves with
    the ego motion. An unknown velocity (NaN) is taken as zero and its prior in the covariance becomes an error of
    position, correlated with it: `covariance[:2, 2:]` is then the lag times the prior, from which a tracker that knows
    the velocity can undo it.
    """
    found = timed.detections
    if not len(found):
        return found
    seen_ns = np.asarray(timed.time_ns, dtype=np.int64) + dt_ns  # after t_ref
    lag_s = -seen_ns / 1e9  # positive: seen before t_ref
    velocity = np.where(np.isfinite(found.velocity), found.velocity, 0.0)
    center = found.center.copy()
    center[:, :2] += velocity * lag_s[:, None]
    step = np.tile(np.eye(4), (len(found), 1, 1))
    step[:, 0, 2] = step[:, 1, 3] = lag_s
    pushed = np.zeros((len(found), 4, 2))
    pushed[:, 0, 0] = pushed[:, 1, 1] = 0.5 * lag_s * lag_s
    pushed[:, 2, 0] = pushed[:, 3, 1] = lag_s
    covariance = step @ found.covariance @ step.transpose(0, 2, 1)
    pushed[np.isnan(found.velocity).any(axis=1)] = 0.0  # its prior is far wider
    covariance += OBJECT_ACCELERATION_MPS2**2 * pushed @ pushed.transpose(0, 2, 1)
    T_ref_then = motion.at(seen_ns)  # (N, 3, 4)
    turn = T_ref_then[:, :2, :2]
    both = np.zeros((len(found), 4, 4))
    both[:, :2, :2] = both[:, 2:, 2:] = turn
    return replace(
        found,
        center=np.einsum("nij,nj->ni", T_ref_then[:, :, :3], center) + T_ref_then[:, :, 3],
        velocity=np.einsum("nij,nj->ni", turn, found.velocity),
        yaw=wrap_angle(found.yaw + np.arctan2(T_ref_then[:, 1, 0], T_ref_then[:, 0, 0])),
        covariance=both @ covariance @ both.transpose(0, 2, 1),
    )
