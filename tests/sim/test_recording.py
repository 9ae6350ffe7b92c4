"""A synthetic world written to a log and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sensorfuse.log import open_log
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.recording import write_simulated_log

EPOCH_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


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
