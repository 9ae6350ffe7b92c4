"""Streams made by one trigger."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sync.phase_lock import PhaseLock, PhaseReport


def compare(camera_ns: np.ndarray, late_reference: bool) -> PhaseReport | None:
    lock = PhaseLock("imu")
    imu = np.arange(4000, dtype=np.int64) * 5_000_000
    k = 0
    for block in imu.reshape(-1, 10):
        edge = block[0] - (0 if late_reference else 300_000_000)
        while k < len(camera_ns) and camera_ns[k] < edge:
            lock.push("camera", int(camera_ns[k]))
            k += 1
        lock.push_reference(block)
    return lock.report("camera")


@pytest.mark.parametrize("late_reference", [True, False])
def test_triggered_by_one_clock(late_reference: bool) -> None:
    found = compare(np.arange(300, dtype=np.int64) * 50_000_000 + 1_200_000, late_reference)
    assert found is not None
    assert found.locked
    assert found.phase_ms == pytest.approx(1.2)
    assert found.spread_ms < 0.001


def test_free_running_and_jittery_ones_are_not() -> None:
    free = compare((np.arange(300) * 50_010_000).astype(np.int64), True)
    assert free is not None
    assert not free.locked
    noise = np.random.default_rng(0).normal(0, 1e6, 300).astype(np.int64)
    shaken = compare(np.arange(300, dtype=np.int64) * 50_000_000 + noise, True)
    assert shaken is not None
    assert not shaken.locked
    assert compare(np.arange(5, dtype=np.int64) * 50_000_000, True) is None
