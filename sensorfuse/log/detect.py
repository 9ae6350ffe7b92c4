"""Which format a path holds, told by its content, never by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sensorfuse.errors import SensorfuseError
from sensorfuse.log.bag import BagReader
from sensorfuse.log.euroc import EurocReader
from sensorfuse.log.gopro import GoproReader
from sensorfuse.log.kitti import KittiReader
from sensorfuse.log.mcap_log import McapLogReader
from sensorfuse.log.nuscenes import NuscenesReader
from sensorfuse.log.radiate import RadiateReader
from sensorfuse.log.reader import LogReader


class _Format(Protocol):
    def __call__(self, path: Path, offsets_ns: Mapping[str, int] | None) -> LogReader: ...
    @staticmethod
    def matches(path: Path) -> bool: ...


# what it looks for, and its reader; the first that matches opens the log
FORMATS: tuple[tuple[str, _Format], ...] = (
    ("MCAP file (mark at its start; also alone in a ROS 2 bag folder)", McapLogReader),
    ("ROS bag (#ROSBAG V2.0, SQLite .db3, or a folder with metadata.yaml)", BagReader),
    ("nuScenes root (v1.0-*/sample_data.json)", NuscenesReader),
    ("RADIATE sequence (Navtech_Polar.txt, velo_lidar.txt, ... beside folders of the same name)", RadiateReader),
    ("EuRoC sequence (mav0/cam0/data.csv, mav0/imu0/data.csv)", EurocReader),
    ("KITTI raw drive (image_02/data, velodyne_points/data, oxts/data)", KittiReader),
    ("MP4 file (GoPro)", GoproReader),
)


def open_log(path: str | Path, offsets_ns: Mapping[str, int] | None = None) -> LogReader:
    """Open a log of any known format.

    Args:
        path: file or folder.
        offsets_ns: per stream, what is added to its stamps to estimate receive times in logs that have none (see
            `Rig.clock_offsets_ns`). Nothing else uses it.

    Raises:
        SensorfuseError: nothing there, no permission, empty, cut short beyond use, or of no known format.
    """
    given = Path(path)
    try:
        if not given.exists():
            raise SensorfuseError(f"{given}: no such file or folder")
        _require_content(given)
        for file in (given, _lone_mcap(given)):
            for _, reader in FORMATS:
                if file is not None and reader.matches(file):
                    return reader(file, offsets_ns)
    except PermissionError:
        raise SensorfuseError(f"{given}: no permission to read it") from None
    except OSError as error:
        raise SensorfuseError(f"{given}: cannot be read: {error.strerror or error}") from None
    lines = "\n".join(f"  - {what}" for what, _ in FORMATS)
    raise SensorfuseError(f"{given}: not a log of a known format{_hint(given)}; looked for:\n{lines}")


def _require_content(path: Path) -> None:
    if path.is_dir():
        if next(path.iterdir(), None) is None:
            raise SensorfuseError(f"{path}: this folder is empty; give a log file or the folder of a recording")
        return
    if not path.is_file():
        raise SensorfuseError(f"{path}: neither a file nor a folder")
    with path.open("rb") as file:
        if not file.read(1):
            raise SensorfuseError(f"{path}: this file is empty")


def _lone_mcap(path: Path) -> Path | None:
    """The MCAP file of a ROS 2 bag folder that holds just one."""
    if not path.is_dir():
        return None
    files = sorted(path.glob("*.mcap"))
    return files[0] if len(files) == 1 else None


def _hint(path: Path) -> str:
    """A remark for a folder just above or below one that would open."""
    if not path.is_dir():
        return ""
    for folder in [path.parent, *sorted(p for p in path.iterdir() if p.is_dir())[:50]]:
        if any(reader.matches(folder) for _, reader in FORMATS):
            return f" (but {folder} is one)"
    return ""
