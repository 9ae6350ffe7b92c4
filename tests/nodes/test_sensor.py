"""The live synthetic source: paced by receipt, with the scenario's faults. Time is made up, so nothing waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sensorfuse.nodes import sensor
from sensorfuse.nodes.sensor import _Sensor

from sensorfuse.messages import Sample
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.wire import decode_data, decode_meta

EPOCH_NS, S = 1_700_000_000_000_000_000, 1_000_000_000
FAULTS = """
devices:
  imu:
    clock: {counter_s: 100.0, skew_ppm: 50.0}
    transport: {delay_ms: 180.0, drop_share: 0.2, duplicate_share: 0.2, reorder_share: 0.1}
    faults:
      - {kind: freeze, at_s: 2.0, for_s: 1.0}
      - {kind: stall, at_s: 4.0, for_s: 2.0}
      - {kind: outage, at_s: 8.0, for_s: 1.0}
"""


class MadeUpClock:
    """Time passes when somebody waits."""

    def __init__(self) -> None:
        self.ns = EPOCH_NS

    def now_ns(self) -> int:
        return self.ns

    def host_delay_s(self, t_ns: int) -> float:
        return (t_ns - self.ns) / 1e9

    def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9) + 1


class Device:
    """Makes samples in `cost_s` of made-up time each, in the order asked for."""

    def __init__(self, sim: SimulatedRig, clock: MadeUpClock, cost_s: float) -> None:
        self.sim, self.clock, self.cost_s = sim, clock, cost_s
        self.asked: list[int] = []
        self.left_s = cost_s

    def request(self, k: int, epoch_ns: int) -> None:
        assert epoch_ns == EPOCH_NS
        self.asked.append(k)

    def take(self, timeout_s: float) -> Sample | None:
        if self.left_s > timeout_s:
            self.left_s -= timeout_s
            self.clock.sleep(timeout_s)
            return None
        self.clock.sleep(self.left_s)
        self.left_s = self.cost_s
        return self.sim.sample("imu", self.asked.pop(0))


def live(
    rig: Rig,
    text: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    cost_s: float = 0.001,
    faults: tuple[str, ...] = (),
) -> Iterator[Sample]:
    """Samples of the IMU's process as it publishes them."""
    (folder / "live.yaml").write_text(text)
    clock = MadeUpClock()
    monkeypatch.setattr(sensor.time, "sleep", clock.sleep)
    process: Any = SimpleNamespace(
        rig=rig,
        clock=clock,
        running=True,
        beat=lambda *_: None,
        shared_writer=lambda *_: None,
        control=SimpleNamespace(start={"epoch_ns": EPOCH_NS}),
        arguments=SimpleNamespace(fault=list(faults), fault_seed=0),
    )
    worker = _Sensor(process, SimpleNamespace(), "imu")  # type: ignore[arg-type]
    far_end = SimulatedRig(rig, str(folder / "live.yaml"), 0, EPOCH_NS)
    near_end = SimulatedRig(rig, str(folder / "live.yaml"), 0)
    device: Any = Device(far_end, clock, cost_s)
    return (sample for sample, _ in worker._paced(near_end, device))


def test_what_is_published_is_what_the_transport_delivers(
    small_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = list(islice(live(small_rig, FAULTS, tmp_path, monkeypatch), 220))
    sim = SimulatedRig(small_rig, str(tmp_path / "live.yaml"), 0, EPOCH_NS)
    deliveries = list(islice(sim.deliveries("imu"), 220))
    assert [s.seq for s in samples] == list(range(220))
    assert [s.stamp_ns for s in samples] == [sim.stamp_ns("imu", d.k) for d in deliveries]
    late = np.array([s.recv_ns - d.recv_ns for s, d in zip(samples, deliveries, strict=True)])
    assert late.min() >= 0
    assert late.max() < 10_000_000
    assert {d.k for d in deliveries} != set(range(max(d.k for d in deliveries) + 1))  # drops
    assert any(d.copy for d in deliveries)
    for sample, delivery in zip(samples, deliveries, strict=True):
        np.testing.assert_array_equal(sample.arrays["gyro_radps"], sim.sample("imu", delivery.k).arrays["gyro_radps"])


def test_faults_happen_when_the_scenario_says(small_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = list(islice(live(small_rig, FAULTS, tmp_path, monkeypatch), 220))
    received = np.array([s.recv_ns - EPOCH_NS for s in samples]) / S
    assert not ((received > 4.01) & (received < 6.0)).any()
    assert ((received >= 6.0) & (received < 6.04)).sum() > 25  # two seconds of it, less the drops, all together
    assert not ((received > 8.01) & (received < 9.0)).any()
    measured = np.array([s.stamp_ns for s in samples]) / S - 100.0
    same = [s.arrays["accel_mps2"].tobytes() for s, t in zip(samples, measured, strict=True) if 2.001 < t < 2.999]
    assert len(same) > 10
    assert len(set(same)) == 1
    other = {s.stamp_ns: s.arrays["accel_mps2"].tobytes() for s, t in zip(samples, measured, strict=True) if t < 1.9}
    assert len(set(other.values())) == len(other)


def test_a_machine_too_slow_leaves_out_what_has_passed(
    small_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages come every 50 ms and take 200 ms to make: about every fourth is published, none of them old."""
    samples = list(islice(live(small_rig, "devices: {}", tmp_path, monkeypatch, cost_s=0.2), 30))
    sim = SimulatedRig(small_rig, str(tmp_path / "live.yaml"), 0, EPOCH_NS)
    by_stamp = {sim.stamp_ns("imu", k): k for k in range(400)}
    ks = np.array([by_stamp[s.stamp_ns] for s in samples])
    assert (np.diff(ks) > 0).all()
    assert ks[-1] > 80
    age = np.array([s.recv_ns - sim.due_ns("imu", int(k)) for s, k in zip(samples, ks, strict=True)])
    assert age.max() < 0.7 * S
    assert [s.seq for s in samples] == list(range(30))


def test_a_sweep_that_comes_once_more_travels_as_a_repeat_and_says_nothing_of_motion(small_rig: Rig) -> None:
    sent: list[list[Any]] = []
    process: Any = SimpleNamespace(rig=small_rig, clock=MadeUpClock(), shared_writer=lambda *_: None)
    worker = _Sensor(process, SimpleNamespace(send=sent.append), "lidar")  # type: ignore[arg-type]
    sim = SimulatedRig(small_rig, epoch_ns=EPOCH_NS)
    first, later = sim.sample("lidar", 0), sim.sample("lidar", 3)
    again = [replace(first, seq=k, stamp_ns=first.stamp_ns + k * S // 10) for k in (1, 2)]
    for sample in (first, *again, later):
        worker.publish(sample, worker.prepare(sample))
    headers = [decode_meta([bytes(f) for f in frames]) for frames in sent[::2]]
    assert [h.repeat for h in headers] == [False, True, True, False]
    assert [bool(h.signature) for h in headers] == [True, False, False, True]
    assert not any(h.problem for h in headers)
    assert [decode_data([bytes(f) for f in frames])[0].repeat for frames in sent[1::2]] == [False, True, True, False]
