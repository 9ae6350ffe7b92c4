"""The dynamic program of DTW row by row, for narrow bands, and its path.

Same recursion as `sweep`. Within a row each cell waits for its left neighbour, so a row takes one addition after
another; but a row of few cells has nothing else to wait for, where a diagonal of few cells waits for the two before it
to leave the processor. Rows lie one after the other in a flat table, each with infinity on both sides of its columns,
after a row of infinities that ends the path.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from sensorfuse.align.dtw.series import PADDING, Floats
from sensorfuse.align.dtw.sweep import step_back

WIDEST_ROW = 48  # cells: above it diagonals are faster


@njit(cache=True, nogil=True, inline="always")
def widest_row(n: int, m: int, reach: int) -> int:
    """The most columns that a row has in the band."""
    return min(m, reach // (n - 1) + 1) if n > 1 else m


@njit(cache=True, nogil=True, inline="always")
def row_stride(n: int, m: int, reach: int) -> int:
    """Entries of a row's line: its columns, those by which the next row may go on, and one on either side."""
    return widest_row(n, m, reach) + (m - 1) // max(1, n - 1) + 4


# Indices into the flat arrays are unsigned, for the reason given in `sweep`.


@njit(cache=True, nogil=True)
def _costs(
    x: Floats, i: int, y: Floats, first: int, m: int, missing: Floats, gaps: bool, costs: Floats, width: int
) -> None:
    for c in range(len(missing)):
        value, price, start = x[i, c], missing[c], uint64(c * (m + PADDING) + first)
        for k in range(uint64(width)):
            step = value - y[start + k]
            squared = step * step
            if gaps:
                squared = squared if squared == squared else price
            costs[k] = squared if c == 0 else costs[k] + squared


@njit(cache=True, nogil=True)
def _row(costs: Floats, table: Floats, above: int, out: int, width: int) -> None:
    """The next row, infinity before and after it; `above` is the entry above the one before its first, `out` that."""
    following, here = uint64(above) + uint64(1), uint64(out) + uint64(1)
    corner, left = table[uint64(above)], np.inf
    table[uint64(out)] = np.inf
    for k in range(uint64(width)):
        up = table[following + k]
        best = up if up < corner else corner
        best = left if left < best else best
        left = costs[k] + best
        table[here + k] = left
        corner = up
    table[here + uint64(width)] = np.inf


@njit(cache=True, nogil=True)
def sweep_rows(
    x: Floats,
    y: Floats,
    n: int,
    m: int,
    missing: Floats,
    gaps: bool,
    reach: int,
    limit: float,
    table: Floats,
    zeros: np.ndarray,
) -> float:
    """D at the last cell, or infinity as soon as it must exceed `limit`.

    x (n, d); y (d, m) flat and padded; missing (d,) the cost of a pair with a NaN, used where `gaps`. table: room for
    `row_stride` entries per line, of two lines that turn, or of n + 1 that keep every row; what it holds does not
    matter. zeros (lines,): on return, where in the table the entry of column 0 is, or would be, for row i at i + 1.
    """
    stride, lines = row_stride(n, m, reach), len(zeros)
    across, down = 2 * (n - 1), 2 * (m - 1)
    costs = np.empty(widest_row(n, m, reach))
    table[0] = 0.0  # left of and above the first cell
    zeros[0] = 1
    end = 1  # of what is filled of the row above
    first = last = now = 0
    for i in range(n):
        middle = i * down
        while first * across < middle - reach:
            first += 1
        while last + 1 < m and (last + 1) * across <= middle + reach:
            last += 1
        above = zeros[now]
        for k in range(end, above + last + 1):
            table[k] = np.inf
        now = now + 1 if now + 1 < lines else 0
        start, width = now * stride, last - first + 1
        zeros[now], end = start + 1 - first, start + width + 2
        _costs(x, i, y, first, m, missing, gaps, costs, width)
        _row(costs, table, above + first - 1, start, width)
        if limit < np.inf:
            least = np.inf
            for k in range(start, end):
                least = min(least, table[k])
            if least > limit:
                return np.inf
    total = table[zeros[now] + m - 1]
    return total if total <= limit else np.inf


@njit(cache=True, nogil=True)
def read_rows(n: int, m: int, table: Floats, zeros: np.ndarray, path: np.ndarray) -> int:
    """Where in `path` (n + m - 1, 2) the path to its end begins, from the rows that `sweep_rows` kept."""
    i, j, at = n - 1, m - 1, n + m - 2
    path[at, 0], path[at, 1] = i, j
    while i + j > 0:
        above, beside = zeros[i] + j, zeros[i + 1] + j
        i, j = step_back(i, j, table[above - 1], table[above], table[beside - 1])
        at -= 1
        path[at, 0], path[at, 1] = i, j
    return at
