"""Yaw between polar scans of made-up reflectors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sensorfuse.align.signature import SignatureExtractor
from sensorfuse.messages import Sample
from sensorfuse.rig import shipped_rig
from sensorfuse.sensor_config import SensorConfig

AZIMUTHS, RANGES, RESOLUTION_M = 400, 400, 0.2
PERIOD_NS = 250_000_000


@pytest.fixture(scope="module")
def config() -> SensorConfig:
    return shipped_rig("radiate").sensors["radar"]


def _scan(
    places: NDArray[np.float64], k: int, yaw: float, x: float, rng: np.random.Generator, clockwise: bool = True
) -> Sample:
    """Reflectors (N, 2) seen from (x, 0) with a heading of `yaw`."""
    dx, dy = places[:, 0] - x, places[:, 1]
    angle, reach = np.arctan2(dy, dx) - yaw, np.hypot(dx, dy)
    at_a, at_r = angle / (2 * np.pi) * AZIMUTHS % AZIMUTHS, reach / RESOLUTION_M
    power = rng.exponential(6.0, (AZIMUTHS, RANGES)) + 30
    for a, r in zip(at_a, at_r, strict=True):
        rows, columns = np.arange(int(a) - 4, int(a) + 6), np.arange(int(r) - 5, int(r) + 7)
        columns = columns[(columns >= 0) & (columns < RANGES)]
        blob = np.exp(-0.5 * ((rows[:, None] - a) / 1.2) ** 2 - 0.5 * ((columns[None] - r) / 2.0) ** 2)
        power[np.ix_(rows % AZIMUTHS, columns)] += 120 * blob
    azimuths = 2 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS
    if clockwise:
        power, azimuths = np.roll(power[::-1], 1, axis=0), -azimuths
    arrays = {"polar": np.clip(power, 0, 255).astype(np.uint8), "azimuths_rad": azimuths.astype(np.float32)}
    meta = {"range_resolution_m": RESOLUTION_M, "scan_s": 0.246}
    return Sample("radar", "radar", k, k * PERIOD_NS, k * PERIOD_NS, "f", arrays, meta, stamp="mid")


def _places(rng: np.random.Generator) -> NDArray[np.float64]:
    around = rng.uniform(-np.pi, np.pi, 60)
    return np.asarray(rng.uniform(10, 75, (60, 1)) * np.column_stack([np.cos(around), np.sin(around)]))


@pytest.mark.parametrize("clockwise", [True, False])
def test_yaw_while_driving(config: SensorConfig, clockwise: bool) -> None:
    rng = np.random.default_rng(0)
    places, extractor, before = _places(rng), SignatureExtractor(config), 0.0
    errors = []
    for k, yaw in enumerate([0.0, 0.03, 0.08, 0.1, 0.02, -0.1]):
        got = extractor.measure(_scan(places, k, yaw, 1.5 * k, rng, clockwise))
        if k:
            assert got["turn_span_ns"] == [(k - 1) * PERIOD_NS, k * PERIOD_NS]
            assert np.isinf(got["turn_sigma_rad"][:2]).all()
            errors.append(got["turn_rad"][2] - (yaw - before))
            assert abs(errors[-1]) < 4 * got["turn_sigma_rad"][2]
        before = yaw
    assert np.abs(errors).max() < 3e-3


def test_driving_past_one_side_is_no_turn(config: SensorConfig) -> None:
    rng = np.random.default_rng(1)
    side = np.column_stack([rng.uniform(-60, 60, 60), rng.uniform(8, 20, 60)])
    extractor = SignatureExtractor(config)
    turns = [extractor.measure(_scan(side, k, 0.0, 2.0 * k, rng)).get("turn_rad") for k in range(4)]
    assert np.abs([t[2] for t in turns[1:] if t is not None]).max() < 4e-3


def test_nothing_of_noise_repeats_and_half_turns(config: SensorConfig) -> None:
    rng = np.random.default_rng(2)
    first, nothing = _scan(_places(rng), 0, 0.0, 0.0, rng), np.zeros((0, 2))
    half = _scan(_places(rng), 1, 0.0, 0.0, rng)
    half.arrays = {n: a[: AZIMUTHS // 2] for n, a in half.arrays.items()}
    nameless = _scan(_places(rng), 1, 0.0, 0.0, rng)
    nameless.meta = {}
    again = Sample("radar", "radar", 1, PERIOD_NS, 0, "f", first.arrays, first.meta, stamp="mid")
    for other in (half, nameless, again, _scan(nothing, 1, 0.0, 0.0, rng)):
        extractor = SignatureExtractor(config)
        extractor.measure(first)
        assert extractor.measure(other) == {}
