"""ROS 1 bags and ROS 2 bags (SQLite or several MCAP files), through the `rosbags` library: one stream per topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag1 import Reader as Rosbag1Reader
from rosbags.rosbag2 import Reader as Rosbag2Reader
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore

from sensorfuse.errors import SensorfuseError
from sensorfuse.log.mcap_log import decoded_sample, free_name
from sensorfuse.log.reader import LogReader, StreamInfo
from sensorfuse.log.ros_decode import MODALITY_OF, stream_name
from sensorfuse.log.ros_types import new_store
from sensorfuse.messages import Sample

ROS1_MAGIC = b"#ROSBAG V2.0\n"
SQLITE_MAGIC = b"SQLite format 3\0"


class BagReader(LogReader):
    """One ROS bag. Receive times are the bag's."""

    def __init__(self, path: Path, offsets_ns: Mapping[str, int] | None = None) -> None:
        super().__init__(path, offsets_ns)
        ros1 = path.is_file() and _starts_with(path, ROS1_MAGIC)
        self.format = "ros1 bag" if ros1 else "ros2 bag"
        hint = "run `rosbag reindex` on it" if ros1 else "run `ros2 bag reindex` on its folder"
        try:
            self._bag: Any = Rosbag1Reader(path) if ros1 else Rosbag2Reader(path)
            self._bag.open()
        except Exception as error:  # rosbags lets errors of SQLite, YAML and struct through for damaged files
            raise SensorfuseError(
                f"{path}: cannot be read as a {self.format}: {error}; if its recorder was stopped, {hint}"
            ) from None
        self._read = self._register_types(ros1)
        self._connections: dict[int, tuple[Any, str]] = {}  # connection's place in the bag: itself, its stream
        self._infos: dict[str, StreamInfo] = {}
        self._sort_connections()

    @staticmethod
    def matches(path: Path) -> bool:
        if path.is_dir():
            return ((path / "metadata.yaml").is_file() and any(path.glob("*.db3*"))) or len(
                list(path.glob("*.mcap*"))
            ) > 1
        return path.is_file() and (_starts_with(path, ROS1_MAGIC) or _starts_with(path, SQLITE_MAGIC))

    def _register_types(self, ros1: bool) -> Any:
        """How a message's bytes and type become a message: by the bag's own definitions, else by the known types."""
        store = get_typestore(Stores.EMPTY)
        for connection in self._bag.connections:
            definition = connection.msgdef
            try:
                if definition.format == MessageDefinitionFormat.MSG:
                    store.register(get_types_from_msg(definition.data, connection.msgtype))
                elif definition.format == MessageDefinitionFormat.IDL:
                    store.register(get_types_from_idl(definition.data))
            except (TypesysError, ValueError, KeyError, TypeError):
                continue
        known = new_store()

        def read(data: bytes, msgtype: str) -> Any:
            if ros1:
                return store.deserialize_ros1(data, msgtype)
            return (store if msgtype in store.fielddefs else known).deserialize_cdr(data, msgtype)

        return read

    def _sort_connections(self) -> None:
        ignored = []
        names: dict[str, str] = {}
        for place, connection in enumerate(self._bag.connections):
            if connection.msgtype not in MODALITY_OF:
                ignored.append(connection.topic)
                continue
            key = f"{connection.topic} {connection.msgtype}"
            name = names.setdefault(key, "") or free_name(stream_name(connection.topic), self._infos)
            names[key] = name
            count = connection.msgcount + (self._infos[name].count or 0 if name in self._infos else 0)
            self._infos[name] = StreamInfo(
                name,
                MODALITY_OF[connection.msgtype],
                None,
                "",
                count,
                "device",
                (f"topic {connection.topic}, {connection.msgtype}",),
            )
            self._connections[place] = (connection, name)
        if ignored:
            topics = ", ".join(sorted(set(ignored)))
            self.notes.append(f"topics that are no sensor data or of a type that is not read: {topics}")

    def streams(self) -> dict[str, StreamInfo]:
        return dict(self._infos)

    def _samples(self, streams: list[str]) -> Iterator[Sample]:
        wanted = [(c, name) for c, name in self._connections.values() if name in streams]
        if not wanted:
            return
        stream_of = {id(c): name for c, name in wanted}
        seen: Counter[str] = Counter()
        try:
            for connection, log_ns, data in self._bag.messages(connections=[c for c, _ in wanted]):
                name = stream_of.get(id(connection)) or next(n for c, n in wanted if c == connection)
                seen[name] += 1
                sample = decoded_sample(
                    self, name, connection.msgtype, log_ns, partial(self._read, data, connection.msgtype)
                )
                if sample is not None:
                    yield sample
        except GeneratorExit:
            raise
        except Exception as error:  # rosbags lets errors of SQLite and struct through for damaged files
            for name in streams:
                lost = (self._infos[name].count or 0) - seen[name]
                if lost > 0:
                    self.reject(
                        name, f"after message {seen[name]}", f"bag damaged from here on: {type(error).__name__}", lost
                    )

    def close(self) -> None:
        bag, self._bag = self._bag, None
        if bag is not None:
            bag.close()


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
