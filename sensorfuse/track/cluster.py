"""Euclidean clustering in the plane whose reach grows with range, as the beams of a spinning sensor spread.

Points are binned into square cells; occupied cells whose centres lie within the reach are joined (union-find). Linear
in the number of cells, so a sweep takes about a millisecond.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def _find(parent: NDArray[np.int32], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True)
def _cluster(
    xy: NDArray[np.float64],
    core: NDArray[np.bool_],
    cell_m: float,
    limit_m: float,
    reach_m: float,
    spread_rad: float,
    max_reach_m: float,
    stretch: float,
) -> NDArray[np.int32]:
    side = int(np.ceil(2 * limit_m / cell_m))
    grid = np.full((side, side), -1, np.int32)
    n = len(xy)
    labels = np.full(n, -1, np.int32)
    cell_of = np.full(n, -1, np.int32)
    rows = np.empty(n, np.int32)
    cols = np.empty(n, np.int32)
    count = 0
    for step in range(2 * n):  # core points claim cells, the others then fall into claimed cells
        i = step % n
        if core[i] != (step < n):
            continue
        u = int(np.floor((xy[i, 0] + limit_m) / cell_m))
        v = int(np.floor((xy[i, 1] + limit_m) / cell_m))
        if u < 0 or v < 0 or u >= side or v >= side:
            continue
        if grid[u, v] < 0:
            if not core[i]:
                continue
            grid[u, v] = count
            rows[count] = u
            cols[count] = v
            count += 1
        cell_of[i] = grid[u, v]
    parent = np.arange(count).astype(np.int32)
    half = side / 2.0
    for c in range(count):
        u, v = rows[c], cols[c]
        range_m = cell_m * np.sqrt((u + 0.5 - half) ** 2 + (v + 0.5 - half) ** 2)
        reach = min(max(reach_m, spread_rad * range_m), max_reach_m) / cell_m
        window = int(reach * stretch)
        squeeze = 1.0 - 1.0 / (stretch * stretch)
        ray = max(np.sqrt((u + 0.5 - half) ** 2 + (v + 0.5 - half) ** 2), 0.5)
        for du in range(window + 1):
            for dv in range(-window, window + 1):
                if du == 0 and dv <= 0:
                    continue
                a, b = u + du, v + dv
                if a >= side or b < 0 or b >= side or grid[a, b] < 0:
                    continue
                along = (du * (u + 0.5 - half) + dv * (v + 0.5 - half)) / ray
                if du * du + dv * dv - squeeze * along * along > reach * reach:
                    continue
                root_a, root_b = _find(parent, c), _find(parent, grid[a, b])
                if root_a != root_b:
                    parent[max(root_a, root_b)] = min(root_a, root_b)
    names = np.full(count, -1, np.int32)
    used = 0
    for i in range(n):
        if cell_of[i] < 0:
            continue
        root = _find(parent, cell_of[i])
        if names[root] < 0:
            names[root] = used
            used += 1
        labels[i] = names[root]
    return labels


def cluster_plane(
    xy: NDArray[np.floating],
    core: NDArray[np.bool_] | None = None,
    *,
    cell_m: float = 0.25,
    limit_m: float = 120.0,
    reach_m: float = 0.6,
    spread_rad: float = 0.02,
    max_reach_m: float = 1.6,
    stretch: float = 1.0,
) -> NDArray[np.int32]:
    """Label points (N, 2), metres about the sensor; labels count from 0 in order of first appearance.

    Two cells join when their distance is at most `clip(spread_rad * range, reach_m, max_reach_m)`, along the line of
    sight `stretch` times that: on faces seen edge on, beams land far apart. Points beyond `limit_m` in x or y, and NaN,
    get -1. Points that are not `core` (default: all are) form and join no clusters: they get the label of the core
    points in their cell, or -1.
    """
    points = np.ascontiguousarray(xy, dtype=np.float64)
    if not len(points):
        return np.zeros(0, np.int32)
    points = np.where(np.isfinite(points), points, 2 * limit_m)
    everywhere = np.ones(len(points), bool) if core is None else np.ascontiguousarray(core, dtype=bool)
    return _cluster(points, everywhere, cell_m, limit_m, reach_m, spread_rad, max_reach_m, stretch)


@njit(cache=True)
def _group(labels: NDArray[np.int32], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts = np.zeros(count + 1, np.int64)
    for k in labels:
        if k >= 0:
            starts[k + 1] += 1
    for k in range(count):
        starts[k + 1] += starts[k]
    cursor = starts[:-1].copy()
    order = np.empty(starts[-1], np.int64)
    for i in range(len(labels)):
        k = labels[i]
        if k >= 0:
            order[cursor[k]] = i
            cursor[k] += 1
    return order, starts


def group_by_label(labels: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`(order, starts)`: the members of label k are `order[starts[k]:starts[k + 1]]`, in their original order."""
    count = int(labels.max()) + 1 if len(labels) else 0
    return _group(labels, count)


@njit(cache=True)
def _count_near(xy: NDArray[np.float64], cell_m: float, limit_m: float) -> NDArray[np.int32]:
    side = int(np.ceil(2 * limit_m / cell_m)) + 2  # one empty cell around
    counts = np.zeros((side, side), np.int32)
    place = np.zeros((len(xy), 2), np.int32)
    for i in range(len(xy)):
        u, v = int(np.floor((xy[i, 0] + limit_m) / cell_m)) + 1, int(np.floor((xy[i, 1] + limit_m) / cell_m)) + 1
        if 1 <= u < side - 1 and 1 <= v < side - 1:
            counts[u, v] += 1
            place[i, 0], place[i, 1] = u, v
    out = np.zeros(len(xy), np.int32)
    for i in range(len(xy)):
        u, v = place[i]
        if u > 0:
            out[i] = counts[u - 1 : u + 2, v - 1 : v + 2].sum()
    return out


def count_near(xy: NDArray[np.float64], cell_m: float = 0.25, limit_m: float = 120.0) -> NDArray[np.int32]:
    """Points (N,) in the 3 x 3 cells around each point (N, 2), itself included; 0 beyond `limit_m` in x or y."""
    return np.asarray(_count_near(np.ascontiguousarray(xy, dtype=np.float64), cell_m, limit_m))
