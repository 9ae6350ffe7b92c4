"""Canonical correlation analysis: the directions in which two sensors' readings agree most. Numpy.

Hotelling, Biometrika 1936. With centred data A = U_a D_a V_a^T (singular values), and r the regularisation, the axes
that whiten A are W_a = V_a (D_a^2 / (N - 1) + r)^-1/2, and alike for B. The singular values of W_a^T S_ab W_b = U R V^T
are the canonical correlations R; the axes are W_a U and W_b V. Nothing is squared before it is decomposed.

A use at run time: axes of camera motion against the gyroscope. Where they stop agreeing, calibration or time is at
fault.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CanonicalAxes:
    """K pairs of axes, the best agreeing first. `correlations` are those of the data they were found on: to know what
    they are worth, ask `agreement` with other data.
    """

    mean_a: Floats  # (Da,)
    mean_b: Floats  # (Db,)
    axes_a: Floats  # (Da, K)
    axes_b: Floats  # (Db, K)
    correlations: Floats  # (K,) in [0, 1]

    def project_a(self, a: Floats) -> Floats:
        """(N, Da) -> (N, K), of variance 1 on the data that the axes were found on."""
        return (a - self.mean_a) @ self.axes_a

    def project_b(self, b: Floats) -> Floats:
        """(N, Db) -> (N, K)."""
        return (b - self.mean_b) @ self.axes_b

    def agreement(self, a: Floats, b: Floats) -> Floats:
        """Correlation along each pair of axes (K,) of other data; 0 where one of them does not vary."""
        x, y = (a - a.mean(axis=0)) @ self.axes_a, (b - b.mean(axis=0)) @ self.axes_b
        size = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
        return (x * y).sum(axis=0) / np.where(size > 0, size, np.inf)


def find_canonical_axes(a: Floats, b: Floats, count: int | None = None, regularisation: float = 0.0) -> CanonicalAxes:
    """Canonical axes of paired rows a (N, Da), b (N, Db); `count` of them, default as many as there are.

    `regularisation` r is a variance, in squared units of the data.

    Raises:
        SensorfuseError: rows not paired, values not finite, or too few rows to tell agreement from chance.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise SensorfuseError(
            f"canonical correlation needs paired rows (N, Da) and (N, Db), not {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise SensorfuseError("canonical correlation: a value is not finite; leave out rows with gaps in either sensor")
    if len(a) <= a.shape[1] + b.shape[1] and not regularisation > 0:
        raise SensorfuseError(
            f"canonical correlation: {len(a)} rows of {a.shape[1]} + {b.shape[1]} numbers correlate perfectly whatever "
            "they are; give more rows, or a regularisation above 0"
        )
    white_a, white_b = _whitening(a, regularisation), _whitening(b, regularisation)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    cross = ((a - mean_a) @ white_a).T @ ((b - mean_b) @ white_b) / (len(a) - 1)
    u, correlations, vt = np.linalg.svd(cross, full_matrices=False)
    correlations = np.clip(correlations[:count], 0.0, 1.0)
    return CanonicalAxes(mean_a, mean_b, white_a @ u[:, :count], white_b @ vt[:count].T, correlations)


def _whitening(x: Floats, regularisation: float) -> Floats:
    """W (D, rank) such that (x - mean) W has unit covariance; directions in which x does not vary are left out."""
    _, size, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    varies = size > size.max(initial=0.0) * max(x.shape) * np.finfo(np.float64).eps
    return vt[varies].T / np.sqrt(size[varies] ** 2 / (len(x) - 1) + regularisation)
