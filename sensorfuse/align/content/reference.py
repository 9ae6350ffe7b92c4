"""A reference signal that can be asked for its mean over any span: a gyro's rates, a speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sensorfuse.errors import SensorfuseError

Floats = NDArray[np.float64]

GAP_PERIODS = 4.0  # a longer silence of the reference is a hole: no mean is taken across it
LEAST_GAP_S = 0.05
INSTANT_S = 1e-9


@dataclass(frozen=True)
class Reference:
    """A signal of d channels between samples taken as linear, and its integral.

    time_s: (N,) rising. value: (N, d). integral: (N, d) from the first sample on. holes: (N,) how many holes lie before
    a sample.
    """

    time_s: Floats
    value: Floats
    integral: Floats
    holes: NDArray[np.int64]

    @property
    def period_s(self) -> float:
        """The usual time between samples."""
        return float(np.median(np.diff(self.time_s))) if len(self.time_s) > 1 else 0.0

    def between(self, start_s: float, end_s: float) -> Reference:
        """The part between two times."""
        low, high = np.searchsorted(self.time_s, [start_s, end_s])
        return Reference(self.time_s[low:high], self.value[low:high], self.integral[low:high], self.holes[low:high])


@dataclass(frozen=True)
class Spans:
    """What a sensor measured over K spans of time: the mean value (K, d) between `start_s` and `end_s` (K,), and the
    weight of each row (K,), 1 for the usual one. In order of the middles.
    """

    start_s: Floats
    end_s: Floats
    value: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def middle_s(self) -> Floats:
        return (self.start_s + self.end_s) / 2

    @property
    def length_s(self) -> float:
        """The usual length of a span."""
        return float(np.median(self.end_s - self.start_s)) if len(self) else 0.0

    @property
    def period_s(self) -> float:
        """The usual time from one span to the next."""
        return float(np.median(np.diff(self.middle_s))) if len(self) > 1 else 0.0

    def select(self, index: NDArray[np.bool_]) -> Spans:
        """The rows that a mask picks."""
        return Spans(self.start_s[index], self.end_s[index], self.value[index], self.weight[index])


def as_reference(time_s: ArrayLike, value: ArrayLike) -> Reference:
    """A reference from samples at times (N,) of values (N,) or (N, d).

    Samples that are not finite are left out, ones out of order are put in order, and of equal times the first is kept.

    Raises SensorfuseError where the shapes do not fit.
    """
    t = np.asarray(time_s, dtype=np.float64)
    v = np.asarray(value, dtype=np.float64)
    if t.ndim != 1 or v.ndim not in (1, 2) or len(v) != len(t):
        raise SensorfuseError(f"reference: times {t.shape} and values {v.shape}; give (N,) and (N,) or (N, d)")
    v = v[:, None] if v.ndim == 1 else v
    good = np.isfinite(t) & np.isfinite(v).all(axis=1)
    t, v = t[good], v[good]
    if (np.diff(t) <= 0).any():
        t, first = np.unique(t, return_index=True)
        v = v[first]
    step = np.diff(t)
    integral = np.zeros_like(v)
    np.cumsum(step[:, None] * (v[1:] + v[:-1]) / 2, axis=0, out=integral[1:])
    holes = np.zeros(len(t), np.int64)
    if len(step):
        np.cumsum(step > max(GAP_PERIODS * float(np.median(step)), LEAST_GAP_S), out=holes[1:])
    return Reference(np.ascontiguousarray(t), np.ascontiguousarray(v), integral, holes)


def as_spans(spans_s: ArrayLike, value: ArrayLike, weight: ArrayLike | None = None) -> Spans:
    """Spans (K, 2) with the mean value over each, (K,) or (K, d), and weights (K,).

    Rows that are not finite, run backwards or weigh nothing are left out, ones out of order are put in order, and of
    rows with the same end the first is kept. A span may be an instant.

    Raises SensorfuseError where the shapes do not fit.
    """
    s = np.asarray(spans_s, dtype=np.float64)
    v = np.asarray(value, dtype=np.float64)
    if s.size == 0:
        s = s.reshape(0, 2)
    if s.ndim != 2 or s.shape[1] != 2 or v.ndim not in (1, 2) or len(v) != len(s):
        raise SensorfuseError(f"spans {s.shape} with values {v.shape}; give (K, 2) and (K,) or (K, d)")
    v = v[:, None] if v.ndim == 1 else v
    w = np.ones(len(s)) if weight is None else np.asarray(weight, dtype=np.float64)
    if w.shape != (len(s),):
        raise SensorfuseError(f"weights {w.shape} for {len(s)} spans; give one each")
    good = np.isfinite(s).all(axis=1) & np.isfinite(v).all(axis=1) & np.isfinite(w) & (w > 0) & (s[:, 1] >= s[:, 0])
    s, v, w = s[good], v[good], w[good]
    _, first = np.unique(s[:, 1], return_index=True)
    return Spans(
        *(np.ascontiguousarray(x) for x in (s[first, 0], s[first, 1], v[first], w[first] / (np.median(w) or 1.0)))
        if len(s)
        else (s[:, 0], s[:, 1], v, w)
    )


@njit(cache=True, nogil=True)
def means_into(
    time: Floats,
    value: Floats,
    integral: Floats,
    holes: np.ndarray,
    start: Floats,
    end: Floats,
    shift: float,
    mean: Floats,
    slope: Floats,
    known: np.ndarray,
) -> None:
    """Fill `mean` (K, d) with the reference's mean over each span moved by `shift`, `slope` (K, d) with the change of
    that mean per second of shift, and `known` (K,) with whether the reference covers the span.
    """
    n, d = value.shape
    i = 0
    for k in range(len(start)):
        a, b = start[k] + shift, end[k] + shift
        known[k] = n > 1 and a >= time[0] and b <= time[n - 1]
        if not known[k]:
            continue
        while i < n - 2 and time[i + 1] <= a:
            i += 1
        while i > 0 and time[i] > a:
            i -= 1
        j = i
        while j < n - 2 and time[j + 1] <= b:
            j += 1
        if holes[j + 1] != holes[i]:
            known[k] = False
            continue
        hi, hj = time[i + 1] - time[i], time[j + 1] - time[j]
        sa, sb, length = a - time[i], b - time[j], b - a
        for c in range(d):
            ra, rb = (value[i + 1, c] - value[i, c]) / hi, (value[j + 1, c] - value[j, c]) / hj
            if length < INSTANT_S:
                mean[k, c] = value[i, c] + ra * sa
                slope[k, c] = ra
            else:
                low = integral[i, c] + sa * (value[i, c] + 0.5 * ra * sa)
                high = integral[j, c] + sb * (value[j, c] + 0.5 * rb * sb)
                mean[k, c] = (high - low) / length
                slope[k, c] = (value[j, c] + rb * sb - value[i, c] - ra * sa) / length


def means_at(reference: Reference, spans: Spans, shift_s: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """The reference's mean over each span moved by `shift_s` (K, d), its change per second of shift (K, d), and whether
    it is known (K,).
    """
    mean, slope = np.zeros_like(spans.value), np.zeros_like(spans.value)
    known = np.zeros(len(spans), np.bool_)
    means_into(
        reference.time_s,
        reference.value,
        reference.integral,
        reference.holes,
        spans.start_s,
        spans.end_s,
        shift_s,
        mean,
        slope,
        known,
    )
    return mean, slope, known
