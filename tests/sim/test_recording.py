"""A synthetic world written to a log and read back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.log import open_log
from sensorfuse.messages import MessageTruth, Sample
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.recording import write_simulated_log

EPOCH_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
EVERYTHING = str(Path(__file__).with_name("devices.yaml"))


def test_what_is_read_back_is_what_was_simulated(synthetic_rig: Rig, tmp_path: Path) -> None:
    sim = SimulatedRig(synthetic_rig, epoch_ns=EPOCH_NS)
    heard: list[int] = []
    counts = write_simulated_log(sim, tmp_path / "sim.mcap", SECOND_NS, heard.append)
    assert heard == sorted(heard)
    assert 0 < heard[-1] <= SECOND_NS
    for stream, sensor in synthetic_rig.sensors.items():
        assert abs(counts[stream] - sensor.message_rate_hz) <= 2
    with open_log(tmp_path / "sim.mcap") as reader:
        received = 0
        found = dict.fromkeys(synthetic_rig.streams(), 0)
        for sample in reader.samples():
            assert sample.recv_ns >= received
            received = sample.recv_ns
            expected = sim.sample(sample.stream, sample.seq)
            assert (sample.stamp_ns, sample.recv_ns) == (expected.stamp_ns, expected.recv_ns)
            for name, array in expected.arrays.items():
                np.testing.assert_array_equal(sample.arrays[name], array)
            found[sample.stream] += 1
        truth = list(reader.truth())
    assert found == {s: counts[s] for s in synthetic_rig.streams()}
    assert len(truth) == counts["truth"]
    for k, known in enumerate(truth):
        expected = sim.truth(EPOCH_NS + k * synthetic_rig.fusion.period_ns)
        assert known.stamp_ns == expected.stamp_ns
        np.testing.assert_array_equal(known.objects.center, expected.objects.center)
        np.testing.assert_array_equal(known.pose, expected.pose)


def test_the_same_seed_gives_the_same_bytes(synthetic_rig: Rig, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        sim = SimulatedRig(synthetic_rig, seed=seed, epoch_ns=EPOCH_NS)
        write_simulated_log(sim, tmp_path / name, SECOND_NS // 5)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


@pytest.fixture(scope="module")
def faulty(
    synthetic_rig: Rig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SimulatedRig, list[Sample], list[MessageTruth]]:
    """Eight seconds of small devices with every fault, as read back from their log."""
    data = synthetic_rig.model_dump()
    data["sensors"]["camera"]["intrinsics"] |= {"width": 64, "height": 36, "fx": 40, "fy": 40}
    data["sensors"]["lidar"]["lidar"] |= {"rings": 2, "columns": 64}
    sim = SimulatedRig(Rig.model_validate(data), EVERYTHING, 0, EPOCH_NS)
    path = tmp_path_factory.mktemp("log") / "faulty.mcap"
    counts = write_simulated_log(sim, path, 8 * SECOND_NS)
    with open_log(path) as reader:
        samples, events = list(reader.samples()), list(reader.events())
        assert not reader.rejected
    assert sum(counts[s] for s in synthetic_rig.streams()) == len(samples)
    return sim, samples, events


def test_each_message_of_a_log_has_its_truth(
    faulty: tuple[SimulatedRig, list[Sample], list[MessageTruth]],
) -> None:
    sim, samples, events = faulty
    told = {(e.stream, e.seq): e for e in events if not e.lost}
    assert len(told) == len(samples)
    for sample in samples:
        event = told[sample.stream, sample.seq]
        assert (event.stamp_ns, event.recv_ns) == (sample.stamp_ns, sample.recv_ns)
        assert event.stamp_ns == sim.clock(sample.stream).stamp_ns(event.event_ns)
        assert event.delay_ns >= 0
    assert [s.recv_ns for s in samples] == sorted(s.recv_ns for s in samples)


def test_the_lost_the_copied_and_the_frozen_are_told(
    faulty: tuple[SimulatedRig, list[Sample], list[MessageTruth]],
) -> None:
    sim, samples, events = faulty
    for stream in sim.rig.streams():
        of = [e for e in events if e.stream == stream]
        measured = sim.first_due(stream, EPOCH_NS + 8 * SECOND_NS)
        assert sorted(e.k for e in of if e.copy == 0) == list(range(measured))
    found = {(e.stream, e.lost) for e in events if e.lost}
    assert found == {("camera", "drop"), ("lidar", "outage"), ("radar", "burst")}
    assert {e.stream for e in events if e.copy} == {"lidar", "radar"}
    assert {(e.stream, m) for e in events for m in e.marks} == {
        ("camera", "spike"), ("radar", "reordered"), ("imu", "stalled"),
    }  # fmt: skip
    at = {(s.stream, s.seq): s for s in samples}
    frozen = [e for e in events if e.frozen and not e.lost]
    assert {e.stream for e in frozen} == {"camera", "imu"}
    for a, b in pairwise(frozen):
        if a.stream == b.stream == "camera":
            np.testing.assert_array_equal(at["camera", a.seq].arrays["image"], at["camera", b.seq].arrays["image"])
            assert a.stamp_ns != b.stamp_ns


def test_a_log_of_exact_devices_tells_so_too(synthetic_rig: Rig, tmp_path: Path) -> None:
    sim = SimulatedRig(synthetic_rig, epoch_ns=EPOCH_NS)
    write_simulated_log(sim, tmp_path / "sim.mcap", SECOND_NS // 4)
    with open_log(tmp_path / "sim.mcap") as reader:
        events = list(reader.events())
    assert {e.stream for e in events} == set(synthetic_rig.streams())
    assert all(e.stamp_ns == e.event_ns and not (e.lost or e.copy or e.frozen or e.marks) for e in events)
