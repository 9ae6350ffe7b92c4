"""ROS messages (either generation, any distribution) as the arrays of samples."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.log.images import UnreadableError
from sensorfuse.log.ros_types import AUDIO_FORMATS
from sensorfuse.messages import Modality

Arrays = dict[str, NDArray[Any]]
Decoded = tuple[Arrays, dict[str, Any]]

MODALITY_OF: dict[str, Modality] = {
    "sensor_msgs/msg/Image": "camera",
    "sensor_msgs/msg/CompressedImage": "camera",
    "sensor_msgs/msg/PointCloud2": "lidar",
    "sensor_msgs/msg/Imu": "imu",
    "radar_msgs/msg/RadarScan": "radar",
    "audio_common_msgs/msg/AudioStamped": "audio",
}
POINT_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
MAX_RELATIVE_S = 10.0  # a larger per-point time is an absolute one

# encoding: (bytes a pixel, OpenCV conversion to RGB or None where the pixels are taken as they are)
IMAGE_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "8UC3": (3, cv2.COLOR_BGR2RGB),  # OpenCV's own order
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, None),
    "8UC1": (1, None),
    "bayer_rggb8": (1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGRBG2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUYV),
    "yuyv": (2, cv2.COLOR_YUV2RGB_YUYV),
}


def stream_name(topic: str) -> str:
    """A topic as a stream name: lower case, everything but letters and digits becomes one underscore."""
    return re.sub(r"[^a-z0-9]+", "_", topic.lower()).strip("_") or "topic"


def stamp_of(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def decode_message(msgtype: str, message: Any) -> Decoded:
    """Arrays and meta of a message of one of the types in `MODALITY_OF`.

    Raises:
        UnreadableError: its contents contradict each other or are of a kind that is not read.
    """
    return _DECODERS[msgtype](message)


def _image(message: Any) -> Decoded:
    known = IMAGE_ENCODINGS.get(message.encoding)
    if known is None:
        raise UnreadableError(f"image encoding {message.encoding[:30]!r} is not read")
    channels, conversion = known
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = np.asarray(message.data, np.uint8)
    if not height or not width or step < width * channels or len(data) < step * height:
        raise UnreadableError("image size does not fit its data")
    rows = data[: step * height].reshape(height, step)[:, : width * channels]
    pixels = np.ascontiguousarray(rows).reshape((height, width, channels) if channels > 1 else (height, width))
    if conversion is not None:
        try:
            return {"image": cv2.cvtColor(pixels, conversion)}, {}
        except cv2.error:
            raise UnreadableError("image cannot be converted to RGB") from None
    return {"image" if channels == 3 else "image_mono": pixels}, {}


def _compressed_image(message: Any) -> Decoded:
    data = np.array(message.data, np.uint8)
    if data[:2].tobytes() != b"\xff\xd8" and data[:8].tobytes() != b"\x89PNG\r\n\x1a\n":
        raise UnreadableError("compressed image is neither JPEG nor PNG")
    return {"jpeg": data}, {}


def _points(message: Any) -> Decoded:
    fields = {f.name: f for f in message.fields if int(f.datatype) in POINT_DTYPES}
    if any(axis not in fields for axis in "xyz"):
        raise UnreadableError("point cloud has no x, y, z fields")
    order = ">" if message.is_bigendian else "<"
    step, height, width = int(message.point_step), int(message.height), int(message.width)
    row_step = int(message.row_step) or step * width
    data = np.asarray(message.data, np.uint8)
    if step <= 0 or row_step < step * width or len(data) < row_step * height:
        raise UnreadableError("point cloud size does not fit its data")
    rows = data[: row_step * height].reshape(height, row_step)[:, : step * width]
    raw = np.ascontiguousarray(rows).reshape(height * width, step)

    def column(name: str) -> NDArray[Any]:
        kind = np.dtype(order + POINT_DTYPES[int(fields[name].datatype)])
        start = int(fields[name].offset)
        if start < 0 or start + kind.itemsize > step:
            raise UnreadableError(f"point field {name!r} lies outside its point")
        return np.ascontiguousarray(raw[:, start : start + kind.itemsize]).view(kind)[:, 0]

    arrays: Arrays = {"points": np.column_stack([column(a).astype(np.float32) for a in "xyz"])}
    intensity = next((n for n in ("intensity", "reflectivity", "i") if n in fields), None)
    if intensity:
        arrays["intensity"] = column(intensity).astype(np.float32)
    ring = next((n for n in ("ring", "channel", "line") if n in fields), None)
    if ring:
        arrays["ring"] = column(ring).astype(np.uint16)
    times = next((n for n in ("time_ns", "t", "offset_time", "time", "timestamp", "time_stamp") if n in fields), None)
    if times:
        relative = _relative_ns(column(times), stamp_of(message))
        if relative is not None:
            arrays["time_ns"] = relative
    return arrays, {}


def _relative_ns(times: NDArray[Any], stamp_ns: int) -> NDArray[np.int32] | None:
    """Per-point times as ns after the stamp: integers are nanoseconds, floats seconds; None if implausible."""
    if np.issubdtype(times.dtype, np.floating):
        if not len(times) or not np.isfinite(times).all():
            return None
        seconds = times.astype(np.float64)
        if np.abs(seconds).max() > MAX_RELATIVE_S:
            whole, part = divmod(stamp_ns, 1_000_000_000)
            seconds = (seconds - whole) - part / 1e9
        relative = np.rint(seconds * 1e9)
    else:
        relative = times.astype(np.float64)
    if len(relative) and np.abs(relative).max() > 2**31 - 1:
        return None
    return relative.astype(np.int32)


def _imu(message: Any) -> Decoded:
    rate, accel = message.angular_velocity, message.linear_acceleration
    return {
        "gyro_radps": np.array([[rate.x, rate.y, rate.z]], np.float64),
        "accel_mps2": np.array([[accel.x, accel.y, accel.z]], np.float64),
        "time_ns": np.zeros(1, np.int64),
    }, {}


def _radar(message: Any) -> Decoded:
    rows = [(r.range, r.azimuth, r.elevation, r.doppler_velocity, r.amplitude) for r in message.returns]
    return {"detections": np.array(rows, np.float32).reshape(-1, 5)}, {}


def _audio(message: Any) -> Decoded:
    info, data = message.audio.info, message.audio.audio_data
    known = AUDIO_FORMATS.get(int(info.format))
    if known is None:
        raise UnreadableError(f"audio sample format {int(info.format)} is not read")
    name, scale = known
    values = np.asarray(getattr(data, name))
    channels = int(info.channels)
    if channels < 1 or not len(values) or len(values) % channels or int(info.rate) <= 0:
        raise UnreadableError("audio block does not fit its channels or rate")
    pcm = values.astype(np.float32)
    if name == "uint8_data":
        pcm = pcm - np.float32(128)
    if scale != 1.0:
        pcm = pcm / np.float32(scale)
    return {"pcm": pcm.reshape(-1, channels)}, {"sample_rate_hz": int(info.rate)}


_DECODERS: dict[str, Callable[[Any], Decoded]] = {
    "sensor_msgs/msg/Image": _image,
    "sensor_msgs/msg/CompressedImage": _compressed_image,
    "sensor_msgs/msg/PointCloud2": _points,
    "sensor_msgs/msg/Imu": _imu,
    "radar_msgs/msg/RadarScan": _radar,
    "audio_common_msgs/msg/AudioStamped": _audio,
}
