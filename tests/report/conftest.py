"""The made-up run, once for all tests of the report."""

from __future__ import annotations

import pytest
from fake_run import LOSS, MISSED, TICKS, FakeRun, make_boxes, make_frame, make_record, make_samples

from sensorfuse.messages import Truth
from sensorfuse.report.record import Snapshot
from sensorfuse.rig import Rig


@pytest.fixture(scope="session")
def fake_run(synthetic_rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    rig = synthetic_rig
    frames = [make_frame(rig, k, ("lidar",) if k in LOSS else ()) for k in range(TICKS) if k != MISSED]
    record = make_record(rig, TICKS, tmp_path_factory.mktemp("run") / "fused.mcap")
    shown = [f for f in frames if f.tick_id in (10, 27, 45)]
    snapshots = [Snapshot(f, make_samples(rig, f), Truth(f.t_ref_ns, make_boxes(f.tick_id / 10, False))) for f in shown]
    return FakeRun(record, frames, snapshots)
