"""Forged, replayed, huge and meaningless messages on real sockets: none counts, all the others do."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from sensorfuse.nodes import ears as ears_module
from sensorfuse.nodes.ears import Ears

from sensorfuse.endpoints import MAX_RECORD_BYTES, Bound, bind, make_socket
from sensorfuse.fusion.warm_up import typical_sample
from sensorfuse.rig import Rig
from sensorfuse.wire import Envelope, WireError, decode_data, decode_meta, encode_data, encode_meta, envelope_of

STREAMS = ("lidar", "imu")


class Stage:
    """Publishers of two streams, and who hears them."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.context: Any = zmq.Context()
        self.sockets: dict[str, Any] = {}
        self.bounds: list[Bound] = []
        for stream in STREAMS:
            self.sockets[stream] = make_socket(self.context, zmq.PUB, 1000)
            self.bounds.append(bind(self.sockets[stream], rig, stream))
        self.ears = Ears(self.context, rig, {s: [f"{s}/meta", f"{s}/data"] for s in STREAMS})
        self.heard: list[tuple[str, Envelope]] = []
        self.seq = 0
        for stream in STREAMS:
            assert self.gets_through(stream)

    def good(self, stream: str, boot: int = 5) -> list[Any]:
        sample = typical_sample(self.rig, stream)
        self.seq += 1
        sample.seq = self.seq
        return encode_data(envelope_of(sample, boot, 0), sample.arrays)

    def say(self, stream: str, frames: list[Any]) -> None:
        self.sockets[stream].send_multipart(frames)

    def listen(self) -> None:
        for stream, frames in self.ears.receive(1000):
            try:
                if bytes(frames[0]).endswith(b"/data"):
                    envelope, sample = decode_data(frames)
                else:
                    envelope, sample = decode_meta(frames), None
            except WireError:
                self.ears.refuse(stream, "not of the schema")
                continue
            if self.ears.admits(stream, envelope, sample):
                self.heard.append((stream, envelope))

    def gets_through(self, stream: str, boot: int = 5) -> bool:
        """Whether a sound message of this stream counts, said again until it does; all that came before is heard."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.say(stream, self.good(stream, boot))
            number = self.seq
            for _ in range(5):
                self.ears.poll(10)
                self.listen()
                if any(s == stream and e.seq == number for s, e in self.heard):
                    return True
        return False

    def close(self) -> None:
        self.ears.close()
        for socket in self.sockets.values():
            socket.close(0)
        for bound in self.bounds:
            bound.close()
        self.context.destroy(0)


@pytest.fixture
def stage(synthetic_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    out = Stage(synthetic_rig)
    out.heard.clear()
    yield out
    out.close()


def test_a_header_that_names_another_stream_is_refused(stage: Stage) -> None:
    _, *rest = stage.good("imu")
    stage.say("lidar", [b"lidar/data", *rest])
    assert stage.gets_through("lidar")
    assert {s for s, _ in stage.heard} == {"lidar"}
    assert stage.ears.refusals() == {"lidar: stream of another": 1}


def test_nobody_speaks_on_the_topic_of_another(stage: Stage) -> None:
    for _ in range(5):
        stage.say("lidar", stage.good("imu"))
    stage.say("lidar", [b"lidar/metadata", b"x"])
    assert stage.gets_through("lidar")
    assert {s for s, _ in stage.heard} == {"lidar"}
    assert stage.ears.refusals() == {"lidar: topic of another": 1}, "the other's topic was not even asked for here"


def test_an_old_incarnation_is_refused_once_its_last_words_are_in(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = stage.good("lidar", boot=5)
    assert stage.gets_through("lidar", boot=6)
    stage.say("lidar", recorded)  # may still have been under way
    assert stage.gets_through("lidar", boot=6)
    assert stage.ears.refusals() == {}
    monkeypatch.setattr(ears_module, "LATE_WORDS_S", 0.0)
    stage.heard.clear()
    for _ in range(3):
        stage.say("lidar", recorded)
    assert stage.gets_through("lidar", boot=6)
    assert {e.boot for _, e in stage.heard} == {6}
    assert stage.ears.refusals() == {"lidar: old incarnation": 3}


def test_payloads_that_break_their_contract_are_refused(stage: Stage) -> None:
    sample = typical_sample(stage.rig, "imu")
    sample.arrays["gyro_radps"] = np.full((3, 7), np.nan)
    stage.say("imu", encode_data(envelope_of(sample, 5, 0), sample.arrays))
    camera = dataclasses.replace(typical_sample(stage.rig, "lidar"), modality="camera")
    stage.say("lidar", encode_meta(envelope_of(camera, 5, 0)))
    for stream in STREAMS:
        assert stage.gets_through(stream)
    assert stage.ears.refusals() == {"imu: unsound payload": 1, "lidar: another modality": 1}


def test_noise_is_counted(stage: Stage) -> None:
    for part in (b"", b"\xc1" * 9, b"\x9f" * 40, bytes(70_000)):
        stage.say("lidar", [b"lidar/data", part])
    stage.say("lidar", [b"lidar/meta"] + [b"x"] * 30)
    assert stage.gets_through("lidar")
    assert stage.ears.refusals() == {"lidar: not of the schema": 5}


def test_a_huge_part_ends_its_connection_and_nothing_else(stage: Stage) -> None:
    """The receiver drops it on its announced length, and joins anew."""
    small = make_socket(stage.context, zmq.ROUTER, 10)
    bound = bind(small, stage.rig, "control")
    peer = stage.context.socket(zmq.DEALER)
    peer.connect(small.getsockopt_string(zmq.LAST_ENDPOINT))
    peer.send(bytes(MAX_RECORD_BYTES + 1))
    assert not small.poll(300)
    peer.send(b"word")
    assert small.poll(10_000)
    assert small.recv_multipart()[-1] == b"word"
    peer.close(0)
    small.close(0)
    bound.close()
    assert stage.gets_through("lidar")


def test_a_person_hears_of_the_first_and_then_ever_more_rarely(stage: Stage) -> None:
    told = [n for n in range(1, 1001) if stage.ears.refuse("lidar", "x")]
    assert told == [1, 10, 100, 1000]
