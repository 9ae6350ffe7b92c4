"""Moving detections to the tick."""

from __future__ import annotations

import numpy as np
from track_worlds import make_detections

from sensorfuse.align.deskew import BodyMotion
from sensorfuse.geometry import motion_between
from sensorfuse.track.timed import TimedDetections, axis_covariance, move_detections

TWIST = np.array([10.0, 0.5, 0.0, 0.0, 0.0, 0.4])


def test_objects_move_by_their_velocity_and_the_egos() -> None:
    velocity = np.array([[5.0, 1.0], [0.0, 0.0]])
    found = make_detections(np.array([[20.0, 3.0], [-8.0, 4.0]]), velocity=velocity)
    times = np.array([10_000_000, 60_000_000])
    moved = move_detections(TimedDetections(found, times), -100_000_000, BodyMotion.from_twist(TWIST))
    for k, lag in enumerate([0.09, 0.04]):
        T_now_then = motion_between(TWIST, lag)
        there = found.center[k] + np.array([*velocity[k] * lag, 0.0])
        np.testing.assert_allclose(moved.center[k], T_now_then @ there)
        np.testing.assert_allclose(moved.velocity[k], T_now_then.rotation[:2, :2] @ velocity[k])
        np.testing.assert_allclose(moved.yaw[k], T_now_then.yaw())


def test_the_future_moves_back() -> None:
    found = make_detections(np.array([[20.0, 3.0]]), velocity=np.array([[5.0, 1.0]]))
    there = move_detections(TimedDetections(found, np.zeros(1, np.int64)), -50_000_000, BodyMotion.from_twist(TWIST))
    back = move_detections(TimedDetections(there, np.zeros(1, np.int64)), 50_000_000, BodyMotion.from_twist(TWIST))
    np.testing.assert_allclose(back.center, found.center, atol=1e-3)


def test_unknown_velocity_stays_unknown_and_widens_the_place() -> None:
    found = make_detections(np.array([[20.0, 3.0]]), sigma_m=0.2)
    moved = move_detections(
        TimedDetections(found, np.zeros(1, np.int64)), -100_000_000, BodyMotion.from_twist(np.zeros(6))
    )
    assert np.isnan(moved.velocity).all()
    np.testing.assert_allclose(moved.covariance[0, 0, 0], 0.04 + 0.01 * 64)
    np.testing.assert_allclose(found.covariance[0, 0, 0], 0.04)  # the evidence itself is left as it was


def test_an_object_of_known_velocity_may_have_accelerated() -> None:
    found = make_detections(np.array([[20.0, 3.0]]), velocity=np.array([[5.0, 1.0]]))
    spreads = []
    for lag_ns in (100_000_000, 200_000_000):
        moved = move_detections(
            TimedDetections(found, np.zeros(1, np.int64)), -lag_ns, BodyMotion.from_twist(np.zeros(6))
        )
        steady = found.covariance[0, 0, 0] + (lag_ns / 1e9) ** 2 * found.covariance[0, 2, 2]
        spreads.append(moved.covariance[0, 0, 0] - steady)
        assert moved.covariance[0, 2, 2] > found.covariance[0, 2, 2]
    np.testing.assert_allclose(spreads[1] / spreads[0], 16.0, rtol=1e-6)  # of place, with the square of the lag


def test_axis_covariance_is_turned() -> None:
    square = axis_covariance(np.array([np.pi / 2]), np.array([2.0]), np.array([0.5]))[0]
    np.testing.assert_allclose(square, np.diag([0.25, 4.0]), atol=1e-12)
