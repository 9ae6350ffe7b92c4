"""Calibration files of data sets and tools, read into one form: `T_base_sensor` and pinhole intrinsics.

Formats: EuRoC `sensor.yaml`, KITTI raw `calib_*.txt`, RADIATE `default-calib.yaml`, Kalibr camchain, and ROS
`camera_info` YAML (the last two are written as well).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from sensorfuse.errors import SensorfuseError
from sensorfuse.geometry import R_BODY_OPTICAL, Transform, matrix_from_rpy
from sensorfuse.sensor_config import Intrinsics
from sensorfuse.yaml_model import MAX_YAML_CHARACTERS, load_yaml

RADIATE_RADAR_HEIGHT_M = 1.9  # from the LiDAR's view of the road; the toolkit says 1.8
MODELS = {"radtan": "radtan", "radial-tangential": "radtan", "plumb_bob": "radtan", "equidistant": "equidistant"}
KALIBR_MODELS = {"radtan": "radtan", "equidistant": "equidistant", "none": "none"}


@dataclass(frozen=True)
class SensorCalibration:
    """One sensor. `T_base_sensor` is None where the file does not say, `intrinsics` where it is no camera."""

    name: str
    T_base_sensor: Transform | None = None
    intrinsics: Intrinsics | None = None


class _NoOpenCvTag(yaml.SafeLoader):
    """OpenCV writes `!!opencv-matrix`; its contents are a plain mapping."""


_NoOpenCvTag.add_constructor(
    "tag:yaml.org,2002:opencv-matrix",
    lambda loader, node: loader.construct_mapping(node, deep=True),  # type: ignore[arg-type]
)


def _load(path: Path, what: str) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_YAML_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise SensorfuseError(f"{path}: cannot be read as {what}: {error}") from None
    # OpenCV's "%YAML:1.0" is no YAML directive
    lines = (line for line in text.splitlines() if not line.startswith("%YAML:"))
    _, data = load_yaml("\n".join(lines), f"{path}: cannot be read as {what}", _NoOpenCvTag)
    if not isinstance(data, dict):
        raise SensorfuseError(f"{path}: cannot be read as {what}: expected a mapping")
    return data


def _wrong(path: Path, what: str, error: Exception) -> SensorfuseError:
    text = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error).split("\n")[0]
    if isinstance(error, ValidationError):
        text = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'intrinsics'}: {e['msg']}" for e in error.errors())
    return SensorfuseError(f"{path}: not a sound {what}: {text}")


# pydantic's ValidationError is a ValueError
_FAULTS = (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError, np.linalg.LinAlgError)


def _intrinsics(size: Any, values: Any, model: str, coefficients: Any) -> Intrinsics:
    fx, fy, cx, cy = (float(v) for v in values)
    numbers = tuple(float(v) for v in coefficients)
    kind = MODELS.get(model, "none") if any(numbers) else "none"
    if model not in MODELS and any(numbers):
        raise ValueError(f"distortion model {model!r} is not known")
    if kind == "radtan" and len(numbers) == 5 and numbers[4] == 0:
        numbers = numbers[:4]
    return Intrinsics(
        width=int(size[0]),
        height=int(size[1]),
        fx=fx,
        fy=fy,
        cx=cx,
        cy=cy,
        distortion_model=kind,  # type: ignore[arg-type]
        distortion=() if kind == "none" else numbers,
    )


def read_euroc_sensor(path: str | Path) -> SensorCalibration:
    """EuRoC `sensor.yaml`: T_body_sensor, and the camera model where there is one.

    Raises:
        SensorfuseError: the file cannot be read or is not of this form.
    """
    file = Path(path)
    data = _load(file, "an EuRoC sensor file")
    try:
        pose = Transform.from_matrix(np.array(data["T_BS"]["data"], float).reshape(4, 4))
        intrinsics = None
        if data.get("sensor_type") == "camera":
            intrinsics = _intrinsics(
                data["resolution"], data["intrinsics"], data["distortion_model"], data["distortion_coefficients"]
            )
    except _FAULTS as error:
        raise _wrong(file, "EuRoC sensor file", error) from None
    return SensorCalibration(file.parent.name, pose, intrinsics)


def read_kitti(folder: str | Path, camera: int = 2) -> dict[str, SensorCalibration]:
    """KITTI raw calibration: `image_0N` (rectified), `velodyne` and `oxts`; base is the Velodyne.

    Raises:
        SensorfuseError: a file is missing or not of this form.
    """
    root = Path(folder)
    cameras, velodyne, imu = (
        _kitti_lines(root / f"calib_{n}.txt") for n in ("cam_to_cam", "velo_to_cam", "imu_to_velo")
    )
    try:
        to_camera0 = _kitti_transform(velodyne["R"], velodyne["T"])
        rectify = Transform(cameras["R_rect_00"].reshape(3, 3), np.zeros(3))
        projection = cameras[f"P_rect_0{camera}"].reshape(3, 4)
        # P = K [I | t]: the camera lies t from the rectified camera 0
        shift = Transform(np.eye(3), np.linalg.solve(projection[:, :3], projection[:, 3]).astype(np.float64))
        T_camera_base = shift @ rectify @ to_camera0
        width, height = cameras[f"S_rect_0{camera}"]
        k = projection[:, :3]
        intrinsics = _intrinsics((width, height), (k[0, 0], k[1, 1], k[0, 2], k[1, 2]), "radtan", ())
        name = f"image_0{camera}"
        return {
            name: SensorCalibration(name, T_camera_base.inverse(), intrinsics),
            "velodyne": SensorCalibration("velodyne", Transform.identity()),
            "oxts": SensorCalibration("oxts", _kitti_transform(imu["R"], imu["T"])),
        }
    except _FAULTS as error:
        raise _wrong(root, "KITTI calibration", error) from None


def _kitti_lines(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SensorfuseError(f"{path}: cannot be read as a KITTI calibration file: {error}") from None
    values: dict[str, NDArray[np.float64]] = {}
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        try:
            values[key.strip()] = np.array([float(v) for v in rest.split()])
        except ValueError:
            continue  # calib_time is a date
    return values


def _kitti_transform(rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> Transform:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.reshape(3, 3), translation
    return Transform.from_matrix(matrix)


def read_radiate(path: str | Path) -> dict[str, SensorCalibration]:
    """RADIATE `default-calib.yaml`: `zed_left`, `zed_right`, `velo_lidar`, `navtech_polar`; base is the road below the
    radar.

    The file does not say its axes. Found by matching LiDAR edges with both pictures and LiDAR surfaces with the
    radar's: `T` is the sensor's place seen from the radar in camera-like axes (right, down, forward); `R` of a camera
    are degrees about its own x and y. The right camera's y angle matches with its sign turned.

    Raises:
        SensorfuseError: the file cannot be read or is not of this form.
    """
    file = Path(path)
    data = _load(file, "a RADIATE calibration")
    try:
        sensors = {
            "navtech_polar": SensorCalibration("navtech_polar", Transform(np.eye(3), _radiate_place([0, 0, 0]))),
            "velo_lidar": SensorCalibration(
                "velo_lidar",
                # the CSV's axes are right, forward, up
                Transform(matrix_from_rpy([0.0, 0.0, -np.pi / 2]), _radiate_place(data["lidar_calib"]["T"])),
            ),
        }
        for side, sign in (("left", 1.0), ("right", -1.0)):
            block = data[f"{side}_cam_calib"]
            about_x, about_y, _ = np.radians([float(v) for v in block["R"]])
            tilt = matrix_from_rpy([about_x, sign * about_y, 0])  # T_camera_level, a small rotation
            pose = Transform(R_BODY_OPTICAL @ tilt.T, _radiate_place(block["T"]))
            model = [block[n] for n in ("k1", "k2", "p1", "p2")]
            focal = [block[n] for n in ("fx", "fy", "cx", "cy")]
            sensors[f"zed_{side}"] = SensorCalibration(
                f"zed_{side}", pose, _intrinsics(block["res"], focal, "radtan", model)
            )
    except _FAULTS as error:
        raise _wrong(file, "RADIATE calibration", error) from None
    return sensors


def _radiate_place(right_down_forward: Any) -> NDArray[np.float64]:
    right, down, forward = (float(v) for v in right_down_forward)
    return np.array([forward, -right, RADIATE_RADAR_HEIGHT_M - down])


def read_kalibr(path: str | Path) -> dict[str, SensorCalibration]:
    """Kalibr camchain: cameras by name. Base is the IMU where `T_cam_imu` stands there, else the first camera.

    Raises:
        SensorfuseError: the file cannot be read or is not of this form.
    """
    file = Path(path)
    data = _load(file, "a Kalibr camchain")
    out: dict[str, SensorCalibration] = {}
    chain = Transform.identity()  # T_camera_base so far
    try:
        for name, block in data.items():
            if "T_cam_imu" in block:
                chain = Transform.from_matrix(block["T_cam_imu"])
            elif "T_cn_cnm1" in block:
                chain = Transform.from_matrix(block["T_cn_cnm1"]) @ chain
            if block["camera_model"] != "pinhole":
                raise ValueError(f"{name}: camera model {block['camera_model']!r} is not read, only pinhole")
            intrinsics = _intrinsics(
                block["resolution"], block["intrinsics"], block["distortion_model"], block["distortion_coeffs"]
            )
            out[name] = SensorCalibration(name, chain.inverse(), intrinsics)
    except _FAULTS as error:
        raise _wrong(file, "Kalibr camchain", error) from None
    if not out:
        raise SensorfuseError(f"{file}: this Kalibr camchain holds no camera")
    return out


def write_kalibr(path: str | Path, cameras: dict[str, SensorCalibration]) -> None:
    """Write a Kalibr camchain with `T_cam_imu` (the base stands for the IMU).

    Raises:
        SensorfuseError: a camera lacks pose or intrinsics, or the file cannot be written.
    """
    blocks: dict[str, Any] = {}
    for name, camera in cameras.items():
        if camera.T_base_sensor is None or camera.intrinsics is None:
            raise SensorfuseError(f"camera {name}: a Kalibr camchain needs its pose and its intrinsics")
        k = camera.intrinsics
        blocks[name] = {
            "camera_model": "pinhole",
            "intrinsics": [k.fx, k.fy, k.cx, k.cy],
            "resolution": [k.width, k.height],
            "distortion_model": KALIBR_MODELS[k.distortion_model],
            "distortion_coeffs": list(k.distortion) or [0.0] * 4,
            "T_cam_imu": camera.T_base_sensor.inverse().matrix().tolist(),
        }
    _write(Path(path), yaml.safe_dump(blocks, sort_keys=False))


def read_camera_info(path: str | Path) -> SensorCalibration:
    """ROS `camera_info` YAML (as `camera_calibration` writes it): intrinsics only.

    Raises:
        SensorfuseError: the file cannot be read or is not of this form.
    """
    file = Path(path)
    data = _load(file, "a camera_info file")
    try:
        k = [float(v) for v in data["camera_matrix"]["data"]]
        size = (data["image_width"], data["image_height"])
        intrinsics = _intrinsics(
            size, (k[0], k[4], k[2], k[5]), data["distortion_model"], data["distortion_coefficients"]["data"]
        )
    except _FAULTS as error:
        raise _wrong(file, "camera_info file", error) from None
    return SensorCalibration(str(data.get("camera_name", file.stem)), None, intrinsics)


def write_camera_info(path: str | Path, camera: SensorCalibration) -> None:
    """Write a ROS `camera_info` YAML.

    Raises:
        SensorfuseError: there are no intrinsics, or the file cannot be written.
    """
    k = camera.intrinsics
    if k is None:
        raise SensorfuseError(f"camera {camera.name}: a camera_info file needs intrinsics")
    model = "equidistant" if k.distortion_model == "equidistant" else "plumb_bob"
    wanted = 4 if model == "equidistant" else 5
    coefficients = [*k.distortion, *[0.0] * 5][:wanted]
    data = {
        "image_width": k.width,
        "image_height": k.height,
        "camera_name": camera.name,
        "camera_matrix": _matrix(3, 3, [k.fx, 0.0, k.cx, 0.0, k.fy, k.cy, 0.0, 0.0, 1.0]),
        "distortion_model": model,
        "distortion_coefficients": _matrix(1, wanted, coefficients),
        "rectification_matrix": _matrix(3, 3, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]),
        "projection_matrix": _matrix(3, 4, [k.fx, 0.0, k.cx, 0.0, 0.0, k.fy, k.cy, 0.0, 0.0, 0.0, 1.0, 0.0]),
    }
    _write(Path(path), yaml.safe_dump(data, sort_keys=False))


def _matrix(rows: int, cols: int, data: list[float]) -> dict[str, Any]:
    return {"rows": rows, "cols": cols, "data": data}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SensorfuseError(f"{path}: cannot be written: {error.strerror or error}") from None
