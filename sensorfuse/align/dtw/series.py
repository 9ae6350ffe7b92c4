"""Series as the kernels take them: finite or missing, channels first; and the features whose difference is the cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sensorfuse.errors import SensorfuseError

COSTS = ("value", "derivative", "shape")
PADDING = 16  # samples after each channel of a packed series: a whole number of vectors
Floats = NDArray[np.float64]


def shaped(values: ArrayLike, name: str = "x") -> Floats:
    """A series (n,) or (n, d) as float64 (n, d), its values not looked at.

    Raises SensorfuseError where it is empty, has other dimensions, or is not of numbers.
    """
    try:
        series = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SensorfuseError(f"{name} is not an array of numbers: {error}") from None
    if series.ndim == 1:
        series = series[:, None]
    if series.ndim != 2:
        raise SensorfuseError(f"{name} has shape {series.shape}; give (n,) or (n samples, d channels)")
    if series.size == 0:
        raise SensorfuseError(f"{name} is empty (shape {series.shape}); give at least one sample of one channel")
    return series


def as_series(values: ArrayLike, name: str = "x") -> Floats:
    """A series (n,) or (n, d) as float64 (n, d); NaN marks a missing value.

    Raises SensorfuseError as `shaped`, where a value is infinite, and where a channel has no value at all.
    """
    series = shaped(values, name)
    # A sum is finite only where every term is: one pass, no array of flags.
    if not np.isfinite(series.sum()):
        if np.isinf(series).any():
            raise SensorfuseError(f"{name} has infinite values; mark missing ones with NaN")
        if np.isnan(series).all(axis=0).any():
            raise SensorfuseError(f"{name} has a channel without any value; drop that channel")
    return series


def as_pair(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """Two series with the same number of channels.

    Raises SensorfuseError as `as_series`, and where the channels differ in number.
    """
    first, second = as_series(x, "x"), as_series(y, "y")
    check_channels(first, second)
    return first, second


def check_channels(x: Floats, y: Floats) -> None:
    """Raises SensorfuseError where the channels differ in number."""
    if x.shape[1] != y.shape[1]:
        raise SensorfuseError(f"x has {x.shape[1]} channels and y has {y.shape[1]}; give both the same number")


def derivative(values: ArrayLike) -> Floats:
    """The slope at each sample, (n, d): ((x_i - x_{i-1}) + (x_{i+1} - x_{i-1}) / 2) / 2, the ends repeat their
    neighbour's (Keogh and Pazzani, "Derivative Dynamic Time Warping", 2001). Low-pass first: it amplifies noise.

    Raises SensorfuseError for fewer than three samples.
    """
    x = as_series(values)
    if len(x) < 3:
        raise SensorfuseError(f"a slope needs three samples, the series has {len(x)}")
    inner = ((x[1:-1] - x[:-2]) + (x[2:] - x[:-2]) / 2) / 2
    return np.concatenate([inner[:1], inner, inner[-1:]])


def neighbourhood(values: ArrayLike, half_window: int) -> Floats:
    """Each sample with its neighbours up to `half_window` on either side, (n, d * (2 * half_window + 1)), the ends
    repeated outwards.

    Scaled so that the squared difference of two rows is the mean squared difference over the window: the windowed
    cost that keeps a path from collapsing many samples onto one (the raw-subsequence descriptor of Zhao and Itti,
    "shapeDTW", 2018).

    Raises SensorfuseError for a negative half window.
    """
    x = as_series(values)
    if half_window < 0:
        raise SensorfuseError(f"half_window is {half_window}; give zero or more samples")
    width = 2 * half_window + 1
    padded = np.pad(x, ((half_window, half_window), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)  # (n, d, width)
    return np.ascontiguousarray(windows.reshape(len(x), -1)) / np.sqrt(width)


def features(values: Floats, cost: str, half_window: int) -> Floats:
    """What is compared under a cost: the values, their slopes, or their neighbourhoods.

    Raises SensorfuseError for an unknown cost.
    """
    if cost == "value":
        return values
    if cost == "derivative":
        return derivative(values)
    if cost == "shape":
        return neighbourhood(values, half_window)
    raise SensorfuseError(f"cost is {cost!r}; choose one of {', '.join(COSTS)}")


def moments(series: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of each channel's values that are there, (d,) each."""
    if not np.isnan(series.sum()):
        return series.mean(axis=0), series.var(axis=0)
    return np.nanmean(series, axis=0), np.nanvar(series, axis=0)


def cost_of_missing(x: Floats, y: Floats) -> Floats:
    """Per channel, the mean of (x_i - y_j)^2 over all pairs that are there, (d,): the cost of a missing one."""
    (mean_x, var_x), (mean_y, var_y) = moments(x), moments(y)
    missing: Floats = var_x + var_y + (mean_x - mean_y) ** 2
    return missing


@njit(cache=True, nogil=True)
def pack(series: Floats, backwards: bool) -> tuple[Floats, bool]:
    """(n, d) as the kernels read it: channel after channel in one flat array, each with PADDING zeros after it; and
    whether a value is not finite."""
    n, d = series.shape
    packed = np.zeros(d * (n + PADDING))
    total = 0.0
    for c in range(d):
        start = c * (n + PADDING)
        for i in range(n):
            value = series[i, c]
            packed[start + (n - 1 - i if backwards else i)] = value
            total += value
    return packed, not np.isfinite(total)


@njit(cache=True, nogil=True)
def odd(series: Floats) -> bool:
    """Whether a value of (n, d) is not finite."""
    total = 0.0
    for i in range(series.shape[0]):
        for c in range(series.shape[1]):
            total += series[i, c]
    return not np.isfinite(total)


def channels_first(series: Floats) -> Floats:
    """(n, d) to a contiguous (d, n)."""
    return np.ascontiguousarray(series.T)


def whole_number(value: Any, name: str, least: int) -> int:
    """A whole number of at least `least`.

    Raises SensorfuseError for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise SensorfuseError(f"{name} is {value!r}; give a whole number, {least} or more")
    return int(value)
