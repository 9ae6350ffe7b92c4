"""Ego motion against closed-form motion on a circle."""

from __future__ import annotations

import numpy as np

from sensorfuse.align.ego_motion import EgoMotion
from sensorfuse.geometry import Transform, motion_between

S = 1_000_000_000


def test_circle_is_followed() -> None:
    ego = EgoMotion()
    speed, rate = 10.0, 0.5
    times = np.arange(0, 4 * S, 5_000_000, dtype=np.int64) + S
    ego.push_rates(times, np.tile([0.0, 0.0, rate], (len(times), 1)))
    ego.push_velocity(S, np.array([speed, 0.0, 0.0]), np.array([0.01, 0.01, 0.01]))
    ego.advance(S)
    pose = ego.advance(4 * S)
    angle = rate * 3.0
    radius = speed / rate
    assert np.allclose(pose[:3, 3], [radius * np.sin(angle), radius * (1 - np.cos(angle)), 0.0], atol=1e-3)
    assert np.isclose(Transform.from_matrix(pose).yaw(), angle, atol=1e-9)


def test_without_sensors_nothing_is_claimed() -> None:
    twist, sigma = EgoMotion().twist_at(S)
    assert np.all(twist == 0)
    assert np.all(np.isinf(sigma))


def test_rate_interpolates_and_ages() -> None:
    ego = EgoMotion()
    ego.push_rates(np.array([S, 2 * S]), np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 3.0]]))
    assert np.allclose(ego.rate_at(S + S // 4)[0], [0, 0, 1.5])
    late, sigma = ego.rate_at(2 * S + S // 2)
    assert np.allclose(late, [0, 0, 3.0])
    assert sigma[0] > ego.rate_at(S + S // 4)[1][0]
    assert np.isinf(ego.rate_at(4 * S)[1]).all()


def test_velocity_outlier_is_disbelieved_until_it_persists() -> None:
    ego = EgoMotion()
    sigma = np.array([0.1, 0.1, np.inf])
    for k in range(20):
        ego.push_velocity(S + k * S // 10, np.array([10.0, 0.0, 0.0]), sigma)
    ego.push_velocity(3 * S + S // 10, np.array([40.0, 0.0, 0.0]), sigma)
    assert abs(ego.twist_at(3 * S + S // 10)[0][0] - 10) < 0.5
    for k in range(60):
        ego.push_velocity(4 * S + k * S // 10, np.array([40.0, 0.0, 0.0]), sigma)
    assert abs(ego.twist_at(10 * S)[0][0] - 40) < 1.0


def test_adopted_pose_is_continued() -> None:
    ego = EgoMotion()
    start = Transform.from_rpy([5.0, 6.0, 0.0], [0.0, 0.0, 1.0]).matrix()
    ego.adopt(start, S)
    ego.push_velocity(S, np.array([2.0, 0.0, 0.0]), np.array([0.1, 0.1, 0.1]))
    moved = ego.advance(2 * S)
    assert np.allclose(moved[:2, 3] - start[:2, 3], 2.0 * np.array([np.cos(1.0), np.sin(1.0)]), atol=1e-6)


def test_integration_agrees_with_small_steps_of_one_twist_each() -> None:
    """Any rates at any times, a hole of two seconds in them, and times before and after them."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.choice(np.arange(S, 6 * S, 1_000_000), 400, replace=False))
    times = times[(times < 2 * S) | (times > 4 * S)]
    ego = EgoMotion()
    ego.push_rates(times, rng.normal(0, 0.5, (len(times), 3)))
    ego.push_velocity(S, np.array([8.0, 0.5, 0.0]), np.array([0.01, 0.01, 0.01]))
    ego.advance(S // 2)
    slow, last_ns = Transform.identity(), S // 2
    for tick_ns in range(S // 2, 8 * S, S // 10):
        for t in [t for t in times.tolist() if last_ns < t < tick_ns] + [tick_ns]:
            rate, sigma = ego.rate_at((last_ns + t) // 2)
            rate = np.zeros(3) if np.isinf(sigma).any() else rate
            twist = np.concatenate([[8.0, 0.5, 0.0], rate])
            slow, last_ns = slow @ motion_between(twist, (t - last_ns) / 1e9).inverse(), t
        np.testing.assert_allclose(ego.advance(tick_ns), slow.matrix(), atol=1e-9)
