"""CFAR on exponential noise and by brute force; objects in synthetic scans."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.track.radar_polar import RadarPolarConfig, RadarPolarDetector, os_cfar, os_cfar_factor

MOUNT = Transform.from_rpy([0.5, 0.0, 1.9], [0.0, 0.0, 0.0])
STEP_M = 0.1736
AZIMUTHS = -2 * np.pi * np.arange(400) / 400


def noise_counts(shape: tuple[int, int], db_per_count: float, seed: int) -> np.ndarray:
    power = np.random.default_rng(seed).standard_exponential(shape)
    return np.clip(np.round((10 * np.log10(power) + 40) / db_per_count), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("rate", [1e-2, 1e-3])
def test_false_alarm_rate_is_the_configured_one(rate: float) -> None:
    config = RadarPolarConfig(db_per_count=0.25, false_alarm_rate=rate)
    counts = noise_counts((400, 576), 0.25, 0)
    middle = os_cfar(counts, config)[:, 60:-60]
    assert middle.mean() == pytest.approx(rate, rel=0.25)


def test_factor_solves_rohlings_equation() -> None:
    """By simulation: the k-th smallest of n, times the factor, is exceeded at the rate."""
    rng = np.random.default_rng(0)
    n, rank, rate = 24, 18, 0.02
    window = np.sort(rng.standard_exponential((200_000, n)), axis=1)[:, rank - 1]
    exceeded = rng.standard_exponential(200_000) > window * os_cfar_factor(n, rank, rate)
    assert exceeded.mean() == pytest.approx(rate, rel=0.08)


def test_cfar_is_the_sorted_window() -> None:
    config = RadarPolarConfig(guard=3, train=7, rank=0.6)
    counts = np.random.default_rng(1).integers(0, 256, (5, 60), dtype=np.uint8)
    offset = 10 * np.log10(os_cfar_factor(14, int(0.6 * 14) + 1, config.false_alarm_rate)) / config.db_per_count
    expected = np.zeros(counts.shape, bool)
    for a in range(5):
        for c in range(60):
            near = [counts[a, k] for k in range(60) if 3 < abs(k - c) <= 10]
            expected[a, c] = counts[a, c] > sorted(near)[int(0.6 * len(near))] + offset
    np.testing.assert_array_equal(os_cfar(counts, config), expected)


def scan_with(x: float, y: float, length: float, width: float, yaw: float) -> np.ndarray:
    """Noise, and 25 dB more in the cells of a rectangle at (x, y) in base_link."""
    power = np.random.default_rng(2).standard_exponential((400, 576))
    distance = (np.arange(576) + 0.5) * STEP_M
    px = distance[None] * np.cos(AZIMUTHS)[:, None] + MOUNT.translation[0] - x
    py = distance[None] * np.sin(AZIMUTHS)[:, None] - y
    along, across = px * np.cos(yaw) + py * np.sin(yaw), -px * np.sin(yaw) + py * np.cos(yaw)
    power[(np.abs(along) < length / 2) & (np.abs(across) < width / 2)] += 300.0
    return np.clip(np.round((10 * np.log10(power) + 20) / 0.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("x", "y", "yaw"), [(20, 5, 0.0), (15, -10, 0.6), (-18, 3, -0.3)])
def test_a_car_in_a_scan(x: float, y: float, yaw: float) -> None:
    timed = RadarPolarDetector().detect(scan_with(x, y, 4.4, 1.9, yaw), AZIMUTHS, STEP_M, MOUNT, scan_s=0.25)
    found = timed.detections
    best = int(np.argmin(np.hypot(*(found.center[:, :2] - [x, y]).T)))
    assert np.hypot(*(found.center[best, :2] - [x, y])) < 0.6
    assert abs((found.yaw[best] - yaw + np.pi / 2) % np.pi - np.pi / 2) < 0.3
    assert found.score[best] == found.score.max()
    assert len(found) <= 3
    fraction = (-np.arctan2(y, x - 0.5) % (2 * np.pi)) / (2 * np.pi)
    assert timed.time_ns[best] == pytest.approx((fraction - 0.5) * 0.25e9, abs=4e6)  # a stamp amid the turn


def test_an_empty_scan_has_no_objects() -> None:
    counts = noise_counts((400, 576), 0.5, 3)
    assert len(RadarPolarDetector().detect(counts, AZIMUTHS, STEP_M, MOUNT).detections) <= 1
    assert len(RadarPolarDetector().detect(np.zeros((400, 576), np.uint8), AZIMUTHS, STEP_M, MOUNT).detections) == 0
