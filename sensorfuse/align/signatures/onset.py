"""Onset strength of sound: the half-wave rectified change of log energy in octave bands, hop by hop (the spectral flux
of Masri 1996; log compression as Klapuri 1999).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HOP_S = 0.01
FLOOR = 1e-9  # energy per sample beneath which everything is silence: -90 dB of full scale
LOWEST_HZ = 150.0
MIN_RATE_HZ = 1000

Array = NDArray[np.float64]


class Onset:
    """Hops run on over the borders of blocks. One per stream; feed in order."""

    def __init__(self) -> None:
        self._rate_hz = 0
        self._rest = np.zeros(0)  # samples that fill no hop yet
        self._before: Array | None = None  # log energy of the last hop's bands
        self._next_ns: int | None = None  # when the next block is due

    def measure(self, pcm: NDArray[np.floating[Any]], rate_hz: int, stamp_ns: int) -> dict[str, Any]:
        """`onset`, `onset_start_ns` and `onset_hop_ns` of the hops that a block (N, C) completes; its first sample was
        taken at `stamp_ns`.

        A hop's time is its middle. A value is the mean over bands of how much the natural logarithm of the energy rose
        since the hop before. Nothing where no hop with a predecessor is complete; a gap between blocks starts anew.
        """
        if rate_hz < MIN_RATE_HZ or pcm.ndim != 2 or not pcm.size:
            return {}
        hop = round(rate_hz * HOP_S)
        per_sample = 1e9 / rate_hz
        if self._next_ns is None or rate_hz != self._rate_hz or abs(stamp_ns - self._next_ns) > hop * per_sample / 2:
            self._rate_hz, self._rest, self._before = rate_hz, np.zeros(0), None
        self._next_ns = stamp_ns + round(len(pcm) * per_sample)
        mono = np.concatenate([self._rest, np.nan_to_num(np.asarray(pcm, np.float64).mean(axis=1))])
        first_ns = stamp_ns - len(self._rest) * per_sample
        count = len(mono) // hop
        self._rest = mono[count * hop :]
        if count == 0:
            return {}
        levels = _band_levels(mono[: count * hop].reshape(count, hop), rate_hz)
        start_ns = first_ns + hop * per_sample / 2
        if self._before is None:
            start_ns += hop * per_sample
        else:
            levels = np.vstack([self._before, levels])
        self._before = levels[-1]
        rise = np.maximum(np.diff(levels, axis=0), 0.0).mean(axis=1)
        if not len(rise):
            return {}
        return {"onset": rise.tolist(), "onset_start_ns": round(start_ns), "onset_hop_ns": round(hop * per_sample)}


def _band_levels(hops: Array, rate_hz: int) -> Array:
    """Log energy per sample (K, B) in octave bands from `LOWEST_HZ` up, of hops (K, n)."""
    n = hops.shape[1]
    power = np.abs(np.fft.rfft(hops, axis=1)) ** 2 / (n * n)
    edges = [max(1, round(LOWEST_HZ * n / rate_hz))]
    while edges[-1] * 2 < power.shape[1]:
        edges.append(edges[-1] * 2)
    return np.asarray(np.log(np.add.reduceat(power, edges, axis=1) + FLOOR))
