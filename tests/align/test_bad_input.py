"""Bad input: what is done about each kind, that it is counted, and that the output goes on."""

from __future__ import annotations

import math
import tracemalloc
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from traffic import (
    MS,
    RIG,
    T0,
    Message,
    S,
    by_stream,
    drive,
    header,
    imu_arrays,
    longest_gap_s,
    make_rig,
    reasons,
    traffic,
)

from sensorfuse.align import aligner as aligner_module
from sensorfuse.align import stream_buffer as stream_buffer_module
from sensorfuse.align.admission import MAX_REJECTS
from sensorfuse.align.aligner import Aligner
from sensorfuse.messages import Tick
from sensorfuse.rig import parse_rig
from sensorfuse.wire import WireError, decode_meta, encode_meta

MAX_GAP_S = 0.25


def run(spoil: Callable[[list[Message]], object], seconds: float = 6) -> tuple[list[Tick], dict, dict, Aligner]:
    """Ticks, reasons and counters of usual traffic that was spoiled; the ledger adds up and the output goes on."""
    messages = traffic(seconds, jitter_ms=1)
    spoil(messages)
    messages.sort(key=lambda m: m[0])
    aligner = Aligner(make_rig(), T0)
    end = T0 + round(seconds * S)
    ticks = drive(aligner, messages, end)
    assert longest_gap_s(ticks) <= MAX_GAP_S
    counters, counts = aligner.counters(), reasons(ticks, aligner)
    sent = {}
    for now, envelope, _ in messages:
        if now <= end:
            sent.setdefault(envelope.stream, set()).add((envelope.boot, envelope.seq))
    assert {s: sum(c.values()) for s, c in counts.items()} == {s: len(keys) for s, keys in sent.items()}
    return ticks, counts, counters, aligner


def each(messages: list[Message], stream: str, first: int = 0, last: float = math.inf) -> list[Message]:
    return [m for m in messages if m[1].stream == stream and first <= m[1].seq <= last]


def test_stamps_out_of_order_are_put_in_order() -> None:
    def swap(messages: list[Message]) -> None:
        late = each(messages, "camera", 61, 61)[0]
        messages.remove(late)
        messages.append((late[0] + 40 * MS, late[1], None))
        late[1].recv_ns += 40 * MS

    _, counts, counters, _ = run(swap)
    assert counters["camera"]["out_of_order"] == 1
    assert counters["camera"]["lateness_ns"] == pytest.approx(S / 30, abs=MS)
    assert counts["camera"]["late"] == 0


def test_what_is_older_than_the_last_tick_is_late() -> None:
    def delay(messages: list[Message]) -> None:
        late = each(messages, "camera", 60, 60)[0]
        messages.remove(late)
        messages.append((late[0] + S, late[1], None))

    ticks, counts, _, _ = run(delay)
    assert counts["camera"]["late"] == 1
    assert all(60 not in by_stream(t)["camera"].seqs for t in ticks)


def test_copies_are_dropped_and_counted_the_same_stamp_twice_is_kept_apart() -> None:
    def copy(messages: list[Message]) -> None:
        messages += [(now + MS, e, a) for now, e, a in each(messages, "lidar", 10, 19)]
        each(messages, "camera", 50, 50)[0][1].stamp_ns -= S // 30

    _, counts, counters, _ = run(copy)
    assert counters["lidar"]["copies"] == 10
    assert sum(counts["camera"].values()) == 180


@pytest.mark.parametrize("stamp", [math.nan, math.inf, 0.5, "now", None])
def test_a_stamp_that_is_no_integer_never_gets_in(stamp: object) -> None:
    envelope = header("lidar", "lidar", 0, 0, 0)
    envelope.stamp_ns = stamp  # type: ignore[assignment]
    with pytest.raises(WireError, match="stamp_ns"):
        decode_meta(encode_meta(envelope))


@pytest.mark.parametrize("stamp", [-5, 0])
def test_a_negative_or_zero_stamp_is_quarantined_and_the_stream_goes_on(stamp: int) -> None:
    def spoil(messages: list[Message]) -> None:
        each(messages, "lidar", 20, 20)[0][1].stamp_ns = stamp

    ticks, counts, _, _ = run(spoil)
    assert counts["lidar"]["quarantined"] == 1
    assert "suspect" in {by_stream(t)["lidar"].status for t in ticks[:30]} | {"suspect"}
    assert all(by_stream(t)["lidar"].status == "ok" for t in ticks[25:55])


@pytest.mark.parametrize("stream", ["lidar", "camera", "imu"])
def test_one_stamp_far_ahead_is_quarantined(stream: str) -> None:
    def spoil(messages: list[Message]) -> None:
        each(messages, stream, 20, 20)[0][1].stamp_ns += 1000 * S

    _, counts, counters, _ = run(spoil)
    assert counts[stream]["quarantined"] == 1
    assert counters[stream]["clock_resets"] == 0


def test_a_device_that_is_set_back_begins_a_new_epoch_and_the_others_stay() -> None:
    def spoil(messages: list[Message]) -> None:
        for _, envelope, _ in each(messages, "lidar", 30):
            envelope.stamp_ns -= 30 * S

    ticks, counts, counters, _ = run(spoil)
    assert {s: c["clock_resets"] for s, c in counters.items()} == {"camera": 0, "lidar": 1, "imu": 0}
    assert counts["lidar"]["quarantined"] == 4
    assert all(by_stream(t)["lidar"].status == "ok" for t in ticks[40:55])


def test_a_bag_that_begins_anew_recovers_in_all_streams() -> None:
    def spoil(messages: list[Message]) -> None:
        for _, envelope, _ in messages:
            if envelope.stamp_ns > T0 + 3 * S:
                envelope.stamp_ns -= 30 * S

    ticks, counts, _, _ = run(spoil)
    assert all(c["quarantined"] == 4 for c in counts.values()), "five in a row make a new epoch"
    assert all(s.status == "ok" for t in ticks[42:55] for s in t.streams)


def test_a_counter_that_wraps_costs_nothing() -> None:
    rig = make_rig(lidar=", counter: {bits: 31}")
    messages = traffic(6)
    for _, envelope, _ in messages:
        if envelope.stream == "lidar":
            envelope.stamp_ns %= 1 << 31
    ticks = drive(Aligner(rig, T0), messages, T0 + 6 * S)
    assert longest_gap_s(ticks) <= MAX_GAP_S
    assert all(by_stream(t)["lidar"].status == "ok" for t in ticks[10:55])


@pytest.mark.parametrize("stamp", [0, T0])
def test_stamps_that_stand_still_give_way_to_receipt(stamp: int) -> None:
    def freeze(messages: list[Message]) -> None:
        for _, envelope, _ in each(messages, "lidar", 10):
            envelope.stamp_ns = stamp

    ticks, counts, _, _ = run(freeze)
    late = [by_stream(t)["lidar"] for t in ticks[25:55]]
    assert all(s.status == "ok" for s in late)
    assert counts["lidar"]["quarantined"] <= 4
    true_ns = [T0 + s.seqs[0] * S // 10 - t.t_ref_ns for s, t in zip(late, ticks[25:55], strict=True)]
    error = [s.dt_ns - e for s, e in zip(late, true_ns, strict=True)]
    assert max(error) - min(error) < 2 * MS, "late by the delay that nothing tells, and even"


def test_stamps_that_move_again_are_believed_again() -> None:
    def freeze(messages: list[Message]) -> None:
        for _, envelope, _ in each(messages, "lidar", 10, 25):
            envelope.stamp_ns = T0 + S

    ticks, _, _, _ = run(freeze)
    assert all(abs(by_stream(t)["lidar"].dt_ns) < 2 * MS for t in ticks[36:55] if by_stream(t)["lidar"].seqs)
    assert all(by_stream(t)["lidar"].status == "ok" for t in ticks[36:55])


def test_a_burst_after_a_stall_keeps_its_stamps() -> None:
    def stall(messages: list[Message]) -> None:
        for m in each(messages, "camera", 60, 90):
            messages.remove(m)
            m[1].recv_ns = T0 + 91 * S // 30 + 30 * MS
            messages.append((m[1].recv_ns, m[1], None))

    ticks, counts, counters, _ = run(stall)
    assert counters["camera"]["clock_resets"] == 0
    assert counts["camera"]["quarantined"] == 0
    for tick in ticks:
        camera = by_stream(tick)["camera"]
        assert not camera.seqs or abs(camera.dt_ns - (T0 + camera.seqs[0] * (S // 30) - tick.t_ref_ns)) < 2 * MS


def test_what_cannot_be_used_is_rejected_and_too_much_of_it_disables_the_stream() -> None:
    aligner = Aligner(make_rig(), T0)
    bad = MAX_REJECTS + 50
    for k in range(bad):
        now = T0 + k * 5 * MS
        aligner.push(header("imu", "imu", k, now, now, problem="array 'gyro_radps' has dtype float32"), now)
    assert [a for a in aligner.alerts if "disabled" in a] == [
        "imu: disabled for a second, too many of its messages are corrupt"
    ]
    later = T0 + 20 * S
    for k in range(40):
        now = later + k * 25 * MS
        aligner.push(header("imu", "imu", bad + k, now, now, duration_ns=25 * MS), now, imu_arrays())
    ticks = aligner.flush(later + S, later + S)
    assert any(bad + 30 in s.seqs for t in ticks for s in t.streams), "it gets another chance"
    closed = Counter(d[3] for t in ticks for d in t.dispositions) + Counter(d[3] for d in aligner.close_remaining())
    assert closed["corrupt"] == MAX_REJECTS + 1
    assert closed["corrupt"] + closed["queue_full"] == bad, "and what came while it was checked is closed too"


def test_a_gap_of_the_imu_makes_motion_less_certain() -> None:
    def cut(messages: list[Message]) -> None:
        for m in each(messages, "imu", 120, 160):
            messages.remove(m)

    ticks, _, _, _ = run(cut)
    before, within = ticks[20].twist_sigma[5], max(t.twist_sigma[5] for t in ticks[32:38])
    assert within > before
    assert {by_stream(t)["imu"].status for t in ticks[34:37]} <= {"stale", "idle"}


def test_a_flood_is_thinned_evenly_and_costs_no_other_stream() -> None:
    def flood(messages: list[Message]) -> None:
        first = each(messages, "camera")[-1][1].seq + 1
        for k in range(6000):
            now = T0 + 2 * S + k * 2 * S // 6000
            messages.append((now, header("camera", "camera", first + k, now - 30 * MS, now), None))

    ticks, counts, counters, aligner = run(flood)
    assert counts["camera"]["queue_full"] > 5000
    assert counters["camera"]["refused"] == counts["camera"]["queue_full"]
    assert counters["camera"]["held"] < 400
    assert all(by_stream(t)["lidar"].status == "ok" for t in ticks[5:55])
    assert all(abs(by_stream(t)["camera"].dt_ns) < 40 * MS for t in ticks[25:38])
    assert not any("disabled" in alert for alert in aligner.alerts)


def test_memory_is_bounded_when_nobody_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_buffer_module, "MAX_BUFFERED", 50)
    aligner = Aligner(parse_rig(RIG.replace("{rate_hz: 10,", "{rate_hz: 0.001,")), T0 + 30 * S)
    for now, envelope, arrays in traffic(20):
        aligner.push(envelope, now, arrays)
    assert all(c["held"] <= 50 for c in aligner.counters().values())
    closed = aligner.close_remaining()
    assert len(closed) == sum(aligner.received().values())


def test_dispositions_of_a_tick_are_bounded_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligner_module, "MAX_CARRIED", 3)
    ticks, _, _, _ = run(lambda messages: None)
    assert max(len(t.dispositions) for t in ticks) == 3


def test_a_realtime_step_of_the_host_is_no_concern_of_monotonic_time() -> None:
    """Receive times come from the monotonic clock: a device that follows the host's wall clock is seen to jump."""

    def step(messages: list[Message]) -> None:
        for _, envelope, _ in each(messages, "camera", 90):
            envelope.stamp_ns += 3600 * S

    ticks, _, counters, _ = run(step)
    assert counters["camera"]["clock_resets"] == 1
    assert all(by_stream(t)["lidar"].status == "ok" for t in ticks[5:55])
    assert all(by_stream(t)["camera"].status == "ok" for t in ticks[35:55])
    assert np.ptp([t.t_ref_ns - T0 - t.tick_id * S // 10 for t in ticks]) == 0


def test_a_flood_costs_no_more_memory_the_longer_it_lasts() -> None:
    """Forty times the rate, ever new incarnations and gaps; what a tick holds is handed on and forgotten."""
    aligner = Aligner(make_rig(), T0)
    held = []
    tracemalloc.start()
    for part in range(3):
        for k in range(part * 6000, (part + 1) * 6000):
            now = T0 + k * S // 1200
            seq = k * 3 if k % 50 else 7 * k
            envelope = header("camera", "camera", seq, now - 30 * MS, now)
            envelope.boot = k // 1500
            aligner.push(envelope, now)
            aligner.poll(now)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[2] - held[1] < 100_000
    assert held[2] < 3_000_000
