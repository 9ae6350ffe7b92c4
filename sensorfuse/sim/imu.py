"""An inertial sensor: exact angular rate and specific force at its place, white noise and a random walk of its bias.

Specific force at a lever arm r of a body: R^T (a + g z) + alpha x r + omega x (omega x r), all in body axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.rig import ImuConfig
from sensorfuse.sim.noise import message_rng
from sensorfuse.sim.world import World

Array = NDArray[np.float64]

GRAVITY_MPS2 = 9.80665
_CHUNK = 1024  # messages of bias drawn at a time


def exact_imu(world: World, t_s: Array, T_base_sensor: Transform) -> tuple[Array, Array]:
    """Noise-free angular rate and specific force, (N, 3) each, in sensor axes at times (N,)."""
    ego = world.ego(t_s)
    pull = ego.at(T_base_sensor.translation)[2] + [0.0, 0.0, GRAVITY_MPS2]
    force = np.einsum("kji,kj->ki", ego.rotation, pull)
    return ego.rate @ T_base_sensor.rotation, force @ T_base_sensor.rotation


class ImuModel:
    """One IMU in one world."""

    def __init__(
        self, world: World, config: ImuConfig, rate_hz: float, T_base_sensor: Transform, seed: int, stream: str
    ) -> None:
        self.world, self.config, self.rate_hz, self.pose = world, config, rate_hz, T_base_sensor
        self._seed, self._stream = seed, stream
        self._bias = [np.zeros((1, 6))]  # per chunk: the bias at the start of each message, and after the last

    def _bias_chunk(self, chunk: int) -> Array:
        """Bias (CHUNK + 1, 6) at the starts of messages `chunk * CHUNK` on; chunks are drawn in order and kept."""
        config = self.config
        step = np.sqrt(config.samples_per_message / self.rate_hz)
        sigma = step * np.repeat([config.gyro_random_walk, config.accel_random_walk], 3)
        while len(self._bias) <= chunk + 1:
            rng = message_rng(self._seed, f"{self._stream}/bias", len(self._bias))
            walk = np.vstack([np.zeros((1, 6)), np.cumsum(rng.normal(0, sigma, (_CHUNK, 6)), axis=0)])
            self._bias.append(self._bias[-1][-1] + walk)
        return self._bias[chunk + 1]

    def batch(self, t_s: Array, k: int) -> tuple[Array, Array]:
        """Measured angular rate and specific force, (N, 3) each, of message `k` at times (N,), clipped to range."""
        config, n = self.config, len(t_s)
        gyro, accel = exact_imu(self.world, t_s, self.pose)
        rng = message_rng(self._seed, self._stream, k)
        white = rng.standard_normal((n, 6)) * np.sqrt(self.rate_hz)
        chunk = self._bias_chunk(k // _CHUNK)
        share = (np.arange(n) / n)[:, None]
        bias = (1 - share) * chunk[k % _CHUNK] + share * chunk[k % _CHUNK + 1]
        gyro += config.gyro_noise_density * white[:, :3] + bias[:, :3]
        accel += config.accel_noise_density * white[:, 3:] + bias[:, 3:]
        gyro_range, accel_range = config.gyro_range_radps, config.accel_range_mps2
        return np.clip(gyro, -gyro_range, gyro_range), np.clip(accel, -accel_range, accel_range)
