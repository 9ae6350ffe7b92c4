"""Simulated recordings of a gyro and a sensor that turn together, with a known offset between their clocks.

Noise is independent from sample to sample: the figures rank methods, they are not the accuracy to expect in the field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from sensorfuse.bench.lag_path import angular_rates

Floats = NDArray[np.float64]

GYRO_HZ = 200.0
GYRO_NOISE_RADPS = 0.02
GYRO_BIAS_RADPS = 0.01
MARGIN_S = 3.0


@dataclass(frozen=True)
class Turning:
    """gyro_s (N,), gyro_radps (N, 3): a biased, noisy gyro. spans_s (K, 2), turns_rad (K, 3): a sensor in other axes.

    offset_s: (K,) the true `t_gyro - t_sensor` at the middle of each span. rotation: (3, 3) R_sensor_gyro.
    """

    gyro_s: Floats
    gyro_radps: Floats
    spans_s: Floats
    turns_rad: Floats
    offset_s: Floats
    rotation: Floats


def slow_rates(
    rng: np.random.Generator, duration_s: float, rms_radps: tuple[float, float, float], upper_hz: float
) -> CubicSpline:
    """Three channels of angular rate of the given rms, even in power up to `upper_hz`."""
    rate_hz, margin_s = 200.0, 5.0
    n = round((duration_s + 2 * margin_s) * rate_hz)
    freqs = np.fft.rfftfreq(n, 1 / rate_hz)[:, None]
    spectrum = rng.standard_normal((len(freqs), 3)) + 1j * rng.standard_normal((len(freqs), 3))
    rates = np.fft.irfft(spectrum * ((freqs > 0.02) & (freqs < upper_hz)), n, axis=0)
    return CubicSpline(np.arange(n) / rate_hz - margin_s, rates / rates.std(axis=0) * np.array(rms_radps))


def record(
    rates: CubicSpline,
    rng: np.random.Generator,
    edges_s: Floats,
    offset_s: Callable[[Floats], Floats],
    noise_radps: float,
    nominal_s: float,
) -> Turning:
    """A sensor that measures its turn between successive sensor times `edges_s` (K + 1,), with noise as of a rate over
    `nominal_s`, in axes turned at random.
    """
    true_s = edges_s + offset_s(edges_s)
    rotation = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    whole = rates.antiderivative()(true_s)
    turns = np.diff(whole, axis=0) @ rotation.T
    turns += noise_radps * nominal_s * rng.standard_normal(turns.shape)
    first_s, last_s = true_s[0] - MARGIN_S / 2, true_s[-1] + MARGIN_S / 2
    gyro_s = np.arange(first_s - float(rng.uniform(0.0, 0.1)), last_s, 1 / GYRO_HZ)  # in no step with the sensor
    gyro = rates(gyro_s) + GYRO_BIAS_RADPS * rng.standard_normal(3)
    gyro += GYRO_NOISE_RADPS * rng.standard_normal(gyro.shape)
    spans = np.stack([edges_s[:-1], edges_s[1:]], axis=1)
    return Turning(gyro_s, gyro, spans, turns, offset_s(spans.mean(axis=1)), rotation)


@dataclass(frozen=True)
class Case:
    """A sensor of a rate and noise over a duration. rms_radps: of the motion, a hand's (0.5 rad/s, 0.1 to 4 Hz) if none
    is given, else even up to `upper_hz`. dropped: share of its frames that are lost.
    """

    rate_hz: float
    duration_s: float
    noise_radps: float
    dropped: float = 0.0
    rms_radps: tuple[float, float, float] | None = None
    upper_hz: float = 0.3


CASES = {
    "camera 30 Hz, 5 s, 0.02 rad/s": Case(30.0, 5.0, 0.02),
    "camera 30 Hz, 5 s, 0.3 rad/s": Case(30.0, 5.0, 0.3),
    "camera 30 Hz, 20 s, 0.02 rad/s": Case(30.0, 20.0, 0.02),
    "camera 30 Hz, 20 s, 0.1 rad/s": Case(30.0, 20.0, 0.1),
    "camera 30 Hz, 20 s, 0.3 rad/s": Case(30.0, 20.0, 0.3),
    "LiDAR 10 Hz, 20 s, 0.05 rad/s": Case(10.0, 20.0, 0.05),
    "camera, 15 % of frames lost": Case(30.0, 20.0, 0.1, dropped=0.15),
}
HIDDEN_CASES = {
    "vehicle, yaw only, slow": Case(30.0, 30.0, 0.1, rms_radps=(0.002, 0.002, 0.05)),
    "still": Case(30.0, 20.0, 0.1, rms_radps=(1e-5, 1e-5, 1e-5), upper_hz=4.0),
}


def recording(case: Case, seed: int) -> Turning:
    """A recording with a constant offset, within +-0.1 s."""
    rng = np.random.default_rng(seed)
    length_s = case.duration_s + MARGIN_S
    if case.rms_radps is None:
        rates = angular_rates(rng, length_s)
    else:
        rates = slow_rates(rng, length_s, case.rms_radps, case.upper_hz)
    edges = 1.0 + np.arange(round(case.duration_s * case.rate_hz) + 1) / case.rate_hz
    edges = edges[rng.random(len(edges)) >= case.dropped]
    offset_s = float(rng.uniform(-0.1, 0.1))
    return record(rates, rng, edges, lambda t: np.full_like(t, offset_s), case.noise_radps, 1 / case.rate_hz)


MOVING_S = 60.0
STEP_AT_S = 30.0
OFFSETS: dict[str, Callable[[Floats], Floats]] = {
    "sinus 60 ms / 30 s": lambda t: 0.06 * np.sin(2 * np.pi * t / 30),
    "replay at 1.02": lambda t: 0.02 * t,
    "step 100 ms": lambda t: np.where(t > STEP_AT_S, 0.1, 0.0),
}


def moving_recording(offset: str, noise_radps: float, seed: int) -> Turning:
    """A camera of 30 Hz whose offset moves during 60 s."""
    rng = np.random.default_rng(seed)
    rates = angular_rates(rng, MOVING_S + 2 * MARGIN_S)
    return record(rates, rng, np.arange(round(30 * MOVING_S) + 1) / 30, OFFSETS[offset], noise_radps, 1 / 30)


def counted_recording(noise_radps: float, seed: int) -> Turning:
    """A camera of 30 Hz that counts frames and knows no time, and loses 5 bursts of 5 to 15 frames in 60 s."""
    rng = np.random.default_rng(seed)
    rates = angular_rates(rng, 72.0)
    kept = np.ones(2000, dtype=bool)
    for burst in range(5):
        start = 150 + 320 * burst + int(rng.integers(0, 200))
        kept[start : start + int(rng.integers(5, 16))] = False
    true_s = np.flatnonzero(kept)[:1801] / 30
    counted_s = np.arange(1801) / 30
    return record(rates, rng, counted_s, lambda t: np.interp(t, counted_s, true_s) - t, noise_radps, 1 / 30)
