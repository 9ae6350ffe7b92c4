from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.fusion.evaluation.corruptions import CORRUPTIONS, StreamCorruption, cross_sensor, find_corruption
from sensorfuse.fusion.evaluation.corruptions.cross_sensor import Message, Schedule
from sensorfuse.fusion.evaluation.robustness_runs import (
    Condition,
    Run,
    chosen,
    make_runs,
    measured_tick,
    modality_subsets,
)
from sensorfuse.fusion.training.dataset import Sampler
from sensorfuse.messages import Truth
from sensorfuse.rig import Rig

MS = 1_000_000


@pytest.fixture(scope="module")
def run(small_rig: Rig) -> Run:
    return next(iter(make_runs(small_rig, [("town", 5007)], 1, 3)))


def test_runs_are_consecutive_ticks_and_come_again_the_same(small_rig: Rig) -> None:
    runs = list(make_runs(small_rig, [("town", 1), ("town", 2)], 2, 4))
    assert [(r.world.seed, r.number) for r in runs] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert all(set(np.diff(r.times_ns)) == {small_rig.fusion.period_ns} for r in runs)
    again = list(make_runs(small_rig, [("town", 1), ("town", 2)], 2, 4))
    assert [r.times_ns for r in runs] == [r.times_ns for r in again]
    assert len({r.random(3).random() for r in runs}) == 4
    assert runs[0].random(3, 4).random() == again[0].random(3, 4).random() != runs[0].random(3, 5).random()


def test_clean_ticks_hold_what_the_sampler_gives(run: Run, small_rig: Rig) -> None:
    sampler = Sampler(run.world, small_rig)
    condition = Condition(run)
    for t_ns in run.times_ns:
        want = sampler.samples(t_ns, np.random.default_rng(0))
        assert {s: [m.k for m in got] for s, got in condition.messages(t_ns).items()} == {
            s: [x.seq for x in got] for s, got in want.items()
        }
    message = condition.messages(t_ns)["lidar"][0]
    assert np.array_equal(condition.sample("lidar", message).arrays["points"], want["lidar"][0].arrays["points"])


def test_choice_by_what_the_stamps_say_of_what_has_come() -> None:
    def pick(*messages: Message, modality: str = "lidar") -> list[int]:
        return [m.k for m in chosen(Schedule(modality, messages), 1000 * MS, 100 * MS, 250 * MS)]  # type: ignore[arg-type]

    assert pick(Message(0, 900 * MS), Message(1, 1040 * MS)) == [1]
    assert pick(Message(0, 900 * MS), Message(1, 1060 * MS)) == [0]  # it has not come by then
    assert pick(Message(0, 800 * MS, 190 * MS), Message(1, 980 * MS, 300 * MS)) == [0]  # its stamp is nearer
    assert pick(Message(0, 740 * MS)) == []  # too old
    assert pick(Message(0, 990 * MS, -300 * MS)) == []  # and by its stamp too
    window = [Message(k, (850 + 50 * k) * MS) for k in range(5)]
    assert pick(*window, modality="imu") == [2, 3]


def test_only_what_a_corruption_touches_changes(run: Run) -> None:
    clean = Condition(run)
    t_ns = run.times_ns[-1]
    for corruption in CORRUPTIONS:
        condition = Condition(run, corruption, 1.0)
        messages = condition.messages(t_ns)
        for stream, taken in clean.messages(t_ns).items():
            if run.rig.sensors[stream].modality in corruption.modalities:
                continue
            assert messages[stream] == taken, corruption.name
            assert condition.sample(stream, taken[0]) is clean.sample(stream, taken[0])
        assert Condition(run, corruption, 0.0).messages(t_ns) == clean.messages(t_ns)
        assert Condition(run, corruption, 0.0).touched == ()


def test_samples_carry_the_corruption(run: Run) -> None:
    t_ns = run.times_ns[-1]

    def lidar(name: str, level: float = 1.0) -> tuple[Message, Condition]:
        condition = Condition(run, find_corruption(name), level)
        return condition.messages(t_ns)["lidar"][0], condition

    clean = Condition(run)
    plain = clean.sample("lidar", clean.messages(t_ns)["lidar"][0])
    message, condition = lidar("lidar_point_dropout")
    assert len(condition.sample("lidar", message).arrays["points"]) < 0.1 * len(plain.arrays["points"])
    message, condition = lidar("lidar_time_offset", 0.1)
    assert message.error_ns
    assert condition.sample("lidar", message).stamp_ns == run.world.stamp_ns("lidar", message.k) + message.error_ns
    message, condition = lidar("extrinsic_translation")
    assert condition.sample("lidar", message).arrays["points"].shape[0] > 0
    assert not np.array_equal(condition.sample("lidar", message).arrays["points"], plain.arrays["points"])
    assert condition.sample("lidar", message).stamp_ns == plain.stamp_ns


def test_a_frozen_sensor_gives_old_content_under_new_stamps(run: Run) -> None:
    change = cross_sensor.of(("lidar",), cross_sensor.frozen)
    condition = Condition(run, StreamCorruption("stuck", ("lidar",), change), 1.0)
    message = condition.messages(run.times_ns[-1])["lidar"][0]
    assert message.content < message.k
    sample = condition.sample("lidar", message)
    assert sample.stamp_ns == run.world.stamp_ns("lidar", message.k)
    assert np.array_equal(sample.arrays["points"], run.sample("lidar", message.content).arrays["points"])


def test_a_steady_corruption_is_the_same_in_every_sample_and_others_are_not(run: Run) -> None:
    def errors(name: str) -> list[np.ndarray]:  # type: ignore[type-arg]
        condition = Condition(run, find_corruption(name), 1.0)
        taken = condition.messages(run.times_ns[-1])["imu"]
        return [
            condition.sample("imu", m).arrays["gyro_radps"] - run.sample("imu", m.k).arrays["gyro_radps"] for m in taken
        ]

    bias, noise = errors("imu_bias"), errors("imu_noise")
    assert np.allclose(bias[0], bias[1])
    assert not np.allclose(noise[0], noise[1])


def test_turn_rates_of_a_tick_are_the_imu_s(run: Run, small_rig: Rig) -> None:
    truth: Truth = run.truths[-1]
    assert truth.twist is not None
    condition = Condition(run, find_corruption("imu_bias"), 1.0)
    samples = {s: [condition.sample(s, m) for m in got] for s, got in condition.messages(run.times_ns[-1]).items()}
    tick = measured_tick(small_rig, run.times_ns[-1], samples, truth, 0)
    assert np.array_equal(tick.twist[:3], truth.twist[:3])
    assert np.linalg.norm(tick.twist[3:] - truth.twist[3:]) == pytest.approx(0.15, abs=0.05)
    del samples["imu"]
    assert not measured_tick(small_rig, run.times_ns[-1], samples, truth, 0).twist[3:].any()


def test_all_sets_of_modalities(small_rig: Rig) -> None:
    subsets = modality_subsets(small_rig)
    assert len(subsets) == len(set(subsets)) == 31
    assert len(subsets[0]) == 5
    assert [len(s) for s in subsets] == sorted((len(s) for s in subsets), reverse=True)
    two = modality_subsets(small_rig.with_fusion(modalities=("lidar", "imu")))
    assert two == [("lidar", "imu"), ("lidar",), ("imu",)]
