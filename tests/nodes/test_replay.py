"""Replay: deterministic to the byte at any rate, lossless as fast as it goes, honest about what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sensorfuse.nodes.launch import check_log, execute
from sensorfuse.nodes.supervisor import RunPlan, Supervisor

from sensorfuse.errors import SensorfuseError
from sensorfuse.inject.fault import parse_fault
from sensorfuse.inject.limits import parse_limit
from sensorfuse.log import read_frames
from sensorfuse.rig import Rig, parse_rig

pytestmark = pytest.mark.alone


def plan(rig: Rig, log: Path, out: Path, **more) -> RunPlan:
    start_ns = check_log(log, rig, allow_missing=False)
    return RunPlan(rig, "replay", out, log=log, log_start_ns=start_ns, **more)


def test_same_bytes_at_rate_one_at_max_and_again(small_rig: Rig, simulated_log: Path, tmp_path: Path) -> None:
    files = []
    for name, rate in (("one", 1.0), ("max", None), ("again", None)):
        outcome = Supervisor(plan(small_rig, simulated_log, tmp_path / name, rate=rate, deterministic=True)).run()
        assert len(outcome.collector.frame_ids) == outcome.ticks_expected
        files.append((tmp_path / name / "fused.mcap").read_bytes())
    assert files[0] == files[1]
    assert files[1] == files[2]


def test_max_rate_loses_nothing(small_rig: Rig, simulated_log: Path, tmp_path: Path) -> None:
    result = execute(plan(small_rig, simulated_log, tmp_path, rate=None))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["ticks"] == summary["ticks_expected"] > 25
    for stream, row in summary["streams"].items():
        assert row["published"] == row["received"] > 0, stream
        assert row["transport_lost"] == row["queue_full"] == row["corrupt"] == 0, stream
    assert result.report.stat().st_size > 10_000


def test_replay_at_a_rate_survives_its_player(small_rig: Rig, simulated_log: Path, tmp_path: Path) -> None:
    faults = (parse_fault("player:kill@2"),)
    outcome = Supervisor(plan(small_rig, simulated_log, tmp_path, rate=0.5, faults=faults)).run()
    assert len(set(range(outcome.ticks_expected)) - outcome.collector.frame_ids) <= 1
    assert not any(outcome.unaccounted(small_rig).values())


def test_a_death_in_a_deterministic_replay_is_an_error(small_rig: Rig, simulated_log: Path, tmp_path: Path) -> None:
    faults = (parse_fault("lidar:kill@1"),)
    with pytest.raises(SensorfuseError, match="'lidar' died"):
        Supervisor(plan(small_rig, simulated_log, tmp_path, rate=1.0, deterministic=True, faults=faults)).run()


def test_a_stream_that_the_log_lacks(small_rig: Rig, simulated_log: Path, tmp_path: Path) -> None:
    rig = parse_rig(small_rig.to_yaml().replace("  lidar:\n    modality", "  roof_lidar:\n    modality"))
    with pytest.raises(SensorfuseError, match=r"roof_lidar.*lacks.*it has"):
        plan(rig, simulated_log, tmp_path)
    start_ns = check_log(simulated_log, rig, allow_missing=True)
    outcome = Supervisor(RunPlan(rig, "replay", tmp_path, log=simulated_log, log_start_ns=start_ns, rate=None)).run()
    frames = list(read_frames(tmp_path / "fused.mcap"))
    assert len(frames) == outcome.ticks_expected
    assert all(u.reason == "missing" for f in frames for u in f.uses if u.stream == "roof_lidar")


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_a_damaged_or_cut_log_is_replayed_as_far_as_it_goes(
    small_rig: Rig, simulated_log: Path, tmp_path: Path, share: float
) -> None:
    whole = bytearray(simulated_log.read_bytes())
    if share == 1.0:
        whole[len(whole) // 3] ^= 0xFF  # inside a chunk: its checksum no longer holds
    path = tmp_path / "hurt.mcap"
    path.write_bytes(whole[: int(len(whole) * share)])
    summary = execute(plan(small_rig, path, tmp_path / "out", rate=None)).summary
    assert summary["ticks"] == summary["ticks_expected"] > 15
    assert summary["ledger_balanced"]
    said = " ".join(e["what"] for e in summary["events"] if e["process"] == "player")
    if share == 1.0:
        assert sum(summary["rejected"].values()) > 10
        assert all(what in said for what in summary["rejected"])
    else:
        assert "the file has no end" in said


def test_a_recorder_without_space_ends_what_must_lose_nothing(
    small_rig: Rig, simulated_log: Path, tmp_path: Path
) -> None:
    """A limit on file sizes stands for a full disk: the same path, another errno."""
    code = (
        "import resource, sys; from pathlib import Path; from sensorfuse.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "sys.argv[0] = 'sensorfuse'; main()"
    )
    (tmp_path / "rig.yaml").write_text(small_rig.to_yaml())
    common = ["--rig", str(tmp_path / "rig.yaml"), "--out", str(tmp_path / "out"), "--rate", "max"]
    done = subprocess.run(
        [sys.executable, "-c", code, "replay", str(simulated_log), *common], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "fused.mcap: cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert [f.tick_id for f in read_frames(tmp_path / "out" / "fused.mcap")] == sorted(
        f.tick_id for f in read_frames(tmp_path / "out" / "fused.mcap")
    )


@pytest.mark.parametrize("only", [("imu",), ("lidar", "microphones")])
def test_a_run_with_some_of_its_sensors_alone(
    small_rig: Rig, simulated_log: Path, tmp_path: Path, only: tuple[str, ...]
) -> None:
    outcome = Supervisor(plan(small_rig, simulated_log, tmp_path, rate=1.0, only=only)).run()
    assert outcome.collector.frame_ids == set(range(outcome.ticks_expected))
    assert outcome.ticks_expected > 25
    frames = list(read_frames(tmp_path / "fused.mcap"))
    assert {u.stream for f in frames for u in f.uses if u.used} == set(only)


def test_a_process_that_dies_again_and_again_is_left_alone_and_its_causes_told(
    small_rig: Rig, simulated_log: Path, tmp_path: Path
) -> None:
    faults = (parse_fault("camera:kill:20@0.3"),)
    outcome = Supervisor(plan(small_rig, simulated_log, tmp_path, rate=0.5, faults=faults)).run()
    assert outcome.collector.frame_ids == set(range(outcome.ticks_expected))
    told = [e.what for e in outcome.events if e.process == "camera"]
    assert sum(what == "died (killed by SIGKILL)" for what in told) == 7
    assert any("left alone for 30 s" in what for what in told)
    written = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["what"] for line in written] == [e.what for e in outcome.events]


def test_stopped_and_starved_of_disk(small_rig: Rig, simulated_log: Path, tmp_path: Path) -> None:
    """A stopped aligner is replaced by its twin; a recorder out of space goes on in another file once there is room."""
    rig = Rig.model_validate({**small_rig.model_dump(), "recording": {"chunk_mb": 0.02}})
    faults = (parse_fault("align.0:stop@1+4"), parse_fault("recorder:disk_full@0.5+4"))
    outcome = Supervisor(plan(rig, simulated_log, tmp_path, rate=0.5, faults=faults)).run()
    assert outcome.collector.frame_ids == set(range(outcome.ticks_expected))
    told = [f"{e.process}: {e.what}" for e in outcome.events]
    assert any(t.startswith("align.1: took over from align.0") for t in told), told
    assert any(t.startswith("recorder: stays down for now") for t in told), told
    assert any("cannot be written: File too large" in failure for failure in outcome.failures)
    assert (tmp_path / "fused_1.mcap").exists()
    assert len(list(read_frames(tmp_path / "fused_1.mcap"))) > 2


EVERY_KIND = (
    "camera:drop:0.4@0.5+1", "lidar:truncate:0.5@0.5+1", "radar:duplicate@0.5+1", "imu:reorder:0.5@0.5+1",
    "microphones:delay:0.2@0.5+1", "radar:freeze@1.6+0.6", "camera:garbage:0.5@1.6+0.6", "lidar:bit_flips@1.6+0.6",
    "imu:clock_step:5@1.6+0.6", "microphones:slow:3@1.6+0.6",
)  # fmt: skip


def test_faults_in_a_lossless_replay_are_the_same_every_time(
    small_rig: Rig, simulated_log: Path, tmp_path: Path
) -> None:
    faults = tuple(map(parse_fault, EVERY_KIND))
    files = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        more = {"rate": None, "deterministic": True, "faults": faults, "fault_seed": seed}
        ordered = plan(small_rig, simulated_log, tmp_path / name, **more)
        result = execute(ordered, limits=[parse_limit("ticks_missed=0")])
        assert result.damage.kept
        assert result.summary["ledger_balanced"]
        lost = {s: row["transport_lost"] for s, row in result.summary["streams"].items()}
        assert min(lost["camera"], lost["lidar"], lost["microphones"]) > 0
        assert lost["radar"] == 0
        assert "lidar:truncate:0.5@0.5+1" in result.report.read_text(encoding="utf-8")
        files.append((tmp_path / name / "fused.mcap").read_bytes())
    assert files[0] == files[1] != files[2]


def test_the_command_says_by_its_exit_code_whether_limits_were_kept(
    small_rig: Rig, simulated_log: Path, tmp_path: Path
) -> None:
    (tmp_path / "rig.yaml").write_text(small_rig.to_yaml())
    (tmp_path / "f.yaml").write_text("faults: ['lidar:drop@0.5+1']\nlimits: {ticks_missed: 0, score: 0.99}\n")
    command = [sys.executable, "-m", "sensorfuse.cli", "inject", str(simulated_log), "--rate", "max"]
    command += ["--rig", str(tmp_path / "rig.yaml"), "--scenario", str(tmp_path / "f.yaml"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "limit ticks_missed <= 0: measured 0, kept" in done.stdout
    assert "limit score >= 0.99: measured –, NOT KEPT" in done.stdout, "this log has no truth"
    refused = subprocess.run([*command, "--fault", "roof:drop"], capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert "has no stream 'roof'" in refused.stderr
    assert "Traceback" not in done.stderr + refused.stderr
