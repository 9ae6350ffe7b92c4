"""Fusing the objects of two sensors against the information form."""

from __future__ import annotations

import numpy as np
import pytest
from track_worlds import make_detections

from sensorfuse.align.deskew import BodyMotion
from sensorfuse.messages import Detections
from sensorfuse.track.object_fusion import combine_pairs, fuse_detections, match_detections
from sensorfuse.track.timed import TimedDetections, move_detections


def test_places_combine_by_inverse_covariance() -> None:
    a = make_detections(np.array([[10.0, 0.0]]), sigma_m=0.2)
    b = make_detections(np.array([[11.0, 0.4]]), sigma_m=0.6, velocity=np.array([[5.0, 0.0]]), score=0.5)
    fused = combine_pairs(a, b)
    weights = np.array([1 / 0.04, 1 / 0.36])
    expected = (weights[0] * a.center[0, :2] + weights[1] * b.center[0, :2]) / weights.sum()
    np.testing.assert_allclose(fused.center[0, :2], expected)
    np.testing.assert_allclose(fused.covariance[0, :2, :2], np.eye(2) / weights.sum())
    np.testing.assert_allclose(fused.velocity[0], [5.0, 0.0])
    assert fused.score[0] == pytest.approx(1 - 0.2 * 0.5)
    assert combine_pairs(a, b, weight=0.5).score[0] == pytest.approx(1 - 0.2 * 0.75)


def test_known_velocity_corrects_the_lag_of_the_other() -> None:
    """LiDAR saw a car 0.1 s ago; radar knows that it does 20 m/s: the fused place is 2 m further on."""
    late = move_detections(
        TimedDetections(make_detections(np.array([[10.0, 0.0]])), np.zeros(1, np.int64)),
        -100_000_000,
        BodyMotion.from_twist(np.zeros(6)),
    )
    radar = make_detections(np.array([[12.3, 0.0]]), sigma_m=0.8, velocity=np.array([[20.0, 0.0]]))
    fused = combine_pairs(late, radar)
    assert fused.center[0, 0] == pytest.approx(12.0, abs=0.05)


def test_neither_knows_the_velocity() -> None:
    fused = combine_pairs(make_detections(np.array([[10.0, 0.0]])), make_detections(np.array([[10.2, 0.0]])))
    assert np.isnan(fused.velocity).all()
    assert np.linalg.eigvalsh(fused.covariance[0]).min() > 0


def test_heading_takes_the_side_of_the_velocity() -> None:
    a = make_detections(np.array([[10.0, 0.0]]))
    a.yaw[:] = 0.1
    b = make_detections(np.array([[10.0, 0.0]]), velocity=np.array([[-8.0, 0.0]]))
    assert combine_pairs(a, b).yaw[0] == pytest.approx(0.1 - np.pi)


def test_matching_is_one_to_one_and_gated() -> None:
    a = make_detections(np.array([[10.0, 0.0], [20.0, 0.0]]), sigma_m=0.3)
    b = make_detections(np.array([[20.3, 0.1], [10.1, 0.3], [40.0, 0.0]]), sigma_m=0.3)
    assert sorted(map(tuple, match_detections(a, b).tolist())) == [(0, 1), (1, 0)]


def test_every_object_comes_out_once_with_shares_that_sum_to_one() -> None:
    a = make_detections(np.array([[10.0, 0.0], [20.0, 0.0]]), sigma_m=0.2)
    b = make_detections(np.array([[20.2, 0.1], [21.3, 0.3], [40.0, 5.0]]), sigma_m=0.5, velocity=np.zeros((3, 2)))
    fused, shares = fuse_detections([(a, 1.0), (b, 0.7)])
    # The second echo of the car at 20 m is gone.
    assert sorted(fused.center[:, 0].round().tolist()) == [10.0, 20.0, 40.0]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    both = int(np.argmin(np.abs(fused.center[:, 0] - 20)))
    assert shares[both, 0] > shares[both, 1] > 0
    assert shares[int(np.argmax(fused.center[:, 0]))].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("parts", [[], [0], [0, 0], [3, 0], [0, 3]])
def test_empty_sources(parts: list[int]) -> None:
    sources = [(make_detections(np.arange(2 * n).reshape(n, 2) * 9.0) if n else Detections.empty(), 1.0) for n in parts]
    fused, shares = fuse_detections(sources)
    assert len(fused) == sum(parts)
    assert shares.shape == (sum(parts), len(parts))
