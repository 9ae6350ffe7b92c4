"""Logs that are played into a live pipeline, and what must not be taken for one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sensorfuse.align.paced_time import PacedTime
from sensorfuse.align.replay_rate import Pace, ReplayRate, common_rate
from sensorfuse.align.stream_clock import StreamClock

S = 1_000_000_000
EPOCH_NS = 1_700_000_000 * S
Messages = list[tuple[str, int, int]]


def play(
    rate: float,
    seconds: float = 14.0,
    jitter_s: float = 0.002,
    streams: tuple[tuple[str, float], ...] = (("camera", 30.0), ("lidar", 10.0), ("imu", 100.0)),
    seed: int = 0,
    ppm: float = 40.0,
) -> Messages:
    """Messages in order of receipt over `seconds` of the host, of devices whose clocks are off by up to `ppm`."""
    rng, out = np.random.default_rng(seed), []
    for stream, hz in streams:
        clock = 1 + rng.uniform(-ppm, ppm) * 1e-6
        for n in range(round(seconds * rate * hz)):
            sent = n / hz / rate
            recv = sent + 0.003 + rng.exponential(jitter_s)
            out.append((stream, EPOCH_NS + round(n / hz * clock * S), 5 * S + round(recv * S)))
    return sorted(out, key=lambda m: m[2])


def found(messages: Messages) -> ReplayRate:
    rate = ReplayRate()
    for message in messages:
        rate.push(*message)
    return rate


@pytest.mark.parametrize("k", [0.1, 0.5, 0.98, 1.01, 1.5, 2.0, 10.0])
def test_the_rate_of_a_player_is_found(k: float) -> None:
    rate = found(play(k))
    assert rate.rate == k
    assert "imu" in rate.streams  # the others may have sent too little yet


@pytest.mark.parametrize("jitter_s", [0.0002, 0.002, 0.02, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_live_sensors_are_no_player(jitter_s: float, seed: int) -> None:
    """Neither with the clocks of worst oscillators nor over a bad radio."""
    rate = ReplayRate()
    assert not any(rate.push(*m) for m in play(1.0, 20.0, jitter_s, seed=seed, ppm=300.0))


def test_one_stream_with_a_wrong_nominal_rate_is_no_player() -> None:
    live = play(1.0, streams=(("imu", 100.0), ("lidar", 10.0)))
    odd = [(s, EPOCH_NS + round((d - EPOCH_NS) * 1.02), r) for s, d, r in play(1.0, streams=(("camera", 30.0),))]
    assert found(sorted(live + odd, key=lambda m: m[2])).rate == 1.0
    assert found(play(29.97 / 30, streams=(("camera", 30.0),), ppm=0.0)).rate == 1.0
    assert found(play(2.0, streams=(("camera", 30.0),))).rate == pytest.approx(2.0, rel=4e-4)


def test_a_rate_that_is_not_round_is_found_too() -> None:
    assert found(play(math.e / 2)).rate == pytest.approx(math.e / 2, rel=5e-4)


def test_a_stream_stamped_by_the_host_does_not_hide_the_player() -> None:
    host = [("audio", r, r) for _, _, r in play(1.0, streams=(("audio", 20.0),))]
    rate = found(sorted(play(0.5) + host, key=lambda m: m[2]))
    assert rate.rate == pytest.approx(0.5, rel=4e-4)
    assert "audio" not in rate.streams


def test_stalls_jumps_and_stamps_that_stand_are_no_player() -> None:
    live = play(1.0, 20.0)
    stalled = [(s, d, max(r, 17 * S) if 15 * S < r < 17 * S else r) for s, d, r in live]
    jumped = [(s, d + (3 * S if r > 12 * S else 0), r) for s, d, r in live]
    constant = [(s, EPOCH_NS, r) for s, _, r in live]
    looped = [(s, d - (6 * S if r > 11 * S else 0), r) for s, d, r in live]
    for messages in (stalled, jumped, constant, looped):
        rate = ReplayRate()
        assert not any(rate.push(*m) for m in messages)


def test_a_pause_keeps_the_rate_and_the_end_of_play_ends_it() -> None:
    played = play(2.0, 30.0)
    paused = [(s, d, r + (4 * S if r > 20 * S else 0)) for s, d, r in played]
    assert found(paused).rate == pytest.approx(2.0, rel=4e-4)
    last = max(r for _, _, r in played)
    live = [(s, d + 200 * S, r + last) for s, d, r in play(1.0, 20.0)]
    rate = found(played + live)
    assert (rate.rate, rate.streams) == (1.0, ())


def test_as_fast_as_it_goes_is_no_rate() -> None:
    played = [(s, d, 5 * S + round(8 * S * math.sqrt((r - 5 * S) / (8 * S)))) for s, d, r in play(1.0, 30.0)]
    assert found(played).rate == 1.0


def test_streams_that_differ_have_no_common_rate() -> None:
    assert common_rate({"a": Pace(2.0, 0.0), "b": Pace(1.0, 0.0)}) == (None, ())
    assert common_rate({"a": Pace(2.0, 0.0), "b": Pace(2.001, 1e-4), "c": Pace(1.0, 0.0)})[1] == ("a", "b")
    assert common_rate({}) == (None, ())


def test_a_clock_on_paced_time_sees_the_log_as_it_was() -> None:
    """Begun anew once the rate is known, a device's clock model follows stamps of twice the pace as it does a live
    device's; on the host's time it does not.
    """
    rate, time = ReplayRate(), PacedTime()
    clock, off = StreamClock(33_333_333), StreamClock(33_333_333)
    late_ns: list[int | None] = []
    for stream, stamp_ns, recv_ns in play(2.0, 60.0):
        if rate.push(stream, stamp_ns, recv_ns):
            time.set_rate(rate.rate, recv_ns)
            clock, late_ns = StreamClock(33_333_333), []
        if stream == "camera":
            paced_ns = time.paced_ns(recv_ns)
            event_ns = clock.event_ns(stamp_ns, paced_ns, paced_ns)
            late_ns.append(None if event_ns is None else paced_ns - event_ns)
            off.event_ns(stamp_ns, recv_ns, recv_ns)
    known = [d for d in late_ns if d is not None]
    assert len(late_ns) - len(known) < 10
    assert clock.epoch == 1  # anchored on the receive times: its stamps are of years later
    assert np.ptp(known) < 0.04 * S  # the jitter, stretched
    assert abs(clock.model.skew) < 60e-6
    assert abs(off.model.skew) > 290e-6 or off.epoch > 3


def test_paced_time_is_continuous_and_exact() -> None:
    time = PacedTime()
    assert time.paced_ns(EPOCH_NS + 7) == EPOCH_NS + 7
    time.set_rate(2.0, EPOCH_NS)
    time.set_rate(0.5, EPOCH_NS + 10 * S)
    assert time.paced_ns(EPOCH_NS + 10 * S) == EPOCH_NS + 20 * S
    assert time.paced_ns(EPOCH_NS + 14 * S) == EPOCH_NS + 22 * S
    assert time.host_ns(EPOCH_NS + 22 * S) == EPOCH_NS + 14 * S
