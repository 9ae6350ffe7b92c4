"""Exact Shapley values (Shapley, 1953): how a group's result is shared out among its members.

Member m of M gets the mean, over all orders in which the members could have come, of what the result rose by when it
came. With v(S) the result of the members S alone:

    phi_m = sum over S without m of  |S|! (M - |S| - 1)! / M!  (v(S + m) - v(S))

It is the only way to share out for which the shares add up to v(all) - v(none), two members that always do the same
get the same, one that never changes anything gets nothing, and shares of a sum are sums of shares. All 2^M subsets are
needed: 32 for five sensors.

A subset is a number whose bit m is set where member m is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def subset_table(members: int, value: Callable[[tuple[bool, ...]], ArrayLike]) -> Array:
    """`value` of every subset: (2^M, ...). `value` is told who is there (M,), and gives a number or an array."""
    return np.array([value(members_of(subset, members)) for subset in range(2**members)], dtype=np.float64)


def members_of(subset: int, members: int) -> tuple[bool, ...]:
    """Who of `members` is in a subset."""
    return tuple(bool(subset >> m & 1) for m in range(members))


def subset_of(there: Sequence[bool]) -> int:
    """The number of a subset: the inverse of `members_of`."""
    return sum(1 << m for m, one in enumerate(there) if one)


def shapley_shares(table: ArrayLike) -> Array:
    """Shares (M, ...) from the values of all subsets (2^M, ...).

    Raises:
        ValueError: the first axis is no power of two.
    """
    values = np.asarray(table, dtype=np.float64)
    members = len(values).bit_length() - 1
    if len(values) != 2**members:
        raise ValueError(f"a table of all subsets has 2^M rows, got {len(values)}")
    subsets = np.arange(2**members)
    sizes = np.array([int(s).bit_count() for s in subsets])
    weight = np.array([factorial(n) * factorial(max(members - n - 1, 0)) / factorial(members) for n in sizes])
    shares = np.zeros((members, *values.shape[1:]))
    for m in range(members):
        without = subsets[subsets >> m & 1 == 0]
        shares[m] = np.tensordot(weight[without], values[without | 1 << m] - values[without], axes=1)
    return shares
