"""SPRING: all places of a stream where a template occurs, under DTW, exactly and in constant memory.

Sakurai, Faloutsos and Yamamuro, "Stream Monitoring under the Time Warping Distance", ICDE 2007. One column of the table
is kept per sample; a match may begin at any sample, and each cell carries the sample where its path began. A match is
reported when no path still open could give a better one that overlaps it. The best of all is always among the reported,
exactly. As published, paths that overlap a reported match end with it, and so do those they hid: a later match that
began before that report may be given at more than its least distance.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sensorfuse.align.dtw.series import Floats, as_series, channels_first, cost_of_missing
from sensorfuse.errors import SensorfuseError


class Match(NamedTuple):
    """Samples `start` to `end` (both in it) of the stream match the template at `distance`."""

    start: int
    end: int
    distance: float


@njit(cache=True, nogil=True)
def _column(
    sample: Floats,
    template: Floats,
    missing: Floats,
    now: int,
    lines: Floats,
    sources: np.ndarray,
) -> None:
    """The next column in place: totals and starts, the first of `lines` (3, m + 1) and of `sources` (2, m + 1), whose
    entry 0 is the star before the template; the others are room to work in.

    What does not wait for the cell below it is done first, for all cells at once: costs, and the better of the two
    predecessors in the last column.
    """
    d, m = template.shape
    totals, costs, bests = lines[0], lines[1], lines[2]
    starts, origins = sources[0], sources[1]
    for c in range(d):
        value, against, price = sample[c], template[c], missing[c]
        for k in range(m):
            step = value - against[k]
            squared = step * step
            squared = squared if squared == squared else price
            costs[k] = squared if c == 0 else costs[k] + squared
    totals[0] = 0.0
    starts[0] = now
    corners, besides = totals[:m], totals[1 : m + 1]
    corner_starts, beside_starts = starts[:m], starts[1 : m + 1]
    for k in range(m):
        bests[k] = min(corners[k], besides[k])
    for k in range(m):
        # Both are read whichever is taken: a read that waits for a comparison keeps a loop from being vectorised.
        corner_start, beside_start = corner_starts[k], beside_starts[k]
        origins[k] = corner_start if corners[k] <= besides[k] else beside_start
    below = 0.0
    for k in range(m):
        best = bests[k]
        below = (below if below < best else best) + costs[k]
        besides[k] = below
    # Apart, so that the sum above waits for a minimum only and not for a comparison.
    start = now
    for k in range(m):
        origin = origins[k]
        start = start if corners[k] < bests[k] else origin
        beside_starts[k] = start


@njit(cache=True, nogil=True)
def _advance(
    samples: Floats,
    template: Floats,
    missing: Floats,
    threshold: float,
    now: int,
    lines: Floats,
    sources: np.ndarray,
    held: Floats,
    spans: np.ndarray,
    found: Floats,
) -> int:
    """Take samples (k, d); held = (best total,), spans = its (start, end). Matches go to `found`, their number back,
    or -1, and nothing taken, where a value is infinite."""
    m = template.shape[1]
    totals, starts = lines[0], sources[0]
    for k in range(len(samples)):
        for c in range(samples.shape[1]):
            if np.isinf(samples[k, c]):
                return -1
    count = 0
    for k in range(len(samples)):
        _column(samples[k], template, missing, now + k, lines, sources)
        if held[0] <= threshold:
            num_open, least, end = 0, held[0], spans[1]
            for j in range(1, m + 1):
                num_open += (totals[j] < least) & (starts[j] <= end)
            if num_open == 0:
                found[count, 0], found[count, 1], found[count, 2] = spans[0], spans[1], held[0]
                count += 1
                for j in range(1, m + 1):
                    if starts[j] <= spans[1]:
                        totals[j] = np.inf
                held[0] = np.inf
        if totals[m] <= threshold and totals[m] < held[0]:
            held[0] = totals[m]
            spans[0], spans[1] = starts[m], now + k
    return count


class Spring:
    """Finds a template (m,) or (m, d) in a stream that comes sample by sample; O(m d) per sample.

    threshold: the largest distance (square root of the summed squares, as `distance`) that counts as a match. Of
    matches that overlap, the best is given. A missing value (NaN) costs its channel's mean squared difference within
    the template.

    Raises SensorfuseError for a bad template or a negative threshold.
    """

    def __init__(self, template: ArrayLike, threshold: float) -> None:
        if not threshold >= 0:
            raise SensorfuseError(f"threshold is {threshold!r}; give a distance of zero or more")
        series = as_series(template, "template")
        self.threshold = float(threshold)
        self.num_samples = 0
        self._template = channels_first(series)
        self._missing = cost_of_missing(series, series)
        self._lines = np.full((3, len(series) + 1), inf)
        self._sources: NDArray[np.int64] = np.zeros((2, len(series) + 1), dtype=np.int64)
        self._held = np.array([inf])
        self._spans: NDArray[np.int64] = np.zeros(2, dtype=np.int64)
        self._found = np.empty((1, 3))

    def push(self, sample: ArrayLike) -> list[Match]:
        """Take one sample, a number or (d,), and return the matches that it closed, none or one.

        Raises SensorfuseError for another number of channels or an infinite value.
        """
        values = np.asarray(sample, dtype=np.float64).reshape(1, -1)
        return self._take(values, self._found)

    def push_many(self, samples: ArrayLike) -> list[Match]:
        """Take a block (k,) or (k, d); the same matches as one by one, in order."""
        values = np.asarray(samples, dtype=np.float64)
        values = np.ascontiguousarray(values[:, None] if values.ndim == 1 else values)
        return self._take(values, np.empty((max(1, len(values)), 3)))

    def finish(self) -> list[Match]:
        """The stream is over: the match still held back, if any. The search starts anew with the next sample."""
        left = [self._match(self._spans[0], self._spans[1], self._held[0])] if self._held[0] < inf else []
        self._lines[0] = inf
        self._held[0] = inf
        return left

    @property
    def ending_here(self) -> Match:
        """The best match that ends at the last sample, whatever its distance; infinite before any sample."""
        return self._match(self._sources[0, -1], self.num_samples - 1, self._lines[0, -1])

    def _take(self, values: Floats, found: Floats) -> list[Match]:
        if values.ndim != 2 or values.shape[1] != self._template.shape[0]:
            raise SensorfuseError(
                f"samples have {values.shape[-1]} channels, the template {self._template.shape[0]}: give the same"
            )
        count = _advance(
            values,
            self._template,
            self._missing,
            self.threshold * self.threshold * (1 + 1e-12),
            self.num_samples,
            self._lines,
            self._sources,
            self._held,
            self._spans,
            found,
        )
        if count < 0:
            raise SensorfuseError(f"sample {self.num_samples} or a later one is infinite; mark missing values with NaN")
        self.num_samples += len(values)
        return [self._match(*found[k]) for k in range(count)] if count else []

    @staticmethod
    def _match(start: float, end: float, total: float) -> Match:
        return Match(int(start), int(end), sqrt(total))
