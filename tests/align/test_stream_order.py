"""Whatever the order of arrival within the allowed lateness: the same ticks, and a ledger that adds up."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from traffic import MS, T0, Message, S, content, drive, make_rig, reasons, traffic

from sensorfuse.align.aligner import Aligner
from sensorfuse.rig import parse_rig

LATENESS_MS = 80
POLICIES = ("", ", policy: reference, reference: lidar", ", policy: any")
few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def point_rig(fusion: str):
    """The rig with a clock that its devices share and a lateness that is given."""
    text = make_rig(fusion).to_yaml().replace("rate_hz: 30.0", "rate_hz: 30.0\n    clock: reference")
    text = text.replace("modality: lidar", "modality: lidar\n    clock: reference").replace(
        "modality: imu", "modality: imu\n    clock: reference"
    )
    return parse_rig(text.replace("deadline_ms: 100.0", "deadline_ms: 400.0") + f"\n  lateness_ms: {LATENESS_MS}\n")


def shuffled(messages: list[Message], delays_ms: list[int]) -> list[Message]:
    """Every message up to `LATENESS_MS` later than in order, by a pattern of delays."""
    out = []
    for i, (_, envelope, _) in enumerate(sorted(messages, key=lambda m: (m[1].stamp_ns, m[1].stream))):
        end = envelope.stamp_ns + envelope.duration_ns
        now = end + MS + delays_ms[i % len(delays_ms)] * MS
        envelope.recv_ns = now
        out.append((now, envelope, None))
    return sorted(out, key=lambda m: (m[0], m[1].stream, m[1].seq))


@few
@given(
    st.sampled_from(POLICIES),
    st.lists(st.integers(0, LATENESS_MS - 2), min_size=1, max_size=30),
    st.lists(st.integers(0, LATENESS_MS - 2), min_size=1, max_size=30),
)
def test_the_order_of_arrival_changes_no_tick(policy: str, one: list[int], other: list[int]) -> None:
    rig = point_rig(policy)
    runs = []
    for delays in (one, other):
        aligner = Aligner(rig, T0 + 200 * MS)
        messages = shuffled(traffic(1.1), delays)
        ticks = [t for t in drive(aligner, messages, T0 + round(1.6 * S), 10 * MS) if t.t_ref_ns < T0 + 0.9 * S]
        runs.append([(row[1], [(s[0], s[3]) for s in row[3]]) for row in content(ticks)])
    first = {row[0]: row[1] for row in runs[0]}
    second = {row[0]: row[1] for row in runs[1]}
    assert len(first) >= 6
    assert first == second


damage = st.lists(
    st.tuples(
        st.integers(0, 160),
        st.sampled_from(["drop", "copy", "late", "back", "ahead", "zero", "corrupt", "reboot", "repeat"]),
    ),
    max_size=40,
)


@few
@given(st.sampled_from(POLICIES), damage)
def test_the_ledger_adds_up_whatever_happens(policy: str, faults: list[tuple[int, str]]) -> None:
    rig = make_rig(policy)
    messages = traffic(2, jitter_ms=10)
    kept = []
    what = dict(faults)
    for i, (now, envelope, _) in enumerate(messages):
        fault = what.get(i)
        if fault == "drop":
            continue
        if fault == "copy":
            kept.append((now + MS, envelope, None))
        if fault == "late":
            now += 300 * MS
        if fault == "corrupt":
            envelope.problem = "empty payload"
        envelope.repeat = fault == "repeat"
        if fault == "reboot":
            envelope.boot, envelope.seq = 2, i
        envelope.stamp_ns = {"back": envelope.stamp_ns - 30 * S, "ahead": envelope.stamp_ns + 900 * S, "zero": 0}.get(
            str(fault), envelope.stamp_ns
        )
        kept.append((now, envelope, None))
    kept.sort(key=lambda m: m[0])
    aligner = Aligner(rig, T0)
    ticks = drive(aligner, kept, T0 + round(2.5 * S), 20 * MS)
    assert [t.tick_id for t in ticks] == list(range(len(ticks)))
    sent: dict[str, set] = {}
    for _, envelope, _ in kept:
        sent.setdefault(envelope.stream, set()).add((envelope.boot, envelope.seq))
    assert {s: sum(c.values()) for s, c in reasons(ticks, aligner).items()} == {s: len(k) for s, k in sent.items()}
    assert all(b.t_ref_ns > a.t_ref_ns for a, b in pairwise(ticks))
