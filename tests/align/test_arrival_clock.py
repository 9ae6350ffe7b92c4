"""Time from receipt alone: jitter taken out, losses and stalls borne."""

from __future__ import annotations

import numpy as np

from sensorfuse.align.arrival_clock import ArrivalClock

P = 50_000_000


def test_jitter_is_taken_out_down_to_its_least() -> None:
    rng = np.random.default_rng(1)
    for rate_error in (-5e-4, 0.0, 5e-4):
        clock = ArrivalClock(P)
        times = np.round(np.arange(2000) * P * (1 + rate_error)).astype(int)
        delay = np.round(rng.gamma(1.5, 3e6, 2000)).astype(int)
        kept = np.flatnonzero(rng.random(2000) > 0.1)
        found = np.array([clock.event_ns(int(k), int(times[k] + delay[k])) for k in kept])
        error = (found - times[kept])[200:]
        assert error.min() >= 0
        assert error.std() < 0.35 * delay.std()
        assert 0.2 < clock.sigma_ns / np.percentile(delay, 95) < 1.5


def test_a_stall_or_a_restart_is_followed() -> None:
    clock = ArrivalClock(P)
    for k in range(100):
        clock.event_ns(k, k * P)
    assert clock.event_ns(100, 100 * P + 60 * P) == 160 * P
    assert clock.event_ns(3, 161 * P) == 161 * P, "a sequence that begins anew says nothing of time"
