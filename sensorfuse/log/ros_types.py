"""The ROS 2 message types that logs are made of, and their schema texts.

The base is the `rosbags` store of ROS 2 Humble. Packages outside it are stated here field by field: `radar_msgs`
(RadarScan, RadarReturn), `vision_msgs` 4 (Detection3DArray and its parts), and `audio_common_msgs` as the
PortAudio-based `audio_common` for ROS 2 defines it (AudioStamped holds Audio, which holds AudioData and AudioInfo).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

EXTRA_DEFINITIONS: dict[str, str] = {
    "radar_msgs/msg/RadarReturn": (
        "float32 range\nfloat32 azimuth\nfloat32 elevation\nfloat32 doppler_velocity\nfloat32 amplitude\n"
    ),
    "radar_msgs/msg/RadarScan": "std_msgs/Header header\nradar_msgs/RadarReturn[] returns\n",
    "audio_common_msgs/msg/AudioData": (
        "float32[] float32_data\nint32[] int32_data\nint16[] int16_data\nint8[] int8_data\nuint8[] uint8_data\n"
    ),
    "audio_common_msgs/msg/AudioInfo": "int32 format\nint32 channels\nint32 rate\nint32 chunk\n",
    "audio_common_msgs/msg/Audio": "audio_common_msgs/AudioData audio_data\naudio_common_msgs/AudioInfo info\n",
    "audio_common_msgs/msg/AudioStamped": "std_msgs/Header header\naudio_common_msgs/Audio audio\n",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n"
    ),
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n",
    "vision_msgs/msg/Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox3D bbox\nstring id\n"
    ),
    "vision_msgs/msg/Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections\n",
}

AUDIO_FORMATS: dict[int, tuple[str, float]] = {
    # PortAudio's sample format numbers: (array of AudioData, full scale)
    1: ("float32_data", 1.0),
    2: ("int32_data", 2147483648.0),
    8: ("int16_data", 32768.0),
    16: ("int8_data", 128.0),
    32: ("uint8_data", 128.0),
}


def new_store(base: Stores = Stores.ROS2_HUMBLE) -> Typestore:
    """A type store with `EXTRA_DEFINITIONS` in it; a caller may register the types of a log on top."""
    store = get_typestore(base)
    types: dict[str, Any] = {}
    for name, text in EXTRA_DEFINITIONS.items():
        types.update(get_types_from_msg(text, name))
    store.register(types)
    return store


@lru_cache(maxsize=1)
def shared_store() -> Typestore:
    """The store for writing; nothing is registered on it later."""
    return new_store()


@lru_cache(maxsize=64)
def schema_text(msgtype: str) -> str:
    """The `ros2msg` schema of a type: its definition and, after separator lines, that of each type it needs."""
    return shared_store().generate_msgdef(msgtype, ros_version=2)[0]


def message_class(msgtype: str) -> Any:
    """The dataclass of a message type."""
    return shared_store().types[msgtype]
