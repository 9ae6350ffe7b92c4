"""A message that is taken as expected does what its judgement, step by step, would have done."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from traffic import MS, T0, Message, S, content, drive, make_rig, traffic

from sensorfuse.align import stream_buffer
from sensorfuse.align.aligner import Aligner
from sensorfuse.align.stream_buffer import StreamBuffer
from sensorfuse.wire import Envelope

POLICIES = ("", ", policy: reference, reference: lidar", ", policy: any")
SECONDS = 4


def spoilt(messages: list[Message], seed: int) -> list[Message]:
    """With copies, losses, reboots, messages out of order, stamps that cannot be and payloads that cannot be used."""
    rng = random.Random(seed)
    out: list[Message] = []
    boots: Counter[str] = Counter()
    first: Counter[str] = Counter()
    for now, envelope, arrays in messages:
        what, name = rng.random(), envelope.stream
        if what < 0.01:
            boots[name] += 1
            first[name] = envelope.seq
        header = replace(envelope, boot=1 + boots[name], seq=envelope.seq - first[name])
        if what < 0.03:
            out.append((now, replace(header), arrays))
        elif what < 0.05:
            header.stamp_ns += rng.choice([1000 * S, -1000 * S, 40 * MS, -40 * MS, 0])
        elif what < 0.07:
            now += rng.randrange(120) * MS
            header.recv_ns = now
        elif what < 0.075:
            header.problem = "cut off"
        elif what < 0.08:
            header.repeat = True
        elif what < 0.10:
            continue
        out.append((now, header, arrays))
    return sorted(out, key=lambda m: m[0])


def outcome(messages: list[Message], fusion: str) -> tuple[list, object]:
    aligner = Aligner(make_rig(fusion), T0)
    ticks = drive(aligner, messages, T0 + SECONDS * S)
    rest = (aligner.counters(), aligner.received(), [t.dispositions for t in ticks], aligner.close_remaining())
    return [(*content([t]), t.pose.tobytes(), [s.bound_ns for s in t.streams]) for t in ticks], rest


@pytest.mark.parametrize("fusion", POLICIES)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_what_is_expected_is_taken_as_it_would_be_judged(
    monkeypatch: pytest.MonkeyPatch, fusion: str, seed: int | None
) -> None:
    messages = traffic(SECONDS, jitter_ms=5)
    if seed is not None:
        messages = spoilt(messages, seed)
    found = outcome([(n, replace(e), a) for n, e, a in messages], fusion)
    monkeypatch.setattr(StreamBuffer, "take_expected", lambda *_: False)
    assert found == outcome(messages, fusion)


def test_nearly_all_messages_of_a_sound_stream_are_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: Counter[bool] = Counter()
    take = StreamBuffer.take_expected

    def counted(self: StreamBuffer, *message: object) -> bool:
        taken[bool(found := take(self, *message))] += 1  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(StreamBuffer, "take_expected", counted)
    drive(Aligner(make_rig(), T0), traffic(20, jitter_ms=5), T0 + 20 * S, 20 * MS)
    assert taken[True] > 0.8 * taken.total()


def test_a_full_buffer_takes_nothing_more_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_buffer, "MAX_BUFFERED", 8)
    aligner = Aligner(make_rig(), T0 + 100 * S)
    for now, envelope, arrays in traffic(SECONDS):
        aligner.push(envelope, now, arrays)
    assert {c["held"] for c in aligner.counters().values()} == {8}


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_health_misses_nothing_of_a_sound_stream_whichever_way_its_messages_take(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    rng, usual = random.Random(3), StreamBuffer.take_expected

    def at_times(stream: StreamBuffer, envelope: Envelope, now_ns: int) -> bool:
        return rng.random() >= share and usual(stream, envelope, now_ns)

    monkeypatch.setattr(StreamBuffer, "take_expected", at_times)
    ticks = drive(Aligner(make_rig(""), T0), traffic(SECONDS, jitter_ms=5), T0 + (SECONDS - 1) * S)
    for stream in ticks[-1].streams:
        assert (stream.health.state, stream.health.missed, stream.health.reason) == ("ok", 0, ""), stream.stream
        assert stream.health.period_ns == pytest.approx(
            {"camera": S // 30, "lidar": S // 10, "imu": 25 * MS}[stream.stream], rel=0.01
        )
