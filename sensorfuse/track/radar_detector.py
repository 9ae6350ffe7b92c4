"""Objects and ego velocity from a radar's detection list.

Ego velocity from Doppler: Kellner, Barjenbruch, Klappstein, Dickmann, Dietmayer 2013 (Instantaneous ego-motion
estimation using Doppler radar): what stands still has a range rate that depends on direction alone; consensus finds it.
Clustering is single-linkage in position and range rate (DBSCAN of Ester et al. 1996 with one point as core). A
cluster's velocity is the Bayesian least-squares solution of its range rates, with a prior that traffic moves along the
road rather than across.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES, Detections
from sensorfuse.track.priors import LOG_WEIGHT, RCS_DBSM, RCS_SIGMA_DB, SIZE_M
from sensorfuse.track.timed import axis_covariance

Array = NDArray[np.float64]

HYPOTHESES = 120  # pairs of detections tried for the ego velocity
MIN_STATIC = 4  # detections that must agree on the ego velocity
MAX_SPEED_MPS = 70.0


@dataclass(frozen=True)
class RadarDetectorConfig:
    """Noise of one detection, and what joins and tells apart."""

    range_sigma_m: float = 0.2
    azimuth_sigma_rad: float = 0.0175
    doppler_sigma_mps: float = 0.12
    moving_mps: float = 0.6  # slower over ground counts as standing
    reach_m: float = 2.2
    reach_mps: float = 1.2
    road_prior_mps: tuple[float, float] = (10.0, 2.5)  # one sigma of velocity along and across the body
    open_sigma_mps: float = (
        15.0  # in the covariance, across the line of sight: the prior is no measurement to be counted again
    )
    slow_prior_mps: float = 1.5  # of a standing cluster, across the line of sight
    min_score: float = 0.1


def _directions(detections: NDArray[np.floating], T_base_sensor: Transform) -> tuple[Array, Array]:
    """Unit vectors sensor to target (N, 3) and range (N,), in base axes."""
    distance, azimuth, elevation = np.asarray(detections, dtype=np.float64)[:, :3].T
    local = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 1)
    return local @ T_base_sensor.rotation.T, distance


def ego_velocity(detections: NDArray[np.floating], T_base_sensor: Transform) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Velocity of the sensor over ground from one detection list: `(v_xy, sigma, inliers)`.

    `detections` (N, 5) as `Sample` has them. `v_xy` (2,) in base axes, m/s; `sigma` (2,) one sigma each; `inliers` (N,)
    the detections that stand still. Where too few agree, `v_xy` is 0 and `sigma` infinite. The sensor's own velocity
    differs from that of `base_link` by the yaw rate times the lever arm: see `base_velocity`.
    """
    nobody = np.zeros(2), np.full(2, np.inf), np.zeros(len(detections), bool)
    if len(detections) < MIN_STATIC:
        return nobody
    unit, _ = _directions(detections, T_base_sensor)
    design, doppler = -unit[:, :2], np.asarray(detections, dtype=np.float64)[:, 3]  # d = -u . v for what stands
    rng = np.random.default_rng(len(detections))
    pairs = rng.integers(len(design), size=(HYPOTHESES, 2))
    a, b = design[pairs[:, 0]], design[pairs[:, 1]]
    det = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    sound = np.abs(det) > 0.08
    if not sound.any():
        return nobody
    (a, b, det), (da, db) = (v[sound] for v in (a, b, det)), doppler[pairs[sound]].T
    tried = np.stack([(da * b[:, 1] - db * a[:, 1]) / det, (a[:, 0] * db - b[:, 0] * da) / det], 1)
    tried = tried[np.hypot(*tried.T) < MAX_SPEED_MPS]
    if not len(tried):
        return nobody
    gate = 0.35 + 0.02 * np.hypot(*tried.T)  # azimuth errors turn speed into range-rate errors
    cost = np.minimum(np.abs(tried @ design.T - doppler) / gate[:, None], 1.0).sum(axis=1)
    velocity = tried[int(np.argmin(cost))]
    inliers = np.zeros(len(design), bool)
    for _ in range(4):
        limit = 0.35 + 0.02 * float(np.hypot(*velocity))
        inliers = np.abs(design @ velocity - doppler) < limit
        if inliers.sum() < max(MIN_STATIC, 0.25 * len(design)):
            return nobody
        velocity = np.linalg.lstsq(design[inliers], doppler[inliers], rcond=None)[0]
    residual = doppler[inliers] - design[inliers] @ velocity
    variance = max(float(residual @ residual) / max(int(inliers.sum()) - 2, 1), 0.05**2)
    information = design[inliers].T @ design[inliers]
    if np.linalg.cond(information) > 1e4:
        return nobody
    return velocity, np.sqrt(variance * np.diag(np.linalg.inv(information))), inliers


def base_velocity(sensor_velocity_xy: Array, T_base_sensor: Transform, yaw_rate_radps: float) -> Array:
    """Velocity (2,) of `base_link` when its sensor moves with `sensor_velocity_xy` and the body turns."""
    x, y = T_base_sensor.translation[:2]
    return np.asarray(sensor_velocity_xy - yaw_rate_radps * np.array([-y, x]))


@dataclass(frozen=True)
class RadarReturns:
    """One detection list in base axes, ready for `RadarDetector.detect`. `velocity_xy` is the sensor's own, from
    Doppler.
    """

    xyz: Array  # (N, 3) in base_link
    unit: Array  # (N, 2) horizontal unit vectors sensor to target
    range_m: Array  # (N,)
    doppler: Array  # (N,) horizontal range rate, m/s
    rcs_dbsm: Array  # (N,)
    origin: Array  # (2,) the sensor
    velocity_xy: Array  # (2,)
    sigma_xy: Array  # (2,) inf where Doppler told nothing
    standing: NDArray[np.bool_]  # (N,) agree with velocity_xy


class RadarDetector:
    """Finds objects in the lists of one radar. Holds no state between lists."""

    def __init__(self, config: RadarDetectorConfig | None = None) -> None:
        self.config = config or RadarDetectorConfig()

    def returns(self, detections: NDArray[np.floating], T_base_sensor: Transform) -> RadarReturns:
        """What can be computed on arrival: places in base axes and the ego velocity."""
        unit, distance = _directions(detections, T_base_sensor)
        velocity, sigma, standing = ego_velocity(detections, T_base_sensor)
        flat = np.maximum(np.hypot(unit[:, 0], unit[:, 1]), 1e-6)
        return RadarReturns(
            xyz=unit * distance[:, None] + T_base_sensor.translation,
            unit=unit[:, :2] / flat[:, None],
            range_m=distance,
            doppler=np.asarray(detections, dtype=np.float64)[:, 3] / flat,
            rcs_dbsm=np.asarray(detections, dtype=np.float64)[:, 4],
            origin=T_base_sensor.translation[:2].copy(),
            velocity_xy=velocity,
            sigma_xy=sigma,
            standing=standing,
        )

    def detect(self, returns: RadarReturns, sensor_velocity_xy: Array | None = None) -> Detections:
        """Objects in `base_link` at the list's instant.

        `sensor_velocity_xy` (2,) is the sensor's velocity in base axes when better known than by Doppler; with neither,
        velocities are NaN. `velocity` holds what the range rates and the prior say; `covariance` what the range rates
        alone say, so that a tracker does not take the prior for a new measurement at every tick.
        """
        if not len(returns.range_m):
            return Detections.empty()
        ego = returns.velocity_xy if sensor_velocity_xy is None else np.asarray(sensor_velocity_xy, dtype=np.float64)
        known = sensor_velocity_xy is not None or bool(np.isfinite(returns.sigma_xy).all())
        over_ground = returns.doppler + returns.unit @ ego  # range rate of the target itself
        across = np.abs(returns.unit[:, 1] * ego[0] - returns.unit[:, 0] * ego[1])
        noise = np.hypot(self.config.doppler_sigma_mps, self.config.azimuth_sigma_rad * across)
        moving = (np.abs(over_ground) > np.maximum(self.config.moving_mps, 4 * noise)) & ~returns.standing
        labels = self._cluster(returns, over_ground, moving)
        found = self._objects(returns, labels, over_ground, noise, moving)
        if not known:
            found.velocity[:] = np.nan
            found.covariance[:, 2:, 2:] = np.eye(2) * self.config.road_prior_mps[0] ** 2
        return found.select(found.score >= self.config.min_score)

    def _cluster(self, returns: RadarReturns, rate: Array, moving: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Labels (N,) by single linkage; reach grows with the cross-range error."""
        xy = returns.xyz[:, :2]
        away = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
        slack = 1.5 * self.config.azimuth_sigma_rad * returns.range_m
        linked = away < self.config.reach_m + np.minimum(slack[:, None], slack[None])
        bearing = np.arctan2(returns.unit[:, 1], returns.unit[:, 0])
        turn = np.abs((bearing[:, None] - bearing[None] + np.pi) % (2 * np.pi) - np.pi)
        allowed = self.config.reach_mps + turn * np.maximum(
            np.abs(rate)[:, None], np.abs(rate)[None]
        )  # seen from near by
        linked &= np.abs(rate[:, None] - rate[None]) < allowed
        linked &= moving[:, None] == moving[None]
        labels: NDArray[np.int32] = connected_components(csr_matrix(linked), directed=False)[1]
        return labels

    def _objects(
        self, returns: RadarReturns, labels: NDArray[np.int32], rate: Array, noise: Array, moving: NDArray[np.bool_]
    ) -> Detections:
        """One detection per cluster, K rows."""
        config = self.config
        n = np.bincount(labels)
        k = len(n)

        def mean(values: Array) -> Array:
            return np.asarray(np.bincount(labels, values) / n)

        def highest(values: Array) -> Array:
            out = np.full(k, -np.inf)
            np.maximum.at(out, labels, values)
            return out

        moves = mean(moving.astype(np.float64)) > 0.5
        ux, uy = returns.unit.T
        middle = np.column_stack([mean(ux), mean(uy)])
        middle /= np.maximum(np.hypot(*middle.T), 1e-9)[:, None]
        # A target's own speed turns azimuth errors into range-rate errors just as the sensor's does.
        weight = 1 / np.square(np.hypot(noise, 2 * config.azimuth_sigma_rad * np.abs(rate) + 0.1))
        information = np.empty((k, 2, 2))
        information[:, 0, 0], information[:, 1, 1] = (np.bincount(labels, weight * v * v) for v in (ux, uy))
        information[:, 0, 1] = information[:, 1, 0] = np.bincount(labels, weight * ux * uy)
        vector = np.column_stack([np.bincount(labels, weight * rate * v) for v in (ux, uy)])
        prior = np.where(moves[:, None], config.road_prior_mps, config.slow_prior_mps)
        best = information + np.eye(2) / np.square(prior)[:, :, None]
        velocity = np.asarray(np.linalg.solve(best, vector[:, :, None])[:, :, 0], dtype=np.float64)
        covariance = np.zeros((k, 4, 4))
        covariance[:, 2:, 2:] = np.linalg.inv(information + np.eye(2) / config.open_sigma_mps**2)

        x, y = returns.xyz[:, 0], returns.xyz[:, 1]
        extent = np.hypot(highest(x) + highest(-x), highest(y) + highest(-y))
        class_id, fit = classify(highest(returns.rcs_dbsm), np.hypot(*velocity.T), extent, moves)
        size = SIZE_M[class_id].copy()
        yaw = np.where(moves, np.arctan2(velocity[:, 1], velocity[:, 0]), 0.0)
        aim = np.arctan2(middle[:, 1], middle[:, 0])
        depth = size[:, 0] * np.abs(np.cos(yaw - aim)) + size[:, 1] * np.abs(np.sin(yaw - aim))
        away = returns.xyz[:, :2] - returns.origin
        along = (away * middle[labels]).sum(axis=1)
        beside = mean(away[:, 1] * middle[labels, 0] - away[:, 0] * middle[labels, 1])
        reach = mean(along)
        large = size[:, 1] > 1.0  # echoes come from the near faces of what is large
        reach = np.where(large, np.maximum(0.5 * depth - highest(-along), reach), reach)
        center = (
            returns.origin + reach[:, None] * middle + beside[:, None] * np.column_stack([-middle[:, 1], middle[:, 0]])
        )
        covariance[:, :2, :2] = axis_covariance(
            aim,
            np.hypot(config.range_sigma_m, 0.25 * depth),
            np.hypot(config.azimuth_sigma_rad * mean(returns.range_m) / np.sqrt(n), 0.2 * size[:, 1] + 0.1),
        )
        logit = np.where(moves, -0.5 + 0.9 * np.minimum(n - 1, 3), -2.2 + 0.25 * np.minimum(n - 1, 4))
        logit += 0.3 * fit - 2.0 * (extent > 13)
        return Detections(
            class_id=class_id.astype(np.uint8),
            score=(1 / (1 + np.exp(-logit))).astype(np.float32),
            center=np.column_stack([center, size[:, 2] / 2]),
            size=size,
            yaw=yaw,
            velocity=velocity,
            covariance=covariance,
            track_id=np.full(k, -1, np.int64),
        )


def classify(
    rcs_dbsm: Array, speed: Array, extent: Array, moving: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], Array]:
    """Likeliest class (K,) by radar cross-section, speed and extent, and how well it fits (0 perfect, -6 least)."""
    fit = -0.5 * ((rcs_dbsm[:, None] - RCS_DBSM) / RCS_SIGMA_DB) ** 2
    fit = fit - 0.5 * np.maximum((extent[:, None] - SIZE_M[:, 0] - 0.8) / 0.8, 0.0) ** 2
    fit[:, CLASSES.index("pedestrian")] -= 0.5 * np.square(np.maximum(speed - 1.5, 0.0) / 0.7)
    fit[:, CLASSES.index("cyclist")] -= 0.5 * np.square(np.maximum(speed - 5.0, 0.0) / 2.0) + 1.5 * ~moving
    best = np.argmax(fit + LOG_WEIGHT, axis=1)
    return best, np.maximum(fit[np.arange(len(best)), best], -6.0)
