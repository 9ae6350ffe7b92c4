"""One sensor of a rig: what follows from its few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sensorfuse.sensor_config import PoseConfig, SensorConfig


def sensor(modality: str, **more: Any) -> SensorConfig:
    return SensorConfig(**{"modality": modality, "rate_hz": 200, "frame": "f", "T_base_sensor": {}, **more})


def test_an_imus_messages_hold_several_samples() -> None:
    imu = sensor("imu", imu={"samples_per_message": 5})
    assert imu.message_rate_hz == 40
    assert imu.period_ns == 25_000_000
    assert imu.max_age_ns == 62_500_000
    assert sensor("radar", max_age_s=0.3, offset_s=-0.05).max_age_ns == 300_000_000
    assert sensor("radar", offset_s=-0.05).offset_ns == -50_000_000


def test_a_mount_is_the_same_in_every_notation() -> None:
    turned = PoseConfig(xyz=(1, 2, 3), rpy_deg=(0, 0, 90))
    half = float(np.sqrt(0.5))
    by_quaternion = PoseConfig(xyz=(1, 2, 3), quaternion_xyzw=(0, 0, half, half))
    rows = ((0, -1, 0, 1), (1, 0, 0, 2), (0, 0, 1, 3), (0, 0, 0, 1))
    for other in (by_quaternion, PoseConfig(matrix=rows)):
        np.testing.assert_allclose(other.transform().matrix(), turned.transform().matrix(), atol=1e-12)
    np.testing.assert_allclose(turned.transform().matrix(), rows, atol=1e-12)


@pytest.mark.parametrize(
    ("modality", "more", "words"),
    [
        ("lidar", {"rate_hz": 1000}, "1000 Hz is impossible for lidar"),
        ("camera", {}, "a camera needs intrinsics"),
        ("radar", {"imu": {}}, "a radar takes no 'imu' block"),
        ("radar", {"T_base_sensor": {"xyz": (1500, 0, 0)}}, "is xyz in metres"),
        ("radar", {"T_base_sensor": {"rpy_deg": (0, 0, 1), "quaternion_xyzw": (0, 0, 0, 1)}}, "give one of"),
    ],
)
def test_sensors_that_cannot_be(modality: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        sensor(modality, **{"rate_hz": 20, **more})
