from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.fusion.evaluation.corruptions import imu
from sensorfuse.messages import Sample


def batch(stamp_ns: int = 0, n: int = 10, rate_hz: float = 200.0) -> Sample:
    arrays = {
        "gyro_radps": np.tile([0.1, -0.2, 0.3], (n, 1)),
        "accel_mps2": np.tile([1.0, 2.0, 9.8], (n, 1)),
        "time_ns": np.round(np.arange(n) * 1e9 / rate_hz).astype(np.int64),
    }
    return Sample("imu", "imu", 0, stamp_ns, stamp_ns, "imu", arrays)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def error(change, level: float, sample: Sample, seed: int = 0, name: str = "gyro_radps") -> np.ndarray:  # type: ignore
    return np.asarray(change(sample, level, rng(seed)).arrays[name] - sample.arrays[name])


def test_bias_is_one_vector_of_the_given_length_for_all_samples() -> None:
    first, later = (error(imu.bias, 0.5, batch(t)) for t in (0, 10**9))
    assert np.allclose(first, first[0])
    assert np.allclose(first, later)
    assert np.linalg.norm(first[0]) == pytest.approx(0.5 * imu.BIAS["gyro_radps"])


def test_bias_walk_has_the_spread_of_brownian_motion_and_no_jumps() -> None:
    """Var W(t) = density^2 t, over many draws; and what two batches say of one time is the same."""
    for t_s in (1.0, 10.0, 40.0):
        ends = np.array([error(imu.bias_walk, 1.0, batch(round(t_s * 1e9), 1), seed)[0] for seed in range(120)])
        assert ends.std() == pytest.approx(imu.WALK["gyro_radps"] * np.sqrt(t_s), rel=0.2)
    long = error(imu.bias_walk, 1.0, batch(5 * 10**9, 400))
    late = error(imu.bias_walk, 1.0, batch(6 * 10**9, 200))
    assert np.allclose(long[200:], late)
    assert np.abs(np.diff(long, axis=0)).max() < 0.01


def test_noise_has_the_deviation_of_its_density_and_rate() -> None:
    for rate_hz in (100.0, 400.0):
        off = error(imu.noise, 1.0, batch(n=3000, rate_hz=rate_hz))
        assert off.std() == pytest.approx(imu.NOISE_DENSITY["gyro_radps"] * np.sqrt(rate_hz), rel=0.05)
        assert abs(np.corrcoef(off[:, 0], off[:, 1])[0, 1]) < 0.1  # one value per axis


def test_saturation_cuts_at_the_end_of_the_range() -> None:
    cut = imu.saturation(batch(), 1.0, rng()).arrays
    assert np.abs(cut["gyro_radps"]).max() == pytest.approx(imu.LEAST_RANGE["gyro_radps"])
    assert cut["accel_mps2"][0] == pytest.approx([1.0, 2.0, 3.0])
    assert not error(imu.saturation, 0.3, batch()).any()


def test_axes_are_turned_and_at_last_swapped() -> None:
    seen = set()
    for seed in range(12):
        turned = imu.axis_swap(batch(), 1.0, rng(seed)).arrays
        gyro, accel = turned["gyro_radps"][0], turned["accel_mps2"][0]
        assert sorted(np.abs(gyro)) == pytest.approx([0.1, 0.2, 0.3])
        seen.add(tuple(np.round(gyro, 6)))
        assert np.argsort(np.abs(gyro)).tolist() == np.argsort(np.abs(accel)).tolist()  # both alike
    assert len(seen) == 3
    part = imu.axis_swap(batch(), 0.3, rng()).arrays["gyro_radps"][0]
    assert np.linalg.norm(part) == pytest.approx(np.linalg.norm([0.1, 0.2, 0.3]))
