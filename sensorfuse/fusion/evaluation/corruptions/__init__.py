"""All corruptions, as one table. Each has a level in [0, 1]; 0 changes nothing, 1 is about the worst that is met.

Three kinds: of a sample (what one measurement holds), of streams (which messages come, and what their stamps say) and
of the rig (where the sensors really are). `steady` sample corruptions take the same random numbers for every sample of
a run (a bias is a bias); the others draw anew for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.corruptions import audio, camera, cross_sensor, imu, lidar, radar
from sensorfuse.fusion.evaluation.corruptions.cross_sensor import Change
from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.messages import MODALITIES, Modality, Sample
from sensorfuse.rig import Rig

SampleChange = Callable[[Sample, float, np.random.Generator], Sample]
RigChange = Callable[[Rig, float, np.random.Generator], Rig]


@dataclass(frozen=True)
class SampleCorruption:
    """Changes what one measurement of a modality holds."""

    name: str
    modality: Modality
    change: SampleChange
    steady: bool = False

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return (self.modality,)


@dataclass(frozen=True)
class StreamCorruption:
    """Changes which messages of some modalities come, when they are believed to have been taken, and what they hold."""

    name: str
    modalities: tuple[Modality, ...]
    change: Change


@dataclass(frozen=True)
class RigCorruption:
    """Changes where the sensors of some modalities really are."""

    name: str
    modalities: tuple[Modality, ...]
    change: RigChange


Corruption = SampleCorruption | StreamCorruption | RigCorruption

CORRUPTIONS: tuple[Corruption, ...] = (
    SampleCorruption("camera_brightness", "camera", camera.brightness),
    SampleCorruption("camera_dark", "camera", camera.dark),
    SampleCorruption("camera_fog", "camera", camera.fog),
    SampleCorruption("camera_motion_blur", "camera", camera.motion_blur),
    SampleCorruption("camera_salt_and_pepper", "camera", camera.salt_and_pepper),
    SampleCorruption("camera_jpeg", "camera", camera.jpeg),
    StreamCorruption("camera_freeze", ("camera",), cross_sensor.of(("camera",), cross_sensor.frozen)),
    StreamCorruption("camera_drop", ("camera",), cross_sensor.of(("camera",), cross_sensor.lost)),
    SampleCorruption("lidar_beams", "lidar", lidar.beams),
    SampleCorruption("lidar_point_dropout", "lidar", lidar.point_dropout),
    SampleCorruption("lidar_fog", "lidar", lidar.fog),
    SampleCorruption("lidar_snow", "lidar", lidar.snow),
    SampleCorruption("lidar_range_noise", "lidar", lidar.range_noise),
    SampleCorruption("lidar_intensity_loss", "lidar", lidar.intensity_loss),
    StreamCorruption("lidar_drop", ("lidar",), cross_sensor.of(("lidar",), cross_sensor.lost)),
    SampleCorruption("radar_ghosts", "radar", radar.ghosts),
    SampleCorruption("radar_drop", "radar", radar.drop),
    SampleCorruption("radar_velocity_bias", "radar", radar.velocity_bias, steady=True),
    SampleCorruption("imu_bias", "imu", imu.bias, steady=True),
    SampleCorruption("imu_bias_walk", "imu", imu.bias_walk, steady=True),
    SampleCorruption("imu_noise", "imu", imu.noise),
    SampleCorruption("imu_saturation", "imu", imu.saturation),
    SampleCorruption("imu_axis_swap", "imu", imu.axis_swap, steady=True),
    SampleCorruption("audio_noise", "audio", audio.noise),
    SampleCorruption("audio_clipping", "audio", audio.clipping),
    SampleCorruption("audio_dropout", "audio", audio.dropout),
    SampleCorruption("audio_reverberation", "audio", audio.reverberation, steady=True),
    StreamCorruption("camera_time_offset", ("camera",), cross_sensor.of(("camera",), cross_sensor.offset)),
    StreamCorruption("lidar_time_offset", ("lidar",), cross_sensor.of(("lidar",), cross_sensor.offset)),
    StreamCorruption("radar_time_offset", ("radar",), cross_sensor.of(("radar",), cross_sensor.offset)),
    StreamCorruption("time_jitter", SPATIAL, cross_sensor.of(SPATIAL, cross_sensor.jitter)),
    RigCorruption("extrinsic_rotation", SPATIAL, cross_sensor.rotated),
    RigCorruption("extrinsic_translation", SPATIAL, cross_sensor.shifted),
    StreamCorruption("rate_reduction", MODALITIES, cross_sensor.of(MODALITIES, cross_sensor.slowed)),
    StreamCorruption("gap", SPATIAL, cross_sensor.gap),
    StreamCorruption("imbalanced_loss", MODALITIES, cross_sensor.imbalanced),
)


def corruption_names() -> list[str]:
    return [c.name for c in CORRUPTIONS]


def find_corruption(name: str) -> Corruption:
    """The row of a corruption.

    Raises:
        SensorfuseError: no corruption has that name.
    """
    for corruption in CORRUPTIONS:
        if corruption.name == name:
            return corruption
    raise SensorfuseError(f"no corruption is called {name!r}; choose one of: {', '.join(corruption_names())}")
