"""When devices measure: by their own oscillator, from a phase of their own."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.rig import Rig
from sensorfuse.sim.devices.device_clock import DeviceClock
from sensorfuse.sim.devices.device_config import ClockConfig
from sensorfuse.sim.devices.schedule import Schedule

EXACT = ClockConfig()
FAST = ClockConfig(skew_ppm=5000.0, warm_up_ppm=100.0, warm_up_s=30.0, wander_ppm=0.5)


def schedule(rig: Rig, stream: str, config: ClockConfig = EXACT) -> Schedule:
    return Schedule(stream, rig.sensors[stream], 0, DeviceClock(config, (), 0, stream))


@pytest.mark.parametrize("stream", ["camera", "lidar", "radar", "imu", "microphones"])
def test_an_exact_clock_measures_at_phase_plus_k_periods(synthetic_rig: Rig, stream: str) -> None:
    exact = schedule(synthetic_rig, stream)
    sensor = synthetic_rig.sensors[stream]
    for k in (0, 1, 255, 256, 100_003):
        start, end = exact.span_ns(k)
        assert start == exact.phase_ns + round(k * 1e9 / sensor.message_rate_hz)
        length = {"camera": 0, "radar": 20_000_000, "imu": 45_000_000}.get(stream, sensor.period_ns)
        assert end - start == pytest.approx(length, abs=1)
        named = {"camera": (start + end) // 2, "radar": (start + end) // 2}.get(stream, start)
        assert exact.event_ns(k) == named
    assert 0 <= exact.phase_ns < sensor.period_ns


@pytest.mark.parametrize("stream", ["camera", "lidar", "radar", "imu", "microphones"])
def test_a_fast_oscillator_triggers_when_it_reads_the_nominal_time(synthetic_rig: Rig, stream: str) -> None:
    exact, fast = schedule(synthetic_rig, stream), schedule(synthetic_rig, stream, FAST)
    for k in (0, 3, 700, 5000):
        for true, nominal in zip(
            (*fast.span_ns(k), fast.event_ns(k)), (*exact.span_ns(k), exact.event_ns(k)), strict=True
        ):
            assert abs(fast.clock.deviation_ns(true)[0] + true - nominal) < 0.6  # the true time is a whole nanosecond
    assert fast.span_ns(5000)[0] < 0.9955 * exact.span_ns(5000)[0]


def test_samples_within_a_message_follow_the_oscillator(synthetic_rig: Rig) -> None:
    exact, fast = schedule(synthetic_rig, "imu"), schedule(synthetic_rig, "imu", FAST)
    np.testing.assert_array_equal(exact.imu_times_ns(4) - exact.span_ns(4)[0], 5_000_000 * np.arange(10))
    times = fast.imu_times_ns(4)
    assert (times[0], times[-1]) == fast.span_ns(4)
    np.testing.assert_allclose(np.diff(times), 5e6 / 1.0051, atol=20)


def test_sound_blocks_join_in_true_time(synthetic_rig: Rig) -> None:
    fast = schedule(synthetic_rig, "microphones", FAST)
    blocks = [fast.block_s(k) for k in range(5)]
    assert [b[1] for b in blocks[:-1]] == [b[0] for b in blocks[1:]]
    assert abs(blocks[0][0] * 1e9 - fast.span_ns(0)[0]) < 0.6


@pytest.mark.parametrize("config", [EXACT, FAST, ClockConfig(skew_ppm=-9000.0)])
@pytest.mark.parametrize("stream", ["lidar", "radar", "imu"])
def test_the_first_of_a_time_is_found(synthetic_rig: Rig, stream: str, config: ClockConfig) -> None:
    made = schedule(synthetic_rig, stream, config)
    for k in (0, 1, 40, 3000):
        start, end = made.span_ns(k)
        assert made.first_starting(start) == k
        assert made.first_starting(start + 1) == k + 1
        assert made.first_ending(end) == k
        assert made.first_ending(end + 1) == k + 1
    assert made.first_ending(-5_000_000_000) == made.first_starting(-1) == 0
