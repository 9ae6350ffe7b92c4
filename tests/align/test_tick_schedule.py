"""When ticks come: the policies, alone and in the aligner."""

from __future__ import annotations

import numpy as np
import pytest
from traffic import MS, RIG, T0, S, by_stream, content, drive, longest_gap_s, make_rig, reasons, traffic

from sensorfuse.align.aligner import Aligner
from sensorfuse.align.schedule import NEVER, AnySchedule, RateSchedule, ReferenceSchedule, make_schedule
from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import parse_rig

P, D = 100 * MS, 100 * MS


def test_rate_is_a_grid() -> None:
    schedule = RateSchedule(T0, P, D, first=3)
    for k in range(3, 6):
        assert schedule.anchor() == (T0 + k * P, T0 + k * P, T0 + k * P + D)
        schedule.went_out(T0 + k * P)
    assert not schedule.counted


def test_reference_follows_its_messages_and_steps_in_where_one_is_overdue() -> None:
    schedule = ReferenceSchedule("lidar", P, T0, P, D)
    assert schedule.anchor().t_ns == T0, "before the first message, its own cadence"
    schedule.went_out(T0)
    for k in range(1, 4):
        at = T0 + k * P + 7 * MS
        assert schedule.offer(at, at + 60 * MS)
        assert schedule.anchor() == (at, at, at + 60 * MS + D), "the deadline counts from arrival"
        schedule.went_out(at)
    overdue = schedule.anchor()
    assert overdue.t_ns == at + P
    assert overdue.opens_ns == at + P + 60 * MS + 75 * MS, "the usual delay, and three quarters of a period"
    schedule.offer(at + P + MS, at + P + 90 * MS)
    assert schedule.anchor().t_ns == at + P + MS, "it came after all"


def test_reference_messages_close_after_a_tick_get_none_of_their_own() -> None:
    schedule = ReferenceSchedule("lidar", P, T0, P, D)
    schedule.went_out(T0)
    schedule.offer(T0 + 30 * MS, T0 + 40 * MS)
    assert schedule.anchor().t_ns == T0 + P
    schedule.offer(T0 + 60 * MS, T0 + 70 * MS)
    schedule.offer(T0 + 61 * MS, T0 + 71 * MS)
    schedule.went_out(schedule.anchor().t_ns)
    assert schedule.anchor().t_ns > T0 + 61 * MS, "a flood makes no flood of ticks"


def test_any_comes_with_what_is_new_and_no_sooner_than_its_period() -> None:
    schedule = AnySchedule(["a", "b"], T0, P, D)
    assert schedule.anchor() == NEVER
    assert schedule.offer(T0 + 50 * MS, T0 + 55 * MS)
    assert not schedule.offer(T0 + 70 * MS, T0 + 71 * MS), "not earlier than what is next"
    assert schedule.offer(T0 + 40 * MS, T0 + 72 * MS)
    assert schedule.anchor().t_ns == T0 + 40 * MS
    schedule.went_out(T0 + 40 * MS)
    assert schedule.anchor().t_ns == T0 + 140 * MS, "both that are left are in the next one"
    schedule.went_out(T0 + 140 * MS)
    assert schedule.anchor() == NEVER


def test_a_tick_per_lidar_message_and_none_is_missed_while_it_is_dead() -> None:
    rig = make_rig(", policy: reference, reference: lidar")
    messages = [m for m in traffic(8, jitter_ms=5) if not (m[1].stream == "lidar" and 20 <= m[1].seq < 50)]
    for _, envelope, _ in messages:
        if envelope.stream == "lidar":
            envelope.stamp_ns += 13 * MS
    aligner = Aligner(rig, T0)
    ticks = drive(aligner, messages, T0 + 8 * S)
    assert [t.tick_id for t in ticks] == list(range(len(ticks)))
    assert longest_gap_s(ticks) <= 0.25
    lidar = [by_stream(t)["lidar"] for t in ticks]
    on_lidar = [s.seqs[0] for s in lidar if s.seqs and abs(s.dt_ns) < 5 * MS]
    assert set(on_lidar) >= {*range(1, 20), *range(56, 79)}, "all but what came before it was found well again"
    dead = [t for t in ticks if T0 + 2.2 * S < t.t_ref_ns < T0 + 4.8 * S]
    assert np.diff([t.t_ref_ns for t in dead]) == pytest.approx(P)
    assert all(by_stream(t)["camera"].status == "ok" for t in dead)
    assert np.diff([t.t_ref_ns for t in ticks]).min() >= P // 2
    sent = {s: sum(m[1].stream == s and m[0] <= T0 + 8 * S for m in messages) for s in rig.streams()}
    assert {s: sum(c.values()) for s, c in reasons(ticks, aligner).items()} == sent


@pytest.mark.parametrize("delay_ms", [280, 355, 365, 400, 445])
def test_a_reference_that_is_late_from_the_start_is_followed_soon(delay_ms: float) -> None:
    """Its first messages come after the ticks that they were for, whatever its phase is: that tells its delay."""
    rig = make_rig(", policy: reference, reference: lidar")
    ticks = drive(Aligner(rig, T0), traffic(6, lidar_delay_ms=delay_ms), T0 + 6 * S)
    lidar = [by_stream(t)["lidar"] for t in ticks if t.t_ref_ns > T0 + 1.5 * S]
    assert len(lidar) > 30
    assert all(s.seqs and s.dt_ns == 0 for s in lidar)


def test_one_late_message_of_the_reference_puts_no_tick_off() -> None:
    rig = make_rig(", policy: reference, reference: lidar")
    messages = traffic(6)
    late = [n for n, m in enumerate(messages) if m[1].stream == "lidar"][25]
    recv, envelope, arrays = messages.pop(late)
    envelope.recv_ns = recv + S // 2
    messages = sorted([*messages, (envelope.recv_ns, envelope, arrays)], key=lambda m: m[0])
    aligner = Aligner(rig, T0)
    ticks = drive(aligner, messages, T0 + 6 * S)
    assert longest_gap_s(ticks) <= 0.2
    assert reasons(ticks, aligner)["lidar"]["late"] == 1


def test_any_with_one_sparse_stream_ticks_at_its_messages() -> None:
    rig = parse_rig(RIG.replace("{rate_hz: 10,", "{policy: any, rate_hz: 50,"))
    messages = [m for m in traffic(4, lidar_delay_ms=20) if m[1].stream == "lidar"]
    ticks = drive(Aligner(rig, T0), messages, T0 + 4 * S)
    assert [t.t_ref_ns for t in ticks] == [T0 + k * P for k in range(40)]
    assert all(t.emit_ns - t.t_ref_ns <= 21 * MS for t in ticks)


@pytest.mark.parametrize("fusion", ["", ", policy: reference, reference: camera", ", policy: any"])
def test_sets_do_not_depend_on_when_they_are_asked_for(fusion: str) -> None:
    rig = make_rig(fusion)
    messages = traffic(4, jitter_ms=50, seed=5)
    runs = [content(drive(Aligner(rig, T0), messages, T0 + 4 * S, step)) for step in (MS, 7 * MS, 40 * MS)]
    length = min(map(len, runs))
    assert length > 30
    assert runs[0][:length] == runs[1][:length] == runs[2][:length]


def test_a_standby_of_a_counting_policy_computes_the_same_ticks() -> None:
    rig = make_rig(", policy: reference, reference: lidar")
    messages = traffic(4, jitter_ms=10)
    whole = drive(Aligner(rig, T0), messages, T0 + 4 * S)
    late = drive(Aligner(rig, T0 + 2 * S, 20), [m for m in messages if m[0] > T0 + 2 * S], T0 + 4 * S)
    known = {t.t_ref_ns: [s.seqs for s in t.streams if s.modality != "imu"] for t in whole}
    near = [min(known, key=lambda k, t=t: abs(k - t.t_ref_ns)) for t in late[4:]]
    assert max(abs(n - t.t_ref_ns) for n, t in zip(near, late[4:], strict=True)) < 11 * MS
    assert len(set(near)) == len(near)


@pytest.mark.parametrize(
    ("keys", "line", "key", "what"),
    [
        ("policy: reference", 8, "fusion.policy", "needs the key `reference`"),
        ("policy: any, reference: lidar", 8, "fusion.reference", "follows no stream"),
        ("policy: reference, reference: radar", 8, "fusion.reference", "no stream that is fused"),
        ("policy: sometimes", 8, "fusion.policy", "rate"),
        ("drop_incomplete: true", 8, "fusion.drop_incomplete", "required: true"),
    ],
)
def test_errors_name_line_and_key(keys: str, line: int, key: str, what: str) -> None:
    with pytest.raises(SensorfuseError) as error:
        parse_rig(RIG.replace("deadline_ms: 100", keys), "my.yaml")
    assert f"my.yaml:{line}: {key}: " in str(error.value)
    assert what in str(error.value)


def test_the_rig_says_which() -> None:
    assert type(make_schedule(make_rig(), T0, 0)) is RateSchedule
    assert make_schedule(make_rig(", policy: any"), T0, 0).follows == {"camera", "lidar", "imu"}
    assert make_schedule(make_rig(", policy: reference, reference: imu"), T0, 0).follows == {"imu"}
