"""Distances of many pairs, on all cores.

The kernels release the interpreter's lock, so plain threads run them: no second threading layer, and safe to call from
several threads at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sensorfuse.align.dtw.band import reach_of
from sensorfuse.align.dtw.series import PADDING, Floats, as_series, features, moments, pack, whole_number
from sensorfuse.align.dtw.sweep import sweep
from sensorfuse.errors import SensorfuseError

CHUNKS_PER_WORKER = 8
Indices = NDArray[np.int64]


@njit(cache=True, nogil=True)
def _run(
    forwards: Floats,
    backwards: Floats,
    starts: Indices,
    d: int,
    means: Floats,
    variances: Floats,
    gaps: np.ndarray,
    pairs: Indices,
    reaches: Indices,
    out: Floats,
) -> None:
    for k in range(len(pairs)):
        i, j = pairs[k]
        x, y = forwards[starts[i] : starts[i + 1]], backwards[starts[j] : starts[j + 1]]
        n, m = len(x) // d - PADDING, len(y) // d - PADDING
        missing = variances[i] + variances[j] + (means[i] - means[j]) ** 2
        out[k] = np.sqrt(sweep(x, y, n, m, missing, gaps[i] or gaps[j], reaches[k], np.inf, 0)[0])


def distances(
    pairs: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    band: int | None = None,
    cost: str = "value",
    half_window: int = 5,
    workers: int | None = None,
) -> Floats:
    """DTW-D distance of each pair (x, y), (P,); options as in `exact.distance`, `workers` threads (None: every core).

    Raises SensorfuseError as `exact.distance`, and where pairs differ in their number of channels.
    """
    listed = [series for pair in pairs for series in pair]
    indices = np.arange(len(listed)).reshape(-1, 2)
    return _distances(listed, indices, band, cost, half_window, workers)


def pairwise(
    series: Sequence[ArrayLike],
    others: Sequence[ArrayLike] | None = None,
    *,
    band: int | None = None,
    cost: str = "value",
    half_window: int = 5,
    workers: int | None = None,
) -> Floats:
    """Matrix of DTW-D distances, (N, N) among `series` (each pair once; the diagonal is zero) or (N, M) to `others`.

    Options and errors as in `distances`.
    """
    n = len(series)
    if others is None:
        rows, columns = np.triu_indices(n, 1)
        found = _distances(list(series), np.stack([rows, columns], 1), band, cost, half_window, workers)
        matrix = np.zeros((n, n))
        matrix[rows, columns] = matrix[columns, rows] = found
        return matrix
    grid = np.stack(np.meshgrid(np.arange(n), n + np.arange(len(others)), indexing="ij"), -1).reshape(-1, 2)
    found = _distances([*series, *others], grid, band, cost, half_window, workers)
    return found.reshape(n, len(others))


def _distances(
    listed: list[ArrayLike], pairs: Indices, band: int | None, cost: str, half_window: int, workers: int | None
) -> Floats:
    out = np.empty(len(pairs))
    if len(pairs) == 0:
        return out
    compared = [features(as_series(one, f"series {k}"), cost, half_window) for k, one in enumerate(listed)]
    channels = {one.shape[1] for one in compared}
    if len(channels) > 1:
        raise SensorfuseError(f"the series have {sorted(channels)} channels; give all the same channels")
    lengths = np.array([len(one) for one in compared])
    packed = [(pack(np.ascontiguousarray(one), False), pack(np.ascontiguousarray(one), True)) for one in compared]
    forwards = np.concatenate([forward for (forward, _), _ in packed])
    backwards = np.concatenate([backward for _, (backward, _) in packed])
    gaps = np.array([gap for (_, gap), _ in packed])
    starts = np.concatenate([[0], np.cumsum([len(forward) for (forward, _), _ in packed])])
    means, variances = (np.stack(part) for part in zip(*(moments(one) for one in compared), strict=True))
    reaches = np.array([reach_of(band, int(lengths[i]), int(lengths[j])) for i, j in pairs])
    (num_channels,) = channels
    threads = whole_number(os.cpu_count() or 1 if workers is None else workers, "workers", 1)
    parts = np.array_split(np.arange(len(pairs)), min(len(pairs), threads * CHUNKS_PER_WORKER))

    def run(part: Indices) -> None:
        where = slice(int(part[0]), int(part[-1]) + 1)
        _run(
            forwards,
            backwards,
            starts,
            num_channels,
            means,
            variances,
            gaps,
            pairs[where],
            reaches[where],
            out[where],
        )

    if threads == 1:
        run(np.arange(len(pairs)))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, parts))
    return out
