"""Noise that repeats."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sim.scene.loop_noise import loop_noise, smooth


def test_it_has_unit_variance_within_its_band_and_the_asked_slope() -> None:
    noise = loop_noise(4096, 0.01, (0.5, 20.0), np.random.default_rng(0), columns=200, fall=2.0)
    assert noise.shape == (4096, 200)
    assert (noise**2).mean() == pytest.approx(1.0, rel=0.05)
    power = (np.abs(np.fft.rfft(noise, axis=0)) ** 2).mean(axis=1)
    cycles = np.fft.rfftfreq(4096, 0.01)
    inside = (cycles >= 0.5) & (cycles <= 20.0)
    assert power[~inside].max() < 1e-9 * power.max()
    assert np.polyfit(np.log(cycles[inside]), np.log(power[inside]), 1)[0] == pytest.approx(-2.0, abs=0.05)


def test_a_band_without_harmonics_is_refused() -> None:
    with pytest.raises(ValueError, match="no harmonic"):
        loop_noise(100, 0.01, (0.1, 0.5), np.random.default_rng(0))


def test_smoothing_keeps_sums_and_wraps_round() -> None:
    values = np.zeros((50, 2))
    values[0, 0] = 1.0
    out = smooth(values, 9)
    assert out.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(out[1:5, 0], out[:-5:-1, 0], atol=1e-12)  # even about where it was
    np.testing.assert_allclose(out[6:44], 0.0, atol=1e-12)
    np.testing.assert_allclose(smooth(values[:, 0], 9), out[:, 0], atol=1e-12)
