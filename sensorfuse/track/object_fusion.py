"""One set of objects from the detections of several sensors at one instant.

Pairs are matched by squared Mahalanobis distance (Hungarian method) and combined in information form, i.e. by inverse
covariance, each with its own measurement model: a late position with unknown velocity still informs both (`kalman`).
Scores combine as independent evidence, 1 - (1 - a)(1 - b).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sensorfuse.messages import Detections
from sensorfuse.track.box_corners import inside_boxes
from sensorfuse.track.kalman import make_measurements
from sensorfuse.track.priors import SPEED_SIGMA_MPS

Array = NDArray[np.float64]

GATE = 11.8  # squared Mahalanobis distance in the plane: 99.7 %
INSIDE_MARGIN_M = 0.8  # a weaker sensor's centre this near to a box counts as in it


def match_detections(a: Detections, b: Detections) -> NDArray[np.int64]:
    """Pairs (K, 2) of rows of `a` and `b` that are one object; `a` has the better shapes."""
    if not len(a) or not len(b):
        return np.zeros((0, 2), np.int64)
    away = b.center[None, :, :2] - a.center[:, None, :2]
    spread = a.covariance[:, None, :2, :2] + b.covariance[None, :, :2, :2] + 0.01 * np.eye(2)
    cost = np.einsum("abi,abij,abj->ab", away, np.linalg.inv(spread), away)
    inside = inside_boxes(b.center, a.center, a.size, a.yaw, INSIDE_MARGIN_M).T
    cost = np.where(inside, np.minimum(cost, 6.0), cost)
    rows, columns = linear_sum_assignment(np.minimum(cost, 4 * GATE))
    good = cost[rows, columns] < GATE
    return np.stack([rows[good], columns[good]], axis=1)


def combine_pairs(a: Detections, b: Detections, weight: float = 1.0) -> Detections:
    """Row by row the fusion of `a` and `b` (N rows each): place and velocity by inverse covariance; shape and class
    from `a`.

    `weight` in [0, 1] scales b's score as evidence. A heading known to half a turn takes the turn of the velocity.
    """
    if not len(a):
        return a
    first, second = (make_measurements(d, np.eye(2), np.zeros(2)) for d in (a, b))
    information = np.zeros((len(a), 4, 4))
    vector = np.zeros((len(a), 4))
    for measured in (first, second):
        size = np.where(measured.full[:, None], 1.0, [1.0, 1.0, 0.0, 0.0])  # rows of H that are measured
        model = measured.model * size[:, :, None]
        gain = model.transpose(0, 2, 1) @ np.linalg.inv(
            measured.noise * size[:, :, None] * size[:, None, :] + _fill(size)
        )
        information += gain @ model
        vector += np.einsum("nij,nj->ni", gain, measured.z)
    blind = ~(first.full | second.full)
    prior = 1.0 / SPEED_SIGMA_MPS[a.class_id] ** 2
    information[blind, 2, 2] += prior[blind]
    information[blind, 3, 3] += prior[blind]
    covariance = np.asarray(np.linalg.inv(information), dtype=np.float64)
    state = np.einsum("nij,nj->ni", covariance, vector)
    velocity = np.where(blind[:, None], np.nan, state[:, 2:])
    course = np.arctan2(state[:, 3], state[:, 2])
    fast = ~blind & (np.hypot(state[:, 2], state[:, 3]) > 1.5)
    yaw = np.where(fast & (np.cos(course - a.yaw) < 0), a.yaw + np.pi, a.yaw)
    score = 1 - (1 - a.score.astype(np.float64)) * (1 - weight * b.score.astype(np.float64))
    center = np.column_stack([state[:, :2], a.center[:, 2]])
    return replace(
        a,
        score=score.astype(np.float32),
        center=center,
        yaw=(yaw + np.pi) % (2 * np.pi) - np.pi,
        velocity=velocity,
        covariance=covariance,
    )


def _fill(size: Array) -> Array:
    """Ones on the diagonal where a row is not measured, so that its noise block can be inverted."""
    out = np.zeros((len(size), 4, 4))
    out[:, np.arange(4), np.arange(4)] = 1.0 - size
    return out


def fuse_detections(sources: list[tuple[Detections, float]]) -> tuple[Detections, Array]:
    """Objects seen by any source, and how much of each is whose.

    `sources` are (detections at t_ref, weight of their scores as evidence), best shapes first. Returns N detections and
    shares (N, S) that sum to 1 per object: score times position information.
    """
    fused = Detections.empty()
    shares = np.zeros((0, len(sources)))
    for s, (found, weight) in enumerate(sources):
        own = np.zeros((len(found), len(sources)))
        own[:, s] = found.score * _information(found)
        pairs = match_detections(fused, found)
        echo = inside_boxes(found.center, fused.center, fused.size, fused.yaw, INSIDE_MARGIN_M).any(axis=1)
        single = np.asarray(~echo, dtype=bool)
        single[pairs[:, 1]] = False  # and a second echo of an object that has its match is none of its own
        alone = np.ones(len(fused), bool)
        alone[pairs[:, 0]] = False
        joined = combine_pairs(fused.select(pairs[:, 0]), found.select(pairs[:, 1]), weight)
        fused = Detections.concatenate([joined, fused.select(alone), found.select(single)])
        shares = np.concatenate([shares[pairs[:, 0]] + own[pairs[:, 1]], shares[alone], own[single]])
    return fused, shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)


def _information(found: Detections) -> Array:
    """Inverse mean variance of the place (N,), 1/m^2."""
    return np.asarray(2.0 / np.maximum(found.covariance[:, 0, 0] + found.covariance[:, 1, 1], 1e-4))
