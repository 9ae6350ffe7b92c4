"""Writes logs: MCAP files of standard ROS 2 messages (profile `ros2`, CDR), playable by `ros2 bag`, Foxglove and Rerun.

Layout. A sample of stream `s` is one JSON record on `/s/sample` (its header, exact) followed by standard messages with
the arrays: `/s/image` (sensor_msgs/Image), `/s/image/compressed`, `/s/camera_info`, `/s/points` (PointCloud2),
`/s/scan` (radar_msgs/RadarScan), `/s/polar` (sensor_msgs/Image of azimuths x ranges), `/s/imu` (one sensor_msgs/Imu
per measurement), `/s/audio` (audio_common_msgs/AudioStamped). Fused frames: `/fused/tracks` and `/fused/detections`
(vision_msgs/Detection3DArray), `/fused/twist` (TwistStamped), `/diagnostics` (DiagnosticArray: each stream's health,
and used or why not), `/fused/frame` (JSON, exact). Truth: `/truth` (JSON), `/truth/objects`, and of a simulated log
`/truth/messages` (JSON: when each message was really measured, and what befell it). The rig: `/tf_static`, and the
attachment `rig.yaml`.

JSON travels in std_msgs/String, its JSON schema in the channel's metadata under `jsonschema`: `ros2 bag play` of the
released distributions refuses a whole file when one topic is not CDR (ros2/rosbag2 #1245), so a bare JSON channel
would make the rest unplayable. `header.stamp` is the sensor's clock, `log_time` the receipt, `publish_time` as given.

A chunk is flushed as soon as it is full: a killed writer loses at most the open one. The same calls give the same
bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import yaml
from mcap.writer import CompressionType, Writer

from sensorfuse.errors import SensorfuseError
from sensorfuse.log.reader import StreamInfo
from sensorfuse.log.records import SCHEMAS, dumps, event_to_dict, frame_to_dict, sample_to_dict, truth_to_dict
from sensorfuse.log.ros_encode import (
    camera_info,
    detection_array,
    diagnostic_array,
    sample_messages,
    transform_stamped,
    twist_stamped,
)
from sensorfuse.log.ros_types import message_class, schema_text, shared_store
from sensorfuse.messages import FusedFrame, MessageTruth, Sample, Truth, sample_problem
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import Intrinsics

LIBRARY = "sensorfuse"
STRING = "std_msgs/msg/String"
COMPRESSIONS = {"zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4, "none": CompressionType.NONE}
_FOREVER = "{sec: 9223372036, nsec: 854775807}"
# Late subscribers of /tf_static must still get it, so its recorded quality of service is reliable and transient local.
LATCHED_QOS = (
    "- {history: 1, depth: 1, reliability: 1, durability: 1, "
    f"deadline: {_FOREVER}, lifespan: {_FOREVER}, liveliness: 1, liveliness_lease_duration: {_FOREVER}, "
    "avoid_ros_namespace_conventions: false}\n"
)


class LogWriter:
    """Writes one MCAP file. Use as a context manager; `close` completes the index.

    Raises:
        SensorfuseError: from every method, when the file cannot be opened or written (no permission, no space left).
    """

    def __init__(
        self, path: str | Path, compression: Literal["zstd", "lz4", "none"] = "zstd", chunk_mb: float = 1.0
    ) -> None:
        self.path = Path(path)
        if compression not in COMPRESSIONS:
            raise SensorfuseError(f"compression {compression!r} is unknown; give one of {', '.join(COMPRESSIONS)}")
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._intrinsics: dict[str, Intrinsics] = {}
        self._described: dict[str, dict[str, str]] = {}
        self._closed = False
        with self._explained():
            self._file = self.path.open("wb")
            self._writer = Writer(
                self._file, chunk_size=max(1, round(chunk_mb * 2**20)), compression=COMPRESSIONS[compression]
            )
            self._writer.start(profile="ros2", library=LIBRARY)
            self._file.flush()
            self._flushed = self._file.tell()

    # ---- what is written
    # -----------------------------------------------------------------------------------------------

    def describe_stream(self, info: StreamInfo) -> None:
        """Keep a stream's rate, stamp source and notes in the log; to be called before its first sample."""
        self._described[info.name] = {
            "stamp_source": info.stamp_source,
            "rate_hz": "" if info.rate_hz is None else repr(float(info.rate_hz)),
            "notes": "\n".join(info.notes),
        }

    def write_sample(self, sample: Sample, publish_ns: int | None = None, intrinsics: Intrinsics | None = None) -> None:
        """Write a sample at its `recv_ns`; a camera's intrinsics (given here or by `write_rig`) go before the first."""
        problem = sample_problem(sample)
        if problem:
            raise SensorfuseError(f"{self.path}: stream {sample.stream}, message {sample.seq}: {problem}")
        known = intrinsics or self._intrinsics.get(sample.stream)
        info_topic = f"/{sample.stream}/camera_info"
        if sample.modality == "camera" and known is not None and info_topic not in self._channels:
            info = camera_info(known, sample.stamp_ns, sample.frame)
            self._add(info_topic, "sensor_msgs/msg/CameraInfo", info, sample.recv_ns, publish_ns, qos=LATCHED_QOS)
        messages = list(sample_messages(sample))
        record = sample_to_dict(sample, len(messages))
        about = {
            "stream": sample.stream,
            "modality": sample.modality,
            "frame": sample.frame,
            **self._described.get(sample.stream, {}),
        }
        self._add_json(f"/{sample.stream}/sample", record, "sample", sample.recv_ns, publish_ns, about)
        for topic, msgtype, message in messages:
            self._add(topic, msgtype, message, sample.recv_ns, publish_ns)

    def write_frame(self, frame: FusedFrame, log_time_ns: int, base_frame: str = "base_link") -> None:
        """Write a fused frame: standard messages to look at, and a JSON record that `read_frames` restores exactly."""
        stamp, box_type = frame.t_ref_ns, "vision_msgs/msg/Detection3DArray"
        self._add_json("/fused/frame", frame_to_dict(frame), "frame", log_time_ns)
        self._add("/fused/tracks", box_type, detection_array(frame.tracks, stamp, base_frame), log_time_ns)
        self._add("/fused/detections", box_type, detection_array(frame.detections, stamp, base_frame), log_time_ns)
        twist = twist_stamped(frame.twist, stamp, base_frame)
        self._add("/fused/twist", "geometry_msgs/msg/TwistStamped", twist, log_time_ns)
        health = diagnostic_array(frame.uses, stamp)
        self._add("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", health, log_time_ns)

    def write_truth(self, truth: Truth, log_time_ns: int | None = None, base_frame: str = "base_link") -> None:
        """Write truth at its own stamp unless told otherwise."""
        log_time = truth.stamp_ns if log_time_ns is None else log_time_ns
        self._add_json("/truth", truth_to_dict(truth), "truth", log_time)
        boxes = detection_array(truth.objects, truth.stamp_ns, base_frame)
        self._add("/truth/objects", "vision_msgs/msg/Detection3DArray", boxes, log_time)

    def write_event(self, event: MessageTruth) -> None:
        """Write what really happened to a message, at its receipt."""
        self._add_json("/truth/messages", event_to_dict(event), "event", event.recv_ns)

    def write_rig(self, rig: Rig, log_time_ns: int = 0) -> None:
        """Write every sensor's T_base_sensor to `/tf_static`, attach the rig, and remember its cameras' intrinsics."""
        transforms = {
            s.frame: transform_stamped(s.T_base_sensor.transform(), rig.base_frame, s.frame, log_time_ns)
            for s in rig.sensors.values()
            if s.frame != rig.base_frame
        }
        message = message_class("tf2_msgs/msg/TFMessage")(transforms=list(transforms.values()))
        self._add("/tf_static", "tf2_msgs/msg/TFMessage", message, log_time_ns, qos=LATCHED_QOS)
        for name, sensor in rig.sensors.items():
            if sensor.intrinsics is not None:
                self._intrinsics[name] = sensor.intrinsics
                self._intrinsics[sensor.log_stream or name] = sensor.intrinsics
        text = yaml.safe_dump(rig.model_dump(mode="json", exclude_none=True), sort_keys=False)
        with self._explained():
            self._writer.add_attachment(0, max(log_time_ns, 0), "rig.yaml", "application/yaml", text.encode())
            self._writer.add_metadata("rig", {"name": rig.name})
            self._flush()

    # ---- how
    # -----------------------------------------------------------------------------------------------------------

    def _add_json(
        self,
        topic: str,
        value: Any,
        schema: str,
        log_time_ns: int,
        publish_ns: int | None = None,
        about: dict[str, str] | None = None,
    ) -> None:
        text = dumps(value).decode()
        extra = {"content": "json", "jsonschema": json.dumps(SCHEMAS[schema], sort_keys=True), **(about or {})}
        self._add(topic, STRING, message_class(STRING)(data=text), log_time_ns, publish_ns, extra=extra)

    def _add(
        self,
        topic: str,
        msgtype: str,
        message: Any,
        log_time_ns: int,
        publish_ns: int | None = None,
        qos: str = "",
        extra: dict[str, str] | None = None,
    ) -> None:
        if self._closed:
            raise SensorfuseError(f"{self.path}: the log is closed; nothing more can be written")
        data = bytes(shared_store().serialize_cdr(message, msgtype))
        log_time = min(max(log_time_ns, 0), 2**63 - 1)  # MCAP and ROS 2 know no time before 0
        publish = log_time if publish_ns is None else min(max(publish_ns, 0), 2**63 - 1)
        with self._explained():
            channel = self._channel(topic, msgtype, {"offered_qos_profiles": qos, **(extra or {})})
            self._writer.add_message(channel, log_time, data, publish)
            if self._file.tell() != self._flushed:
                self._flush()

    def _channel(self, topic: str, msgtype: str, metadata: dict[str, str]) -> int:
        if topic not in self._channels:
            if msgtype not in self._schemas:
                text = schema_text(msgtype).encode()
                self._schemas[msgtype] = self._writer.register_schema(msgtype, "ros2msg", text)
            self._channels[topic] = self._writer.register_channel(topic, "cdr", self._schemas[msgtype], metadata)
        return self._channels[topic]

    def _flush(self) -> None:
        self._file.flush()
        self._flushed = self._file.tell()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SensorfuseError(f"{self.path}: cannot be written: {error.strerror or error}") from None

    def close(self) -> None:
        """Write the last chunk and the index. Calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        with self._explained():
            try:
                self._writer.finish()
            finally:
                self._file.close()

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
