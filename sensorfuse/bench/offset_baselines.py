"""Coarse estimators of the offset between a turning sensor and a gyro, as others do it, after their descriptions.

They stand beside our own estimate in the benchmark. Those of Kalibr and of LI-Init begin a batch that is better.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter1d
from scipy.signal import correlate

from sensorfuse.bench.turning import Floats, Turning

BOX = 25
CLIP_PERCENTILE = 99.0


def _norms(made: Turning) -> tuple[Floats, Floats, Floats]:
    """Middles of the spans, norms of the mean rates, and of the gyro's."""
    length = np.diff(made.spans_s, axis=1)
    return (
        made.spans_s.mean(axis=1),
        np.linalg.norm(made.turns_rad / length, axis=1),
        np.linalg.norm(made.gyro_radps, axis=1),
    )


def _shift(reference: Floats, sensor: Floats, step_s: float, first_s: float) -> float:
    """Offset of the highest value of the correlation as it is: whole steps, no regard to the overlap."""
    match = correlate(reference, sensor, mode="full", method="fft")
    return float((int(np.argmax(match)) - (len(sensor) - 1)) * step_s + first_s)


def spline_prior(made: Turning) -> float:
    """As Kalibr's prior (Furgale, Rehder, Siegwart, IROS 2013): norms of a spline through the sensor's turns, sampled
    at the gyro's times, correlated with the gyro's norms without means removed, to a whole gyro sample.
    """
    edges = np.append(made.spans_s[:, 0], made.spans_s[-1, 1])
    angle = np.vstack([np.zeros(3), np.cumsum(made.turns_rad, axis=0)])
    inside = made.gyro_s[(made.gyro_s >= edges[0]) & (made.gyro_s <= edges[-1])]
    step_s = float(np.median(np.diff(made.gyro_s)))
    sensor = np.linalg.norm(CubicSpline(edges, angle)(inside, 1), axis=1)
    return _shift(_norms(made)[2], sensor, step_s, made.gyro_s[0] - inside[0])


def boxed_norms(made: Turning) -> float:
    """As in hand-eye calibration (Furrer et al., FSR 2017): norms on a grid of the smallest sample interval,
    smoothed by a box of 25 samples, cut at the 99th percentile, correlated to a whole sample.
    """
    middle, sensor, gyro = _norms(made)
    step_s = float(min(np.diff(middle).min(), np.diff(made.gyro_s).min()))
    grids = [np.arange(t[0], t[-1], step_s) for t in (middle, made.gyro_s)]
    even = [np.interp(grids[0], middle, sensor), np.interp(grids[1], made.gyro_s, gyro)]
    even = [np.minimum(s, np.percentile(s, CLIP_PERCENTILE)) for s in (uniform_filter1d(e, BOX) for e in even)]
    return _shift(even[1] - even[1].mean(), even[0] - even[0].mean(), step_s, grids[1][0] - grids[0][0])


def frame_correlation(made: Turning) -> float:
    """As LI-Init's first stage (Zhu et al., IROS 2022): norms less their means at the sensor's own rate, correlated
    without normalisation, to a whole frame.
    """
    middle, sensor, gyro = _norms(made)
    step_s = float(np.median(np.diff(middle)))
    grid = np.arange(made.gyro_s[0], made.gyro_s[-1], step_s)
    even = np.interp(np.arange(middle[0], middle[-1] + step_s / 2, step_s), middle, sensor)
    reference = np.interp(grid, made.gyro_s, gyro)
    return _shift(reference - reference.mean(), even - even.mean(), step_s, grid[0] - middle[0])


BASELINES: dict[str, Callable[[Turning], float]] = {
    "spline prior (as Kalibr)": spline_prior,
    "boxed norms (as hand-eye)": boxed_norms,
    "frame correlation (as LI-Init)": frame_correlation,
}
