"""Where samples and boxes lie at a tick: in base_link seen from above, and in a camera's picture. No drawing.

Between a sample's time and the tick the rig is taken to move with the frame's twist, so that what is drawn together
was together in the world.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.deskew import BodyMotion, deskew
from sensorfuse.align.rolling_shutter import row_times_ns
from sensorfuse.geometry import Transform, motion_between, wrap_angle
from sensorfuse.messages import Detections, FusedFrame, Sample
from sensorfuse.picture_file import decode_picture
from sensorfuse.sensor_config import Intrinsics, SensorConfig

Array = NDArray[np.float64]
MIN_DEPTH_M = 0.5
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
"""Pairs of corners that make a box's twelve edges; corners 0 and 1 (and 4 and 5 above them) are the front's."""


def age_of(frame: FusedFrame, stream: str) -> float:
    """Seconds from the stream's event time to the tick, 0 where the frame does not use it."""
    return next((u.age_ns / 1e9 for u in frame.uses if u.stream == stream and u.used), 0.0)


def _motion(frame: FusedFrame, dt_s: float) -> Transform:
    twist = np.nan_to_num(np.asarray(frame.twist, dtype=np.float64), posinf=0.0, neginf=0.0)
    return motion_between(twist, dt_s)


def lidar_points(sample: Sample, sensor: SensorConfig, frame: FusedFrame, stream: str) -> Array:
    """Finite points (N, 3) of a sweep in base_link at the tick, each moved from its own time if it has one."""
    points = sample.arrays["points"].astype(np.float64)
    keep = np.isfinite(points).all(axis=1)
    base = sensor.T_base_sensor.transform() @ points[keep]
    age_s = age_of(frame, stream)
    if "time_ns" not in sample.arrays or len(base) == 0:
        return np.asarray(_motion(frame, age_s) @ base)
    after_ns = sample.arrays["time_ns"][keep].astype(np.int64) - round(1e9 * age_s)
    return np.asarray(deskew(base, after_ns, BodyMotion.from_twist(frame.twist)))


def radar_points(sample: Sample, sensor: SensorConfig, frame: FusedFrame, stream: str) -> Array:
    """Radar detections (N, 3) in base_link at the tick."""
    found = sample.arrays["detections"].astype(np.float64)
    distance, azimuth, elevation = found[:, 0], found[:, 1], found[:, 2]
    flat = distance * np.cos(elevation)
    local = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation)], axis=1)
    return np.asarray(_motion(frame, age_of(frame, stream)) @ (sensor.T_base_sensor.transform() @ local))


def polar_grid(
    sample: Sample, sensor: SensorConfig, frame: FusedFrame, stream: str, x: Array, y: Array
) -> Array | None:
    """Power of a polar scan at base_link positions `x` (H,) by `y` (W,), shape (H, W); NaN outside the scan.

    Nearest cell. None where the scan does not say its range resolution.
    """
    resolution = sample.meta.get("range_resolution_m")
    power = sample.arrays["polar"]
    if not isinstance(resolution, (int, float)) or not resolution > 0:
        return None
    azimuths = sample.arrays.get("azimuths_rad")
    if azimuths is None:
        azimuths = np.linspace(0.0, -2 * np.pi, len(power), endpoint=False)  # a clockwise turn from straight ahead
    order = np.argsort(wrap_angle(azimuths))
    sorted_azimuths = np.asarray(wrap_angle(azimuths))[order]
    T_sensor_base = (_motion(frame, age_of(frame, stream)) @ sensor.T_base_sensor.transform()).inverse()
    xx, yy = np.meshgrid(x, y, indexing="ij")
    level = sensor.T_base_sensor.transform().translation[2]
    local = T_sensor_base @ np.stack([xx, yy, np.full_like(xx, level)], axis=-1)
    angle = np.arctan2(local[..., 1], local[..., 0])
    after = np.searchsorted(sorted_azimuths, angle) % len(order)
    before = (after - 1) % len(order)
    miss_after = np.abs(wrap_angle(sorted_azimuths[after] - angle))
    miss_before = np.abs(wrap_angle(sorted_azimuths[before] - angle))
    row = order[np.where(miss_after < miss_before, after, before)]
    column = (np.hypot(local[..., 0], local[..., 1]) / float(resolution)).astype(int)
    spacing = 2 * np.pi / max(len(order), 1)
    inside = (column < power.shape[1]) & (np.minimum(miss_after, miss_before) < max(2 * spacing, 0.02))
    return np.where(inside, power[row, np.minimum(column, power.shape[1] - 1)].astype(np.float64), np.nan)


def footprints(boxes: Detections) -> Array:
    """Corners (N, 4, 2) of boxes seen from above: front left, front right, rear right, rear left."""
    half = boxes.size[:, None, :2] / 2 * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
    c, s = np.cos(boxes.yaw)[:, None], np.sin(boxes.yaw)[:, None]
    turned = np.stack([c * half[..., 0] - s * half[..., 1], s * half[..., 0] + c * half[..., 1]], axis=-1)
    return np.asarray(turned + boxes.center[:, None, :2])


def box_corners(boxes: Detections) -> Array:
    """Corners (N, 8, 3): the footprint at the bottom, then the same at the top."""
    flat = footprints(boxes)
    low = (boxes.center[:, 2] - boxes.size[:, 2] / 2)[:, None, None]
    high = (boxes.center[:, 2] + boxes.size[:, 2] / 2)[:, None, None]
    level = np.ones((len(boxes), 4, 1))
    return np.concatenate([np.concatenate([flat, low * level], -1), np.concatenate([flat, high * level], -1)], axis=1)


def boxes_in_image(
    boxes: Detections, sensor: SensorConfig, frame: FusedFrame, stream: str, shape: tuple[int, int]
) -> list[tuple[int, Array]]:
    """Box rows that a camera sees, each with its corners (8, 2) in pixels of an image of `shape` (height, width).

    Each box is taken back, by ego motion and its own velocity, to when the row of its middle was exposed. One that
    reaches behind the camera, or whose middle lies outside the view, is left out.
    """
    intrinsics = sensor.intrinsics
    if intrinsics is None or len(boxes) == 0:
        return []
    age_s = age_of(frame, stream)
    mount = sensor.T_base_sensor.transform()
    corners, velocity = box_corners(boxes), np.nan_to_num(boxes.velocity)

    def before(i: int, seconds: float) -> Array:
        """Corners (8, 3) of a box in the camera's frame, so long before the tick."""
        box = corners[i].copy()
        box[:, :2] -= velocity[i] * seconds
        return (_motion(frame, seconds) @ mount).inverse() @ box

    scale = np.array([shape[1] / intrinsics.width, shape[0] / intrinsics.height])
    seen = []
    for i in range(len(boxes)):
        local = before(i, age_s)
        middle = local.mean(axis=0)
        if not np.isfinite(local).all() or local[:, 2].min() < MIN_DEPTH_M or not _in_view(middle, intrinsics):
            continue
        row = np.clip(intrinsics.fy * middle[1] / middle[2] + intrinsics.cy, 0, intrinsics.height - 1)
        after_s = float(row_times_ns(0, sensor.stamp, intrinsics, row)) / 1e9
        if after_s:
            local = before(i, age_s - after_s)
        seen.append((i, project(local, intrinsics) * scale))
    return seen


def _in_view(point: Array, k: Intrinsics) -> bool:
    """Whether the undistorted projection falls into the image or a tenth beside it."""
    u, v = k.fx * point[0] / point[2] + k.cx, k.fy * point[1] / point[2] + k.cy
    return bool(-0.1 * k.width <= u <= 1.1 * k.width and -0.1 * k.height <= v <= 1.1 * k.height)


def project(points: Array, k: Intrinsics) -> Array:
    """Pixels (N, 2) of points (N, 3) in the optical frame, with OpenCV's distortion models."""
    matrix = np.array([[k.fx, 0.0, k.cx], [0.0, k.fy, k.cy], [0.0, 0.0, 1.0]])
    zero = np.zeros(3)
    shaped = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 1, 3)
    if k.distortion_model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(shaped, zero, zero, matrix, np.array(k.distortion))
    else:
        pixels, _ = cv2.projectPoints(shaped, zero, zero, matrix, np.array(k.distortion or (0.0, 0.0, 0.0, 0.0)))
    return np.asarray(pixels, dtype=np.float64).reshape(-1, 2)


def camera_image(sample: Sample) -> NDArray[np.uint8] | None:
    """The picture (H, W, 3) RGB of a camera sample, decoded if need be; None when it can't be decoded."""
    if "image" in sample.arrays:
        return sample.arrays["image"]
    if "image_mono" in sample.arrays:
        return np.repeat(sample.arrays["image_mono"][:, :, None], 3, axis=2)
    if "jpeg" not in sample.arrays or sample.arrays["jpeg"].size == 0:
        return None
    decoded = decode_picture(sample.arrays["jpeg"], cv2.IMREAD_COLOR)
    return None if decoded is None else np.ascontiguousarray(decoded[:, :, ::-1], dtype=np.uint8)
