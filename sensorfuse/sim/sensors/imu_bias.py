"""How the bias of an inertial sensor drifts: a random walk, and an instability that has a floor in the Allan deviation.

The instability is flicker noise (IEEE Std 952-1997, annex C: power falls as 1 / f, the Allan deviation is flat). It is
made as a sum of first-order Gauss-Markov processes of equal variance whose time constants are evenly spread on a
logarithmic axis (van der Ziel 1950 for the sum; the same annex for the Allan variance of one process).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sensor_config import ImuConfig
from sensorfuse.sim.noise import message_rng

Array = NDArray[np.float64]

TIME_CONSTANTS_S = np.array([0.5, 2.0, 8.0, 32.0, 128.0, 512.0, 2048.0])
_KNOT_S = 0.05
_CHUNK = 1024  # knots drawn at a time


def gauss_markov_allan_variance(tau_s: Array, constant_s: Array) -> Array:
    """Allan variance at `tau_s` of a first-order Gauss-Markov process of unit variance; arrays broadcast."""
    x = tau_s / constant_s
    return np.asarray(2 / x * (1 - (3 - 4 * np.exp(-x) + np.exp(-2 * x)) / (2 * x)))


def _flicker_scale() -> float:
    """Standard deviation of each process for a floor of one, in the middle of the band of time constants."""
    middle = TIME_CONSTANTS_S[len(TIME_CONSTANTS_S) // 2]
    tau: Array = np.asarray(middle * 2.0 ** np.linspace(-1, 1, 20)[:, None], dtype=np.float64)
    return float(gauss_markov_allan_variance(tau, TIME_CONSTANTS_S).sum(axis=1).mean() ** -0.5)


FLICKER_SCALE = _flicker_scale()


class ImuBias:
    """Bias of gyroscope and accelerometer by sample number: drawn in order in chunks and kept, so that it does not
    depend on what is asked first. Between knots, 50 ms apart, it is linear.
    """

    def __init__(self, config: ImuConfig, rate_hz: float, seed: int, stream: str) -> None:
        self._seed, self._stream = seed, stream
        self.samples_per_knot = max(1, round(rate_hz * _KNOT_S))
        step_s = self.samples_per_knot / rate_hz
        self._walk = np.sqrt(step_s) * np.repeat([config.gyro_random_walk, config.accel_random_walk], 3)
        floor = [config.gyro_bias_instability_radps, config.accel_bias_instability_mps2]
        self._flicker = FLICKER_SCALE * np.repeat(floor, 3)
        self._keep = np.exp(-step_s / TIME_CONSTANTS_S)
        self._walked = np.zeros(6)
        self._state = message_rng(seed, f"{stream}/instability", 0).standard_normal((len(TIME_CONSTANTS_S), 6))
        self._chunks: list[Array] = []  # (CHUNK + 1, 6) each; the last knot is the next chunk's first

    def _chunk(self, index: int) -> Array:
        while len(self._chunks) <= index:
            number = len(self._chunks) + 1
            rng = message_rng(self._seed, f"{self._stream}/bias", number)
            walk = np.vstack([np.zeros((1, 6)), np.cumsum(rng.normal(0, self._walk, (_CHUNK, 6)), axis=0)])
            bias = self._walked + walk
            self._walked = bias[-1]
            if self._flicker.any():
                bias = bias + self._flicker * self._unsteady(number)
            self._chunks.append(bias)
        return self._chunks[index]

    def _unsteady(self, number: int) -> Array:
        """Sum (CHUNK + 1, 6) of the unit Gauss-Markov processes over the next chunk."""
        rng = message_rng(self._seed, f"{self._stream}/instability", number)
        keep = self._keep[:, None]
        kicks = np.sqrt(1 - keep[:, None] ** 2) * rng.standard_normal((len(keep), _CHUNK, 6))
        total = np.empty((_CHUNK + 1, 6))
        total[0] = self._state.sum(axis=0)
        for k in range(_CHUNK):
            self._state = kicks[:, k] + keep * self._state
            total[k + 1] = self._state.sum(axis=0)
        return total

    def at(self, first: int, count: int) -> Array:
        """Bias (count, 6) of samples `first` on: angular rate in rad/s, specific force in m/s^2."""
        sample = first + np.arange(count)
        knot, rest = np.divmod(sample, self.samples_per_knot)
        share = (rest / self.samples_per_knot)[:, None]
        out = np.empty((count, 6))
        for chunk in range(int(knot[0]) // _CHUNK, int(knot[-1]) // _CHUNK + 1):
            here = knot // _CHUNK == chunk
            bias, i = self._chunk(chunk), knot[here] % _CHUNK
            out[here] = (1 - share[here]) * bias[i] + share[here] * bias[i + 1]
        return out
