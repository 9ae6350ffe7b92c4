"""A sensor on another host, over tcp with keys: its own address, its own folders, started by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sensorfuse.nodes.plan import RunPlan
from sensorfuse.nodes.supervisor import Supervisor

from sensorfuse.keys import KEYS_DIR_VARIABLE, KeyRing
from sensorfuse.rig import Rig

pytestmark = pytest.mark.alone


def test_a_sensor_joins_from_another_host(
    small_rig: Rig, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings = {name: KeyRing(tmp_path / name) for name in ("brain", "roof")}
    publics = {name: ring.make(name) for name, ring in rings.items()}
    rings["roof"].allow("brain", publics["brain"])
    rings["brain"].allow("roof", publics["roof"])
    hosts = {"roof": {"address": "tcp://127.0.0.2", "streams": ["imu"]}}
    endpoints = {"control": "tcp://127.0.0.1", "port": free_port, "key": "brain", "hosts": hosts}
    rig = Rig.model_validate({**small_rig.model_dump(), "endpoints": endpoints})
    file = tmp_path / "rig.yaml"
    file.write_text(rig.to_yaml())
    command = [sys.executable, "-m", "sensorfuse.nodes.imu", "--rig", str(file)]
    command += ["--control", "0", "--control-host", "roof", "--rejoin"]
    folders = {KEYS_DIR_VARIABLE: str(tmp_path / "roof"), "SENSORFUSE_RUN_DIR": tempfile.mkdtemp(prefix="sf-")}
    sensor = subprocess.Popen(command, env={**os.environ, **folders}, stderr=subprocess.PIPE, text=True)
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    monkeypatch.setenv(KEYS_DIR_VARIABLE, str(tmp_path / "brain"))
    try:
        outcome = Supervisor(RunPlan(rig, "run", tmp_path / "out", duration_s=6)).run()
        assert sensor.wait(20) == 0, "it is told when the run ends"
    finally:
        sensor.kill()
        sensor.communicate()
    counts = outcome.collector.received_total()
    joined = any("joined from the host roof" in e.what for e in outcome.events)
    assert joined, [e.what for e in outcome.events]
    assert counts["imu"] > 0
    assert counts["lidar"] > 0
    assert outcome.exchanges["imu"]["exchanges"] > 0
    assert len(outcome.collector.frame_ids) > 30
