"""The wire: what goes in comes out, and what does not follow the schema is refused before anything is allocated."""

from __future__ import annotations

import dataclasses

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from sensorfuse.messages import Detections, FusedFrame, Sample, SoundEvent, StreamTick, StreamUse, Tick
from sensorfuse.wire import (
    MAX_HEADER_BYTES,
    Envelope,
    WireError,
    decode_data,
    decode_meta,
    decode_record,
    encode_data,
    encode_meta,
    encode_record,
    envelope_of,
    receive,
)

MODALITY, SEQ, META = ([f.name for f in dataclasses.fields(Envelope)].index(n) for n in ("modality", "seq", "meta"))


def lidar_sample() -> Sample:
    rng = np.random.default_rng(0)
    arrays = {
        "points": rng.normal(size=(100, 3)).astype(np.float32),
        "time_ns": np.arange(100, dtype=np.int32),
    }
    return Sample("lidar", "lidar", 3, 10**18, 10**18 + 5, "lidar_link", arrays, {"note": "x"}, "start", "cal-1")


def as_bytes(frames: list) -> list[bytes]:
    return [bytes(f) for f in frames]


def test_sample_round_trip_shares_no_copy() -> None:
    sample = lidar_sample()
    frames = encode_data(envelope_of(sample, boot=9, publish_ns=1, order=4), sample.arrays)
    envelope, back = decode_data(as_bytes(frames))
    assert (envelope.boot, envelope.order, envelope.duration_ns) == (9, 4, 99)
    for field in dataclasses.fields(Sample):
        if field.name != "arrays":
            assert getattr(back, field.name) == getattr(sample, field.name)
    assert all(np.array_equal(back.arrays[k], v) and back.arrays[k].dtype == v.dtype for k, v in sample.arrays.items())


@pytest.mark.parametrize("shift", range(4))
def test_arrays_are_aligned_wherever_their_frame_lies(shift: int) -> None:
    sample = lidar_sample()
    frames = as_bytes(encode_data(envelope_of(sample, 0, 0), sample.arrays))
    moved = [memoryview(bytes(shift) + f)[shift:] if i > 1 else f for i, f in enumerate(frames)]
    _, back = decode_data(moved)
    for name, array in back.arrays.items():
        assert array.flags.aligned
        assert np.array_equal(array, sample.arrays[name])


def test_meta_carries_no_payload() -> None:
    sample = lidar_sample()
    envelope = envelope_of(sample, 1, 2, signature={"level": 3.0})
    frames = encode_meta(envelope)
    assert frames[0] == b"lidar/meta"
    assert decode_meta(frames) == envelope
    assert sum(map(len, frames)) < 512


def test_imu_and_audio_durations() -> None:
    imu = Sample("imu", "imu", 0, 0, 0, "f", {"time_ns": np.arange(5, dtype=np.int64) * 5_000_000})
    assert envelope_of(imu, 0, 0).duration_ns == 25_000_000
    audio = Sample("mic", "audio", 0, 0, 0, "f", {"pcm": np.zeros((800, 4), np.float32)}, {"sample_rate_hz": 16000})
    assert envelope_of(audio, 0, 0).duration_ns == 50_000_000


def fused_frame() -> FusedFrame:
    rng = np.random.default_rng(1)
    n = 3
    objects = Detections(
        np.array([0, 1, 2], np.uint8), rng.random(n).astype(np.float32), rng.normal(size=(n, 3)), rng.random((n, 3)),
        rng.normal(size=n), np.full((n, 2), np.nan), rng.random((n, 4, 4)), np.arange(n),
    )  # fmt: skip
    use = StreamUse("lidar", "lidar", False, "idle", 0, 0, 0, 0.0)
    return FusedFrame(
        7, 10**18, objects, Detections.empty(), np.zeros(6), np.full(6, np.inf), np.eye(4), [SoundEvent("siren", 0.1,
        0.9)], [use], "late", "", "numpy", "float64", True, "no_lidar", {"fuse": 3}, [("lidar", 1, 2, "fused")],
    )  # fmt: skip


def test_fused_frame_and_tick_round_trip() -> None:
    frame = fused_frame()
    back = decode_record(encode_record("fused", frame), FusedFrame)
    assert back.dispositions == frame.dispositions
    assert back.uses == frame.uses
    assert back.sounds == frame.sounds
    for field in dataclasses.fields(Detections):
        assert np.array_equal(
            getattr(back.detections, field.name),
            getattr(frame.detections, field.name),
            equal_nan=field.name == "velocity",
        )
    tick = Tick(
        1,
        2,
        3,
        False,
        [StreamTick("lidar", "lidar", "ok", 1, [4], -5, 6, 7)],
        np.eye(4),
        np.zeros(6),
        np.full(6, np.inf),
    )
    again = decode_record(encode_record("tick", tick), Tick)
    assert again.streams == tick.streams
    assert np.array_equal(again.twist_sigma, tick.twist_sigma)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h.update(v=99), "wire version 99"),
        (lambda h: h["body"].__setitem__(SEQ, "1"), "Envelope.seq: expected int, got str"),
        (lambda h: h["body"].__setitem__(SEQ, -1), "negative"),
        (lambda h: h["body"].__setitem__(MODALITY, "sonar"), "sonar"),
        (lambda h: h["body"].__setitem__(META, []), "Envelope.meta: expected a map, got list"),
        (lambda h: h["body"].__setitem__(META, {1: "x"}), "Envelope.meta.1: expected str, got int"),
        (lambda h: h["body"].pop(), "the 18 fields stream, .* got 17 values"),
        (lambda h: h["body"].append(1), "the 18 fields stream, .* got 19 values"),
        (lambda h: h.update(body={}), "the 18 fields stream, .* got dict"),
        (lambda h: h["arrays"][0].__setitem__(1, "|O"), "dtype"),
        (lambda h: h["arrays"][0].__setitem__(2, [1 << 30, 1 << 30]), "needs"),
        (lambda h: h["arrays"][0].__setitem__(2, [-1, 3]), "shape"),
        (lambda h: h["arrays"].pop(), "declares"),
        (lambda h: h.update(arrays=3), "declares"),
    ],
)
def test_a_changed_header_is_refused_in_words(change, words: str) -> None:
    sample = lidar_sample()
    frames = as_bytes(encode_data(envelope_of(sample, 1, 2), sample.arrays))
    header = msgpack.unpackb(frames[1])
    change(header)
    frames[1] = msgpack.packb(header)
    with pytest.raises(WireError, match=words):
        decode_data(frames)


def test_oversized_header_is_refused_on_both_sides() -> None:
    sample = lidar_sample()
    sample.meta = {"blob": "x" * MAX_HEADER_BYTES}
    with pytest.raises(WireError, match="exceeds"):
        encode_data(envelope_of(sample, 1, 2), sample.arrays)
    with pytest.raises(WireError, match="exceeds"):
        decode_meta([b"lidar/meta", b"x" * (MAX_HEADER_BYTES + 1)])


def test_messages_are_received_whole_one_by_one_until_none_waits() -> None:
    with zmq.Context() as context, context.socket(zmq.PAIR) as sender, context.socket(zmq.PAIR) as receiver:
        sender.bind("inproc://parts")
        receiver.connect("inproc://parts")
        sent = [[b"one"], [b"a/meta", b"header"], [b"a/data", b"header", b"", b"x" * 100_000]]
        for frames in sent:
            sender.send_multipart(frames)
        assert [as_bytes(receive(receiver) or []) for _ in sent] == sent
        assert receive(receiver) is None


@given(st.lists(st.binary(max_size=200), min_size=0, max_size=5))
def test_random_bytes_raise_nothing_else(frames: list[bytes]) -> None:
    for decode in (decode_data, decode_meta, lambda f: decode_record(f, Tick), lambda f: decode_record(f, FusedFrame)):
        with pytest.raises(WireError):
            decode(frames)


@given(st.data())
def test_flipped_bytes_raise_wire_error_or_decode(data) -> None:
    sample = lidar_sample()
    frames = as_bytes(encode_data(envelope_of(sample, 1, 2), sample.arrays))
    header = bytearray(frames[1])
    for _ in range(data.draw(st.integers(1, 4))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    frames[1] = bytes(header)
    try:
        envelope, back = decode_data(frames)
    except WireError:
        return
    assert isinstance(envelope, Envelope)
    assert isinstance(back, Sample)
