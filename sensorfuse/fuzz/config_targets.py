"""What a user writes, as targets: rig and scenario files, calibration files, the cards of networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from sensorfuse.calib import formats
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import ENCODERS_FILE, file_digest, read_card
from sensorfuse.fuzz.target import FileInput, FolderInput, Harness, Target
from sensorfuse.geometry import Transform
from sensorfuse.rig import load_rig
from sensorfuse.sensor_config import Intrinsics
from sensorfuse.sim.scenario import load_scenario

RIG = """name: car
sensors:
  cam:
    modality: camera
    rate_hz: 20
    frame: camera_optical_frame
    T_base_sensor: {xyz: [1.0, 0.0, 1.5], rpy_deg: [-90.0, 0.0, -90.0]}
    intrinsics: {width: 640, height: 480, fx: 500, fy: 500, cx: 320, cy: 240, distortion_model: radtan,
      distortion: [0.1, 0.0, 0.0, 0.0]}
  imu: {modality: imu, rate_hz: 200, frame: imu_link, T_base_sensor: {}, counter: {bits: 32}, lateness_ms: 5}
  top: {modality: lidar, rate_hz: 10, frame: lidar_link, T_base_sensor: {quaternion_xyzw: [0, 0, 0, 1]},
    lidar: {rings: 16, elevation_deg: [-15, 15]}}
fusion: {rate_hz: 10, modalities: [camera, lidar, imu], policy: reference, reference: top}
endpoints: {base: "tcp://127.0.0.1", port: 7600}
sim: {scenario: town, seed: 3}
"""
SCENARIO = """description: a street
weather: {rain_mmph: 10, visibility_m: 400.0, daylight: 0.5}
traffic: {platoon: [2, 3], headway_s: [5.0, 9.0], parked_share: [0.1, 0.3]}
devices:
  camera: {}
"""
EUROC = """%YAML:1.0
sensor_type: camera
T_BS: {cols: 4, rows: 4, data: [0.0, -1.0, 0.0, 0.1, 1.0, 0.0, 0.0, 0.2, 0.0, 0.0, 1.0, 0.3, 0.0, 0.0, 0.0, 1.0]}
rate_hz: 20
resolution: [752, 480]
intrinsics: [458.654, 457.296, 367.215, 248.375]
distortion_model: radial-tangential
distortion_coefficients: [-0.28, 0.07, 0.0, 0.0]
"""
_CAMERA = "fx: 337.0, fy: 337.0, cx: 341.0, cy: 187.0, k1: -0.18, k2: 0.02, p1: 0.0, p2: 0.0, res: [672, 376]"
RADIATE = f"""lidar_calib: {{T: [0.6, -0.3, -0.5]}}
left_cam_calib: {{T: [0.3, 0.1, -0.4], R: [0.35, 0.6, 0.0], {_CAMERA}}}
right_cam_calib: {{T: [0.4, 0.1, -0.4], R: [0.35, 0.6, 0.0], {_CAMERA}}}
"""
KITTI = {
    "calib_cam_to_cam.txt": "S_rect_02: 1242 375\nR_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: 721 0 609 44 0 721 172 0 0 0"
    " 1 0\n",
    "calib_velo_to_cam.txt": "calib_time: 15-Mar-2012\nR: 0 -1 0 0 0 -1 1 0 0\nT: 0.0 -0.07 -0.27\n",
    "calib_imu_to_velo.txt": "R: 1 0 0 0 1 0 0 0 1\nT: -0.8 0.3 -0.8\n",
}


class _Yaml:
    """A YAML file as a tree."""

    def parse(self, data: bytes) -> Any:
        try:
            return yaml.safe_load(data.decode().removeprefix("%YAML:1.0\n"))
        except yaml.YAMLError:
            raise ValueError("no YAML") from None

    def build(self, tree: Any) -> bytes:
        return yaml.safe_dump(tree, sort_keys=False).encode()


class _Card:
    """The JSON file of a folder's two."""

    def parse(self, data: bytes) -> Any:
        return [data[0], json.loads(data[1:])]

    def build(self, tree: Any) -> bytes:
        return bytes([tree[0]]) + json.dumps(tree[1]).encode()


def _one_file(
    name: str, what: str, file_name: str, seed: str | Callable[[Path], Any], read: Callable[[Path], Any]
) -> Target:
    def opened(scratch: Path) -> Harness:
        file = scratch / file_name
        if isinstance(seed, str):
            file.write_text(seed, encoding="utf-8")
        else:
            seed(file)
        return Harness([file.read_bytes()], FileInput(file, read).run, (SensorfuseError,), _Yaml())

    return Target(name, what, opened, share=2)


def _kitti(scratch: Path) -> Harness:
    root = scratch / "kitti"
    root.mkdir()
    for name, text in KITTI.items():
        (root / name).write_text(text, encoding="utf-8")
    folder = FolderInput(root, formats.read_kitti)
    return Harness(folder.seeds(), folder.run, (SensorfuseError,))


def _card(scratch: Path) -> Harness:
    root = scratch / "weights"
    root.mkdir()
    (root / ENCODERS_FILE).write_bytes(b"weights")
    card = {"score_thresholds": [0.5], "sound_threshold": 0.5, "motion_rms": [1.0, 2.0]}
    card["encoders"] = file_digest(root / ENCODERS_FILE)  # type: ignore[assignment]
    (root / "hybrid.json").write_text(json.dumps(card), encoding="utf-8")
    folder = FolderInput(root, lambda path: read_card(path, "hybrid"))
    return Harness(folder.seeds(), folder.run, (SensorfuseError,), _Card())


_LENS = Intrinsics(width=640, height=480, fx=500, fy=500, cx=320, cy=240)
_SENSOR = formats.SensorCalibration("cam", Transform.identity(), _LENS)

TARGETS = (
    _one_file("rig", "rig files", "rig.yaml", RIG, load_rig),
    _one_file("scenario", "scenario files", "world.yaml", SCENARIO, lambda path: load_scenario(str(path))),
    _one_file("calib_euroc", "EuRoC sensor files", "sensor.yaml", EUROC, formats.read_euroc_sensor),
    _one_file("calib_radiate", "RADIATE calibration", "calib.yaml", RADIATE, formats.read_radiate),
    _one_file(
        "calib_kalibr",
        "Kalibr camchains",
        "camchain.yaml",
        partial(formats.write_kalibr, cameras={"cam": _SENSOR}),
        formats.read_kalibr,
    ),
    _one_file(
        "calib_camera_info",
        "ROS camera_info files",
        "camera.yaml",
        partial(formats.write_camera_info, camera=_SENSOR),
        formats.read_camera_info,
    ),
    Target("calib_kitti", "KITTI calibration", _kitti, share=10),
    Target("card", "cards of networks", _card, share=10),
)
