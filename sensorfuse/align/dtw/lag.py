"""Time warping in the lag domain: a lag per sample, by dynamic programming over windowed costs.

State: the lag l in [-M, M] samples at sample i, where x_i is held against y_{i + l}. Cost: the mean over a window
around i of |x_k - y_{k + l}|^2. From one sample to the next the lag may change by one, at a price. The window keeps
single samples from deciding, the price keeps the lag still where nothing asks it to move: this is what a tracker of
offsets uses where the offset moves fast, a replay runs at another rate, or stamps say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import median_filter

from sensorfuse.align.dtw.series import Floats, as_pair, channels_first, cost_of_missing, whole_number
from sensorfuse.errors import SensorfuseError

HALF_WINDOW = 25
PENALTY = 0.05
SMOOTH_S = 2.0
KNOT_S = 0.5
MAX_SKEW = 0.1


@dataclass(frozen=True)
class LagPath:
    """x_i matches y at i + lag_i.

    lag: (n,) samples, refined below one sample. steps: (n,) the whole lags of the path. singular_share: share of
    samples where the whole lag changed; above about 0.35 the path follows noise. cost: (n,) windowed cost at the lag,
    relative to that of unrelated samples (1).
    """

    lag: Floats
    steps: NDArray[np.int64]
    singular_share: float
    cost: Floats


@dataclass(frozen=True)
class LagMap:
    """A piecewise linear map from the time of x to the time of y, knots (K,) each, in seconds from the first sample."""

    x_s: Floats
    y_s: Floats

    def to_y(self, x_s: ArrayLike) -> Floats:
        """Times of y at times of x; beyond the outer knots the offset of the nearest one holds."""
        asked = np.asarray(x_s, dtype=np.float64)
        return asked + np.interp(asked, self.x_s, self.y_s - self.x_s)


@njit(cache=True, nogil=True)
def _windowed_costs(x: Floats, y: Floats, missing: Floats, half_window: int) -> Floats:
    """Windowed mean of the squared difference, (n, lags); x (d, n), y (d, n + lags - 1) from the least lag on."""
    d, n = x.shape
    lags = y.shape[1] - n + 1
    raw = np.zeros((n, lags))
    for c in range(d):
        for i in range(n):
            value, line, against = x[c, i], raw[i], y[c, i : i + lags]
            for k in range(lags):
                step = value - against[k]
                squared = step * step
                line[k] += squared if squared == squared else missing[c]
    out = np.empty((n, lags))
    total = np.zeros(lags)
    for i in range(min(half_window, n)):
        total += raw[i]
    for i in range(n):
        if i + half_window < n:
            total += raw[i + half_window]
        if i > half_window:
            total -= raw[i - half_window - 1]
        count = min(n, i + half_window + 1) - max(0, i - half_window)
        line = out[i]
        for k in range(lags):
            line[k] = total[k] / count
    return out


@njit(cache=True, nogil=True)
def _best_lags(costs: Floats, price: float) -> np.ndarray:
    """The cheapest sequence of columns, |step| <= 1 at `price` each, (n,)."""
    n, lags = costs.shape
    moves = np.empty((n, lags), np.int8)
    before = np.full(lags + 2, np.inf)
    now = np.full(lags + 2, np.inf)
    before[1 : lags + 1] = costs[0]
    for i in range(1, n):
        line, move = costs[i], moves[i]
        lower, same, upper, out = before[:lags], before[1 : lags + 1], before[2 : lags + 2], now[1 : lags + 1]
        for k in range(lags):
            a, b, best = lower[k] + price, upper[k] + price, same[k]
            turn = 0
            turn = -1 if a < best else turn
            best = a if a < best else best
            turn = 1 if b < best else turn
            best = b if b < best else best
            move[k] = turn
            out[k] = line[k] + best
        before, now = now, before
    chosen = np.empty(n, np.int64)
    k = int(np.argmin(before[1 : lags + 1]))
    for i in range(n - 1, -1, -1):
        chosen[i] = k
        if i > 0:
            k += moves[i, k]
    return chosen


@njit(cache=True, nogil=True)
def _vertices(costs: Floats, chosen: np.ndarray) -> Floats:
    """Lag of the parabola through the cost at the chosen column and its neighbours, relative to the column, (n,)."""
    n, lags = costs.shape
    out = np.zeros(n)
    for i in range(n):
        k = chosen[i]
        if 0 < k < lags - 1:
            left, middle, right = costs[i, k - 1], costs[i, k], costs[i, k + 1]
            bend = left - 2 * middle + right
            if bend > 0:
                out[i] = min(0.5, max(-0.5, 0.5 * (left - right) / bend))
    return out


def lag_path(
    x: ArrayLike,
    y: ArrayLike,
    max_lag: int,
    *,
    centre: int = 0,
    half_window: int = HALF_WINDOW,
    penalty: float = PENALTY,
) -> LagPath:
    """The lag of y against x at every sample of x, within `centre` +- `max_lag` samples; both at one rate.

    x (n,) or (n, d), y (m,) or (m, d): scale the channels alike (z-scores over the window, say). Missing values (NaN)
    and lags that point outside y cost the mean squared difference of unrelated samples. half_window: samples on either
    side that share a lag. penalty: the price of a change of lag by one sample, relative to the cost of unrelated
    samples.

    O(n d max_lag) time. Raises SensorfuseError for bad series, a max_lag below 1, or a negative window or penalty.
    """
    first, second = as_pair(x, y)
    half_lags = whole_number(max_lag, "max_lag", 1)
    half = whole_number(half_window, "half_window", 0)
    if not penalty >= 0:
        raise SensorfuseError(f"penalty is {penalty!r}; give zero or more")
    missing = cost_of_missing(first, second)
    unrelated = float(missing.sum())
    if unrelated == 0:
        raise SensorfuseError("x and y are one constant: there is nothing to align")
    n = len(first)
    least = centre - half_lags
    reachable = np.full((n + 2 * half_lags, second.shape[1]), np.nan)  # reachable[i + k] = y[i + least + k]
    low, high = max(0, -least), min(len(reachable), len(second) - least)
    if high <= low:
        raise SensorfuseError(f"centre {centre} with max_lag {half_lags} lies outside y ({len(second)} samples)")
    reachable[low:high] = second[low + least : high + least]
    costs = _windowed_costs(channels_first(first), channels_first(reachable), missing, half)
    chosen = _best_lags(costs, penalty * unrelated)
    steps = chosen + least
    return LagPath(
        lag=steps + _vertices(costs, chosen),
        steps=steps,
        singular_share=float(np.mean(np.diff(steps) != 0)) if n > 1 else 0.0,
        cost=costs[np.arange(n), chosen] / unrelated,
    )


def lag_to_map(
    lag: ArrayLike,
    rate_hz: float,
    *,
    smooth_s: float = SMOOTH_S,
    knot_s: float = KNOT_S,
    max_skew: float = MAX_SKEW,
) -> LagMap:
    """The lags (n,) of a path as a map that can be published: median over `smooth_s`, knots every `knot_s`, and slopes
    within 1 +- max_skew.

    Where the lags jump faster, the map is the one within those slopes whose greatest distance from them is least (the
    mean of the upper and the lower Lipschitz envelope). Where frames are lost in bursts the jump is real: give
    max_skew = inf.

    Raises SensorfuseError for no lags, ones that are not finite, or a rate, time or skew that is not positive.
    """
    lags = np.asarray(lag, dtype=np.float64)
    if lags.ndim != 1 or len(lags) == 0 or not np.isfinite(lags).all():
        raise SensorfuseError(f"lag has shape {lags.shape}; give one finite lag per sample, at least one")
    for name, value in (("rate_hz", rate_hz), ("smooth_s", smooth_s), ("knot_s", knot_s), ("max_skew", max_skew)):
        if not value > 0:
            raise SensorfuseError(f"{name} is {value!r}; give a positive number")
    size = min(2 * round(smooth_s * rate_hz / 2) + 1, 2 * len(lags) - 1)
    offset_s = median_filter(lags, size, mode="nearest") / rate_hz
    last_s = (len(lags) - 1) / rate_hz
    knots_s = np.linspace(0.0, last_s, max(2, round(last_s / knot_s) + 1)) if last_s > 0 else np.zeros(1)
    at_knots = np.interp(knots_s, np.arange(len(lags)) / rate_hz, offset_s)
    if np.isfinite(max_skew):
        allowed = max_skew * np.abs(knots_s[:, None] - knots_s[None, :])
        at_knots = ((at_knots[None, :] - allowed).max(axis=1) + (at_knots[None, :] + allowed).min(axis=1)) / 2
    return LagMap(knots_s, knots_s + at_knots)
