"""What stands beside the road for good: houses, trees, lamp posts, guard rails."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sim.scenario import RoadConfig
from sensorfuse.sim.scene.crossing import BUILT_M, LANE_M, SIDE_KERB_M, SIDE_PAVEMENT_M, Crossing
from sensorfuse.sim.scene.layout import GUARD_RAIL_M, HOUSES_M, KERB_M, half_width_m
from sensorfuse.sim.scene.shapes import (
    BOX,
    COS,
    CYLINDER,
    FOLIAGE,
    HOUSE,
    HX,
    HY,
    KIND,
    PLAIN,
    SIN,
    TEXTURE,
    Rgb,
    X,
    Y,
    part,
)
from sensorfuse.sim.scene.street_furniture import furnish
from sensorfuse.sim.scene.trajectory import Road

Array = NDArray[np.float64]

WALLS: tuple[Rgb, ...] = (
    (176, 120, 96),
    (196, 186, 164),
    (150, 150, 150),
    (204, 196, 188),
    (128, 96, 80),
    (170, 160, 120),
)


def _placed(row: Array, at: Array, turned_rad: float = 0.0) -> Array:
    """A part put at a place x, y, heading."""
    yaw = at[2] + turned_rad
    row[X], row[Y], row[COS], row[SIN] = at[0], at[1], np.cos(yaw), np.sin(yaw)
    return row


def _clear(row: Array, line: Array, distance_m: float) -> bool:
    """Whether a part keeps clear of a line (n, 2) by `distance_m`, by its outline for boxes."""
    dx, dy = line[:, 0] - row[X], line[:, 1] - row[Y]
    u, v = np.abs(row[COS] * dx + row[SIN] * dy), np.abs(row[COS] * dy - row[SIN] * dx)
    return bool(np.hypot(np.maximum(u - row[HX], 0), np.maximum(v - row[HY], 0)).min() > distance_m)


def _house(rng: np.random.Generator, width: float, depth: float, height: float) -> Array:
    wall = np.array(WALLS[rng.integers(len(WALLS))]) + rng.normal(0, 10, 3)
    colour = (float(wall[0]), float(wall[1]), float(wall[2]))
    return part(
        BOX, (0, 0, height / 2), (width / 2, depth / 2, height / 2), colour, HOUSE, rng.uniform(0.25, 0.5), rng.random()
    )


def _tree(rng: np.random.Generator) -> list[Array]:
    trunk, height = rng.uniform(1.8, 2.8), rng.uniform(4.5, 8.0)
    radius, green = rng.uniform(1.0, 1.9), rng.uniform(70, 115)
    return [
        part(CYLINDER, (0, 0, trunk / 2), (0.16, 0.16, trunk / 2), (88, 66, 48), PLAIN, 0.3),
        part(
            CYLINDER, (0, 0, (trunk + height) / 2), (radius, radius, (height - trunk) / 2),
            (green * 0.55, green, green * 0.4),
            FOLIAGE, 0.45, rng.random(),
        ),
    ]  # fmt: skip


def _urban(road: Road, edge: float, line: Array, rng: np.random.Generator) -> list[Array]:
    rows: list[Array] = []
    for side in (1, -1):
        place = rng.uniform(0, 10)
        while place < road.length_m - 10:
            width, depth, height = rng.uniform(9, 24), rng.uniform(8, 14), rng.uniform(4, 16)
            setback = HOUSES_M + rng.uniform(0, 1) ** 2 * 9
            at = road.points(place + width / 2, side * (edge + setback + depth / 2))[0]
            house = _placed(_house(rng, width, depth, height), at)
            if rng.random() < 0.8 and _clear(house, line, edge + HOUSES_M - 0.3):
                rows.append(house)
            place += width + (rng.uniform(5, 18) if rng.random() < 0.4 else rng.uniform(0.3, 2))
        lamp = rng.uniform(0, 20)
        for place in np.arange(lamp, road.length_m - 6, 26.0):
            at = road.points(place, side * (edge + KERB_M + 0.35))[0]
            rows.append(_placed(part(CYLINDER, (0, 0, 3.5), (0.09, 0.09, 3.5), (92, 94, 98), PLAIN, 0.5), at))
            if rng.random() < 0.6:
                at = road.points(place + 13, side * (edge + KERB_M + 0.4))[0]
                rows.extend(_placed(p, at) for p in _tree(rng)[: 2 if rng.random() < 0.8 else 1])
    return rows


def _rural(road: Road, edge: float, line: Array, rng: np.random.Generator, median_m: float) -> list[Array]:
    rows: list[Array] = []
    rails = [edge + GUARD_RAIL_M, -edge - GUARD_RAIL_M] + ([0.0] if median_m > 1 else [])
    for offset in rails:
        for place in np.arange(0, road.length_m, 12.0):
            at = road.points(place, offset)[0]
            step = 6.05 * (1 + abs(offset) * 0.006)  # neighbours overlap on the outer side of a bend
            rows.append(_placed(part(BOX, (0, 0, 0.55), (step, 0.06, 0.2), (168, 170, 172), PLAIN, 0.6), at))
    for side in (1, -1):
        place = 0.0
        while place < road.length_m:
            at = road.points(place, side * (edge + 5.5 + rng.exponential(9)))[0]
            tree = [_placed(p, at) for p in _tree(rng)]
            if _clear(tree[0], line, edge + 5):
                rows.extend(tree)
            place += rng.exponential(14)
    for _ in range(int(road.length_m / 250)):
        at = road.points(rng.uniform(0, road.length_m), rng.choice([-1, 1]) * (edge + rng.uniform(28, 50)))[0]
        house = _placed(
            _house(rng, rng.uniform(10, 40), rng.uniform(8, 25), rng.uniform(5, 10)), at, rng.uniform(0, np.pi)
        )
        if _clear(house, line, edge + 12):
            rows.append(house)
    return rows


def _side_houses(crossing: Crossing, line: Array, houses: list[Array], rng: np.random.Generator) -> list[Array]:
    """Houses along a side road and round its ends, clear of all roads (`line`) and of each other."""
    rows: list[Array] = []
    place = 0.0
    while place < crossing.road.length_m:
        width, depth, height = rng.uniform(9, 18), rng.uniform(8, 13), rng.uniform(4, 14)
        out = LANE_M - (SIDE_PAVEMENT_M + 0.8 + rng.uniform(0, 1) ** 2 * 5 + depth / 2)
        house = _placed(_house(rng, width, depth, height), crossing.road.points(place + width / 2, out)[0])
        clear = _clear(house, line, crossing.edge_m + HOUSES_M) and _off_side_road(house, crossing)
        if clear and all(_apart(house, other) for other in [*houses, *rows]):
            rows.append(house)
        place += width * 0.5
    return rows


def _apart(a: Array, b: Array) -> bool:
    """Whether two boxes keep half a metre between them, by the separating axes of their outlines."""
    for one, other in ((a, b), (b, a)):
        dx, dy = other[X] - one[X], other[Y] - one[Y]
        cos = abs(one[COS] * other[COS] + one[SIN] * other[SIN])
        sin = abs(one[COS] * other[SIN] - one[SIN] * other[COS])
        along, across = one[COS] * dx + one[SIN] * dy, one[COS] * dy - one[SIN] * dx
        if abs(along) > one[HX] + cos * other[HX] + sin * other[HY] + 0.5:
            return True
        if abs(across) > one[HY] + sin * other[HX] + cos * other[HY] + 0.5:
            return True
    return False


def _off_side_road(row: Array, crossing: Crossing) -> bool:
    """Whether what stands beside the road leaves a side road and its pavements free, and the view at the corner."""
    u, v = np.abs(crossing.local(row[[X, Y]])[0])
    wide = row[HX] if row[KIND] == CYLINDER else 0.0
    if u < SIDE_KERB_M + 6.0 and v < crossing.edge_m + HOUSES_M and row[KIND] == CYLINDER:
        return False
    return _clear(row, crossing.line(), BUILT_M + wide)


def surround(config: RoadConfig, road: Road, crossings: Sequence[Crossing], rng: np.random.Generator) -> Array:
    """Parts (P, COLUMNS) of everything that stands beside the road and its side roads, without traffic lights."""
    edge = half_width_m(config)
    line = road.points(np.arange(0, road.length_m, 3.0))[:, :2]
    rows = _urban(road, edge, line, rng) if config.urban else _rural(road, edge, line, rng, config.median_m)
    if crossings:
        rows = [row for row in rows if all(_off_side_road(row, c) for c in crossings)]
        for crossing in crossings:
            others = np.vstack([line, *[c.line() for c in crossings if c is not crossing]])
            houses = [row for row in rows if row[TEXTURE] == HOUSE]
            rows.extend(_side_houses(crossing, others, houses, rng))
        rows.extend(furnish(road, edge, crossings, rng))
    return np.stack(rows)
