"""MCAP logs: those written by `LogWriter`, restored exactly, and foreign ones of ROS messages, one stream per topic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore

from sensorfuse.errors import SensorfuseError
from sensorfuse.log.images import UnreadableError
from sensorfuse.log.mcap_file import MAGIC, ChunkSpan, McapFile, RawMessage
from sensorfuse.log.reader import LogReader, StreamInfo
from sensorfuse.log.records import event_from_dict, frame_from_dict, side_arrays, truth_from_dict
from sensorfuse.log.ros_decode import MODALITY_OF, Arrays, decode_message, stamp_of, stream_name
from sensorfuse.log.ros_types import shared_store
from sensorfuse.messages import FusedFrame, MessageTruth, Sample, Truth
from sensorfuse.rig import Rig, parse_rig

PAYLOADS = ("image", "image/compressed", "points", "scan", "polar", "imu", "audio")
Decode = Callable[[bytes], Any]


@dataclass
class _Pending:
    """A sample whose header was read and whose standard messages are coming."""

    record: dict[str, Any]
    log_ns: int
    parts: list[tuple[str, int, Arrays]] = field(default_factory=list)  # topic's last word, header stamp, arrays
    problem: str | None = None
    seen: int = 0


class McapLogReader(LogReader):
    """One MCAP file. Receive times are its log times."""

    format = "mcap"

    def __init__(self, path: Path, offsets_ns: Mapping[str, int] | None = None) -> None:
        super().__init__(path, offsets_ns)
        self._mcap = McapFile(path)
        index = self._mcap.index
        self.notes = list(index.notes) + [f"{what}: it is skipped" for what in index.damaged]
        self._types = {i: normalise_type(s.name) for i, s in index.schemas.items()}
        self._decoders = self._make_decoders()
        self._infos: dict[str, StreamInfo] = {}
        self._own: dict[int, str] = {}  # channel of sample headers: stream
        self._payload: dict[int, tuple[str, str]] = {}  # channel of standard messages: stream, last word of the topic
        self._foreign: dict[int, str] = {}  # channel that is a stream by itself
        self._sort_channels()

    @staticmethod
    def matches(path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC

    # ---- channels
    # ------------------------------------------------------------------------------------------------------

    def _sort_channels(self) -> None:
        index = self._mcap.index
        ignored = []
        for i, channel in sorted(index.channels.items()):
            about = channel.metadata
            if about.get("content") == "json" and about.get("stream") and about.get("modality"):
                self._own[i] = about["stream"]
                self._add_info(i, about["stream"], about["modality"], about)
        owned = {f"/{s}/{p}": (s, p) for s in self._own.values() for p in PAYLOADS}
        for i, channel in sorted(index.channels.items()):
            msgtype = self._types.get(channel.schema_id, "")
            if channel.topic in owned:
                self._payload[i] = owned[channel.topic]
            elif msgtype in MODALITY_OF and i in self._decoders:
                name = free_name(stream_name(channel.topic), self._infos)
                self._foreign[i] = name
                self._add_info(i, name, MODALITY_OF[msgtype], {"notes": f"topic {channel.topic}, {msgtype}"})
            elif i not in self._own and not channel.topic.startswith(("/fused/", "/truth")):
                ignored.append(channel.topic)
        if ignored and self._foreign:
            self.notes.append(
                f"topics that are no sensor data or of a type that is not read: {', '.join(sorted(ignored))}"
            )

    def _add_info(self, channel: int, name: str, modality: Any, about: dict[str, str]) -> None:
        counts = self._mcap.index.counts
        source: Any = about.get("stamp_source", "device")
        self._infos[name] = StreamInfo(
            name,
            modality,
            float(about["rate_hz"]) if about.get("rate_hz") else None,
            about.get("frame", ""),
            None if counts is None else counts.get(channel, 0),
            source,
            tuple(about["notes"].split("\n")) if about.get("notes") else (),
        )

    def _make_decoders(self) -> dict[int, Decode]:
        """Per channel, how its bytes become a message: by the file's own schema, or by the known type of that name."""
        index = self._mcap.index
        store = get_typestore(Stores.EMPTY)
        parsed: set[int] = set()
        for i, schema in index.schemas.items():
            try:
                text = schema.data.decode()
                if schema.encoding in ("ros2msg", "ros1msg") and text.strip():
                    store.register(get_types_from_msg(text, self._types[i]))
                elif schema.encoding == "ros2idl":
                    store.register(get_types_from_idl(text))
                else:
                    continue
                parsed.add(i)
            except (TypesysError, UnicodeDecodeError, ValueError, KeyError, TypeError):
                continue
        decoders: dict[int, Decode] = {}
        for i, channel in index.channels.items():
            msgtype = self._types.get(channel.schema_id, "")
            source = store if channel.schema_id in parsed and msgtype in store.fielddefs else shared_store()
            if msgtype not in source.fielddefs or channel.message_encoding not in ("cdr", "ros1"):
                continue
            read = source.deserialize_cdr if channel.message_encoding == "cdr" else source.deserialize_ros1
            decoders[i] = lambda data, read=read, msgtype=msgtype: read(data, msgtype)  # type: ignore[misc]
        return decoders

    def streams(self) -> dict[str, StreamInfo]:
        return dict(self._infos)

    # ---- samples
    # -------------------------------------------------------------------------------------------------------

    def _samples(self, streams: list[str]) -> Iterator[Sample]:
        wanted = {i for i, s in self._own.items() if s in streams}
        wanted |= {i for i, (s, _) in self._payload.items() if s in streams}
        wanted |= {i for i, s in self._foreign.items() if s in streams}

        def lost(span: ChunkSpan, counts: dict[int, int]) -> None:
            for i, count in counts.items():
                name = self._own.get(i) or self._foreign.get(i)
                if name:
                    self.reject(name, f"chunk at byte {span.start}", "chunk damaged", count)

        pending: dict[str, _Pending] = {}
        for raw in self._mcap.messages(wanted, lost):
            if raw.channel_id in self._foreign:
                sample = self._foreign_sample(raw)
            elif raw.channel_id in self._own:
                sample = self._begin(self._own[raw.channel_id], raw, pending)
            else:
                sample = self._continue(raw, pending)
            if sample is not None:
                yield sample
        for name, open_ in pending.items():
            self.reject(name, f"message stamped {open_.record['stamp_ns']}", "its data messages are missing")

    def _foreign_sample(self, raw: RawMessage) -> Sample | None:
        name = self._foreign[raw.channel_id]
        channel = self._mcap.index.channels[raw.channel_id]
        msgtype = self._types[channel.schema_id]
        return decoded_sample(self, name, msgtype, raw.log_ns, lambda: self._decoders[raw.channel_id](raw.data))

    def _begin(self, name: str, raw: RawMessage, pending: dict[str, _Pending]) -> Sample | None:
        left = pending.pop(name, None)
        if left is not None:
            self.reject(name, f"message stamped {left.record['stamp_ns']}", "its data messages are missing")
        try:
            record = json.loads(self._decoders[raw.channel_id](raw.data).data)
            if record["stream"] != name or not isinstance(record["messages"], int):
                raise ValueError("wrong stream")
            int(record["stamp_ns"]), int(record["recv_ns"]), record["modality"], record["arrays"]
        except Exception as error:  # whatever the decoder makes of damaged bytes
            self.reject(name, f"message logged at {raw.log_ns}", f"header damaged: {type(error).__name__}")
            return None
        pending[name] = _Pending(record, raw.log_ns)
        return self._finish(name, pending) if record["messages"] == 0 else None

    def _continue(self, raw: RawMessage, pending: dict[str, _Pending]) -> Sample | None:
        name, kind = self._payload[raw.channel_id]
        open_ = pending.get(name)
        if open_ is None:
            return None  # its header was damaged and counted
        channel = self._mcap.index.channels[raw.channel_id]
        open_.seen += 1
        try:
            message = self._decoders[raw.channel_id](raw.data)
            arrays, _ = decode_message(self._types[channel.schema_id], message)
            open_.parts.append((kind, stamp_of(message), arrays))
        except UnreadableError as problem:
            open_.problem = str(problem)
        except Exception as error:  # whatever the decoder makes of damaged bytes
            open_.problem = f"message damaged: {type(error).__name__}"
        return self._finish(name, pending) if open_.seen == open_.record["messages"] else None

    def _finish(self, name: str, pending: dict[str, _Pending]) -> Sample | None:
        done = pending.pop(name)
        record = done.record
        try:
            if done.problem:
                raise UnreadableError(done.problem)
            arrays = joined_arrays(record["modality"], done.parts, int(record["messages"]))
            arrays.update(side_arrays(record))
        except UnreadableError as problem:
            self.reject(name, f"message stamped {record['stamp_ns']}", str(problem))
            return None
        except (ValueError, KeyError, TypeError) as error:
            self.reject(name, f"message stamped {record['stamp_ns']}", f"header damaged: {type(error).__name__}")
            return None
        return Sample(
            name,
            record["modality"],
            0,
            int(record["stamp_ns"]),
            int(record["recv_ns"]),
            str(record.get("frame", "")),
            arrays,
            dict(record.get("meta", {})),
            record.get("stamp", "start"),
            str(record.get("calibration", "")),
        )

    # ---- the rest
    # ------------------------------------------------------------------------------------------------------

    def json_records(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Log time and value of every JSON record on a topic; damaged ones are counted as rejected."""
        wanted = {i for i, c in self._mcap.index.channels.items() if c.topic == topic and i in self._decoders}
        name = topic.strip("/")

        def lost(span: ChunkSpan, counts: dict[int, int]) -> None:
            self.reject(name, f"chunk at byte {span.start}", "chunk damaged", sum(counts.values()))

        for raw in self._mcap.messages(wanted, lost):
            try:
                yield raw.log_ns, json.loads(self._decoders[raw.channel_id](raw.data).data)
            except Exception as error:  # whatever the decoder makes of damaged bytes
                self.reject(name, f"record at {raw.log_ns}", f"record damaged: {type(error).__name__}")

    def truth(self) -> Iterator[Truth]:
        self._forget(lambda stream: stream == "truth")
        for log_ns, record in self.json_records("/truth"):
            try:
                yield truth_from_dict(record)
            except (KeyError, TypeError, ValueError) as error:
                self.reject("truth", f"record at {log_ns}", f"record damaged: {type(error).__name__}")

    def events(self) -> Iterator[MessageTruth]:
        """What really happened to each message of a simulated log, lost ones too, in order of receipt."""
        self._forget(lambda stream: stream == "truth/messages")
        for log_ns, record in self.json_records("/truth/messages"):
            try:
                yield event_from_dict(record)
            except (KeyError, TypeError, ValueError) as error:
                self.reject("truth/messages", f"record at {log_ns}", f"record damaged: {type(error).__name__}")

    def frames(self) -> Iterator[FusedFrame]:
        """The fused frames of the log, in order of log time."""
        self._forget(lambda stream: stream == "fused/frame")
        for log_ns, record in self.json_records("/fused/frame"):
            try:
                yield frame_from_dict(record)
            except (KeyError, TypeError, ValueError) as error:
                self.reject("fused/frame", f"record at {log_ns}", f"record damaged: {type(error).__name__}")

    def rig(self) -> Rig | None:
        """The rig that the log was recorded with, where it is attached."""
        data = self._mcap.attachment("rig.yaml")
        return None if data is None else parse_rig(data.decode("utf-8", "replace"), f"{self.path}: rig.yaml")

    def close(self) -> None:
        self._mcap.close()


def decoded_sample(reader: LogReader, name: str, msgtype: str, recv_ns: int, read: Callable[[], Any]) -> Sample | None:
    """A foreign message as a sample; None and a counted rejection when it cannot be read."""
    try:
        message = read()
        arrays, meta = decode_message(msgtype, message)
        stamp_ns, frame = stamp_of(message), str(message.header.frame_id)
    except UnreadableError as problem:
        reader.reject(name, f"message logged at {recv_ns}", str(problem))
        return None
    except Exception as error:  # whatever the decoder makes of damaged bytes
        reader.reject(name, f"message logged at {recv_ns}", f"message damaged: {type(error).__name__}")
        return None
    return Sample(name, MODALITY_OF[msgtype], 0, stamp_ns, recv_ns, frame, arrays, meta)


def joined_arrays(modality: str, parts: list[tuple[str, int, Arrays]], expected: int) -> Arrays:
    """One sample's arrays from its standard messages; an IMU batch is put together from its measurements.

    Raises:
        UnreadableError: there are none.
    """
    if len(parts) != expected or not parts:
        raise UnreadableError("its data messages are missing")
    kind, first_ns, arrays = parts[0]
    if modality == "imu":
        return {
            "gyro_radps": np.concatenate([a["gyro_radps"] for _, _, a in parts]),
            "accel_mps2": np.concatenate([a["accel_mps2"] for _, _, a in parts]),
            "time_ns": np.array([stamp - first_ns for _, stamp, _ in parts], np.int64),
        }
    if kind == "polar":
        return {"polar": arrays["image_mono"]}
    return dict(arrays)


def normalise_type(name: str) -> str:
    """`sensor_msgs/Image` as `sensor_msgs/msg/Image`."""
    parts = name.split("/")
    return f"{parts[0]}/msg/{parts[1]}" if len(parts) == 2 else name


def free_name(name: str, taken: Mapping[str, Any]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def read_frames(path: str | Path) -> Iterator[FusedFrame]:
    """The fused frames of an MCAP log, one by one.

    Raises:
        SensorfuseError: no such file, or it is no MCAP log.
    """
    if not Path(path).is_file():
        raise SensorfuseError(f"{path}: no such file; fused frames are read from an MCAP log")
    reader = McapLogReader(Path(path))
    try:
        yield from reader.frames()
    finally:
        reader.close()
