"""What `LogWriter` writes is read back by its own reader, by `rosbags` and by `mcap_ros2`, and survives accidents."""

from __future__ import annotations

import errno
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import LogWriter, open_log, read_frames
from sensorfuse.log.mcap_log import McapLogReader
from sensorfuse.messages import MessageTruth, Sample
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sensor_config import Intrinsics


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_samples_come_back_identical(tmp_path: Path, kit: dict, compression: str) -> None:
    """Every array, stamp, receive time and remark of every modality."""
    samples = kit["samples"]()
    kit["write"](tmp_path / "a.mcap", samples, compression=compression, chunk_mb=0.002)
    with open_log(tmp_path / "a.mcap") as reader:
        back = list(reader.samples())
        assert not reader.rejected
    assert len(back) == len(samples)
    for a, b in zip(samples, back, strict=True):
        kit["same"](a, b)


def test_frames_come_back_identical(tmp_path: Path, kit: dict) -> None:
    """Infinite sigmas, NaN velocities, 64-bit ids, covariances, one to the last bit."""
    frames = [kit["frame"](k) for k in range(4)]
    with LogWriter(tmp_path / "f.mcap") as writer:
        for frame in frames:
            writer.write_frame(frame, frame.t_ref_ns + 5)
    for a, b in zip(frames, read_frames(tmp_path / "f.mcap"), strict=True):
        kit["same"](a, b)


def test_truth_comes_back_identical(tmp_path: Path, kit: dict) -> None:
    truths = [kit["truth"](k) for k in range(3)]
    with LogWriter(tmp_path / "t.mcap") as writer:
        for truth in truths:
            writer.write_truth(truth)
    with open_log(tmp_path / "t.mcap") as reader:
        for a, b in zip(truths, reader.truth(), strict=True):
            kit["same"](a, b)


def test_what_befell_messages_comes_back_identical(tmp_path: Path) -> None:
    stamp = 1_700_000_000_123_456_789
    events = [
        MessageTruth("camera", 0, 0, stamp, stamp - 7, stamp + 5, stamp + 9, content_k=0),
        MessageTruth("camera", -1, 1, stamp + 1, stamp, stamp + 6, stamp + 10, lost="burst", content_k=1),
        MessageTruth("imu", 1, 1, 42, stamp, stamp + 6, stamp + 11, copy=2, content_k=0, marks=("spike", "stalled")),
    ]
    with LogWriter(tmp_path / "e.mcap") as writer:
        for event in events:
            writer.write_event(event)
    with open_log(tmp_path / "e.mcap") as reader:
        assert list(reader.events()) == events == list(reader.events())
        assert not reader.rejected
        assert not reader.streams()
    assert [e.frozen for e in events] == [False, False, True]


def test_a_damaged_event_is_counted(tmp_path: Path) -> None:
    event = MessageTruth("camera", 0, 0, 1, 2, 3, 4)
    with LogWriter(tmp_path / "e.mcap") as writer:
        writer._add_json("/truth/messages", {"stream": "camera"}, "event", 3)
        writer.write_event(event)
    with open_log(tmp_path / "e.mcap") as reader:
        assert list(reader.events()) == [event]
        assert reader.rejected[("truth/messages", "record damaged: KeyError")] == 1


def test_same_calls_same_bytes(tmp_path: Path, kit: dict) -> None:
    rig = shipped_rig("synthetic")
    for name in ("a", "b"):
        with LogWriter(tmp_path / name) as writer:
            writer.write_rig(rig, 5)
            for sample in kit["samples"]():
                writer.write_sample(sample)
            writer.write_frame(kit["frame"](), 9)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rosbags_decodes_every_message(tmp_path: Path, kit: dict) -> None:
    """With nothing but the schemas in the file. The standard messages hold the numbers of the samples."""
    samples = kit["samples"](2)
    with LogWriter(tmp_path / "a.mcap") as writer:
        for sample in samples:
            writer.write_sample(sample)
        writer.write_frame(kit["frame"](), samples[-1].recv_ns)
    store = get_typestore(Stores.EMPTY)
    seen: dict[str, list] = {}
    with Reader(tmp_path / "a.mcap") as bag:
        for connection in bag.connections:
            store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        for connection, log_ns, raw in bag.messages():
            seen.setdefault(connection.topic, []).append((log_ns, store.deserialize_cdr(raw, connection.msgtype)))
    first = {s.stream: s for s in samples if s.seq == 1}
    cloud = seen["/top/points"][1][1]
    table = np.frombuffer(
        cloud.data, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("i", "<f4"), ("r", "<u2"), ("t", "<i4")]
    )
    np.testing.assert_array_equal(table["y"], first["top"].arrays["points"][:, 1])
    np.testing.assert_array_equal(table["t"], first["top"].arrays["time_ns"])
    assert [f.name for f in cloud.fields] == ["x", "y", "z", "intensity", "ring", "time_ns"]
    log_ns, image = seen["/cam/image"][1]
    assert log_ns == first["cam"].recv_ns
    assert image.header.stamp.sec * 10**9 + image.header.stamp.nanosec == first["cam"].stamp_ns
    assert image.encoding == "rgb8"
    assert image.header.frame_id == "optical"
    np.testing.assert_array_equal(image.data.reshape(5, 7, 3), first["cam"].arrays["image"])
    assert len(seen["/imu/imu"]) == 10
    assert seen["/imu/imu"][7][1].linear_acceleration.y == first["imu"].arrays["accel_mps2"][2, 1]
    scan = seen["/front/scan"][1][1]
    assert scan.returns[0].doppler_velocity == first["front"].arrays["detections"][0, 3]
    audio = seen["/mic/audio"][1][1].audio
    assert (audio.info.format, audio.info.channels, audio.info.rate) == (1, 2, 160)
    np.testing.assert_array_equal(audio.audio_data.float32_data, first["mic"].arrays["pcm"].reshape(-1))
    frame = kit["frame"]()
    boxes = seen["/fused/detections"][0][1].detections
    assert [b.results[0].hypothesis.score for b in boxes] == [float(s) for s in frame.detections.score]
    assert boxes[1].bbox.size.x == frame.detections.size[1, 0]
    q = boxes[1].bbox.center.orientation
    assert 2 * np.arctan2(q.z, q.w) == pytest.approx(frame.detections.yaw[1])
    assert seen["/fused/twist"][0][1].twist.angular.z == frame.twist[5]


def test_mcap_ros2_decodes_every_message(tmp_path: Path, kit: dict) -> None:
    decoder = pytest.importorskip("mcap_ros2.decoder", reason="needs mcap-ros2-support")
    samples = kit["samples"](2)
    with LogWriter(tmp_path / "a.mcap") as writer:
        writer.write_rig(shipped_rig("synthetic"), samples[0].recv_ns)
        for sample in samples:
            writer.write_sample(sample)
        writer.write_frame(kit["frame"](), samples[-1].recv_ns)
        writer.write_truth(kit["truth"](0))
    counts: Counter[str] = Counter()
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[decoder.DecoderFactory()])
        for _, channel, _, message in reader.iter_decoded_messages():
            counts[channel.topic] += 1
            if channel.topic == "/diagnostics":
                uses = kit["frame"]().uses
                health, fusion = message.status[: len(uses)], message.status[len(uses) :]
                assert [s.hardware_id for s in (*health, *fusion)] == 2 * [u.stream for u in uses]
                assert [s.message for s in fusion] == ["used" if u.used else u.reason for u in uses]
                assert [s.message for s in health] == ["ok", "invalid: frozen"]
                assert [s.level if isinstance(s.level, int) else s.level[0] for s in health] == [0, 2]
                told = {v.key: v.value for v in health[1].values}
                assert (told["state"], told["refused"], told["period_ms"]) == ("invalid", "2", "100.000")
            if channel.topic == "/tf_static":
                assert {t.child_frame_id for t in message.transforms} >= {"camera_optical_frame", "lidar_link"}
        assert reader.get_header().profile == "ros2"
    assert counts["/imu/imu"] == 10
    assert counts["/truth/objects"] == counts["/fused/tracks"] == counts["/tf_static"] == 1


def test_every_channel_is_cdr_and_json_is_described(tmp_path: Path, kit: dict) -> None:
    """`ros2 bag play` refuses a file with a channel of another encoding; a schema documents the JSON all the same."""
    with LogWriter(tmp_path / "a.mcap") as writer:
        for sample in kit["samples"](1):
            writer.write_sample(sample)
        writer.write_frame(kit["frame"](), 1)
        writer.write_truth(kit["truth"](0))
        writer.write_event(MessageTruth("camera", 0, 0, 1, 2, 3, 4))
    described = 0
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        assert summary is not None
        assert {c.message_encoding for c in summary.channels.values()} == {"cdr"}
        assert {s.encoding for s in summary.schemas.values()} == {"ros2msg"}
        for _, channel, message in reader.iter_messages():
            if channel.metadata.get("content") != "json":
                continue
            described += 1
            schema = json.loads(channel.metadata["jsonschema"])
            record = json.loads(message.data[8:].rstrip(b"\0"))  # CDR: 4 bytes of header, 4 of length, text, 0
            assert set(schema["required"]) <= set(record) == set(schema["properties"])
    assert described == 11


def test_intrinsics_are_written_once_before_the_first_image(tmp_path: Path, kit: dict) -> None:
    intrinsics = Intrinsics(
        width=7, height=5, fx=6, fy=6.5, cx=3, cy=2, distortion_model="radtan", distortion=(0.1, 0.2, 0.3, 0.4)
    )
    with LogWriter(tmp_path / "a.mcap") as writer:
        for sample in kit["samples"](3):
            writer.write_sample(sample, intrinsics=intrinsics if sample.stream == "cam" else None)
    store = get_typestore(Stores.ROS2_HUMBLE)
    with Reader(tmp_path / "a.mcap") as bag:
        infos = [(c, raw) for c, _, raw in bag.messages() if c.topic == "/cam/camera_info"]
    assert len(infos) == 1
    info = store.deserialize_cdr(infos[0][1], "sensor_msgs/msg/CameraInfo")
    assert (info.k[0], info.k[4], info.k[2], info.distortion_model) == (6, 6.5, 3, "plumb_bob")
    assert info.d.tolist() == [0.1, 0.2, 0.3, 0.4, 0.0]


@pytest.mark.parametrize("name", ["synthetic", "radiate", "euroc", "gopro", "kitti"])
def test_rig_comes_back(tmp_path: Path, name: str) -> None:
    rig = shipped_rig(name)
    with LogWriter(tmp_path / "a.mcap") as writer:
        writer.write_rig(rig)
    reader = McapLogReader(tmp_path / "a.mcap")
    back = reader.rig()
    assert isinstance(back, Rig)
    assert back == rig


def test_stamps_out_of_ros_range_survive(tmp_path: Path, kit: dict) -> None:
    """A broken clock may say anything; the record is kept exactly, the ROS header is clipped."""
    samples = [s for s in kit["samples"](1) if s.stream in ("cam", "imu")]
    samples[0].stamp_ns, samples[0].recv_ns = 2**62, -5
    samples[1].stamp_ns = -(10**12)
    kit["write"](tmp_path / "a.mcap", samples)
    with open_log(tmp_path / "a.mcap") as reader:
        back = {s.stream: s for s in reader.samples()}
    for sample in samples:
        kit["same"](sample, back[sample.stream])


def test_non_monotonic_and_duplicate_stamps_pass(tmp_path: Path, kit: dict) -> None:
    samples = [s for s in kit["samples"](5) if s.stream == "cam"]
    for sample, shift in zip(samples, (0, 0, -(10**9), -(10**9), 5), strict=True):
        sample.stamp_ns = samples[0].stamp_ns + shift
    kit["write"](tmp_path / "a.mcap", samples)
    with open_log(tmp_path / "a.mcap") as reader:
        assert [s.stamp_ns for s in reader.samples()] == [s.stamp_ns for s in samples]


def test_samples_written_out_of_order_are_read_in_order(tmp_path: Path, kit: dict) -> None:
    samples = kit["samples"](6)
    shuffled = [samples[i] for i in np.random.default_rng(3).permutation(len(samples))]
    kit["write"](tmp_path / "a.mcap", shuffled, chunk_mb=0.001)
    with open_log(tmp_path / "a.mcap") as reader:
        back = list(reader.samples())
    assert [(s.stream, s.recv_ns) for s in back] == [(s.stream, s.recv_ns) for s in samples]


def test_sound_payload_is_required(tmp_path: Path) -> None:
    bad = Sample("cam", "camera", 3, 0, 0, "f", {"image": np.zeros((2, 2, 3), np.float32)})
    with (
        LogWriter(tmp_path / "a.mcap") as writer,
        pytest.raises(SensorfuseError, match=r"stream cam, message 3.*float32"),
    ):
        writer.write_sample(bad)


def test_no_permission_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match=r"nowhere/a.mcap: cannot be written: No such file"):
        LogWriter(tmp_path / "nowhere" / "a.mcap")
    with pytest.raises(SensorfuseError, match="cannot be written"):
        LogWriter(tmp_path)
    with pytest.raises(SensorfuseError, match="compression 'gzip' is unknown"):
        LogWriter(tmp_path / "a.mcap", compression="gzip")  # type: ignore[arg-type]


def test_no_space_left(tmp_path: Path, kit: dict) -> None:
    writer = LogWriter(tmp_path / "a.mcap", chunk_mb=0.001)
    writer.write_sample(kit["samples"](1)[0])

    def full(data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer._file.write = full  # type: ignore[method-assign]

    def write_all() -> None:
        for sample in kit["samples"](4):
            writer.write_sample(sample)

    with pytest.raises(SensorfuseError, match=r"a.mcap: cannot be written: No space left on device"):
        write_all()


def test_closed_writer_refuses(tmp_path: Path, kit: dict) -> None:
    writer = LogWriter(tmp_path / "a.mcap")
    writer.close()
    writer.close()
    with pytest.raises(SensorfuseError, match="closed"):
        writer.write_sample(kit["samples"](1)[0])
