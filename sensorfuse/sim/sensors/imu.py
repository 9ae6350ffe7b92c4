"""An inertial sensor: exact angular rate and specific force at its place, white noise, a drifting bias, saturation and
quantisation.

Specific force at a lever arm r of a body: R^T (a + g z) + alpha x r + omega x (omega x r), all in body axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import ImuConfig
from sensorfuse.sim.noise import message_rng
from sensorfuse.sim.scene.rigid_motion import GRAVITY_MPS2
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.imu_bias import ImuBias

Array = NDArray[np.float64]


def exact_imu(world: World, t_s: Array, T_base_sensor: Transform) -> tuple[Array, Array]:
    """Noise-free angular rate and specific force, (N, 3) each, in sensor axes at times (N,)."""
    ego = world.ego(t_s)
    pull = ego.at(T_base_sensor.translation)[2] + [0.0, 0.0, GRAVITY_MPS2]
    force = np.einsum("kji,kj->ki", ego.rotation, pull)
    return ego.rate @ T_base_sensor.rotation, force @ T_base_sensor.rotation


def digitise(value: Array, full_scale: float, resolution: float) -> Array:
    """Values clipped to +-`full_scale` and rounded to whole counts of `resolution` (0: not rounded)."""
    if resolution == 0:
        return np.clip(value, -full_scale, full_scale)
    most = np.floor(full_scale / resolution + 1e-9)
    return np.asarray(np.clip(np.rint(value / resolution), -most, most) * resolution)


class ImuModel:
    """One IMU in one world."""

    def __init__(
        self, world: World, config: ImuConfig, rate_hz: float, T_base_sensor: Transform, seed: int, stream: str
    ) -> None:
        self.world, self.config, self.rate_hz, self.pose = world, config, rate_hz, T_base_sensor
        self._seed, self._stream = seed, stream
        self._bias = ImuBias(config, rate_hz, seed, stream)

    def batch(self, t_s: Array, k: int) -> tuple[Array, Array]:
        """Measured angular rate and specific force, (N, 3) each, of message `k` at times (N,)."""
        config, n = self.config, len(t_s)
        gyro, accel = exact_imu(self.world, t_s, self.pose)
        rng = message_rng(self._seed, self._stream, k)
        error = rng.standard_normal((n, 6)) * np.sqrt(self.rate_hz)
        error *= np.repeat([config.gyro_noise_density, config.accel_noise_density], 3)
        error += self._bias.at(k * config.samples_per_message, n)
        return (
            digitise(gyro + error[:, :3], config.gyro_range_radps, config.gyro_resolution_radps),
            digitise(accel + error[:, 3:], config.accel_range_mps2, config.accel_resolution_mps2),
        )
