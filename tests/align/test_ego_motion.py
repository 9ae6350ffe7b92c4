"""Ego motion against closed-form motion on a circle, fine steps, and the simulated carriers."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.deskew import BodyMotion
from sensorfuse.align.ego_motion import EgoMotion, out_of_range
from sensorfuse.bench.motion import Carrier
from sensorfuse.geometry import Transform, motion_between
from sensorfuse.messages import Tick
from sensorfuse.sensor_config import ImuConfig
from sensorfuse.wire import decode_record, encode_record

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
    """Any rates at any times; a hole of two seconds in them, turning about one axis; times before and after them."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.choice(np.arange(S, 6 * S, 1_000_000), 2500, replace=False))
    times = times[(times < 2 * S) | (times > 4 * S)]
    rates = rng.normal(0, 0.5, (len(times), 3))
    before, after = np.flatnonzero(times < 2 * S)[-1], np.flatnonzero(times > 4 * S)[0]
    rates[[0, before, after, -1]] *= [0.0, 0.0, 1.0]
    ego = EgoMotion()
    ego.push_rates(times, rates)
    ego.push_velocity(S, np.array([8.0, 0.5, 0.0]), np.array([0.01, 0.01, 0.01]))
    ego.advance(S // 2)
    slow, step = Transform.identity(), 1_000_000
    for t in range(S // 2, 8 * S, step):
        rate, sigma = ego.rate_at(t + step // 2)
        rate = np.zeros(3) if np.isinf(sigma).any() else rate
        slow = slow @ motion_between(np.concatenate([[8.0, 0.5, 0.0], rate]), step / 1e9).inverse()
        if (t + step) % (S // 10) == 0:
            np.testing.assert_allclose(ego.advance(t + step), slow.matrix(), atol=2e-3)


@pytest.fixture(scope="module")
def walked() -> tuple[Carrier, list[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]]:
    """Somebody walks for ten seconds; per tick its time, twist, sigma, pose and the pose's covariance."""
    carrier = Carrier("handheld", 1)
    rows = []
    for t in carrier.run(10.0, 10.0):
        twist, sigma = carrier.ego.twist_at(t)
        rows.append((t, twist, sigma, carrier.ego.advance(t), carrier.ego.pose_covariance()))
    return carrier, rows


def test_velocity_follows_every_step_of_a_walk(walked: tuple[Carrier, list]) -> None:
    """Measured at 10 Hz to 5 cm/s; its sigma is honest."""
    carrier, rows = walked
    errors = np.array([twist[:3] - carrier.velocity(t) for t, twist, *_ in rows[30:]])
    share = errors / np.array([sigma[:3] for _, _, sigma, *_ in rows[30:]])
    assert np.sqrt(np.mean(errors**2)) < 0.04
    assert 0.3 < np.mean(share**2) < 1.5


def test_pose_drifts_no_more_than_it_says(walked: tuple[Carrier, list]) -> None:
    carrier, rows = walked
    (t0, _, _, start, said0), (t1, _, _, end, said1) = rows[30], rows[-1]
    rotation, place = carrier.poses(np.array([t0, t1]))
    moved = np.linalg.inv(start) @ end
    off = np.linalg.norm(moved[:3, 3] - rotation[0].T @ (place[1] - place[0]))
    turn = np.linalg.norm(moved[:3, :3] - rotation[0].T @ rotation[1]) / np.sqrt(2)
    sigma = np.sqrt(np.diag(said1) - np.diag(said0))
    assert off < 3 * np.linalg.norm(sigma[:3])
    assert turn < 3 * np.linalg.norm(sigma[3:])
    assert sigma[:3].max() < 0.5
    assert np.linalg.eigvalsh(said1).min() > 0


def test_recent_motion_is_the_real_one_and_travels(walked: tuple[Carrier, list]) -> None:
    carrier, rows = walked
    t = rows[-1][0] - 200_000_000
    after, poses = carrier.ego.recent_motion(t)
    assert after[0] == -200_000_000
    assert after[-1] >= 200_000_000
    rotation, place = carrier.poses(t + after)
    now, here = carrier.poses(np.array([t]))
    np.testing.assert_allclose(poses[:, :, :3], now[0].T @ rotation, atol=3e-4)
    np.testing.assert_allclose(poses[:, :, 3], (place - here[0]) @ now[0], atol=0.02)
    tick = Tick(0, t, t, False, [], np.eye(4), rows[-1][1], rows[-1][2])
    tick.pose_covariance, tick.motion_ns, tick.motion = rows[-1][4], after, poses
    got = decode_record(encode_record("tick", tick), Tick)
    np.testing.assert_array_equal(BodyMotion.of_tick(got).poses, poses)
    np.testing.assert_array_equal(got.pose_covariance, tick.pose_covariance)


@pytest.mark.parametrize("carrier", ["car", "drone"])
def test_a_second_without_velocities(carrier: str) -> None:
    """Forces carry the velocity on, wherever down is; without them it can only be held, and its sigma grows."""
    ego = Carrier(carrier, 0)
    errors, sigmas = {}, {}
    for t in ego.run(14.0, 8.3, velocity_until_s=21.05):
        twist, sigma = ego.ego.twist_at(t)
        errors[t], sigmas[t] = np.linalg.norm(twist[:3] - ego.velocity(t)), float(sigma[0])
    assert errors[22 * S] < 0.15
    assert sigmas[21 * S] < sigmas[22 * S] < 0.3
    assert errors[22 * S] < 4 * sigmas[22 * S]


def test_velocity_at_a_lever_and_late_or_early_measurements() -> None:
    """A body that spins about its base under an IMU 0.5 m away; velocities come before the samples, and late."""
    rate, lever = np.array([0.0, 0.0, 2.0]), np.array([0.5, 0.0, 0.0])
    force = np.cross(rate, np.cross(rate, lever)) + [0.0, 0.0, 9.8]
    ego = EgoMotion()
    for k in range(40):
        t = S + (10 * k + np.arange(10, dtype=np.int64)) * 5_000_000
        ego.push_velocity(int(t[5]), np.zeros(3), np.full(3, 0.05))  # before its samples
        ego.push_rates(t, np.tile(rate, (10, 1)), np.tile(force, (10, 1)), lever)
        ego.push_velocity(int(t[2]), np.zeros(3), np.full(3, 0.05))  # older than what is known
    twist, sigma = ego.twist_at(int(t[-1]))
    np.testing.assert_allclose(twist[:3], 0.0, atol=0.05)
    assert sigma[0] < 0.05
    start = int(t[0])
    np.testing.assert_allclose(ego.poses(start, t)[:, :, 3], 0.0, atol=0.01)


def test_holes_and_saturation_are_said() -> None:
    ego = EgoMotion()
    t = S + np.arange(200, dtype=np.int64) * 5_000_000
    ego.push_rates(t[:100], np.zeros((100, 3)))
    ego.push_rates(t[110:], np.zeros((90, 3)), saturated=np.arange(90) == 40)
    assert not ego.extrapolated(int(t[10]), int(t[90]))
    assert ego.extrapolated(int(t[90]), int(t[120]))  # a hole
    assert ego.extrapolated(int(t[145]), int(t[155]))  # out of range
    assert ego.extrapolated(int(t[190]), int(t[-1]) + 100_000_000)  # beyond the newest
    assert ego.rate_at(int(t[104]))[1][0] > 10 * ego.rate_at(int(t[50]))[1][0]
    sharp, wide = EgoMotion(), ego
    sharp.push_rates(t, np.zeros((200, 3)))
    for one in (sharp, wide):
        one.advance(int(t[0]))
        one.advance(int(t[-1]))
    assert wide.pose_covariance()[5, 5] > 4 * sharp.pose_covariance()[5, 5]
    assert EgoMotion().extrapolated(0, S)


def test_preintegrated_is_that_of_the_samples() -> None:
    ego = EgoMotion()
    t = S + np.arange(20, dtype=np.int64) * 5_000_000
    ego.push_rates(t, np.tile([0.0, 0.0, 0.3], (20, 1)), np.tile([1.0, 0.0, 9.8], (20, 1)))
    block = ego.preintegrated(int(t[2]), int(t[12]))
    assert Transform(block.rotation, np.zeros(3)).yaw() == pytest.approx(0.3 * 0.05)
    assert block.velocity[2] == pytest.approx(9.8 * 0.05)


def test_out_of_range_by_either_sensor() -> None:
    config = ImuConfig(gyro_range_radps=4.0, accel_range_mps2=50.0)
    gyro = np.array([[0, 0, 3.9], [0, -4.0, 0], [0, 0, 0], [0, 0, 0]])
    accel = np.array([[0, 0, 9.8], [0, 0, 9.8], [0, 0, -50.0], [0, 0, 49.0]])
    np.testing.assert_array_equal(out_of_range(gyro, accel, config), [False, True, True, False])


def test_a_twin_takes_over_pose_and_covariance() -> None:
    ego, pose = EgoMotion(), Transform.from_rpy([1.0, 2.0, 3.0], [0.0, 0.0, 0.5]).matrix()
    ego.adopt(pose, S, 0.04 * np.eye(6))
    ego.adopt(pose, S, np.full((6, 6), np.nan))  # not known: what is known stays
    np.testing.assert_allclose(ego.advance(S), pose)
    np.testing.assert_allclose(ego.pose_covariance(), 0.04 * np.eye(6))


def test_answers_follow_what_comes_in_between() -> None:
    """The same question asked again after new rates and velocities."""
    ego = EgoMotion()
    ego.push_velocity(S, np.array([5.0, 0.0, 0.0]), np.full(3, 0.1))
    first = ego.twist_at(2 * S)[1][0]
    ego.push_velocity(S + S // 2, np.array([5.0, 0.0, 0.0]), np.full(3, 0.1))
    assert ego.twist_at(2 * S)[1][0] < first


def test_a_clock_set_back_begins_anew() -> None:
    """A log that starts over: rates, and velocities alone."""
    for with_rates in (True, False):
        ego = EgoMotion()
        for start in (100 * S, 10 * S):
            for k in range(20):
                t = start + k * 50_000_000 + np.arange(10, dtype=np.int64) * 5_000_000
                if with_rates:
                    rate, force = [0.0, 0.0, start / S / 100], [0.0, start**2 / S**2 / 1000, 9.8]  # of a bend
                    ego.push_rates(t, np.tile(rate, (10, 1)), np.tile(force, (10, 1)))
                ego.push_velocity(int(t[0]), np.array([start / S / 10, 0.0, 0.0]), np.full(3, 0.1))
            twist, sigma = ego.twist_at(start + S)
            assert twist[0] == pytest.approx(start / S / 10, abs=0.2)
            assert sigma[0] < 0.5
            assert twist[5] == pytest.approx(start / S / 100 if with_rates else 0.0)
    late = EgoMotion()
    late.push_velocity(100 * S, np.array([5.0, 0.0, 0.0]), np.full(3, 0.1))
    late.push_velocity(10 * S, np.array([1.0, 0.0, 0.0]), np.full(3, 0.1))  # one that is late changes nothing
    assert late.twist_at(100 * S)[0][0] == 5.0


def test_pose_and_motion_at_once_are_those_asked_for_one_by_one() -> None:
    both, single = EgoMotion(), EgoMotion()
    for ego in (both, single):
        assert np.array_equal(ego.advance(S), np.eye(4))
    rng = np.random.default_rng(0)
    for k in range(1, 12):
        times = np.arange(20, dtype=np.int64) * 5_000_000 + S + k * 100_000_000 - 30_000_000
        rates, forces = rng.normal(0, 0.5, (20, 3)), rng.normal([0, 0, 9.8], 0.5, (20, 3))
        speed = rng.normal([5.0, 0.0, 0.0], 0.1)
        for ego in (both, single):
            ego.push_rates(times, rates, forces)
            ego.push_velocity(int(times[3]), speed, np.array([0.1, 0.1, np.inf]))
        t = S + k * 100_000_000 + (80_000_000 if k % 3 else 0)  # before and after the newest rate
        pose, after, motion = both.advance_with_motion(t)
        assert np.array_equal(pose, single.advance(t))
        alone = single.recent_motion(t)
        assert np.array_equal(after, alone[0])
        assert np.array_equal(motion, alone[1])
        assert np.array_equal(both.pose_covariance(), single.pose_covariance())
