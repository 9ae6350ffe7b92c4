"""The whole pipeline with real processes and sockets, on the synthetic rig, live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sensorfuse.nodes.recorder import log_parts
from sensorfuse.nodes.supervisor import Outcome, RunPlan, Supervisor

from sensorfuse.errors import SensorfuseError
from sensorfuse.inject.fault import parse_fault
from sensorfuse.log import read_frames
from sensorfuse.rig import Rig

pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
def own_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Sockets of this test alone, in a path short enough for the system."""
    import tempfile

    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))


def frames_of(out: Path) -> list:
    return [f for path in log_parts(out, "fused") for f in read_frames(path)]


def check_ledger(outcome: Outcome, rig: Rig) -> None:
    for stream in rig.streams():
        assert outcome.collector.ledger.published(stream) > 0, stream
        assert outcome.collector.received_total()[stream] > 0, stream
    assert not any(outcome.unaccounted(rig).values())


def test_every_tick_is_published_and_every_sample_accounted_for(small_rig: Rig, tmp_path: Path) -> None:
    outcome = Supervisor(RunPlan(small_rig, "run", tmp_path, duration_s=4)).run()
    frames = frames_of(tmp_path)
    assert [f.tick_id for f in frames] == list(range(outcome.ticks_expected))
    assert outcome.ticks_expected >= 38
    check_ledger(outcome, small_rig)
    for stream in small_rig.streams():
        assert outcome.collector.ledger.counts(stream)["fused"] > 5, stream
    full = [f for f in frames[10:-5] if f.mode == "full"]
    assert len(full) >= 0.8 * len(frames[10:-5])
    assert all({u.stream for u in f.uses} == set(small_rig.streams()) for f in frames)


def test_lidar_killed_and_back(small_rig: Rig, tmp_path: Path) -> None:
    plan = RunPlan(small_rig, "run", tmp_path, duration_s=8, faults=(parse_fault("lidar:kill@2.5+1.5"),))
    outcome = Supervisor(plan).run()
    frames = frames_of(tmp_path)
    assert [f.tick_id for f in frames] == list(range(outcome.ticks_expected))
    without = [f for f in frames if any(u.stream == "lidar" and not u.used for u in f.uses)]
    assert any(f.mode == "no_lidar" for f in without)
    assert frames[-8].mode == "full", "the LiDAR votes again"
    check_ledger(outcome, small_rig)


@pytest.mark.parametrize("victim", ["align.0", "fusion.0", "recorder", "camera", "imu"])
def test_killing_any_process_costs_at_most_one_tick(small_rig: Rig, tmp_path: Path, victim: str) -> None:
    faults = (parse_fault(f"{victim}:kill@2.5"),)
    outcome = Supervisor(RunPlan(small_rig, "run", tmp_path, duration_s=6, faults=faults)).run()
    heard = outcome.collector.frame_ids
    assert len(set(range(outcome.ticks_expected)) - heard) <= 1
    assert any(e.process == victim and e.what.startswith("back after") for e in outcome.events)
    check_ledger(outcome, small_rig)
    if victim == "recorder":
        assert len(log_parts(tmp_path, "fused")) == 2, "the killed recorder's file stays, the next one goes on"
        assert len(frames_of(tmp_path)) > 0
    else:
        assert len(set(range(outcome.ticks_expected)) - {f.tick_id for f in frames_of(tmp_path)}) <= 1


def test_killed_nursery_is_replaced_and_what_it_forked_lives_on(small_rig: Rig, tmp_path: Path) -> None:
    faults = (parse_fault("nursery:kill@1.5"), parse_fault("radar:kill@2"))
    outcome = Supervisor(RunPlan(small_rig, "run", tmp_path, duration_s=10, faults=faults)).run()
    assert outcome.collector.frame_ids == set(range(outcome.ticks_expected))
    assert {e.process for e in outcome.events if e.what.startswith("back after")} == {"radar"}
    check_ledger(outcome, small_rig)


def test_a_rig_that_no_process_can_serve_ends_with_its_words(small_rig: Rig, tmp_path: Path) -> None:
    rig = Rig.model_validate({**small_rig.model_dump(), "sim": None})
    with pytest.raises(SensorfuseError, match="no `sim` block"):
        Supervisor(RunPlan(rig, "run", tmp_path, duration_s=2)).run()


def test_second_run_on_the_same_sockets_is_refused(small_rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "rig.yaml").write_text(small_rig.to_yaml())
    command = [sys.executable, "-m", "sensorfuse.nodes.imu", "--rig", str(tmp_path / "rig.yaml")]
    first = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        lock = Path(os.environ["SENSORFUSE_RUN_DIR"]) / "imu.lock"
        while not (lock.exists() and lock.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert second.returncode == 2
        assert "in use by process" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        first.send_signal(signal.SIGINT)
        assert first.wait(10) == 0, "a process alone ends cleanly on Ctrl-C"


def test_ctrl_c_ends_the_run_in_order_with_a_readable_log(small_rig: Rig, tmp_path: Path) -> None:
    quick = {**small_rig.model_dump(), "recording": {"chunk_mb": 0.02}}  # the log grows as soon as frames come
    (tmp_path / "rig.yaml").write_text(Rig.model_validate(quick).to_yaml())
    out = tmp_path / "out"
    command = [sys.executable, "-m", "sensorfuse.cli", "run", str(tmp_path / "rig.yaml"), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    fused = out / "fused.mcap"
    deadline = time.monotonic() + 60
    while not (fused.exists() and fused.stat().st_size > 100_000) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stdout + stderr
    assert len(list(read_frames(fused))) > 10
    assert (out / "summary.json").exists()
    assert (out / "report.html").exists()
