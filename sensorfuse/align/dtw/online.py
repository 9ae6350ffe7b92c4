"""Online time warping: where in a known series a live one is, in time and memory that do not grow.

Dixon, "Live Tracking of Musical Performances Using On-Line Time Warping", DAFx 2005. A band of `search` cells is kept
along the newest row (live) and the newest column (reference). The least cost per step on that frontier says which of
the two goes on; neither may go on alone more than `max_run` times in a row. A diagonal step counts its cost twice.

For its first `search` samples it goes along the diagonal, as published: there it lags behind a faster replay. Fast and
without look-ahead, so a wrong turn is only corrected by what follows. Use it to follow a replay; for offsets
use the lag path.
"""

from __future__ import annotations

from math import inf, isinf

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sensorfuse.align.dtw.series import Floats, as_series, channels_first, cost_of_missing, whole_number
from sensorfuse.errors import SensorfuseError

MAX_RUN = 3
BOTH, LIVE, REFERENCE = 0, 1, 2
LINE_SEARCHES = 4  # length of the lines, in searches


# The newest row and column are windows in longer lines: entry k of the row is reference sample k + row_zero, that of
# the column live sample k + column_zero. When a line is full its last `search` entries move to its front.


@njit(cache=True, nogil=True)
def _costs(sample: Floats, series: Floats, first: int, missing: Floats, costs: Floats) -> None:
    """Squared differences of a sample (d,) and series[:, first : first + len(costs)], summed over channels."""
    for c in range(len(sample)):
        value, price = sample[c], missing[c]
        against = series[c, first : first + len(costs)]
        for k in range(len(costs)):
            step = value - against[k]
            squared = step * step
            squared = squared if squared == squared else price
            costs[k] = squared if c == 0 else costs[k] + squared


@njit(cache=True, nogil=True)
def _extend(line: Floats, costs: Floats, bests: Floats) -> None:
    """The next row or column in place, line and costs along the same window; a diagonal step counts twice."""
    n = len(line)
    bests[0] = line[0] + costs[0]
    previous, following, cost, best = line[: n - 1], line[1:], costs[1:], bests[1:n]
    for k in range(n - 1):
        corner = previous[k] + 2 * cost[k]
        side = following[k] + cost[k]
        best[k] = corner if corner < side else side
    last = np.inf
    for k in range(n):
        along = last + costs[k]
        last = along if along < bests[k] else bests[k]
        line[k] = last


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _least(line: Floats, steps: int, per_step: Floats) -> int:
    """Index of the least cost per step, where entry k has steps + k steps."""
    least = np.inf
    for k in range(len(line)):
        value = line[k] / (steps + k)
        per_step[k] = value
        least = value if value < least else least
    for k in range(len(line)):
        if per_step[k] <= least:
            return k
    return 0


@njit(cache=True, nogil=True)
def _follow(
    sample: Floats,
    state: np.ndarray,
    live: Floats,
    reference: Floats,
    missing: Floats,
    row: Floats,
    column: Floats,
    scratch: Floats,
    max_run: int,
    search: int,
) -> int:
    """Take a live sample; returns the reference index of the least cost per step on the newest row.

    state = (t, j, direction, run, row_zero, column_zero); live (d, L) has the column's window, reference (d, m).
    """
    m = reference.shape[1]
    t, j, previous, run, row_zero, column_zero = state
    t += 1
    if t - column_zero == len(column):
        column[:search] = column[len(column) - search :]
        live[:, :search] = live[:, live.shape[1] - search :]
        column_zero = t - search
    live[:, t - column_zero] = sample
    if t == 0:
        j = 0
        first = 0.0
        for c in range(len(sample)):
            step = sample[c] - reference[c, 0]
            first += step * step if step == step else missing[c]
        row[0] = column[0] = 2 * first
    else:
        low = max(0, j - search + 1)
        window, costs = row[low - row_zero : j + 1 - row_zero], scratch[0, : j + 1 - low]
        _costs(sample, reference, low, missing, costs)
        _extend(window, costs, scratch[1])
        column[t - column_zero] = row[j - row_zero]
    while True:
        row_low, column_low = max(0, j - search + 1), max(0, t - search + 1)
        at_j = row_low + _least(row[row_low - row_zero : j + 1 - row_zero], t + row_low + 2, scratch[1])
        # A new sample is the only way to a new row; in between only the reference goes on.
        if t < search and j <= t:
            turn = BOTH
        elif run >= max_run and previous != BOTH:
            turn = REFERENCE if previous == LIVE else LIVE
        else:
            window = column[column_low - column_zero : t + 1 - column_zero]
            at_t = column_low + _least(window, column_low + j + 2, scratch[1])
            on_row = row[at_j - row_zero] / (t + at_j + 2)
            on_column = column[at_t - column_zero] / (at_t + j + 2)
            turn = REFERENCE if on_column < on_row else (LIVE if at_j < j else BOTH)
        run = run + 1 if turn == previous else 1
        if turn != BOTH:
            previous = turn
        if turn != LIVE and j + 1 < m:
            j += 1
            if j - row_zero == len(row):
                row[:search] = row[len(row) - search :]
                row_zero = j - search
            window, costs = column[column_low - column_zero : t + 1 - column_zero], scratch[0, : t + 1 - column_low]
            _costs(reference[:, j], live, column_low - column_zero, missing, costs)
            _extend(window, costs, scratch[1])
            row[j - row_zero] = column[t - column_zero]
        if turn != REFERENCE or j + 1 == m:
            break
    state[0], state[1], state[2], state[3], state[4], state[5] = t, j, previous, run, row_zero, column_zero
    return at_j


class OnlineWarp:
    """Follows a live series through a reference (m,) or (m, d), O(search d) time per sample and O(search) memory.

    search: half of the frontier, in samples: how far the two may run apart before the warp cannot follow.

    Raises SensorfuseError for a bad reference, or a search of less than two samples.
    """

    def __init__(self, reference: ArrayLike, search: int = 200, max_run: int = MAX_RUN) -> None:
        series = as_series(reference, "reference")
        self.search = whole_number(search, "search", 2)
        self.max_run = whole_number(max_run, "max_run", 1)
        self._reference = channels_first(series)
        self._missing = cost_of_missing(series, series)
        length = LINE_SEARCHES * self.search
        self._live = np.zeros((series.shape[1], length))
        self._row = np.full(length, inf)
        self._column = np.full(length, inf)
        self._scratch = np.empty((2, self.search))
        self._state: NDArray[np.int64] = np.array([-1, -1, BOTH, 0, 0, 0], dtype=np.int64)

    def push(self, sample: ArrayLike) -> int:
        """Take one live sample, a number or (d,), and return the reference index that it is at.

        Raises SensorfuseError for another number of channels or an infinite value; NaN is a missing value.
        """
        values = np.asarray(sample, dtype=np.float64).reshape(-1)
        if len(values) != self._live.shape[0]:
            raise SensorfuseError(f"the sample has {len(values)} channels, the reference {self._live.shape[0]}")
        if any(map(isinf, values.tolist())):
            raise SensorfuseError(f"live sample {self.num_samples} is infinite; mark missing values with NaN")
        return int(
            _follow(
                values,
                self._state,
                self._live,
                self._reference,
                self._missing,
                self._row,
                self._column,
                self._scratch,
                self.max_run,
                self.search,
            )
        )

    @property
    def num_samples(self) -> int:
        """Live samples taken."""
        return int(self._state[0]) + 1

    @property
    def frontier(self) -> int:
        """The last reference index looked at."""
        return int(self._state[1])
