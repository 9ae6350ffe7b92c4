"""Moving a stale feature map to the tick: resample it by the robot's own motion since it was measured.

Bilinear sampling with zeros outside the map, the same as torch's `grid_sample` without aligned corners, so that
training (which warps in torch) and running (which warps here) agree.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from sensorfuse.fusion.grid import GRID, BevGrid
from sensorfuse.geometry import Transform

STILL = 1e-3
"""Less motion than this, in cells at the map's edge, leaves a map as it is."""


def planar_motion(T_tick_then: Transform) -> NDArray[np.float64]:
    """`[cos, sin, tx, ty]` of the planar part of a motion of the body."""
    yaw, place = T_tick_then.yaw(), T_tick_then.translation
    return np.array([np.cos(yaw), np.sin(yaw), place[0], place[1]])


@numba.njit(cache=True)
def _resample(
    features: NDArray[np.float32], motion: NDArray[np.float64], half: float, cell: float
) -> NDArray[np.float32]:
    channels, nx, ny = features.shape
    padded = np.zeros((channels, nx + 2, ny + 2), np.float32)  # a ring of zeros around each map
    padded[:, 1:-1, 1:-1] = features
    flat = padded.reshape(channels, -1)
    corner = np.zeros(nx * ny, np.int64)  # of the four neighbours, the one with the lowest index
    weight = np.zeros((nx * ny, 4), np.float32)
    c, s, tx, ty = motion
    for i in range(nx):
        for j in range(ny):
            x = (i + 0.5) * cell - half - tx
            y = (j + 0.5) * cell - half - ty
            u = (c * x + s * y + half) / cell - 0.5  # the cell's place in the old map
            v = (c * y - s * x + half) / cell - 0.5
            if u <= -1 or v <= -1 or u >= nx or v >= ny:
                continue
            i0, j0 = int(np.floor(u)), int(np.floor(v))
            fu, fv = u - i0, v - j0
            n = i * ny + j
            corner[n] = (i0 + 1) * (ny + 2) + j0 + 1
            weight[n, 0], weight[n, 1] = (1 - fu) * (1 - fv), (1 - fu) * fv
            weight[n, 2], weight[n, 3] = fu * (1 - fv), fu * fv
    out = np.empty((channels, nx * ny), np.float32)
    below = ny + 2
    for k in range(channels):
        row = flat[k]
        for n in range(nx * ny):
            a = corner[n]
            out[k, n] = (
                weight[n, 0] * row[a]
                + weight[n, 1] * row[a + 1]
                + weight[n, 2] * row[a + below]
                + weight[n, 3] * row[a + below + 1]
            )
    return out.reshape(channels, nx, ny)


def warp_map(features: NDArray[np.float32], motion: NDArray[np.float64], grid: BevGrid = GRID) -> NDArray[np.float32]:
    """A feature map (C, X, Y) moved by a planar motion `[cos, sin, tx, ty]` (see `planar_motion`), in the new frame."""
    c, s, tx, ty = motion
    if (abs(tx) + abs(ty) + grid.half_m * (abs(s) + abs(1 - c))) / grid.cell_m < STILL:
        return features
    return np.asarray(_resample(np.ascontiguousarray(features), motion, grid.half_m, grid.cell_m))
