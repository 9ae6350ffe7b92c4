"""MCAP files that are cut short, damaged, or of other people's making."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import LogWriter, open_log, read_frames
from sensorfuse.log.ros_types import message_class, new_store, schema_text


def sizes(path: Path) -> dict[str, int]:
    with open_log(path) as reader:
        return {name: sum(1 for _ in reader.samples([name])) for name in reader.streams()}


@pytest.mark.parametrize("fraction", [0.15, 0.4, 0.7, 0.9, 0.98, 0.9999])
def test_cut_file_opens_and_yields_whole_chunks(tmp_path: Path, kit: dict, fraction: float) -> None:
    """What is read is a prefix, equal to what was written; the reader says that the end is missing."""
    samples = kit["samples"](20)
    whole, cut = tmp_path / "whole.mcap", tmp_path / "cut.mcap"
    kit["write"](whole, samples, chunk_mb=0.01)
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * fraction)])
    with open_log(cut) as reader:
        back = list(reader.samples())
        assert any("no end" in note or "index at the file's end" in note for note in reader.notes)
        lost = sum(reader.rejected.values())
    assert lost <= 1  # a sample whose data lie beyond the cut
    for a, b in zip(samples, back, strict=False):
        kit["same"](a, b)
    assert len(back) >= int(len(samples) * (fraction - 0.35))


def test_cut_anywhere_never_crashes(tmp_path: Path, kit: dict) -> None:
    whole, cut = tmp_path / "whole.mcap", tmp_path / "cut.mcap"
    kit["write"](whole, kit["samples"](2), chunk_mb=0.004)
    data = whole.read_bytes()
    most = 0
    for length in [*range(1, 12), *range(12, len(data), len(data) // 60)]:
        cut.write_bytes(data[:length])
        try:
            with open_log(cut) as reader:
                count = sum(1 for _ in reader.samples())
        except SensorfuseError:
            assert length < 8
            continue
        assert count >= most  # a longer file never yields less
        most = count
    assert most >= 8


def test_killed_writer_loses_at_most_the_open_chunk(tmp_path: Path) -> None:
    path = tmp_path / "killed.mcap"
    code = f"""
import os, signal, numpy as np
from sensorfuse.log import LogWriter
from sensorfuse.messages import Sample
rng = np.random.default_rng(0)
writer = LogWriter({str(path)!r}, compression="none", chunk_mb=0.05)
for k in range(100):
    image = rng.integers(0, 255, (40, 40, 3), np.uint8)
    writer.write_sample(Sample("cam", "camera", k, k * 10**7, k * 10**7, "f", {{"image": image}}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    with open_log(path) as reader:
        count = sum(1 for _ in reader.samples())
    per_chunk = 0.05 * 2**20 / (40 * 40 * 3)
    assert 100 - per_chunk - 2 <= count < 100


def test_a_full_chunk_is_on_disk_at_once(tmp_path: Path, kit: dict) -> None:
    """Chunks of one message: another process sees every sample as soon as it is written."""
    path = tmp_path / "open.mcap"
    samples = [s for s in kit["samples"](8) if s.stream == "cam"]
    with LogWriter(path, chunk_mb=1e-6) as writer:
        for number, sample in enumerate(samples, start=1):
            writer.write_sample(sample)
            assert sizes(path) == {"cam": number}


def test_damaged_chunk_is_counted_and_the_rest_goes_on(tmp_path: Path, kit: dict) -> None:
    samples = [s for s in kit["samples"](40) if s.stream == "cam"]
    path = tmp_path / "a.mcap"
    kit["write"](path, samples, chunk_mb=0.003, compression="none")
    data = bytearray(path.read_bytes())
    target = samples[20].arrays["image"].tobytes()
    data[data.index(target) + 3] ^= 0xFF
    path.write_bytes(data)
    with open_log(path) as reader:
        back = list(reader.samples())
        assert reader.rejected[("cam", "chunk damaged")] > 0
        lost = sum(reader.rejected.values())  # with a sample whose header and data lay in different chunks
        assert reader.rejections[0].startswith("cam: chunk at byte")
    assert len(back) + lost == 40
    assert samples[20].stamp_ns not in {s.stamp_ns for s in back}


def foreign(path: Path, messages: list[tuple[str, str, int, bytes]], **options: object) -> None:
    """A file as another tool would write it: (topic, type, log time, CDR)."""
    with path.open("wb") as file:
        writer = Writer(file, **options)  # type: ignore[arg-type]
        writer.start("ros2", "someone else")
        channels: dict[str, int] = {}
        for topic, msgtype, log_ns, data in messages:
            if topic not in channels:
                schema = writer.register_schema(msgtype, "ros2msg", schema_text(msgtype).encode())
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channels[topic], log_ns, data, log_ns)
        writer.finish()


def header(sec: int) -> object:
    time = message_class("builtin_interfaces/msg/Time")(sec=sec, nanosec=5)
    return message_class("std_msgs/msg/Header")(stamp=time, frame_id="a_frame")


def image_bytes(sec: int, encoding: str = "bgr8", step: int = 9, data: np.ndarray | None = None) -> bytes:
    store = new_store()
    message = message_class("sensor_msgs/msg/Image")(
        header=header(sec),
        height=2,
        width=2,
        encoding=encoding,
        is_bigendian=0,
        step=step,
        data=np.arange(2 * step, dtype=np.uint8) if data is None else data,
    )
    return bytes(store.serialize_cdr(message, "sensor_msgs/msg/Image"))


@pytest.mark.parametrize(
    "options", [{}, {"use_chunking": False}, {"compression": CompressionType.NONE, "chunk_size": 1}]
)
def test_foreign_images_are_read(tmp_path: Path, options: dict) -> None:
    """Padded rows, BGR order, one stream per topic, the header's stamp and the log's receive time."""
    kind = "sensor_msgs/msg/Image"
    messages = [("/Cam/Image_raw", kind, 100 + k, image_bytes(k)) for k in range(3)]
    messages += [("/other", "std_msgs/msg/String", 200, b"\0\1\0\0\2\0\0\0a\0")]
    foreign(tmp_path / "f.mcap", messages, **options)
    with open_log(tmp_path / "f.mcap") as reader:
        assert set(reader.streams()) == {"cam_image_raw"}
        assert any("/other" in note for note in reader.notes)
        back = list(reader.samples())
    assert [(s.seq, s.stamp_ns, s.recv_ns, s.frame) for s in back] == [
        (k, k * 10**9 + 5, 100 + k, "a_frame") for k in range(3)
    ]
    np.testing.assert_array_equal(back[0].arrays["image"][1], [[11, 10, 9], [14, 13, 12]])


def test_foreign_faults_are_counted(tmp_path: Path) -> None:
    kind = "sensor_msgs/msg/Image"
    good = image_bytes(1)
    messages = [
        ("/cam", kind, 1, good),
        ("/cam", kind, 2, good[:40]),
        ("/cam", kind, 3, b""),
        ("/cam", kind, 4, image_bytes(2, encoding="32FC1")),
        ("/cam", kind, 5, image_bytes(2, step=5)),
        ("/cam", kind, 6, image_bytes(2, data=np.zeros(3, np.uint8))),
        ("/cam", kind, 7, image_bytes(3)),
    ]
    foreign(tmp_path / "f.mcap", messages)
    with open_log(tmp_path / "f.mcap") as reader:
        back = list(reader.samples())
        assert [s.recv_ns for s in back] == [1, 7]
        assert sum(reader.rejected.values()) == 5
        assert reader.rejected[("cam", "image encoding '32FC1' is not read")] == 1
        assert reader.rejected[("cam", "image size does not fit its data")] == 2
        list(reader.samples())
        assert sum(reader.rejected.values()) == 5  # the latest pass only


def test_random_bytes_in_messages_never_crash(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = image_bytes(1)
    messages = []
    for k in range(300):
        data = bytearray(good)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(0, 256)
        messages.append(("/cam", "sensor_msgs/msg/Image", k, bytes(data)))
    foreign(tmp_path / "f.mcap", messages)
    with open_log(tmp_path / "f.mcap") as reader:
        count = sum(1 for _ in reader.samples())
        assert count + sum(reader.rejected.values()) == 300


def cloud_bytes(names: list[tuple[str, int, str]], rows: list[tuple], big_endian: bool = False) -> bytes:
    """PointCloud2 of fields (name, PointField type number, numpy type)."""
    dtype = np.dtype([(n, (">" if big_endian else "<") + t) for n, _, t in names])
    table = np.array(rows, dtype)
    field = message_class("sensor_msgs/msg/PointField")
    message = message_class("sensor_msgs/msg/PointCloud2")(
        header=header(50),
        height=1,
        width=len(rows),
        fields=[field(name=n, offset=dtype.fields[n][1], datatype=k, count=1) for n, k, _ in names],
        is_bigendian=big_endian,
        point_step=dtype.itemsize,
        row_step=dtype.itemsize * len(rows),
        data=table.view(np.uint8),
        is_dense=True,
    )
    return bytes(get_typestore(Stores.ROS2_HUMBLE).serialize_cdr(message, "sensor_msgs/msg/PointCloud2"))


@pytest.mark.parametrize(
    ("time_field", "value", "expected"),
    [
        (("t", 6, "u4"), 5_000_000, 5_000_000),  # Ouster: nanoseconds after the stamp
        (("time", 7, "f4"), 0.25, 250_000_000),  # Velodyne: seconds after the stamp
        (("timestamp", 8, "f8"), 50.5, 499_999_995),  # Hesai: seconds since the epoch, stamp is 50 s + 5 ns
        (("time", 7, "f4"), float("nan"), None),
    ],
)
@pytest.mark.parametrize("big_endian", [False, True])
def test_point_cloud_layouts(
    tmp_path: Path, time_field: tuple, value: float, expected: int | None, big_endian: bool
) -> None:
    names = [("z", 8, "f8"), ("x", 7, "f4"), ("y", 7, "f4"), ("ring", 2, "u1"), time_field]
    data = cloud_bytes(names, [(3.0, 1.0, 2.0, 9, value), (6.0, 4.0, 5.0, 8, value)], big_endian)
    foreign(tmp_path / "f.mcap", [("/points", "sensor_msgs/msg/PointCloud2", 1, data)])
    with open_log(tmp_path / "f.mcap") as reader:
        (sample,) = reader.samples()
    np.testing.assert_array_equal(sample.arrays["points"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(sample.arrays["ring"], [9, 8])
    if expected is None:
        assert "time_ns" not in sample.arrays
    else:
        assert sample.arrays["time_ns"].tolist() == [expected, expected]


def test_cloud_without_a_finite_point_is_rejected(tmp_path: Path) -> None:
    nan = float("nan")
    names = [("x", 7, "f4"), ("y", 7, "f4"), ("z", 7, "f4")]
    some, none = cloud_bytes(names, [(nan, 1, 1), (1, 2, 3)]), cloud_bytes(names, [(nan, 1, 1), (nan, 2, 3)])
    kind = "sensor_msgs/msg/PointCloud2"
    foreign(tmp_path / "f.mcap", [("/p", kind, 1, some), ("/p", kind, 2, none)])
    with open_log(tmp_path / "f.mcap") as reader:
        assert [len(s.arrays["points"]) for s in reader.samples()] == [2]
        assert reader.rejected == {("p", "no finite point in the cloud"): 1}


def test_unknown_streams(tmp_path: Path, kit: dict) -> None:
    kit["write"](tmp_path / "a.mcap", kit["samples"](1))
    with open_log(tmp_path / "a.mcap") as reader:
        assert {s.stream for s in reader.samples(["cam", "absent"])} == {"cam"}
        with pytest.raises(SensorfuseError, match=r"none of the streams absent is in this mcap log; it has cam"):
            reader.samples(["absent"])


def test_frames_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_bytes(b"no MCAP at all")
    with pytest.raises(SensorfuseError, match="not an MCAP file"):
        list(read_frames(tmp_path / "x.mcap"))
    with pytest.raises(SensorfuseError, match="no such file"):
        list(read_frames(tmp_path / "y.mcap"))


def test_damaged_frame_record_is_passed_over(tmp_path: Path, kit: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    with LogWriter(tmp_path / "a.mcap") as writer:
        writer.write_frame(kit["frame"](0), 1)
        monkeypatch.setattr("sensorfuse.log.writer.frame_to_dict", lambda frame: {"tick_id": frame.tick_id})
        writer.write_frame(kit["frame"](0), 2)
        monkeypatch.undo()
        writer.write_frame(kit["frame"](1), 3)
    assert [f.tick_id for f in read_frames(tmp_path / "a.mcap")] == [7, 8]


def test_ten_times_the_log_takes_no_more_memory(tmp_path: Path, kit: dict) -> None:
    """Peak of allocations while reading, 30 against 300 messages of a stream, 32 kB chunks."""
    peaks = []
    for count in (30, 300):
        samples = [s for s in kit["samples"](count) if s.stream in ("top", "imu")]
        for sample in samples:
            if "intensity" in sample.arrays:
                sample.arrays = {"points": np.random.default_rng(sample.seq).normal(size=(800, 3)).astype(np.float32)}
        kit["write"](tmp_path / "a.mcap", samples, chunk_mb=0.03)
        del samples
        with open_log(tmp_path / "a.mcap") as reader:
            sum(1 for _ in reader.samples())  # caches of the type system
            tracemalloc.start()
            sum(1 for _ in reader.samples())
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_empty_log_has_no_streams(tmp_path: Path) -> None:
    LogWriter(tmp_path / "a.mcap").close()
    with open_log(tmp_path / "a.mcap") as reader:
        assert reader.streams() == {}
        assert list(reader.samples()) == []


def test_other_schema_of_a_known_type_is_used(tmp_path: Path) -> None:
    """A file's own definition wins over ours: here an Imu without covariances."""
    text = (
        "std_msgs/Header header\ngeometry_msgs/Vector3 angular_velocity\ngeometry_msgs/Vector3 linear_acceleration\n"
        "================================================================================\n"
        "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
        "================================================================================\n"
        "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
        "================================================================================\n"
        "MSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"
    )
    body = io.BytesIO()
    body.write(b"\0\1\0\0" + (7).to_bytes(4, "little") + (8).to_bytes(4, "little") + (2).to_bytes(4, "little") + b"f\0")
    body.write(b"\0" * 2)  # align to 8 after the header's string (14 bytes so far)
    body.write(np.array([1, 2, 3, 4, 5, 6], "<f8").tobytes())
    with (tmp_path / "f.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start("ros2")
        schema = writer.register_schema("sensor_msgs/msg/Imu", "ros2msg", text.encode())
        writer.add_message(writer.register_channel("/imu", "cdr", schema), 3, body.getvalue(), 3)
        writer.finish()
    with open_log(tmp_path / "f.mcap") as reader:
        (sample,) = reader.samples()
    assert sample.stamp_ns == 7_000_000_008
    assert sample.arrays["gyro_radps"].tolist() == [[1, 2, 3]]
    assert sample.arrays["accel_mps2"].tolist() == [[4, 5, 6]]
