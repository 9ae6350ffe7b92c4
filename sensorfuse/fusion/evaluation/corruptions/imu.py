"""What spoils an IMU's rates and forces. Every function: (sample, level in [0, 1], rng) -> a new sample; level 0
changes nothing.

The terms are those of the usual model of inertial sensors (IEEE Std 952; Woodman, "An introduction to inertial
navigation", 2007): a constant bias, one that walks, white noise of a density, and a limit of range.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import Sample

Array = NDArray[np.float64]

GYRO, ACCEL = "gyro_radps", "accel_mps2"
BIAS = {GYRO: 0.15, ACCEL: 1.5}  # worst: rad/s, m/s^2
WALK = {GYRO: 0.03, ACCEL: 0.3}  # worst: per square root of a second
NOISE_DENSITY = {GYRO: 0.02, ACCEL: 0.2}  # worst: per square root of a hertz
FULL_RANGE = {GYRO: 8.7, ACCEL: 157.0}
LEAST_RANGE = {GYRO: 0.03, ACCEL: 3.0}
WALK_HORIZON_S, WALK_TERMS = 60.0, 120


def bias(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """The same error in a direction drawn at random; give the same `rng` for every sample of a run."""
    errors = {name: _direction(rng) * BIAS[name] * level for name in BIAS}
    return sample if level == 0 else _with(sample, {n: sample.arrays[n] + errors[n] for n in errors})


def bias_walk(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """A bias that wanders as Brownian motion, known at any time by its expansion of Karhunen and Loeve: the sum of
    Z_k sqrt(2 T) sin((k - 1/2) pi t / T) / ((k - 1/2) pi) over a horizon T of a minute. Give the same `rng` for every
    sample of a run.
    """
    weights = {name: rng.standard_normal((WALK_TERMS, 3)) for name in WALK}
    if level == 0:
        return sample
    half_odd = (np.arange(WALK_TERMS) + 0.5) * np.pi
    turn_ns = round(4e9 * WALK_HORIZON_S)  # the sines come back after four horizons
    t_s = ((sample.stamp_ns + sample.arrays["time_ns"]) % turn_ns) / 1e9
    terms = np.sqrt(2 * WALK_HORIZON_S) * np.sin(t_s[:, None] * half_odd / WALK_HORIZON_S) / half_odd
    return _with(sample, {n: sample.arrays[n] + level * WALK[n] * (terms @ weights[n]) for n in WALK})


def noise(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """White noise: one value per sample and axis, of the deviation that the density and the rate give."""
    draws = {name: rng.standard_normal(sample.arrays[name].shape) for name in NOISE_DENSITY}
    if level == 0:
        return sample
    times = sample.arrays["time_ns"]
    steps = np.diff(times)
    rate_hz = 1e9 / max(float(np.median(steps)), 1.0) if len(steps) else 200.0
    root = np.sqrt(rate_hz) * level
    return _with(sample, {n: sample.arrays[n] + draws[n] * NOISE_DENSITY[n] * root for n in draws})


def saturation(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """A range that is too small: beyond it values stay at its end. It shrinks by equal factors with the level."""
    if level == 0:
        return sample
    limit = {n: FULL_RANGE[n] * (LEAST_RANGE[n] / FULL_RANGE[n]) ** level for n in FULL_RANGE}
    return _with(sample, {n: np.clip(sample.arrays[n], -limit[n], limit[n]) for n in limit})


def axis_swap(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Axes turned into one another about one drawn at random; at level 1 two of them are swapped, one with its sign.
    Give the same `rng` for every sample of a run.
    """
    axis = int(rng.integers(3))
    if level == 0:
        return sample
    i, j = [k for k in range(3) if k != axis]
    turn = np.eye(3)
    cos, sin = np.cos(level * np.pi / 2), np.sin(level * np.pi / 2)
    turn[i, i] = turn[j, j] = cos
    turn[i, j], turn[j, i] = -sin, sin
    return _with(sample, {n: sample.arrays[n] @ turn.T for n in (GYRO, ACCEL)})


def _direction(rng: np.random.Generator) -> Array:
    vector = rng.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector))


def _with(sample: Sample, arrays: dict[str, Array]) -> Sample:
    return replace(sample, arrays=sample.arrays | arrays)
