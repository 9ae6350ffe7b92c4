"""The band in which a reference moves, so that noise outside of it is neither matched nor counted as motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from sensorfuse.align.content.reference import Floats, Reference, Spans

SEGMENT_S = 4.0
FLOOR_FROM = 0.5  # of the highest frequency: from there on, a gyro shows its noise
FLOOR_TIMES = 1.5
SHARE = 0.95
SMOOTHING = 0.13  # of a period of the band's upper edge: a Gaussian so wide passes half the power there
FINE_SMOOTHING = 0.08  # less where the reference is only kept from following its own noise
REACH = 3.0  # sigmas


@dataclass(frozen=True)
class Band:
    """upper_hz: 95 % of the visible motion lies below. moving: its rms. noise: rms of the reference's white noise per
    sample and channel.
    """

    upper_hz: float
    moving: float
    noise: float


def motion_band(reference: Reference, span_s: float) -> Band:
    """The band of a reference as seen through means over `span_s`: Welch's power spectrum, less one and a half times
    the noise floor.
    """
    period_s = reference.period_s
    n = len(reference.time_s)
    if n < 16 or period_s <= 0:
        return Band(0.0, 0.0, 0.0)
    count = min(int((reference.time_s[-1] - reference.time_s[0]) / period_s) + 1, 4 * n)
    grid = reference.time_s[0] + period_s * np.arange(count)
    even = np.stack([np.interp(grid, reference.time_s, v) for v in reference.value.T])
    freqs, total = _power(even, 1 / period_s, min(count, round(SEGMENT_S / period_s)))
    floor = float(np.median(total[freqs >= FLOOR_FROM * freqs[-1]]))
    seen = np.sinc(freqs * span_s) ** 2 * (freqs * span_s < 1)
    signal = np.maximum(total - FLOOR_TIMES * floor, 0.0) * seen
    signal[0] = 0.0
    whole = np.cumsum(signal)
    noise = float(np.sqrt(floor * freqs[-1] / len(even)))
    if whole[-1] <= 0:
        return Band(0.0, 0.0, noise)
    upper = float(np.interp(SHARE * whole[-1], whole, freqs))
    return Band(upper, float(np.sqrt(whole[-1] * freqs[1])), noise)


def _power(even: Floats, rate_hz: float, size: int) -> tuple[Floats, Floats]:
    """Frequencies and one-sided power density, summed over the rows of `even` (Welch 1967: half overlapping segments of
    `size`, Hann's window).
    """
    segments = np.lib.stride_tricks.sliding_window_view(even, size, axis=1)[:, :: max(1, size // 2)]
    window = np.hanning(size + 1)[:-1]
    shaped = (segments - segments.mean(axis=2, keepdims=True)) * window
    power = (np.abs(np.fft.rfft(shaped, axis=2)) ** 2).mean(axis=1).sum(axis=0)
    return np.asarray(np.fft.rfftfreq(size, 1 / rate_hz)), np.asarray(power * 2 / (rate_hz * (window @ window)))


@dataclass(frozen=True)
class Smoother:
    """Weighted means over neighbouring rows: output row o is the mean of the rows `first[o]` to `last[o]` (not
    included), with weights from `begin[o]` on in `weight`. `centre`: the row of each output.
    """

    centre: np.ndarray
    first: np.ndarray
    last: np.ndarray
    begin: np.ndarray
    weight: Floats

    def __call__(self, rows: Floats) -> Floats:
        """The means (O, m) of rows (K, m), one per output."""
        out = np.empty((len(self.centre), rows.shape[1]))
        _means(np.ascontiguousarray(rows), self.first, self.last, self.begin, self.weight, out)
        return out

    @property
    def own_less_next(self) -> float:
        """The share of a row in its own mean less that of the row after it, the middle one of all outputs."""
        o = len(self.centre) // 2
        w = self.weight[self.begin[o] : self.begin[o] + self.last[o] - self.first[o]]
        at = self.centre[o] - self.first[o]
        return float((w[at] - (w[at + 1] if at + 1 < len(w) else 0.0)) / w.sum())


@njit(cache=True, nogil=True)
def _means(rows: Floats, first: np.ndarray, last: np.ndarray, begin: np.ndarray, weight: Floats, out: Floats) -> None:
    for o in range(len(first)):
        out[o] = 0.0
        total = 0.0
        for k in range(first[o], last[o]):
            w = weight[begin[o] + k - first[o]]
            total += w
            for c in range(rows.shape[1]):
                out[o, c] += w * rows[k, c]
        for c in range(rows.shape[1]):
            out[o, c] /= total


def gaussian(spans: Spans, sigma_s: float, thin: bool) -> Smoother:
    """A Gaussian over the rows of spans, by the times of their middles. With `thin`, outputs no denser than half a
    sigma.
    """
    at = spans.middle_s
    stride = max(1, int(0.5 * sigma_s / spans.period_s)) if thin and spans.period_s > 0 else 1
    centre = np.arange(0, len(at), stride)
    first = np.searchsorted(at, at[centre] - REACH * sigma_s, side="left")
    last = np.searchsorted(at, at[centre] + REACH * sigma_s, side="right")
    lengths = last - first
    begin = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    rows = np.repeat(first - begin, lengths) + np.arange(int(lengths.sum()))
    away = at[rows] - np.repeat(at[centre], lengths)
    shape = np.exp(-0.5 * (away / sigma_s) ** 2) if sigma_s > 0 else np.ones(len(away))
    return Smoother(centre, first, last, begin, shape * spans.weight[rows])
