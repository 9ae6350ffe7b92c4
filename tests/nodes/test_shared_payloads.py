"""Large payloads through the real processes: shared memory to fusion and the recorder, and nothing left behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from sensorfuse.nodes.plan import RunPlan
from sensorfuse.nodes.supervisor import Supervisor

from sensorfuse.collector import Collector
from sensorfuse.endpoints import run_folder
from sensorfuse.log import open_log
from sensorfuse.rig import Rig
from sensorfuse.shared_memory import is_supported, shared_folder

pytestmark = pytest.mark.alone

STREAM = "camera"


@pytest.mark.skipif(not is_supported(), reason="this system has no shared memory as files")
def test_pictures_pass_through_shared_memory_to_fusion_and_recorder(
    synthetic_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    plain = synthetic_rig.model_dump()
    plain["sensors"] = {STREAM: plain["sensors"][STREAM]}
    plain["sensors"][STREAM]["rate_hz"] = 10
    size = {"width": 960, "height": 540, "fx": 520.0, "fy": 520.0, "cx": 479.5, "cy": 269.5}
    plain["sensors"][STREAM]["intrinsics"] |= size
    plain["fusion"]["modalities"] = ["camera"]
    rig = Rig.model_validate(plain)
    rings: set[str] = set()

    def watch(_: Collector, elapsed_s: float) -> None:
        rings.update(p.name for p in folder.glob("*.ring"))

    folder = shared_folder(run_folder(rig))
    plan = RunPlan(rig, "run", tmp_path, duration_s=3.0, record_inputs=True, made_ahead_s=4.0, on_progress=watch)
    outcome = Supervisor(plan).run()
    assert len(rings) == 1, "one ring, as long as the sensor's process lives"
    assert not folder.exists()
    counts = outcome.collector.ledger.counts(STREAM)
    assert counts["fused"] > 15
    assert counts["corrupt"] == 0
    assert not [e for e in outcome.events if "refused" in e.what]
    with open_log(outcome.log_paths[0]) as reader:
        pictures = [s.arrays["image"].shape for s in reader.samples([STREAM])]
    assert len(pictures) > 20
    assert set(pictures) == {(540, 960, 3)}
