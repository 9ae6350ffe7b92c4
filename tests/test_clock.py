"""Clocks of a run: one epoch for all processes, scaled log time, and the way back to monotonic time."""

from __future__ import annotations

import time
from pathlib import Path

from sensorfuse.clock import RunClock, epoch_offset_ns


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
