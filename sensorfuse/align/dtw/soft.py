"""Soft-DTW: DTW with a smooth minimum, differentiable everywhere, and its divergence.

Cuturi and Blondel, "Soft-DTW: a Differentiable Loss Function for Time-Series", ICML 2017; Blondel, Mensch and Vert,
"Differentiable Divergences Between Time Series", AISTATS 2021. Values are sums of squared differences, no square root
is taken: as gamma goes to 0, soft_dtw goes to distance^2. soft_dtw can be negative and is not least at x = y; the
divergence is zero there, and is the one to use as a loss.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from sensorfuse.align.dtw.series import Floats, as_pair
from sensorfuse.errors import SensorfuseError


class SoftValue(NamedTuple):
    """A value and its gradient with respect to x, in the shape of x."""

    value: float
    gradient: Floats


@njit(cache=True, nogil=True)
def _forward(x: Floats, y: Floats, gamma: float) -> tuple[Floats, Floats]:
    """Costs (n + 2, m + 2) and soft totals (n + 2, m + 2), with a border of one cell."""
    n, d = x.shape
    m = y.shape[0]
    costs = np.zeros((n + 2, m + 2))
    totals = np.full((n + 2, m + 2), np.inf)
    totals[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            cost = 0.0
            for c in range(d):
                step = x[i - 1, c] - y[j - 1, c]
                cost += step * step
            costs[i, j] = cost
            corner, above, beside = totals[i - 1, j - 1], totals[i - 1, j], totals[i, j - 1]
            least = min(corner, min(above, beside))
            weight = np.exp((least - corner) / gamma) + np.exp((least - above) / gamma)
            weight += np.exp((least - beside) / gamma)
            totals[i, j] = cost + least - gamma * np.log(weight)
    return costs, totals


@njit(cache=True, nogil=True)
def _backward(costs: Floats, totals: Floats, gamma: float) -> Floats:
    """The expected alignment (n, m): how much the value moves with each cell's cost. Overwrites the border."""
    n, m = costs.shape[0] - 2, costs.shape[1] - 2
    expected = np.zeros((n + 2, m + 2))
    expected[n + 1, m + 1] = 1.0
    totals[n + 1, :] = -np.inf
    totals[:, m + 1] = -np.inf
    totals[n + 1, m + 1] = totals[n, m]
    for i in range(n, 0, -1):
        for j in range(m, 0, -1):
            here = totals[i, j]
            value = expected[i + 1, j] * np.exp((totals[i + 1, j] - here - costs[i + 1, j]) / gamma)
            value += expected[i, j + 1] * np.exp((totals[i, j + 1] - here - costs[i, j + 1]) / gamma)
            value += expected[i + 1, j + 1] * np.exp((totals[i + 1, j + 1] - here - costs[i + 1, j + 1]) / gamma)
            expected[i, j] = value
    return expected[1 : n + 1, 1 : m + 1].copy()


def soft_dtw(x: ArrayLike, y: ArrayLike, gamma: float = 1.0) -> float:
    """Soft-DTW of x (n,) or (n, d) and y (m,) or (m, d), squared differences; O(n m) time and memory.

    gamma: the smoothing, in squared units; a path's weight is exp(-cost / gamma).
    Raises SensorfuseError for bad series, a missing value, or a gamma that is not positive.
    """
    first, second = _pair(x, y, gamma)
    return float(_forward(first, second, gamma)[1][-2, -2])


def soft_dtw_gradient(x: ArrayLike, y: ArrayLike, gamma: float = 1.0) -> SoftValue:
    """Soft-DTW and its gradient with respect to x; as `soft_dtw`."""
    first, second = _pair(x, y, gamma)
    costs, totals = _forward(first, second, gamma)
    value = float(totals[-2, -2])
    expected = _backward(costs, totals, gamma)
    gradient = 2 * (expected.sum(axis=1)[:, None] * first - expected @ second)
    return SoftValue(value, gradient.reshape(np.shape(x)))


def soft_divergence(x: ArrayLike, y: ArrayLike, gamma: float = 1.0) -> float:
    """soft_dtw(x, y) - (soft_dtw(x, x) + soft_dtw(y, y)) / 2: zero at x = y, and not below zero; as `soft_dtw`."""
    return soft_dtw(x, y, gamma) - (soft_dtw(x, x, gamma) + soft_dtw(y, y, gamma)) / 2


def soft_divergence_gradient(x: ArrayLike, y: ArrayLike, gamma: float = 1.0) -> SoftValue:
    """The divergence and its gradient with respect to x; as `soft_dtw`."""
    across, within = soft_dtw_gradient(x, y, gamma), soft_dtw_gradient(x, x, gamma)
    value = across.value - (within.value + soft_dtw(y, y, gamma)) / 2
    # soft_dtw(x, x) depends on x through both arguments, alike: half of twice the gradient by the first.
    return SoftValue(value, across.gradient - within.gradient)


def _pair(x: ArrayLike, y: ArrayLike, gamma: float) -> tuple[Floats, Floats]:
    if not (gamma > 0 and np.isfinite(gamma)):
        raise SensorfuseError(f"gamma is {gamma!r}; give a positive number")
    first, second = as_pair(x, y)
    if np.isnan(first.sum()) or np.isnan(second.sum()):
        raise SensorfuseError("soft-DTW has no rule for missing values (NaN); fill or cut them first")
    return np.ascontiguousarray(first), np.ascontiguousarray(second)
