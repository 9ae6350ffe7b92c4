"""Rigid motion: its derivatives are those of the pose, by central differences of a made-up smooth path."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from sensorfuse.sim.scene.rigid_motion import RigidMotion

H = 1e-4
LEVER = np.array([0.8, -0.3, 0.5])


def moving(t: np.ndarray) -> RigidMotion:
    """Sines of different amplitude and frequency in every axis."""
    size, speed, start = (
        np.array(v) for v in ([3.0, 5.0, 0.5, 0.4, 0.6, 2.0], [1.1, 0.7, 3.0, 2.0, 1.7, 0.9], range(6))
    )
    angle = t[:, None] * speed + start
    orders = np.stack([size * np.sin(angle), size * speed * np.cos(angle), -size * speed**2 * np.sin(angle)], axis=1)
    return RigidMotion.from_derivatives(orders[..., :3], orders[..., 3:])


def test_velocity_rate_and_their_derivatives_are_those_of_the_pose() -> None:
    t = np.linspace(0.0, 9.0, 40)
    now, before, after = moving(t), moving(t - H), moving(t + H)
    turned = np.stack(
        [Rotation.from_matrix(a.T @ b).as_rotvec() for a, b in zip(before.rotation, after.rotation, strict=True)]
    )
    np.testing.assert_allclose(now.rate, turned / (2 * H), atol=1e-5)
    np.testing.assert_allclose(now.spin, (after.rate - before.rate) / (2 * H), atol=1e-5)
    places = [m.at(LEVER)[0] for m in (before, now, after)]
    np.testing.assert_allclose(now.at(LEVER)[1], (places[2] - places[0]) / (2 * H), atol=1e-5)
    np.testing.assert_allclose(now.at(LEVER)[2], (places[0] - 2 * places[1] + places[2]) / H**2, atol=1e-4)


def test_yaw_is_the_heading_over_ground() -> None:
    place, rpy = np.zeros((2, 1, 3, 3))
    rpy[0, 0] = 0.3, -0.4, 2.1
    np.testing.assert_allclose(RigidMotion.from_derivatives(place, rpy).yaw, 2.1)
