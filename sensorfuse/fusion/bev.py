"""Point sensors as bird's-eye-view pictures: LiDAR pillar statistics and radar returns, scattered on the grid.

Pillars: the hand-made statistics of MV3D / PIXOR-style inputs (height, density, intensity), not learned per point.
Radar ego velocity: Kellner et al., "Instantaneous ego-motion estimation using Doppler radar", ITSC 2013.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from sensorfuse.fusion.grid import GRID, LIDAR_GRID, BevGrid

LIDAR_CHANNELS = 6  # log count, log count above ground, top, bottom, mean height, mean intensity
RADAR_CHANNELS = 6  # log count, strength, mean and strongest ground-relative range rate, range rate known, ego speed
GROUND_M = 0.3
CEILING_M = 5.0
FLOOR_M = -2.0
MIN_EGO_DETECTIONS = 6
INLIER_MPS = 0.4
PEAK_EXCESS = 60.0  # of 255: as many returns per angle from a Navtech scan as from a list radar


@numba.njit(cache=True)
def _pillars(
    points: NDArray[np.float32], intensity: NDArray[np.float32], pose: NDArray[np.float64], cells: int, cell_m: float
) -> NDArray[np.float32]:
    half = 0.5 * cells * cell_m
    out = np.zeros((LIDAR_CHANNELS, cells, cells), np.float32)
    has_intensity = len(intensity) == len(points)
    for n in range(len(points)):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        x = pose[0, 0] * px + pose[0, 1] * py + pose[0, 2] * pz + pose[0, 3]
        y = pose[1, 0] * px + pose[1, 1] * py + pose[1, 2] * pz + pose[1, 3]
        z = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
        if not (abs(x) < half and abs(y) < half and z > FLOOR_M and z < CEILING_M):  # NaN fails too
            continue
        i = min(int((x + half) / cell_m), cells - 1)
        j = min(int((y + half) / cell_m), cells - 1)
        if out[0, i, j] == 0:
            out[2, i, j] = z
            out[3, i, j] = z
        out[0, i, j] += 1
        if z > GROUND_M:
            out[1, i, j] += 1
        out[2, i, j] = max(out[2, i, j], z)
        out[3, i, j] = min(out[3, i, j], z)
        out[4, i, j] += z
        if has_intensity:
            out[5, i, j] += intensity[n]
    for i in range(cells):
        for j in range(cells):
            count = out[0, i, j]
            if count > 0:
                out[0, i, j] = np.log1p(count) / 4
                out[1, i, j] = np.log1p(out[1, i, j]) / 4
                out[2, i, j] /= 4
                out[3, i, j] /= 4
                out[4, i, j] /= 4 * count
                out[5, i, j] /= 255 * count
    return out


def lidar_bev(
    points: NDArray[np.float32],
    intensity: NDArray[np.float32] | None,
    T_base_sensor: NDArray[np.float64],
    grid: BevGrid = LIDAR_GRID,
) -> NDArray[np.float32]:
    """Pillar statistics (6, X, Y) of a cloud (N, 3) in the sensor frame; points that are NaN, or off the grid, do not
    count.
    """
    shade = np.zeros(0, np.float32) if intensity is None else np.ascontiguousarray(intensity, np.float32)
    cloud = np.ascontiguousarray(points, np.float32)
    return _pillars(_read_only(cloud), _read_only(shade), np.ascontiguousarray(T_base_sensor), grid.cells, grid.cell_m)


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A view; kernels are compiled for either kind of array, and the wire gives read-only ones."""
    view = array.view()
    view.flags.writeable = False
    return view


def radar_velocity(azimuth_rad: NDArray[np.floating], doppler_mps: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """The sensor's own velocity (2,) in its x-y plane, m/s, from the range rates of what stands still; None if
    undetermined.

    A still target at azimuth a has range rate -(vx cos a + vy sin a). The best pair of detections by consensus is
    refined by least squares over its inliers; it needs 6 detections and half of them in agreement.
    """
    n = len(azimuth_rad)
    if n < MIN_EGO_DETECTIONS:
        return None
    rows = -np.stack([np.cos(azimuth_rad), np.sin(azimuth_rad)], axis=1).astype(np.float64)
    rate = np.asarray(doppler_mps, dtype=np.float64)
    picks = np.random.default_rng(0).integers(0, n, (60, 2))
    a, b = rows[picks[:, 0]], rows[picks[:, 1]]
    det = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    usable = np.abs(det) > 0.1
    if not usable.any():
        return None
    a, b, det, picks = a[usable], b[usable], det[usable], picks[usable]
    ra, rb = rate[picks[:, 0]], rate[picks[:, 1]]
    guess = np.stack([ra * b[:, 1] - rb * a[:, 1], rb * a[:, 0] - ra * b[:, 0]], axis=1) / det[:, None]
    agree = np.abs(guess @ rows.T - rate) < INLIER_MPS
    best = agree[int(np.argmax(agree.sum(axis=1)))]
    if best.sum() < max(MIN_EGO_DETECTIONS // 2 + 1, 0.5 * n):
        return None
    normal = rows[best].T @ rows[best]
    if np.linalg.cond(normal) > 1e3:
        return None
    return np.asarray(np.linalg.solve(normal, rows[best].T @ rate[best]))


def detect_polar(
    power: NDArray[np.uint8], azimuths_rad: NDArray[np.floating], range_resolution_m: float, max_range_m: float
) -> NDArray[np.float32]:
    """Peaks of a scanning radar's picture (A, R) as detections (N, 5) with unknown range rate (NaN).

    Cell-averaging CFAR along range (Rohling 1983 surveys it): a cell is a return where it exceeds the mean of 10 cells
    on each side (2 guard cells) by 60 and is the largest of its neighbours. The fifth column is that excess in decibel-
    like units (excess / 10), comparable with a radar cross-section only in order.
    """
    bins = min(power.shape[1], max(int(max_range_m / range_resolution_m), 1))
    image = power[:, :bins].astype(np.float32)
    total = np.cumsum(np.pad(image, ((0, 0), (13, 12)), mode="edge"), axis=1)
    total = np.concatenate([np.zeros((len(total), 1), np.float32), total], axis=1)
    window = total[:, 25 : 25 + bins] - total[:, :bins]  # 25 cells centred on each cell
    guard = total[:, 15 : 15 + bins] - total[:, 10 : 10 + bins]  # its middle 5
    excess = image - (window - guard) / 20
    left, right = np.roll(image, 1, axis=1), np.roll(image, -1, axis=1)
    hit = (excess > PEAK_EXCESS) & (image >= left) & (image > right)
    hit[:, [0, -1]] = False
    a, r = np.nonzero(hit)
    out = np.zeros((len(a), 5), np.float32)
    out[:, 0] = (r + 0.5) * range_resolution_m
    out[:, 1] = np.asarray(azimuths_rad)[a]
    out[:, 3] = np.nan
    out[:, 4] = excess[a, r] / 10
    return out


def radar_bev(
    detections: NDArray[np.floating], T_base_sensor: NDArray[np.float64], grid: BevGrid = GRID
) -> NDArray[np.float32]:
    """Radar returns (N, 5) [range, azimuth, elevation, range rate, RCS] as a picture (6, X, Y) in base_link.

    Range rates are made relative to the ground with the ego velocity that the returns themselves show; where that or
    the range rate is unknown, the two range-rate channels are 0 and the "known" channel says so.
    """
    out = np.zeros((RADAR_CHANNELS, grid.cells, grid.cells), np.float32)
    if not len(detections):
        return out
    distance, azimuth, elevation, doppler, rcs = np.asarray(detections, dtype=np.float64).T
    flat = distance * np.cos(elevation)
    local = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation)], axis=1)
    base = local @ T_base_sensor[:3, :3].T + T_base_sensor[:3, 3]
    known = np.isfinite(doppler)
    ego = radar_velocity(azimuth[known], doppler[known])
    ground_rate = np.zeros(len(distance))
    if ego is not None:
        ground_rate = np.where(known, doppler + ego[0] * np.cos(azimuth) + ego[1] * np.sin(azimuth), 0.0)
        forward = T_base_sensor[:2, :2] @ ego
        out[5] = forward[0] / 20
    else:
        known = np.zeros(len(distance), dtype=bool)
    inside = grid.contains(base[:, :2])
    i, j = np.floor(grid.index(base[inside, :2]) + 0.5).astype(np.int64).clip(0, grid.cells - 1).T
    rate, sure = ground_rate[inside].clip(-30, 30) / 10, known[inside]
    np.add.at(out[0], (i, j), 1)
    strength = np.full((grid.cells, grid.cells), -np.inf)
    np.maximum.at(strength, (i, j), (rcs[inside] / 20).clip(-2, 2))
    filled = out[0] > 0
    out[1][filled] = strength[filled]
    np.add.at(out[2], (i, j), rate)
    out[2][filled] /= out[0][filled]
    for n in np.argsort(np.abs(rate), kind="stable"):  # the strongest is written last
        out[3, i[n], j[n]] = rate[n]
    np.maximum.at(out[4], (i, j), sure.astype(np.float32))
    out[0] = np.log1p(out[0]) / 2
    return out
