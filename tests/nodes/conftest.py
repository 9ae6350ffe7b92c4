"""Small rigs and logs for tests that start real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorfuse.log import LogWriter
from sensorfuse.rig import Rig, parse_rig, shipped_rig
from sensorfuse.sim import SimulatedRig

EPOCH_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope="session")
def small_rig() -> Rig:
    """All five modalities, small enough for two busy cores."""
    text = shipped_rig("synthetic").to_yaml()
    text = (
        text.replace("width: 480", "width: 240").replace("height: 270", "height: 136").replace("fx: 260.0", "fx: 130.0")
    )
    text = text.replace("fy: 260.0", "fy: 130.0").replace("cx: 239.5", "cx: 119.5").replace("cy: 134.5", "cy: 67.5")
    text = text.replace("rate_hz: 20.0\n    frame: camera", "rate_hz: 10.0\n    frame: camera").replace(
        "columns: 512", "columns: 256"
    )
    rig = parse_rig(text)
    assert rig.sensors["camera"].intrinsics is not None
    assert rig.sensors["camera"].intrinsics.width == 240
    return rig


@pytest.fixture(scope="session")
def simulated_log(small_rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of the synthetic rig in an MCAP file."""
    path = tmp_path_factory.mktemp("log") / "sim.mcap"
    sim = SimulatedRig(small_rig, epoch_ns=EPOCH_NS)
    samples = []
    for stream, sensor in small_rig.sensors.items():
        samples += [sim.sample(stream, k) for k in range(int(3 * sensor.message_rate_hz))]
    with LogWriter(path) as writer:
        writer.write_rig(small_rig)
        for sample in sorted(samples, key=lambda s: s.recv_ns):
            writer.write_sample(sample)
    return path
