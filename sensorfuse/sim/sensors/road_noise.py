"""The noise of the ego's own tyres as its microphones hear it.

Each wheel is a source of its own, at a fixed place on the car: low noise reaches all microphones alike, high noise is
as incoherent between them as their distances make it. Pressure grows with speed to the power 1.5 (30 dB per decade:
Sandberg and Ejsmont 2002, "Tyre/Road Noise Reference Book") and falls with 1 / distance.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.sim.sensors.sound_sources import SPEED_OF_SOUND_MPS

Array = NDArray[np.float64]

WHEELS_M = np.array([[0.0, 0.8, 0.05], [0.0, -0.8, 0.05], [2.7, 0.8, 0.05], [2.7, -0.8, 0.05]])
"""Where tyres touch the road, in base_link."""
REFERENCE_MPS, EXPONENT = 10.0, 1.5
CORNER_HZ, RUMBLE_HZ = 900.0, 60.0
"""The spectrum falls by 12 dB per octave above the corner, and fades out below the rumble."""


@njit(cache=True, fastmath=True)
def _add(table, start, step, offset, gain, loudness, out):  # type: ignore[no-untyped-def]
    """Add wheels' noise to `out` (N, C). Sample n of `table` units is at `start` + n * `step` - `offset` (W, C)."""
    mask = len(table) - 1
    for c in range(out.shape[1]):
        for w in range(offset.shape[0]):
            for n in range(out.shape[0]):
                at = start + n * step - offset[w, c]
                cell = math.floor(at)
                i = int(cell) & mask
                value = table[i] + (at - cell) * (table[(i + 1) & mask] - table[i])
                out[n, c] += gain[w, c] * loudness[n] * value


class RoadNoise:
    """Tyre noise at microphones (C, 3) in base_link. `white` is the spectrum of noise that repeats after 2^k samples;
    `level` is the effective amplitude 1 m from one tyre at 10 m/s.
    """

    def __init__(self, microphones: Array, white: NDArray[np.complex128], rate_hz: float, level: float) -> None:
        self.rate_hz, self.level = rate_hz, level
        samples = 2 * (len(white) - 1)
        hz = np.fft.rfftfreq(samples, 1 / rate_hz)
        table = np.fft.irfft(white * hz / (hz + RUMBLE_HZ) / (1 + (hz / CORNER_HZ) ** 2))
        self._table = table / table.std()
        distance = np.linalg.norm(microphones[None] - WHEELS_M[:, None], axis=2)  # (W, C)
        apart = np.arange(len(WHEELS_M))[:, None] * (samples // len(WHEELS_M))
        self._offset = distance * (rate_hz / SPEED_OF_SOUND_MPS) + apart
        self._gain = level / np.maximum(distance, 0.1)

    def add(self, start_s: float, taken_hz: float, speed_mps: Array, out: Array) -> None:
        """Add to `out` (N, C), taken at `taken_hz` from `start_s` on, at speeds (N,)."""
        loudness = (speed_mps / REFERENCE_MPS) ** EXPONENT
        _add(self._table, start_s * self.rate_hz, self.rate_hz / taken_hz, self._offset, self._gain, loudness, out)
