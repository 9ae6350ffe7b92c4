"""What a scenario may say of devices, and how its faults are explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.scenario import load_scenario


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{camera: {clok: {}}}", r"mine.yaml:1: devices.camera.clok: unknown key"),
        ("{camera: {clock: {skew: 3}}}", r"devices.camera.clock.skew: unknown key"),
        ("{camera: {transport: {drop_share: 1.5}}}", r"drop_share: .*less than or equal to 0.95"),
        ("{camera: {faults: [{kind: explode, at_s: 3}]}}", r"faults.0: .*'explode'.*'clock_jump'.*'outage'"),
        ("{camera: {faults: [{kind: freeze, at_s: 3}]}}", r"faults.0.freeze.for_s: Field required"),
        ("{camera: {faults: [{kind: freeze, at_s: 3, for_s: 1, jump_s: 2}]}}", r"jump_s: unknown key"),
        ("{camera: {faults: [{kind: outage, at_s: -3, for_s: 1}]}}", r"at_s: .*greater than or equal to 0"),
        ("{camera: {faults: [{kind: storm, at_s: 3, for_s: 1}]}}", r"a storm needs copies or jitter_ms"),
        ("{imu: {clock: {wrap_bits: 32}}}", r"clock.wrap_bits: .*give counter_s"),
        ("{imu: {clock: {offset_s: 1, counter_s: 2}}}", r"one of offset_s and counter_s"),
        ("{imu: {clock: {counter_s: 2, wrap_bits: 60, resolution_ns: 1000}}}", r"over 292 years"),
    ],
)
def test_faults_of_the_file_are_explained(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"devices: {text}\n")
    with pytest.raises(SensorfuseError, match=said):
        load_scenario(str(tmp_path / "mine.yaml"))


def test_a_device_that_the_rig_has_not_is_refused(synthetic_rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("devices: {camera_rear: {clock: {skew_ppm: 3}}}\n")
    with pytest.raises(SensorfuseError, match=r"devices: camera_rear: .*'synthetic'.*camera, lidar.*modality"):
        SimulatedRig(synthetic_rig, str(tmp_path / "mine.yaml"))


def test_a_streams_own_entry_comes_before_its_modalitys(synthetic_rig: Rig, tmp_path: Path) -> None:
    text = (
        "devices: {audio: {clock: {offset_s: 1}}, microphones: {clock: {offset_s: 2}}, imu: {clock: {offset_s: 3}}}\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    sim = SimulatedRig(synthetic_rig, str(tmp_path / "mine.yaml"))
    assert sim.clock("microphones").offset_ns == 2_000_000_000
    assert sim.clock("imu").offset_ns == 3_000_000_000
    assert sim.clock("radar").offset_ns == 0


def test_the_shipped_clocks_and_faults_show_within_a_minute(synthetic_rig: Rig) -> None:
    sim = SimulatedRig(synthetic_rig, "town_clocks")
    devices = sim.world.scenario.devices
    kinds = {(name, fault.kind) for name, device in devices.items() for fault in device.faults}
    assert kinds >= {("camera", "freeze"), ("lidar", "clock_jump"), ("lidar", "outage"), ("radar", "delay_shift")}
    for device in devices.values():
        assert all(fault.at_s + (getattr(fault, "for_s", None) or 0.0) < 60 for fault in device.faults)
    stamps = sim.clock("imu").stamps_ns([9_000_000_000, 11_000_000_000])
    assert stamps[0] > 4_200_000_000_000 > 2_000_000_000 > stamps[1]
    assert sim.clock("microphones").frequency_ppm(600e9)[0] == pytest.approx(60.0, abs=0.01)
