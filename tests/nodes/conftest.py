"""Logs for tests that start real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorfuse.log import LogWriter
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig

EPOCH_NS = 1_700_000_000_000_000_000


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
