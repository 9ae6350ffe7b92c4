"""A sweep as a picture of ranges over azimuth and elevation, with the surface normal of each point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_RANGE_M = 1.5  # nearer is the sensor's own carrier, or drops
ROWS_MAX = 64
NORMAL_SPREAD = 0.15  # neighbours whose range differs by more, per metre of range, are on something else


@dataclass(frozen=True)
class RangeImage:
    """`cells` (R, C) hold the row of `points` that was seen there, -1 for none. Points and normals are in the sensor's
    axes at one instant; a normal is zero where the neighbours show no surface.
    """

    cells: NDArray[np.int32]
    points: Array  # (N, 3)
    normals: Array  # (N, 3)
    normal_sigma: Array  # (N,) rad, what range noise makes of a normal
    lowest: float  # elevation of the first row's lower edge, rad
    pitch: float  # elevation per row, rad


@njit(cache=True)
def _fill(points, lowest, pitch, cells):  # type: ignore[no-untyped-def]
    rows, columns = cells.shape
    cells[:] = -1
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        flat = math.sqrt(x * x + y * y)
        row = int((math.atan2(z, flat) - lowest) / pitch)
        column = int((math.atan2(y, x) + math.pi) / (2.0 * math.pi) * columns)
        if row < 0 or row >= rows:
            continue
        column = min(column, columns - 1)
        old = cells[row, column]
        if old >= 0:
            other = points[old]
            if other[0] ** 2 + other[1] ** 2 + other[2] ** 2 <= x * x + y * y + z * z:
                continue
        cells[row, column] = i


@njit(cache=True)
def _neighbour(points, cells, row, column, dr, dc, reach, own_range):  # type: ignore[no-untyped-def]
    """The next point in a direction that is on the same surface, -1 for none."""
    rows, columns = cells.shape
    for step in range(1, reach + 1):
        r, c = row + dr * step, (column + dc * step) % columns
        if r < 0 or r >= rows:
            return -1
        i = cells[r, c]
        if i >= 0:
            other = points[i]
            distance = math.sqrt(other[0] ** 2 + other[1] ** 2 + other[2] ** 2)
            if abs(distance - own_range) < NORMAL_SPREAD * own_range * (3.0 if dr else 1.0):
                return i
            return -1
    return -1


@njit(cache=True)
def _normals(points, cells, range_sigma, normals, sigma):  # type: ignore[no-untyped-def]
    rows, columns = cells.shape
    normals[:] = 0.0
    sigma[:] = np.inf
    for row in range(rows):
        for column in range(columns):
            i = cells[row, column]
            if i < 0:
                continue
            p = points[i]
            own = math.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2)
            left = _neighbour(points, cells, row, column, 0, -2, 2, own)
            right = _neighbour(points, cells, row, column, 0, 2, 2, own)
            below = _neighbour(points, cells, row, column, -1, 0, 2, own)
            above = _neighbour(points, cells, row, column, 1, 0, 2, own)
            if left < 0:
                left = i
            if right < 0:
                right = i
            if below < 0:
                below = i
            if above < 0:
                above = i
            if left == right or below == above:
                continue
            ax, bx = points[right, 0] - points[left, 0], points[above, 0] - points[below, 0]
            ay, by = points[right, 1] - points[left, 1], points[above, 1] - points[below, 1]
            az, bz = points[right, 2] - points[left, 2], points[above, 2] - points[below, 2]
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            norm = math.sqrt(nx * nx + ny * ny + nz * nz)
            a2, b2 = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz
            if norm < 0.15 * math.sqrt(a2 * b2) or norm < 1e-6:
                continue
            height = norm / math.sqrt(max(a2, b2))  # of the parallelogram over its longer side
            s = 1.4 * range_sigma / height
            if s > 0.3:
                continue
            if nx * p[0] + ny * p[1] + nz * p[2] > 0.0:
                norm = -norm
            normals[i, 0], normals[i, 1], normals[i, 2] = nx / norm, ny / norm, nz / norm
            sigma[i] = s


def range_image(points: Array, rings: int, columns: int, elevation: tuple[float, float], sigma_m: float) -> RangeImage:
    """A picture of `rings` rows over `elevation` (low, high, rad) of points (N, 3) that hold no NaN."""
    rows = max(min(rings, ROWS_MAX), 2)
    pitch = (elevation[1] - elevation[0]) / (rows - 1)
    lowest = elevation[0] - 0.5 * pitch
    cells = np.empty((rows, max(columns, 8)), np.int32)
    _fill(points, lowest, pitch, cells)
    normals, normal_sigma = np.empty_like(points), np.empty(len(points))
    _normals(points, cells, sigma_m, normals, normal_sigma)
    return RangeImage(cells, points, normals, normal_sigma, lowest, pitch)
