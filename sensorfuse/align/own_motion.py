"""The robot's own motion, from what all streams tell of it."""

from __future__ import annotations

import math
from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.content.stream_history import numbers
from sensorfuse.align.ego_motion import EgoMotion, out_of_range
from sensorfuse.align.gyro_bias import GyroBias
from sensorfuse.align.uncertain_offsets import UncertainOffsets
from sensorfuse.errors import first_line
from sensorfuse.messages import BOUND_RANGE_M, Tick
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import ImuConfig
from sensorfuse.wire import Envelope

Floats = NDArray[np.float64]
SPEED_SIGMA_MPS = np.array([0.2, 0.2, 0.5])  # of a velocity that comes with the IMU's samples


@dataclass
class MotionAtTick:
    """`pose` (4, 4) in odometry axes with its covariance (6, 6); the motion about the tick (K, 3, 4) at times (K,) in
    nanoseconds from it; and `twist` (6,) with its sigma.
    """

    pose: Floats
    covariance: Floats
    times_ns: NDArray[np.int64]
    motion: Floats
    twist: Floats
    sigma: Floats

    def bound_mps(self) -> float:
        """How fast what lies `BOUND_RANGE_M` away may move as seen from the robot; infinite where that is unknown."""
        if not all(map(math.isfinite, self.sigma.tolist())):
            return math.inf
        speeds = self.twist.tolist()
        return math.hypot(*speeds[:3]) + math.hypot(*speeds[3:]) * BOUND_RANGE_M


class OwnMotion:
    """Feed it the messages that have arrays or a signature; ask at every tick.

    Args:
        rig: mounts and ranges of the sensors.
        alerts: where it says what went wrong.
    """

    def __init__(self, rig: Rig, alerts: MutableSequence[str]) -> None:
        self._sensors, self._alerts = rig.sensors, alerts
        self._mounts = {n: rig.sensors[n].T_base_sensor.transform() for n in rig.streams()}
        self._imus = [n for n in rig.streams() if rig.sensors[n].modality == "imu"]
        self._begin()

    def hear(
        self,
        envelope: Envelope,
        event_ns: int,
        arrays: dict[str, NDArray[Any]] | None,
        offsets: UncertainOffsets,
    ) -> None:
        """What a message tells of motion; `offsets` hear of it too."""
        T_base_sensor = self._mounts[envelope.stream]
        if arrays and "gyro_radps" in arrays:
            self._hear_imu(envelope.stream, event_ns, arrays, offsets)
        offsets.hear(envelope)
        velocity = numbers(envelope.signature, "ego_velocity_mps", 3)
        sigma = numbers(envelope.signature, "ego_velocity_sigma_mps", 3)
        if velocity is not None and sigma is not None:
            rate, _ = self._ego.rate_at(event_ns)
            self._ego.push_velocity(event_ns, velocity - np.cross(rate, T_base_sensor.translation), sigma)

    def at(self, t_ns: int) -> MotionAtTick:
        """The motion at a tick. What comes to no number, by whatever nobody caught, begins anew: no message may cost a
        tick.
        """
        try:
            found = self._at(t_ns)
            if all(map(math.isfinite, (*found.pose.flat, *found.twist.tolist()))):
                return found
        except Exception as error:
            self._alerts.append(f"own motion failed: {first_line(error)}")
        self._alerts.append("own motion was lost and begins anew")
        self._begin()
        return self._at(t_ns)

    def adopt(self, tick: Tick) -> None:
        """Take over the pose that another aligner found for a tick."""
        if np.isfinite(tick.pose).all():
            self._ego.adopt(tick.pose, tick.t_ref_ns, tick.pose_covariance)

    def _begin(self) -> None:
        self._ego = EgoMotion()
        self._gyro_bias = {n: GyroBias() for n in self._imus}

    def _at(self, t_ns: int) -> MotionAtTick:
        pose, times_ns, motion = self._ego.advance_with_motion(t_ns)
        twist, sigma = self._ego.twist_at(t_ns)
        return MotionAtTick(pose, self._ego.pose_covariance(), times_ns, motion, twist, sigma)

    def _hear_imu(self, name: str, event_ns: int, arrays: dict[str, NDArray[Any]], offsets: UncertainOffsets) -> None:
        T_base_sensor, bias = self._mounts[name], self._gyro_bias[name]
        if "accel_mps2" in arrays:
            bias.update(event_ns, arrays["gyro_radps"], arrays["accel_mps2"], self._ego.moves())
        gyro = (arrays["gyro_radps"] - bias.value) @ T_base_sensor.rotation.T
        times = event_ns + arrays["time_ns"]
        force, edge = None, None
        if "accel_mps2" in arrays:
            force = arrays["accel_mps2"] @ T_base_sensor.rotation.T
            imu = self._sensors[name].imu or ImuConfig()
            edge = out_of_range(arrays["gyro_radps"], arrays["accel_mps2"], imu)
        self._ego.push_rates(times, gyro, force, T_base_sensor.translation, edge)
        if name == offsets.reference:
            offsets.hear_reference(times, gyro)
        if "velocity_mps" in arrays:
            v = T_base_sensor.rotation @ arrays["velocity_mps"][-1]
            v = v - np.cross(gyro[-1], T_base_sensor.translation)
            self._ego.push_velocity(int(times[-1]), v, SPEED_SIGMA_MPS)
            offsets.hear_speed(int(times[-1]), v)
