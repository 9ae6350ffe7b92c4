"""The wire's decoders as targets. An input is a multipart message: for each part its length (32 bits) and bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from sensorfuse.fuzz.log_seeds import fused_frame, samples
from sensorfuse.fuzz.target import Harness, Target
from sensorfuse.messages import FusedFrame, StreamTick, Tick
from sensorfuse.wire import (
    Envelope,
    WireError,
    decode_data,
    decode_meta,
    decode_record,
    encode_data,
    encode_meta,
    encode_record,
    envelope_of,
    pack,
    unpack,
)

MAX_PARTS = 40


def joined(frames: list[Any]) -> bytes:
    return b"".join(struct.pack("<I", memoryview(f).nbytes) + bytes(f) for f in frames)


def parted(data: bytes) -> list[bytes]:
    """Any bytes are a message: a length that leads past the end takes what there is."""
    out: list[bytes] = []
    at = 0
    while at + 4 <= len(data) and len(out) < MAX_PARTS:
        (size,) = struct.unpack_from("<I", data, at)
        out.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return out or [b""]


class _Message:
    """Topic, header as a tree, arrays."""

    def parse(self, data: bytes) -> Any:
        topic, header, *arrays = parted(data)
        try:
            return [topic, msgpack.unpackb(header), arrays]
        except (ValueError, msgpack.UnpackException):
            raise ValueError("no header") from None

    def build(self, tree: Any) -> bytes:
        topic, header, arrays = tree
        return joined([topic, msgpack.packb(header), *arrays])


class _Packed:
    """One packed value, as the supervisor and its processes exchange."""

    def parse(self, data: bytes) -> Any:
        try:
            return msgpack.unpackb(data)
        except msgpack.UnpackException:
            raise ValueError("no value") from None

    def build(self, tree: Any) -> bytes:
        return bytes(msgpack.packb(tree))


def _envelopes() -> list[tuple[Envelope, dict[str, Any]]]:
    signature = {"level": 0.3, "ego_velocity_mps": np.zeros(3), "rows": np.zeros((2, 4), np.float32)}
    out = [(envelope_of(s, 5, 9, signature=signature), s.arrays) for s in samples()]
    return [*out, (envelope_of(samples()[0], 5, 9, problem="empty payload"), {})]


def tick() -> Tick:
    streams = [StreamTick("lidar", "lidar", "ok", 1, [4, 5], -5, 6, 7), StreamTick("cam", "camera", "missing")]
    return Tick(1, 2, 3, False, streams, np.eye(4), np.zeros(6), np.full(6, np.inf), [("lidar", 1, 3, "superseded")])


def _target(name: str, what: str, seeds: Callable[[], list[bytes]], decode: Callable[[list[bytes]], Any]) -> Target:
    def opened(_: Path) -> Harness:
        return Harness(seeds(), lambda data: decode(parted(data)), (WireError,), _Message())

    return Target(f"wire_{name}", what, opened, share=40)


def _command(_: Path) -> Harness:
    seeds = [
        pack({"kind": "start", "clock": {"kind": "host", "offset_ns": 3, "rate": 1.0}, "origin_ns": 7, "active": True}),
        pack({"kind": "status", "pid": 3, "received": {"lidar": 3}, "time": {"state": "locked", "sigma_ns": 3.5}}),
        pack({"number": 3, "t1": 1, "t2": 2, "t3": 1 << 60, "array": np.zeros(3)}),
    ]
    return Harness(seeds, lambda data: unpack(data), (WireError,), _Packed())


TARGETS = (
    _target("meta", "sample headers", lambda: [joined(encode_meta(e)) for e, _ in _envelopes()], decode_meta),
    _target("data", "samples", lambda: [joined(encode_data(e, a)) for e, a in _envelopes()], decode_data),
    _target("tick", "ticks", lambda: [joined(encode_record("tick", tick()))], lambda parts: decode_record(parts, Tick)),
    _target(
        "frame",
        "fused frames",
        lambda: [joined(encode_record("fused", fused_frame()))],
        lambda parts: decode_record(parts, FusedFrame),
    ),
    _target(
        "map",
        "maps between processes",
        lambda: [joined(encode_record("timing", {"tick_id": 3, "durations_ns": {"fuse": 3}, "dispositions": []}))],
        lambda parts: decode_record(parts, dict),
    ),
    Target("wire_command", "what supervisor and processes say to each other", _command, share=40),
)
