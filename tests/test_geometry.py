"""Rigid transforms against SciPy's rotations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sensorfuse import geometry as g


@pytest.mark.parametrize("seed", range(20))
def test_rotations_agree_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=seed)
    matrix = rotation.as_matrix()
    assert np.allclose(g.matrix_from_quaternion(rotation.as_quat()), matrix)
    assert np.allclose(g.matrix_from_quaternion(g.quaternion_from_matrix(matrix)), matrix)
    assert np.allclose(g.exp_rotation(rotation.as_rotvec()), matrix)
    rpy = rng.uniform(-1.5, 1.5, 3)
    assert np.allclose(g.matrix_from_rpy(rpy), Rotation.from_euler("xyz", rpy).as_matrix())


def test_transform_group() -> None:
    a = g.Transform.from_rpy([1.0, 2.0, 3.0], [0.1, -0.2, 0.3])
    b = g.Transform.from_quaternion([-1.0, 0.5, 0.0], Rotation.random(random_state=1).as_quat())
    points = np.random.default_rng(0).normal(size=(5, 3))
    assert np.allclose((a @ b) @ points, a @ (b @ points))
    assert np.allclose((a @ a.inverse()).matrix(), np.eye(4))
    assert np.allclose(g.Transform.from_matrix(a.matrix()).matrix(), a.matrix())


@pytest.mark.parametrize("bad", [np.eye(3), np.diag([1.0, 1, -1, 1]), 2 * np.eye(4), np.full((4, 4), np.nan)])
def test_what_is_no_transform_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="transform matrix"):
        g.Transform.from_matrix(bad)
    with pytest.raises(ValueError, match="quaternion"):
        g.matrix_from_quaternion([0, 0, 0, 0])


def test_motion_between_follows_a_circle() -> None:
    speed, rate, dt = 8.0, 0.4, 0.05
    pose = g.Transform.identity()
    for _ in range(40):
        pose = pose @ g.motion_between([speed, 0, 0, 0, 0, rate], dt).inverse()
    angle = rate * dt * 40
    assert np.allclose(pose.translation[:2], speed / rate * np.array([np.sin(angle), 1 - np.cos(angle)]), atol=1e-3)


def test_wrap_angle() -> None:
    assert np.allclose(g.wrap_angle([0.0, np.pi + 0.1, -np.pi - 0.1, 4 * np.pi]), [0, -np.pi + 0.1, np.pi - 0.1, 0])
