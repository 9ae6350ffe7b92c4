"""Replay: deterministic to the byte at any rate, lossless as fast as it goes, honest about what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sensorfuse.nodes.launch import check_log, execute
from sensorfuse.nodes.supervisor import Outage, RunPlan, Supervisor

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import read_frames
from sensorfuse.rig import Rig, parse_rig


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
    outcome = Supervisor(plan(small_rig, simulated_log, tmp_path, rate=0.5, outages=(Outage("player", 2.0),))).run()
    assert len(set(range(outcome.ticks_expected)) - outcome.collector.frame_ids) <= 1
    for stream in small_rig.streams():
        assert sum(outcome.collector.ledger.counts(stream).values()) == outcome.collector.ledger.published(stream)


def test_a_death_in_a_deterministic_replay_is_an_error(small_rig: Rig, simulated_log: Path, tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="'lidar' died"):
        Supervisor(
            plan(small_rig, simulated_log, tmp_path, rate=1.0, deterministic=True, outages=(Outage("lidar", 1.0),))
        ).run()


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
