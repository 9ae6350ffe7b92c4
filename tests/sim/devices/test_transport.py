"""The way of messages to the host: its statistics, and each fault at its time, from what is delivered alone."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from sensorfuse.rig import Rig
from sensorfuse.sim.devices.device_clock import DeviceClock
from sensorfuse.sim.devices.device_config import ClockConfig, DelayShift, Outage, Stall, Storm, TransportConfig
from sensorfuse.sim.devices.schedule import Schedule
from sensorfuse.sim.devices.transport import Arrival, Transport, TransportFault

MS, S = 1_000_000, 1_000_000_000
QUIET = TransportConfig(delay_ms=5.0, jitter_ms=0.0)
MANY = 20_000


@pytest.fixture(scope="module")
def schedule(synthetic_rig: Rig) -> Schedule:
    return Schedule(
        "camera", synthetic_rig.sensors["camera"], 0, DeviceClock(ClockConfig(skew_ppm=30.0), (), 0, "camera")
    )


def transport(schedule: Schedule, config: TransportConfig, *faults: TransportFault, seed: int = 0) -> Transport:
    return Transport(config, faults, 4 * MS, schedule, seed, "camera")


def delays(schedule: Schedule, arrivals: list[Arrival]) -> np.ndarray:
    return np.array([a.recv_ns - schedule.span_ns(a.k)[1] for a in arrivals if not a.lost and a.copy == 0])


def test_a_perfect_way_only_delays(schedule: Schedule) -> None:
    arrivals = list(transport(schedule, QUIET).arrivals(0, 300))
    assert [a.k for a in arrivals] == list(range(300))
    assert (delays(schedule, arrivals) == 5 * MS).all()
    default = list(transport(schedule, TransportConfig()).arrivals(0, MANY))
    assert delays(schedule, default).min() >= 4 * MS
    assert delays(schedule, default).mean() == pytest.approx(4.3 * MS, rel=0.01)


def test_jitter_and_spikes_have_their_mean_above_the_minimum(schedule: Schedule) -> None:
    config = TransportConfig(delay_ms=5.0, jitter_ms=2.0, spike_share=0.1, spike_ms=20.0)
    found = delays(schedule, list(transport(schedule, config).arrivals(0, MANY)))
    assert found.min() >= 5 * MS
    assert found.mean() == pytest.approx((5 + 2 + 0.1 * 20) * MS, rel=0.02)
    assert np.mean(found >= 25 * MS) == pytest.approx(0.1, abs=0.01)
    quick = found[found < 25 * MS] - 5 * MS
    assert quick.std() == pytest.approx(2.0 * MS, rel=0.05)  # exponential: spread equals mean


def test_shares_of_losses_copies_and_latecomers(schedule: Schedule) -> None:
    config = TransportConfig(delay_ms=5.0, drop_share=0.07, duplicate_share=0.04, reorder_share=0.03)
    arrivals = list(transport(schedule, config).arrivals(0, MANY))
    first = [a for a in arrivals if a.copy == 0]
    assert sorted(a.k for a in first) == list(range(MANY))
    assert np.mean([a.lost == "drop" for a in first]) == pytest.approx(0.07, abs=0.006)
    kept = [a.k for a in first if not a.lost]
    assert sum(a.copy == 1 for a in arrivals) / len(kept) == pytest.approx(0.04, abs=0.005)
    newest = np.maximum.accumulate(kept)
    overtaken = np.array(kept) < newest
    assert overtaken.mean() == pytest.approx(0.03, abs=0.004)
    assert (newest - kept)[overtaken].max() <= 3
    assert [a.recv_ns for a in arrivals] == sorted(a.recv_ns for a in arrivals)


def test_messages_queue_behind_a_slow_one(schedule: Schedule) -> None:
    config = TransportConfig(delay_ms=5.0, jitter_ms=30.0, spike_share=0.02, spike_ms=400.0)
    arrivals = list(transport(schedule, config).arrivals(0, 5000))
    assert [a.k for a in arrivals] == list(range(5000))
    assert (np.diff([a.recv_ns for a in arrivals]) == 0).any()


def test_bursts_have_their_share_and_length(schedule: Schedule) -> None:
    config = TransportConfig(delay_ms=5.0, burst_share=0.3, burst_length=6.0)
    lost = np.array([a.lost == "burst" for a in transport(schedule, config).arrivals(0, MANY)])
    assert lost.mean() == pytest.approx(0.3, rel=0.1)
    edges = np.diff(np.concatenate([[0], lost.astype(int), [0]]))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    assert lengths.mean() == pytest.approx(6.0, rel=0.15)


def test_nothing_arrives_in_an_outage(schedule: Schedule) -> None:
    config = TransportConfig(delay_ms=70.0, jitter_ms=1.0, duplicate_share=0.5)
    arrivals = list(transport(schedule, config, Outage(kind="outage", at_s=10.0, for_s=2.0)).arrivals(0, 400))
    times = np.array([a.recv_ns for a in arrivals if not a.lost])
    assert not ((times >= 10 * S) & (times < 12 * S)).any()
    gone = [a for a in arrivals if a.lost]
    assert {a.lost for a in gone} == {"outage"}
    for a in arrivals:
        if a.copy == 0:
            end = schedule.span_ns(a.k)[1]
            assert bool(a.lost) == (end < 12 * S and a.recv_ns >= 10 * S)
    assert times.max() > 19 * S


def test_a_stall_holds_back_and_lets_go(schedule: Schedule) -> None:
    arrivals = list(transport(schedule, QUIET, Stall(kind="stall", at_s=10.0, for_s=1.0)).arrivals(0, 400))
    assert [a.k for a in arrivals] == list(range(400))
    times = np.array([a.recv_ns for a in arrivals])
    assert not ((times >= 10 * S) & (times < 11 * S)).any()
    assert (times == 11 * S).sum() == 20  # one second of a camera of 20 Hz
    marked = transport(schedule, QUIET, Stall(kind="stall", at_s=10.0, for_s=1.0))
    assert [k for k in range(400) if "stalled" in marked.marks(k)] == [a.k for a in arrivals if a.recv_ns == 11 * S]


def test_a_delay_shifts_for_good_or_for_a_while(schedule: Schedule) -> None:
    ends = np.array([schedule.span_ns(k)[1] for k in range(400)])
    up = DelayShift(kind="delay_shift", at_s=5.0, shift_ms=20.0)
    bump = DelayShift(kind="delay_shift", at_s=10.0, shift_ms=-100.0, for_s=2.0)
    found = delays(schedule, list(transport(schedule, QUIET, up, bump).arrivals(0, 400)))
    expected = np.where(ends < 5 * S, 5 * MS, np.where((ends >= 10 * S) & (ends < 12 * S), 0, 25 * MS))
    np.testing.assert_array_equal(found, expected)


def test_a_storm_repeats_and_scatters(schedule: Schedule) -> None:
    storm = Storm(kind="storm", at_s=5.0, for_s=200.0, copies=3, jitter_ms=4.0)
    arrivals = list(transport(schedule, QUIET, storm).arrivals(0, 4000))
    times = np.array([schedule.span_ns(a.k)[1] for a in arrivals])
    inside = (times >= 5 * S) & (times < 205 * S)
    assert (np.array([a.copy for a in arrivals])[~inside] == 0).all()
    firsts = [a for a, i in zip(arrivals, inside, strict=True) if i and a.copy == 0]
    assert inside.sum() == 4 * len(firsts)
    assert delays(schedule, firsts).mean() == pytest.approx(9 * MS, rel=0.05)


def test_fates_are_the_same_in_any_order_and_leave_each_other_alone(schedule: Schedule) -> None:
    config = TransportConfig(jitter_ms=20.0, drop_share=0.1, burst_share=0.1, duplicate_share=0.2, reorder_share=0.1)
    forwards, backwards = transport(schedule, config), transport(schedule, config)
    ks = [0, 3, 255, 256, 1000, 5000]
    assert [forwards.received_ns(k) for k in ks] == [backwards.received_ns(k) for k in ks[::-1]][::-1]
    arrivals = list(forwards.arrivals(0, 2000))
    assert list(islice(backwards.arrivals(), 1500)) == arrivals[:1500]
    later = list(backwards.arrivals(700, 2000))
    assert later == [a for a in arrivals if a.k >= 700]
    assert transport(schedule, config, seed=1).received_ns(0) != forwards.received_ns(0)
    more = transport(schedule, config.model_copy(update={"duplicate_share": 0.5}))
    assert [a for a in more.arrivals(0, 2000) if a.copy == 0] == [a for a in arrivals if a.copy == 0]
