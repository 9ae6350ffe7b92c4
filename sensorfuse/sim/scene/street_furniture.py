"""What stands at crossings and along their streets: traffic lights, signs, bollards, benches, bins, hedges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sim.scene.crossing import (
    KEEP_CLEAR_M,
    LANE_M,
    SIDE_KERB_M,
    SIDE_PAVEMENT_M,
    SIDE_STOP_LINE_M,
    SIDE_ZEBRA_M,
    STOP_LINE_M,
    ZEBRA_M,
    Crossing,
    near_crossing,
)
from sensorfuse.sim.scene.layout import HOUSES_M, KERB_M, PAVEMENT_M
from sensorfuse.sim.scene.shapes import BOX, COS, CYLINDER, FOLIAGE, LAMP, PLAIN, SIN, Rgb, X, Y, part
from sensorfuse.sim.scene.traffic_light import AMBER, GREEN, RED
from sensorfuse.sim.scene.trajectory import Road

Array = NDArray[np.float64]

STEEL: Rgb = (104, 106, 110)
SIGNS: tuple[Rgb, ...] = ((196, 30, 34), (30, 80, 170), (236, 200, 40), (232, 232, 232))
LIT = np.array([(255.0, 40.0, 30.0), (255.0, 190.0, 40.0), (50.0, 235.0, 120.0)])
"""Colours of lamps that shine: RED, AMBER, GREEN."""
DARK: Rgb = (34, 32, 30)


class Lamp(NamedTuple):
    """Which light a row of the static table is: its crossing, whose it is, its colour."""

    row: int
    crossing: int
    side_road: bool
    colour: int


def placed(rows: list[Array], x: float, y: float, yaw: float) -> list[Array]:
    """Parts that are given relative to a place, put there."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    for row in rows:
        u, v = row[X], row[Y]
        row[X], row[Y] = x + cos * u - sin * v, y + sin * u + cos * v
        row[COS], row[SIN] = cos, sin
    return rows


def _light() -> list[Array]:
    """A pole with a signal head; x points the way that traffic drives, which sees the lamps on the rear."""
    rows = [
        part(CYLINDER, (0, 0, 1.7), (0.07, 0.07, 1.7), STEEL, PLAIN, 0.45),
        part(BOX, (0, 0, 2.9), (0.11, 0.17, 0.5), (28, 30, 32), PLAIN, 0.2),
    ]
    rows.extend(part(BOX, (-0.14, 0, 3.22 - 0.32 * k), (0.03, 0.12, 0.12), DARK, LAMP, 0.3) for k in range(3))
    return rows


def traffic_lights(crossings: Sequence[Crossing], first_row: int) -> tuple[list[Array], list[Lamp]]:
    """Four lights per crossing, each beside its stop line; the table of all static parts has `first_row` before."""
    rows: list[Array] = []
    lamps: list[Lamp] = []
    for c, crossing in enumerate(crossings):
        edge = crossing.edge_m
        corner = -STOP_LINE_M[0], -edge - KERB_M - 0.4
        side_corner = SIDE_KERB_M + 0.15, -edge - SIDE_STOP_LINE_M[0]
        for side_road, (u, v), turned in ((False, corner, 0.0), (True, side_corner, np.pi / 2)):
            for sign in (1, -1):
                x, y = crossing.world([(sign * u, sign * v)])[0]
                yaw = crossing.heading + turned + (0.0 if sign > 0 else np.pi)
                start = first_row + len(rows) + 2
                lamps.extend(Lamp(start + k, c, side_road, k) for k in (RED, AMBER, GREEN))
                rows.extend(placed(_light(), float(x), float(y), yaw))
    return rows, lamps


def _sign(rng: np.random.Generator) -> list[Array]:
    colour = SIGNS[rng.integers(len(SIGNS))]
    pole = part(CYLINDER, (0, 0, 1.3), (0.035, 0.035, 1.3), STEEL, PLAIN, 0.5)
    return [pole, part(BOX, (-0.05, 0, 2.35), (0.015, 0.3, 0.3), colour, PLAIN, 0.9)]


def _bench() -> list[Array]:
    wood = (120.0, 84.0, 52.0)
    return [
        part(BOX, (0, 0, 0.42), (0.8, 0.22, 0.05), wood, PLAIN, 0.35),
        part(BOX, (0, -0.22, 0.68), (0.8, 0.03, 0.2), wood, PLAIN, 0.35),
        part(BOX, (0, 0, 0.18), (0.6, 0.18, 0.18), (52, 52, 54), PLAIN, 0.3),
    ]


def _bin() -> list[Array]:
    return [part(CYLINDER, (0, 0, 0.45), (0.22, 0.22, 0.45), (48, 74, 58), PLAIN, 0.3)]


def _hedge(rng: np.random.Generator, length: float) -> list[Array]:
    green, height = rng.uniform(70, 110), rng.uniform(0.8, 1.6)
    colour = (green * 0.5, green, green * 0.4)
    return [part(BOX, (0, 0, height / 2), (length / 2, 0.35, height / 2), colour, FOLIAGE, 0.45, rng.random())]


def _bollards(crossing: Crossing) -> list[Array]:
    """At the corners, between the two zebra crossings."""
    rows: list[Array] = []
    edge = crossing.edge_m
    for su in (1, -1):
        for sv in (1, -1):
            for u, v in ((SIDE_KERB_M + 0.2, edge + KERB_M + 0.3), (ZEBRA_M[1] + 0.6, edge + KERB_M + 0.3)):
                x, y = crossing.world([(su * u, sv * v)])[0]
                rows.extend(
                    placed(
                        [part(CYLINDER, (0, 0, 0.45), (0.06, 0.06, 0.45), (70, 72, 76), PLAIN, 0.4)],
                        float(x), float(y), crossing.heading,
                    )
                )  # fmt: skip
    return rows


def furnish(road: Road, edge_m: float, crossings: Sequence[Crossing], rng: np.random.Generator) -> list[Array]:
    """Signs at the kerb, benches, bins and hedges beyond the pavement, of the loop and of the side roads."""
    rows: list[Array] = []
    for side in (1, -1):
        place = rng.uniform(0, 15)
        while place < road.length_m - 10:
            if not near_crossing(crossings, road, place, KEEP_CLEAR_M)[0]:
                kind = rng.random()
                kerb, back = edge_m + KERB_M, edge_m + PAVEMENT_M
                if kind < 0.4:
                    at, what = kerb + 0.3, _sign(rng)
                elif kind < 0.6:
                    at, what = back + 0.4, _bench()
                elif kind < 0.8:
                    at, what = kerb + 0.35, _bin()
                else:
                    at, what = back + 0.45, _hedge(rng, rng.uniform(2.0, 5.0))
                x, y, yaw = road.points(place, side * at)[0]
                rows.extend(placed(what, float(x), float(y), float(yaw if side < 0 else yaw + np.pi)))
            place += rng.exponential(16.0) + 6.0
    for crossing in crossings:
        rows.extend(_bollards(crossing))
        begin = edge_m + HOUSES_M + SIDE_ZEBRA_M[1]
        for start in (0.0, crossing.downwards_m):
            for place in start + begin + np.array([0.0, 9.0, 18.0]) + rng.uniform(0, 4, 3):
                out = LANE_M - (SIDE_KERB_M + 0.15 if rng.random() < 0.5 else SIDE_PAVEMENT_M + 0.45)
                what = _sign(rng) if out > LANE_M - SIDE_PAVEMENT_M else _hedge(rng, rng.uniform(2.0, 5.0))
                x, y, yaw = crossing.road.points(place, out)[0]
                rows.extend(placed(what, float(x), float(y), float(yaw)))
    return rows
