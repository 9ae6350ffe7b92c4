"""One sample and the rig's calibration -> the fixed-size arrays that the sensor's encoder takes. Plain numpy and numba.

| modality | arrays |
|---|---|
| camera | `image` (3, 128, 240) in [0, 1], RGB; `lift` (128, 64, 2), see `lift.py` |
| lidar | `bev` (6, 128, 128), see `bev.py` |
| radar | `bev` (6, 64, 64), see `bev.py`; a polar picture is reduced to its peaks first |
| imu | `window` (14,): mean and deviation of rate and specific force in base_link axes; INS speed, is there an INS |
| audio | `block` (118,), see `sound.py` |
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.bev import LIDAR_CHANNELS, RADAR_CHANNELS, detect_polar, lidar_bev, radar_bev
from sensorfuse.fusion.grid import GRID, LIDAR_GRID
from sensorfuse.fusion.lift import HEIGHTS_M, lift_grid
from sensorfuse.fusion.sound import SOUND_FEATURES, SoundFeatures
from sensorfuse.messages import Modality, Sample
from sensorfuse.picture_file import decode_picture
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import AudioConfig, RadarConfig, SensorConfig

Arrays = dict[str, NDArray[np.float32]]

IMAGE_ROWS, IMAGE_COLUMNS = 128, 240
IMU_FEATURES = 14
GRAVITY_MPS2 = 9.81

INPUT_SHAPES: dict[Modality, dict[str, tuple[int, ...]]] = {
    "camera": {"image": (3, IMAGE_ROWS, IMAGE_COLUMNS), "lift": (len(HEIGHTS_M) * GRID.cells, GRID.cells, 2)},
    "lidar": {"bev": (LIDAR_CHANNELS, LIDAR_GRID.cells, LIDAR_GRID.cells)},
    "radar": {"bev": (RADAR_CHANNELS, GRID.cells, GRID.cells)},
    "imu": {"window": (IMU_FEATURES,)},
    "audio": {"block": (SOUND_FEATURES,)},
}


def small_image(sample: Sample) -> NDArray[np.uint8]:
    """The sample's picture as RGB (3, 128, 240) uint8, whatever its size and coding.

    Raises:
        SensorfuseError: its JPEG or PNG cannot be decoded.
    """
    if "jpeg" in sample.arrays:
        decoded = decode_picture(sample.arrays["jpeg"], cv2.IMREAD_COLOR)
        if decoded is None:
            raise SensorfuseError(f"stream {sample.stream}, seq {sample.seq}: array 'jpeg' is no readable JPEG or PNG")
        image = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    elif "image_mono" in sample.arrays:
        image = np.repeat(sample.arrays["image_mono"][:, :, None], 3, axis=2)
    else:
        image = sample.arrays["image"]
    small = cv2.resize(image, (IMAGE_COLUMNS, IMAGE_ROWS), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small.transpose(2, 0, 1))


def imu_window(sample: Sample, rotation: NDArray[np.float64]) -> NDArray[np.float32]:
    """Features (14,) of one IMU message; `rotation` (3, 3) takes sensor axes to base_link axes."""
    gyro = sample.arrays["gyro_radps"] @ rotation.T
    accel = sample.arrays["accel_mps2"] @ rotation.T / GRAVITY_MPS2
    out = np.zeros(IMU_FEATURES, np.float32)
    out[0:3], out[3:6] = gyro.mean(axis=0), accel.mean(axis=0)
    out[6:9], out[9:12] = gyro.std(axis=0), accel.std(axis=0)
    if "velocity_mps" in sample.arrays:
        out[12] = (sample.arrays["velocity_mps"] @ rotation.T)[:, 0].mean() / 20
        out[13] = 1.0
    return out


class Preprocessor:
    """Makes encoder inputs of the samples of one rig. Calibration tables are computed once, here."""

    def __init__(self, rig: Rig) -> None:
        self._inputs: dict[str, Callable[[Sample], Arrays]] = {
            name: self._function(rig.sensors[name]) for name in rig.fused_streams()
        }

    def inputs(self, sample: Sample) -> Arrays:
        """Encoder inputs by name, without a batch axis; shapes as in `INPUT_SHAPES`.

        Raises:
            SensorfuseError: the rig does not fuse this stream, or the payload cannot be read.
        """
        if sample.stream not in self._inputs:
            known = ", ".join(self._inputs)
            raise SensorfuseError(f"stream {sample.stream!r} is not fused by this rig; it fuses {known}")
        return self._inputs[sample.stream](sample)

    def _function(self, sensor: SensorConfig) -> Callable[[Sample], Arrays]:
        pose = sensor.T_base_sensor.transform()
        matrix = pose.matrix()
        if sensor.modality == "camera" and sensor.intrinsics is not None:
            lift = lift_grid(sensor.intrinsics, pose)
            return lambda s: {"image": small_image(s).astype(np.float32) * np.float32(1 / 255), "lift": lift}
        if sensor.modality == "lidar":
            return lambda s: {"bev": lidar_bev(s.arrays["points"], s.arrays.get("intensity"), matrix)}
        if sensor.modality == "radar":
            radar = sensor.radar or RadarConfig()
            return lambda s: {"bev": radar_bev(_radar_returns(s, radar), matrix)}
        if sensor.modality == "imu":
            return lambda s: {"window": imu_window(s, pose.rotation)}
        features = SoundFeatures.of_sensor(sensor)
        rate_hz = (sensor.audio or AudioConfig()).sample_rate_hz
        return lambda s: {"block": features(s.arrays["pcm"], int(s.meta.get("sample_rate_hz", rate_hz)))}


def _radar_returns(sample: Sample, radar: RadarConfig) -> NDArray[np.float32]:
    if "detections" in sample.arrays:
        return sample.arrays["detections"]
    power = sample.arrays["polar"]
    azimuths = sample.arrays.get("azimuths_rad")
    if azimuths is None:
        azimuths = (-np.arange(len(power)) * 2 * np.pi / len(power)).astype(np.float32)
    resolution = sample.meta.get("range_resolution_m")
    if not isinstance(resolution, (int, float)) or not resolution > 0:
        raise SensorfuseError(
            f"stream {sample.stream}, seq {sample.seq}: a polar scan needs meta 'range_resolution_m' > 0, "
            f"got {resolution!r}"
        )
    return detect_polar(power, azimuths, float(resolution), radar.max_range_m)
