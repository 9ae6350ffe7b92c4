"""nuScenes: JSON tables and files of cameras, LiDAR and radars, with annotated boxes and ego poses.

Source of the format: Caesar et al., "nuScenes: A multimodal dataset for autonomous driving", CVPR 2020, and its
published schema. Times are microseconds, quaternions w x y z, boxes width-length-height in the global frame. A sweep's
stamp is the end of its turn. The tables are held in memory; sensor files are read one at a time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.geometry import Transform
from sensorfuse.log.images import UnreadableError, read_bytes
from sensorfuse.log.reader import MergedReader, StreamInfo
from sensorfuse.messages import CLASSES, Detections, Modality, Sample, Truth

TABLES = ("sensor", "calibrated_sensor", "sample_data", "ego_pose")
TEXT_FIELDS = (
    "token", "sensor_token", "calibrated_sensor_token", "ego_pose_token", "sample_token", "channel", "instance_token",
    "category_token", "modality", "name", "prev", "next", "filename",
)  # fmt: skip
MAX_TIME_US = 1 << 52
TRUTH_TABLES = ("sample", "sample_annotation", "instance", "category")
RATE_HZ: dict[Modality, float] = {"camera": 12.0, "lidar": 20.0, "radar": 13.0}
CATEGORY_CLASS = (
    # the first prefix that fits decides
    ("vehicle.car", "car"),
    ("vehicle.truck", "truck"),
    ("vehicle.construction", "truck"),
    ("vehicle.trailer", "truck"),
    ("vehicle.bus", "bus"),
    ("vehicle.emergency", "emergency_vehicle"),
    ("vehicle.bicycle", "cyclist"),
    ("vehicle.motorcycle", "cyclist"),
    ("human.pedestrian", "pedestrian"),
)
MAX_VELOCITY_SPAN_S = 1.5  # between the two annotations that a velocity is taken from
PCD_TYPES = {
    ("F", 4): "<f4",
    ("F", 8): "<f8",
    ("I", 1): "i1",
    ("I", 2): "<i2",
    ("I", 4): "<i4",
    ("U", 1): "u1",
    ("U", 2): "<u2",
    ("U", 4): "<u4",
}
MAX_PCD_POINTS = 1_000_000

Row = dict[str, Any]


class NuscenesReader(MergedReader):
    """A nuScenes root: the folder with `v1.0-*/` tables, `samples/` and `sweeps/`. Streams: channels, lower case."""

    format = "nuscenes"

    def __init__(self, path: Path, offsets_ns: Mapping[str, int] | None = None) -> None:
        super().__init__(path, offsets_ns)
        folders = _table_folders(path)
        self._tables = folders[0]
        if len(folders) > 1:
            self.notes.append(f"several sets of tables here; reading {self._tables.name}")
        sensors = {r["token"]: r for r in self._table("sensor")}
        self._channel = {
            r["token"]: sensors[r["sensor_token"]]
            for r in self._table("calibrated_sensor")
            if r.get("sensor_token") in sensors
        }
        self._rows: dict[str, list[Row]] = {}
        self._infos: dict[str, StreamInfo] = {}
        self._sort_rows()

    @staticmethod
    def matches(path: Path) -> bool:
        return path.is_dir() and bool(_table_folders(path))

    def _table(self, name: str) -> list[Row]:
        file = self._tables / f"{name}.json"
        try:
            rows = json.loads(file.read_bytes())
            if not isinstance(rows, list) or any(not isinstance(r, dict) or "token" not in r for r in rows):
                raise ValueError("expected a list of rows with tokens")
            if any(not isinstance(r.get(key, ""), str) for r in rows for key in TEXT_FIELDS):
                raise ValueError(f"expected text in the fields {', '.join(TEXT_FIELDS)}")
        except (OSError, ValueError, RecursionError) as error:
            raise SensorfuseError(f"{file}: cannot be read as a nuScenes table: {error}") from None
        return rows

    def _sort_rows(self) -> None:
        for row in self._table("sample_data"):
            sensor = self._channel.get(row.get("calibrated_sensor_token", ""), {})
            modality = sensor.get("modality")
            if modality not in RATE_HZ or "channel" not in sensor or not _is_time(row.get("timestamp")):
                self.notes.append(f"sample_data {row['token']}: no known sensor or no timestamp; left out")
                continue
            self._rows.setdefault(str(sensor["channel"]).lower(), []).append({**row, "modality": modality})
        for name, rows in self._rows.items():
            rows.sort(key=lambda r: r["timestamp"])
            modality = rows[0]["modality"]
            self._infos[name] = StreamInfo(name, modality, RATE_HZ[modality], name, len(rows), "host")

    def streams(self) -> dict[str, StreamInfo]:
        return dict(self._infos)

    def _read_stream(self, name: str) -> Iterator[Sample]:
        read = {"camera": _read_jpeg, "lidar": _read_sweep, "radar": _read_radar}[self._infos[name].modality]
        for row in self._rows[name]:
            try:
                file = self.path / str(row.get("filename", ""))
                if not file.resolve().is_relative_to(self.path.resolve()):
                    raise UnreadableError("file name leads out of the data set")
                arrays = read(file)
            except UnreadableError as problem:
                self.reject(name, str(row.get("filename", row["token"])), str(problem))
                continue
            meta = {"key_frame": bool(row.get("is_key_frame", False))}
            stamp_ns = row["timestamp"] * 1000
            semantics: Any = "end" if row["modality"] == "lidar" else "start"
            yield Sample(name, row["modality"], 0, stamp_ns, 0, name, arrays, meta, semantics)

    # ---- truth
    # ---------------------------------------------------------------------------------------------------------

    def truth(self) -> Iterator[Truth]:
        """Annotated boxes and the ego pose at every key frame."""
        self._forget(lambda stream: stream == "truth")
        if any(not (self._tables / f"{name}.json").is_file() for name in TRUTH_TABLES):
            return
        poses = {r["token"]: r for r in self._table("ego_pose")}
        key_pose = {
            row["sample_token"]: poses.get(row.get("ego_pose_token", ""))
            for name, rows in self._rows.items()
            for row in rows
            if row.get("is_key_frame") and row.get("sample_token") and self._infos[name].modality == "lidar"
        }
        times = {r["token"]: r["timestamp"] for r in self._table("sample") if _is_time(r.get("timestamp"))}
        boxes = self._table("sample_annotation")
        by_token = {b["token"]: b for b in boxes}
        by_sample: dict[str, list[Row]] = {}
        for box in boxes:
            by_sample.setdefault(box.get("sample_token", ""), []).append(box)
        categories = {c["token"]: c.get("name", "") for c in self._table("category")}
        instances = {
            r["token"]: (i, categories.get(r.get("category_token"), "")) for i, r in enumerate(self._table("instance"))
        }
        for token, time in sorted(times.items(), key=lambda item: item[1]):
            try:
                pose = _pose(key_pose[token])
            except (KeyError, TypeError, ValueError, OverflowError):
                self.reject("truth", f"sample {token}", "no ego pose for this key frame")
                continue
            rows = []
            for box in by_sample.get(token, []):
                try:
                    rows.append(_object_row(box, pose, instances[box["instance_token"]], by_token, times))
                except (KeyError, TypeError, ValueError, OverflowError):
                    self.reject("truth", f"annotation {box['token']}", "annotation damaged")
            yield Truth(time * 1000, _objects(rows), pose=pose.matrix())


def _is_time(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_TIME_US


def _table_folders(path: Path) -> list[Path]:
    return sorted(f for f in path.glob("v1.0-*") if all((f / f"{name}.json").is_file() for name in TABLES))


def _pose(row: Row | None) -> Transform:
    """T_global_thing of a row with `translation` and `rotation` (w x y z).

    Raises:
        ValueError, TypeError, KeyError: there is none, or it is damaged.
    """
    if row is None:
        raise ValueError("no pose")
    w, x, y, z = (float(v) for v in row["rotation"])
    translation = np.array([float(v) for v in row["translation"]])
    if translation.shape != (3,) or not np.isfinite(translation).all():
        raise ValueError("translation needs three finite numbers")
    return Transform.from_quaternion(translation, [x, y, z, w])


def _object_row(
    box: Row, pose: Transform, instance: tuple[int, str], by_token: dict[str, Row], times: dict[str, int]
) -> tuple[int, int, NDArray, NDArray, float, NDArray]:
    """Class, track, centre, size (length, width, height), yaw and velocity of an annotation in base_link."""
    track, category = instance
    name = next((c for prefix, c in CATEGORY_CLASS if category.startswith(prefix)), "unknown")
    in_base = pose.inverse() @ _pose(box)
    width, length, height = (float(v) for v in box["size"])
    velocity = pose.rotation.T @ _global_velocity(box, by_token, times)
    return (
        CLASSES.index(name),
        track,
        in_base.translation,
        np.array([length, width, height]),
        in_base.yaw(),
        velocity[:2],
    )


def _global_velocity(box: Row, by_token: dict[str, Row], times: dict[str, int]) -> NDArray[np.float64]:
    """Difference quotient over the neighbouring annotations of the same object; NaN where there is none near enough."""
    before, after = by_token.get(box.get("prev", ""), box), by_token.get(box.get("next", ""), box)
    dt_s = (times[after["sample_token"]] - times[before["sample_token"]]) / 1e6
    if not 0 < dt_s <= MAX_VELOCITY_SPAN_S:
        return np.full(3, math.nan)
    return (np.array(after["translation"], float) - np.array(before["translation"], float)) / dt_s


def _objects(rows: list[tuple[int, int, NDArray, NDArray, float, NDArray]]) -> Detections:
    if not rows:
        return Detections.empty()
    classes, tracks, centers, sizes, yaws, velocities = zip(*rows, strict=True)
    return Detections(
        class_id=np.array(classes, np.uint8),
        score=np.ones(len(rows), np.float32),
        center=np.array(centers),
        size=np.array(sizes),
        yaw=np.array(yaws),
        velocity=np.array(velocities),
        covariance=np.zeros((len(rows), 4, 4)),
        track_id=np.array(tracks, np.int64),
    )


# ---- sensor files
# ------------------------------------------------------------------------------------------------------


def _read_jpeg(file: Path) -> dict[str, Any]:
    data = read_bytes(file, "image")
    if data[:2] != b"\xff\xd8" and data[:8] != b"\x89PNG\r\n\x1a\n":
        raise UnreadableError("image is neither JPEG nor PNG")
    return {"jpeg": np.frombuffer(data, np.uint8).copy()}


def _read_sweep(file: Path) -> dict[str, Any]:
    """Rows of x, y, z, intensity, ring as float32."""
    data = read_bytes(file, "sweep")
    if len(data) % 20:
        raise UnreadableError("sweep truncated: its size is no multiple of 20 bytes")
    rows = np.frombuffer(data, "<f4").reshape(-1, 5)
    ring = rows[:, 4]
    if not ((ring >= 0) & (ring < 1024)).all():
        raise UnreadableError("sweep has a ring number outside 0..1023")
    return {"points": rows[:, :3].copy(), "intensity": rows[:, 3].copy(), "ring": ring.astype(np.uint16)}


def _read_radar(file: Path) -> dict[str, Any]:
    table = parse_pcd(read_bytes(file, "radar file"))
    try:
        x, y, z, vx, vy, rcs = (table[n].astype(np.float64) for n in ("x", "y", "z", "vx", "vy", "rcs"))
    except ValueError:
        raise UnreadableError("radar file has not the fields x, y, z, vx, vy, rcs") from None
    planar = np.hypot(x, y)
    distance = np.hypot(planar, z)
    doppler = np.divide(x * vx + y * vy, planar, out=np.zeros_like(planar), where=planar > 0)
    rows = np.column_stack([distance, np.arctan2(y, x), np.arctan2(z, planar), doppler, rcs])
    return {"detections": rows.astype(np.float32)}


def parse_pcd(data: bytes) -> NDArray[Any]:
    """Structured array of a PCD file (PCL's point cloud format, 0.7, `DATA binary`).

    Raises:
        UnreadableError: the header is not of that kind, or the data end early.
    """
    header: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in header:
        end = data.find(b"\n", at)
        if end < 0 or end > 4096:
            raise UnreadableError("PCD header has no DATA line")
        words = data[at:end].decode("ascii", "replace").split()
        if words and not words[0].startswith("#"):
            header[words[0]] = words[1:]
        at = end + 1
    if header["DATA"] != ["binary"]:
        raise UnreadableError("PCD data are not plain binary")
    try:
        count = int(header["POINTS"][0])
        layout = [
            (name, PCD_TYPES[(kind, int(size))])
            for name, kind, size, repeat in zip(
                header["FIELDS"], header["TYPE"], header["SIZE"], header["COUNT"], strict=True
            )
            if int(repeat) == 1
        ]
        dtype = np.dtype(layout)
    except (KeyError, ValueError, IndexError, TypeError):
        raise UnreadableError("PCD header damaged") from None
    if len(layout) != len(header["FIELDS"]) or not 0 <= count <= MAX_PCD_POINTS:
        raise UnreadableError("PCD header damaged")
    if len(data) - at < count * dtype.itemsize:
        raise UnreadableError("radar file truncated")
    return np.frombuffer(data, dtype, count, at)
