"""What faults make of a stream's messages."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sensorfuse.fusion.warm_up import typical_sample
from sensorfuse.inject.fault import CONTENT_KINDS, KINDS, parse_fault
from sensorfuse.inject.payload import NOISE, bits_flipped, blank, garbage
from sensorfuse.inject.stream_injector import Arrival, StreamInjector, inject
from sensorfuse.messages import MODALITIES, Sample, sample_problem
from sensorfuse.rig import Rig

EPOCH_NS, S = 1_700_000_000_000_000_000, 1_000_000_000
PERIOD_NS = 100_000_000


def imu(seq: int) -> Sample:
    t = EPOCH_NS + seq * PERIOD_NS
    arrays = {
        "gyro_radps": np.full((1, 3), float(seq)),
        "accel_mps2": np.ones((1, 3)),
        "time_ns": np.zeros(1, np.int64),
    }
    return Sample("imu", "imu", seq, t - 1_000_000, t, "imu_link", arrays)


def through(rig: Rig, *texts: str, n: int = 100, seed: int = 0) -> list[Arrival]:
    """`n` messages at 10 Hz through faults."""
    return list(
        inject((imu(k) for k in range(n)), [parse_fault(t) for t in texts], {"imu": rig.sensors["imu"]}, EPOCH_NS, seed)
    )


def seqs(arrivals: list[Arrival]) -> list[int]:
    return [a.sample.seq for a in arrivals]


def test_without_faults_nothing_changes(small_rig: Rig) -> None:
    out = through(small_rig)
    assert seqs(out) == list(range(100))
    assert all(a.recv_ns == a.sample.recv_ns == EPOCH_NS + a.sample.seq * PERIOD_NS for a in out)


def test_drop_takes_its_share_within_its_time_only(small_rig: Rig) -> None:
    lost = set(range(1000)) - set(seqs(through(small_rig, "imu:drop:0.3@20+60", n=1000)))
    assert lost <= set(range(200, 800))
    assert 130 < len(lost) < 230


def test_the_fate_of_a_message_is_its_own(small_rig: Rig) -> None:
    """The same with another start, so that a process that was restarted goes on as if it had not been."""
    config, faults = small_rig.sensors["imu"], [parse_fault("imu:drop:0.5"), parse_fault("imu:jitter:0.01")]
    whole = {a.sample.seq: a.recv_ns for a in inject(map(imu, range(100)), faults, {"imu": config}, EPOCH_NS, 1)}
    late = {a.sample.seq: a.recv_ns for a in inject(map(imu, range(50, 100)), faults, {"imu": config}, EPOCH_NS, 1)}
    assert late == {k: v for k, v in whole.items() if k >= 50}
    other = {a.sample.seq for a in inject(map(imu, range(100)), faults, {"imu": config}, EPOCH_NS, 2)}
    assert other != set(whole)


def test_delay_holds_back_and_lets_none_overtake(small_rig: Rig) -> None:
    out = through(small_rig, "imu:delay:0.35@2+3")
    assert seqs(out) == list(range(100))
    late = np.array([a.recv_ns - (EPOCH_NS + a.sample.seq * PERIOD_NS) for a in out]) / 1e6
    assert (late[20:50] == 350).all()
    assert (late[:20] == 0).all()
    assert list(late[50:55]) == [250, 150, 50, 0, 0], "the queue drains"


def test_jitter_spreads_and_keeps_the_order(small_rig: Rig) -> None:
    out = through(small_rig, "imu:jitter:0.02", n=400)
    late = np.array([a.recv_ns - (EPOCH_NS + a.sample.seq * PERIOD_NS) for a in out]) / 1e9
    assert seqs(out) == list(range(400))
    assert 0.015 < late.mean() < 0.025
    assert late.std() > 0.01


def test_reorder_lets_others_overtake(small_rig: Rig) -> None:
    out = seqs(through(small_rig, "imu:reorder:0.2", n=300))
    assert sorted(out) == list(range(300))
    behind = sum(a > b for a, b in pairwise(out))
    assert 10 < behind < 60
    recv = [a.recv_ns for a in through(small_rig, "imu:reorder:0.2", n=300)]
    assert recv == sorted(recv)


def test_duplicates_come_twice(small_rig: Rig) -> None:
    out = seqs(through(small_rig, "imu:duplicate:0.5@0+5"))
    assert sorted(set(out)) == list(range(100))
    assert 10 < len(out) - 100 < 40


def test_freeze_shows_the_last_content_with_new_stamps(small_rig: Rig) -> None:
    out = through(small_rig, "imu:freeze@3+2")
    assert [a.sample.arrays["gyro_radps"][0, 0] for a in out] == [*range(30), *[29.0] * 20, *range(50, 100)]
    assert [a.sample.stamp_ns for a in out] == [imu(k).stamp_ns for k in range(100)]


def test_clock_faults_move_stamps_alone(small_rig: Rig) -> None:
    step = [a.sample.stamp_ns - imu(a.sample.seq).stamp_ns for a in through(small_rig, "imu:clock_step:-5@2+3")]
    assert step == [0] * 20 + [-5 * S] * 30 + [0] * 50
    skew = [a.sample.stamp_ns - imu(a.sample.seq).stamp_ns for a in through(small_rig, "imu:skew:100@2")]
    assert skew[20:] == [k * PERIOD_NS // 10_000 for k in range(80)]


def test_slow_makes_every_tenth(small_rig: Rig) -> None:
    assert seqs(through(small_rig, "imu:slow:10@2+6")) == [*range(20), *range(20, 80, 10), *range(80, 100)]


def test_truncated_messages_are_torn(small_rig: Rig) -> None:
    out = through(small_rig, "imu:truncate:0.5@2+6", n=100)
    assert seqs(out) == list(range(100))
    assert 15 < sum(a.torn for a in out) < 45
    assert not any(a.torn for a in out if not 20 <= a.sample.seq < 80)


def test_polling_gives_what_is_due_and_says_when_the_next_is(small_rig: Rig) -> None:
    injector = StreamInjector([parse_fault("imu:delay:0.5")], "imu", small_rig.sensors["imu"], EPOCH_NS, 0)
    assert not injector.idle
    assert injector.next_ns() is None
    injector.push(imu(0))
    assert injector.poll(EPOCH_NS + S // 2 - 1) == []
    assert injector.next_ns() == EPOCH_NS + S // 2
    assert seqs(injector.poll(EPOCH_NS + S // 2)) == [0]
    assert StreamInjector([parse_fault("lidar:drop")], "imu", small_rig.sensors["imu"], EPOCH_NS, 0).idle


@pytest.mark.parametrize("modality", MODALITIES)
def test_content_faults_of_every_modality_keep_types_and_leave_the_original_alone(
    small_rig: Rig, modality: str
) -> None:
    (stream,) = (s for s, c in small_rig.sensors.items() if c.modality == modality)
    sample = typical_sample(small_rig, stream)
    before = {n: a.copy() for n, a in sample.arrays.items()}
    rng = np.random.default_rng(0)
    dark, noise, flipped = (
        blank(sample, small_rig.sensors[stream]),
        garbage(sample, rng),
        bits_flipped(sample, 1e-3, rng),
    )
    for made in (dark, noise, flipped):
        assert {n: a.dtype for n, a in made.arrays.items()} == {n: a.dtype for n, a in sample.arrays.items()}
    assert sample_problem(dark) is None
    kept = {"time_ns", "azimuths_rad"}
    assert all(not a.any() for n, a in dark.arrays.items() if n not in kept)
    assert any(not np.array_equal(noise.arrays[n].view(np.uint8), a.view(np.uint8)) for n, a in before.items())
    for name, array in before.items():
        bits = np.unpackbits(flipped.arrays[name].view(np.uint8) ^ array.view(np.uint8)).sum()
        assert 1 <= bits <= max(8, 3e-3 * 8 * array.nbytes)
        np.testing.assert_array_equal(sample.arrays[name], array)
    assert NOISE[sample.modality] in CONTENT_KINDS


@pytest.mark.parametrize("kind", sorted(k for k, spec in KINDS.items() if spec.place == "stream"))
def test_every_kind_does_something(small_rig: Rig, kind: str) -> None:
    value = "" if KINDS[kind].default is not None else f":{min(1.0, KINDS[kind].most):g}"
    plain, out = through(small_rig, n=40), through(small_rig, f"imu:{kind}{value}@1+2", n=40)

    def key(a: Arrival) -> tuple[object, ...]:
        return a.recv_ns, a.torn, a.sample.seq, a.sample.stamp_ns, *(v.tobytes() for v in a.sample.arrays.values())

    assert [key(a) for a in out] != [key(a) for a in plain]
    assert [key(a) for a in out] == [key(a) for a in through(small_rig, f"imu:{kind}{value}@1+2", n=40)]


def test_a_steady_corruption_is_the_same_in_every_message(small_rig: Rig) -> None:
    out = through(small_rig, "imu:imu_bias:1", n=20)
    shift = {tuple((a.sample.arrays["gyro_radps"] - a.sample.seq).round(9)[0]) for a in out}
    assert len(shift) == 1
    assert shift != {(0.0, 0.0, 0.0)}
