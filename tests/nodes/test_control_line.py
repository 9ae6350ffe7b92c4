"""Who may speak for which process on the supervisor's line, with real sockets and keys."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from sensorfuse.nodes.control_line import ControlLine, own_identity

from sensorfuse.endpoints import connect, make_socket
from sensorfuse.keys import KEYS_DIR_VARIABLE, KeyRing
from sensorfuse.rig import Rig
from sensorfuse.wire import pack, unpack

HOSTS = {"roof": ["lidar"], "cellar": ["radar"]}


@pytest.fixture
def rig(synthetic_rig: Rig, free_port: int) -> Rig:
    """The pipeline on `brain`, the LiDAR on `roof`, the radar on `cellar`; all know each other."""
    endpoints = {
        "control": "tcp://127.0.0.1",
        "port": free_port,
        "key": "brain",
        "hosts": {name: {"address": "tcp://127.0.0.2", "streams": streams} for name, streams in HOSTS.items()},
    }
    return Rig.model_validate({**synthetic_rig.model_dump(), "endpoints": endpoints})


class Line:
    """The supervisor's end, and processes of any host that connect to it under any name."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.rig, self.folder, self._monkeypatch = rig, folder, monkeypatch
        self.context: Any = zmq.Context()
        self.events: list[str] = []
        self.use_keys_of("brain")
        self.line = ControlLine(self.context, rig, lambda process, what: self.events.append(f"{process}: {what}"))
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._kept: list[Any] = []  # a socket that nobody holds closes

    def use_keys_of(self, host: str) -> None:
        self._monkeypatch.setenv(KEYS_DIR_VARIABLE, str(self.folder / host))

    def process(self, host: str, name: str, identity: bytes | None = None) -> Any:
        self.use_keys_of(host)
        out = make_socket(self.context, zmq.DEALER, 0)
        out.setsockopt(zmq.IDENTITY, identity or own_identity(name))
        connect(out, self.rig, "control")
        self.use_keys_of("brain")
        self._kept.append(out)
        return out

    def listen(self, until: Any, wait_s: float = 20.0) -> bool:
        """Take words until a condition holds."""
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            self.line.wait(20)
            self.heard += self.line.words()
            if until():
                return True
        return False

    def close(self) -> None:
        self.line.close()
        self.context.destroy(0)


@pytest.fixture
def line(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    rings = {name: KeyRing(tmp_path / name) for name in ("brain", *HOSTS)}
    publics = {name: ring.make(name) for name, ring in rings.items()}
    for name, ring in rings.items():
        for other, public in publics.items():
            if other != name:
                ring.allow(other, public)
    out = Line(rig, monkeypatch, tmp_path)
    yield out
    out.close()


def test_a_host_speaks_for_its_own_processes(line: Line) -> None:
    for host, name in (("brain", "align.0"), ("brain", "camera"), ("roof", "lidar"), ("cellar", "radar")):
        line.process(host, name).send(pack({"kind": "ready", "pid": 1}))
        assert line.listen(lambda name=name: line.heard and line.heard[-1][0] == name), name
    assert line.line.refused == {}
    asking = line.process("roof", "lidar/time")
    asking.send(pack({"kind": "time", "number": 3, "t1": 4}))
    assert line.listen(lambda: asking.poll(0))
    assert unpack(asking.recv())["number"] == 3


@pytest.mark.parametrize(
    "name", ["align.0", "fusion.1", "recorder", "camera", "radar", "radar/time", "nobody", "lidar/x"]
)
def test_a_host_does_not_speak_for_others(line: Line, name: str) -> None:
    forger, honest = line.process("roof", name), line.process("roof", "lidar")
    for _ in range(12):
        forger.send(pack({"kind": "done" if "time" not in name else "time", "number": 1, "t1": 1, "pid": 1}))
    assert line.listen(lambda: line.line.refused["roof"] == 12)
    honest.send(pack({"kind": "ready"}))
    assert line.listen(lambda: line.heard)
    assert {heard for heard, _ in line.heard} == {"lidar"}
    assert not forger.poll(50), "nor is it told the time"
    assert len(line.events) == 2, "of the first and of the tenth"
    assert line.events[0].startswith(f"supervisor: roof spoke for {name!r}")


def test_the_pipelines_own_host_does_not_speak_for_others_either(line: Line) -> None:
    line.process("brain", "lidar").send(pack({"kind": "ready"}))
    assert line.listen(lambda: line.line.refused["brain"] == 1)
    assert line.heard == []


def test_without_keys_names_are_believed(synthetic_rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    context: Any = zmq.Context()
    line = ControlLine(context, synthetic_rig, lambda *_: None)
    peer = make_socket(context, zmq.DEALER, 0)
    peer.setsockopt(zmq.IDENTITY, own_identity("lidar"))
    connect(peer, synthetic_rig, "control")
    peer.send(pack({"kind": "ready"}))
    line.wait(20_000)
    assert [name for name, _ in line.words()] == ["lidar"]
    line.close()
    context.destroy(0)


def test_nobody_keeps_a_process_from_being_heard_by_being_there_before_it(line: Line) -> None:
    squatter = line.process("cellar", "lidar", b"lidar")
    squatter.send(pack({"kind": "ready"}))
    assert line.listen(lambda: line.line.refused["cellar"] == 1)
    honest = line.process("roof", "lidar")
    honest.send(pack({"kind": "ready"}))
    assert line.listen(lambda: line.heard)
    squatter.send(pack({"kind": "ready"}))
    assert line.listen(lambda: line.line.refused["cellar"] == 2)
    line.line.tell("lidar", {"kind": "start"})
    assert honest.poll(5000)
    assert unpack(honest.recv()) == {"kind": "start"}
    assert not squatter.poll(50)


def test_a_process_that_comes_back_is_told_where_it_is_now(line: Line) -> None:
    first, second = line.process("roof", "lidar"), line.process("roof", "lidar")
    for k, process in enumerate((first, second)):
        process.send(pack({"kind": "hello", "number": k}))
        assert line.listen(lambda k=k: line.heard and line.heard[-1][1]["number"] == k)
    line.line.tell("lidar", {"kind": "start"})
    assert second.poll(5000)
    assert not first.poll(50)
