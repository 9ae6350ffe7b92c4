"""A clock's figures from one-way stamps."""

from __future__ import annotations

import numpy as np
import pytest
from fake_log import EPOCH_NS, Message, regular

from sensorfuse.align.stream_clock import StreamClock
from sensorfuse.sync.clock_tally import CURVE_POINTS, ClockReport, ClockTally


def report(messages: list[Message], offset_ns: int = 0, has_recv: bool = True, epoch_ns: int = EPOCH_NS) -> ClockReport:
    """`epoch_ns` is what stamps count from; receipts count from the log's."""
    tally = ClockTally(StreamClock(50_000_000, offset_ns), has_recv)
    for stamp, recv in messages:
        tally.push(epoch_ns + round(stamp * 1e9), EPOCH_NS + round(recv * 1e9), 0, round(recv * 1e9))
    return tally.report()


@pytest.mark.parametrize("ppm", [-120.0, 0.0, 40.0])
def test_skew_delays_and_offset(ppm: float) -> None:
    found = report(regular(20, 60, 0.008, 0.002, ppm, seed=3))
    assert found.receive_times == "recorded"
    assert found.skew_ppm == pytest.approx(ppm, abs=2.0)
    assert abs((found.skew_ppm or 0.0) - ppm) < 4 * (found.skew_sigma_ppm or 0.0)
    assert found.least_delay_ms == pytest.approx(8.0, abs=0.1)
    assert found.delay_ms is not None
    assert found.delay_ms["p50"] == pytest.approx(2.0 * np.log(2), rel=0.2)
    assert found.offset_s == pytest.approx(0.008 + 60 * ppm * 1e-6, abs=1e-3)
    assert found.curve[-1].drift_ms == pytest.approx(60e3 * ppm * 1e-6, abs=1.0)


def test_jumps_are_told_and_taken_out_of_the_drift() -> None:
    messages = regular(20, 60, 0.008, 0.001, 40.0)
    jumped = [(s + (0.4 if r > 20 else 0.0) - (7.0 if r > 45 else 0.0), r) for s, r in messages]
    found = report(jumped)
    assert found.jump_count == 2
    assert [j.by_s for j in found.jumps] == pytest.approx([0.4, -7.0], abs=0.01)
    assert [j.at_s for j in found.jumps] == pytest.approx([20.0, 45.0], abs=0.5)
    assert found.skew_ppm == pytest.approx(40.0, abs=8.0)
    assert abs(found.curve[-1].drift_ms) < 5.0


def test_a_device_without_a_date() -> None:
    found = report(regular(20, 20, 0.008, 0.001), epoch_ns=0)
    assert found.undated
    assert found.jump_count == 0
    assert found.least_delay_ms is None
    assert found.offset_s == pytest.approx(EPOCH_NS / 1e9, abs=1.0)


def test_logs_without_receive_times() -> None:
    assert report([(s, s + 0.25) for s, _ in regular(20, 10, 0.0)]).receive_times == "none"  # computed by an offset
    same = [(s, s) for s, _ in regular(20, 10, 0.0)]
    assert report(same).receive_times == "stamps"
    assert report(same, has_recv=False).receive_times == "none"
    assert report(regular(20, 10, 0.01, 0.001), has_recv=False).skew_ppm is None
    assert report([]).offset_s is None


def test_a_long_log_keeps_its_curve_short() -> None:
    found = report(regular(2, 1000, 0.01, 0.002, 20.0))
    assert 200 < len(found.curve) <= CURVE_POINTS
    assert found.curve[-1].at_s == pytest.approx(1000, abs=5)
    assert all(p.least_delay_ms <= p.most_delay_ms for p in found.curve)
