"""The clock benchmark: links are what they say."""

from __future__ import annotations

import numpy as np

from sensorfuse.bench.clocks import LEAST_DELAY_S, clock_errors_ms, measure, simulate_link


def test_a_link_has_the_delays_and_the_skew_that_it_says() -> None:
    link = simulate_link(200.0, 4e-3, 200.0, 1)
    delay = (link.recv_ns - link.truth_ns) / 1e9
    assert delay.min() >= 0
    assert abs(np.median(delay) - 3.2e-3) < 1.5e-3
    assert LEAST_DELAY_S == 3e-3
    slope = np.polyfit(link.truth_ns / 1e9, (link.stamp_ns - link.truth_ns) / 1e9, 1)[0]
    assert abs(slope + 40e-6) < 2e-6
    assert (np.diff(link.recv_ns) >= 0).all()


def test_a_worse_link_is_measured_as_worse() -> None:
    good, bad = (clock_errors_ms(simulate_link(30.0, jitter, 200.0, 2)) for jitter in (1e-3, 8e-3))
    assert good[1800:].std() < 0.5 * bad[1800:].std()


def test_every_goal_has_a_figure() -> None:
    goals = measure(trials=1, duration_s=120.0)
    assert len(goals) == 14
    assert all(np.isfinite(g.measured) for g in goals)
