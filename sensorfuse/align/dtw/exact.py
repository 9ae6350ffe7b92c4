"""Exact DTW of two series: distance and path.

Convention: the distance is the square root of the least sum, over a path, of squared Euclidean differences, as
dtaidistance and tslearn have it. Sums run over the channels of a cell (dependent, DTW-D: one warp for all, right for
one rigid body) or each channel has its own warp (independent, DTW-I: square root of the sum of the squared distances
of the channels, never more than DTW-D) (Shokoohi-Yekta et al., 2017).

A pair with a missing value costs its channel's mean squared difference over all pairs: neither a match nor a fault.
"""

from __future__ import annotations

import threading
from math import inf, isnan, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.align.dtw.band import reach_of
from sensorfuse.align.dtw.series import (
    Floats,
    as_pair,
    as_series,
    check_channels,
    cost_of_missing,
    features,
    shaped,
)
from sensorfuse.align.dtw.solve import least_path, least_total
from sensorfuse.errors import SensorfuseError

WARPS = ("dependent", "independent")
SMALL_TABLE = 400_000  # entries, 3.2 MB: below it, keeping all is faster than computing some again
NO_GAPS = np.empty(0)


class _Room(threading.local):
    """A table for paths, one per thread: taking a new one from the system costs more than a short path."""

    def __init__(self) -> None:
        self.table = np.empty(SMALL_TABLE)


_room = _Room()


class Alignment(NamedTuple):
    """A distance and the path that has it: (length, 2) indices into x and y, from (0, 0) to (n - 1, m - 1)."""

    distance: float
    path: NDArray[np.int64]


def distance(
    x: ArrayLike,
    y: ArrayLike,
    *,
    band: int | None = None,
    cost: str = "value",
    half_window: int = 5,
    warp: str = "dependent",
    max_distance: float = inf,
) -> float:
    """DTW distance of x (n,) or (n, d) and y (m,) or (m, d), in their unit.

    band: Sakoe-Chiba half width in samples of the shorter series (see `band`), None for the whole table.
    cost: "value"; "derivative" (Keogh and Pazzani, 2001); "shape", the mean over `half_window` samples on either side.
    warp: "dependent" or "independent" channels.
    max_distance: infinity is returned, early, where the distance is larger.

    O((n + m) w) time and O(n + m) memory. Raises SensorfuseError for bad series, an unknown option, a negative limit.
    """
    first, second = _compared(x, y, cost, half_window)
    if warp not in WARPS:
        raise SensorfuseError(f"warp is {warp!r}; choose one of {', '.join(WARPS)}")
    if not max_distance >= 0:
        raise SensorfuseError(f"max_distance is {max_distance!r}; give zero or more")
    reach = reach_of(band, len(first), len(second))
    limit = float(max_distance) ** 2
    if warp == "dependent":
        return sqrt(_total(first, second, reach, limit))
    total = 0.0
    per_channel = first.shape[1] // (2 * half_window + 1) if cost == "shape" else first.shape[1]
    for columns in np.split(np.arange(first.shape[1]), per_channel):
        total += _total(_plain(first[:, columns]), _plain(second[:, columns]), reach, limit - total)
    return sqrt(total)


def align(
    x: ArrayLike, y: ArrayLike, *, band: int | None = None, cost: str = "value", half_window: int = 5
) -> Alignment:
    """DTW-D distance and path of x (n,) or (n, d) and y (m,) or (m, d); options as in `distance`.

    The path is monotone, its steps are (1, 1), (1, 0) or (0, 1), and the summed cost along it is distance^2. Memory is
    O((n + m) sqrt(n + m)), no table. Raises SensorfuseError as `distance`.
    """
    first, second = _compared(x, y, cost, half_window)
    n, m = len(first), len(second)
    reach = reach_of(band, n, m)
    path: NDArray[np.int64] = np.empty((n + m - 1, 2), dtype=np.int64)
    total, start = least_path(first, second, NO_GAPS, reach, _room.table, path)
    if isnan(total):
        total, start = least_path(first, second, _missing(first, second), reach, _room.table, path)
    return Alignment(sqrt(total), path[start:])


def _compared(x: ArrayLike, y: ArrayLike, cost: str, half_window: int) -> tuple[Floats, Floats]:
    if cost == "value":
        # Values are looked at by the kernels.
        first, second = shaped(x, "x"), shaped(y, "y")
        check_channels(first, second)
    else:
        first, second = as_pair(x, y)
        first, second = features(first, cost, half_window), features(second, cost, half_window)
    return _plain(first), _plain(second)


def _plain(series: Floats) -> Floats:
    """The series as the kernels are compiled for: in order, and not marked as read-only."""
    return series if series.flags.carray else series.copy()


def _missing(x: Floats, y: Floats) -> Floats:
    return cost_of_missing(as_series(x, "x"), as_series(y, "y"))


def _total(x: Floats, y: Floats, reach: int, limit: float) -> float:
    # A rounding error of the square must not turn a distance that equals the limit away.
    allowed = limit * (1 + 1e-12)
    total = least_total(x, y, NO_GAPS, reach, allowed)
    return least_total(x, y, _missing(x, y), reach, allowed) if isnan(total) else total
