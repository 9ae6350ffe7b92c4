"""Noise of the IMU: the Allan deviation of simulated data gives back what the rig file says.

Overlapping Allan deviation: Riley, NIST Special Publication 1065 (2008), section 5.2.4. Its confidence follows from
the number of independent averages: 6 axes of an hour give 5 % at tau = 60 s.
"""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import ImuConfig
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.imu import ImuModel, exact_imu
from sensorfuse.sim.sensors.imu_bias import ImuBias

RATE_HZ = 100.0
OFF = {
    "gyro_noise_density": 0.0, "accel_noise_density": 0.0, "gyro_random_walk": 0.0, "accel_random_walk": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    return World(load_scenario("town"), 0)


def allan_deviation(values: np.ndarray, rate_hz: float, tau_s: float) -> np.ndarray:
    """Overlapping Allan deviation (D,) of values (N, D) at one averaging time."""
    m = round(tau_s * rate_hz)
    phase = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)]) / rate_hz
    second = phase[2 * m :] - 2 * phase[m:-m] + phase[: -2 * m]
    return np.asarray(np.sqrt((second**2).mean(axis=0) / 2) / (m / rate_hz))


def errors(world: World, config: ImuConfig, seconds: float, seed: int = 0) -> np.ndarray:
    """What the IMU measures less what is true (N, 6)."""
    model = ImuModel(world, config, RATE_HZ, Transform.identity(), seed, "imu")
    n, out = config.samples_per_message, []
    for k in range(int(seconds * RATE_HZ / n)):
        t = (k * n + np.arange(n)) / RATE_HZ
        out.append(np.hstack(model.batch(t, k)) - np.hstack(exact_imu(world, t, Transform.identity())))
    return np.vstack(out)


def level(values: np.ndarray, tau_s: float) -> float:
    """Allan deviation over all axes."""
    return float(np.sqrt((allan_deviation(values, RATE_HZ, tau_s) ** 2).mean()))


def test_white_noise_falls_with_the_root_of_the_averaging_time(world: World) -> None:
    density = 2e-4, 2e-3
    noise = {"gyro_noise_density": density[0], "accel_noise_density": density[1]}
    config = ImuConfig(**OFF | noise, samples_per_message=1000)
    data = errors(world, config, 600.0)
    for axes, value in zip((slice(0, 3), slice(3, 6)), density, strict=True):
        for tau in (0.02, 0.2, 2.0):
            assert level(data[:, axes], tau) * np.sqrt(tau) == pytest.approx(value, rel=0.07)


def test_bias_instability_is_the_flat_floor_over_two_decades(world: World) -> None:
    floor = 5e-5, 5e-4
    config = ImuConfig(
        **OFF, gyro_bias_instability_radps=floor[0], accel_bias_instability_mps2=floor[1], samples_per_message=4000
    )
    data = errors(world, config, 5400.0) / np.repeat(floor, 3)
    for tau in (2.0, 6.0, 20.0, 60.0):
        assert level(data, tau) == pytest.approx(1.0, abs=0.1)
    assert level(data, 200.0) == pytest.approx(1.0, abs=0.25)


def test_random_walk_grows_with_the_root_of_the_averaging_time(world: World) -> None:
    walk = 2e-5, 3e-3
    config = ImuConfig(**OFF | {"gyro_random_walk": walk[0], "accel_random_walk": walk[1]}, samples_per_message=4000)
    data = errors(world, config, 3600.0) / np.repeat(walk, 3)
    for tau, tolerance in ((1.0, 0.05), (10.0, 0.08), (40.0, 0.15)):
        assert level(data, tau) / np.sqrt(tau / 3) == pytest.approx(1.0, rel=tolerance)


def test_all_three_together_show_in_their_own_part_of_the_curve(world: World) -> None:
    config = ImuConfig(
        gyro_noise_density=1e-4, gyro_random_walk=2e-6, gyro_bias_instability_radps=8e-5, samples_per_message=4000
    )
    data = errors(world, config, 3600.0)[:, :3]
    for tau in (0.05, 0.5, 5.0, 50.0):
        expected = np.sqrt(1e-8 / tau + 4e-12 * tau / 3 + (8e-5 if tau > 1 else 6e-5) ** 2)  # the floor fades below 1 s
        assert level(data, tau) == pytest.approx(expected, rel=0.15)


def test_bias_does_not_depend_on_what_is_asked_first_nor_on_how_samples_are_packed() -> None:
    config = ImuConfig(gyro_bias_instability_radps=1e-4, accel_bias_instability_mps2=1e-3)
    forwards, backwards = (ImuBias(config, 200.0, 3, "imu") for _ in range(2))
    spans = [(0, 10), (10_235, 10), (33_000, 7), (5, 30)]
    first = [forwards.at(*span) for span in spans]
    last = [backwards.at(*span) for span in reversed(spans)][::-1]
    for a, b in zip(first, last, strict=True):
        np.testing.assert_array_equal(a, b)
    whole = forwards.at(10_200, 100)
    np.testing.assert_array_equal(whole[35:45], first[1])
    assert not np.allclose(ImuBias(config, 200.0, 4, "imu").at(0, 10), first[0])


def test_bias_has_no_jumps_between_chunks() -> None:
    config = ImuConfig(accel_random_walk=1e-2, accel_bias_instability_mps2=1e-2)
    bias = ImuBias(config, 200.0, 1, "imu").at(10_000, 1000)  # a chunk ends after 10240 samples
    steps = np.abs(np.diff(bias, axis=0))[:, 3:]
    assert steps[235:245].max() < 5 * np.sqrt((steps**2).mean())


def test_switching_instability_on_leaves_the_walk_and_the_white_noise_alone(world: World) -> None:
    t = 5.0 + np.arange(10) / 200.0
    plain = ImuModel(world, ImuConfig(), 200.0, Transform.identity(), 0, "imu").batch(t, 100)
    faint = ImuConfig(gyro_bias_instability_radps=1e-15, accel_bias_instability_mps2=1e-15)
    drifting = ImuModel(world, faint, 200.0, Transform.identity(), 0, "imu").batch(t, 100)
    np.testing.assert_allclose(plain, drifting, atol=1e-12)
