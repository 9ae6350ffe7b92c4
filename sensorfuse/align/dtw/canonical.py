"""Canonical time warping: alignment of series that measure different things, offline.

Zhou and de la Torre, "Canonical Time Warping for Alignment of Human Behavior", NIPS 2009. Alternate two steps: with the
path fixed, canonical correlation analysis finds a projection of each series under which aligned samples agree; with the
projections fixed, DTW finds the path. The alternation only finds the optimum near its start, so several starts are
tried: the straight path, the straight path shifted by lags, and DTW on leading principal components. The one whose
aligned projections differ least wins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh, svd

from sensorfuse.align.dtw.exact import align
from sensorfuse.align.dtw.series import Floats, as_series, whole_number
from sensorfuse.errors import SensorfuseError

SHIFTS = (-0.2, -0.1, 0.1, 0.2)  # of the longer series' length
Path = NDArray[np.int64]


class CanonicalWarp(NamedTuple):
    """path: (length, 2) indices into x and y. projection_x (dx, k), projection_y (dy, k), means (dx,), (dy,): aligned
    samples of (x - mean_x) projection_x and (y - mean_y) projection_y agree. correlation: (k,) canonical correlations
    along the path. difference: mean squared difference along the path, per projected channel of unit variance."""

    path: Path
    projection_x: Floats
    projection_y: Floats
    mean_x: Floats
    mean_y: Floats
    correlation: Floats
    difference: float


def canonical_warp(
    x: ArrayLike,
    y: ArrayLike,
    *,
    num_components: int = 1,
    regularisation: float = 1e-3,
    band: int | None = None,
    max_iterations: int = 50,
) -> CanonicalWarp:
    """Align x (n, dx) and y (m, dy), whose channels need not correspond.

    num_components: k, channels of the common space, at most min(dx, dy). regularisation: added to each covariance as a
    share of its mean variance; keeps the analysis from fitting noise where channels are many or alike.
    band: as in `distance`, for every path. Raises SensorfuseError for bad series, a missing value, or a k out of range.
    """
    first, second = as_series(x, "x"), as_series(y, "y")
    if np.isnan(first.sum()) or np.isnan(second.sum()):
        raise SensorfuseError("canonical warping has no rule for missing values (NaN); fill or cut them first")
    most = min(first.shape[1], second.shape[1])
    if not 1 <= num_components <= most:
        raise SensorfuseError(f"num_components is {num_components}; the series allow 1 to {most}")
    if not regularisation > 0:
        raise SensorfuseError(f"regularisation is {regularisation!r}; give a positive number")
    whole_number(max_iterations, "max_iterations", 1)
    for name, series in (("x", first), ("y", second)):
        if not series.var() > 0:
            raise SensorfuseError(f"{name} is constant: there is nothing to align")
    best: CanonicalWarp | None = None
    for path in _starts(first, second, band):
        found = _alternate(first, second, path, num_components, regularisation, band, max_iterations)
        if best is None or found.difference < best.difference:
            best = found
    assert best is not None
    return best


def _alternate(
    x: Floats, y: Floats, path: Path, k: int, regularisation: float, band: int | None, max_iterations: int
) -> CanonicalWarp:
    found = _correlate(x, y, path, k, regularisation)
    for _ in range(max_iterations):
        path = align((x - found.mean_x) @ found.projection_x, (y - found.mean_y) @ found.projection_y, band=band).path
        last, found = found, _correlate(x, y, path, k, regularisation)
        if np.array_equal(last.path, path) or abs(last.difference - found.difference) < 1e-10:
            break
    return found


def _correlate(x: Floats, y: Floats, path: Path, k: int, regularisation: float) -> CanonicalWarp:
    """Regularised canonical correlation analysis of the samples that a path pairs; projections have unit variance."""
    a, b = x[path[:, 0]], y[path[:, 1]]
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    a, b = a - mean_a, b - mean_b
    white_a, white_b = _whitening(a, regularisation), _whitening(b, regularisation)
    left, _, right = svd(white_a.T @ (a.T @ b / len(a)) @ white_b)
    project_a, project_b = white_a @ left[:, :k], white_b @ right[:k].T
    u, v = a @ project_a, b @ project_b
    scale_u, scale_v = (np.maximum(part.std(axis=0), 1e-12) for part in (u, v))
    u, v = u / scale_u, v / scale_v
    correlation = (u * v).mean(axis=0)
    return CanonicalWarp(
        path,
        project_a / scale_u,
        project_b / scale_v,
        mean_a,
        mean_b,
        correlation,
        float(((u - v) ** 2).mean()),
    )


def _whitening(centred: Floats, regularisation: float) -> Floats:
    covariance = centred.T @ centred / len(centred)
    ridge = regularisation * max(np.trace(covariance) / len(covariance), 1e-300)
    values, vectors = eigh(covariance + ridge * np.eye(len(covariance)))
    whitening: Floats = vectors / np.sqrt(values)
    return whitening


def _starts(x: Floats, y: Floats, band: int | None) -> list[Path]:
    n, m = len(x), len(y)
    steps = np.arange(max(n, m))
    straight_x = np.round(steps * (n - 1) / max(1, len(steps) - 1)).astype(np.int64)
    straight_y = np.round(steps * (m - 1) / max(1, len(steps) - 1)).astype(np.int64)
    paths = [np.stack([straight_x, straight_y], axis=1)]
    for shift in SHIFTS:
        moved = np.clip(straight_y + round(shift * len(steps)), 0, m - 1)
        paths.append(np.stack([straight_x, moved], axis=1))
    lead_x, lead_y = _leading(x), _leading(y)
    paths.extend(align(lead_x, sign * lead_y, band=band).path for sign in (1.0, -1.0))
    return paths


def _leading(series: Floats) -> Floats:
    """The first principal component, with unit variance, (n,)."""
    centred = series - series.mean(axis=0)
    component = centred @ svd(centred.T @ centred)[0][:, 0]
    return component / component.std()
