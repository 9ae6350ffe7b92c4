"""Clocks of a run: one epoch for all processes, scaled log time, the way back to monotonic time, another host's."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensorfuse.align.time_exchange import OffsetLine
from sensorfuse.clock import MAX_SLEW, FollowedMonotonic, RunClock, boot_id, epoch_offset_ns

MS, S = 1_000_000, 1_000_000_000


def test_all_processes_of_a_folder_agree_on_the_epoch(tmp_path: Path) -> None:
    first = epoch_offset_ns(tmp_path)
    assert all(epoch_offset_ns(tmp_path) == first for _ in range(5))
    assert abs(first + time.monotonic_ns() - time.time_ns()) < 1_000_000_000


def test_scaled_clock_runs_at_its_rate() -> None:
    mono = time.monotonic_ns()
    clock = RunClock("scaled", 0, log_start_ns=1000, mono_start_ns=mono, rate=10.0)
    now = clock.now_ns()
    elapsed = time.monotonic_ns() - mono
    assert 0 <= now - 1000 <= 10 * elapsed
    assert abs(clock.host_delay_s(clock.now_ns() + 10_000_000_000) - 1.0) < 0.05
    assert clock.mono_ns(1000 + 10_000_000) == mono + 1_000_000


def test_host_clock_and_back() -> None:
    clock = RunClock("host", 5_000)
    assert clock.mono_ns(7_000) == 2_000
    assert RunClock(**clock.to_dict()) == clock


def test_a_system_has_one_name() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) > 8


def test_a_followed_clock_steps_only_before_it_was_read() -> None:
    clock = FollowedMonotonic()
    clock.follow(OffsetLine(0, 5 * S, 0.0), 0)
    clock.follow(OffsetLine(0, 3 * S, 100e-6), 0)
    assert clock.at(1 * S) == 4 * S + MS // 10
    assert clock.at(10 * S) == 13 * S + MS
    assert clock.at(9 * S) == 13 * S + MS, "one thread's reading is late: time does not go back"
    clock.follow(OffsetLine(10 * S, 3 * S + 2 * MS, 100e-6), 10 * S)
    assert abs(clock.at(10 * S) - 13 * S - MS) <= 1
    assert abs(clock.at(10 * S + S // 2) - (13 * S + S // 2 + 3 * MS // 2 + 50_000)) <= 1, (
        "half way after half a second"
    )
    for t in (12, 15, 100):
        assert clock.at(t * S) == t * S + 3 * S + 2 * MS + (t - 10) * 100_000


def test_a_followed_clock_slews_no_faster_than_it_says() -> None:
    clock = FollowedMonotonic()
    clock.at(0)
    clock.follow(OffsetLine(0, -15 * MS, 0.0), 0)
    readings = np.array([clock.at(t * MS * 10) for t in range(1700)])
    paces = np.diff(readings) / (10 * MS)
    assert abs(paces.min() - (1 - MAX_SLEW)) < 1e-6
    assert readings[-1] == 1699 * 10 * MS - 15 * MS


@given(st.lists(st.tuples(st.integers(1, 3 * S), st.integers(-2 * S, 2 * S), st.floats(-5e-4, 5e-4)), max_size=30))
def test_a_followed_clock_never_goes_back_and_arrives(steps: list[tuple[int, int, float]]) -> None:
    clock, now = FollowedMonotonic(), 0
    last = clock.at(now)
    for wait, offset, skew in steps:
        clock.follow(OffsetLine(now, offset, skew), now)
        for part in (0, wait // 3, wait):
            reading = clock.at(now + part)
            assert reading >= last
            last = reading
        now += wait
    if steps:
        line = OffsetLine(now, steps[-1][1], 0.0)
        clock.follow(line, now)
        assert clock.at(now + 20 * S) == now + 20 * S + steps[-1][1]


def test_the_way_back_to_this_hosts_time() -> None:
    clock = FollowedMonotonic()
    clock.at(0)
    clock.follow(OffsetLine(0, 3 * S, 200e-6), 0)
    clock.follow(OffsetLine(0, 3 * S + 10 * MS, 200e-6), 20 * S)
    for t in (20 * S, 21 * S, 29 * S, 35 * S, 100 * S):
        assert abs(clock.local_ns(clock.at(t)) - t) <= 2
    run = RunClock("scaled", 0, log_start_ns=0, mono_start_ns=3 * S, rate=2.0, source=clock)
    now = time.monotonic_ns()
    assert abs(run.mono_ns(run.now_ns()) - now) < 50 * MS
    assert RunClock(**run.to_dict()) == run


def test_a_run_clock_on_another_host_reads_what_the_first_ones_reads() -> None:
    here = time.monotonic_ns()
    followed = FollowedMonotonic()
    followed.follow(OffsetLine(here, 7 * S, 0.0), here)
    first, other = RunClock("host", 5), RunClock("host", 5, source=followed)
    assert abs(other.now_ns() - first.now_ns() - 7 * S) < 50 * MS
    assert abs(other.mono_ns(other.now_ns()) - time.monotonic_ns()) < 50 * MS
    assert abs(other.host_delay_s(first.now_ns() + 8 * S) - 1.0) < 0.05
