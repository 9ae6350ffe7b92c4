"""Exposure control depends on the picture alone; the response is straight, then bends, then saturates."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sim.sensors.exposure import BRIGHT, DARK, SHOULDER, develop, exposure_gain


def plain(value: float) -> np.ndarray:
    return np.full((60, 80, 3), value, np.float32)


def developed(value: float, gain: float = 1.0) -> int:
    image = np.empty((60, 80, 3), np.uint8)
    develop(plain(value), gain, np.uint64(0), False, 1.0, 0.02, image)
    return int(image[0, 0, 0])


@pytest.mark.parametrize("value", [70.0, 120.0, 180.0])
def test_a_common_picture_is_left_alone(value: float) -> None:
    assert exposure_gain(plain(value), 2.4) == 1.0
    assert developed(value) == round(value)


def test_the_control_closes_opens_and_ends_at_its_limits() -> None:
    assert 400.0 * exposure_gain(plain(400.0), 2.0) == pytest.approx(BRIGHT)
    assert 40.0 * exposure_gain(plain(40.0), 2.0) == pytest.approx(DARK)
    assert exposure_gain(plain(5.0), 1.0) == 1.0
    assert exposure_gain(plain(5.0), 2.0) == 2.0


def test_the_response_rises_to_saturation() -> None:
    steps = [developed(v) for v in np.arange(0.0, 500.0, 5.0)]
    assert (np.diff(steps) >= 0).all()
    assert steps[-1] == 255
    assert developed(SHOULDER + 20) < 255


def test_noise_variance_is_a_constant_plus_a_share_of_the_signal() -> None:
    image = np.empty((300, 400, 3), np.uint8)
    for value in (40.0, 160.0):
        develop(np.full((300, 400, 3), value, np.float32), 1.0, np.uint64(9), True, 2.0, 0.05, image)
        # three 7-bit numbers over 64: variance 3 * (128^2 - 1) / 12 / 64^2 of the unit; and the rounding
        want = (2.0**2 + 0.05 * 3 * value) * 3 * (128**2 - 1) / 12 / 64**2 + 1 / 12
        assert image.var() == pytest.approx(want, rel=0.03)
        assert image.mean() == pytest.approx(value, abs=0.05)
