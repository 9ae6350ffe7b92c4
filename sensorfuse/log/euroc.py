"""EuRoC MAV sequences (the ASL folder format): grey cameras, an IMU, and poses of the body, which is the IMU's frame.

Source of the format: Burri et al., "The EuRoC micro aerial vehicle datasets", IJRR 2016, and the sequence itself. The
CSV of the ground truth gives quaternions as w x y z; the text form beside some copies gives them as x y z w.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from sensorfuse.geometry import Transform
from sensorfuse.log.images import UnreadableError, decode_image, read_bytes
from sensorfuse.log.reader import MergedReader, StreamInfo
from sensorfuse.log.stamps import seconds_to_ns, text_lines
from sensorfuse.messages import Detections, Sample, Truth

IMU_BATCH = 10
MAX_BATCH_GAP_NS = 100_000_000
MAX_STAMP_NS = 2**62
TRUTH_FILES = ("mav0/state_groundtruth_estimate0/data.csv", "groundtruth_200hz.txt")


class EurocReader(MergedReader):
    """One sequence: the folder that holds `mav0`, or `mav0` itself. An IMU message holds ten measurements."""

    format = "euroc"

    def __init__(self, path: Path, offsets_ns: Mapping[str, int] | None = None) -> None:
        super().__init__(path, offsets_ns)
        self._root = path if path.name != "mav0" and (path / "mav0").is_dir() else path.parent
        self._mav = path / "mav0" if (path / "mav0").is_dir() else path
        self._folders = {f.name: f for f in _sensor_folders(self._mav)}

    @staticmethod
    def matches(path: Path) -> bool:
        return path.is_dir() and bool(_sensor_folders(path / "mav0" if (path / "mav0").is_dir() else path))

    def streams(self) -> dict[str, StreamInfo]:
        infos = {}
        for name, folder in self._folders.items():
            rows = sum(1 for _ in text_lines(folder / "data.csv"))
            if name.startswith("cam"):
                infos[name] = StreamInfo(name, "camera", 20.0, f"{name}_optical_frame", rows, "device")
            else:
                note = f"{rows} measurements, {IMU_BATCH} to a message"
                infos[name] = StreamInfo(name, "imu", 200.0 / IMU_BATCH, f"{name}_link", None, "device", (note,))
        return infos

    def _read_stream(self, name: str) -> Iterator[Sample]:
        return self._images(name) if name.startswith("cam") else self._inertial(name)

    def _images(self, name: str) -> Iterator[Sample]:
        folder = self._folders[name]
        for number, line in text_lines(folder / "data.csv"):
            try:
                fields = [f.strip() for f in line.split(",")]
                if len(fields) != 2 or not fields[1] or "/" in fields[1] or "\\" in fields[1]:
                    raise UnreadableError("row has not a stamp and a file name")
                stamp_ns = _stamp(fields[0])
                arrays = decode_image(read_bytes(folder / "data" / fields[1], "image"))
            except UnreadableError as problem:
                self.reject(name, f"data.csv:{number}", str(problem))
                continue
            yield Sample(name, "camera", 0, stamp_ns, 0, f"{name}_optical_frame", dict(arrays), stamp="mid")

    def _inertial(self, name: str) -> Iterator[Sample]:
        stamps: list[int] = []
        values: list[list[float]] = []
        for number, line in text_lines(self._folders[name] / "data.csv"):
            try:
                fields = line.split(",")
                if len(fields) != 7:
                    raise UnreadableError("row has not 7 fields")
                stamp_ns, row = _stamp(fields[0]), [_number(f) for f in fields[1:]]
            except UnreadableError as problem:
                self.reject(name, f"data.csv:{number}", str(problem))
                continue
            if stamps and (len(stamps) == IMU_BATCH or abs(stamp_ns - stamps[-1]) > MAX_BATCH_GAP_NS):
                yield _batch(name, stamps, values)
                stamps, values = [], []
            stamps.append(stamp_ns)
            values.append(row)
        if stamps:
            yield _batch(name, stamps, values)

    def truth(self) -> Iterator[Truth]:
        """Poses T_world_imu; no objects."""
        self._forget(lambda stream: stream == "truth")
        file = next((self._root / f for f in TRUTH_FILES if (self._root / f).is_file()), None)
        if file is None:
            return
        for number, line in text_lines(file):
            try:
                yield Truth(*_pose_row(line, file.suffix == ".csv"))
            except UnreadableError as problem:
                self.reject("truth", f"{file.name}:{number}", str(problem))


def _sensor_folders(mav: Path) -> list[Path]:
    if not mav.is_dir():
        return []
    return sorted(
        f
        for f in mav.iterdir()
        if (f.name.startswith(("cam", "imu")) and (f / "data.csv").is_file() and f.name[3:].isdigit())
    )


def _stamp(text: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or int(digits) > MAX_STAMP_NS:
        raise UnreadableError("stamp is no number of nanoseconds")
    return int(digits)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UnreadableError("a field is no number") from None
    if not math.isfinite(value):
        raise UnreadableError("a field is NaN or infinite")
    return value


def _batch(name: str, stamps: list[int], values: list[list[float]]) -> Sample:
    rows = np.array(values)
    arrays = {
        "gyro_radps": np.ascontiguousarray(rows[:, :3]),
        "accel_mps2": np.ascontiguousarray(rows[:, 3:]),
        "time_ns": np.array(stamps, np.int64) - stamps[0],
    }
    return Sample(name, "imu", 0, stamps[0], 0, f"{name}_link", arrays)


def _pose_row(line: str, is_csv: bool) -> tuple[int, Detections, np.ndarray]:
    """Stamp, no objects, and the pose of a row: CSV `ns, p, q wxyz, ...`; text `s p q xyzw`."""
    fields = line.split(",") if is_csv else line.split()
    if len(fields) < 8:
        raise UnreadableError("row has fewer than 8 fields")
    numbers = [_number(f) for f in fields[1:8]]
    w_first = numbers[3:]
    xyzw = [*w_first[1:], w_first[0]] if is_csv else w_first
    try:
        stamp_ns = _stamp(fields[0]) if is_csv else seconds_to_ns(fields[0])
        pose = Transform.from_quaternion(numbers[:3], xyzw).matrix()
    except ValueError:
        raise UnreadableError("row holds no stamp or no rotation") from None
    return stamp_ns, Detections.empty(), pose
