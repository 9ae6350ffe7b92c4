"""What a device's clock says at a true time, to the nanosecond, and the way back.

A free-running oscillator drives both the device's triggers and the counter that its stamps are read from. Its
frequency error is y(t) = skew + warm-up * exp(-t / tau) + wander, wander a random walk (the random-walk-FM part of the
usual clock model: Zucca and Tavella 2005, "The clock model and its relationship with the Allan and related variances",
IEEE Trans. UFFC 52(2); Riley, NIST SP 1065). Between knots the wander is linear, so the phase, its integral, is
piecewise quadratic and exact. Jumps, resets, ticks and wraps are the counter's, not the oscillator's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.sim.devices.device_config import ClockConfig, ClockJump, ClockReset
from sensorfuse.sim.noise import message_rng

Array = NDArray[np.float64]
Nanoseconds = NDArray[np.int64]

KNOT_S = 1.0
_CHUNK = 256  # knots drawn at a time
_NS_PER_PPM_S = 1e3
_INVERSE_STEPS = 8  # each shrinks the error by the frequency error, 1e-2 at most


class DeviceClock:
    """One device's clock in one scenario that begins at the reference time `epoch_ns`.

    `offset_ns` is added to the stamps of an undisturbed clock to reach the reference clock; a configured `offset_s`
    takes its place. Ticks are counted from the scenario's beginning, so the same device does the same at any epoch.
    `ideal`: the oscillator keeps true time.
    """

    def __init__(
        self,
        config: ClockConfig,
        faults: Sequence[ClockJump | ClockReset],
        seed: int,
        stream: str,
        offset_ns: int = 0,
        epoch_ns: int = 0,
    ) -> None:
        self.config, self.epoch_ns = config, epoch_ns
        self.offset_ns = offset_ns if config.offset_s is None else round(config.offset_s * 1e9)
        self._faults = sorted(faults, key=lambda f: f.at_ns)
        self._seed, self._stream = seed, stream
        self.ideal = config.skew_ppm == config.warm_up_ppm == config.wander_ppm == 0
        self._frequency, self._phase = np.zeros(1), np.zeros(1)  # wander at the knots: ppm, ns

    # ---- the oscillator

    def frequency_ppm(self, elapsed_ns: ArrayLike) -> Array:
        """Frequency error (N,) at true times (N,) since the scenario's beginning."""
        t = np.atleast_1d(np.asarray(elapsed_ns, np.float64)) / 1e9
        config = self.config
        out = config.skew_ppm + config.warm_up_ppm * np.exp(-np.maximum(t, 0.0) / config.warm_up_s)
        if config.wander_ppm:
            knot, share = self._knots(t)
            out += self._frequency[knot] + share * (self._frequency[knot + 1] - self._frequency[knot])
        return out

    def deviation_ns(self, elapsed_ns: ArrayLike) -> Array:
        """How far the oscillator is ahead of true time (N,), since the scenario's beginning where it is 0."""
        t = np.atleast_1d(np.asarray(elapsed_ns, np.float64)) / 1e9
        if self.ideal:
            return np.zeros(len(t))
        config = self.config
        out = config.skew_ppm * t
        if config.warm_up_ppm:
            later = np.maximum(t, 0.0)
            aged = -config.warm_up_s * np.expm1(-later / config.warm_up_s)
            out += config.warm_up_ppm * (aged + (t - later))
        out *= _NS_PER_PPM_S
        if config.wander_ppm:
            knot, share = self._knots(t)
            low, high = self._frequency[knot], self._frequency[knot + 1]
            out += self._phase[knot] + _NS_PER_PPM_S * KNOT_S * share * (low + 0.5 * share * (high - low))
        return out

    def oscillator_ns(self, elapsed_ns: ArrayLike) -> Nanoseconds:
        """What the free-running oscillator reads (N,), from 0 at the scenario's beginning."""
        elapsed = np.atleast_1d(np.asarray(elapsed_ns, np.int64))
        return elapsed + np.rint(self.deviation_ns(elapsed)).astype(np.int64)

    def when_ns(self, reading_ns: ArrayLike) -> Array:
        """True time (N,) since the scenario's beginning at which the oscillator reads `reading_ns` (N,)."""
        reading = np.atleast_1d(np.asarray(reading_ns, np.float64))
        if self.ideal:
            return reading
        elapsed = reading
        for _ in range(_INVERSE_STEPS):
            elapsed = reading - self.deviation_ns(elapsed)
        return elapsed

    def _knots(self, t_s: Array) -> tuple[NDArray[np.intp], Array]:
        """The knot before each time and how far it is to the next; before the beginning the wander is nil."""
        place = np.maximum(t_s, 0.0) / KNOT_S
        knot = np.floor(place).astype(np.intp)
        while len(self._frequency) < int(knot.max(initial=0)) + 2:
            chunk = len(self._frequency) // _CHUNK
            rng = message_rng(self._seed, f"{self._stream}/wander", chunk)
            steps = np.cumsum(rng.normal(0.0, self.config.wander_ppm * np.sqrt(KNOT_S), _CHUNK))
            walk = np.concatenate([self._frequency, self._frequency[-1] + steps])
            new = walk[len(self._frequency) - 1 :]
            phase = self._phase[-1] + np.cumsum(0.5 * _NS_PER_PPM_S * KNOT_S * (new[1:] + new[:-1]))
            self._frequency, self._phase = walk, np.concatenate([self._phase, phase])
        return knot, place - knot

    # ---- the counter

    def stamps_ns(self, true_ns: ArrayLike) -> Nanoseconds:
        """What the device's clock says (N,) at true reference times (N,)."""
        elapsed = np.atleast_1d(np.asarray(true_ns, np.int64)) - self.epoch_ns
        oscillator = self.oscillator_ns(elapsed)
        config = self.config
        if config.counter_s is None:
            base = np.full(len(elapsed), self.epoch_ns - self.offset_ns)
            reading = oscillator.copy()
        else:
            base = np.zeros(len(elapsed), np.int64)
            reading = oscillator + round(config.counter_s * 1e9)
        for fault in self._faults:
            after = elapsed >= fault.at_ns
            if isinstance(fault, ClockReset):
                reading[after] = oscillator[after] - self.oscillator_ns(fault.at_ns)[0]
                base[after] = 0
            else:
                reading[after] += round(fault.jump_s * 1e9)
        reading -= reading % config.resolution_ns
        if config.wrap_bits is not None:
            reading %= config.resolution_ns << config.wrap_bits
        return base + reading

    def stamp_ns(self, true_ns: int) -> int:
        """What the device's clock says at a true reference time."""
        return int(self.stamps_ns(true_ns)[0])
