"""What the ground is made of, as a raster over the whole loop of road."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.sim.scenario import RoadConfig
from sensorfuse.sim.scene.crossing import (
    LANE_M,
    SIDE_KERB_M,
    SIDE_PAVEMENT_M,
    SIDE_STOP_LINE_M,
    SIDE_ZEBRA_M,
    STOP_LINE_M,
    ZEBRA_M,
    Crossing,
)
from sensorfuse.sim.scene.layout import KERB_M, PAVEMENT_M, half_width_m
from sensorfuse.sim.scene.trajectory import Road

Array = NDArray[np.float64]

GRASS, ASPHALT, MARK, PAVEMENT, KERB = range(5)
REFLECT = np.array([0.38, 0.12, 0.6, 0.28, 0.32])
"""Infrared reflectivity of each material."""

_MARGIN_M = 30.0
_DASH_M, _DASH_PERIOD_M, _MARK_M = 3.0, 9.0, 0.18
_ZEBRA_BAR_M, _ZEBRA_STEP_M = 0.5, 1.15  # what is filled grows by half a cell on each side


@dataclass(frozen=True)
class GroundMap:
    """`material[i, j]` covers x from `x0_m + j * cell_m`, y from `y0_m + i * cell_m`; grass beyond."""

    material: NDArray[np.uint8]
    x0_m: float
    y0_m: float
    cell_m: float

    @staticmethod
    def of(config: RoadConfig, road: Road, crossings: Sequence[Crossing] = ()) -> GroundMap:
        """Draw the road, its marks and what borders it, and the side roads with zebra crossings and stop lines."""
        s = np.arange(0, road.length_m, 1.0)
        line = np.vstack([road.points(s)[:, :2], *[crossing.line() for crossing in crossings]])
        low = line.min(axis=0) - _MARGIN_M - PAVEMENT_M
        span = line.max(axis=0) + _MARGIN_M + PAVEMENT_M - low
        cell = 0.16 if config.urban else 0.24
        image = np.zeros((math.ceil(span[1] / cell), math.ceil(span[0] / cell)), np.uint8)
        canvas = _Canvas(image, low, cell)

        edge = half_width_m(config)
        if config.urban:
            for outer, side_outer, material in (
                (PAVEMENT_M, SIDE_PAVEMENT_M, PAVEMENT),
                (KERB_M + 0.15, SIDE_KERB_M + 0.15, KERB),
                (KERB_M, SIDE_KERB_M, ASPHALT),
            ):
                canvas.band(road, s, edge + outer, -edge - outer, material)
                for crossing in crossings:
                    along = np.arange(0, crossing.road.length_m, 0.5)
                    canvas.fill([crossing.road.points(along, LANE_M - side_outer)[:, :2]], material)
        else:
            canvas.band(road, s, edge + 2.5, -edge - 2.5, ASPHALT)
        for side in (1, -1):
            canvas.band(road, s, side * edge + _MARK_M / 2, side * edge - _MARK_M / 2, MARK)
            for lane in range(1, config.lanes):
                canvas.dashes(road, side * (config.median_m / 2 + lane * config.lane_width_m))
        if config.median_m > 0:
            canvas.band(road, s, config.median_m / 2, -config.median_m / 2, GRASS)
        else:
            canvas.dashes(road, 0.0)
        for crossing in crossings:
            _mark_crossing(canvas, crossing, config.median_m)
        return GroundMap(image, float(low[0]), float(low[1]), cell)


@dataclass(frozen=True)
class _Canvas:
    """Draws outlines in world coordinates into a raster that begins at `low`."""

    image: NDArray[np.uint8]
    low: Array
    cell: float

    def fill(self, rings: list[Array], material: int) -> None:
        """Rings (n, 2), by the even-odd rule."""
        pixels = [np.round(((ring - self.low) / self.cell - 0.5) * 16).astype(np.int32) for ring in rings]
        cv2.fillPoly(self.image, pixels, material, shift=4)

    def band(self, road: Road, s: Array, left: float, right: float, material: int) -> None:
        self.fill([road.points(s, left)[:, :2], road.points(s, right)[:, :2]], material)

    def dashes(self, road: Road, offset: float) -> None:
        along = np.linspace(0, _DASH_M, 4)
        for start in np.arange(0, road.length_m - _DASH_M, _DASH_PERIOD_M):
            left = road.points(start + along, offset + _MARK_M / 2)[:, :2]
            right = road.points(start + along, offset - _MARK_M / 2)[::-1, :2]
            self.fill([np.vstack([left, right])], MARK)


def _mark_crossing(canvas: _Canvas, crossing: Crossing, median_m: float) -> None:
    """Zebra crossings, stop lines and the side road's middle line; the loop's own marks end at the stop lines."""
    edge = crossing.edge_m
    kerb, stop = edge + KERB_M, STOP_LINE_M[1]

    def box(u: tuple[float, float], v: tuple[float, float], material: int) -> None:
        canvas.fill([crossing.world([(u[0], v[0]), (u[1], v[0]), (u[1], v[1]), (u[0], v[1])])], material)

    box((-stop, stop), (-edge - 0.3, edge + 0.3), ASPHALT)
    for side in (1, -1):  # in the direction of who stops here the crossing lies behind the line
        for v in np.arange(-kerb + 0.4, kerb - 0.4, _ZEBRA_STEP_M):
            box((side * ZEBRA_M[0], side * ZEBRA_M[1]), (v, v + _ZEBRA_BAR_M), MARK)
        box((side * STOP_LINE_M[0], side * STOP_LINE_M[1]), (side * median_m / 2 + side * 0.15, side * edge), MARK)
        for u in np.arange(-SIDE_KERB_M + 0.3, SIDE_KERB_M - 0.4, _ZEBRA_STEP_M):
            band = side * (edge + SIDE_ZEBRA_M[0]), side * (edge + SIDE_ZEBRA_M[1])
            box((u, u + _ZEBRA_BAR_M), band, MARK)
        line = side * (edge + SIDE_STOP_LINE_M[0]), side * (edge + SIDE_STOP_LINE_M[1])
        box((-side * 0.15, -side * (2 * LANE_M)), line, MARK)
        for start in np.arange(edge + SIDE_STOP_LINE_M[1] + 1.0, edge + SIDE_STOP_LINE_M[1] + 25.0, _DASH_PERIOD_M):
            box((-_MARK_M / 2, _MARK_M / 2), (side * start, side * (start + _DASH_M)), MARK)
        for away in (-1, 1):  # edge of the bicycle strip
            u = away * 2 * LANE_M
            box((u - _MARK_M / 2, u + _MARK_M / 2), (line[1], side * (edge + SIDE_STOP_LINE_M[1] + 22.0)), MARK)


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
