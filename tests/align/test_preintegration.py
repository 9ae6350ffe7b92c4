"""Pre-integration against an exact trajectory, against fine steps, and its covariance against drawn noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sensorfuse.align.preintegration import DOUBT_RADPS, DOUBT_S, ImuNoise, Preintegrated, preintegrate
from sensorfuse.geometry import Transform
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.scene.rigid_motion import GRAVITY_MPS2
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.imu import exact_imu

STEPS = np.arange(61) * 0.005


def samples(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rates and forces of a body that swings about all axes, at STEPS."""
    phase = np.random.default_rng(seed).uniform(0, 6, (2, 3))
    gyro = 1.5 * np.sin(STEPS[:, None] * [7.0, 11.0, 5.0] + phase[0])
    return gyro, 4.0 * np.cos(STEPS[:, None] * [5.0, 3.0, 9.0] + phase[1]) + [0.0, 0.0, 9.8]


def log_rotation(rotation: np.ndarray) -> np.ndarray:
    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())


def differences(a: Preintegrated, b: Preintegrated) -> np.ndarray:
    """(9,) of rotation, velocity, position: what b is more than a."""
    return np.concatenate([log_rotation(a.rotation.T @ b.rotation), b.velocity - a.velocity, b.position - a.position])


@pytest.mark.parametrize("carrier", ["handheld", "drone"])
def test_exact_trajectory(carrier: str) -> None:
    world = World(load_scenario(carrier), 1)
    mount = Transform.from_rpy([0.1, -0.05, 0.02], [0.3, -0.2, 1.0])
    for start in (9.0, 17.3):
        t = start + np.arange(101) * 0.0025
        gyro, accel = exact_imu(world, t, mount)
        found = preintegrate(t - start, gyro, accel)
        ends = world.ego(t[[0, -1]])
        place, velocity, _ = ends.at(mount.translation)
        a, b = (ends.rotation[k] @ mount.rotation for k in (0, 1))
        gravity, dt = np.array([0.0, 0.0, -GRAVITY_MPS2]), found.dt_s
        assert np.linalg.norm(log_rotation(found.rotation.T @ a.T @ b)) < 5e-5
        np.testing.assert_allclose(a @ found.velocity, velocity[1] - velocity[0] - gravity * dt, atol=5e-4)
        moved = place[1] - place[0] - velocity[0] * dt - 0.5 * gravity * dt**2
        np.testing.assert_allclose(a @ found.position, moved, atol=1e-4)


def test_fine_steps_agree() -> None:
    """The same linear pieces of rate and force, integrated by a hundred small steps each."""
    gyro, accel = samples()
    fine = np.linspace(0.0, STEPS[-1], 100 * 60 + 1)
    many = [np.stack([np.interp(fine, STEPS, v[:, k]) for k in range(3)], axis=1) for v in (gyro, accel)]
    rotation, velocity, position = np.eye(3), np.zeros(3), np.zeros(3)
    dt = fine[1]
    for w, f in zip(*many, strict=True):
        position += velocity * dt
        velocity = velocity + rotation @ f * dt
        rotation = rotation @ Rotation.from_rotvec(w * dt).as_matrix()
    found = preintegrate(STEPS, gyro, accel)
    assert np.linalg.norm(log_rotation(found.rotation.T @ rotation)) < 2e-4
    np.testing.assert_allclose(found.velocity, velocity, atol=2e-3)
    np.testing.assert_allclose(found.position, position, atol=1e-3)


def test_biases_are_taken_out_to_first_order() -> None:
    gyro, accel = samples(1)
    for axis in range(3):
        for gyro_bias, accel_bias in ((1e-5, 0.0), (0.0, 1e-4)):
            b, c = gyro_bias * np.eye(3)[axis], accel_bias * np.eye(3)[axis]
            biased, clean = preintegrate(STEPS, gyro + b, accel + c), preintegrate(STEPS, gyro, accel)
            rotation, velocity, position = biased.without_bias(b, c)
            size = np.abs(differences(clean, biased)).max()
            assert np.abs(log_rotation(clean.rotation.T @ rotation)).max() < 2e-4 * size
            assert np.abs(velocity - clean.velocity).max() < 2e-4 * size
            assert np.abs(position - clean.position).max() < 2e-4 * size


def test_covariance_is_that_of_drawn_noise() -> None:
    gyro, accel = samples(2)
    rng, noise = np.random.default_rng(0), ImuNoise(2e-3, 2e-2)
    clean = preintegrate(STEPS, gyro, accel, noise)
    errors = []
    for _ in range(1500):
        w, f = (rng.normal(0, density * np.sqrt(200.0), gyro.shape) for density in (noise.gyro, noise.accel))
        errors.append(differences(clean, preintegrate(STEPS, gyro + w, accel + f)))
    drawn = np.cov(np.array(errors).T)
    sigma = np.sqrt(np.diag(clean.covariance))
    np.testing.assert_allclose(np.sqrt(np.diag(drawn)) / sigma, 1.0, atol=0.08)
    scale = np.outer(sigma, sigma)
    np.testing.assert_allclose(drawn / scale, clean.covariance / scale, atol=0.1)


def test_doubt_widens_and_nothing_is_nothing() -> None:
    gyro, accel = samples()
    doubted = np.zeros(60, bool)
    doubted[20:24] = True
    plain, wide = preintegrate(STEPS, gyro, accel), preintegrate(STEPS, gyro, accel, None, doubted)
    np.testing.assert_array_equal(plain.rotation, wide.rotation)
    assert wide.covariance[0, 0] - plain.covariance[0, 0] == pytest.approx(DOUBT_RADPS**2 * DOUBT_S * 0.02)
    still = preintegrate(np.zeros(1), gyro[:1], accel[:1])
    assert still.dt_s == 0
    assert not still.covariance.any()
    with pytest.raises(ValueError, match="expected"):
        preintegrate(STEPS, gyro[:-1], accel)
