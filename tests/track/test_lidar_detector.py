"""LiDAR objects in ray-cast worlds, ground removal on slopes and in fog."""

from __future__ import annotations

import numpy as np
import pytest
from track_worlds import cast_sweep

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES
from sensorfuse.track.ground import height_above_ground
from sensorfuse.track.lidar_detector import LidarDetector, LidarDetectorConfig

MOUNT = Transform.from_rpy([1.0, 0.0, 1.9], [0.0, 0.0, 0.0])
CAR = (4.4, 1.8, 1.5)


def box(x: float, y: float, yaw: float = 0.0, size: tuple[float, float, float] = CAR) -> list[float]:
    return [x, y, size[2] / 2, *size, yaw]


@pytest.mark.parametrize(
    ("x", "y", "yaw"), [(12, 0, 0.0), (15, 6, 0.3), (-10, -5, 2.0), (20, -8, 1.2), (8, 4, -0.5), (28, 3, 0.1)]
)
def test_one_car_is_found_where_it_stands(x: float, y: float, yaw: float) -> None:
    found = LidarDetector().detect(cast_sweep(np.array([box(x, y, yaw)]), MOUNT), MOUNT).detections
    assert len(found) == 1
    assert CLASSES[found.class_id[0]] == "car"
    assert np.hypot(*(found.center[0, :2] - [x, y])) < 0.6
    assert abs((found.yaw[0] - yaw + np.pi / 2) % np.pi - np.pi / 2) < 0.12
    np.testing.assert_allclose(found.size[0], CAR, atol=0.5)
    assert found.score[0] > 0.5
    assert np.isnan(found.velocity).all()
    assert np.linalg.eigvalsh(found.covariance[0]).min() > 0


def test_classes_follow_from_size() -> None:
    kinds = {
        "pedestrian": (0.5, 0.5, 1.75),
        "car": CAR,
        "truck": (8.5, 2.5, 3.3),
        "cyclist": (1.8, 0.6, 1.75),
    }
    boxes = np.array([box(9, 8 * k - 12, np.pi / 4, size) for k, size in enumerate(kinds.values())])
    found = LidarDetector().detect(cast_sweep(boxes, MOUNT, columns=1024), MOUNT).detections
    for k, name in enumerate(kinds):
        nearest = int(np.argmin(np.hypot(*(found.center[:, :2] - boxes[k, :2]).T)))
        assert CLASSES[found.class_id[nearest]] == name


def test_the_mounting_is_undone() -> None:
    """The same world seen by a LiDAR that is turned and elsewhere gives the same boxes."""
    boxes = np.array([box(14, 3, 0.4), box(-9, 6, 1.0)])
    turned = Transform.from_rpy([-0.5, 0.4, 1.7], [0.0, 0.0, -np.pi / 2])
    plain, other = (LidarDetector().detect(cast_sweep(boxes, m), m).detections for m in (MOUNT, turned))
    for found in (plain, other):
        assert (found.score > 0.5).sum() == 2
        found = found.select(found.score > 0.5)
        away = np.hypot(*(found.center[:, None, :2] - boxes[None, :, :2]).transpose(2, 0, 1))
        assert away.min(axis=0).max() < 0.6


def test_walls_and_bare_ground_are_no_objects() -> None:
    wall = [15.0, 20.0, 4.0, 60.0, 0.5, 8.0, 0.0]
    found = LidarDetector().detect(cast_sweep(np.array([wall]), MOUNT), MOUNT).detections
    assert (found.score < 0.5).all()
    bare = LidarDetector().detect(cast_sweep(np.zeros((0, 7)), MOUNT, slope=0.04), MOUNT).detections
    assert len(bare) == 0


def test_what_reaches_out_of_the_field_of_view_is_no_van() -> None:
    """A pillar of a van's footprint, its top beyond the highest beam, against the van itself."""
    van, pillar = (5.3, 2.0, 2.3), (5.3, 2.0, 9.0)
    scores = []
    for size in (van, pillar):
        found = LidarDetector().detect(cast_sweep(np.array([box(5, 4, 0.2, size)]), MOUNT), MOUNT).detections
        scores.append(float(found.score.max(initial=0.0)))
    assert scores[0] > 0.6
    assert scores[1] < 0.4


def test_fog_does_not_lift_the_ground() -> None:
    cloud = cast_sweep(np.array([box(12, 2)]), MOUNT)
    rng = np.random.default_rng(1)
    drops = rng.random(len(cloud)) < 0.25
    length = np.linalg.norm(cloud, axis=1)
    short = np.minimum(rng.exponential(3.0, len(cloud)) + 1.0, length)
    foggy = np.where(drops[:, None], cloud / length[:, None] * short[:, None], cloud).astype(np.float32)
    with_drops = foggy[np.isfinite(foggy).all(axis=1)]
    height = height_above_ground(MOUNT @ with_drops, MOUNT.translation)
    plain = (MOUNT @ with_drops)[:, 2]
    assert np.median(np.abs(height - plain)) < 0.05  # ground at z = 0
    found = LidarDetector().detect(foggy, MOUNT).detections
    best = found.select(np.array([int(np.argmax(found.score))]))
    assert np.hypot(*(best.center[0, :2] - [12, 2])) < 0.7


@pytest.mark.parametrize("slope", [-0.05, 0.0, 0.06])
def test_height_is_over_the_local_ground(slope: float) -> None:
    cloud = cast_sweep(np.zeros((0, 7)), MOUNT, slope=slope)
    points = MOUNT @ cloud[np.isfinite(cloud).all(axis=1)]
    assert np.quantile(np.abs(height_above_ground(points, MOUNT.translation)), 0.98) < 0.15


def test_a_base_that_is_not_on_the_road_makes_no_difference() -> None:
    """A rig whose base_link hangs 1.9 m over the road: the ground is found where it is."""
    low = Transform.from_rpy([1.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    cloud = cast_sweep(np.array([box(12, 2)]), MOUNT)
    found = LidarDetector().detect(cloud, low).detections
    assert len(found) == 1
    assert found.center[0, 2] == pytest.approx(0.75 - 1.9, abs=0.2)


def test_each_object_has_its_own_instant() -> None:
    boxes = np.array([box(12, 6), box(-12, -6)])
    cloud = cast_sweep(boxes, MOUNT)
    azimuth = np.arctan2(cloud[:, 1], cloud[:, 0])
    time_ns = np.nan_to_num((np.pi - azimuth) / (2 * np.pi) * 1e8).astype(np.int32)
    timed = LidarDetector().detect(cloud, MOUNT, time_ns)
    for center, t in zip(timed.detections.center, timed.time_ns, strict=True):
        expected = (np.pi - np.arctan2(center[1], center[0] - 1.0)) / (2 * np.pi) * 1e8
        assert abs(t - expected) < 6e6


@pytest.mark.parametrize("cloud", [np.zeros((0, 3)), np.full((50, 3), np.nan), np.full((9, 3), 1e9), np.zeros((5, 3))])
def test_empty_and_senseless_clouds_give_nothing(cloud: np.ndarray) -> None:
    assert len(LidarDetector().detect(cloud.astype(np.float32), MOUNT).detections) == 0


def test_range_limit() -> None:
    cloud = cast_sweep(np.array([box(12, 2)]), MOUNT)
    assert len(LidarDetector(LidarDetectorConfig(max_range_m=8.0)).detect(cloud, MOUNT).detections) == 0
