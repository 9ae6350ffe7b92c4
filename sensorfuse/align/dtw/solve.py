"""One compiled call for a distance or a path: packing, the look for missing values, the kernel that suits the band."""

from __future__ import annotations

import numpy as np
from numba import njit

from sensorfuse.align.dtw.rows import WIDEST_ROW, read_rows, row_stride, sweep_rows, widest_row
from sensorfuse.align.dtw.series import Floats, odd, pack
from sensorfuse.align.dtw.sweep import line_stride, sweep, sweep_whole, walk_back


@njit(cache=True, nogil=True)
def least_total(x: Floats, y: Floats, missing: Floats, reach: int, limit: float) -> float:
    """The least summed cost of a path of x (n, d) and y (m, d), infinity where it is above `limit`.

    missing: (d,) the cost of a pair with a NaN, or () where none is expected: NaN is returned if there is one.
    """
    n, m, gaps = len(x), len(y), len(missing) > 0
    prices = missing if gaps else np.zeros(x.shape[1])
    if widest_row(n, m, reach) <= WIDEST_ROW:
        second, odd_y = pack(y, False)
        if not gaps and (odd_y or odd(x)):
            return np.nan
        table, zeros = np.empty(2 * row_stride(n, m, reach)), np.empty(2, np.int64)
        return sweep_rows(x, second, n, m, prices, gaps, reach, limit, table, zeros)
    first, odd_x = pack(x, False)
    second, odd_y = pack(y, True)
    if not gaps and (odd_x or odd_y):
        return np.nan
    return sweep(first, second, n, m, prices, gaps, reach, limit, 0)[0]


@njit(cache=True, nogil=True)
def least_path(x: Floats, y: Floats, missing: Floats, reach: int, table: Floats, path: np.ndarray) -> tuple[float, int]:
    """The least summed cost, and where in `path` (n + m - 1, 2) the path that has it begins; it goes to the end.

    Arguments and NaN as in `least_total`. table: room for the program's table where that is small enough; of larger
    ones only a part is kept, and cells are computed again on the way back.
    """
    n, m, gaps = len(x), len(y), len(missing) > 0
    prices = missing if gaps else np.zeros(x.shape[1])
    if widest_row(n, m, reach) <= WIDEST_ROW and (n + 1) * row_stride(n, m, reach) <= len(table):
        second, odd_y = pack(y, False)
        if not gaps and (odd_y or odd(x)):
            return np.nan, 0
        zeros = np.empty(n + 1, np.int64)
        total = sweep_rows(x, second, n, m, prices, gaps, reach, np.inf, table, zeros)
        return total, read_rows(n, m, table, zeros, path)
    first, odd_x = pack(x, False)
    second, odd_y = pack(y, True)
    if not gaps and (odd_x or odd_y):
        return np.nan, 0
    if (n + m) * line_stride(n, m, reach) <= len(table):
        return sweep_whole(first, second, n, m, prices, gaps, reach, table, path)
    every = min(128, max(16, int(np.sqrt(n + m))))
    total, kept = sweep(first, second, n, m, prices, gaps, reach, np.inf, every)
    return total, walk_back(first, second, n, m, prices, gaps, reach, every, kept, path)
