"""The simulated device's clock against closed forms and the definition of the Allan variance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.sim.devices.device_clock import DeviceClock
from sensorfuse.sim.devices.device_config import ClockConfig, ClockJump, ClockReset

S = 1_000_000_000
EPOCH_NS = 1_700_000_000 * S
FULL = ClockConfig(skew_ppm=40.0, warm_up_ppm=-15.0, warm_up_s=20.0, wander_ppm=0.5)


def clock(config: ClockConfig, *faults: ClockJump | ClockReset, seed: int = 0, epoch_ns: int = EPOCH_NS) -> DeviceClock:
    return DeviceClock(config, faults, seed, "imu", offset_ns=7, epoch_ns=epoch_ns)


def jump(at_s: float, jump_s: float) -> ClockJump:
    return ClockJump(kind="clock_jump", at_s=at_s, jump_s=jump_s)


def test_an_unconfigured_clock_differs_by_the_rigs_offset_only() -> None:
    times = EPOCH_NS + np.array([0, 1, 12345, 86_400 * S])
    assert (clock(ClockConfig()).stamps_ns(times) == times - 7).all()
    assert clock(ClockConfig(offset_s=0.25)).stamp_ns(EPOCH_NS) == EPOCH_NS - S // 4


def test_skew_and_warm_up_follow_their_closed_form() -> None:
    t = np.array([0.0, 1.0, 17.3, 600.0])
    config = FULL.model_copy(update={"wander_ppm": 0.0})
    expected = 1e3 * (40.0 * t - 15.0 * 20.0 * (1 - np.exp(-t / 20.0)))
    np.testing.assert_allclose(clock(config).deviation_ns(t * 1e9), expected, atol=1e-6)
    assert clock(config).frequency_ppm(0)[0] == pytest.approx(25.0)
    assert clock(config).frequency_ppm(1000 * S)[0] == pytest.approx(40.0)


def test_the_phase_is_the_integral_of_the_frequency() -> None:
    """Simpson's rule is exact for the piecewise linear wander on steps that divide the knots."""
    c = clock(FULL)
    edges = np.arange(0, 401) * 0.25
    f0, f1, f2 = (c.frequency_ppm((edges[:-1] + share * 0.25) * 1e9) for share in (0.0, 0.5, 1.0))
    steps = 0.25 / 6 * (f0 + 4 * f1 + f2) * 1e3
    np.testing.assert_allclose(np.cumsum(steps), c.deviation_ns(edges[1:] * 1e9), rtol=1e-7)


def test_wander_has_the_allan_deviation_of_a_random_walk_of_frequency() -> None:
    """sigma_y^2(tau) = q^2 tau / 3 for a walk of q per root second, at tau well above the knots' distance."""
    q = 0.5
    for tau in (16, 64):
        variances = []
        for seed in range(24):
            c = clock(ClockConfig(wander_ppm=q), seed=seed)
            phase = c.deviation_ns(np.arange(0, 2001, tau) * 1e9) / 1e3  # us, so that y is in ppm
            variances.append(0.5 * np.mean((np.diff(phase, 2) / tau) ** 2))
        assert np.sqrt(np.mean(variances)) == pytest.approx(q * np.sqrt(tau / 3), rel=0.1)
    assert clock(ClockConfig(wander_ppm=q)).frequency_ppm(0)[0] == 0


def test_wander_is_the_same_in_any_order_and_another_by_seed() -> None:
    forwards, backwards = clock(FULL), clock(FULL)
    times = np.array([3.2, 255.9, 256.1, 1000.7]) * 1e9
    a = [forwards.deviation_ns(t)[0] for t in times]
    b = [backwards.deviation_ns(t)[0] for t in times[::-1]]
    assert a == b[::-1]
    assert clock(FULL, seed=1).deviation_ns(times)[3] != a[3]
    assert np.abs(np.diff(forwards.frequency_ppm(np.arange(255.5, 256.5, 0.01) * 1e9))).max() < 0.05


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 5000), st.floats(-200, 200), st.floats(-50, 50), st.floats(1, 100), st.floats(0, 1))
def test_the_oscillator_has_an_exact_inverse(t: float, skew: float, warm: float, tau: float, wander: float) -> None:
    c = clock(ClockConfig(skew_ppm=skew, warm_up_ppm=warm, warm_up_s=tau, wander_ppm=wander))
    reading = t * 1e9
    true = c.when_ns(reading)
    assert abs(true[0] + c.deviation_ns(true)[0] - reading) < 0.01


def test_jumps_last_and_do_not_touch_the_oscillator() -> None:
    c = clock(FULL, jump(10.0, 0.5), jump(20.0, -3.0))
    plain = clock(FULL)
    for at_s, moved_s in ((9.999999999, 0.0), (10.0, 0.5), (19.0, 0.5), (20.0, -2.5), (50.0, -2.5)):
        t = EPOCH_NS + round(at_s * 1e9)
        assert c.stamp_ns(t) - plain.stamp_ns(t) == round(moved_s * 1e9)
    assert c.when_ns(30e9)[0] == plain.when_ns(30e9)[0]


def test_a_reset_counts_from_zero_at_the_oscillators_pace() -> None:
    c = clock(ClockConfig(skew_ppm=100.0), jump(5.0, 1.0), ClockReset(kind="clock_reset", at_s=10.0))
    assert c.stamp_ns(EPOCH_NS + 10 * S) == 0
    assert c.stamp_ns(EPOCH_NS + 12 * S) == 2 * S + 200_000
    assert c.stamp_ns(EPOCH_NS + 10 * S - 1) > EPOCH_NS


def test_a_counter_knows_no_date_ticks_and_wraps() -> None:
    config = ClockConfig(counter_s=4290.0, resolution_ns=1000, wrap_bits=32)
    for epoch_ns in (0, EPOCH_NS):
        c = clock(config, epoch_ns=epoch_ns)
        assert c.stamp_ns(epoch_ns) == 4290 * S
        assert c.stamp_ns(epoch_ns + 1999) == 4290 * S + 1000
        wrap = (1 << 32) * 1000 - 4290 * S
        assert c.stamp_ns(epoch_ns + wrap - 1) == ((1 << 32) - 1) * 1000
        assert c.stamp_ns(epoch_ns + wrap) == 0
        assert c.stamp_ns(epoch_ns + wrap + 5 * S) == 5 * S
