"""The gyro's bias is found at rest and nowhere else."""

from __future__ import annotations

import numpy as np

from sensorfuse.align.gyro_bias import GyroBias
from sensorfuse.geometry import exp_rotation

BIAS = np.array([-0.002, 0.02, 0.08])
RATE_HZ, BATCH = 200, 10


def feed(bias: GyroBias, seconds: float, rate: np.ndarray, start_s: float = 0.0, moving: bool = False) -> None:
    """Measurements of a body that turns at a constant rate from level, with noise and the bias on top."""
    rng = np.random.default_rng(round(start_s))
    for k in range(round(seconds * RATE_HZ / BATCH)):
        t = (k * BATCH + np.arange(BATCH)) / RATE_HZ
        gravity = np.array([exp_rotation(rate * x).T @ [0, 0, 9.81] for x in t])
        gyro = rate + BIAS + rng.normal(0, 0.01, (BATCH, 3))
        accel = gravity + rng.normal(0, 0.3, (BATCH, 3))
        bias.update(round((start_s + t[0]) * 1e9), gyro, accel, moving)


def test_found_at_rest_within_the_noise_of_a_second() -> None:
    bias = GyroBias()
    feed(bias, 0.9, np.zeros(3))
    assert not bias.known
    feed(bias, 2.0, np.zeros(3), 1.0)
    assert bias.known
    np.testing.assert_allclose(bias.value, BIAS, atol=4 * 0.01 / np.sqrt(RATE_HZ))


def test_not_taken_from_motion() -> None:
    for rate in ([0.12, 0.0, 0.0], [0.0, -0.1, 0.0], [0.0, 0.0, 0.4]):
        bias = GyroBias()
        feed(bias, 3.0, np.array(rate))
        assert not bias.known, rate
    bias = GyroBias()
    feed(bias, 3.0, np.zeros(3), moving=True)
    assert not bias.known


def test_a_known_bias_does_not_follow_a_slow_turn() -> None:
    bias = GyroBias()
    feed(bias, 2.0, np.zeros(3))
    feed(bias, 3.0, np.array([0.0, 0.0, 0.05]), 10.0)
    np.testing.assert_allclose(bias.value, BIAS, atol=0.004)
