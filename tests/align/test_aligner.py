"""The aligner: cadence, settling, deadlines, partial sets, quarantine, and a ledger that adds up."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from sensorfuse.align.aligner import Aligner
from sensorfuse.messages import Tick
from sensorfuse.rig import Rig, parse_rig
from sensorfuse.wire import Envelope

MS = 1_000_000
S = 1_000_000_000
T0 = 1000 * S

RIG = """
name: bench
sensors:
  camera: {modality: camera, rate_hz: 30, frame: c, T_base_sensor: {},
           intrinsics: {width: 64, height: 48, fx: 50, fy: 50, cx: 32, cy: 24}}
  lidar: {modality: lidar, rate_hz: 10, frame: l, T_base_sensor: {}}
  imu: {modality: imu, rate_hz: 200, frame: i, T_base_sensor: {}, imu: {samples_per_message: 5}}
fusion: {rate_hz: 10, modalities: [camera, lidar, imu], deadline_ms: 100}
"""


@pytest.fixture
def rig() -> Rig:
    return parse_rig(RIG)


def header(stream: str, modality: str, seq: int, stamp: int, recv: int, **more: object) -> Envelope:
    return Envelope(stream, modality, seq, 1, stamp, recv, recv, "f", "start", "", {}, **more)


def imu_arrays(n: int = 5) -> dict:
    return {
        "gyro_radps": np.zeros((n, 3)),
        "accel_mps2": np.tile([0.0, 0.0, 9.8], (n, 1)),
        "time_ns": np.arange(n, dtype=np.int64) * 5 * MS,
    }


def traffic(
    seconds: float, lidar_delay_ms: float = 60, jitter_ms: float = 0, seed: int = 0
) -> list[tuple[int, Envelope, dict | None]]:
    """(arrival, header, arrays) of a camera, a LiDAR and an IMU, sorted by arrival."""
    rng = random.Random(seed)
    out = []
    specs = {
        "camera": ("camera", S // 30, 30.0, 0),
        "lidar": ("lidar", S // 10, lidar_delay_ms, 0),
        "imu": ("imu", 25 * MS, 26.0, 25 * MS),
    }
    for stream, (modality, period, delay, duration) in specs.items():
        for k in range(int(seconds * S // period)):
            stamp = T0 + k * period
            recv = stamp + round((delay + rng.random() * jitter_ms) * MS)
            out.append(
                (
                    recv,
                    header(stream, modality, k, stamp, recv, duration_ns=duration),
                    imu_arrays() if modality == "imu" else None,
                )
            )
    return sorted(out, key=lambda m: m[0])


def drive(aligner: Aligner, messages: list, until: int, step: int = MS) -> list[Tick]:
    """Push at arrival times and poll every `step`, as a process would."""
    ticks, now, i = [], T0, 0
    while now <= until:
        while i < len(messages) and messages[i][0] <= now:
            aligner.push(messages[i][1], messages[i][0], messages[i][2])
            ticks += aligner.poll(messages[i][0])
            i += 1
        ticks += aligner.poll(now)
        now += step
    return ticks


def reasons(ticks: list[Tick], aligner: Aligner) -> dict[str, Counter]:
    """Disposition counts per stream; chosen samples count as fused, as the fusion process would say."""
    out: dict[str, Counter] = {}
    chosen = {(s.stream, s.boot, q) for t in ticks for s in t.streams for q in s.seqs}
    for stream, _, _ in chosen:
        out.setdefault(stream, Counter())["fused"] += 1
    closed = [d for t in ticks for d in t.dispositions] + aligner.close_remaining()
    assert len({d[:3] for d in closed}) == len(closed), "closed once"
    assert not {d[:3] for d in closed} & chosen, "what a tick chose is not closed as unused"
    for stream, _, _, reason in closed:
        out.setdefault(stream, Counter())[reason] += 1
    return out


def by_stream(tick: Tick) -> dict:
    return {s.stream: s for s in tick.streams}


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


def test_future_stamp_is_quarantined_and_output_goes_on(rig: Rig) -> None:
    messages = traffic(4)
    for _, envelope, _ in messages:
        if envelope.stream == "lidar" and envelope.seq == 20:
            envelope.stamp_ns += 1000 * S
    aligner = Aligner(rig, T0)
    ticks = drive(aligner, messages, T0 + 4 * S)
    assert np.diff([t.emit_ns for t in ticks]).max() <= 0.25 * S
    assert reasons(ticks, aligner)["lidar"]["quarantined"] == 1


def test_bag_loop_recovers(rig: Rig) -> None:
    messages = traffic(8)
    for _, envelope, _ in messages:
        if envelope.stamp_ns > T0 + 4 * S:
            envelope.stamp_ns -= 30 * S
    aligner = Aligner(rig, T0)
    ticks = drive(aligner, messages, T0 + 8 * S)
    assert np.diff([t.emit_ns for t in ticks]).max() <= 0.25 * S
    assert all(by_stream(t)["lidar"].status == "ok" for t in ticks[50:75])
    counts = reasons(ticks, aligner)
    assert all(c["quarantined"] == 4 for c in counts.values()), "five in a row make a new clock epoch"


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


def test_two_aligners_agree_and_a_late_one_numbers_alike(rig: Rig) -> None:
    messages = traffic(4, jitter_ms=10)
    whole = drive(Aligner(rig, T0), messages, T0 + 4 * S)
    late = Aligner(rig, T0, first_tick=20)
    half = drive(late, [m for m in messages if m[0] > T0 + 2 * S - 200 * MS], T0 + 4 * S)
    seqs = {t.tick_id: [s.seqs for s in t.streams if s.modality != "imu"] for t in whole}
    assert all([s.seqs for s in t.streams if s.modality != "imu"] == seqs[t.tick_id] for t in half[2:])


def test_flood_is_bounded(rig: Rig) -> None:
    aligner = Aligner(rig, T0)
    for k in range(10_000):
        aligner.push(header("camera", "camera", k, T0 + k, T0 + k), T0 + k)
    assert len(aligner._streams["camera"].entries) <= 4096
    closed = Counter(d[3] for d in aligner.close_remaining())
    assert closed == Counter({"queue_full": 10_000 - 4096, "no_tick": 4096})
