"""A scanning radar's yaw from one scan to the next.

Coarse: phase correlation along azimuth (Kuglin and Hines 1975), summed over ranges. Fine: Gauss-Newton on the smoothed
power (Lucas and Kanade 1981 in polar coordinates) for yaw and the two translations together, so that driving past
things is not taken for turning.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from sensorfuse.align.signatures.span import comparable
from sensorfuse.messages import Sample
from sensorfuse.sensor_config import SensorConfig

NEAREST_M = 6.0
CELL_M = 1.0  # ranges are averaged to about this
MIN_RANGES, MIN_AZIMUTHS = 16, 64
QUANTILE = 0.9  # of the power at a range: what is above is a thing
STEPS = 8
MIN_PEAK = 0.3  # of the phase correlation, whose largest is 1
MIN_EXPLAINED = 0.2  # of the power, by the motion found
BLUR_AZIMUTHS, BLUR_RANGES, BLUR_STRIDE = 5, 7, 3
MAX_YAW_RADPS = 4.0
INFLATION = 3.0  # of sigma: neighbouring cells hold the same thing
MAX_SIGMA_RAD = 0.05

Array = NDArray[np.float64]


@njit(cache=True)
def _align(before, after, nearest_m, cell_m, state, steps, stride):  # type: ignore[no-untyped-def]
    """Improve `state` (3,): yaw (rad), forward and left shift (m). Return its normal equations, the residual's variance
    and the share of the power that is explained.

    A thing at azimuth f and range r before is at f - yaw + (x sin f - y cos f) / r and r - x cos f - y sin f after.
    """
    azimuths, ranges = before.shape
    per_cell = 2.0 * math.pi / azimuths
    normal, right = np.zeros((3, 3)), np.zeros(3)
    variance, row, explained = 1e30, np.empty(3), 0.0
    for _ in range(steps):
        normal[:], right[:] = 0.0, 0.0
        total, weights, energy = 0.0, 0.0, 0.0
        for a in range(0, azimuths, stride):
            f = a * per_cell
            c, s = math.cos(f), math.sin(f)
            for k in range(2, ranges - 2, stride):
                here = before[a, k]
                if here <= 0.0:
                    continue
                r = nearest_m + (k + 0.5) * cell_m
                at_a = a + (-state[0] + (state[1] * s - state[2] * c) / r) / per_cell
                at_k = k - (state[1] * c + state[2] * s) / cell_m
                k0 = math.floor(at_k)
                if k0 < 1 or k0 >= ranges - 2:
                    continue
                a0 = math.floor(at_a)
                u, v = at_a - a0, at_k - k0
                a0 %= azimuths
                a1 = (a0 + 1) % azimuths
                p00, p01, p10, p11 = after[a0, k0], after[a0, k0 + 1], after[a1, k0], after[a1, k0 + 1]
                value = (1 - u) * ((1 - v) * p00 + v * p01) + u * ((1 - v) * p10 + v * p11)
                da = ((1 - v) * (p10 - p00) + v * (p11 - p01)) / per_cell
                dk = ((1 - u) * (p01 - p00) + u * (p11 - p10)) / cell_m
                row[0] = -da
                row[1] = da * s / r - dk * c
                row[2] = -da * c / r - dk * s
                e = here - value
                w = 1.0 / (1.0 + e * e / (4.0 * variance))
                total += w * e * e
                weights += w
                energy += w * here * here
                for i in range(3):
                    right[i] += w * row[i] * e
                    for j in range(3):
                        normal[i, j] += w * row[i] * row[j]
        if weights < 50.0:
            return normal, variance, 0.0
        variance = max(total / weights, 1e-6)
        explained = 1.0 - total / max(energy, 1e-9)
        for i in range(3):
            normal[i, i] += 1e-9
        step = np.linalg.solve(normal, right)
        for i in range(3):
            limit = 0.05 if i == 0 else 2.0
            state[i] += min(max(step[i], -limit), limit)
        if abs(step[0]) < 1e-5 and abs(step[1]) + abs(step[2]) < 1e-3:
            break
    return normal, variance, explained


class RadarTurn:
    """Compares each scan with the last. One per stream; feed in order."""

    def __init__(self, config: SensorConfig) -> None:
        self.config = config
        self._before: tuple[int, NDArray[np.float32], NDArray[np.complexfloating[Any, Any]]] | None = None
        self._raw: NDArray[np.uint8] | None = None
        self._rate = np.zeros(3)  # yaw rate, velocity forward and left

    def measure(self, sample: Sample, at_ns: int) -> dict[str, Any]:
        """`turn_rad`, `turn_sigma_rad` (yaw alone) and `turn_span_ns` of a polar scan whose middle is at `at_ns`.

        Nothing where the scans do not tell, or azimuths are no even full turn. A scan that repeats the last one counts
        as not taken.
        """
        polar = sample.arrays["polar"]
        if self._raw is not None and np.array_equal(polar, self._raw):
            return {}
        self._raw = polar
        picture, cell_m = self._things(sample)
        before, self._before = self._before, None
        if picture is None:
            return {}
        spectrum = np.fft.rfft(picture, axis=0)
        self._before = at_ns, picture, spectrum
        if before is None or before[1].shape != picture.shape or not comparable(before[0], at_ns, self.config):
            self._rate[:] = 0.0
            return {}
        span_s = (at_ns - before[0]) / 1e9
        coarse, peak = _azimuth_shift(before[2], spectrum, len(picture))
        if peak < MIN_PEAK or abs(coarse) > MAX_YAW_RADPS * span_s:
            return {}
        start = np.array([coarse, self._rate[1] * span_s, self._rate[2] * span_s])
        state = start.copy()
        _align(_blurred(before[1]), _blurred(picture), NEAREST_M, cell_m, state, STEPS, BLUR_STRIDE)
        normal, variance, explained = _align(before[1], picture, NEAREST_M, cell_m, state, STEPS, 1)
        if explained < MIN_EXPLAINED or not np.isfinite(state).all() or abs(state[0] - coarse) > 0.2:
            self._rate[:] = 0.0
            return {}
        self._rate = state / span_s
        sigma = INFLATION * math.sqrt(variance * float(np.linalg.inv(normal)[0, 0]))
        if not sigma < MAX_SIGMA_RAD:
            return {}
        return {
            "turn_rad": [0.0, 0.0, float(state[0])],
            "turn_sigma_rad": [math.inf, math.inf, sigma],
            "turn_span_ns": [before[0], at_ns],
        }

    def _things(self, sample: Sample) -> tuple[NDArray[np.float32] | None, float]:
        """Power (A, R) above what is usual at its range, azimuths counter-clockwise from forward; and metres a cell."""
        polar, resolution = sample.arrays["polar"], sample.meta.get("range_resolution_m")
        azimuths = sample.arrays.get("azimuths_rad")
        if not isinstance(resolution, int | float) or not 1e-3 < resolution < 100 or azimuths is None:
            return None, 0.0
        if len(polar) < MIN_AZIMUTHS or not np.isfinite(azimuths).all():
            return None, 0.0
        steps = np.angle(np.exp(1j * np.diff(np.append(azimuths, azimuths[0]).astype(np.float64))))
        if np.abs(np.abs(steps) - 2 * np.pi / len(azimuths)).max() > 0.5 * 2 * np.pi / len(azimuths):
            return None, 0.0
        first, group = round(NEAREST_M / resolution), max(1, round(CELL_M / resolution))
        ranges = (polar.shape[1] - first) // group
        if ranges < MIN_RANGES:
            return None, 0.0
        cells = (
            polar[:, first : first + ranges * group].reshape(len(polar), ranges, group).mean(axis=2, dtype=np.float32)
        )
        cells = np.maximum(cells - np.quantile(cells[::4], QUANTILE, axis=0), 0.0).astype(np.float32)
        cells = uniform_filter1d(uniform_filter1d(cells, 3, axis=0, mode="wrap"), 3, axis=1)
        if steps[0] < 0:
            cells = cells[::-1]
            cells = np.roll(cells, 1, axis=0)
        return np.ascontiguousarray(
            np.roll(cells, round(azimuths[0] / (2 * np.pi) * len(cells)), axis=0)
        ), resolution * group


def _blurred(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture (A, R) so smooth that things some metres apart still overlap."""
    wide = uniform_filter1d(uniform_filter1d(picture, BLUR_AZIMUTHS, axis=0, mode="wrap"), BLUR_RANGES, axis=1)
    return np.asarray(uniform_filter1d(wide, BLUR_RANGES, axis=1), np.float32)


def _azimuth_shift(
    before: NDArray[np.complexfloating[Any, Any]], after: NDArray[np.complexfloating[Any, Any]], azimuths: int
) -> tuple[float, float]:
    """Yaw in rad of the later scan, and the height of the correlation's peak, from spectra over azimuth (F, R)."""
    cross = (before * np.conj(after)).sum(axis=1)
    size = np.abs(cross)
    if not size[1:].max(initial=0.0) > 0:
        return 0.0, 0.0
    band = np.arange(len(cross)) < azimuths // 8  # the beam holds nothing finer
    cross = np.where(band & (size > 0), cross / np.maximum(size, 1e-12), 0.0)
    cross[0] = 0.0
    correlation = np.fft.irfft(cross, azimuths)
    k = int(np.argmax(correlation))
    left, top, right = correlation[k - 1], correlation[k], correlation[(k + 1) % azimuths]
    bend = left - 2 * top + right
    part = 0.5 * (left - right) / bend if bend < 0 else 0.0
    shift = (k + part + azimuths / 2) % azimuths - azimuths / 2
    height = float(top) * azimuths / max(2.0 * float(band.sum() - 1), 1.0)
    return float(shift * 2 * np.pi / azimuths), height
