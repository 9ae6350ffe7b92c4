"""The track of an offset: slow output, honest sigma, change noticed, outliers not."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.content.offset_tracker import SLEW, OffsetTracker


def locked(offset_s: float = 0.005, sigma_s: float = 5e-4, count: int = 20) -> OffsetTracker:
    tracker = OffsetTracker(0.01)
    for k in range(count):
        tracker.push(float(k), offset_s, sigma_s, True)
    return tracker


def test_before_anything_is_known_the_prior_holds() -> None:
    tracker = OffsetTracker(0.01, 0.002)
    tracker.push(5.0, 0.3, 1e-3, False)
    assert tracker.state == "unobservable"
    assert tracker.offset_s(6.0) == 0.002
    assert tracker.sigma_s(6.0) >= 0.01


def test_sigma_falls_with_estimates_and_grows_without() -> None:
    tracker = locked()
    at_end = tracker.sigma_s(19.0)
    assert at_end < 3e-4
    assert tracker.sigma_s(80.0) > tracker.sigma_s(40.0) > at_end
    assert tracker.state == "locked"
    tracker.push(30.0, 0.0, 1.0, False)
    assert tracker.state == "coasting"
    tracker.push(90.0, 0.0, 1.0, False)
    assert tracker.state == "unobservable"
    assert tracker.offset_s(90.0) == pytest.approx(0.005, abs=1e-3)  # the last one known


def test_estimates_that_share_their_data_count_less() -> None:
    whole, shared = OffsetTracker(0.01), OffsetTracker(0.01)
    for k in range(10):
        whole.push(float(k), 0.0, 1e-3, True)
        shared.push(float(k), 0.0, 1e-3, True, fresh=0.1)
    assert shared.sigma_s(9.0) > 1.5 * whole.sigma_s(9.0)


def test_small_changes_are_let_out_slowly_and_sigma_says_so() -> None:
    tracker = OffsetTracker(0.01)
    tracker.push(0.0, 0.010, 1e-4, True)
    assert tracker.epoch == 0
    assert tracker.offset_s(0.0) == pytest.approx(0.0, abs=1e-9)
    assert tracker.sigma_s(0.0) == pytest.approx(0.010, rel=0.02)
    t = np.arange(0.0, 15.0, 0.1)
    out = np.array([tracker.offset_s(v) for v in t])
    assert np.abs(np.diff(out)).max() <= SLEW * 0.1 + 1e-9
    assert out[-1] == pytest.approx(0.010, abs=1e-4)


def test_a_great_and_sure_change_steps_once() -> None:
    tracker = OffsetTracker(0.2)
    tracker.push(0.0, 0.1, 1e-3, True)
    assert tracker.epoch == 1
    assert tracker.offset_s(0.0) == pytest.approx(0.1, abs=1e-4)


def test_skew_is_learnt_and_carried_on() -> None:
    tracker = OffsetTracker(0.01)
    for k in range(120):
        tracker.push(float(k), 4e-5 * k, 2e-4, True)
    assert tracker.skew == pytest.approx(4e-5, rel=0.2)
    assert tracker.offset_s(140.0) == pytest.approx(4e-5 * 140, abs=3e-4)


def test_single_outliers_move_nothing() -> None:
    tracker, plain = locked(), locked()
    for k in range(20, 60):
        odd = k % 3 == 0
        tracker.push(float(k), 0.3 * (-1) ** k if odd else 0.005, 5e-4, True)
        if not odd:
            plain.push(float(k), 0.005, 5e-4, True)
    assert tracker.state == "locked"
    assert tracker.offset_s(60.0) == pytest.approx(plain.offset_s(60.0), abs=1e-5)


def test_four_that_agree_with_each_other_make_it_reacquire() -> None:
    tracker = locked()
    for k in range(3):
        tracker.check(20.0 + k, 0.105, 5e-4, True)
        assert tracker.state == "locked"
    tracker.check(23.0, 0.105, 5e-4, True)
    assert tracker.state == "reacquiring"
    assert tracker.offset_s(23.0) == pytest.approx(0.005, abs=1e-4)
    tracker.reacquire(*tracker.newest_odd())
    assert tracker.state == "locked"
    assert tracker.epoch == 1
    assert tracker.offset_s(23.0) == pytest.approx(0.105, abs=1e-4)


def test_left_alone_it_reacquires_by_itself() -> None:
    tracker = locked()
    for k in range(6):
        tracker.push(20.0 + k, 0.105, 5e-4, True)
    assert tracker.state == "locked"
    assert tracker.offset_s(26.0) == pytest.approx(0.105, abs=2e-3)


def test_one_back_on_the_track_ends_the_search() -> None:
    tracker = locked()
    for k in range(4):
        tracker.check(20.0 + k, 0.105, 5e-4, True)
    tracker.push(24.0, 0.005, 5e-4, True)
    assert tracker.state == "locked"
    assert tracker.epoch == 0


def test_what_is_not_finite_is_left_out() -> None:
    tracker = locked()
    before = tracker.offset_s(30.0)
    for bad in ((np.nan, 0.0, 1e-3), (20.0, np.inf, 1e-3), (20.0, 0.0, np.nan), (20.0, 0.0, 0.0)):
        tracker.push(*bad, True)
        tracker.check(*bad, True)
    assert tracker.offset_s(30.0) == before
