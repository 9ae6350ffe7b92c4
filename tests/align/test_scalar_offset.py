"""Offsets from one number: a yaw rate over spans, a speed at instants."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.content.scalar_offset import scalar_offset
from sensorfuse.align.content.search import Gate
from sensorfuse.bench.lag_path import angular_rates
from sensorfuse.errors import SensorfuseError

OFFSET_S = 0.073


def yaw(seed: int, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A gyro's yaw rate at 200 Hz and a 4 Hz radar's mean yaw rates over its scans, 40 s."""
    rng = np.random.default_rng(seed)
    rates = angular_rates(rng, 46.0)
    t = np.arange(0, 45, 0.005)
    gyro = rates(t)[:, 2] + 0.02 * rng.standard_normal(len(t))
    edges = 2 + np.arange(161) / 4
    turned = np.diff(rates.antiderivative()(edges + OFFSET_S)[:, 2]) * 4
    return t, gyro, np.stack([edges[:-1], edges[1:]], axis=1), turned + noise * rng.standard_normal(160)


def test_a_scanning_radars_yaw_gives_its_offset() -> None:
    got = scalar_offset(*yaw(1))
    assert got.accepted, got.reason
    assert abs(got.offset_s - OFFSET_S) < 3.5 * got.sigma_s < 0.02
    assert got.gain == pytest.approx(1.0, abs=0.1)


def test_a_speed_at_instants_gives_its_offset_whatever_its_scale() -> None:
    rng = np.random.default_rng(2)
    speed = angular_rates(rng, 36.0)
    t = np.arange(0, 35, 0.02)
    at = 1 + np.arange(500) / 15
    values = 3.0 * (20 + speed(at + OFFSET_S)[:, 0]) + 0.1 * rng.standard_normal(500)
    got = scalar_offset(
        t, 20 + speed(t)[:, 0], np.stack([at, at], axis=1), values, gate=Gate(moving=0.2), sigmas=np.full(500, 0.1)
    )
    assert got.accepted, got.reason
    assert abs(got.offset_s - OFFSET_S) < 4 * got.sigma_s < 0.01
    assert got.gain == pytest.approx(3.0, rel=0.03)


def test_the_opposite_sign_is_not_taken_for_agreement() -> None:
    t, gyro, spans, values = yaw(3)
    got = scalar_offset(t, gyro, spans, -values, max_lag_s=0.1)
    assert not got.accepted
    assert "agree" in got.reason


def test_noise_and_constants_are_unobservable() -> None:
    t, gyro, spans, values = yaw(4)
    rng = np.random.default_rng(4)
    assert not scalar_offset(t, gyro, spans, rng.standard_normal(len(values))).accepted
    assert not scalar_offset(t, gyro, spans, np.ones(len(values))).accepted
    assert not scalar_offset(t, np.ones(len(t)), spans, values).accepted


def test_wrong_shapes_are_said() -> None:
    t, gyro, spans, values = yaw(5)
    with pytest.raises(SensorfuseError, match="one number"):
        scalar_offset(t, np.stack([gyro, gyro], axis=1), spans, values)
    with pytest.raises(SensorfuseError, match="spans"):
        scalar_offset(t, gyro, spans[:, :1], values)
