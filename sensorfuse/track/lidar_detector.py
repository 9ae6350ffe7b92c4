"""Objects from one LiDAR sweep without training: ground removal, clustering, box fitting, class by size.

Each detection has its own instant (the mean of its points'), so a sweep needs no deskewing before it is encoded: at the
tick every object moves by its own lag. `align.deskew` is for those who need the cloud itself at one instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.messages import Detections
from sensorfuse.track.box_corners import best_boxes
from sensorfuse.track.box_fit import complete_boxes, fit_clusters
from sensorfuse.track.cluster import cluster_plane, count_near, group_by_label
from sensorfuse.track.ground import GroundConfig, height_above_ground
from sensorfuse.track.priors import SPEED_SIGMA_MPS, UNKNOWN
from sensorfuse.track.timed import TimedDetections, axis_covariance

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LidarDetectorConfig:
    """What counts as an object. Heights are above the local ground."""

    min_range_m: float = 1.8  # nearer returns are the robot itself, or fog and spray at the lens
    max_range_m: float = 80.0
    min_height_m: float = 0.25
    core_height_m: float = 2.0  # clusters are joined below this, so that tree crowns and signs do not bridge objects
    max_height_m: float = 4.0  # what reaches higher is a building, a tree or a bridge
    max_length_m: float = 14.0
    max_width_m: float = 3.4
    max_base_m: float = 1.1  # the lowest return of an object lies below this, as far as the rings tell
    min_points: int = 3
    reach_m: float = 0.75
    spread_rad: float = 0.04  # how far apart neighbouring beams may be, as an angle
    min_density: float = 0.06  # share of the beams on an upright face that must return near a point: drops are sparser
    min_near: int = 6
    stretch: float = 1.5  # of the reach along the line of sight
    column_spacing_rad: float = 0.0123
    ring_spacing_rad: float = 0.0225
    cut_margin_rad: float = 0.03  # what reaches this near to the highest beam may be taller than it seems
    min_score: float = 0.05
    ground: GroundConfig = field(default_factory=GroundConfig)


@njit(cache=True)
def _cluster_statistics(
    order: NDArray[np.int64], starts: NDArray[np.int64], height: Array, z: Array, time_s: Array, slope: Array
) -> Array:
    """Per cluster (K, 6): points, lowest and highest height, z of the ground below, mean time, steepest beam."""
    out = np.zeros((len(starts) - 1, 6))
    for k in range(len(starts) - 1):
        low, high, ground, time, steep = np.inf, -np.inf, 0.0, 0.0, -np.inf
        members = order[starts[k] : starts[k + 1]]
        for i in members:
            low, high = min(low, height[i]), max(high, height[i])
            ground += z[i] - height[i]
            time += time_s[i]
            steep = max(steep, slope[i])
        n = max(len(members), 1)
        out[k, 0], out[k, 1], out[k, 2], out[k, 3], out[k, 4] = len(members), low, high, ground / n, time / n
        out[k, 5] = steep
    return out


class LidarDetector:
    """Finds objects in sweeps of one LiDAR. Holds no state between sweeps."""

    def __init__(self, config: LidarDetectorConfig | None = None) -> None:
        self.config = config or LidarDetectorConfig()

    def detect(
        self, points: NDArray[np.floating], T_base_sensor: Transform, time_ns: NDArray[np.integer] | None = None
    ) -> TimedDetections:
        """Objects in `base_link`, each at its own instant; points (N, 3) in the sensor frame, NaN where no return came.

        Velocity is NaN (one sweep tells none); its prior is in the covariance. `yaw` is in [-pi/2, pi/2).
        """
        config = self.config
        cloud = np.asarray(points, dtype=np.float64)
        distance = np.hypot(cloud[:, 0], cloud[:, 1])
        keep = np.flatnonzero(
            (distance > config.min_range_m) & (distance < config.max_range_m) & np.isfinite(cloud[:, 2])
        )
        base = T_base_sensor @ cloud[keep]
        slope = cloud[keep, 2] / distance[keep]  # tangent of each beam's elevation
        top = float(np.quantile(slope, 0.998)) if len(slope) else 0.0
        time_s = np.zeros(len(keep)) if time_ns is None else np.asarray(time_ns, dtype=np.float64)[keep] / 1e9
        sensor = T_base_sensor.translation
        height = height_above_ground(base, sensor, config.ground)
        solid = np.flatnonzero(height > config.min_height_m)
        base, height, time_s, slope = base[solid], height[solid], time_s[solid], slope[solid]
        local = base[:, :2] - sensor[:2]
        core = height < config.core_height_m
        patch = 0.75 * 1.3 / (config.column_spacing_rad * config.ring_spacing_rad)  # beams on an upright face, at 1 m
        needed = np.minimum(config.min_density * patch / np.square(local).sum(axis=1), config.min_near)
        core &= count_near(local, limit_m=config.max_range_m) >= needed
        labels = cluster_plane(
            local,
            core,
            limit_m=config.max_range_m,
            reach_m=config.reach_m,
            spread_rad=config.spread_rad,
            stretch=config.stretch,
        )
        order, starts = group_by_label(labels)
        if not len(order):
            return TimedDetections(Detections.empty(), np.zeros(0, np.int64))
        statistics = _cluster_statistics(order, starts, height, base[:, 2], time_s, slope)
        wanted = (statistics[:, 0] >= config.min_points) & (statistics[:, 2] < config.max_height_m)
        wanted &= statistics[:, 1] < config.max_base_m
        order, starts = _keep_clusters(order, starts, wanted)
        return self._boxes(fit_clusters(local, order, starts), statistics[wanted], top, sensor)

    def _boxes(self, fits: Array, statistics: Array, top: float, sensor: Array) -> TimedDetections:
        """Boxes of the clusters that may be road users; `fits` (K, 5) about the sensor, `statistics` (K, 6).

        `top` is the tangent of the highest beam: what reaches it is cut off there and may be a wall.
        """
        config = self.config
        count, _, high, ground, time_s, steep = statistics.T
        extent = np.sort(np.column_stack([fits[:, 2] - fits[:, 1], fits[:, 4] - fits[:, 3]]), axis=1)
        fits_road = (extent[:, 1] < config.max_length_m) & (extent[:, 0] < config.max_width_m)
        fits, count, high, ground, time_s, steep = (v[fits_road] for v in (fits, count, high, ground, time_s, steep))
        cos, sin = np.cos(fits[:, 0]), np.sin(fits[:, 0])
        middle = 0.5 * np.stack([fits[:, 1] + fits[:, 2], fits[:, 3] + fits[:, 4]])
        seen = np.column_stack([middle[0] * cos - middle[1] * sin, middle[0] * sin + middle[1] * cos])
        distance = np.hypot(*seen.T)
        high = high + 0.5 * config.ring_spacing_rad * distance  # the top edge lies somewhere up to the next ring
        cut = (steep > top - config.cut_margin_rad) & (high > 2.0)
        boxes = complete_boxes(fits, high, config.column_spacing_rad * distance, np.zeros(2))
        score = object_score(boxes.log_likelihood, count, distance, cut)
        good = np.flatnonzero((score >= config.min_score) & (boxes.class_id != UNKNOWN))
        good = good[best_boxes(score[good], boxes.center[good], boxes.size[good], boxes.yaw[good], seen[good])]
        n = len(good)
        center = np.column_stack([boxes.center + sensor[:2], ground + high / 2])[good]
        covariance = np.zeros((n, 4, 4))
        covariance[:, :2, :2] = axis_covariance(boxes.yaw[good], boxes.sigma[good, 0], boxes.sigma[good, 1])
        covariance[:, 2, 2] = covariance[:, 3, 3] = SPEED_SIGMA_MPS[boxes.class_id[good]] ** 2
        found = Detections(
            class_id=boxes.class_id[good],
            score=score[good].astype(np.float32),
            center=center,
            size=np.column_stack([boxes.size, high])[good],
            yaw=boxes.yaw[good],
            velocity=np.full((n, 2), np.nan),
            covariance=covariance,
            track_id=np.full(n, -1, np.int64),
        )
        return TimedDetections(found, np.round(time_s[good] * 1e9).astype(np.int64))


def _keep_clusters(
    order: NDArray[np.int64], starts: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sizes = np.diff(starts)
    return order[np.repeat(wanted, sizes)], np.concatenate([[0], np.cumsum(sizes[wanted])])


def object_score(log_likelihood: Array, count: Array, distance_m: Array, cut: NDArray[np.bool_]) -> Array:
    """How sure it is that a cluster is a road user, in [0, 1]: the fit of its shape, and its points against range.

    `cut` marks those that reach out of the top of the field of view.
    """
    support = np.log(np.maximum(count, 1.0)) + 2.0 * np.log(np.maximum(distance_m, 5.0) / 20.0) - np.log(15.0)
    logit = 2.2 + 0.9 * log_likelihood + 0.8 * np.clip(support, -2.5, 2.5) - 3.0 * cut
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
