"""A crossing: where a side road meets the loop of road, and how wide everything is there.

Local axes of a crossing: u along the loop, v to its left, from where the two centre lines meet. The side road is
straight along v and ends on both sides in a turning circle, so what drives or walks on it stays on one closed path:
the middle of its right-hand lane, which passes the crossing upwards (v grows) and downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.sim.scene.trajectory import Road

Array = NDArray[np.float64]

LANE_M = 1.625  # middle of the side road's lane from its centre line
SIDE_CYCLE_M, SIDE_KERB_M, SIDE_PAVEMENT_M = 5.2, 6.2, 9.2
"""Of the side road, from its centre line: middle of the bicycle strip, kerb, end of the pavement."""
ZEBRA_M = (6.3, 9.0)  # across the loop: |u|
STOP_LINE_M = (9.6, 10.0)  # on the loop: |u|
STAND_M, LEFT_M = 10.5, 8.5  # |u| of the front of what waits on the loop, and of the rear of what has left
SIDE_ZEBRA_M = (3.6, 6.2)  # across the side road: |v| from the edge of the loop's carriageway, as the three below
SIDE_STOP_LINE_M = (6.8, 7.2)
SIDE_STAND_M, SIDE_LEFT_M = 7.7, 5.9
WALKERS_STAND_M = 8.9  # |u| of the middle of who waits on the loop's pavement to cross the side road
SIDE_WALKERS_STAND_M = 6.2  # |v|, likewise
PAVEMENT_TRACKS_M = (0.75, 1.65)  # of who walks along the side road, from its kerb
KEEP_CLEAR_M = 20.0  # along the loop: no parked cars, no people who stand
BUILT_M = 7.9  # from the path to the end of what belongs to the side road

_NECK_M, _CIRCLE_M = 30.0, 9.0  # radii of the path before and in a turning circle
_QUEUE_M = 24.0  # straight road before the stop line
_STRAIGHT = 1 / 500  # curvature of the loop that passes as straight
_PLACES_TRIED = 60
_SPACING_M = 105.0  # between crossings, along the loop


@dataclass(frozen=True)
class Crossing:
    """`place_m` along the loop; `middle` (2,) where centre lines meet; `along` (2,) the loop's direction, `road` the
    closed path of the side road's lane.

    The path passes the middle of the crossing upwards at 0 and downwards at `downwards_m`.
    """

    place_m: float
    edge_m: float
    middle: Array
    along: Array
    road: Road
    downwards_m: float

    def world(self, uv: ArrayLike) -> Array:
        """World x, y (K, 2) of local places (K, 2)."""
        u, v = np.asarray(uv, dtype=np.float64).reshape(-1, 2).T[:, :, None]
        left = np.array([-self.along[1], self.along[0]])
        return np.asarray(self.middle + u * self.along + v * left)

    def local(self, xy: ArrayLike) -> Array:
        """Local u, v (K, 2) of world places (K, 2)."""
        away = np.asarray(xy, dtype=np.float64).reshape(-1, 2) - self.middle
        return np.column_stack([away @ self.along, away @ [-self.along[1], self.along[0]]])

    @property
    def heading(self) -> float:
        """Of the loop."""
        return float(np.arctan2(self.along[1], self.along[0]))

    def line(self) -> Array:
        """The path (n, 2) by points about 2 m apart."""
        return self.road.points(np.arange(0, self.road.length_m, 2.0))[:, :2]


def _half(straight_m: float) -> Array:
    """Local places (n, 2) of the half of the path with v >= 0."""
    turn = np.arccos((LANE_M + _NECK_M) / (_NECK_M + _CIRCLE_M))
    up = np.arange(0, straight_m, 2.0)
    a = np.linspace(0, turn, 12)[:-1]
    neck = np.column_stack([LANE_M + _NECK_M * (1 - np.cos(a)), straight_m + _NECK_M * np.sin(a)])
    b = np.linspace(-turn, np.pi + turn, 30)
    middle = straight_m + (_NECK_M + _CIRCLE_M) * np.sin(turn)
    circle = np.column_stack([_CIRCLE_M * np.cos(b), middle + _CIRCLE_M * np.sin(b)])
    right = np.vstack([np.column_stack([np.full(len(up), LANE_M), up]), neck])
    return np.vstack([right, circle, (right * [-1, 1])[::-1]])


def _length(line: Array) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def lay_crossing(loop: Road, edge_m: float, place_m: float) -> Crossing:
    """The crossing at `place_m` of a loop whose carriageway ends `edge_m` from its centre line."""
    x, y, yaw = loop.points(place_m)[0]
    along = np.array([np.cos(yaw), np.sin(yaw)])
    half = _half(edge_m + SIDE_STAND_M + _QUEUE_M)
    frame = np.array([along, [-along[1], along[0]]])
    path = np.vstack([half, -half[1:]])[:-1] @ frame + [x, y]
    # `half` begins and ends at v = 0 on either side of the centre line; the two halves join there
    return Crossing(place_m, edge_m, np.array([x, y]), along, Road.through(path), _length(half))


def lay_crossings(loop: Road, edge_m: float, count: int, rng: np.random.Generator) -> tuple[Crossing, ...] | None:
    """`count` crossings at random places where the loop is straight and there is room; None if there is none."""
    if count == 0:
        return ()
    chosen: list[Crossing] = []
    fine = loop.points(np.arange(0, loop.length_m, 3.0))[:, :2]
    places = np.arange(0, loop.length_m, 4.0)
    bend = np.abs(loop.curvature(places))
    around = np.max([np.roll(bend, k) for k in range(-7, 8)], axis=0)
    for place in rng.permutation(places[around < _STRAIGHT])[:_PLACES_TRIED]:
        if len(chosen) == count:
            break
        apart = [abs((place - c.place_m + loop.length_m / 2) % loop.length_m - loop.length_m / 2) for c in chosen]
        if min(apart, default=np.inf) < _SPACING_M:
            continue
        crossing = lay_crossing(loop, edge_m, float(place))
        line = crossing.line()
        away = line[np.abs(crossing.local(line)[:, 1]) > edge_m + SIDE_STAND_M]
        u, v = np.abs(crossing.local(fine)).T
        own = (u < edge_m + 26.0) & (v < 6.0)
        if _gap(away, fine[~own]) < edge_m + SIDE_STAND_M + BUILT_M + 2.0 or any(
            _gap(line, other.line()) < 2 * BUILT_M + 3.0 for other in chosen
        ):
            continue
        chosen.append(crossing)
    return tuple(sorted(chosen, key=lambda c: c.place_m)) if len(chosen) == count else None


def _gap(a: Array, b: Array) -> float:
    """Least distance between two sets of points."""
    return float(np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1)).min())


def near_crossing(crossings: Sequence[Crossing], loop: Road, places_m: ArrayLike, reach_m: float) -> NDArray[np.bool_]:
    """Which places (K,) along the loop are within `reach_m` of a crossing."""
    at = np.atleast_1d(np.asarray(places_m, dtype=np.float64))
    near = np.zeros(len(at), np.bool_)
    for crossing in crossings:
        away = (at - crossing.place_m + loop.length_m / 2) % loop.length_m - loop.length_m / 2
        near |= np.abs(away) < reach_m
    return near
