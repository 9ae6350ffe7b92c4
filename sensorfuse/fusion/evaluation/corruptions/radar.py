"""What spoils a radar's list of detections, or the power image of a scanning one. Every function: (sample, level in
[0, 1], rng) -> a new sample; level 0 changes nothing.

Ghosts after Kraus et al., "Using Machine Learning to Detect Ghost Images in Automotive Radar", ITSC 2020: half are an
object seen once more over a second reflection, at twice the range and range rate in the same direction, half are
clutter anywhere. What one level adds or loses, every higher one does too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import Sample

MOST_GHOSTS = 60
GHOST_DOPPLER_MPS = 15.0
ECHO_LOSS_DB = 10.0
MOST_LOST = 0.95
DOPPLER_BIAS_MPS = 3.0
BLOB = 2  # half the width of a ghost in a power image, in cells
BLOBS_PER_GHOST = 5  # a power image holds more of everything


def ghosts(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Up to 60 detections of what is not there (300 in a power image)."""
    if level == 0:
        return sample
    if "polar" in sample.arrays:
        power = sample.arrays["polar"].copy()
        rows, bins = power.shape
        count = MOST_GHOSTS * BLOBS_PER_GHOST
        places = np.column_stack([rng.integers(0, rows, count), rng.integers(0, bins, count)])
        strength = rng.integers(80, 256, count)
        for (i, j), value in zip(places[: round(count * level)], strength, strict=False):
            blob = power[max(i - BLOB, 0) : i + BLOB + 1, max(j - BLOB, 0) : j + BLOB + 1]
            np.maximum(blob, value, out=blob, casting="unsafe")
        return replace(sample, arrays=sample.arrays | {"polar": power})
    real = sample.arrays["detections"]
    reach = float(real[:, 0].max()) if len(real) else 80.0
    width = float(np.abs(real[:, 1]).max()) if len(real) else 1.0
    low, high = (float(real[:, 4].min()), float(real[:, 4].max())) if len(real) else (-5.0, 20.0)
    clutter = rng.uniform(
        [1.0, -width, 0.0, -GHOST_DOPPLER_MPS, low], [reach, width, 1e-9, GHOST_DOPPLER_MPS, high], (MOST_GHOSTS, 5)
    )
    if len(real):
        twice = real[rng.integers(0, len(real), MOST_GHOSTS // 2)].astype(np.float64)
        twice[:, [0, 3]] *= 2
        twice[:, 4] -= ECHO_LOSS_DB
        clutter[::2] = np.where(twice[:, :1] <= reach, twice, clutter[::2])  # one beyond its reach is not reported
    added = clutter[: round(MOST_GHOSTS * level)].astype(np.float32)
    return replace(sample, arrays=sample.arrays | {"detections": np.concatenate([real, added])})


def drop(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Detections (cells of a power image) lost at random, up to 95 %."""
    name = "polar" if "polar" in sample.arrays else "detections"
    array = sample.arrays[name]
    draw = rng.random(array.shape if name == "polar" else len(array))
    if level == 0:
        return sample
    keep = draw >= MOST_LOST * level
    kept: NDArray[np.generic] = np.where(keep, array, 0).astype(array.dtype) if name == "polar" else array[keep]
    return replace(sample, arrays=sample.arrays | {name: kept})


def velocity_bias(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Every range rate off by the same, up to 3 m/s either way. A power image has none: nothing changes."""
    if level == 0 or "detections" not in sample.arrays:
        return sample
    found = sample.arrays["detections"].copy()
    found[:, 3] += rng.choice([-1.0, 1.0]) * DOPPLER_BIAS_MPS * level
    return replace(sample, arrays=sample.arrays | {"detections": found})
