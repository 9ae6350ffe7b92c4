"""The Sakoe-Chiba band, which cells it holds, and what it does where lengths differ.

Cell (i, j) of an n x m table lies in the band of w samples where

    |i (m - 1) - j (n - 1)| <= w max(n - 1, m - 1)

that is, within w samples of the shorter series of the line that joins the corners. For n = m this is |i - j| <= w
(Sakoe and Chiba, 1978); dtaidistance writes the same band as window = w + 1. A band of less than half a sample would
cut the corners apart where lengths differ, so there it is widened to half a sample; every other band joins them.
"""

from __future__ import annotations

from numba import njit

from sensorfuse.align.dtw.series import whole_number


def reach_of(band: int | None, n: int, m: int) -> int:
    """Twice the right-hand side of the band's inequality: whole for half samples too. None is the whole table.

    Raises SensorfuseError for a band that is not a whole number of samples, zero or more.
    """
    longest = max(n - 1, m - 1)
    if band is None:
        return 2 * longest * longest
    reach = 2 * whole_number(band, "band", 0) * longest
    return longest if reach == 0 and n != m else min(reach, 2 * longest * longest)


@njit(cache=True, nogil=True, inline="always")
def rows_on(s: int, n: int, m: int, reach: int) -> tuple[int, int]:
    """First and last row i of the band's cells with i + j = s. Each grows by 0 or 1 from one s to the next; first is
    last + 1 where the band holds no such cell."""
    across = max(1, 2 * (n + m - 2))
    middle = 2 * s * (n - 1)
    first = max(0, s - m + 1, -((reach - middle) // across))
    last = min(n - 1, s, (middle + reach) // across)
    return first, last


@njit(cache=True, nogil=True, inline="always")
def rows_after(first: int, last: int, s: int, n: int, m: int, reach: int) -> tuple[int, int]:
    """The same from those on diagonal s - 1, without a division."""
    across = 2 * (n + m - 2)
    middle = 2 * s * (n - 1)
    if first * across < middle - reach or first < s - m + 1:
        first += 1
    if (last + 1) * across <= middle + reach and last + 1 < n and last < s:
        last += 1
    return first, last
