"""Log readers and their decoders as targets: a damaged file is refused in words, or the damage is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sensorfuse.errors import SensorfuseError
from sensorfuse.fuzz import log_seeds
from sensorfuse.fuzz.target import FileInput, FolderInput, Harness, Target
from sensorfuse.log import open_log
from sensorfuse.log.gpmf import GpmfError, motion
from sensorfuse.log.images import UnreadableError, decode_image
from sensorfuse.log.info import summarize
from sensorfuse.log.mcap_log import McapLogReader
from sensorfuse.log.nuscenes import parse_pcd
from sensorfuse.log.ros_decode import MODALITY_OF, decode_message, stamp_of
from sensorfuse.log.ros_types import shared_store
from sensorfuse.wire import encode_data, encode_meta, envelope_of

MAX_SAMPLES = 2000


def read_log(path: Path) -> None:
    """All that a replay does with a log before its samples are on the wire."""
    with open_log(path) as reader:
        reader.streams()
        for sample in islice(reader.samples(), MAX_SAMPLES):
            envelope = envelope_of(sample, 0, 0)
            encode_meta(envelope)
            encode_data(envelope, sample.arrays)
        for records in (reader.truth, reader.events):
            for _ in islice(records(), MAX_SAMPLES):
                pass
        if isinstance(reader, McapLogReader):
            reader.rig()
            for _ in islice(reader.frames(), MAX_SAMPLES):
                pass


def summarize_log(path: Path) -> None:
    """What `sensorfuse info` does."""
    with open_log(path) as reader:
        summarize(reader).to_dict()


class _JsonFile:
    """The JSON files among a folder's."""

    def parse(self, data: bytes) -> Any:
        try:
            return [data[0], json.loads(data[1:])]
        except (IndexError, RecursionError):
            raise ValueError("no JSON") from None

    def build(self, tree: Any) -> bytes:
        return bytes([tree[0]]) + json.dumps(tree[1]).encode()


def _folder(name: str, make: Callable[[Path], None]) -> Target:
    def opened(scratch: Path) -> Harness:
        root = scratch / name
        make(root)
        folder = FolderInput(root, read_log)
        return Harness(folder.seeds(), folder.run, (SensorfuseError,), _JsonFile())

    return Target(f"log_{name}", f"{name} folders", opened)


def _file(name: str, what: str, makes: tuple[Callable[[Path], None], ...], read: Callable[[Path], None]) -> Target:
    def opened(scratch: Path) -> Harness:
        file = scratch / "input"
        seeds = []
        for make in makes:
            file.unlink(missing_ok=True)
            make(file)
            seeds.append(file.read_bytes())
        return Harness(seeds, FileInput(file, read).run, (SensorfuseError,))

    return Target(name, what, opened)


def _decoder(
    name: str, what: str, seeds: Callable[[], list[bytes]], run: Callable[[bytes], Any], error: type[Exception]
) -> Target:
    return Target(name, what, lambda _: Harness(seeds(), run, (error,)), share=20)


def _ros_message(kinds: list[str], data: bytes) -> None:
    """First byte: the type. What the library makes of damaged bytes is its own error, which the readers count."""
    if not data:
        return
    kind = kinds[data[0] % len(kinds)]
    try:
        message = shared_store().deserialize_cdr(data[1:], kind)
        stamp_of(message)
    except Exception:
        return
    decode_message(kind, message)


def _ros_seeds(kinds: list[str]) -> list[bytes]:
    return [bytes([kinds.index(kind)]) + data for _, kind, _, data in log_seeds.ros_messages() if kind in kinds]


_KINDS = sorted(MODALITY_OF)
_OWN = tuple(partial(log_seeds.own_mcap, compression=c) for c in ("none", "zstd", "lz4"))

TARGETS = (
    _file("log_mcap", "MCAP files", (*_OWN, log_seeds.foreign_mcap), read_log),
    _file("log_ros1", "ROS 1 bags", (log_seeds.ros1_bag,), read_log),
    _folder("ros2", log_seeds.ros2_bag),
    _folder("euroc", log_seeds.euroc),
    _folder("kitti", log_seeds.kitti),
    _folder("nuscenes", log_seeds.nuscenes),
    _folder("radiate", log_seeds.radiate),
    _file("log_gopro", "MP4 files", (log_seeds.mp4,), read_log),
    _file("log_info", "summaries of MCAP files", _OWN[:1], summarize_log),
    _decoder("gpmf", "GoPro telemetry", lambda: [log_seeds.telemetry()], motion, GpmfError),
    _decoder("pcd", "radar files of nuScenes", lambda: [log_seeds.pcd()], parse_pcd, UnreadableError),
    _decoder(
        "image",
        "pictures",
        log_seeds.pictures,
        decode_image,
        UnreadableError,
    ),
    _decoder("ros", "ROS messages", lambda: _ros_seeds(_KINDS), partial(_ros_message, _KINDS), UnreadableError),
)
