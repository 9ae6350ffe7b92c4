"""Waits of ticks, against counting them one by one."""

from __future__ import annotations

import numpy as np
import pytest
from fake_log import EPOCH_NS, FakeLog, Message, regular, two_sensor_rig

from sensorfuse.sync.completeness import GOLDEN, REACH_MS, WARM_UP_NS, Completeness, CompletenessReport
from sensorfuse.sync.stream_plan import plan_streams

PERIOD_NS = 100_000_000


def judged(camera: list[Message], imu: list[Message]) -> CompletenessReport:
    plans = plan_streams(FakeLog({"camera": camera, "imu": imu}), two_sensor_rig())
    found = Completeness(plans, PERIOD_NS)
    rows = [(r, "camera", s, 0) for s, r in camera] + [(r, "imu", s, 50_000_000) for s, r in imu]
    end_ns = 0
    for recv, name, stamp, span in sorted(rows):
        end_ns = EPOCH_NS + round(recv * 1e9)
        found.push(name, EPOCH_NS + round(stamp * 1e9), span, end_ns)
    report = found.report(end_ns)
    assert report is not None
    return report


def by_hand(camera: list[Message], ticks: int, origin_s: float) -> np.ndarray:
    """Waits for the camera's nearest picture, in ms."""
    stamps, receipts = np.array(camera).T
    k = np.arange(ticks)
    t = origin_s + 0.1 * k + 0.1 * (k * GOLDEN % 1.0)
    nearest = np.abs(stamps[None] - t[:, None]).argmin(axis=1)
    return np.maximum(receipts[nearest] - t, 0.0) * 1e3


def test_every_deadline_as_counted_by_hand() -> None:
    camera = regular(20, 60, 0.030, 0.010, seed=1)
    imu = [(s, r + 0.05) for s, r in regular(20, 60, 0.002, 0.001, seed=2)]
    found = judged(camera, imu)
    origin_s = min(camera[0][1], imu[0][1]) + WARM_UP_NS / 1e9
    waits = by_hand(camera, found.ticks, origin_s)
    shares = [np.mean(waits <= ms) for ms in found.grid_ms]
    assert found.streams["camera"].share == pytest.approx(shares, abs=0.004)
    assert found.streams["camera"].deadline_99_ms == pytest.approx(np.quantile(waits, 0.99), abs=1.5)
    assert found.streams["imu"].deadline_99_ms == pytest.approx(53, abs=8)  # what covers the tick comes at its end
    assert all(a <= min(c, i) + 1e-9 for a, c, i in zip(
        found.all.share, found.streams["camera"].share, found.streams["imu"].share, strict=True
    ))  # fmt: skip
    assert found.ticks == pytest.approx(60 * 10 - 13, abs=2)


def test_an_outage_is_never_complete_and_does_not_spoil_the_deadline() -> None:
    camera = [m for m in regular(20, 60, 0.03) if not 20 <= m[0] < 26]
    found = judged(camera, [(s, r + 0.05) for s, r in regular(20, 60, 0.002)])
    assert found.streams["camera"].never == pytest.approx(5.75 / 58.7, abs=0.005)  # less its age limit on either side
    assert found.all.never == found.streams["camera"].never
    assert found.all.deadline_999_ms is not None
    assert found.all.deadline_999_ms < 130
    assert max(found.all.share) == pytest.approx(1 - found.all.never)


def test_what_comes_too_late_for_any_deadline() -> None:
    slow = [(s, r) for s, r in regular(20, 30, 0.4)]
    found = judged(slow, [(s, r + 0.05) for s, r in regular(20, 30, 0.002)])
    assert found.streams["camera"].deadline_99_ms is None
    assert max(found.streams["camera"].share) == 0.0
    assert found.streams["camera"].never == 0.0
    assert found.grid_ms[-1] == REACH_MS
