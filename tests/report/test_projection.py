"""Where things land in pictures, against places worked out another way."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from fake_run import make_boxes, make_frame

from sensorfuse.geometry import Transform, motion_between
from sensorfuse.messages import Detections, FusedFrame, Sample
from sensorfuse.report.projection import (
    box_corners,
    boxes_in_image,
    camera_image,
    footprints,
    lidar_points,
    polar_grid,
    project,
    radar_points,
)
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import Intrinsics, PoseConfig, SensorConfig

TWIST = np.array([12.0, 0.5, 0.0, 0.0, 0.0, 0.4])


def moving_frame(rig: Rig, age_s: float) -> FusedFrame:
    frame = make_frame(rig, 3)
    frame.twist = TWIST
    for use in frame.uses:
        use.age_ns = round(age_s * 1e9)
    return frame


def one_box(x: float, y: float, **more) -> Detections:
    box = make_boxes(0.0, True).select(np.array([0]))
    box.center[:] = [x, y, 0.75]
    return replace(box, **more)


def test_points_move_with_the_rig_from_their_own_time(synthetic_rig: Rig) -> None:
    sensor = synthetic_rig.sensors["lidar"]
    frame = moving_frame(synthetic_rig, 0.1)
    fixed = np.random.default_rng(0).uniform(-30, 30, (500, 3))  # fixed in the world, base_link at the tick
    time_s = np.linspace(0.0, 0.1, 500)
    T_sensor_base = sensor.T_base_sensor.transform().inverse()
    seen = [T_sensor_base @ (motion_between(TWIST, 0.1 - t).inverse() @ p) for t, p in zip(time_s, fixed, strict=True)]
    arrays = {"points": np.array(seen, np.float32), "time_ns": (time_s * 1e9).astype(np.int32)}
    sample = Sample("other_name", "lidar", 0, 0, 0, "lidar_link", arrays)
    assert np.abs(lidar_points(sample, sensor, frame, "lidar") - fixed).max() < 0.08
    del arrays["time_ns"]
    assert np.abs(lidar_points(sample, sensor, frame, "lidar") - fixed).max() > 0.5, (
        "without times a sweep stays skewed"
    )
    arrays["points"][7] = np.nan
    assert len(lidar_points(sample, sensor, frame, "lidar")) == 499


def test_radar_detections_land_on_what_they_saw(synthetic_rig: Rig) -> None:
    sensor = synthetic_rig.sensors["radar"]
    frame = moving_frame(synthetic_rig, 0.05)
    target = np.array([[20.0, -6.0, 1.0]])
    local = sensor.T_base_sensor.transform().inverse() @ (motion_between(TWIST, 0.05).inverse() @ target)
    reach = np.linalg.norm(local)
    row = [reach, np.arctan2(local[0, 1], local[0, 0]), np.arcsin(local[0, 2] / reach), 0, 0]
    sample = Sample("radar", "radar", 0, 0, 0, "radar_link", {"detections": np.array([row], np.float32)})
    np.testing.assert_allclose(radar_points(sample, sensor, frame, "radar"), target, atol=1e-4)


@pytest.mark.parametrize("azimuth_deg", [0.0, 40.0, -100.0, 179.0])
@pytest.mark.parametrize("said", [True, False])
def test_a_strong_cell_of_a_polar_scan_lies_at_its_place(synthetic_rig: Rig, azimuth_deg: float, said: bool) -> None:
    sensor = SensorConfig(
        modality="radar", rate_hz=4, frame="radar_link", T_base_sensor=PoseConfig(xyz=(1.0, 0.0, 2.0))
    )
    frame = moving_frame(synthetic_rig, 0.0)
    azimuths = -np.arange(400) * 2 * np.pi / 400  # a clockwise turn
    row = int(np.argmin(np.abs(np.exp(1j * azimuths) - np.exp(1j * np.radians(azimuth_deg)))))
    power = np.zeros((400, 200), np.uint8)
    power[row, 99:102] = 200
    arrays = {"polar": power, "azimuths_rad": azimuths.astype(np.float32)} if said else {"polar": power}
    sample = Sample("radar", "radar", 0, 0, 0, "radar_link", arrays, meta={"range_resolution_m": 0.2})
    x, y = np.linspace(-45, 45, 361), np.linspace(45, -45, 361)
    grid = polar_grid(sample, sensor, frame, "radar", x, y)
    assert grid is not None
    i, j = np.unravel_index(np.argwhere(grid.ravel() > 100)[:, 0], grid.shape)
    expected = [1.0 + 20.1 * np.cos(azimuths[row]), 20.1 * np.sin(azimuths[row])]
    np.testing.assert_allclose([x[i].mean(), y[j].mean()], expected, atol=0.3)
    assert np.isnan(grid[0, 0]), "beyond the scan's range"
    assert polar_grid(replace(sample, meta={}), sensor, frame, "radar", x, y) is None


def test_footprints_turn_with_yaw() -> None:
    box = one_box(10.0, 2.0, size=np.array([[4.0, 2.0, 1.5]]), yaw=np.array([np.pi / 2]))
    np.testing.assert_allclose(footprints(box)[0], [[9, 4], [11, 4], [11, 0], [9, 0]], atol=1e-12)
    corners = box_corners(box)[0]
    np.testing.assert_allclose(np.ptp(corners, axis=0), [2, 4, 1.5], atol=1e-12)
    np.testing.assert_allclose(corners.mean(axis=0), [10, 2, 0.75], atol=1e-12)


def test_a_box_ahead_lies_where_a_pinhole_sees_it(synthetic_rig: Rig) -> None:
    sensor = synthetic_rig.sensors["camera"]
    frame = moving_frame(synthetic_rig, 0.0)
    k = sensor.intrinsics
    assert k is not None
    boxes = one_box(21.6, 2.0, size=np.full((1, 3), 0.01))
    ((row, pixels),) = boxes_in_image(boxes, sensor, frame, "camera", (k.height, k.width))
    # the camera looks along x from (1.6, 0, 1.4)
    np.testing.assert_allclose(pixels.mean(axis=0), [k.cx - k.fx * 2 / 20, k.cy + k.fy * 0.65 / 20], atol=0.05)
    assert row == 0
    ((_, half),) = boxes_in_image(boxes, sensor, frame, "camera", (k.height // 2, k.width // 2))
    np.testing.assert_allclose(half, pixels / 2, atol=0.51)


def test_an_old_image_shows_boxes_where_they_were(synthetic_rig: Rig) -> None:
    sensor = synthetic_rig.sensors["camera"]
    frame = moving_frame(synthetic_rig, 0.2)
    shape = (270, 480)
    at_tick = Transform(np.eye(3), np.array([25.0, 1.0, 0.75]))
    still = one_box(25.0, 1.0, size=np.full((1, 3), 0.01), velocity=np.zeros((1, 2)))
    before = motion_between(TWIST, 0.2).inverse() @ at_tick.translation
    then = one_box(before[0], before[1], size=np.full((1, 3), 0.01), velocity=np.zeros((1, 2)))
    now = moving_frame(synthetic_rig, 0.0)
    ((_, moved),) = boxes_in_image(still, sensor, frame, "camera", shape)
    ((_, direct),) = boxes_in_image(then, sensor, now, "camera", shape)
    np.testing.assert_allclose(moved.mean(axis=0), direct.mean(axis=0), atol=0.1)


def test_a_rolling_shutter_shows_a_box_when_its_row_was_exposed(synthetic_rig: Rig) -> None:
    """The stamp is the middle of the readout; the lowest row comes half a readout later."""
    sensor = synthetic_rig.sensors["camera"]
    k = sensor.intrinsics
    assert k is not None
    lens = k.model_copy(update={"readout_s": 0.08})
    rolling = sensor.model_copy(update={"intrinsics": lens})
    low = one_box(1.6 + 5.0, 0.0, size=np.full((1, 3), 0.01), velocity=np.zeros((1, 2)))
    low.center[0, 2] = 1.4 - 5.0 * (k.height - 1 - k.cy) / k.fy * 0.98
    shape = (k.height, k.width)
    ((_, rolled),) = boxes_in_image(low, rolling, moving_frame(synthetic_rig, 0.0), "camera", shape)
    ((_, still),) = boxes_in_image(low, sensor, moving_frame(synthetic_rig, 0.0), "camera", shape)
    ((_, later),) = boxes_in_image(low, sensor, moving_frame(synthetic_rig, -0.04), "camera", shape)
    assert np.abs(later - still).max() > 10
    assert np.abs(rolled - later).max() < 0.1 * np.abs(later - still).max()


def test_boxes_behind_beside_or_unknown_are_left_out(synthetic_rig: Rig) -> None:
    sensor = synthetic_rig.sensors["camera"]
    frame = moving_frame(synthetic_rig, 0.0)
    lost = one_box(20.0, 0.0)
    lost.center[0, 0] = np.nan
    for boxes in (one_box(-10.0, 0.0), one_box(2.0, 0.0), one_box(10.0, 30.0), lost, Detections.empty()):
        assert boxes_in_image(boxes, sensor, frame, "camera", (270, 480)) == []
    assert boxes_in_image(one_box(20.0, 0.0), synthetic_rig.sensors["radar"], frame, "radar", (270, 480)) == []


def test_equidistant_distortion_follows_its_definition() -> None:
    k = Intrinsics(
        width=640,
        height=480,
        fx=300,
        fy=310,
        cx=320,
        cy=240,
        distortion_model="equidistant",
        distortion=(0.02, -0.01, 0.0, 0.0),
    )
    x, y = 0.4, -0.2
    angle = np.arctan(np.hypot(x, y))
    bent = angle * (1 + 0.02 * angle**2 - 0.01 * angle**4) / np.hypot(x, y)
    np.testing.assert_allclose(
        project(np.array([[2 * x, 2 * y, 2.0]]), k)[0], [320 + 300 * bent * x, 240 + 310 * bent * y]
    )


def test_camera_pictures_of_every_kind() -> None:
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:, :, 0] = 200
    jpeg = cv2.imencode(".jpg", rgb[:, :, ::-1])[1].ravel()

    def decoded(arrays: dict) -> np.ndarray | None:
        return camera_image(Sample("camera", "camera", 0, 0, 0, "c", arrays))

    np.testing.assert_array_equal(decoded({"image": rgb}), rgb)
    np.testing.assert_allclose(decoded({"jpeg": jpeg}), rgb, atol=6)
    np.testing.assert_array_equal(decoded({"image_mono": rgb[:, :, 0]}), np.full_like(rgb, 200))
    assert decoded({"jpeg": jpeg[:20]}) is None
    assert decoded({"jpeg": jpeg[:0]}) is None
