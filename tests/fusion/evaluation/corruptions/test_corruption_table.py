"""What every corruption owes, whatever it does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.corruptions import (
    CORRUPTIONS,
    RigCorruption,
    SampleCorruption,
    StreamCorruption,
    corruption_names,
    find_corruption,
    lidar,
)
from sensorfuse.fusion.evaluation.corruptions.cross_sensor import Message, Schedule, Span
from sensorfuse.messages import MODALITIES, Sample, sample_problem
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig

STREAM_OF = {"camera": "camera", "lidar": "lidar", "radar": "radar", "imu": "imu", "audio": "microphones"}
SAMPLE_CORRUPTIONS = [c for c in CORRUPTIONS if isinstance(c, SampleCorruption)]
STREAM_CORRUPTIONS = [c for c in CORRUPTIONS if isinstance(c, StreamCorruption)]
SPAN = Span(1_500_000_000, 2_000_000_000)


@pytest.fixture(scope="module")
def samples(small_rig: Rig) -> dict[str, Sample]:
    world = SimulatedRig(small_rig, scenario="town", seed=3)
    return {m: world.sample(s, 30) for m, s in STREAM_OF.items()}


def schedules() -> dict[str, Schedule]:
    rates = {"camera": 20, "lidar": 10, "radar": 15, "imu": 20, "audio": 20}
    return {
        STREAM_OF[m]: Schedule(m, tuple(Message(k, round(k * 1e9 / rates[m])) for k in range(2 * rates[m] + 2)))
        for m in MODALITIES
    }


def same(a: Sample, b: Sample) -> bool:
    return (
        a.arrays.keys() == b.arrays.keys()
        and all(np.array_equal(a.arrays[n], b.arrays[n]) for n in a.arrays)
        and (a.stamp_ns, a.seq, a.meta) == (b.stamp_ns, b.seq, b.meta)
    )


def test_every_modality_has_corruptions_and_names_differ() -> None:
    assert len(set(corruption_names())) == len(CORRUPTIONS)
    assert {m for c in CORRUPTIONS for m in c.modalities} == set(MODALITIES)
    assert find_corruption("lidar_fog").modalities == ("lidar",)
    with pytest.raises(SensorfuseError, match="lidar_beams"):
        find_corruption("lidar_hail")


@pytest.mark.parametrize("corruption", SAMPLE_CORRUPTIONS, ids=lambda c: c.name)
def test_of_a_sample(corruption: SampleCorruption, samples: dict[str, Sample]) -> None:
    """Level 0 is the identity; the same random numbers give the same; nothing is changed in place; the result is a
    sound sample of its modality, and another one; other random numbers do not change what level 0 gives.
    """
    sample = samples[corruption.modality]
    before = {n: a.copy() for n, a in sample.arrays.items()}
    assert same(corruption.change(sample, 0.0, np.random.default_rng(1)), sample)
    for level in (0.02, 0.5, 1.0):
        changed = corruption.change(sample, level, np.random.default_rng(1))
        assert same(changed, corruption.change(sample, level, np.random.default_rng(1)))
        assert sample_problem(changed) is None
        assert (changed.stream, changed.modality, changed.stamp_ns) == (sample.stream, sample.modality, sample.stamp_ns)
    assert not same(changed, sample)
    assert all(np.array_equal(before[n], a) for n, a in sample.arrays.items())
    for array in changed.arrays.values():  # writing into the result does not reach the sample
        if not any(array is a for a in sample.arrays.values()):
            assert not any(np.shares_memory(array, a) for a in sample.arrays.values())


@pytest.mark.parametrize(
    "corruption", [c for c in SAMPLE_CORRUPTIONS if c.change is not lidar.fog], ids=lambda c: c.name
)
def test_a_small_level_is_a_small_change(corruption: SampleCorruption, samples: dict[str, Sample]) -> None:
    """Distance from the original grows with the level. Distance: of arrays of one shape their mean difference, of
    others the share of rows that came or went. In fog points go while others come nearer: it has a test of its own.
    """
    sample = samples[corruption.modality]

    def distance(level: float) -> float:
        changed = corruption.change(sample, level, np.random.default_rng(5))
        total = 0.0
        for name, array in sample.arrays.items():
            other = changed.arrays[name]
            if other.shape == array.shape:
                total += float(np.abs(other.astype(np.float64) - array).mean())
            else:
                total += abs(len(other) / len(array) - 1)
        return total

    away = [distance(x) for x in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert away[0] == 0
    assert all(a <= b * 1.02 + 1e-12 for a, b in pairwise(away)), away
    assert away[-1] > 0


@pytest.mark.parametrize("corruption", STREAM_CORRUPTIONS, ids=lambda c: c.name)
def test_of_streams(corruption: StreamCorruption) -> None:
    clean = schedules()
    assert corruption.change(clean, SPAN, 0.0, np.random.default_rng(2)) == clean
    for level in (0.3, 1.0):
        changed = corruption.change(clean, SPAN, level, np.random.default_rng(2))
        assert changed == corruption.change(clean, SPAN, level, np.random.default_rng(2))
        assert clean == schedules()
        assert changed.keys() == clean.keys()
        for stream, schedule in clean.items():
            if schedule.modality not in corruption.modalities:
                assert changed[stream] == schedule
            taken = [m.event_ns for m in changed[stream].messages]
            assert taken == sorted(taken)
    assert changed != clean


@pytest.mark.parametrize("corruption", [c for c in CORRUPTIONS if isinstance(c, RigCorruption)], ids=lambda c: c.name)
def test_of_a_rig(corruption: RigCorruption, synthetic_rig: Rig) -> None:
    before = synthetic_rig.to_yaml()

    def mounts(level: float) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
        rig = corruption.change(synthetic_rig, level, np.random.default_rng(4))
        return {n: s.T_base_sensor.transform().matrix() for n, s in rig.sensors.items()}

    clean = {n: s.T_base_sensor.transform().matrix() for n, s in synthetic_rig.sensors.items()}
    assert all(np.allclose(m, clean[n], atol=1e-12) for n, m in mounts(0.0).items())
    half, full = mounts(0.5), mounts(1.0)
    for name, sensor in synthetic_rig.sensors.items():
        moved = [float(np.abs(m[name] - clean[name]).max()) for m in (half, full)]
        assert (0 < moved[0] < moved[1]) == (sensor.modality in corruption.modalities)
    assert synthetic_rig.to_yaml() == before
