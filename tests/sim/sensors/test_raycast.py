"""Rays against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sim.scene.shapes import BOX, COLUMNS, COS, CYLINDER, SIN, part
from sensorfuse.sim.sensors.raycast import GROUND, SKY, cast_rays


def scene(*parts: np.ndarray) -> np.ndarray:
    return np.stack(parts) if parts else np.zeros((0, COLUMNS))


def turned(row: np.ndarray, yaw: float) -> np.ndarray:
    row[COS], row[SIN] = np.cos(yaw), np.sin(yaw)
    return row


def test_ground_is_at_height_over_sine() -> None:
    down = np.radians([5.0, 30.0, 80.0])
    rays = np.column_stack([np.cos(down), np.zeros(3), -np.sin(down)])
    distance, hit = cast_rays(scene(), np.array([3.0, -2.0, 1.9]), rays, 100.0)
    np.testing.assert_allclose(distance, 1.9 / np.sin(down), rtol=1e-9)
    assert (hit == GROUND).all()
    assert cast_rays(scene(), np.array([0.0, 0.0, 1.9]), -rays, 100.0)[1].tolist() == [SKY] * 3


@pytest.mark.parametrize("yaw", [0.0, 0.7, 2.9])
def test_box_face_by_the_plane_equation(yaw: float) -> None:
    box = turned(part(BOX, (20.0, 5.0, 2.0), (3.0, 1.5, 1.0), (0, 0, 0)), yaw)
    origin = np.array([1.0, 2.0, 1.5])
    rng = np.random.default_rng(0)
    axes = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1.0]])
    half = np.array([3.0, 1.5, 1.0])
    targets = np.array([20.0, 5.0, 2.0]) + (rng.uniform(-1, 1, (500, 3)) * half) @ axes
    rays = targets - origin
    distance, hit = cast_rays(scene(box), origin, rays, 200.0)
    assert (hit == 0).all()  # each ray aims inside the box
    unit = rays / np.linalg.norm(rays, axis=1)[:, None]
    places = origin + distance[:, None] * unit
    local = np.abs((places - [20.0, 5.0, 2.0]) @ axes.T) / half
    np.testing.assert_allclose(local.max(axis=1), 1.0, atol=1e-9)  # on a face
    outward = np.sign((places - [20.0, 5.0, 2.0]) @ axes.T) * (local > 1 - 1e-7) @ axes
    assert ((outward * unit).sum(axis=1) < 0).all()  # on a face that looks at the sensor


def test_cylinder_by_the_quadratic() -> None:
    cylinder = part(CYLINDER, (10.0, 0.0, 2.0), (0.5, 0.5, 2.0), (0, 0, 0))
    offsets = np.array([0.0, 0.2, -0.4, 0.499, 0.51])
    origin = np.array([0.0, 0.0, 1.0])
    for y in offsets:
        angle = np.arcsin(y / 10.0)
        distance, hit = cast_rays(scene(cylinder), origin, np.array([[np.cos(angle), np.sin(angle), 0.0]]), 50.0)
        if abs(y) < 0.5:
            assert distance[0] == pytest.approx(10 * np.cos(angle) - np.sqrt(0.25 - y * y), rel=1e-9)
            assert hit[0] == 0
        else:
            assert hit[0] == SKY


def test_the_nearest_wins_in_any_order_and_rays_pass_over() -> None:
    near = part(BOX, (10.0, 0.0, 0.5), (1.0, 1.0, 0.5), (0, 0, 0))
    far = part(BOX, (30.0, 0.0, 5.0), (1.0, 8.0, 5.0), (0, 0, 0))
    origin = np.array([0.0, 0.0, 1.9])
    rays = np.array([[1.0, 0.0, -0.12], [1.0, 0.0, 0.05]])
    for parts, first, second in ((scene(near, far), 0, 1), (scene(far, near), 1, 0)):
        distance, hit = cast_rays(parts, origin, rays, 100.0)
        assert hit.tolist() == [first, second]
        assert distance[0] == pytest.approx(0.9 / 0.12 * np.hypot(1, 0.12) if 0.9 / 0.12 > 9 else 9 * np.hypot(1, 0.12))
        assert distance[1] == pytest.approx(29 * np.hypot(1, 0.05))
