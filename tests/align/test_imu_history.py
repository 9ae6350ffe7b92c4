"""The running products against going through the samples, and what holes, lost order and age do."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.imu_history import ImuHistory

S = 1_000_000_000
STEP = 5_000_000


def swinging(seconds: float, start_ns: int = 7 * S) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    t = start_ns + np.arange(round(seconds * 200), dtype=np.int64) * STEP
    s = (t[:, None] - start_ns) / 1e9
    return t, np.sin(s * [7.0, 4.0, 5.0]), 3.0 * np.cos(s * [2.0, 3.0, 5.0]) + [0.0, 0.0, 9.8]


def filled(seconds: float = 2.0) -> ImuHistory:
    history = ImuHistory()
    t, gyro, accel = swinging(seconds)
    for k in range(0, len(t), 10):
        history.push(t[k : k + 10], gyro[k : k + 10], accel[k : k + 10])
    return history


def test_any_interval_agrees_with_the_samples() -> None:
    history, rng = filled(), np.random.default_rng(0)
    for start, end in np.sort(rng.integers(7 * S, 9 * S - STEP, (40, 2)), axis=1).tolist():
        fast, slow = history.motions(start, np.array([end])), history.preintegrate(start, end)
        np.testing.assert_allclose(fast.rotation[0], slow.rotation, atol=1e-6)
        np.testing.assert_allclose(fast.velocity[0], slow.velocity, atol=2e-5)
        np.testing.assert_allclose(fast.position[0], slow.position, atol=2e-5)
        assert fast.doubt_s[0] == 0


def test_there_and_back_is_nowhere() -> None:
    history = filled()
    a, b = 7 * S + 123_456_789, 8 * S + 777_777
    there, back = history.motions(a, np.array([b])), history.motions(b, np.array([a]))
    np.testing.assert_allclose(there.rotation[0] @ back.rotation[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(there.velocity[0] + there.rotation[0] @ back.velocity[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(there.sway[0] + there.rotation[0] @ back.sway[0], 0.0, atol=1e-12)


def test_sway_is_the_integral_of_the_rotation() -> None:
    history = filled()
    ends = 7 * S + np.arange(1, 1001) * 1_000_000
    many = history.motions(7 * S, ends)
    np.testing.assert_allclose(many.sway[-1], (many.rotation.sum(axis=0) - 0.5 * many.rotation[-1] + 0.5 * np.eye(3)) / 1e3, atol=1e-5)  # fmt: skip  # noqa: E501


def test_old_samples_are_forgotten_and_nothing_changes() -> None:
    long, short = filled(40.0), ImuHistory()
    t, gyro, accel = swinging(40.0)
    short.push(t[-500:], gyro[-500:], accel[-500:])
    a, b = int(t[-450]) + 3_000_000, int(t[-3]) + 1
    np.testing.assert_allclose(
        long.motions(a, np.array([b])).position, short.motions(a, np.array([b])).position, atol=1e-5
    )
    assert long.first_ns is not None
    assert int(t[-1]) - 3 * S >= long.first_ns > int(t[0])
    assert len(long._times) <= 4096


def test_what_comes_out_of_order_is_left_out() -> None:
    history = filled()
    before = history.motions(7 * S, np.array([8 * S])).rotation
    history.push(np.array([7 * S + 1, 7 * S + 2]), np.ones((2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(history.motions(7 * S, np.array([8 * S])).rotation, before)


def test_holes_saturation_and_the_ends_are_in_doubt() -> None:
    history = ImuHistory()
    t, gyro, accel = swinging(1.0)
    kept = np.ones(len(t), bool)
    kept[100:108] = False  # 45 ms
    saturated = np.zeros(len(t), bool)
    saturated[150] = True
    for k in range(0, len(t), 10):
        rows = np.arange(k, k + 10)[kept[k : k + 10]]
        if len(rows):
            history.push(t[rows], gyro[rows], accel[rows], saturated[rows])
    at = lambda a, b: float(history.motions(7 * S + a * 1_000_000, np.array([7 * S + b * 1_000_000])).doubt_s[0])  # noqa: E731
    assert at(0, 490) == 0
    assert at(490, 545) == pytest.approx(0.045)
    assert at(600, 900) == pytest.approx(0.005)
    assert history.rate_at(7 * S + 520_000_000)[2]
    assert not history.rate_at(7 * S + 5_000_000)[2]
    assert at(995, 1005) == 0  # up to three periods beyond the newest
    assert at(995, 1095) == pytest.approx(0.1 - 0.015, abs=0.006)
    assert history.rate_at(7 * S + 1_100_000_000)[1] == pytest.approx(0.105)
    rate, away_s, doubted = history.rate_at(20 * S)
    assert not rate.any()
    assert doubted
    assert np.isinf(away_s)


def test_without_samples_nothing_moves() -> None:
    motion = ImuHistory().motions(S, np.array([2 * S, S // 2]))
    np.testing.assert_array_equal(motion.rotation, np.tile(np.eye(3), (2, 1, 1)))
    np.testing.assert_allclose(motion.sway[0], np.eye(3))
    np.testing.assert_allclose(motion.doubt_s, [1.0, 0.5])
    with pytest.raises(ValueError, match="samples"):
        ImuHistory().preintegrate(0, 1)
