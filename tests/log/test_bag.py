"""ROS 1 and ROS 2 bags, written here with the `rosbags` library and read as logs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import LogReader, open_log
from sensorfuse.log.ros_types import EXTRA_DEFINITIONS, new_store

KINDS = {
    "/imu/data": "sensor_msgs/msg/Imu",
    "/camera/image/compressed": "sensor_msgs/msg/CompressedImage",
    "/chatter": "std_msgs/msg/String",
}
COUNT = 20


def messages(store: object, ros1: bool) -> list[tuple[str, int, bytes]]:
    """Topic, log time and bytes; the header's stamp is 1 s before the log time."""
    types = store.types  # type: ignore[attr-defined]
    extra = {"seq": 3} if ros1 else {}
    vector = types["geometry_msgs/msg/Vector3"]
    out = []
    for k in range(COUNT):
        log_ns = 5_000_000_000 + k * 10_000_000
        time = types["builtin_interfaces/msg/Time"](sec=4, nanosec=k * 10_000_000)
        head = types["std_msgs/msg/Header"](stamp=time, frame_id="there", **extra)
        imu = types["sensor_msgs/msg/Imu"](
            header=head,
            orientation=types["geometry_msgs/msg/Quaternion"](x=0, y=0, z=0, w=1),
            orientation_covariance=np.zeros(9),
            angular_velocity=vector(x=k, y=0.5, z=-1),
            angular_velocity_covariance=np.zeros(9),
            linear_acceleration=vector(x=0.1, y=0.2, z=9.8),
            linear_acceleration_covariance=np.zeros(9),
        )
        picture = types["sensor_msgs/msg/CompressedImage"](
            header=head, format="jpeg", data=np.frombuffer(b"\xff\xd8abc" + bytes([k]), np.uint8)
        )
        for topic, message in (
            ("/imu/data", imu),
            ("/camera/image/compressed", picture),
            ("/chatter", types["std_msgs/msg/String"](data="hello")),
        ):
            kind = KINDS[topic]
            data = store.serialize_ros1(message, kind) if ros1 else store.serialize_cdr(message, kind)  # type: ignore[attr-defined]
            out.append((topic, log_ns, bytes(data)))
    return out


def make_ros1(path: Path, **options: object) -> Path:
    store = get_typestore(Stores.ROS1_NOETIC)
    writer = Writer1(path)
    if "compression" in options:
        writer.set_compression(options["compression"])  # type: ignore[arg-type]
    with writer:
        topics = {t: writer.add_connection(t, k, typestore=store) for t, k in KINDS.items()}
        for topic, log_ns, data in messages(store, ros1=True):
            writer.write(topics[topic], log_ns, data)
    return path


def make_ros2(path: Path, storage: StoragePlugin) -> Path:
    store = get_typestore(Stores.ROS2_HUMBLE)
    with Writer2(path, version=8, storage_plugin=storage) as writer:
        topics = {t: writer.add_connection(t, k, typestore=store) for t, k in KINDS.items()}
        for topic, log_ns, data in messages(store, ros1=False):
            writer.write(topics[topic], log_ns, data)
    return path


def refused_or_all_counted(path: Path) -> str:
    """The refusal's text, or "" when the bag opens and every message of it is a sample or a counted rejection."""
    try:
        reader = open_log(path)
    except SensorfuseError as error:
        return str(error)
    with reader:
        count = sum(1 for _ in reader.samples())
        assert count + sum(reader.rejected.values()) == 2 * COUNT
    return ""


def check(reader: LogReader) -> None:
    """Streams, stamps, receive times and values are those that were written."""
    assert set(reader.streams()) == {"imu_data", "camera_image_compressed"}
    assert reader.streams()["imu_data"].count == COUNT
    assert any("/chatter" in note for note in reader.notes)
    back = list(reader.samples())
    assert len(back) == 2 * COUNT
    assert not reader.rejected
    assert [s.recv_ns for s in back] == sorted(s.recv_ns for s in back)
    imu = [s for s in back if s.modality == "imu"]
    assert [s.seq for s in imu] == list(range(COUNT))
    assert (imu[7].stamp_ns, imu[7].recv_ns, imu[7].frame) == (4_070_000_000, 5_070_000_000, "there")
    assert imu[7].arrays["gyro_radps"].tolist() == [[7, 0.5, -1]]
    pictures = [s for s in back if s.modality == "camera"]
    assert pictures[9].arrays["jpeg"].tobytes() == b"\xff\xd8abc\x09"
    assert {s.stream for s in reader.samples(["imu_data"])} == {"imu_data"}


@pytest.mark.parametrize("compression", [None, Writer1.CompressionFormat.BZ2, Writer1.CompressionFormat.LZ4])
def test_ros1_bag(tmp_path: Path, compression: object) -> None:
    options = {} if compression is None else {"compression": compression}
    with open_log(make_ros1(tmp_path / "a.bag", **options)) as reader:
        assert reader.format == "ros1 bag"
        check(reader)


def test_ros2_sqlite_folder_and_bare_file(tmp_path: Path) -> None:
    folder = make_ros2(tmp_path / "b", StoragePlugin.SQLITE3)
    for path in (folder, folder / "b.db3"):
        with open_log(path) as reader:
            assert reader.format == "ros2 bag"
            check(reader)


def test_ros2_mcap_folder(tmp_path: Path) -> None:
    folder = make_ros2(tmp_path / "b", StoragePlugin.MCAP)
    for path in (folder, folder / "b.mcap"):
        with open_log(path) as reader:
            assert reader.format == "mcap"
            check(reader)


def test_radar_and_audio_without_definitions_in_the_bag(tmp_path: Path) -> None:
    """Types outside the standard store, in a bag that does not say what they are."""
    store = new_store()
    types = store.types
    time = types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
    head = types["std_msgs/msg/Header"](stamp=time, frame_id="f")
    one = types["radar_msgs/msg/RadarReturn"](
        range=10.0, azimuth=0.5, elevation=0.0, doppler_velocity=-3.0, amplitude=7.0
    )
    scan = types["radar_msgs/msg/RadarScan"](header=head, returns=[one, one])
    data = types["audio_common_msgs/msg/AudioData"](
        float32_data=np.zeros(0, np.float32),
        int32_data=np.zeros(0, np.int32),
        int16_data=np.array([16384, -32768, 0, 8192], np.int16),
        int8_data=np.zeros(0, np.int8),
        uint8_data=np.zeros(0, np.uint8),
    )
    info = types["audio_common_msgs/msg/AudioInfo"](format=8, channels=2, rate=16000, chunk=2)
    audio = types["audio_common_msgs/msg/Audio"](audio_data=data, info=info)
    sound = types["audio_common_msgs/msg/AudioStamped"](header=head, audio=audio)
    with Writer2(tmp_path / "b", version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        for topic, kind, message in (
            ("/radar", "radar_msgs/msg/RadarScan", scan),
            ("/mic", "audio_common_msgs/msg/AudioStamped", sound),
        ):
            assert kind in EXTRA_DEFINITIONS
            connection = writer.add_connection(topic, kind, typestore=store)
            writer.write(connection, 9, bytes(store.serialize_cdr(message, kind)))
    with closing(sqlite3.connect(tmp_path / "b" / "b.db3")) as database:
        assert database.execute("SELECT COUNT(*) FROM message_definitions").fetchone()[0] > 0
        database.execute("DELETE FROM message_definitions")
        database.commit()
    with open_log(tmp_path / "b") as reader:
        back = {s.stream: s for s in reader.samples()}
    np.testing.assert_array_equal(back["radar"].arrays["detections"], np.float32([[10, 0.5, 0, -3, 7]] * 2))
    assert back["mic"].arrays["pcm"].tolist() == [[0.5, -1.0], [0.0, 0.25]]
    assert back["mic"].meta == {"sample_rate_hz": 16000}


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_cut_ros1_bag_is_explained(tmp_path: Path, fraction: float) -> None:
    """A bag keeps its index at the end, so a cut one is refused, with what to do."""
    path = make_ros1(tmp_path / "a.bag")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    text = refused_or_all_counted(path)
    assert not text or "rosbag reindex" in text


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.6, 0.9])
def test_cut_sqlite_bag_is_explained_or_counted(tmp_path: Path, fraction: float) -> None:
    path = make_ros2(tmp_path / "b", StoragePlugin.SQLITE3)
    file = path / "b.db3"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * fraction)])
    text = refused_or_all_counted(path)
    assert not text or "cannot be read as a ros2 bag" in text


def test_damaged_messages_are_counted(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    good = [m for m in messages(store, ros1=False) if m[0] == "/imu/data"]
    with Writer2(tmp_path / "b", version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        topic = writer.add_connection("/imu/data", KINDS["/imu/data"], typestore=store)
        for k, (_, log_ns, data) in enumerate(good):
            writer.write(topic, log_ns, data[: 30 if k % 4 == 0 else len(data)])
    with open_log(tmp_path / "b") as reader:
        assert sum(1 for _ in reader.samples()) == 15
        assert sum(reader.rejected.values()) == 5
