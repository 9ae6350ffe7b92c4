"""What the ground is made of, as a raster over the whole loop of road."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.sim.layout import KERB_M, PAVEMENT_M, half_width_m
from sensorfuse.sim.scenario import RoadConfig
from sensorfuse.sim.trajectory import Road

GRASS, ASPHALT, MARK, PAVEMENT, KERB = range(5)
REFLECT = np.array([0.38, 0.12, 0.6, 0.28, 0.32])
"""Infrared reflectivity of each material."""

_MARGIN_M = 30.0
_DASH_M, _DASH_PERIOD_M, _MARK_M = 3.0, 9.0, 0.18


@dataclass(frozen=True)
class GroundMap:
    """`material[i, j]` covers x from `x0_m + j * cell_m`, y from `y0_m + i * cell_m`; grass beyond."""

    material: NDArray[np.uint8]
    x0_m: float
    y0_m: float
    cell_m: float

    @staticmethod
    def of(config: RoadConfig, road: Road) -> GroundMap:
        """Draw the road, its marks and what borders it."""
        s = np.arange(0, road.length_m, 1.0)
        line = road.points(s)[:, :2]
        low = line.min(axis=0) - _MARGIN_M - PAVEMENT_M
        span = line.max(axis=0) + _MARGIN_M + PAVEMENT_M - low
        cell = 0.16 if config.urban else 0.24
        image = np.zeros((math.ceil(span[1] / cell), math.ceil(span[0] / cell)), np.uint8)

        def pixels(at: NDArray[np.float64], offset: float) -> NDArray[np.int32]:
            xy = road.points(at, offset)[:, :2]
            return np.round(((xy - low) / cell - 0.5) * 16).astype(np.int32)

        def band(left: float, right: float, material: int) -> None:
            cv2.fillPoly(image, [pixels(s, left), pixels(s, right)], material, shift=4)

        def dashes(offset: float) -> None:
            starts = np.arange(0, road.length_m - _DASH_M, _DASH_PERIOD_M)
            along = np.linspace(0, _DASH_M, 4)
            for start in starts:
                ring = np.vstack(
                    [pixels(start + along, offset + _MARK_M / 2), pixels(start + along, offset - _MARK_M / 2)[::-1]]
                )
                cv2.fillPoly(image, [ring], MARK, shift=4)

        edge = half_width_m(config)
        if config.urban:
            band(edge + PAVEMENT_M, -edge - PAVEMENT_M, PAVEMENT)
            band(edge + KERB_M + 0.15, -edge - KERB_M - 0.15, KERB)
            band(edge + KERB_M, -edge - KERB_M, ASPHALT)
        else:
            band(edge + 2.5, -edge - 2.5, ASPHALT)
        for side in (1, -1):
            band(side * edge + _MARK_M / 2, side * edge - _MARK_M / 2, MARK)
            for lane in range(1, config.lanes):
                dashes(side * (config.median_m / 2 + lane * config.lane_width_m))
        if config.median_m > 0:
            band(config.median_m / 2, -config.median_m / 2, GRASS)
        else:
            dashes(0.0)
        return GroundMap(image, float(low[0]), float(low[1]), cell)


@njit(cache=True, fastmath=True)
def material_at(material, x0, y0, cell, x, y):  # type: ignore[no-untyped-def]
    """The material at a place of a `GroundMap` given by its fields."""
    j, i = math.floor((x - x0) / cell), math.floor((y - y0) / cell)
    if i < 0 or j < 0 or i >= material.shape[0] or j >= material.shape[1]:
        return GRASS
    return int(material[i, j])


@njit(cache=True, fastmath=True)
def mark_share(material, x0, y0, cell, x, y):  # type: ignore[no-untyped-def]
    """How much of the surface at a place is a road mark, in [0, 1], interpolated between cells."""
    u, v = (x - x0) / cell - 0.5, (y - y0) / cell - 0.5
    j, i = math.floor(u), math.floor(v)
    if i < 0 or j < 0 or i + 1 >= material.shape[0] or j + 1 >= material.shape[1]:
        return 0.0
    fu, fv = u - j, v - i
    low = (1.0 - fu) * (material[i, j] == MARK) + fu * (material[i, j + 1] == MARK)
    high = (1.0 - fu) * (material[i + 1, j] == MARK) + fu * (material[i + 1, j + 1] == MARK)
    return (1.0 - fv) * low + fv * high
