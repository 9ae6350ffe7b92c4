"""Objects from one turn of a scanning radar: constant false-alarm rate detection, clustering, boxes.

OS-CFAR (Rohling 1983, Radar CFAR thresholding in clutter and multiple target situations): a cell is a detection when it
exceeds a multiple of the k-th smallest of its neighbours in range, the multiple set by the false-alarm rate for
exponentially distributed noise power. The radar's counts are a logarithm of power, so the multiple is an offset and the
order statistic is that of the counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import brentq

from sensorfuse.geometry import Transform
from sensorfuse.messages import Detections, StampSemantics
from sensorfuse.track.box_fit import class_scores
from sensorfuse.track.cluster import cluster_plane, group_by_label
from sensorfuse.track.priors import LOG_WEIGHT, SIZE_M, SPEED_SIGMA_MPS
from sensorfuse.track.timed import TimedDetections, axis_covariance

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RadarPolarConfig:
    """CFAR window in range cells, and what counts as an object. `db_per_count` is the radar's scale (Navtech 0.5)."""

    db_per_count: float = 0.5
    guard: int = 12  # cells on each side that the target itself may fill
    train: int = 24  # cells on each side beyond the guard
    rank: float = 0.6  # of the window, the order statistic taken as its level
    false_alarm_rate: float = 1e-4
    min_range_m: float = 3.0
    max_range_m: float = 100.0
    beam_rad: float = 0.031  # two-way width, taken off the extents
    reach_m: float = 0.7
    min_cells: int = 10
    max_length_m: float = 14.0
    max_width_m: float = 4.5
    min_score: float = 0.15


def os_cfar_factor(window: int, rank: int, false_alarm_rate: float) -> float:
    """The multiple of the `rank`-th smallest (1-based) of `window` exponential variables that noise exceeds at the
    given rate.

    Solves P_fa = prod_{i=0}^{rank-1} (window - i) / (window - i + alpha) (Rohling 1983, equation 21).
    """
    i = np.arange(rank)

    def excess(log_alpha: float) -> float:
        return float(np.log((window - i) / (window - i + np.exp(log_alpha))).sum() - np.log(false_alarm_rate))

    return float(np.exp(brentq(excess, -20.0, 40.0)))


@njit(cache=True)
def _os_cfar(counts: NDArray[np.uint8], guard: int, train: int, rank: float, offset: float) -> NDArray[np.bool_]:
    rows, cells = counts.shape
    out = np.zeros((rows, cells), np.bool_)
    for a in range(rows):
        histogram = np.zeros(256, np.int32)
        size = 0
        level, below = 0, 0  # `below` neighbours have counts under `level`
        for c in range(-guard - train, cells):
            # The cell c is under test; on each step one cell enters and one leaves each half of its window.
            for enter in (c + guard + train, c - guard - 1):
                if 0 <= enter < cells and c > -guard - train - 1:
                    histogram[counts[a, enter]] += 1
                    size += 1
                    if counts[a, enter] < level:
                        below += 1
            for leave in (c + guard, c - guard - train - 1):
                if 0 <= leave < cells:
                    histogram[counts[a, leave]] -= 1
                    size -= 1
                    if counts[a, leave] < level:
                        below -= 1
            if c < 0 or size == 0:
                continue
            wanted = int(rank * size)  # zero-based index of the order statistic
            if wanted >= size:
                wanted = size - 1
            while below > wanted:
                level -= 1
                below -= histogram[level]
            while below + histogram[level] <= wanted:
                below += histogram[level]
                level += 1
            out[a, c] = counts[a, c] > level + offset
    return out


def os_cfar(counts: NDArray[np.uint8], config: RadarPolarConfig) -> NDArray[np.bool_]:
    """Which cells (A, R) of a polar scan in logarithmic counts stand out of their neighbours in range."""
    window = 2 * config.train
    rank = int(config.rank * window) + 1
    factor = os_cfar_factor(window, rank, config.false_alarm_rate)
    offset = 10 * np.log10(factor) / config.db_per_count
    return np.asarray(_os_cfar(np.ascontiguousarray(counts), config.guard, config.train, config.rank, offset))


def scan_fraction_s(fraction: Array, scan_s: float, stamp: StampSemantics) -> Array:
    """Time after the stamp (s) at which the antenna passed each fraction [0, 1) of its turn."""
    start: dict[Literal["start", "mid", "end"], float] = {"start": 0.0, "mid": 0.5, "end": 1.0}
    return np.asarray((fraction - start[stamp]) * scan_s)


class RadarPolarDetector:
    """Finds objects in the scans of one scanning radar. Holds no state between scans."""

    def __init__(self, config: RadarPolarConfig | None = None) -> None:
        self.config = config or RadarPolarConfig()

    def detect(
        self,
        polar: NDArray[np.uint8],
        azimuths_rad: NDArray[np.floating],
        range_resolution_m: float,
        T_base_sensor: Transform,
        scan_s: float = 0.0,
        stamp: StampSemantics = "mid",
    ) -> TimedDetections:
        """Objects in `base_link`, each at the instant the antenna passed it.

        `polar` (A, R) counts, rows in the order of scanning; `azimuths_rad` (A,) left positive. Velocity is NaN.
        """
        config = self.config
        hit = os_cfar(polar, config)
        hit[:, : int(config.min_range_m / range_resolution_m)] = False
        hit[:, int(config.max_range_m / range_resolution_m) + 1 :] = False
        row, cell = np.nonzero(hit)
        distance = (cell + 0.5) * range_resolution_m
        azimuth = np.asarray(azimuths_rad, dtype=np.float64)[row]
        local = np.column_stack([distance * np.cos(azimuth), distance * np.sin(azimuth)])
        beam = 2.2 * 2 * np.pi / max(len(polar), 1)
        labels = cluster_plane(
            local, reach_m=config.reach_m, spread_rad=beam, max_reach_m=2.5, limit_m=config.max_range_m + 1
        )
        order, starts = group_by_label(labels)
        wanted = np.diff(starts) >= config.min_cells
        clusters = [order[s:e] for s, e, w in zip(starts[:-1], starts[1:], wanted, strict=True) if w]
        if not clusters:
            return TimedDetections(Detections.empty(), np.zeros(0, np.int64))
        member = np.repeat(np.arange(len(clusters)), [len(c) for c in clusters])
        cells = np.concatenate(clusters)
        shapes = _moments(local[cells], polar[row[cells], cell[cells]].astype(np.float64), member, config.beam_rad)
        passed = np.array([row[c].mean() if np.ptp(row[c]) < len(polar) / 2 else 0.0 for c in clusters]) / len(polar)
        time_ns = np.round(scan_fraction_s(passed, scan_s, stamp) * 1e9).astype(np.int64)
        floor = np.median(polar[:, int(config.min_range_m / range_resolution_m) :])
        return self._objects(shapes, time_ns, float(floor), T_base_sensor)

    def _objects(
        self, shapes: Array, time_ns: NDArray[np.int64], floor: float, T_base_sensor: Transform
    ) -> TimedDetections:
        """Boxes of the clusters that may be vehicles; `shapes` (K, 7) as `_moments` has them."""
        config = self.config
        x, y, angle, length, width, peak, fill = shapes.T
        fits_road = (length < config.max_length_m) & (width < config.max_width_m)
        scores, _ = class_scores(
            np.column_stack([length, width]),
            np.full(len(shapes), 1.6),
            config.beam_rad * np.hypot(x, y),
            np.full((len(shapes), 2), 0.3),
        )
        tall = 0.5 * ((1.6 - SIZE_M[:, 2]) / 0.4) ** 2  # a scan has no height: take its cost back
        best = np.argmax(scores + np.minimum(tall, 3.0) + LOG_WEIGHT, axis=1)
        distance = np.hypot(x, y)
        snr_db = (peak - floor) * config.db_per_count
        logit = -2.6 + 0.12 * np.clip(snr_db - 12, -10, 15) - 0.8 * np.clip(length / SIZE_M[best, 0] - 1.3, 0, 3)
        logit += 0.8 * np.clip(fill - 0.5, -0.5, 0.5) - 1.5 * (length < 1.2) - 1.0 * ((width < 0.9) & (length > 6))
        score = 1 / (1 + np.exp(-logit))
        good = np.flatnonzero(fits_road & (score >= config.min_score))
        k = best[good]
        size = SIZE_M[k].copy()
        size[:, 0] = np.maximum(length[good], 0.85 * size[:, 0])
        size[:, 1] = np.clip(width[good], 0.85 * size[:, 1], 1.2 * size[:, 1])
        base = T_base_sensor @ np.column_stack([x, y, np.zeros(len(x))])[good]
        base[:, 2] = size[:, 2] / 2
        yaw = angle[good] + T_base_sensor.yaw()
        yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2
        covariance = np.zeros((len(good), 4, 4))
        bearing = np.arctan2(y, x)[good] + T_base_sensor.yaw()
        covariance[:, :2, :2] = axis_covariance(
            bearing, 0.3 + 0.05 * size[:, 0], np.hypot(0.3, 0.2 * config.beam_rad * distance[good])
        )
        covariance[:, 2, 2] = covariance[:, 3, 3] = SPEED_SIGMA_MPS[k] ** 2
        n = len(good)
        nan = np.full((n, 2), np.nan)
        untracked = np.full(n, -1, np.int64)
        found = Detections(
            k.astype(np.uint8), score[good].astype(np.float32), base, size, yaw, nan, covariance, untracked
        )
        return TimedDetections(found, time_ns[good])


def _moments(xy: Array, counts: Array, member: NDArray[np.int64], beam_rad: float) -> Array:
    """Per cluster (K, 7): centre x, y, angle of the long axis, length, width, peak count and fill, of cells (N, 2).

    `member` (N,) names each cell's cluster. A filled rectangle has the variance side^2 / 12 along each side; the beam
    adds its own across the line of sight.
    """
    n = np.bincount(member)
    x, y = (np.bincount(member, v) / n for v in xy.T)
    dx, dy = xy[:, 0] - x[member], xy[:, 1] - y[member]
    xx, xy_, yy = (np.bincount(member, v) / n for v in (dx * dx, dx * dy, dy * dy))
    distance = np.maximum(np.hypot(x, y), 1e-6)
    ax, ay = -y / distance, x / distance  # across the line of sight
    across = ax * ax * xx + 2 * ax * ay * xy_ + ay * ay * yy
    blur = np.minimum(0.8 * (beam_rad * distance) ** 2 / 12, np.maximum(across - 0.02, 0.0))
    xx, xy_, yy = xx - blur * ax * ax, xy_ - blur * ax * ay, yy - blur * ay * ay
    mean, half = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy_)
    length, width = (np.sqrt(12 * np.maximum(v, 0.01)) for v in (mean + half, mean - half))
    peak = np.zeros(len(n))
    np.maximum.at(peak, member, counts)
    area = np.maximum(length * np.hypot(width, beam_rad * distance), 0.1)
    cell_area = 0.1736 * np.maximum(distance * 0.0157, 0.05)
    return np.column_stack(
        [x, y, 0.5 * np.arctan2(2 * xy_, xx - yy), length, width, peak, np.minimum(n * cell_area / area, 1.5)]
    )
