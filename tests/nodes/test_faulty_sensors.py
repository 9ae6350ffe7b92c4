"""A replayed log with a frozen camera and a lost LiDAR, through the real processes: seen, left out, taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcap.reader import make_reader
from sensorfuse.nodes.launch import check_log, execute
from sensorfuse.nodes.supervisor import RunPlan

from sensorfuse.bench.health import received
from sensorfuse.log import LogWriter, read_frames
from sensorfuse.messages import FusedFrame, StreamUse
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig

pytestmark = pytest.mark.alone

EPOCH_NS, S = 1_700_000_000_000_000_000, 1_000_000_000
FAULTS = """
devices:
  camera: {faults: [{kind: freeze, at_s: 2.0, for_s: 2.0}]}
  lidar: {faults: [{kind: outage, at_s: 2.0, for_s: 2.5}]}
"""


@pytest.fixture(scope="module")
def faulty_log(small_rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "faults.yaml").write_text(FAULTS)
    sim = SimulatedRig(small_rig, str(folder / "faults.yaml"), epoch_ns=EPOCH_NS)
    with LogWriter(folder / "faulty.mcap") as writer:
        writer.write_rig(small_rig)
        for sample in received(sim, 6.0):
            writer.write_sample(sample)
    return folder / "faulty.mcap"


def use_at(frames: list[FusedFrame], t_s: float, stream: str) -> StreamUse:
    frame = min(frames, key=lambda f: abs(f.t_ref_ns - EPOCH_NS - t_s * S))
    return next(u for u in frame.uses if u.stream == stream)


def test_a_frozen_camera_and_a_lost_lidar(small_rig: Rig, faulty_log: Path, tmp_path: Path) -> None:
    start_ns = check_log(faulty_log, small_rig, allow_missing=False)
    plan = RunPlan(small_rig, "replay", tmp_path, log=faulty_log, log_start_ns=start_ns, rate=None)
    summary = execute(plan).summary
    frames = list(read_frames(tmp_path / "fused.mcap"))
    assert summary["ticks"] == summary["ticks_expected"] > 55
    assert summary["ledger_balanced"]

    assert all(use_at(frames, 1.5, s).health.state == "ok" for s in small_rig.streams())
    camera, lidar = use_at(frames, 3.7, "camera"), use_at(frames, 4.3, "lidar")
    assert (camera.used, camera.health.state) == (False, "invalid")
    assert "frozen" in camera.health.reason
    assert summary["streams"]["camera"]["corrupt"] >= 15
    assert (lidar.used, lidar.health.state) == (False, "lost")
    assert use_at(frames, 4.75, "lidar").health.state == "recovering"
    for stream in ("camera", "lidar"):
        back = use_at(frames, 5.8, stream)
        assert (back.used, back.health.state) == (True, "ok")
    assert all(use_at(frames, t, "radar").used for t in (1.5, 3.7, 5.8))

    without = next(f for f in frames if f.mode == "no_lidar")
    full = next(f for f in frames if f.mode == "full")
    assert full.expected_score > without.expected_score > 0
    assert summary["mode_figures"]["no_lidar"]["expected_score"] == pytest.approx(without.expected_score)

    said = [e["what"] for e in summary["events"] if e["process"].startswith("align")]
    assert any(w.startswith("camera: ") and "-> invalid: frozen" in w for w in said)
    assert any(w == "lidar: recovering -> ok" for w in said)
    assert any(w.startswith("lidar: ") and "-> lost: silent" in w for w in said)
    json.dumps(summary, allow_nan=False)
    _check_diagnostics(tmp_path / "fused.mcap")


def _check_diagnostics(path: Path) -> None:
    decoder = pytest.importorskip("mcap_ros2.decoder", reason="needs mcap-ros2-support")
    levels: dict[str, set[int]] = {}
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[decoder.DecoderFactory()])
        for _, _, _, message in reader.iter_decoded_messages(topics=["/diagnostics"]):
            for status in message.status:
                if status.name.startswith("health: "):
                    level = status.level if isinstance(status.level, int) else status.level[0]
                    levels.setdefault(status.hardware_id, set()).add(level)
    assert {0, 2} <= levels["camera"]
    assert {0, 2} <= levels["lidar"]
    assert levels["radar"] == levels["imu"] == {0}
