"""The supervisor is killed: sensors and fusion go on, and another one takes them over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sensorfuse.nodes.recorder import log_parts
from sensorfuse.nodes.run_state import FILE, find_run

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import read_frames
from sensorfuse.rig import Rig

pytestmark = pytest.mark.alone


def wait_for(what, timeout_s: float = 60.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while not what() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert what()


def test_a_new_supervisor_takes_over_what_runs(small_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tempfile.mkdtemp(prefix="sf-")
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", folder)
    quick = {**small_rig.model_dump(), "recording": {"chunk_mb": 0.02}}  # the log grows as soon as frames come
    (tmp_path / "rig.yaml").write_text(Rig.model_validate(quick).to_yaml())
    out, rig_file = tmp_path / "out", str(tmp_path / "rig.yaml")
    command = [sys.executable, "-m", "sensorfuse.cli", "run", rig_file]
    first = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    fused = out / "fused.mcap"
    try:
        wait_for(lambda: fused.exists() and fused.stat().st_size > 50_000)
        with pytest.raises(SensorfuseError, match="has its supervisor"):
            find_run(small_rig)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    state, _ = find_run(small_rig)
    pids = state.running()
    assert {*small_rig.streams(), "align.0", "fusion.0", "recorder"} <= set(pids)
    size = fused.stat().st_size
    wait_for(lambda: fused.stat().st_size > size + 20_000)  # frames go on without any supervisor
    assert state.running() == pids
    os.kill(pids["align.1"], signal.SIGKILL)  # nobody is there to start it again

    second = subprocess.run([*command, "--attach", "--duration", "10"], capture_output=True, text=True, timeout=120)
    assert second.returncode == 0, second.stderr
    said = json.loads((out / "summary.json").read_text())
    events = [f"{e['process']}: {e['what']}" for e in said["events"]]
    assert any("took over" in e and str(first.pid) in e for e in events)
    assert any(e.startswith("align.1: back after") for e in events), events
    assert not any(" died" in e for e in events), events
    assert said["ledger_balanced"]
    assert log_parts(out, "fused") == [fused], "the recorder was never interrupted"
    ticks = [f.tick_id for f in read_frames(fused)]
    assert ticks == list(range(len(ticks)))
    assert len(ticks) >= said["ticks_expected"] - 1 > 60
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())
    assert not (Path(folder) / FILE).exists()


def test_no_run_to_take_over(small_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    with pytest.raises(SensorfuseError, match="no run of rig 'synthetic' to take over"):
        find_run(small_rig)
