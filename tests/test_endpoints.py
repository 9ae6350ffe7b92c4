"""Endpoints: one address each, and no two processes on one of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import zmq

from sensorfuse.endpoints import address, bind, names, run_folder
from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import Rig


@pytest.fixture
def rig(synthetic_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    return synthetic_rig


def tcp(rig: Rig, port: int) -> Rig:
    return Rig.model_validate({**rig.model_dump(), "endpoints": {"base": "tcp://127.0.0.1", "port": port}})


@pytest.mark.parametrize("kind", ["ipc", "tcp"])
def test_every_endpoint_has_its_own_address(rig: Rig, kind: str) -> None:
    used = tcp(rig, 7600) if kind == "tcp" else rig
    addresses = [address(used, n) for n in names(used)]
    assert len(set(addresses)) == len(addresses)


def test_folder_is_for_this_user_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", str(tmp_path / "new"))
    assert run_folder(rig).stat().st_mode & 0o077 == 0


def test_long_path_is_refused_in_words(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", str(tmp_path / ("x" * 120)))
    with pytest.raises(SensorfuseError, match="too long"):
        address(rig, "lidar")


def test_ipc_endpoint_is_held_by_one_process(rig: Rig) -> None:
    context = zmq.Context()
    try:
        lock = bind(context.socket(zmq.PUB), rig, "lidar")
        assert lock is not None
        code = (
            "import zmq, sys\nfrom sensorfuse.rig import shipped_rig\nfrom sensorfuse.endpoints import bind\n"
            "c = zmq.Context()\n"
            "try:\n    bind(c.socket(zmq.PUB), shipped_rig('synthetic'), 'lidar')\n"
            "except Exception as e:\n    print(e)\nc.destroy()\n"
        )
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert f"in use by process {os.getpid()}" in other.stdout, other.stderr
        lock.close()
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert other.stdout == ""
    finally:
        context.destroy()


def test_tcp_port_in_use_is_named(rig: Rig) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        context = zmq.Context()
        try:
            with pytest.raises(SensorfuseError, match=f"port {port} is in use"):
                bind(context.socket(zmq.PUB), tcp(rig, port - names(rig).index("radar")), "radar")
        finally:
            context.destroy()
