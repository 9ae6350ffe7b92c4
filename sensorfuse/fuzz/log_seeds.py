"""Small valid recordings of every format that is read, made here: what mutation starts from."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from mcap.writer import CompressionType, Writer
from rosbags.rosbag1 import Writer as Bag1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Bag2Writer
from rosbags.typesys import Stores

from sensorfuse.log.ros_encode import sample_messages
from sensorfuse.log.ros_types import new_store, schema_text, shared_store
from sensorfuse.log.writer import LogWriter
from sensorfuse.messages import Detections, FusedFrame, MessageTruth, Sample, SoundEvent, StreamUse, Truth

START_NS = 1_700_000_000_000_000_000


def picture(mono: bool = False) -> np.ndarray:
    shape = (4, 6) if mono else (4, 6, 3)
    return (np.arange(np.prod(shape)).reshape(shape) * 7 % 256).astype(np.uint8)


def png(mono: bool = False) -> bytes:
    return bytes(cv2.imencode(".png", picture(mono))[1])


def jpeg() -> bytes:
    return bytes(cv2.imencode(".jpg", picture())[1])


def pictures() -> list[bytes]:
    return [png(), png(True), jpeg()]


def samples() -> list[Sample]:
    """One of each kind of payload."""
    count = 5
    cloud = np.arange(3 * count, dtype=np.float32).reshape(-1, 3)
    entries: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
        ("cam", "camera", {"image": picture()}, {"exposure_s": 0.003}),
        ("grey", "camera", {"image_mono": picture(True)}, {}),
        ("packed", "camera", {"jpeg": np.frombuffer(png(), np.uint8)}, {}),
        (
            "top",
            "lidar",
            {
                "points": cloud,
                "intensity": cloud[:, 0].copy(),
                "ring": np.arange(count, dtype=np.uint16),
                "time_ns": np.arange(count, dtype=np.int32),
            },
            {},
        ),
        ("front", "radar", {"detections": np.ones((2, 5), np.float32)}, {}),
        ("spin", "radar", {"polar": picture(True)}, {"range_resolution_m": 0.17}),
        (
            "imu",
            "imu",
            {
                "gyro_radps": np.ones((3, 3)),
                "accel_mps2": np.ones((3, 3)),
                "time_ns": np.arange(3, dtype=np.int64) * 5_000_000,
            },
            {},
        ),
        ("mic", "audio", {"pcm": np.zeros((8, 2), np.float32)}, {"sample_rate_hz": 160}),
    ]
    return [
        Sample(stream, modality, 0, START_NS + i, START_NS + 1000 + i, f"{stream}_link", arrays, meta, "start", "c1")
        for i, (stream, modality, arrays, meta) in enumerate(entries)
    ]


def objects(count: int = 2) -> Detections:
    one = np.ones(count)
    return Detections(
        np.zeros(count, np.uint8), one.astype(np.float32), np.ones((count, 3)), np.ones((count, 3)), one,
        np.full((count, 2), np.nan), np.zeros((count, 4, 4)), np.arange(count),
    )  # fmt: skip


def fused_frame() -> FusedFrame:
    use = StreamUse("cam", "camera", False, "lost", 5, 0, 0, 0.0)
    return FusedFrame(
        7, START_NS, objects(), Detections.empty(), np.zeros(6), np.full(6, np.inf), np.eye(4),
        [SoundEvent("siren", 0.1, 0.9)], [use], "late", "", "numpy", "fp64", True, "no_lidar", {"fuse": 3},
        [("cam", 1, 2, "fused")],
    )  # fmt: skip


def truth() -> Truth:
    seen, in_view = {"cam": np.ones(2, np.float32)}, {"cam": np.ones(2, np.bool_)}
    sounds = [SoundEvent("horn", 0.1, 1.0)]
    return Truth(START_NS, objects(), np.eye(4), np.zeros(6), sounds, True, 80.0, seen, in_view)


def own_mcap(file: Path, compression: Any) -> None:
    """As `LogWriter` writes it: every kind of record."""
    with LogWriter(file, compression=compression) as writer:
        for sample in samples():
            writer.write_sample(sample)
        writer.write_frame(fused_frame(), START_NS)
        writer.write_truth(truth())
        writer.write_event(MessageTruth("cam", 0, 0, START_NS, START_NS, START_NS, START_NS + 1000))


def ros_messages() -> list[tuple[str, str, int, bytes]]:
    """Topic, type, time and bytes of standard messages."""
    out = []
    for sample in samples():
        for topic, kind, message in sample_messages(sample):
            out.append((topic, kind, sample.recv_ns, bytes(shared_store().serialize_cdr(message, kind))))
    return out


def foreign_mcap(file: Path) -> None:
    """As other recorders write it: the messages alone, with their schemas."""
    buffer = io.BytesIO()
    writer = Writer(buffer, compression=CompressionType.NONE)
    writer.start(profile="ros2")
    schemas: dict[str, int] = {}
    for topic, kind, at, data in ros_messages():
        if kind not in schemas:
            schemas[kind] = writer.register_schema(kind, "ros2msg", schema_text(kind).encode())
        channel = writer.register_channel(topic, "cdr", schemas[kind])
        writer.add_message(channel, at, data, at)
    writer.finish()
    file.write_bytes(buffer.getvalue())


def ros1_bag(file: Path) -> None:
    types = new_store(Stores.ROS1_NOETIC)
    with Bag1Writer(file) as writer:
        for topic, kind, at, data in ros_messages():
            if kind.startswith("sensor_msgs/"):
                connection = next((c for c in writer.connections if c.topic == topic), None)
                connection = connection or writer.add_connection(topic, kind, typestore=types)
                writer.write(connection, at, bytes(shared_store().cdr_to_ros1(data, kind)))


def ros2_bag(folder: Path) -> None:
    """SQLite storage."""
    with Bag2Writer(folder, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        for topic, kind, at, data in ros_messages():
            if kind.startswith("sensor_msgs/"):
                connection = next((c for c in writer.connections if c.topic == topic), None)
                connection = connection or writer.add_connection(topic, kind, typestore=shared_store())
                writer.write(connection, at, data)


def _put(root: Path, files: dict[str, bytes | str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def euroc(root: Path) -> None:
    imu = [f"{START_NS + k * 5_000_000},0.1,0.2,{k},9.8,0,-0.5" for k in range(12)]
    _put(root, {
        "mav0/cam0/data.csv": f"#timestamp [ns],filename\n{START_NS},{START_NS}.png\n{START_NS + 50_000_000},x.png\n",
        f"mav0/cam0/data/{START_NS}.png": png(True),
        "mav0/imu0/data.csv": "#timestamp,w,w,w,a,a,a\n" + "\n".join(imu),
        "mav0/state_groundtruth_estimate0/data.csv": f"#t\n{START_NS},1,2,3,0.5,0.5,0.5,0.5,0,0,0,0,0,0,0,0,0\n",
    })  # fmt: skip


def kitti(root: Path) -> None:
    stamps = "2011-09-26 13:02:25.123456789\n2011-09-26 13:02:26.123456789\n"
    _put(root, {
        "image_02/timestamps.txt": stamps, "velodyne_points/timestamps.txt": stamps, "oxts/timestamps.txt": stamps,
        "image_02/data/0000000000.png": png(),
        "velodyne_points/data/0000000000.bin": np.ones((3, 4), np.float32).tobytes(),
        "oxts/data/0000000000.txt": " ".join(str(v) for v in range(30)),
    })  # fmt: skip


def pcd() -> bytes:
    """A radar file of nuScenes."""
    dtype = np.dtype("<f4,<f4,<f4,i1,<i2,<f4,<f4,<f4")
    rows = np.array([(3, 4, 0, 1, 2, 12.5, 3, 4), (0, -2, 0, 1, 3, -5, 9, 1)], dtype)
    text = (
        "VERSION 0.7\nFIELDS x y z dyn_prop id rcs vx vy\nSIZE 4 4 4 1 2 4 4 4\nTYPE F F F I I F F F\n"
        "COUNT 1 1 1 1 1 1 1 1\nWIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA binary\n"
    )
    return text.encode() + rows.tobytes()


def nuscenes(root: Path) -> None:
    tables: dict[str, list[dict[str, Any]]] = {
        "category": [{"token": "cat", "name": "vehicle.car"}],
        "instance": [{"token": "i0", "category_token": "cat"}],
        "sensor": [], "calibrated_sensor": [], "sample_data": [], "ego_pose": [], "sample": [], "sample_annotation": [],
    }  # fmt: skip
    pose = {"translation": [1.0, 2.0, 3.0], "rotation": [1.0, 0.0, 0.0, 0.0]}
    sweep = np.ones((2, 5), np.float32).tobytes()
    data = {"CAM": ("camera", "jpg", b"\xff\xd8 jpeg"), "TOP": ("lidar", "bin", sweep), "RAD": ("radar", "pcd", pcd())}
    for channel, (modality, suffix, content) in data.items():
        tables["sensor"].append({"token": f"s{channel}", "channel": channel, "modality": modality})
        tables["calibrated_sensor"].append({"token": f"c{channel}", "sensor_token": f"s{channel}"})
        name = f"samples/{channel}/0.{suffix}"
        _put(root, {name: content})
        tables["sample_data"].append({
            "token": f"d{channel}", "sample_token": "k0", "ego_pose_token": "p0", "filename": name,
            "calibrated_sensor_token": f"c{channel}", "timestamp": START_NS // 1000, "is_key_frame": True,
        })  # fmt: skip
    tables["ego_pose"].append({"token": "p0", **pose})
    tables["sample"].append({"token": "k0", "timestamp": START_NS // 1000})
    tables["sample_annotation"].append({
        "token": "a0", "sample_token": "k0", "instance_token": "i0", "size": [1.9, 4.5, 1.6], "prev": "", "next": "",
        **pose,
    })  # fmt: skip
    _put(root, {f"v1.0-mini/{name}.json": json.dumps(rows) for name, rows in tables.items()})


def radiate(root: Path) -> None:
    ins = "55.8,-3.3,209.2\n" + "0,0,0\n" * 3 + "0,0,0,1\n0.1,0.2,0.3\n1,2,3\n" + "0,0,0\n" * 9 + "0,10,0\n0,0,0\n"
    boxes = [{"position": [600, 300, 10, 26], "rotation": 180}, {"position": [600, 301, 10, 26], "rotation": 180}]
    stamps = "Frame: 000001 Time: 10.05\nFrame: 000002 Time: 10.30\n"
    polar = bytes(cv2.imencode(".png", np.zeros((576, 400), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
    _put(root, {
        "zed_left.txt": stamps, "velo_lidar.txt": stamps, "Navtech_Polar.txt": stamps, "GPS_IMU_Twist.txt": stamps,
        "zed_left/000001.png": png(), "velo_lidar/000001.csv": "1,2,-1.5,7,0\n4.5,5,6,96,31\n",
        "Navtech_Polar/000001.png": polar, "GPS_IMU_Twist/000001.txt": ins,
        "annotations/annotations.json": json.dumps([{"id": 5, "class_name": "bus", "bboxes": boxes}]),
    })  # fmt: skip


def mp4(file: Path) -> None:
    """Three pictures and a little sound."""
    with av.open(str(file), "w", format="mp4") as container:
        video: Any = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio: Any = container.add_stream("aac", rate=8000, layout="mono")
        for k in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 60 * k, np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        block.rate, block.pts = 8000, 0
        container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def klv(key: bytes, kind: bytes, size: int, payload: bytes) -> bytes:
    """One record of GoPro telemetry."""
    return key + kind + struct.pack(">BH", size, len(payload) // size) + payload + bytes(-len(payload) % 4)


def telemetry() -> bytes:
    """A packet of GoPro telemetry."""

    def stream(key: bytes, *more: bytes) -> bytes:
        rows = b"".join(struct.pack(">3h", *row) for row in ((981, 100, -50), (1, 2, 3)))
        parts = (*more, klv(b"SCAL", b"s", 2, struct.pack(">h", 100)), klv(key, b"s", 6, rows))
        return klv(b"STRM", b"\0", 1, b"".join(parts))

    parts = klv(b"DVNM", b"c", 1, b"Camera"), stream(b"ACCL"), stream(b"GYRO", klv(b"ORIN", b"c", 1, b"YxZ"))
    return klv(b"DEVC", b"\0", 1, b"".join(parts))
