"""Ground removal for spinning LiDARs: a robust plane, then the local ground along each sector.

The lowest return of every cell of a polar grid is a candidate. A plane is fitted to the candidates by iterated least
squares with a shrinking gate, which fog, rain and walls (candidates above the ground) do not pull. Along each sector
the local ground then follows the candidates outward from the plane, within a slope limit, as in the line-wise methods
of Himmelsbach et al. 2010 (Fast segmentation of 3D point clouds for ground vehicles).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroundConfig:
    """Cell sizes, and how far the ground may rise."""

    sectors: int = 90
    cell_m: float = 1.5
    max_range_m: float = 80.0
    max_slope: float = 0.12  # of the plane, and of the local ground against the plane
    plane_range_m: float = 30.0  # the plane is fitted out to here
    start_gate_m: float = 0.6
    end_gate_m: float = 0.15


@njit(cache=True)
def _cell_index(
    points: Array, ox: float, oy: float, sectors: int, cell_m: float, cells: int
) -> tuple[NDArray[np.int64], Array]:
    index = np.empty(len(points), np.int64)
    lowest = np.full(sectors * cells, np.inf)
    for i in range(len(points)):
        dx, dy = points[i, 0] - ox, points[i, 1] - oy
        s = int((np.arctan2(dy, dx) + np.pi) / (2 * np.pi) * sectors)
        c = int(np.sqrt(dx * dx + dy * dy) / cell_m)
        s, c = min(s, sectors - 1), min(c, cells - 1)
        index[i] = s * cells + c
        lowest[index[i]] = min(lowest[index[i]], points[i, 2])
    return index, lowest


@njit(cache=True)
def _local_ground(
    lowest: Array, plane: Array, xy: Array, sectors: int, cells: int, cell_m: float, max_slope: float
) -> Array:
    ground = np.empty(sectors * cells)
    for s in range(sectors):
        offset = 0.0  # of the local ground above the plane
        gap = 1.0
        for c in range(cells):
            k = s * cells + c
            level = plane[0] + plane[1] * xy[k, 0] + plane[2] * xy[k, 1]
            rise = lowest[k] - level - offset
            reach = 0.12 + max_slope * cell_m * gap
            if abs(rise) <= reach:
                offset += 0.6 * rise
                gap = 1.0
            else:
                gap = min(gap + 1.0, 4.0)
            ground[k] = level + offset
    return ground


def fit_plane(xyz: Array, start_z: float, config: GroundConfig) -> Array:
    """`(c, a, b)` of z = c + a x + b y through the candidates (N, 3), robustly, starting level at `start_z`."""
    plane = np.array([start_z, 0.0, 0.0])
    for gate in np.geomspace(config.start_gate_m, config.end_gate_m, 5):
        residual = xyz[:, 2] - (plane[0] + xyz[:, :2] @ plane[1:])
        near = xyz[np.abs(residual) < gate]
        if len(near) < 12:
            break
        design = np.column_stack([np.ones(len(near)), near[:, :2]])
        regular = np.diag([1e-6, 25.0, 25.0])  # a level ground unless the candidates spread far enough to say otherwise
        plane = np.linalg.solve(design.T @ design + regular, design.T @ near[:, 2])
        plane[1:] = np.clip(plane[1:], -config.max_slope, config.max_slope)
    return plane


def height_above_ground(
    points: NDArray[np.floating], sensor_xyz: NDArray[np.floating], config: GroundConfig | None = None
) -> Array:
    """Height (N,) of each point over the local ground, metres; points (N, 3) are finite and level (base_link axes).

    `sensor_xyz` is the sensor's position: cells are polar about it, and ground lies at least 0.3 m below it. Without
    enough candidates the ground is the plane z = 0.
    """
    config = config or GroundConfig()
    cloud = np.ascontiguousarray(points, dtype=np.float64)
    sensor = np.asarray(sensor_xyz, dtype=np.float64)
    cells = int(np.ceil(config.max_range_m / config.cell_m))
    index, lowest = _cell_index(cloud, sensor[0], sensor[1], config.sectors, config.cell_m, cells)
    middle = (np.arange(cells) + 0.5) * config.cell_m
    azimuth = (np.arange(config.sectors) + 0.5) / config.sectors * 2 * np.pi - np.pi
    xy = (
        np.stack([np.outer(np.cos(azimuth), middle), np.outer(np.sin(azimuth), middle)], -1).reshape(-1, 2) + sensor[:2]
    )
    usable = np.isfinite(lowest) & (lowest < sensor[2] - 0.3) & (np.tile(middle, config.sectors) < config.plane_range_m)
    plane = np.zeros(3)
    if usable.sum() >= 12:
        z = lowest[usable]
        edges = np.arange(z.min() - 0.1, z.max() + 0.4, 0.2)
        counts = np.convolve(np.histogram(z, edges)[0], np.ones(2), "same")  # 0.4 m windows in 0.2 m steps
        start = edges[int(np.argmax(counts))]
        plane = fit_plane(np.column_stack([xy[usable], z]), float(start), config)
    ground = _local_ground(lowest, plane, xy, config.sectors, cells, config.cell_m, config.max_slope)
    slope = plane[1:] @ (cloud[:, :2] - xy[index]).T  # the cell's level, tilted with the plane within the cell
    return cloud[:, 2] - ground[index] - slope
