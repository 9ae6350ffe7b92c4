"""The child process that makes a synthetic sensor's samples."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import psutil
import pytest
from sensorfuse.nodes.simulation import SimulatedDevice

from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig

pytestmark = pytest.mark.alone

TIMEOUT_S = 60.0


def child_of(before: set[int]) -> psutil.Process:
    (pid,) = {p.pid for p in psutil.Process().children()} - before
    return psutil.Process(pid)


@pytest.mark.parametrize("stream", ["camera", "lidar", "radar", "imu", "microphones"])
def test_samples_are_those_of_the_rig_in_the_order_asked_for(small_rig: Rig, stream: str) -> None:
    sim = SimulatedRig(small_rig)
    device = SimulatedDevice(sim, stream)
    for k in (7, 3):
        device.request(k)
    for k in (7, 3):
        sample = device.take(TIMEOUT_S)
        assert sample is not None
        expected = sim.sample(stream, k)
        assert (sample.stream, sample.stamp_ns, sample.meta) == (stream, expected.stamp_ns, expected.meta)
        assert sample.arrays.keys() == expected.arrays.keys()
        for name, array in expected.arrays.items():
            np.testing.assert_array_equal(sample.arrays[name], array)
    assert device.take(0.0) is None


@pytest.mark.parametrize("stream", ["lidar", "imu"])
def test_samples_made_ahead_are_the_same_at_whatever_epoch_the_run_begins(small_rig: Rig, stream: str) -> None:
    epoch_ns = 1_234_567_891_000_000_000
    sim = SimulatedRig(small_rig)
    device = SimulatedDevice(sim, stream)
    device.make_ahead(3)
    while not device.made(TIMEOUT_S):
        pass
    sim.begin_at(epoch_ns)
    for k in (1, 3):  # one made ahead, one not
        device.request(k, epoch_ns)
        sample, expected = device.take(TIMEOUT_S), sim.sample(stream, k)
        assert sample is not None
        assert sample.stamp_ns == expected.stamp_ns
        for name, array in expected.arrays.items():
            np.testing.assert_array_equal(sample.arrays[name], array)


def test_it_gives_way_to_every_other_process(small_rig: Rig) -> None:
    before = {p.pid for p in psutil.Process().children()}
    device = SimulatedDevice(SimulatedRig(small_rig), "imu")
    child = child_of(before)
    device.request(0)
    assert device.take(TIMEOUT_S) is not None
    assert os.sched_getscheduler(child.pid) == os.SCHED_IDLE


def test_a_dead_child_is_an_error_that_names_the_stream(small_rig: Rig) -> None:
    before = {p.pid for p in psutil.Process().children()}
    device = SimulatedDevice(SimulatedRig(small_rig), "imu")
    os.kill(child_of(before).pid, signal.SIGKILL)
    with pytest.raises(SensorfuseError, match="'imu': the process that simulates it died"):
        device.take(TIMEOUT_S)


def test_the_child_ends_with_its_parent(small_rig: Rig) -> None:
    before = {p.pid for p in psutil.Process().children()}
    device = SimulatedDevice(SimulatedRig(small_rig), "imu")
    child = child_of(before)
    del device
    deadline = time.monotonic() + TIMEOUT_S
    while child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    os.waitpid(child.pid, 0)
    assert not child.is_running()


@pytest.mark.parametrize("stream", ["camera", "imu"])
def test_a_copy_costs_nothing_and_is_the_same(small_rig: Rig, stream: str) -> None:
    device = SimulatedDevice(SimulatedRig(small_rig), stream)
    samples = []
    for k in (3, 4, 3, 3):
        device.request(k)
        samples.append(device.take(TIMEOUT_S))
    first = samples[0]
    assert first is not None
    for sample in samples[2:]:
        assert sample is not None
        assert sample.stamp_ns == first.stamp_ns
        assert all(np.array_equal(sample.arrays[n], first.arrays[n]) for n in first.arrays)


def test_a_scenario_begins_when_it_is_told_to(small_rig: Rig) -> None:
    device = SimulatedDevice(SimulatedRig(small_rig), "imu")
    stamps = []
    for epoch_ns in (0, 5_000_000_007, 0):
        device.request(3, epoch_ns)
        sample = device.take(TIMEOUT_S)
        assert sample is not None
        stamps.append(sample.stamp_ns)
    assert stamps[1] - stamps[0] == 5_000_000_007
    assert stamps[2] == stamps[0]
