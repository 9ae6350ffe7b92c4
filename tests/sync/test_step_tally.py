"""Steps between stamps."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sync.step_tally import StepReport, StepTally

PERIOD_NS = 50_000_000


def report(stamps_ns: list[int]) -> StepReport:
    tally = StepTally()
    for stamp in stamps_ns:
        tally.push(stamp)
    return tally.report()


def test_period_and_jitter() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1e6, 4000).round().astype(int)
    found = report((np.arange(4000) * PERIOD_NS + noise).tolist())
    assert found.rate_hz == pytest.approx(20.0, rel=1e-3)
    assert found.period_ms == pytest.approx(50.0, abs=0.1)
    assert found.jitter_ms["p95"] == pytest.approx(1.96 * np.sqrt(2), rel=0.1)  # of the difference of two stamps
    assert found.gaps == found.out_of_order == found.duplicates == 0


@pytest.mark.parametrize("first_lost", [20, 500])  # while the period is being learned, and after
def test_missing_messages(first_lost: int) -> None:
    lost = {first_lost, first_lost + 1, first_lost + 2, first_lost + 50}
    found = report([k * PERIOD_NS for k in range(1000) if k not in lost])
    assert (found.gaps, found.missing) == (2, 4)
    assert found.longest_gap_s == pytest.approx(0.2)
    assert found.rate_hz == pytest.approx((1000 - 1 - 4) / 49.95)


def test_order_and_copies() -> None:
    stamps = [k * PERIOD_NS for k in range(300)]
    stamps[100:103] = [stamps[101], stamps[102], stamps[100]]  # one comes two late
    found = report([*stamps[:200], stamps[199], *stamps[200:]])
    assert (found.out_of_order, found.steps_back, found.duplicates) == (1, 1, 1)
    assert found.late_ms["max"] == pytest.approx(100.0)
    assert found.gaps == 1  # where the late one was missed at first


def test_a_clock_that_is_set_back_is_no_reordering() -> None:
    stamps = [k * PERIOD_NS for k in range(300)] + [(k - 8) * PERIOD_NS + 7 for k in range(300, 600)]
    found = report(stamps)
    assert found.steps_back == 1
    assert found.out_of_order > 2
    tally = StepTally()
    for k, stamp in enumerate(stamps):
        if k == 300:
            tally.restart()
        tally.push(stamp)
    assert tally.report().out_of_order == 0


def test_resolution_and_constant_stamps() -> None:
    rng = np.random.default_rng(2)
    coarse = np.round(np.arange(500) * 33.3667 + rng.normal(0, 2, 500)).astype(int) * 1_000_000
    assert report(coarse.tolist()).resolution_ns == 1_000_000
    assert report([5] * 100).stuck
    assert not report(coarse.tolist()).stuck
    assert report([]).rate_hz is None
    assert report([1]).period_ms is None
