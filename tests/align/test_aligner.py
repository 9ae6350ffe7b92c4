"""The aligner: cadence, settling, deadlines, partial sets, quarantine, and a ledger that adds up."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from traffic import MS, T0, S, by_stream, drive, header, make_rig, reasons, traffic

from sensorfuse.align.aligner import Aligner
from sensorfuse.rig import Rig


@pytest.fixture
def rig() -> Rig:
    return make_rig()


def test_cadence_and_nearest_choice(rig: Rig) -> None:
    aligner = Aligner(rig, T0)
    ticks = drive(aligner, traffic(5), T0 + 5 * S)
    assert [t.tick_id for t in ticks] == list(range(len(ticks)))
    assert all(t.t_ref_ns == T0 + t.tick_id * S // 10 for t in ticks)
    for tick in ticks[2:-2]:
        streams = by_stream(tick)
        assert not tick.deadline_hit
        assert streams["lidar"].dt_ns == 0
        assert abs(streams["camera"].dt_ns) <= S // 60 + 1, "no nearer camera image exists"
        assert streams["imu"].status == "ok"
        assert len(streams["imu"].seqs) == 4, "all IMU batches of the period"


def test_every_sample_ends_with_one_reason(rig: Rig) -> None:
    aligner = Aligner(rig, T0)
    messages = traffic(4, jitter_ms=20, seed=3)
    ticks = drive(aligner, messages, T0 + 4 * S)
    counts = reasons(ticks, aligner)
    sent = Counter(m[1].stream for m in messages if m[0] <= T0 + 4 * S)
    assert {s: sum(c.values()) for s, c in counts.items()} == dict(sent)


def test_dead_stream_never_withholds_a_tick(rig: Rig) -> None:
    aligner = Aligner(rig, T0)
    messages = [m for m in traffic(6) if not (m[1].stream == "lidar" and T0 + 2 * S <= m[0] <= T0 + 4 * S)]
    ticks = drive(aligner, messages, T0 + 6 * S)
    assert [t.tick_id for t in ticks] == list(range(len(ticks)))
    gaps = np.diff([t.emit_ns for t in ticks])
    assert gaps.max() <= 2 * S // 10, "the output's longest gap is a deadline, not the outage"
    during = [by_stream(t)["lidar"].status for t in ticks if T0 + 2.6 * S < t.t_ref_ns < T0 + 3.9 * S]
    assert set(during) == {"idle"}
    waits = [t.emit_ns - t.t_ref_ns for t in ticks if T0 + 2.6 * S < t.t_ref_ns < T0 + 3.9 * S]
    assert max(waits) < 60 * MS, "an idle stream is not waited for"
    after = [by_stream(t)["lidar"].status for t in ticks if t.t_ref_ns > T0 + 4.3 * S]
    assert set(after) == {"ok"}


@pytest.mark.parametrize("alive", ["camera", "lidar", "imu", None])
def test_any_subset_from_the_start(rig: Rig, alive: str | None) -> None:
    ticks = drive(Aligner(rig, T0), [m for m in traffic(2) if m[1].stream == alive], T0 + 2 * S)
    assert len(ticks) >= 20
    assert all(
        {s.stream for s in t.streams if s.status == "missing"} == {"camera", "lidar", "imu"} - {alive}
        for t in ticks[2:]
    )


def test_deadline_emits_a_partial_set(rig: Rig) -> None:
    messages = [m for m in traffic(3) if not (m[1].stream == "lidar" and m[1].seq == 15)]
    ticks = drive(Aligner(rig, T0), messages, T0 + 3 * S)
    tick = ticks[15]
    assert tick.deadline_hit or by_stream(tick)["lidar"].dt_ns != 0
    assert tick.emit_ns - tick.t_ref_ns <= rig.fusion.deadline_ns + MS


def test_minimum_period_rule_does_not_wait_for_what_cannot_be_nearer(rig: Rig) -> None:
    ticks = drive(Aligner(rig, T0), [m for m in traffic(3, lidar_delay_ms=5) if m[1].stream == "lidar"], T0 + 3 * S)
    waits = [t.emit_ns - t.t_ref_ns for t in ticks[3:]]
    assert max(waits) <= 6 * MS, "the LiDAR at t_ref settles the tick: the next cannot be nearer"


def test_corrupt_and_late_and_duplicate(rig: Rig) -> None:
    aligner = Aligner(rig, T0)
    messages = traffic(3)
    corrupt = next(m for m in messages if m[1].stream == "lidar" and m[1].seq == 5)
    corrupt[1].problem = "no finite point in the cloud"
    late = next(m for m in messages if m[1].stream == "camera" and m[1].seq == 30)
    messages.remove(late)
    messages.append((late[0] + S, late[1], None))
    again = next(m for m in messages if m[1].stream == "lidar" and m[1].seq == 7)
    messages.append((again[0] + MS, again[1], None))
    messages.sort(key=lambda m: m[0])
    ticks = drive(aligner, messages, T0 + 3 * S)
    counts = reasons(ticks, aligner)
    assert counts["lidar"]["corrupt"] == 1
    assert counts["camera"]["late"] == 1
    assert sum(counts["lidar"].values()) == sum(1 for m in traffic(3) if m[1].stream == "lidar" and m[0] <= T0 + 3 * S)


def test_same_stamp_different_sequence_is_kept_apart(rig: Rig) -> None:
    aligner = Aligner(rig, T0)
    for seq in range(4):
        aligner.push(header("lidar", "lidar", seq, T0 + 50 * MS, T0 + 60 * MS), T0 + 60 * MS)
    ticks = aligner.flush(T0 + S, T0 + S)
    assert sum(reasons(ticks, aligner)["lidar"].values()) == 4


def test_content_that_comes_once_more_is_of_the_time_when_it_first_came() -> None:
    """The LiDAR sends each sweep twice: none of the repeats is chosen, no tick waits longer for it, and to its health
    it is a stream at its rate.
    """
    for policy in ("", ", policy: reference, reference: lidar", ", policy: any"):
        rig = make_rig(policy)
        runs = {}
        for every in (1, 2):
            messages = traffic(5)
            for _, envelope, _ in messages:
                envelope.repeat = envelope.stream == "lidar" and envelope.seq % every == 1
            aligner = Aligner(rig, T0)
            ticks = drive(aligner, messages, T0 + 5 * S)
            runs[every] = [(t.t_ref_ns, t.emit_ns) for t in ticks]
            rows = [by_stream(t)["lidar"] for t in ticks[5:-5]]
            assert {s.status for s in rows} == {"ok"}
            assert {s.health.state for s in rows} == {"ok"}
            assert {s.health.missed for s in rows} == {0}
            if every == 2:
                assert {q % 2 for s in rows for q in s.seqs} == {0}
                at = [t.t_ref_ns + s.dt_ns for t, s in zip(ticks[5:-5], rows, strict=True)]
                assert at == [T0 + s.seqs[0] * S // 10 for s in rows]
                assert reasons(ticks, aligner)["lidar"]["no_tick"] >= 20
        assert runs[1] == runs[2], "the same ticks, at the same moments"


def test_a_stream_that_only_repeats_coasts_and_is_stale(rig: Rig) -> None:
    messages = traffic(4)
    for _, envelope, _ in messages:
        envelope.repeat = envelope.stream == "lidar" and envelope.seq > 20
    ticks = drive(Aligner(rig, T0), messages, T0 + 4 * S)
    rows = [by_stream(t)["lidar"] for t in ticks]
    assert [s.seqs for s in rows[20:23]] == [[20]] * 3, "as long as it is not too old"
    assert [s.dt_ns for s in rows[20:23]] == [0, -S // 10, -2 * S // 10]
    assert {s.status for s in rows[23:]} == {"stale"}
    assert not any(s.seqs for s in rows[23:])
    assert not any(t.deadline_hit for t in ticks), "that nothing new came is known as soon as ever"


def test_two_aligners_agree_and_a_late_one_numbers_alike(rig: Rig) -> None:
    messages = traffic(4, jitter_ms=10)
    whole = drive(Aligner(rig, T0), messages, T0 + 4 * S)
    late = Aligner(rig, T0, first_tick=20)
    half = drive(late, [m for m in messages if m[0] > T0 + 2 * S - 200 * MS], T0 + 4 * S)
    seqs = {t.tick_id: [s.seqs for s in t.streams if s.modality != "imu"] for t in whole}
    assert all([s.seqs for s in t.streams if s.modality != "imu"] == seqs[t.tick_id] for t in half[2:])


def test_a_required_stream_makes_a_tick_incomplete_and_may_leave_it_out() -> None:
    messages = [m for m in traffic(5) if not (m[1].stream == "lidar" and T0 + 2 * S <= m[0] <= T0 + 3 * S)]
    kept = drive(Aligner(make_rig(lidar=", required: true"), T0), messages, T0 + 5 * S)
    assert [t.tick_id for t in kept] == list(range(len(kept))), "a tick is not withheld"
    rig = make_rig(", drop_incomplete: true", ", required: true")
    aligner = Aligner(rig, T0)
    ticks = drive(aligner, messages, T0 + 5 * S)
    assert all(by_stream(t)["lidar"].seqs for t in ticks)
    assert [(t.tick_id, by_stream(t)["lidar"].seqs) for t in ticks] == [
        (t.tick_id, by_stream(t)["lidar"].seqs) for t in kept if by_stream(t)["lidar"].seqs
    ], "an id goes on naming a time"
    assert aligner.incomplete == len(kept) - len(ticks) > 3
    sent = Counter(m[1].stream for m in messages if m[0] <= T0 + 5 * S)
    assert {s: sum(c.values()) for s, c in reasons(ticks, aligner).items()} == dict(sent)


def test_a_dropped_neighbour_is_not_waited_for_longer_than_it_can_take(rig: Rig) -> None:
    messages = [m for m in traffic(20, jitter_ms=2) if not (m[1].stream == "camera" and m[1].seq == 453)]
    ticks = drive(Aligner(rig, T0), messages, T0 + 20 * S)
    at = T0 + 453 * (S // 30)
    near = min(ticks, key=lambda t: abs(t.t_ref_ns - at))
    assert not near.deadline_hit
    assert by_stream(near)["camera"].seqs == [452 if near.t_ref_ns <= at else 454]
