"""What spoils a LiDAR's sweep. Every function: (sample, level in [0, 1], rng) -> a new sample; level 0 changes nothing.

Fewer beams and lost points as graded by Beemelmanns et al., "MultiCorrupt", IV 2024, and Dong et al., "Benchmarking
Robustness of 3D Object Detection to Common Corruptions", CVPR 2023; fog after Hahner et al., ICCV 2021, and snow after
Hahner et al., CVPR 2022, both without the shape of the pulse. What one level loses, every higher one loses too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import Sample

Floats = NDArray[np.float32]

LEAST_BEAMS = 1 / 8  # of the rings
RINGS = 32  # that are told apart by elevation where the sensor numbers none
MOST_LOST = 0.95
FOG_PER_M = np.log(20.0) / 50  # extinction at a visibility of 50 m
FOG_ECHO = 0.3  # of the lost returns, those that the fog itself gives back
SNOW_PER_M = 0.03  # flakes that a ray meets
SNOW_REACH_M = 25.0  # further out a flake gives too little back
SCATTER_INTENSITY = 4.0  # of 255
RANGE_SIGMA_M = 0.5
LEAST_INTENSITY = 0.02


def beams(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Every other ring gone, and of the rest every other again, down to an eighth of them."""
    if level == 0:
        return sample
    ring = sample.arrays.get("ring")
    if ring is None:
        points = sample.arrays["points"]
        elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
        low, high = np.nanmin(elevation), np.nanmax(elevation)
        share = np.nan_to_num((elevation - low) / max(float(high - low), 1e-6))
        ring = np.minimum(share * RINGS, RINGS - 1).astype(np.uint16)
    count = max(int(ring.max(initial=0)) + 1, 1)
    rank = np.argsort(np.argsort([_radical_inverse(n) for n in range(count)]))  # evenly spread at every length
    kept = max(1, round(count * (1 - level * (1 - LEAST_BEAMS))))
    return _selected(sample, np.asarray(rank[ring] < kept))


def point_dropout(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Points lost at random, up to 95 %."""
    draw = rng.random(len(sample.arrays["points"]))
    return sample if level == 0 else _selected(sample, draw >= MOST_LOST * level)


def fog(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Returns fade as e^(-2 a R) there and back, and some of the lost ones come from the fog between, weak and near."""
    points = sample.arrays["points"]
    draw, depth, echo = rng.random((3, len(points)))
    if level == 0:
        return sample
    extinction = FOG_PER_M * level
    away = _ranges(points)
    lost = draw > np.exp(-2 * extinction * away)
    reached = -np.log1p(-depth * (1 - np.exp(-2 * extinction * away))) / (2 * extinction)
    scattered = _scattered(sample, lost & (echo < FOG_ECHO), reached)
    return _selected(scattered, ~lost | (echo < FOG_ECHO))


def snow(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Flakes near the sensor give rays back before they reach anything else."""
    points = sample.arrays["points"]
    draw = rng.random(len(points))
    if level == 0:
        return sample
    met_m = -np.log1p(-draw) / (SNOW_PER_M * level)  # along each ray, to the first flake
    return _scattered(sample, met_m < np.minimum(_ranges(points), SNOW_REACH_M), met_m)


def range_noise(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Every point moved along its ray at random, by 0.5 m (one sigma) at the worst."""
    points = sample.arrays["points"]
    error = rng.standard_normal(len(points)) * RANGE_SIGMA_M * level
    if level == 0:
        return sample
    away = _ranges(points)
    return _with_points(sample, points * (np.maximum(away + error, 0.1) / np.maximum(away, 1e-6))[:, None])


def intensity_loss(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """A dirty window or an old laser: every return gives less back, and its points stay. Where the sensor gives no
    intensity, nothing changes.
    """
    if level == 0 or "intensity" not in sample.arrays:
        return sample
    faded = (sample.arrays["intensity"] * LEAST_INTENSITY**level).astype(np.float32)
    return replace(sample, arrays=sample.arrays | {"intensity": faded})


def _radical_inverse(n: int) -> float:
    """Van der Corput's sequence in base 2."""
    out, digit = 0.0, 0.5
    while n:
        out, n, digit = out + digit * (n & 1), n >> 1, digit / 2
    return out


def _ranges(points: Floats) -> NDArray[np.float64]:
    return np.sqrt(np.square(points.astype(np.float64)).sum(axis=1))


def _selected(sample: Sample, keep: NDArray[np.bool_]) -> Sample:
    return replace(sample, arrays={name: array[keep] for name, array in sample.arrays.items()})


def _with_points(sample: Sample, points: NDArray[np.floating]) -> Sample:
    return replace(sample, arrays=sample.arrays | {"points": points.astype(np.float32)})


def _scattered(sample: Sample, which: NDArray[np.bool_], range_m: NDArray[np.float64]) -> Sample:
    """The sample with some points (N,) drawn back along their rays to `range_m` (N,), with little intensity."""
    points = sample.arrays["points"].copy()
    points[which] *= (range_m[which] / np.maximum(_ranges(points[which]), 1e-6))[:, None].astype(np.float32)
    out = _with_points(sample, points)
    if "intensity" in sample.arrays:
        out.arrays["intensity"] = np.where(which, np.float32(SCATTER_INTENSITY), sample.arrays["intensity"])
    return out
