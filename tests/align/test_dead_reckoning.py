"""Dead reckoning: steps add up, and the doubt about them grows as a straight drive's in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.dead_reckoning import GYRO_BIAS_RADPS, GYRO_NOISE, SAME_ERROR_S, DeadReckoning
from sensorfuse.align.velocity_filter import UNSEEN_VELOCITY_MPS, UNSEEN_VELOCITY_S
from sensorfuse.geometry import Transform

S = 1_000_000_000
SEEN = np.ones(3, np.bool_)


def test_steps_add_up_to_the_whole_way() -> None:
    rng = np.random.default_rng(0)
    odometry, slow = DeadReckoning(), Transform.identity()
    odometry.t_ns = S
    for k in range(20):
        step = Transform.from_rpy(rng.normal(0, 1, 3), rng.normal(0, 0.3, 3))
        back = np.ascontiguousarray(step.inverse().matrix()[:3])
        odometry.go(S + (k + 1) * S // 10, back, np.zeros((6, 6)), SEEN, 0.0, 0.0)
        slow = slow @ step
    np.testing.assert_allclose(odometry.pose(), slow.matrix(), atol=1e-12)
    assert odometry.t_ns == 3 * S


def test_a_straight_drive_is_known_as_its_velocity_and_heading_are() -> None:
    odometry, sigma_mps, speed = DeadReckoning(), 0.1, 10.0
    odometry.t_ns = 0
    back = np.hstack([np.eye(3), [[-speed / 10], [0.0], [0.0]]])
    known = np.eye(6) * sigma_mps**2
    for k in range(100):
        odometry.go((k + 1) * S // 10, back, known, np.array([True, True, False]), 0.0, 0.0)
    variance = np.diag(odometry.covariance())
    assert variance[0] == pytest.approx(sigma_mps**2 * 2 * SAME_ERROR_S * 10.0)
    assert variance[2] > 0.9 * UNSEEN_VELOCITY_MPS**2 * 2 * UNSEEN_VELOCITY_S * 10.0
    assert variance[5] == pytest.approx(GYRO_NOISE**2 * 10.0 + GYRO_BIAS_RADPS**2 * 100.0)
    assert variance[1] > 100 * variance[0] * variance[5], "the heading's doubt leads the way aside"
    np.testing.assert_allclose(odometry.covariance(), odometry.covariance().T)


def test_what_is_handed_out_is_a_copy() -> None:
    odometry = DeadReckoning()
    odometry.pose()[0, 3] = odometry.covariance()[0, 0] = 5.0
    np.testing.assert_array_equal(odometry.pose(), np.eye(4))
    np.testing.assert_array_equal(odometry.covariance(), np.zeros((6, 6)))
