"""Own motion from the messages of mounted sensors."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest

from sensorfuse.align.own_motion import MotionAtTick, OwnMotion
from sensorfuse.align.uncertain_offsets import UncertainOffsets
from sensorfuse.messages import BOUND_RANGE_M
from sensorfuse.rig import Rig, parse_rig
from sensorfuse.wire import Envelope

S = 1_000_000_000
T0 = 1000 * S
RATE_HZ = 100


@pytest.fixture
def rig() -> Rig:
    """The IMU's x axis looks to the left; the radar sits 2 m ahead."""
    return parse_rig("""
name: turned
sensors:
  imu: {modality: imu, rate_hz: 100, frame: imu, T_base_sensor: {rpy_deg: [0, 0, 90]}}
  radar: {modality: radar, rate_hz: 20, frame: radar, T_base_sensor: {xyz: [2, 0, 0]}}
fusion: {rate_hz: 10, modalities: [radar, imu]}
""")


def envelope(stream: str, k: int, stamp_ns: int, **signature: object) -> Envelope:
    return Envelope(stream, stream, k, 1, stamp_ns, stamp_ns, stamp_ns, stream, "start", "", {}, signature=signature)


def drive(motion: OwnMotion, rig: Rig, start_ns: int, turn_radps: list[float]) -> None:
    """Two seconds at 5 m/s of a turn that swings, as fast as `turn_radps` at the end: rates, forces, and a radar that
    sees the ground drift to a side too, as it does 2 m ahead of what it turns about.
    """
    offsets = UncertainOffsets(rig, {})
    for k in range(2 * RATE_HZ + 1):
        t = start_ns + k * S // RATE_HZ
        turn = np.array(turn_radps) * math.cos(math.pi * k / RATE_HZ)
        arrays = {
            "time_ns": np.zeros(1, np.int64),
            "gyro_radps": turn[None],
            "accel_mps2": np.array([[5.0 * turn[2], 0.0, 9.81]]),
        }
        motion.hear(envelope("imu", k, t), t, arrays, offsets)
        if k % 5 == 0:
            velocity, sigma = [5.0, 2 * turn[2], 0.0], [0.05, 0.05, 0.05]
            seen = envelope("radar", k, t, ego_velocity_mps=velocity, ego_velocity_sigma_mps=sigma)
            motion.hear(seen, t, None, offsets)


def test_rates_and_velocities_are_those_of_the_base(rig: Rig) -> None:
    motion = OwnMotion(rig, deque())
    drive(motion, rig, T0, [0.1, 0.0, 0.4])
    found = motion.at(T0 + 2 * S)
    np.testing.assert_allclose(found.twist[3:], [0.0, 0.1, 0.4], atol=0.02)  # its x axis is the base's y axis
    np.testing.assert_allclose(found.twist[:2], [5.0, 0.0], atol=0.1)  # the turn's share at the radar is gone


def test_a_failure_is_told_and_forgets_all_but_goes_on(rig: Rig) -> None:
    alerts: deque[str] = deque()
    motion = OwnMotion(rig, alerts)
    drive(motion, rig, T0, [0.0, 0.0, 0.4])
    motion._ego.push_rates(np.array([T0 + 3 * S]), np.full((1, 3), np.nan))
    assert np.isfinite(motion.at(T0 + 3 * S).twist).all()
    assert alerts[-1] == "own motion was lost and begins anew"
    assert np.isinf(motion.at(T0 + 4 * S).sigma).any(), "nothing is known of it any more"
    drive(motion, rig, T0 + 4 * S, [0.0, 0.0, 0.4])
    assert motion.at(T0 + 6 * S).twist[5] == pytest.approx(0.4, abs=0.02)


def test_what_lies_far_moves_by_speed_and_by_turn() -> None:
    nothing = np.zeros(0)
    twist = np.array([3.0, 4.0, 0.0, 0.0, 0.0, 0.5])
    known = MotionAtTick(np.eye(4), np.eye(6), nothing.astype(np.int64), nothing, twist, np.ones(6))
    assert known.bound_mps() == pytest.approx(5.0 + 0.5 * BOUND_RANGE_M)
    known.sigma = np.array([1, 1, np.inf, 1, 1, 1])
    assert known.bound_mps() == math.inf
