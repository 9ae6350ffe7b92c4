"""The dynamic program of DTW, diagonal by diagonal, and its path.

D(i, j) = c(i, j) + min(D(i-1, j-1), D(i-1, j), D(i, j-1)), c the squared difference summed over channels.

Cells with the same i + j do not depend on one another, so a sweep over those diagonals runs in vector instructions,
where a sweep over rows waits for each cell's left neighbour. y is held backwards, so that x, y and both earlier
diagonals are read forwards. A diagonal is a line of a flat table, row i at entry i - base + 1, with infinity on both
sides of the band. Widths are rounded up to whole vectors: the entries past the band's end are never read, but lines
and series are padded so that they exist.

The path stores no directions. Two neighbouring diagonals are kept every `every`; walking back from the end, the cells
between two kept pairs that the path can still reach (a triangle `every` wide) are computed again. That is exact, costs
little more than the distance, and holds (n + m) / every diagonals instead of a table. A table that is small anyway is
kept whole, and the path read off it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

from sensorfuse.align.dtw.band import rows_after, rows_on
from sensorfuse.align.dtw.series import PADDING, Floats

LOOK_EVERY = 8  # diagonals between two looks at whether the limit can still be met
SIDES = 2 + PADDING  # entries of a line besides its rows


# Indices into the flat tables are unsigned: a signed index could count from the end, and that test would keep these
# loops from being vectorised.


@njit(cache=True, nogil=True)
def _one_channel(x: Floats, y: Floats, table: Floats, at: tuple, width: int) -> None:
    i, j, corner, above, out = at
    for k in range(width):
        step = x[i + k] - y[j + k]
        best = table[corner + k]
        a, b = table[above + k], table[above + k + uint64(1)]
        best = a if a < best else best
        best = b if b < best else best
        table[out + k] = step * step + best


@njit(cache=True, nogil=True)
def _three_channels(x: Floats, y: Floats, table: Floats, at: tuple, width: int, across: tuple) -> None:
    i0, j0, corner, above, out = at
    i1, j1 = i0 + across[0], j0 + across[1]
    i2, j2 = i1 + across[0], j1 + across[1]
    for k in range(width):
        step0, step1, step2 = x[i0 + k] - y[j0 + k], x[i1 + k] - y[j1 + k], x[i2 + k] - y[j2 + k]
        best = table[corner + k]
        a, b = table[above + k], table[above + k + uint64(1)]
        best = a if a < best else best
        best = b if b < best else best
        table[out + k] = step0 * step0 + step1 * step1 + step2 * step2 + best


@njit(cache=True, nogil=True)
def _any_channels(
    x: Floats, y: Floats, missing: Floats, table: Floats, at: tuple, width: int, across: tuple, cost: Floats
) -> None:
    i, j, corner, above, out = at
    for c in range(len(missing)):
        price = missing[c]
        for k in range(width):
            step = x[i + k] - y[j + k]
            squared = step * step
            squared = squared if squared == squared else price
            cost[k] = squared if c == 0 else cost[k] + squared
        i += across[0]
        j += across[1]
    for k in range(width):
        best = table[corner + k]
        a, b = table[above + k], table[above + k + uint64(1)]
        best = a if a < best else best
        best = b if b < best else best
        table[out + k] = cost[k] + best


@njit(cache=True, nogil=True)
def _diagonal(
    x: Floats,
    y: Floats,
    n: int,
    m: int,
    missing: Floats,
    gaps: bool,
    s: int,
    first: int,
    last: int,
    cost: Floats,
    table: Floats,
    two_back: int,
    one_back: int,
    out: int,
) -> None:
    """Cells first..last of diagonal s, infinity on either side. The last three say where in the flat table the lines'
    entries for row -1 are, or would be."""
    d = len(missing)
    width = max(0, last - first + 1)
    whole: Any = uint64((width + PADDING - 1) // PADDING * PADDING)
    at = (
        uint64(first),
        uint64(m - 1 - s + first),
        uint64(two_back + first),
        uint64(one_back + first),
        uint64(out + first + 1),
    )
    across = (uint64(n + PADDING), uint64(m + PADDING))
    if d == 1 and not gaps:
        _one_channel(x, y, table, at, whole)
    elif d == 3 and not gaps:
        _three_channels(x, y, table, at, whole, across)
    else:
        _any_channels(x, y, missing, table, at, whole, across, cost)
    table[uint64(out + first)] = np.inf
    table[uint64(out + first + width + 1)] = np.inf


@njit(cache=True, nogil=True)
def sweep(
    x: Floats, y: Floats, n: int, m: int, missing: Floats, gaps: bool, reach: int, limit: float, every: int
) -> tuple[float, Floats]:
    """D at the last cell, or infinity as soon as it must exceed `limit`; and the flat table of diagonals.

    x (d, n) flat and padded; y (d, m) likewise, backwards; missing (d,) the cost of a pair with a NaN, used where
    `gaps`. With every = 0 three lines turn, else those with s % every in (0, 1) are kept, in lines
    3 + 2 * (s // every) + s % every.
    """
    stride = n + SIDES
    table = np.empty(stride * (3 if every == 0 else 3 + 2 * ((n + m - 2) // every + 1)))
    cost = np.empty(n + PADDING)
    start = 0.0
    for c in range(len(missing)):
        step = x[c * (n + PADDING)] - y[c * (m + PADDING) + m - 1]
        start += step * step if step == step else missing[c]
    two, one, now = stride, 2 * stride, 0 if every == 0 else 3 * stride
    table[one], table[one + 1] = np.inf, np.inf
    table[now], table[now + 1], table[now + 2] = np.inf, start, np.inf
    first = last = turn = phase = 0
    kept = 3 * stride
    for s in range(1, n + m - 1):
        two, one = one, now
        turn = turn + 1 if turn < 2 else 0
        now = turn * stride
        if every > 0:
            phase += 1
            if phase == every:
                phase = 0
                kept += 2 * stride
            if phase < 2:
                now = kept + phase * stride
        first, last = rows_after(first, last, s, n, m, reach)
        _diagonal(x, y, n, m, missing, gaps, s, first, last, cost, table, two, one, now)
        # Every path crosses one of two neighbouring diagonals.
        if limit < np.inf and s % LOOK_EVERY == 0:
            least = np.inf
            for i in range(first, last + 3):
                least = min(least, table[now + i])
                if i <= last + 1:
                    least = min(least, table[one + i])
            if least > limit:
                return np.inf, table
    total = table[now + n]
    return (total if total <= limit else np.inf), table


@njit(cache=True, nogil=True, inline="always")
def line_stride(n: int, m: int, reach: int) -> int:
    """Entries of a line that holds the widest diagonal."""
    return min(n, m, reach // max(1, n + m - 2) + 1) + SIDES


@njit(cache=True, nogil=True)
def sweep_whole(
    x: Floats,
    y: Floats,
    n: int,
    m: int,
    missing: Floats,
    gaps: bool,
    reach: int,
    table: Floats,
    path: np.ndarray,
) -> tuple[float, int]:
    """D at the last cell, and where in `path` (n + m - 1, 2) the path to its end begins; keeps every diagonal.

    Other arguments as in `sweep`. table: room for n + m lines of `line_stride`; what it holds does not matter.
    """
    stride = line_stride(n, m, reach)
    table[:stride] = np.inf  # two back from diagonal 1
    zeros = np.empty(n + m - 1, np.int64)  # where the entry of row -1 would be
    cost = np.empty(n + PADDING)
    start = 0.0
    for c in range(len(missing)):
        step = x[c * (n + PADDING)] - y[c * (m + PADDING) + m - 1]
        start += step * step if step == step else missing[c]
    table[stride], table[stride + 1], table[stride + 2] = np.inf, start, np.inf
    zeros[0] = stride
    first = last = 0
    for s in range(1, n + m - 1):
        first, last = rows_after(first, last, s, n, m, reach)
        zeros[s] = (s + 1) * stride - first
        two = zeros[s - 2] if s > 1 else -first
        _diagonal(x, y, n, m, missing, gaps, s, first, last, cost, table, two, zeros[s - 1], zeros[s])
    i, j, at = n - 1, m - 1, n + m - 2
    path[at, 0], path[at, 1] = i, j
    while i + j > 0:
        corner = table[zeros[i + j - 2] + i] if i > 0 and j > 0 else np.inf
        above = table[zeros[i + j - 1] + i] if i > 0 else np.inf
        beside = table[zeros[i + j - 1] + i + 1] if j > 0 else np.inf
        i, j = step_back(i, j, corner, above, beside)
        at -= 1
        path[at, 0], path[at, 1] = i, j
    return table[zeros[n + m - 2] + n], at


@njit(cache=True, nogil=True)
def step_back(i: int, j: int, corner: float, above: float, beside: float) -> tuple[int, int]:
    """The predecessor: where they tie the diagonal one, then the one that advances x."""
    if corner <= above and corner <= beside:
        return i - 1, j - 1
    return (i - 1, j) if above <= beside else (i, j - 1)


@njit(cache=True, nogil=True)
def walk_back(
    x: Floats,
    y: Floats,
    n: int,
    m: int,
    missing: Floats,
    gaps: bool,
    reach: int,
    every: int,
    table: Floats,
    path: np.ndarray,
) -> int:
    """Where in `path` (n + m - 1, 2) the path to its end begins, from the diagonals that `sweep` kept."""
    i, j, at = n - 1, m - 1, n + m - 2
    path[at, 0], path[at, 1] = i, j
    stride = every + 4 + SIDES
    block = np.empty((every + 2) * stride)
    cost = np.empty(every + 4 + PADDING)
    while i + j > 0:
        s_end, i_end = i + j, i
        kept = max(0, (s_end - 2) // every)
        s_kept = kept * every
        origin = i_end - (s_end - s_kept) - 2  # the row at entry 0 of the block's lines
        for offset in range(2):
            first, last = rows_on(s_kept + offset, n, m, reach)
            line = (3 + 2 * kept + offset) * (n + SIDES) + 1
            for row in range(max(first - 1, origin), min(last + 1, i_end + 1) + 1):
                block[offset * stride + row - origin] = table[line + row]
        # Entries of row -1, where it is not in the block, are only the start of a sum of indices.
        zero = -origin - 1
        whole_first, whole_last = rows_on(s_kept + 1, n, m, reach)
        for s in range(s_kept + 2, s_end):
            whole_first, whole_last = rows_after(whole_first, whole_last, s, n, m, reach)
            first, last = max(whole_first, i_end - (s_end - s)), min(whole_last, i_end)
            out = (s - s_kept) * stride + zero
            _diagonal(x, y, n, m, missing, gaps, s, first, last, cost, block, out - 2 * stride, out - stride, out)
        while i + j > 0 and (i + j >= s_kept + 2 or s_kept == 0):
            entry = (i + j - s_kept) * stride + i - origin
            corner = block[entry - 2 * stride - 1] if i > 0 and j > 0 else np.inf
            above = block[entry - stride - 1] if i > 0 else np.inf
            beside = block[entry - stride] if j > 0 else np.inf
            i, j = step_back(i, j, corner, above, beside)
            at -= 1
            path[at, 0], path[at, 1] = i, j
    return at
