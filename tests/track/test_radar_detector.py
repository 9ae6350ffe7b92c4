"""Ego velocity and objects from synthetic detection lists."""

from __future__ import annotations

import numpy as np
import pytest
from track_worlds import radar_list

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES
from sensorfuse.track.radar_detector import RadarDetector, base_velocity, ego_velocity

MOUNT = Transform.from_rpy([2.3, 0.4, 0.6], [0.0, 0.0, 0.2])


def static_points(n: int, rng: np.random.Generator) -> np.ndarray:
    azimuth, distance = rng.uniform(-0.9, 0.9, n) + 0.2, rng.uniform(5, 60, n)
    return np.column_stack([2.3 + distance * np.cos(azimuth), 0.4 + distance * np.sin(azimuth)])


@pytest.mark.parametrize("outliers", [0, 12, 24])
@pytest.mark.parametrize("velocity", [(12.0, 0.0), (0.0, 0.0), (6.0, 1.5), (-3.0, 0.0)])
def test_ego_velocity_among_moving_objects(velocity: tuple[float, float], outliers: int) -> None:
    rng = np.random.default_rng(5)
    points = static_points(40 + outliers, rng)
    moving = np.zeros((len(points), 2))
    moving[40:] = rng.normal(0, 8, (outliers, 2)) + [4.0, 0.0]
    sensor = np.array(velocity)
    got, sigma, inliers = ego_velocity(radar_list(points, moving, sensor, MOUNT, 1.0, rng), MOUNT)
    assert np.abs(got - sensor).max() < 0.3
    assert np.abs(got - sensor).max() < 6 * sigma.max()
    assert inliers[:40].mean() > 0.85
    assert inliers[40:].sum() <= 0.35 * max(outliers, 1)


def test_ego_velocity_is_exact_without_noise() -> None:
    rng = np.random.default_rng(0)
    points = static_points(20, rng)
    detections = radar_list(points, np.zeros((20, 2)), np.array([9.0, -0.7]), MOUNT, 0.0, rng)
    got, _, inliers = ego_velocity(detections, MOUNT)
    np.testing.assert_allclose(got, [9.0, -0.7], atol=1e-4)
    assert inliers.all()


@pytest.mark.parametrize("case", ["none", "few", "one direction", "chaos"])
def test_ego_velocity_says_when_it_is_not_observable(case: str) -> None:
    rng = np.random.default_rng(1)
    points = {
        "none": np.zeros((0, 2)),
        "few": static_points(3, rng),
        "one direction": np.column_stack([np.linspace(10, 50, 15), np.full(15, 0.4)]),
        "chaos": static_points(20, rng),
    }[case]
    velocities = rng.normal(0, 15, points.shape) if case == "chaos" else np.zeros(points.shape)
    got, sigma, inliers = ego_velocity(radar_list(points, velocities, np.array([8.0, 0]), MOUNT, 0.0, rng), MOUNT)
    assert np.isinf(sigma).all()
    assert not got.any()
    assert not inliers.any()


def test_lever_arm() -> None:
    """A body that turns in place moves its sensor; the base stands."""
    rate, (x, y) = 0.5, MOUNT.translation[:2]
    np.testing.assert_allclose(base_velocity(rate * np.array([-y, x]), MOUNT, rate), 0.0, atol=1e-12)


def scene(rng: np.random.Generator, target_velocity: np.ndarray, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """40 standing points, and a car's rear at (25, 1) with five echoes."""
    car = np.array([25.0, 1.0]) + np.array([[0, -0.8], [0, 0], [0, 0.8], [1.0, -0.9], [2.0, -0.9]])
    points = np.vstack([static_points(40, rng), car])
    velocities = np.zeros((45, 2))
    velocities[40:] = target_velocity
    return points, radar_list(points, velocities, np.array([10.0, 0.0]), MOUNT, noise, rng)


def test_a_moving_car_is_found_with_its_velocity_over_ground() -> None:
    points, detections = scene(np.random.default_rng(2), np.array([6.0, 0.0]))
    detector = RadarDetector()
    found = detector.detect(detector.returns(detections, MOUNT))
    best = int(np.argmax(found.score))
    assert np.hypot(*(found.center[best, :2] - [27.0, 1.0])) < 1.2  # the middle of the car behind the echoes
    assert found.velocity[best, 0] == pytest.approx(6.0, abs=0.6)
    assert CLASSES[found.class_id[best]] == "car"
    along, across = found.covariance[best, 2, 2], found.covariance[best, 3, 3]
    assert along < 1.0 < across  # Doppler sees along the line of sight only
    standing = found.select(np.arange(len(found)) != best)
    assert (standing.score < found.score[best] / 2).all()
    assert np.hypot(*standing.velocity.T).max(initial=0.0) < 1.0
    assert len(points) == 45


def test_a_better_ego_velocity_is_used() -> None:
    """Without enough standing echoes, velocity comes from elsewhere, or stays unknown."""
    rng = np.random.default_rng(3)
    points = np.array([[25.0, 1.0], [25.0, 1.6], [25.2, 0.4]])
    detections = radar_list(points, np.full((3, 2), [6.0, 0.0]), np.array([10.0, 0.0]), MOUNT, 0.0, rng)
    detector = RadarDetector()
    returns = detector.returns(detections, MOUNT)
    alone = detector.detect(returns)
    assert np.isnan(alone.velocity).all()
    helped = detector.detect(returns, np.array([10.0, 0.0]))
    assert helped.velocity[int(np.argmax(helped.score)), 0] == pytest.approx(6.0, abs=0.3)


def test_empty_list() -> None:
    detector = RadarDetector()
    assert len(detector.detect(detector.returns(np.zeros((0, 5), np.float32), MOUNT))) == 0
