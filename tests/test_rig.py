"""The rig file: what is accepted, and errors that name the line and the key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.geometry import R_BODY_OPTICAL
from sensorfuse.rig import Rig, load_rig, parse_rig, shipped_rig, shipped_rigs

GOOD = """\
name: robot
sensors:
  cam:
    modality: camera
    rate_hz: 30
    frame: cam_optical
    T_base_sensor: {xyz: [1, 0, 1], rpy_deg: [-90, 0, -90]}
    intrinsics: {width: 640, height: 480, fx: 500, fy: 500, cx: 320, cy: 240}
  imu:
    modality: imu
    rate_hz: 200
    frame: imu_link
    T_base_sensor: {}
fusion:
  modalities: [camera, imu]
"""


def test_good_rig_and_round_trip() -> None:
    rig = parse_rig(GOOD)
    assert rig.streams() == ["cam", "imu"]
    assert np.allclose(rig.sensors["cam"].T_base_sensor.transform().rotation, R_BODY_OPTICAL)
    assert rig.sensors["imu"].message_rate_hz == 20
    assert parse_rig(rig.to_yaml()) == rig


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "words"),
    [
        ("rate_hz: 30", "rate_hz: 30\n    rte_hz: 3", 6, "sensors.cam.rte_hz", "unknown key"),
        ("rate_hz: 30", "rate_hz: -3", 5, "sensors.cam.rate_hz", "greater than 0"),
        ("rate_hz: 30", "rate_hz: 5000", 5, "sensors.cam.rate_hz", "impossible"),
        ("rate_hz: 200", "rate_hz: fast", 11, "sensors.imu.rate_hz", "number"),
        ("frame: imu_link", "frme: imu_link", 12, "sensors.imu.frme", "unknown key"),
        ("    frame: imu_link\n", "", 9, "sensors.imu.frame", "required"),
        ("frame: imu_link", "frame: cam_optical", 12, "sensors.imu.frame", "differ in T_base_sensor"),
        ("  imu:\n", "  cam:\n", 9, "sensors.cam", "twice"),
        ("[camera, imu]", "[camera, imu, lidar]", 15, "fusion.modalities", "lidar"),
        ("[camera, imu]", "[camera, camera]", 15, "fusion.modalities", "twice"),
        ("rpy_deg: [-90, 0, -90]", "rpy_deg: [-90, 0]", 7, "sensors.cam.T_base_sensor.rpy_deg.2", "required"),
        ("xyz: [1, 0, 1]", "xyz: [1000, 0, 1]", 7, "sensors.cam.T_base_sensor", "20 m"),
        ("fx: 500", "fx: 5", 8, "sensors.cam.intrinsics.fx", "plausible"),
        ("modality: imu", "modality: sonar", 10, "sensors.imu.modality", "lidar"),
        ("T_base_sensor: {}", "T_base_sensor: {}\n    lidar: {}", 14, "sensors.imu.lidar", "takes no 'lidar'"),
        ("name: robot", "name: My Robot", 1, "name", "pattern"),
    ],
)
def test_faults_name_line_and_key(old: str, new: str, line: int, key: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(SensorfuseError) as caught:
        parse_rig(GOOD.replace(old, new), "robot.yaml")
    assert f"robot.yaml:{line}: {key}: " in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "- 1", "{", "name: [", "a: &x [*x]", "\x00"])
def test_broken_yaml_is_an_error_in_words(text: str) -> None:
    with pytest.raises(SensorfuseError, match=r"robot\.yaml"):
        parse_rig(text, "robot.yaml")


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="no such rig file"):
        load_rig(tmp_path / "none.yaml")
    with pytest.raises(SensorfuseError, match="cannot be read"):
        load_rig(tmp_path)
    with pytest.raises(SensorfuseError, match="no rig is called"):
        load_rig("nonesuch")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SensorfuseError):
        load_rig(tmp_path / "binary.yaml")


@pytest.mark.parametrize("name", shipped_rigs())
def test_every_shipped_rig_loads(name: str) -> None:
    rig = shipped_rig(name)
    assert rig.name == name
    assert set(rig.fusion.modalities) <= {s.modality for s in rig.sensors.values()}


def test_strategy_override_is_validated() -> None:
    rig = parse_rig(GOOD).with_fusion(strategy="hybrid")
    assert isinstance(rig, Rig)
    assert rig.fusion.strategy == "hybrid"


def test_weights_are_found_from_the_rig_files_folder(tmp_path: Path) -> None:
    text = shipped_rig("synthetic").to_yaml()
    assert load_rig("synthetic").fusion.weights == ""
    (tmp_path / "rig.yaml").write_text(text + "fusion:\n  weights: mine\n")
    rig = load_rig(tmp_path / "rig.yaml")
    assert rig.fusion.weights == str(tmp_path.resolve() / "mine")
    (tmp_path / "again.yaml").write_text(rig.to_yaml())
    assert load_rig(tmp_path / "again.yaml").fusion.weights == rig.fusion.weights


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("engine: abacus", "engine"),
        ("precision: fp8", "precision"),
        ("cores: [0, 1]", "names 2 cores for 1 threads"),
        ("threads: 2\n  cores: [1, 1]", "names 1 cores for 2 threads"),
    ],
)
def test_engines_that_cannot_be(block: str, words: str) -> None:
    text = shipped_rig("synthetic").to_yaml() + f"fusion:\n  {block}\n"
    with pytest.raises(SensorfuseError, match=words):
        parse_rig(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate_hz": 0.0}, "fusion.rate_hz: "),
        ({"threads": 65}, "fusion.threads: "),
        ({"engine": "foo"}, "fusion.engine: "),
        ({"precision": "fp8"}, "fusion.precision: "),
        ({"cores": (0,), "threads": 2}, "fusion.cores: names 1 cores for 2 threads"),
        ({"policy": "reference", "reference": "sonar"}, "fusion.reference: 'sonar' is no stream"),
    ],
)
def test_changes_that_cannot_be_are_told_by_their_key(changes: dict, words: str) -> None:
    with pytest.raises(SensorfuseError, match=words):
        shipped_rig("synthetic").with_fusion(**changes)
