"""Calibration files: what is read fits the shipped rigs, what is written reads back, what is wrong is explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sensorfuse.calib.formats import (
    SensorCalibration,
    read_camera_info,
    read_euroc_sensor,
    read_kalibr,
    read_kitti,
    read_radiate,
    write_camera_info,
    write_kalibr,
)

from sensorfuse.errors import SensorfuseError
from sensorfuse.geometry import Transform
from sensorfuse.rig import shipped_rig
from sensorfuse.sensor_config import Intrinsics

CAMERA = SensorCalibration(
    "cam0",
    Transform.from_rpy([0.3, -0.1, 1.2], [-1.5, 0.02, -1.6]),
    Intrinsics(
        width=640,
        height=480,
        fx=400,
        fy=401,
        cx=320,
        cy=239,
        distortion_model="radtan",
        distortion=(-0.2, 0.03, 1e-4, 2e-4),
    ),
)


def same_place(a: Transform | None, b: Transform, shift: tuple[float, float, float] = (0, 0, 0)) -> None:
    assert a is not None
    np.testing.assert_allclose(a.rotation, b.rotation, atol=2e-5)
    np.testing.assert_allclose(a.translation + np.array(shift), b.translation, atol=2e-5)


@pytest.mark.data
def test_radiate_rig_is_the_data_sets_calibration(data_dir: Path) -> None:
    sensors = read_radiate(data_dir / "radiate" / "config" / "default-calib.yaml")
    rig = shipped_rig("radiate")
    for name in ("camera", "lidar", "radar"):
        sensor = rig.sensors[name]
        same_place(sensors[str(sensor.log_stream)].T_base_sensor, sensor.T_base_sensor.transform())
    assert sensors["zed_left"].intrinsics == rig.sensors["camera"].intrinsics
    left, right = (sensors[f"zed_{s}"].T_base_sensor for s in ("left", "right"))
    assert left is not None
    assert right is not None
    assert (left.inverse() @ right).translation[0] == pytest.approx(0.12, abs=0.005)  # a ZED's baseline, to the right


@pytest.mark.data
def test_kitti_rig_is_the_data_sets_calibration(data_dir: Path) -> None:
    sensors = read_kitti(data_dir / "kitti")
    rig = shipped_rig("kitti")
    for name in ("camera", "lidar", "imu"):
        sensor = rig.sensors[name]
        same_place(sensors[str(sensor.log_stream)].T_base_sensor, sensor.T_base_sensor.transform(), (0, 0, 1.73))
    assert sensors["image_02"].intrinsics == rig.sensors["camera"].intrinsics


@pytest.mark.data
def test_kitti_projection_matches_the_development_kits_formula(data_dir: Path) -> None:
    """P_rect R_rect T_cam_velo applied as written in the data set's paper, against pose and intrinsics."""
    values = {}
    for file in ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt"):
        for line in (data_dir / "kitti" / file).read_text().splitlines():
            key, _, rest = line.partition(": ")
            if key != "calib_time":
                values[key] = np.array(rest.split(), float)
    extrinsic = np.vstack([np.column_stack([values["R"].reshape(3, 3), values["T"]]), [0, 0, 0, 1]])
    rectify = np.eye(4)
    rectify[:3, :3] = values["R_rect_00"].reshape(3, 3)
    points = np.array([[10, 1, -1], [20, -4, 0.5], [7, 3, 1]], float)
    pixels = values["P_rect_02"].reshape(3, 4) @ rectify @ extrinsic @ np.column_stack([points, np.ones(3)]).T
    camera = read_kitti(data_dir / "kitti")["image_02"]
    assert camera.T_base_sensor is not None
    assert camera.intrinsics is not None
    seen = camera.T_base_sensor.inverse() @ points
    k = camera.intrinsics
    np.testing.assert_allclose(k.fx * seen[:, 0] / seen[:, 2] + k.cx, pixels[0] / pixels[2], atol=0.05)
    np.testing.assert_allclose(k.fy * seen[:, 1] / seen[:, 2] + k.cy, pixels[1] / pixels[2], atol=0.05)


@pytest.mark.data
def test_euroc_rig_is_the_data_sets_calibration(data_dir: Path) -> None:
    rig = shipped_rig("euroc")
    camera = read_euroc_sensor(data_dir / "euroc/mav0/cam0/sensor.yaml")
    same_place(camera.T_base_sensor, rig.sensors["camera"].T_base_sensor.transform())
    assert camera.intrinsics == rig.sensors["camera"].intrinsics
    assert camera.name == "cam0"
    imu = read_euroc_sensor(data_dir / "euroc/mav0/imu0/sensor.yaml")
    same_place(imu.T_base_sensor, Transform.identity())
    assert imu.intrinsics is None


def test_kalibr_round_trip_and_chain(tmp_path: Path) -> None:
    write_kalibr(tmp_path / "chain.yaml", {"cam0": CAMERA})
    back = read_kalibr(tmp_path / "chain.yaml")["cam0"]
    same_place(back.T_base_sensor, CAMERA.T_base_sensor or Transform.identity())
    assert back.intrinsics == CAMERA.intrinsics
    text = (tmp_path / "chain.yaml").read_text()
    second = text[text.index("cam0:\n") :].replace("cam0:", "cam1:")
    second = second[: second.index("  T_cam_imu")]
    second += "  T_cn_cnm1: [[1, 0, 0, -0.1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n"
    (tmp_path / "chain.yaml").write_text(text + second)
    pair = read_kalibr(tmp_path / "chain.yaml")
    first, other = pair["cam0"].T_base_sensor, pair["cam1"].T_base_sensor
    assert first is not None
    assert other is not None
    np.testing.assert_allclose((first.inverse() @ other).translation, [0.1, 0, 0], atol=1e-9)


@pytest.mark.parametrize("model", ["none", "radtan", "equidistant"])
def test_camera_info_round_trip(tmp_path: Path, model: str) -> None:
    size = {"none": 0, "radtan": 5, "equidistant": 4}[model]
    camera = SensorCalibration(
        "front",
        None,
        Intrinsics(
            width=64,
            height=48,
            fx=50,
            fy=51,
            cx=32,
            cy=24,
            distortion_model=model,  # type: ignore[arg-type]
            distortion=tuple(0.1 * (k + 1) for k in range(size)),
        ),
    )
    write_camera_info(tmp_path / "c.yaml", camera)
    assert read_camera_info(tmp_path / "c.yaml") == camera


@pytest.mark.parametrize("read", [read_euroc_sensor, read_radiate, read_kalibr, read_camera_info])
@pytest.mark.parametrize("text", ["", "[1, 2", "- 3", "a: 1", "cam0: {camera_model: pinhole}", "T_BS: {data: [1, 2]}"])
def test_wrong_files_are_explained(tmp_path: Path, read: object, text: str) -> None:
    file = tmp_path / "sensor.yaml"
    file.write_text(text)
    with pytest.raises(SensorfuseError, match=r"sensor\.yaml"):
        read(file)  # type: ignore[operator]
    with pytest.raises(SensorfuseError, match="cannot be read"):
        read(tmp_path / "absent.yaml")  # type: ignore[operator]


def test_wrong_kitti_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match=r"calib_cam_to_cam.txt: cannot be read"):
        read_kitti(tmp_path)
    for name in ("cam_to_cam", "velo_to_cam", "imu_to_velo"):
        (tmp_path / f"calib_{name}.txt").write_text("R: 1 0 0\n")
    with pytest.raises(SensorfuseError, match=r"not a sound KITTI calibration: .T. is missing"):
        read_kitti(tmp_path)


def test_impossible_cameras_are_refused(tmp_path: Path) -> None:
    write_camera_info(tmp_path / "c.yaml", CAMERA)
    text = (tmp_path / "c.yaml").read_text()
    (tmp_path / "c.yaml").write_text(text.replace("image_width: 640", "image_width: 0"))
    with pytest.raises(SensorfuseError, match="width"):
        read_camera_info(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text(text.replace("plumb_bob", "fisheye624"))
    with pytest.raises(SensorfuseError, match="fisheye624"):
        read_camera_info(tmp_path / "c.yaml")
    with pytest.raises(SensorfuseError, match="needs its pose"):
        write_kalibr(tmp_path / "k.yaml", {"a": SensorCalibration("a")})
    with pytest.raises(SensorfuseError, match="needs intrinsics"):
        write_camera_info(tmp_path / "k.yaml", SensorCalibration("a"))
    with pytest.raises(SensorfuseError, match="cannot be written"):
        write_camera_info(tmp_path / "no" / "k.yaml", CAMERA)
