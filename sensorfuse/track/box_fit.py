"""Oriented boxes from clusters: the L-shape search, and completing the sides that the sensor cannot see.

The heading search maximises the closeness criterion of Zhang, Xu, Dong, Dolan 2017 (Efficient L-shape fitting for
vehicle detection using laser scanners, algorithm 4). Completion anchors the class's prior size at the corner nearest
the sensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.track.priors import LOG_WEIGHT, SIZE_M, SIZE_SIGMA_M, UNKNOWN

Array = NDArray[np.float64]

MAX_POINTS = 160  # per heading search; a larger cluster is thinned evenly
SHORT_COST = 12.0  # log-likelihood that a side costs of which nothing is seen though it faces the sensor
MAX_SHORT_COST = 4.0
MIN_LOG_LIKELIHOOD = -5.0  # shapes less likely than this under every class are `unknown`


@njit(cache=True)
def fit_l_shape(xy: Array, steps: int, floor_m: float) -> tuple[float, float, float, float, float]:
    """Best rectangle of points (N, 2): `(angle, min_1, max_1, min_2, max_2)`.

    `angle` in [0, pi/2) is the first axis; minima and maxima are projections on the axes, metres. `floor_m` is the
    distance under which a point counts as on the edge.
    """
    best = -1.0
    best_fit = (0.0, 0.0, 0.0, 0.0, 0.0)
    n = len(xy)
    a = np.empty(n)
    b = np.empty(n)
    for step in range(steps):
        angle = 0.5 * np.pi * step / steps
        cos, sin = np.cos(angle), np.sin(angle)
        a_min, a_max, b_min, b_max = np.inf, -np.inf, np.inf, -np.inf
        sum_a = sum_b = 0.0
        for i in range(n):
            a[i] = xy[i, 0] * cos + xy[i, 1] * sin
            b[i] = -xy[i, 0] * sin + xy[i, 1] * cos
            a_min, a_max = min(a_min, a[i]), max(a_max, a[i])
            b_min, b_max = min(b_min, b[i]), max(b_max, b[i])
            sum_a += a[i]
            sum_b += b[i]
        near_low_a = sum_a / n - a_min < a_max - sum_a / n  # on which of the two edges the points lie, summed distance
        near_low_b = sum_b / n - b_min < b_max - sum_b / n
        score = 0.0
        for i in range(n):
            da = a[i] - a_min if near_low_a else a_max - a[i]
            db = b[i] - b_min if near_low_b else b_max - b[i]
            score += 1.0 / max(min(da, db), floor_m)
        if score > best:
            best = score
            best_fit = (angle, a_min, a_max, b_min, b_max)
    return best_fit


@njit(cache=True)
def fit_clusters(
    xy: Array, order: NDArray[np.int64], starts: NDArray[np.int64], steps: int = 45, floor_m: float = 0.08
) -> Array:
    """`fit_l_shape` of every cluster (rows of `group_by_label`): (K, 5). The headings are searched on a thinned
    cluster, the extents are those of all its points.
    """
    fits = np.zeros((len(starts) - 1, 5))
    for k in range(len(starts) - 1):
        members = order[starts[k] : starts[k + 1]]
        if len(members) == 0:
            continue
        stride = (len(members) + MAX_POINTS - 1) // MAX_POINTS
        fit = fit_l_shape(xy[members[::stride]], steps, floor_m)
        cos, sin = np.cos(fit[0]), np.sin(fit[0])
        a_min, a_max, b_min, b_max = fit[1], fit[2], fit[3], fit[4]
        for i in members:
            a = xy[i, 0] * cos + xy[i, 1] * sin
            b = -xy[i, 0] * sin + xy[i, 1] * cos
            a_min, a_max = min(a_min, a), max(a_max, a)
            b_min, b_max = min(b_min, b), max(b_max, b)
        fits[k, 0], fits[k, 1], fits[k, 2], fits[k, 3], fits[k, 4] = fit[0], a_min, a_max, b_min, b_max
    return fits


@dataclass(frozen=True)
class Boxes:
    """Completed boxes in the plane, N rows. `sigma` is the one-sigma error of the centre along length and width."""

    class_id: NDArray[np.uint8]
    log_likelihood: Array  # (N,) of the extents under the class; 0 is a perfect fit
    center: Array  # (N, 2)
    size: Array  # (N, 2) length, width
    yaw: Array  # (N,) in [-pi/2, pi/2): a shape does not tell front from rear
    sigma: Array  # (N, 2)


def class_scores(extent: Array, height: Array, slack: Array, exposure: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Log-likelihood (N, K) of visible extents (N, 2) and height (N,) per class, and where the length lies along the
    first.

    An extent that exceeds the class's costs as a Gaussian does. One that falls short by more than the beams' spacing
    `slack` (N,) costs as far as the sensor faces the side that it runs along: `exposure` (N, 2), 0 edge on to 1 square
    on.
    """
    faced = np.clip((exposure - 0.1) / 0.25, 0.03, 1.0)[:, :, None]  # (N, 2, 1)

    def cost(side: int, axis: int) -> Array:
        seen = extent[:, side, None]
        excess = np.maximum(seen - SIZE_M[:, axis], 0.0) / SIZE_SIGMA_M[:, axis]
        short = np.maximum(SIZE_M[:, axis] - SIZE_SIGMA_M[:, axis] - seen - slack[:, None], 0.0) / SIZE_M[:, axis]
        return np.asarray(0.5 * excess**2 + np.minimum(SHORT_COST * short**2, MAX_SHORT_COST) * faced[:, side])

    along_first = cost(0, 0) + cost(1, 1)
    along_second = cost(0, 1) + cost(1, 0)
    excess = (height[:, None] - SIZE_M[:, 2]) / SIZE_SIGMA_M[:, 2]
    tall = np.where(excess > 0, 0.5 * excess**2, np.minimum(0.3 * excess**2, 3.0))
    return -np.minimum(along_first, along_second) - tall, along_first <= along_second


def _side(low: Array, high: Array, origin: Array, full: Array, spread: Array) -> tuple[Array, Array, Array]:
    """Centre, extent, centre sigma of one side, seen from `low` to `high` by a sensor at `origin` on the same axis."""
    seen = high - low
    whole = seen >= full - spread
    middle = 0.5 * (low + high)
    below, above = origin < low, origin > high
    centre = np.where(whole, middle, np.where(below, low + 0.5 * full, np.where(above, high - 0.5 * full, middle)))
    partial = np.where(
        below | above, 0.5 * spread + 0.1, 0.1 + (full - seen) / 4
    )  # square on: it may reach out either way
    return centre, np.where(whole, seen, full), np.where(whole, 0.12, partial)


def complete_boxes(fits: Array, height: Array, slack: Array, sensor_xy: Array) -> Boxes:
    """The box of the likeliest class around each L-shape fit (N, 5), the unseen sides filled in away from the sensor.

    `slack` (N,) is how far apart neighbouring beams hit at the cluster's range, metres.
    """
    angle, a_min, a_max, b_min, b_max = fits.T
    cos, sin = np.cos(angle), np.sin(angle)
    origin_a, origin_b = sensor_xy[0] * cos + sensor_xy[1] * sin, -sensor_xy[0] * sin + sensor_xy[1] * cos
    beyond_a = np.maximum(np.maximum(a_min - origin_a, origin_a - a_max), 0.0)
    beyond_b = np.maximum(np.maximum(b_min - origin_b, origin_b - b_max), 0.0)
    distance = np.maximum(np.hypot(beyond_a, beyond_b), 1e-6)
    exposure = np.column_stack([beyond_b, beyond_a]) / distance[:, None]  # a side along a is faced from beyond b
    scores, first = class_scores(np.column_stack([a_max - a_min, b_max - b_min]), height, slack, exposure)
    rows = np.arange(len(fits))
    best = np.argmax(scores + LOG_WEIGHT, axis=1) if len(fits) else np.zeros(0, np.int64)
    likelihood, along_a = scores[rows, best], first[rows, best]
    axis_a = np.where(along_a, 0, 1)
    axis_b = 1 - axis_a
    center_a, extent_a, sigma_a = _side(a_min, a_max, origin_a, SIZE_M[best, axis_a], SIZE_SIGMA_M[best, axis_a])
    center_b, extent_b, sigma_b = _side(b_min, b_max, origin_b, SIZE_M[best, axis_b], SIZE_SIGMA_M[best, axis_b])
    swap = np.column_stack([axis_a, axis_b])
    return Boxes(
        class_id=np.where(likelihood > MIN_LOG_LIKELIHOOD, best, UNKNOWN).astype(np.uint8),
        log_likelihood=likelihood,
        center=np.column_stack([center_a * cos - center_b * sin, center_a * sin + center_b * cos]),
        size=np.take_along_axis(np.column_stack([extent_a, extent_b]), swap, axis=1),
        yaw=np.where(along_a, angle, angle - 0.5 * np.pi),
        sigma=np.take_along_axis(np.column_stack([sigma_a, sigma_b]), swap, axis=1),
    )
