"""Closed B-splines: against scipy's, and their promises."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline

from sensorfuse.sim.scene.spline import LoopSpline


def test_value_and_derivatives_match_scipy() -> None:
    rng = np.random.default_rng(1)
    control, period = rng.normal(size=(17, 2)), 34.0
    spline = LoopSpline(control, period, [0.0, 0.0])
    laps = np.vstack([control, control, control])
    step = period / 17
    reference = BSpline((np.arange(len(laps) + 6) - 3) * step, laps, 5)
    u = rng.uniform(0, period, 50)
    got = spline(u)
    for order in range(4):
        np.testing.assert_allclose(got[:, order], reference(u + period, nu=order), atol=1e-9)


def test_repeats_with_its_advance() -> None:
    rng = np.random.default_rng(2)
    spline = LoopSpline(np.sort(rng.uniform(0, 100, 20))[:, None], 60.0, [100.0])
    u = np.linspace(-120, 200, 500)
    np.testing.assert_allclose(spline(u + 60.0)[:, 0], spline(u)[:, 0] + 100.0, atol=1e-9)
    np.testing.assert_allclose(spline(u + 60.0)[:, 1:], spline(u)[:, 1:], atol=1e-9)
    assert spline(u)[:, 1].min() >= 0.0  # ascending control points: it never runs backwards
