"""The motion benchmark: its carriers really move, and the estimator beats the usual ways on them."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.bench import motion


@pytest.fixture(scope="module")
def errors() -> motion.CarrierErrors:
    return motion.carrier_errors("handheld", 0, 8.0)


def test_gyro_beats_interpolated_poses(errors: motion.CarrierErrors) -> None:
    assert len(errors.rotation_deg) == len(errors.slerp_deg) == 30
    assert 0 < np.mean(errors.rotation_deg) < 0.1 * np.mean(errors.slerp_deg)


def test_the_real_motion_beats_a_constant_rate(errors: motion.CarrierErrors) -> None:
    own, steady, previous = (np.mean(e) for e in (errors.point_m, errors.steady_m, errors.previous_m))
    assert 0 < own < 0.1 * steady
    assert own < 0.1 * previous


def test_forces_carry_the_velocity_over_an_outage() -> None:
    own, held = motion.outage_errors("drone", 0, 3)
    assert len(own) == len(held) == 3
    assert np.sqrt(np.mean(own**2)) < 0.3 * np.sqrt(np.mean(held**2))


def test_cloud_timing_is_a_time() -> None:
    assert 0 < motion.cloud_ms(1000, 2) < 1e4
