"""The relative pose error: zero for the same motion in another world, the known drift for a drifting one."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.ego_scoring import PoseTrack, score_ego_motion
from sensorfuse.geometry import Transform, exp_rotation
from sensorfuse.messages import Detections, Truth

S = 1_000_000_000


def turning(t_s: float, rate: float = 0.5, speed: float = 3.0) -> Transform:
    """On a circle, tilted."""
    radius, angle = speed / rate, rate * t_s
    place = np.array([radius * np.sin(angle), radius * (1 - np.cos(angle)), 0.0])
    return Transform.from_rpy([0, 0, 0], [0.2, -0.1, 0.0]) @ Transform(exp_rotation([0, 0, angle]), place)


def test_the_same_motion_from_another_origin_has_no_error() -> None:
    elsewhere = Transform.from_rpy([5.0, -2.0, 1.0], [0.4, 1.0, -2.0])
    rows = [(k * S // 10, (elsewhere @ turning(k / 10)).matrix(), turning(k / 10).matrix()) for k in range(50)]
    score = score_ego_motion(rows)
    assert score is not None
    assert score["pairs"] == 40
    assert score["rotation_p95_deg"] == pytest.approx(0.0, abs=1e-5)
    assert score["position_p95_m"] == pytest.approx(0.0, abs=1e-9)
    assert score["true_rotation_median_deg"] == pytest.approx(np.degrees(0.5), abs=1e-6)
    assert score["true_distance_median_m"] == pytest.approx(2 * 6.0 * np.sin(0.25), abs=1e-9)


def test_a_biased_gyro_and_a_wrong_speed_show_as_what_they_are() -> None:
    rows = [(k * S // 10, turning(k / 10, 0.51).matrix(), turning(k / 10, 0.5).matrix()) for k in range(50)]
    score = score_ego_motion(rows, 2 * S)
    assert score is not None
    assert score["rotation_median_deg"] == pytest.approx(np.degrees(0.02), abs=1e-6)
    straight = np.eye(4)
    rows = []
    for k in range(30):
        fast, slow = straight.copy(), straight.copy()
        fast[0, 3], slow[0, 3] = 2.2 * k / 10, 2.0 * k / 10
        rows.append((k * S // 10, fast, slow))
    score = score_ego_motion(rows)
    assert score is not None
    assert score["position_median_m"] == pytest.approx(0.2, abs=1e-9)


def test_without_pairs_there_is_no_score() -> None:
    assert score_ego_motion([]) is None
    assert score_ego_motion([(0, np.eye(4), np.eye(4)), (3 * S, np.eye(4), np.eye(4))]) is None


def test_poses_between_the_known_ones() -> None:
    empty = Detections.empty()
    known = [Truth(k * S // 50, empty, turning(k / 50).matrix()) for k in range(50)] + [
        Truth(3 * S, empty, turning(3.0).matrix()),
        Truth(3 * S + 1, empty),
    ]
    track = PoseTrack(known)
    np.testing.assert_array_equal(track.at(S // 50), known[1].pose)
    between = track.at(S // 100)
    assert between is not None
    np.testing.assert_allclose(between[:3, :3], turning(0.01).rotation, atol=1e-9)
    np.testing.assert_allclose(between[:3, 3], turning(0.01).translation, atol=1e-4)
    assert track.at(2 * S) is None
    assert track.at(-1) is None
    assert track.at(4 * S) is None
    assert PoseTrack([]).at(0) is None
