"""KITTI raw recordings: rectified or raw camera images, Velodyne sweeps, and the OXTS GPS/IMU.

Source of the format: Geiger et al., "Vision meets Robotics: The KITTI Dataset", IJRR 2013, and its development kit's
text on OXTS packets. A sweep's stamp is the instant at which the scanner faced forward; points carry no time of their
own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sensorfuse.log.images import UnreadableError, decode_image, read_bytes
from sensorfuse.log.reader import MergedReader, StreamInfo
from sensorfuse.log.stamps import date_to_ns, text_lines
from sensorfuse.messages import Modality, Sample, StampSemantics

PERIOD_NS = 100_000_000  # nominal: 10 Hz for all
CAMERAS = ("image_00", "image_01", "image_02", "image_03")

# stream: (modality, folder, file endings, frame, what its stamp names)
LAYOUT: dict[str, tuple[Modality, str, tuple[str, ...], str, StampSemantics]] = {
    **{c: ("camera", c, (".png", ".jpg"), f"{c}_optical_frame", "mid") for c in CAMERAS},
    "velodyne": ("lidar", "velodyne_points", (".bin",), "lidar_link", "mid"),
    "oxts": ("imu", "oxts", (".txt",), "imu_link", "start"),
}


class KittiReader(MergedReader):
    """One drive: the folder that holds `image_02/data`, `velodyne_points/data` and so on.

    Without `timestamps.txt` the stamps are nominal: the frame number times 0.1 s, counted from 0.
    """

    format = "kitti"

    def __init__(self, path: Path, offsets_ns: Mapping[str, int] | None = None) -> None:
        super().__init__(path, offsets_ns)
        self._present = {n: entry for n, entry in LAYOUT.items() if (path / entry[1] / "data").is_dir()}

    @staticmethod
    def matches(path: Path) -> bool:
        return path.is_dir() and any((path / entry[1] / "data").is_dir() for entry in LAYOUT.values())

    def _stamp_file(self, name: str) -> Path:
        return self.path / self._present[name][1] / "timestamps.txt"

    def _files(self, name: str) -> dict[int, Path]:
        """Frame number to file; the number is the file's name."""
        _, folder, endings, _, _ = self._present[name]
        files = sorted(p for p in (self.path / folder / "data").iterdir() if p.suffix in endings)
        return {int(p.stem): p for p in files if p.stem.isascii() and p.stem.isdigit()}

    def streams(self) -> dict[str, StreamInfo]:
        infos = {}
        for name, (modality, _, _, frame, _) in self._present.items():
            stamped = self._stamp_file(name).is_file()
            notes = () if stamped else ("stamps are nominal: the log has none; frame number times 0.1 s",)
            count = sum(1 for _ in text_lines(self._stamp_file(name))) if stamped else len(self._files(name))
            infos[name] = StreamInfo(name, modality, 10.0, frame, count, "host" if stamped else "nominal", notes)
        return infos

    def _stamps(self, name: str, files: dict[int, Path]) -> Iterator[tuple[int, int | None]]:
        """Frame number and stamp, None where the line is damaged; nominal ones without a stamp file."""
        if not self._stamp_file(name).is_file():
            yield from ((number, number * PERIOD_NS) for number in files)
            return
        for number, (_, line) in enumerate(text_lines(self._stamp_file(name))):
            try:
                yield number, date_to_ns(line)
            except ValueError:
                yield number, None

    def _read_stream(self, name: str) -> Iterator[Sample]:
        modality, _, _, frame, semantics = self._present[name]
        files = self._files(name)
        read = {"camera": _read_image, "lidar": _read_sweep, "imu": _read_oxts}[modality]
        named = set()
        for number, stamp_ns in self._stamps(name, files):
            named.add(number)
            try:
                if stamp_ns is None:
                    raise UnreadableError("stamp line damaged")
                if number not in files:
                    raise UnreadableError("file missing")
                arrays = read(files[number])
            except UnreadableError as problem:
                self.reject(name, f"frame {number}", str(problem))
                continue
            yield Sample(name, modality, 0, stamp_ns, 0, frame, arrays, stamp=semantics)
        for number in sorted(set(files) - named):
            self.reject(name, files[number].name, "no stamp listed for this file")


def _read_image(file: Path) -> dict[str, Any]:
    return dict(decode_image(read_bytes(file, "image")))


def _read_sweep(file: Path) -> dict[str, Any]:
    """Rows of x, y, z, reflectance in [0, 1] as float32."""
    data = read_bytes(file, "sweep")
    if len(data) % 16:
        raise UnreadableError("sweep truncated: its size is no multiple of 16 bytes")
    rows = np.frombuffer(data, "<f4").reshape(-1, 4)
    return {"points": rows[:, :3].astype(np.float32), "intensity": (rows[:, 3] * np.float32(255)).astype(np.float32)}


def _read_oxts(file: Path) -> dict[str, Any]:
    """Specific force ax ay az, angular rate wx wy wz and velocity vf vl vu, all forward-left-up."""
    try:
        fields = [float(v) for v in read_bytes(file, "record").decode("ascii", "replace").split()]
    except ValueError:
        raise UnreadableError("a field is no number") from None
    if len(fields) < 23 or not np.isfinite(fields[:23]).all():
        raise UnreadableError("record truncated or not finite")
    return {
        "gyro_radps": np.array([fields[17:20]]),
        "accel_mps2": np.array([fields[11:14]]),
        "time_ns": np.zeros(1, np.int64),
        "velocity_mps": np.array([fields[8:11]]),
    }
