"""Samples, detections and transforms as ROS 2 messages (dataclasses of the shared type store)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.log.ros_types import message_class
from sensorfuse.messages import CLASSES, Detections, Sample, StreamHealth, StreamUse
from sensorfuse.sensor_config import Intrinsics

MAX_STAMP_NS = 2**31 * 1_000_000_000 - 1  # builtin_interfaces/Time counts seconds in 31 bits
POINT_TYPES = {"float32": 7, "uint16": 4, "int32": 5}
DISTORTION_NAMES = {"none": "plumb_bob", "radtan": "plumb_bob", "equidistant": "equidistant"}

Message = tuple[str, str, Any]
"""Topic, message type, message."""


def header(stamp_ns: int, frame: str) -> Any:
    """std_msgs/Header; a stamp outside 1970..2038 is clipped (the sample's JSON record holds it exactly)."""
    sec, nanosec = divmod(min(max(stamp_ns, 0), MAX_STAMP_NS), 1_000_000_000)
    time = message_class("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)
    return message_class("std_msgs/msg/Header")(stamp=time, frame_id=frame)


def sample_messages(sample: Sample) -> Iterator[Message]:
    """The standard messages that carry a sample's arrays; one, except for an IMU batch: one per measurement."""
    yield from _ENCODERS[sample.modality](sample)


def _camera(sample: Sample) -> Iterator[Message]:
    head, arrays, topic = header(sample.stamp_ns, sample.frame), sample.arrays, f"/{sample.stream}"
    if "jpeg" in arrays:
        kind = "png" if arrays["jpeg"][:4].tobytes() == b"\x89PNG" else "jpeg"
        message = message_class("sensor_msgs/msg/CompressedImage")(header=head, format=kind, data=arrays["jpeg"])
        yield f"{topic}/image/compressed", "sensor_msgs/msg/CompressedImage", message
        return
    name, encoding = ("image", "rgb8") if "image" in arrays else ("image_mono", "mono8")
    yield f"{topic}/image", "sensor_msgs/msg/Image", _image(arrays[name], encoding, head)


def _image(pixels: NDArray[np.uint8], encoding: str, head: Any) -> Any:
    height, width = pixels.shape[:2]
    return message_class("sensor_msgs/msg/Image")(
        header=head,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=np.ascontiguousarray(pixels).reshape(-1),
    )


def _lidar(sample: Sample) -> Iterator[Message]:
    arrays = sample.arrays
    points = arrays["points"]
    columns = {axis: points[:, i] for i, axis in enumerate("xyz")}
    columns.update({name: arrays[name] for name in ("intensity", "ring", "time_ns") if name in arrays})
    layout = np.dtype([(name, column.dtype) for name, column in columns.items()])
    table = np.empty(len(points), layout)
    for name, column in columns.items():
        table[name] = column
    field_class = message_class("sensor_msgs/msg/PointField")
    fields = [
        field_class(name=name, offset=layout.fields[name][1], datatype=POINT_TYPES[columns[name].dtype.name], count=1)
        for name in columns
        if layout.fields is not None
    ]
    message = message_class("sensor_msgs/msg/PointCloud2")(
        header=header(sample.stamp_ns, sample.frame),
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=layout.itemsize,
        row_step=layout.itemsize * len(points),
        data=table.view(np.uint8) if len(points) else np.zeros(0, np.uint8),
        is_dense=bool(np.isfinite(points).all()),
    )
    yield f"/{sample.stream}/points", "sensor_msgs/msg/PointCloud2", message


def _radar(sample: Sample) -> Iterator[Message]:
    head = header(sample.stamp_ns, sample.frame)
    if "polar" in sample.arrays:
        yield f"/{sample.stream}/polar", "sensor_msgs/msg/Image", _image(sample.arrays["polar"], "mono8", head)
        return
    one = message_class("radar_msgs/msg/RadarReturn")
    returns = [
        one(range=r, azimuth=a, elevation=e, doppler_velocity=d, amplitude=p)
        for r, a, e, d, p in sample.arrays["detections"].tolist()
    ]
    message = message_class("radar_msgs/msg/RadarScan")(header=head, returns=returns)
    yield f"/{sample.stream}/scan", "radar_msgs/msg/RadarScan", message


def _imu(sample: Sample) -> Iterator[Message]:
    arrays = sample.arrays
    unknown = np.zeros(9)
    no_orientation = np.array([-1.0, *[0.0] * 8])  # sensor_msgs/Imu: -1 first means that orientation is not given
    upright = message_class("geometry_msgs/msg/Quaternion")(x=0.0, y=0.0, z=0.0, w=1.0)
    vector = message_class("geometry_msgs/msg/Vector3")
    imu = message_class("sensor_msgs/msg/Imu")
    for gyro, accel, dt in zip(
        arrays["gyro_radps"].tolist(), arrays["accel_mps2"].tolist(), arrays["time_ns"].tolist(), strict=True
    ):
        message = imu(
            header=header(sample.stamp_ns + dt, sample.frame),
            orientation=upright,
            orientation_covariance=no_orientation,
            angular_velocity=vector(*gyro),
            angular_velocity_covariance=unknown,
            linear_acceleration=vector(*accel),
            linear_acceleration_covariance=unknown,
        )
        yield f"/{sample.stream}/imu", "sensor_msgs/msg/Imu", message


def _audio(sample: Sample) -> Iterator[Message]:
    pcm = sample.arrays["pcm"]
    data = message_class("audio_common_msgs/msg/AudioData")(
        float32_data=np.ascontiguousarray(pcm).reshape(-1),
        int32_data=np.zeros(0, np.int32),
        int16_data=np.zeros(0, np.int16),
        int8_data=np.zeros(0, np.int8),
        uint8_data=np.zeros(0, np.uint8),
    )
    info = message_class("audio_common_msgs/msg/AudioInfo")(
        format=1, channels=pcm.shape[1], rate=int(sample.meta.get("sample_rate_hz", 0)), chunk=pcm.shape[0]
    )
    audio = message_class("audio_common_msgs/msg/Audio")(audio_data=data, info=info)
    message = message_class("audio_common_msgs/msg/AudioStamped")(
        header=header(sample.stamp_ns, sample.frame), audio=audio
    )
    yield f"/{sample.stream}/audio", "audio_common_msgs/msg/AudioStamped", message


_ENCODERS = {"camera": _camera, "lidar": _lidar, "radar": _radar, "imu": _imu, "audio": _audio}


def camera_info(intrinsics: Intrinsics, stamp_ns: int, frame: str) -> Any:
    """sensor_msgs/CameraInfo. OpenCV's k1 k2 p1 p2 [k3] is ROS's plumb_bob, which takes five coefficients."""
    fx, fy, cx, cy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    wanted = 4 if intrinsics.distortion_model == "equidistant" else 5
    roi = message_class("sensor_msgs/msg/RegionOfInterest")
    return message_class("sensor_msgs/msg/CameraInfo")(
        header=header(stamp_ns, frame),
        height=intrinsics.height,
        width=intrinsics.width,
        distortion_model=DISTORTION_NAMES[intrinsics.distortion_model],
        d=np.array([*intrinsics.distortion, *[0.0] * 5][:wanted], np.float64),
        k=np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1], np.float64),
        r=np.eye(3).reshape(-1),
        p=np.array([fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0], np.float64),
        binning_x=0,
        binning_y=0,
        roi=roi(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )


def detection_array(objects: Detections, stamp_ns: int, frame: str) -> Any:
    """vision_msgs/Detection3DArray: one hypothesis each, `class_id` by name, `id` the track's number or ""."""
    head = header(stamp_ns, frame)
    point, quaternion = message_class("geometry_msgs/msg/Point"), message_class("geometry_msgs/msg/Quaternion")
    pose_class, vector = message_class("geometry_msgs/msg/Pose"), message_class("geometry_msgs/msg/Vector3")
    pose_cov = message_class("geometry_msgs/msg/PoseWithCovariance")
    rows = []
    for i in range(len(objects)):
        half = 0.5 * float(objects.yaw[i])
        pose = pose_class(
            position=point(*objects.center[i].tolist()),
            orientation=quaternion(x=0.0, y=0.0, z=math.sin(half), w=math.cos(half)),
        )
        covariance = np.zeros((6, 6))
        covariance[:2, :2] = objects.covariance[i, :2, :2]
        hypothesis = message_class("vision_msgs/msg/ObjectHypothesis")(
            class_id=CLASSES[int(objects.class_id[i])], score=float(objects.score[i])
        )
        result = message_class("vision_msgs/msg/ObjectHypothesisWithPose")(
            hypothesis=hypothesis, pose=pose_cov(pose=pose, covariance=covariance.reshape(-1))
        )
        box = message_class("vision_msgs/msg/BoundingBox3D")(center=pose, size=vector(*objects.size[i].tolist()))
        track = int(objects.track_id[i])
        rows.append(
            message_class("vision_msgs/msg/Detection3D")(
                header=head, results=[result], bbox=box, id=str(track) if track >= 0 else ""
            )
        )
    return message_class("vision_msgs/msg/Detection3DArray")(header=head, detections=rows)


def twist_stamped(twist: NDArray[np.float64], stamp_ns: int, frame: str) -> Any:
    """geometry_msgs/TwistStamped of vx vy vz wx wy wz."""
    vector = message_class("geometry_msgs/msg/Vector3")
    values = [float(v) for v in twist]
    inner = message_class("geometry_msgs/msg/Twist")(linear=vector(*values[:3]), angular=vector(*values[3:]))
    return message_class("geometry_msgs/msg/TwistStamped")(header=header(stamp_ns, frame), twist=inner)


def _health_level(health: StreamHealth) -> int:
    """Of diagnostic_msgs/DiagnosticStatus: OK 0, WARN 1, ERROR 2, STALE 3."""
    if health.state == "ok":
        return 1 if health.reason else 0
    return {"late": 1, "recovering": 1, "stale": 3}.get(health.state, 2)


def diagnostic_array(uses: list[StreamUse], stamp_ns: int) -> Any:
    """diagnostic_msgs/DiagnosticArray: per stream its health (OK; WARN where it is late, recovering or odd; ERROR where
    it is lost or invalid; STALE), and what the fused frame made of it (OK if it was used, else WARN).
    """
    status, pair = message_class("diagnostic_msgs/msg/DiagnosticStatus"), message_class("diagnostic_msgs/msg/KeyValue")
    rows = [
        status(
            level=_health_level(use.health),
            name=f"health: {use.stream}",
            message=use.health.state + (f": {use.health.reason}" if use.health.reason else ""),
            hardware_id=use.stream,
            values=[
                pair(key="state", value=use.health.state),
                pair(key="reason", value=use.health.reason),
                pair(key="period_ms", value=f"{use.health.period_ns / 1e6:.3f}"),
                pair(key="jitter_ms", value=f"{use.health.jitter_ns / 1e6:.3f}"),
                pair(key="weight", value=f"{use.health.weight:.4f}"),
                *(pair(key=n, value=str(getattr(use.health, n))) for n in ("heard", "missed", "refused", "doubted")),
            ],
        )
        for use in uses
    ]
    rows += [
        status(
            level=0 if use.used else 1,
            name=f"fusion: {use.stream}",
            message="used" if use.used else use.reason,
            hardware_id=use.stream,
            values=[
                pair(key="age_ms", value=f"{use.age_ns / 1e6:.3f}"),
                pair(key="bound_ms", value=f"{use.bound_ns / 1e6:.3f}"),
                pair(key="bound_m", value=f"{use.bound_m:.3f}"),
                pair(key="weight", value=f"{use.weight:.4f}"),
            ],
        )
        for use in uses
    ]
    return message_class("diagnostic_msgs/msg/DiagnosticArray")(header=header(stamp_ns, ""), status=rows)


def transform_stamped(transform: Transform, parent: str, child: str, stamp_ns: int) -> Any:
    """geometry_msgs/TransformStamped of `T_parent_child`."""
    vector, quaternion = message_class("geometry_msgs/msg/Vector3"), message_class("geometry_msgs/msg/Quaternion")
    inner = message_class("geometry_msgs/msg/Transform")(
        translation=vector(*transform.translation.tolist()), rotation=quaternion(*transform.quaternion().tolist())
    )
    return message_class("geometry_msgs/msg/TransformStamped")(
        header=header(stamp_ns, parent), child_frame_id=child, transform=inner
    )
