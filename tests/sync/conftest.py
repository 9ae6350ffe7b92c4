"""A simulated log whose truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.recording import write_simulated_log


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of two IMUs with clocks and faults, of which the truth is known."""
    folder = tmp_path_factory.mktemp("sync")
    (folder / "faults.yaml").write_text(
        "devices:\n"
        "  imu: {clock: {skew_ppm: 80.0}, transport: {delay_ms: 2.0, jitter_ms: 0.5}}\n"
        "  second:\n"
        "    clock: {skew_ppm: -50.0, resolution_ns: 1000}\n"
        "    transport: {delay_ms: 6.0, jitter_ms: 1.0, drop_share: 0.05}\n"
        "    faults: [{kind: clock_jump, at_s: 14.0, jump_s: -0.6}]\n"
    )
    data = shipped_rig("synthetic").model_dump()
    data["sensors"] = {"imu": data["sensors"]["imu"], "second": {**data["sensors"]["imu"], "frame": "second_link"}}
    data["fusion"].update(
        modalities=("imu",), rate_hz=0.2
    )  # the world's truth is written at this cadence, and is costly
    data["sim"] = {"scenario": str(folder / "faults.yaml"), "seed": 1}
    rig = Rig.model_validate(data)
    write_simulated_log(SimulatedRig(rig, None, None, 1_700_000_000_000_000_000), folder / "log.mcap", 30_000_000_000)
    return folder / "log.mcap"
