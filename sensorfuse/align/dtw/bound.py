"""A bound below the DTW distance, and the search that it makes fast (Keogh and Ratanamahatana, 2005)."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from sensorfuse.align.dtw.exact import distance
from sensorfuse.align.dtw.series import Floats, as_series, whole_number
from sensorfuse.errors import SensorfuseError


class Envelope(NamedTuple):
    """Least and greatest value within the band around each sample, (n, d) each."""

    lower: Floats
    upper: Floats


class Nearest(NamedTuple):
    """Index of the nearest candidate, its distance, and how many candidates needed the full computation."""

    candidate: int
    distance: float
    num_computed: int


def envelope(x: ArrayLike, band: int) -> Envelope:
    """The envelope of x (n,) or (n, d) for a band in samples. A missing value opens it: it bounds nothing there.

    Raises SensorfuseError for a bad series or band.
    """
    series = as_series(x)
    size = 2 * whole_number(band, "band", 0) + 1
    lower = minimum_filter1d(np.where(np.isnan(series), -inf, series), size, axis=0, mode="nearest")
    upper = maximum_filter1d(np.where(np.isnan(series), inf, series), size, axis=0, mode="nearest")
    return Envelope(lower, upper)


def lb_keogh(y: ArrayLike, around: Envelope) -> float:
    """A value never above `distance(x, y, band=...)`, for x's envelope of that band and y of its length, in O(n d).

    Raises SensorfuseError where the lengths or channels differ.
    """
    series = as_series(y, "y")
    if series.shape != around.lower.shape:
        raise SensorfuseError(
            f"y has shape {series.shape}, the envelope {around.lower.shape}: the bound needs equal lengths and channels"
        )
    outside = np.maximum(np.maximum(series - around.upper, around.lower - series), 0.0)
    return float(np.sqrt(np.nansum(outside * outside)))


def nearest(x: ArrayLike, candidates: Sequence[ArrayLike], band: int) -> Nearest:
    """The candidate with the least DTW-D distance to x; each has x's length and channels. Exact: candidates are tried
    in the order of their bound, and those whose bound or partial distance is not below the best are abandoned.

    Raises SensorfuseError for bad series, differing lengths, or no candidate.
    """
    if len(candidates) == 0:
        raise SensorfuseError("there are no candidates to search")
    around = envelope(x, band)
    bounds = np.array([lb_keogh(candidate, around) for candidate in candidates])
    best, at, computed = inf, -1, 0
    for k in np.argsort(bounds, kind="stable"):
        if bounds[k] >= best:
            break
        found = distance(x, candidates[k], band=band, max_distance=best)
        computed += 1
        if found < best or at < 0:
            best, at = found, int(k)
    return Nearest(at, best, computed)
