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


def test_a_folder_open_to_others_is_closed_or_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir(mode=0o755)
    given.chmod(0o755)
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", str(given))
    with pytest.raises(SensorfuseError, match=r"other users may enter.*mode 755"):
        run_folder(rig)
    assert given.stat().st_mode & 0o777 == 0o755, "a folder that the user named is left as it is"
    monkeypatch.delenv("SENSORFUSE_RUN_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = tmp_path / f"sensorfuse-{os.getuid()}"
    home.mkdir()
    home.chmod(0o777)
    assert run_folder(rig).parent == home
    assert home.stat().st_mode & 0o077 == 0


def test_a_link_is_no_folder_for_sockets(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", str(tmp_path / "link"))
    with pytest.raises(SensorfuseError, match="is a link"):
        run_folder(rig)


def test_a_folder_of_another_user_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(SensorfuseError, match="another user"):
        run_folder(rig)
