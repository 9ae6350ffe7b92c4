"""Objects and ego velocity from a radar's detection list.

Ego velocity from Doppler: Kellner, Barjenbruch, Klappstein, Dickmann, Dietmayer 2013 (Instantaneous ego-motion estimation
using Doppler radar): what stands still has a range rate that depends on direction alone; consensus finds it. Clustering is
single-linkage in position and range rate (DBSCAN of Ester et al. 1996 with one point as core). A cluster's velocity is the
Bayesian least-squares solution of its range rates, with a prior that traffic moves along the road rather than across.
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
    moving_mps: float = 0.8  # slower over ground counts as standing
    reach_m: float = 2.2
    reach_mps: float = 1.2
    road_prior_mps: tuple[float, float] = (10.0, 2.0)  # one sigma of velocity along and across the body
    slow_prior_mps: float = 1.5  # of a standing cluster, across the line of sight
    min_score: float = 0.05


def _directions(detections: NDArray[np.floating], T_base_sensor: Transform) -> tuple[Array, Array]:
    """Unit vectors sensor to target (N, 3) and range (N,), in base axes."""
    distance, azimuth, elevation = np.asarray(detections, dtype=np.float64)[:, :3].T
    local = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 1)
    return local @ T_base_sensor.rotation.T, distance


def ego_velocity(
    detections: NDArray[np.floating], T_base_sensor: Transform
) -> tuple[Array, Array, NDArray[np.bool_]]:
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
    """One detection list in base axes, ready for `RadarDetector.detect`. `velocity_xy` is the sensor's own, from Doppler."""

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
        velocities are NaN. `velocity` holds what the range rates and the prior say; `covariance` is tight along the line
        of sight only.
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
        rows = [self._object(returns, labels == k, over_ground, noise, bool(moving[labels == k][0])) for k in range(labels.max() + 1)]
        found = Detections(*(np.array(column) for column in zip(*rows, strict=True)))
        found = Detections(
            found.class_id.astype(np.uint8),
            found.score.astype(np.float32),
            found.center,
            found.size,
            found.yaw,
            found.velocity if known else np.full((len(found.score), 2), np.nan),
            found.covariance,
            np.full(len(found.score), -1, np.int64),
        )
        if not known:
            found.covariance[:, 2:, :2] = found.covariance[:, :2, 2:] = 0.0
            found.covariance[:, 2:, 2:] = np.eye(2) * self.config.road_prior_mps[0] ** 2
        return found.select(found.score >= self.config.min_score)

    def _cluster(self, returns: RadarReturns, rate: Array, moving: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Labels (N,) by single linkage; reach grows with the cross-range error."""
        xy = returns.xyz[:, :2]
        away = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
        slack = 1.5 * self.config.azimuth_sigma_rad * returns.range_m
        linked = away < self.config.reach_m + np.minimum(slack[:, None], slack[None])
        linked &= np.abs(rate[:, None] - rate[None]) < self.config.reach_mps
        linked &= moving[:, None] == moving[None]
        labels: NDArray[np.int32] = connected_components(csr_matrix(linked), directed=False)[1]
        return labels

    def _object(
        self, returns: RadarReturns, members: NDArray[np.bool_], rate: Array, noise: Array, moving: bool
    ) -> tuple[int, float, Array, Array, float, Array, Array, int]:
        """The fields of one detection."""
        config = self.config
        unit, xyz, n = returns.unit[members], returns.xyz[members], int(members.sum())
        middle = unit.mean(axis=0)
        middle /= np.linalg.norm(middle)
        prior = np.array(config.road_prior_mps if moving else (config.slow_prior_mps, config.slow_prior_mps))
        weight = unit / noise[members, None] ** 2
        velocity_covariance = np.linalg.inv(np.diag(1 / prior**2) + unit.T @ weight)
        velocity = velocity_covariance @ (weight.T @ rate[members])
        speed = float(np.hypot(*velocity))
        extent = float(np.hypot(*np.ptp(xyz[:, :2], axis=0)))
        class_id, fit = self._classify(float(returns.rcs_dbsm[members].max()), speed, extent, moving)
        size = SIZE_M[class_id]
        yaw = float(np.arctan2(velocity[1], velocity[0])) if moving else 0.0
        depth = size[0] * abs(np.cos(yaw) * middle[0] + np.sin(yaw) * middle[1])
        depth += size[1] * abs(-np.sin(yaw) * middle[0] + np.cos(yaw) * middle[1])
        distance = float(returns.range_m[members].mean())
        nearest = float(((xyz[:, :2] - returns.origin) @ middle).min())
        reach = max(0.5 * depth + nearest, float(((xyz[:, :2] - returns.origin) @ middle).mean()))
        side = np.array([-middle[1], middle[0]])
        lateral = float(((xyz[:, :2] - returns.origin) @ side).mean())
        center = returns.origin + reach * middle + lateral * side
        covariance = np.zeros((4, 4))
        bearing = np.array([np.arctan2(middle[1], middle[0])])
        along = np.array([np.hypot(config.range_sigma_m, 0.25 * depth)])
        beside = np.array([np.hypot(config.azimuth_sigma_rad * distance / np.sqrt(n), 0.2 * size[1] + 0.1)])
        covariance[:2, :2] = axis_covariance(bearing, along, beside)[0]
        covariance[2:, 2:] = velocity_covariance
        logit = (0.3 + 0.4 * min(n - 1, 4) if moving else -2.2) + 0.3 * fit + (0.0 if extent < 13 else -2.0)
        score = 1 / (1 + np.exp(-logit))
        return class_id, float(score), np.array([*center, size[2] / 2]), size.copy(), yaw, velocity, covariance, -1

    @staticmethod
    def _classify(rcs_dbsm: float, speed: float, extent: float, moving: bool) -> tuple[int, float]:
        """Likeliest class by radar cross-section, speed and extent, and how well it fits (0 is perfect)."""
        fit = -0.5 * ((rcs_dbsm - RCS_DBSM) / RCS_SIGMA_DB) ** 2
        fit = fit - 0.5 * np.maximum((extent - SIZE_M[:, 0] - 0.8) / 0.8, 0.0) ** 2
        pedestrian, cyclist = CLASSES.index("pedestrian"), CLASSES.index("cyclist")
        fit[pedestrian] -= 0.5 * (max(speed - 1.5, 0.0) / 0.7) ** 2
        fit[cyclist] -= 0.5 * (max(speed - 5.0, 0.0) / 2.0) ** 2
        if not moving:
            fit[cyclist] -= 1.5
        best = int(np.argmax(fit + LOG_WEIGHT))
        return best, max(float(fit[best]), -6.0)
