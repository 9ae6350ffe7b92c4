"""Who is let in on tcp, with real sockets: a known host, and nobody else."""

from __future__ import annotations

import socket as sockets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from sensorfuse.endpoints import address, bind, connect, make_socket, names
from sensorfuse.errors import SensorfuseError
from sensorfuse.keys import KEYS_DIR_VARIABLE, KeyRing
from sensorfuse.rig import Rig

WORD = b"lidar/meta"


@pytest.fixture
def context() -> Iterator[Any]:
    out: Any = zmq.Context()
    yield out
    out.destroy(0)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Key folders of two hosts that know each other, and of one that knows both and is known to none."""
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", str(tmp_path / "run"))
    folders = {name: tmp_path / name for name in ("brain", "roof", "stranger")}
    publics = {name: KeyRing(folder).make(name) for name, folder in folders.items()}
    for name, other in (("brain", "roof"), ("roof", "brain"), ("stranger", "brain"), ("stranger", "roof")):
        KeyRing(folders[name]).allow(other, publics[other])
    return folders


@pytest.fixture
def rig(synthetic_rig: Rig, free_port: int) -> Rig:
    """The pipeline on 127.0.0.1, the LiDAR on a host at 127.0.0.2."""
    endpoints = {
        "base": "ipc",
        "control": "tcp://127.0.0.1",
        "port": free_port,
        "key": "brain",
        "hosts": {"roof": {"address": "tcp://127.0.0.2", "streams": ["lidar"]}},
    }
    return Rig.model_validate({**synthetic_rig.model_dump(), "endpoints": endpoints})


class Publisher:
    """The LiDAR's socket on its own host."""

    def __init__(self, context: Any, rig: Rig) -> None:
        self.socket = make_socket(context, zmq.PUB, 100)
        self.bound = bind(self.socket, rig, "lidar")

    def reaches(self, ear: Any, wait_s: float) -> bool:
        """Whether anything that is said arrives there within the time."""
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            self.socket.send(WORD)
            if ear.poll(20):
                return True
        return False

    def refused_within(self, wait_s: float) -> int:
        end = time.monotonic() + wait_s
        while time.monotonic() < end and not self.bound.refused:
            time.sleep(0.02)
        return self.bound.refused

    def close(self) -> None:
        self.socket.close(0)
        self.bound.close()


@pytest.fixture
def publisher(context: Any, rig: Rig, hosts: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv(KEYS_DIR_VARIABLE, str(hosts["roof"]))
    out = Publisher(context, rig)
    yield out
    out.close()


def ear_of(context: Any) -> Any:
    ear = make_socket(context, zmq.SUB, 100)
    ear.setsockopt(zmq.SUBSCRIBE, b"")
    return ear


def test_a_known_host_hears_and_is_heard(
    context: Any, rig: Rig, hosts: dict[str, Path], publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert address(rig, "lidar") == f"tcp://127.0.0.2:{rig.endpoints.port + names(rig).index('lidar')}"
    assert address(rig, "camera").startswith("ipc://")
    monkeypatch.setenv(KEYS_DIR_VARIABLE, str(hosts["brain"]))
    ear = ear_of(context)
    connect(ear, rig, "lidar")
    assert publisher.reaches(ear, 20)
    assert publisher.bound.refused == 0


def test_a_host_that_is_not_known_gets_nothing(
    context: Any, rig: Rig, hosts: dict[str, Path], publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS_DIR_VARIABLE, str(hosts["stranger"]))
    ear = ear_of(context)
    connect(ear, rig, "lidar")
    assert publisher.refused_within(20) > 0
    assert not publisher.reaches(ear, 0.3)


def test_a_peer_without_a_key_gets_nothing(context: Any, rig: Rig, publisher: Publisher) -> None:
    ear = ear_of(context)
    ear.connect(address(rig, "lidar"))
    assert publisher.refused_within(20) > 0
    assert not publisher.reaches(ear, 0.3)


def test_a_peer_that_expects_another_server_gets_nothing(context: Any, rig: Rig, publisher: Publisher) -> None:
    """As one does that was told a wrong key; and nobody in the place of the true server is believed to be it."""
    ear = ear_of(context)
    public, secret = zmq.curve_keypair()
    ear.curve_serverkey, ear.curve_publickey, ear.curve_secretkey = zmq.curve_keypair()[0], public, secret
    ear.connect(address(rig, "lidar"))
    assert publisher.refused_within(20) > 0
    assert not publisher.reaches(ear, 0.3)


def test_noise_on_the_port_is_counted_and_the_rest_goes_on(
    context: Any, rig: Rig, hosts: dict[str, Path], publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = address(rig, "lidar").removeprefix("tcp://").split(":")
    with sockets.create_connection((host, int(port))) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 20)
        monkeypatch.setenv(KEYS_DIR_VARIABLE, str(hosts["brain"]))
        ear = ear_of(context)
        connect(ear, rig, "lidar")
        assert publisher.reaches(ear, 20)


def test_a_host_is_forgotten_from_its_next_connection_on(
    context: Any, rig: Rig, hosts: dict[str, Path], publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    KeyRing(hosts["roof"]).forget("brain")
    monkeypatch.setenv(KEYS_DIR_VARIABLE, str(hosts["brain"]))
    ear = ear_of(context)
    connect(ear, rig, "lidar")
    assert publisher.refused_within(20) > 0
    KeyRing(hosts["roof"]).allow("brain", KeyRing(hosts["brain"]).own()[1].decode())
    late = ear_of(context)
    connect(late, rig, "lidar")
    assert publisher.reaches(late, 20)


def test_one_socket_may_reach_hosts_with_and_without_keys(
    context: Any, rig: Rig, hosts: dict[str, Path], publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS_DIR_VARIABLE, str(hosts["brain"]))
    near = make_socket(context, zmq.PUB, 10)
    bound = bind(near, rig, "camera")
    ear = ear_of(context)
    connect(ear, rig, "lidar")
    connect(ear, rig, "camera")
    assert publisher.reaches(ear, 20)
    end = time.monotonic() + 20
    heard = b""
    while heard != b"near" and time.monotonic() < end:
        near.send(b"near")
        heard = ear.recv() if ear.poll(20) else b""
    assert heard == b"near"
    near.close(0)
    bound.close()


def test_a_host_binds_its_own_endpoints_alone(
    context: Any, rig: Rig, hosts: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(KEYS_DIR_VARIABLE, str(hosts["brain"]))
    with pytest.raises(SensorfuseError, match=r"one of the host 'roof'; the key of this host is called 'brain'"):
        bind(make_socket(context, zmq.PUB, 1), rig, "lidar")
    monkeypatch.setenv(KEYS_DIR_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(SensorfuseError, match="sensorfuse keys make"):
        bind(make_socket(context, zmq.PUB, 1), rig, "lidar")


@pytest.mark.parametrize(
    ("endpoints", "words"),
    [
        ({"base": "tcp://10.0.0.1"}, "listens beyond this host, which needs keys"),
        ({"base": "tcp://robot"}, "listens beyond this host, which needs keys"),
        ({"base": "tcp://*"}, "expected 'ipc'"),
        ({"base": "tcp://0.0.0.0", "key": "brain"}, "no address of one interface"),
        ({"base": "tcp://10.0.0.1:80", "key": "brain"}, "without a port"),
        ({"control": "tcp://10.0.0.1"}, "listens beyond this host"),
        ({"hosts": {"roof": {"address": "tcp://10.0.0.2", "streams": ["lidar"]}}}, "name that of this host"),
        (
            {"key": "brain", "hosts": {"roof": {"address": "tcp://10.0.0.2", "streams": ["lidar"]}}},
            "other hosts cannot reach ipc sockets",
        ),
        (
            {"base": "tcp://10.0.0.1", "key": "b", "hosts": {"roof": {"address": "tcp://10.0.0.2", "streams": ["x"]}}},
            "names x, which no sensor",
        ),
        (
            {"base": "tcp://10.0.0.1", "key": "b", "hosts": {"b": {"address": "tcp://10.0.0.2", "streams": ["lidar"]}}},
            "is the host that the pipeline runs on",
        ),
    ],
)
def test_a_rig_with_an_open_door_is_refused(synthetic_rig: Rig, endpoints: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Rig.model_validate({**synthetic_rig.model_dump(), "endpoints": endpoints})
