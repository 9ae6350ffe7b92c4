"""The time exchange benchmark: links and the methods beside it are what they say."""

from __future__ import annotations

import numpy as np

from sensorfuse.bench.exchange import (
    ASYMMETRIC,
    LAN,
    SKEW,
    WIFI,
    GainFilter,
    LeastDelay,
    errors_ms,
    follow,
    measure,
    simulate_exchanges,
)


def test_links_have_the_delays_and_the_skew_that_they_say() -> None:
    for kind, least_ms in ((LAN, 0.2), (WIFI, 2.0), (ASYMMETRIC, 4.0)):
        stamps, truth = simulate_exchanges(kind, 100.0, 1)
        t1, t2, t3, t4 = np.array(stamps).T / 1e6
        trip = (t4 - t1) - (t3 - t2)
        assert trip.min() >= least_ms - 0.01
        assert np.percentile(trip, 10) < least_ms + 2.0
        ahead = truth / 1e6
        assert abs(((t2 - t1 - ahead).min() + (t4 - t3 + ahead).min()) / least_ms - 1) < 0.25
        assert abs(np.polyfit(t4, ahead, 1)[0] - SKEW) < 1e-6
    there, back = (t2 - t1 - ahead).min(), (t4 - t3 + ahead).min()
    assert abs(back - there - 2.0) < 0.3


def test_a_jump_is_in_the_truth_and_in_the_stamps() -> None:
    stamps, truth = simulate_exchanges(LAN, 40.0, 2, 20.0, 0.5)
    at = np.array([s[0] for s in stamps]) / 1e9
    middle = np.array([(s[1] - s[0] + s[2] - s[3]) / 2 for s in stamps])
    assert abs(np.median(truth[at > 20.1]) - np.median(truth[at < 19.9]) - 0.5e9) < 2e6
    assert np.median(np.abs(middle - truth)) < 0.05e6
    assert follow(stamps, truth).resets == 1


def test_the_methods_beside_it_are_exact_without_jitter() -> None:
    kind = type(LAN)(1e-3, 1e-3, 1e-9, 0.0, (0.0, 0.0))
    stamps, truth = simulate_exchanges(kind, 400.0, 0)
    for method in (LeastDelay(), GainFilter()):
        error = errors_ms(method.push, stamps, truth)
        assert np.abs(error[-50:]).max() < 0.5
    assert np.abs(follow(stamps, truth).error_ms[-50:]).max() < 0.01


def test_the_gain_filter_gates_spikes_and_follows_a_jump() -> None:
    method = GainFilter()
    ms = 1_000_000
    for k in range(20):
        method.push(k * 1000 * ms, (k * 1000 + 1) * ms, (k * 1000 + 1) * ms, (k * 1000 + 2) * ms)
    assert method.push(21_000 * ms, 21_051 * ms, 21_051 * ms, 21_052 * ms) == 0.0
    found = [method.push(t * ms, (t + 501) * ms, (t + 501) * ms, (t + 2) * ms) for t in range(22_000, 28_000, 1000)]
    assert found[:5] == [0.0] * 5
    assert found[5] == 500.0 * ms


def test_every_goal_has_a_figure() -> None:
    goals = measure(trials=1, duration_s=90.0)
    assert len(goals) == 13
    assert all(np.isfinite(g.measured) for g in goals)
