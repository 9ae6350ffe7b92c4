"""A message that makes a process fail is dropped and counted, and the process goes on: without processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq
from sensorfuse.nodes.align import _Align
from sensorfuse.nodes.ears import Ears
from sensorfuse.nodes.fusion import _Fusion
from sensorfuse.nodes.mishaps import MOST_IN_A_ROW, Mishaps

from sensorfuse.align.aligner import Aligner
from sensorfuse.fusion.warm_up import typical_sample
from sensorfuse.messages import Tick
from sensorfuse.rig import Rig
from sensorfuse.wire import Envelope, decode_record, encode_data, encode_meta, envelope_of

S = 1_000_000_000
T0 = 1000 * S
STREAM = "lidar"


class Stage:
    """A process that is none: its time is made up, and it hears what is put before it."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.now_ns = rig, T0
        self.context: Any = zmq.Context()
        self.events: list[str] = []
        self.sent: list[list[Any]] = []
        self.process: Any = SimpleNamespace(
            rig=rig,
            lossless=False,
            ears=lambda topics: Ears(self.context, rig, topics),
            subscriber=lambda *_: self.context.socket(zmq.SUB),
            publisher=lambda *_: SimpleNamespace(send=self.sent.append),
            event=self.events.append,
            control=SimpleNamespace(active=True),
            clock=SimpleNamespace(now_ns=lambda: self.now_ns),
        )
        self.stamp_ns = T0

    def put(self, ears: Ears, messages: list[tuple[str, list[Any]]]) -> None:
        coming = list(messages)
        ears.receive = lambda limit: iter([coming.pop(0) for _ in range(len(coming))])  # type: ignore[method-assign]

    def close(self) -> None:
        self.context.destroy(0)


@pytest.fixture
def stage(synthetic_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    out = Stage(synthetic_rig)
    yield out
    out.close()


def headers(rig: Rig, seconds: float) -> list[tuple[int, Envelope]]:
    """Of the LiDAR and the camera, by arrival."""
    out = []
    for stream in (STREAM, "camera"):
        sample, period = typical_sample(rig, stream), rig.sensors[stream].period_ns
        for k in range(round(seconds * S / period)):
            sample.seq, sample.stamp_ns = k, T0 + k * period
            sample.recv_ns = sample.stamp_ns + period
            out.append((sample.recv_ns, envelope_of(sample, 1, sample.recv_ns)))
    return sorted(out, key=lambda m: m[0])


def play(stage: Stage, poison: set[int]) -> tuple[_Align, list[Tick]]:
    """The alignment process on the headers; those of the LiDAR with these numbers make it fail."""
    process = _Align(stage.process, 0)
    aligner = process.aligner = Aligner(stage.rig, T0)
    push = aligner.push

    def fragile(envelope: Envelope, now_ns: int, arrays: Any = None) -> None:
        if envelope.stream == STREAM and envelope.seq in poison:
            raise RuntimeError("cannot\nat all")
        push(envelope, now_ns, arrays)

    aligner.push = fragile  # type: ignore[method-assign]
    for now_ns, envelope in headers(stage.rig, 3.0):
        stage.now_ns = now_ns
        stage.put(process.headers, [(envelope.stream, encode_meta(envelope))])
        process._take_all()
    return process, [decode_record(frames, Tick) for frames in stage.sent]


def test_a_message_that_the_aligner_fails_at_is_dropped_and_ticks_go_on(stage: Stage) -> None:
    process, ticks = play(stage, {7, 8})
    assert [t.tick_id for t in ticks] == list(range(len(ticks)))
    assert len(ticks) > 20
    taken = [q for t in ticks for s in t.streams if s.stream == STREAM for q in s.seqs]
    assert not {7, 8} & set(taken)
    assert {6, 9} <= set(taken)
    closed = {d[:3]: d[3] for t in ticks for d in t.dispositions}
    assert closed[STREAM, 1, 7] == closed[STREAM, 1, 8] == "corrupt"
    assert process.headers.refusals() == {f"{STREAM}: made this process fail": 2}
    told = [e for e in stage.events if "dropped" in e]
    assert told == [f"dropped a message of {STREAM} that made this process fail: cannot"]


def test_a_stream_that_always_fails_ends_nothing_while_others_are_well(stage: Stage) -> None:
    process, ticks = play(stage, set(range(1000)))
    assert len(ticks) > 15
    assert all(s.status == "ok" for t in ticks[3:-3] for s in t.streams if s.stream == "camera")
    assert process.headers.refusals()[f"{STREAM}: made this process fail"] == 30


def test_one_that_fails_halfway_is_in_one_account_only(stage: Stage) -> None:
    """What it says of motion makes the aligner fail when the sample waits for its tick already."""
    process = _Align(stage.process, 0)
    aligner = process.aligner = Aligner(stage.rig, T0)
    sample = typical_sample(stage.rig, STREAM)
    sample.seq, sample.stamp_ns, sample.recv_ns = 0, T0, T0 + 1
    envelope = envelope_of(sample, 1, T0, signature={"level": 1.0})
    aligner.motion.hear = lambda *_: 1 / 0  # type: ignore[method-assign, assign]
    stage.now_ns = T0 + 1
    stage.put(process.headers, [(STREAM, encode_meta(envelope))])
    process._take_all()
    assert process.headers.refusals() == {f"{STREAM}: made this process fail": 1}
    assert aligner.counters()[STREAM]["held"] == 1
    assert aligner.close_remaining() == [(STREAM, 1, 0, "no_tick")]


def test_what_is_said_of_motion_is_left_out_where_it_is_malformed(stage: Stage) -> None:
    process = _Align(stage.process, 0)
    process.aligner = Aligner(stage.rig, T0)
    for k, odd in enumerate((3, "fast", [1.0], [1, "2", 3], {"x": 1}, np.zeros(7), [float("nan")] * 3, None)):
        for spread in ([0.1, 0.1, 0.1], odd):
            sample = typical_sample(stage.rig, STREAM)
            sample.seq, sample.stamp_ns = 2 * k + (spread is odd), T0 + k * S // 10
            sample.recv_ns = stage.now_ns = sample.stamp_ns + 1
            said = {"ego_velocity_mps": odd, "ego_velocity_sigma_mps": spread}
            stage.put(process.headers, [(STREAM, encode_meta(envelope_of(sample, 1, T0, signature=said)))])
            process._take_all()
    stage.now_ns += S
    stage.put(process.headers, [])
    process._take_all()
    assert process.headers.refusals() == {}
    assert len(stage.sent) > 10
    assert np.isfinite(decode_record(stage.sent[-1], Tick).pose).all()


def test_own_motion_that_fails_begins_anew_and_the_tick_goes_out(synthetic_rig: Rig) -> None:
    aligner = Aligner(synthetic_rig, T0)
    aligner.motion._ego.twist_at = lambda t_ns: 1 / 0  # type: ignore[method-assign, assign, return-value]
    ticks = aligner.poll(T0 + S)
    assert len(ticks) > 5
    assert [a.partition(":")[0] for a in aligner.alerts] == ["own motion failed", "own motion was lost and begins anew"]


def test_a_look_at_offsets_that_fails_costs_no_message(synthetic_rig: Rig) -> None:
    aligner = Aligner(synthetic_rig, T0 + 100 * S)
    looked: list[bool] = []

    def work() -> None:
        looked.append(True)
        aligner.offsets.due = False
        raise ValueError("no offset")

    aligner.offsets.work = work  # type: ignore[method-assign]
    aligner.offsets.due = True
    for now_ns, envelope in headers(synthetic_rig, 0.2):
        aligner.push(envelope, now_ns)
    assert len(looked) == 1
    assert aligner.received()[STREAM] == 2
    assert "no offset" in aligner.alerts[0]


def test_a_message_that_fusion_fails_at_is_dropped(stage: Stage) -> None:
    fusion = _Fusion.__new__(_Fusion)
    fusion.process, fusion.shared = stage.process, None
    fusion.data = Ears(stage.context, stage.rig, {STREAM: [f"{STREAM}/data"]})
    fusion.mishaps = Mishaps(fusion.data, stage.process.event)
    added: list[int] = []

    def add(envelope: Envelope, *_: object) -> None:
        if envelope.seq == 2:
            raise MemoryError
        added.append(envelope.seq)

    fusion.runner = SimpleNamespace(add=add)  # type: ignore[assignment]
    messages = []
    for k in range(6):
        sample = typical_sample(stage.rig, STREAM)
        sample.seq = k
        envelope = envelope_of(sample, 1, 0, repeat=k == 3, problem="frozen" if k == 4 else "")
        messages.append((STREAM, encode_data(envelope, sample.arrays)))
    stage.put(fusion.data, messages)
    fusion._take_data()
    assert added == [0, 1, 5], "nor what never votes"
    assert fusion.data.refusals() == {f"{STREAM}: made this process fail": 1}
    assert stage.events == [f"dropped a message of {STREAM} that made this process fail: MemoryError"]


def test_many_in_a_row_are_the_processs_own_trouble(stage: Stage) -> None:
    ears = Ears(stage.context, stage.rig, {STREAM: [f"{STREAM}/data"]})
    mishaps = Mishaps(ears, stage.process.event)

    def fail(times: int) -> None:
        for k in range(times):
            with mishaps.survived(STREAM if k % 2 else "camera"):
                raise KeyError("x")

    fail(MOST_IN_A_ROW - 1)
    with mishaps.survived(STREAM):
        pass
    fail(MOST_IN_A_ROW - 1)
    with pytest.raises(KeyError):
        fail(1)
    assert len(stage.events) == 4, "of each stream's first and tenth"
    with pytest.raises(KeyboardInterrupt), mishaps.survived(STREAM):
        raise KeyboardInterrupt
