"""RADIATE recordings: scanning radar, LiDAR, stereo camera and GPS/IMU of a road car.

Source of the format: Sheeny et al., "RADIATE: A Radar Dataset for Automotive Perception in Bad Weather", ICRA 2021, its
toolkit's configuration file, and the recording itself. What had to be found out by looking:

- Radar: the polar PNG holds ranges down and azimuths across; azimuth 0 is forward and the index grows clockwise. A
  turn takes 0.25 s: the antenna looks forward first. Matching static surfaces with the LiDAR's, the same from every
  side, puts azimuth fraction f at `mid + (f - 0.5) * 0.246 s`, and the stamp is taken as that middle.
- Boxes were drawn on that sheared picture. `truth` moves each to the middle of the turn by its own motion between
  frames.
- LiDAR: x right, y forward, z up (the rig turns it).
- The stamp list of the left camera names frames past the end of the recording; the LiDAR's names only the last ones.
- INS: every record stands there twice. Angular rate and acceleration are in forward-right-down axes with gravity
  removed, velocity is north-east-down; here they become forward-left-up. The heading in its quaternion is off the
  course over ground by a constant of some 54 degrees, so velocity is turned into the body by its own course (a road
  car does not slide sideways) and by roll and pitch of the quaternion. It is about 0.4 s older than the rates at the
  same stamp.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.geometry import matrix_from_quaternion, matrix_from_rpy, wrap_angle
from sensorfuse.log.images import UnreadableError, decode_image, picture_size, read_bytes
from sensorfuse.log.reader import MergedReader, StreamInfo
from sensorfuse.log.stamps import seconds_to_ns, text_lines
from sensorfuse.messages import CLASSES, Detections, Modality, Sample, Truth

RANGE_RESOLUTION_M = 0.173611
RANGE_CELLS = 576
AZIMUTHS = 400
CARTESIAN_PX = 1152  # the radar is in the middle, forward is up
SCAN_S = 0.246  # one turn of the radar, clockwise from forward
MAX_TRUTH_RANGE_M = 100.0
MAX_TRACK_ID = 1 << 62
HEIGHT_M = {"bus": 3.2, "truck": 3.2, "van": 2.2, "car": 1.6, "cyclist": 1.7, "pedestrian": 1.7}
CLASS_NAMES = {"motorbike": "cyclist", "bicycle": "cyclist", "group_of_pedestrians": "pedestrian"}

# stream: (modality, folder = stem of the stamp file, file ending, nominal rate, frame)
LAYOUT: dict[str, tuple[Modality, str, str, float, str]] = {
    "zed_left": ("camera", "zed_left", ".png", 15.0, "camera_optical_frame"),
    "zed_right": ("camera", "zed_right", ".png", 15.0, "camera_right_optical_frame"),
    "velo_lidar": ("lidar", "velo_lidar", ".csv", 10.0, "lidar_link"),
    "navtech_polar": ("radar", "Navtech_Polar", ".png", 4.0, "radar_link"),
    "gps_imu": ("imu", "GPS_IMU_Twist", ".txt", 40.0, "imu_link"),
}


class RadiateReader(MergedReader):
    """One RADIATE sequence folder. `navtech_polar` is the radar's power image, azimuths x ranges."""

    format = "radiate"

    def __init__(self, path: Path, offsets_ns: Mapping[str, int] | None = None) -> None:
        super().__init__(path, offsets_ns)
        self._present = {n: s for n, s in LAYOUT.items() if (path / s[1]).is_dir() and (path / f"{s[1]}.txt").is_file()}
        if not self._present:
            wanted = ", ".join(f"{s[1]}/ with {s[1]}.txt" for s in LAYOUT.values())
            raise SensorfuseError(f"{path}: no RADIATE stream here; looked for {wanted}")

    @staticmethod
    def matches(path: Path) -> bool:
        return path.is_dir() and any(
            (path / f"{s[1]}.txt").is_file() and (path / s[1]).is_dir() for s in LAYOUT.values()
        )

    def streams(self) -> dict[str, StreamInfo]:
        infos = {}
        for name, (modality, folder, _, rate, frame) in self._present.items():
            count = sum(1 for _ in text_lines(self.path / f"{folder}.txt"))
            notes: tuple[str, ...] = ()
            if name == "gps_imu":
                notes = (
                    "stamped by the INS's own clock, some 66 s ahead of the other streams; every record stands twice",
                    "gravity is removed from the acceleration; axes turned to forward-left-up",
                    "velocity is ground speed along the course, 0.4 s late; the log's heading is off by a constant",
                )
            infos[name] = StreamInfo(
                name, modality, rate, frame, count, "device" if name == "gps_imu" else "host", notes
            )
        return infos

    def _read_stream(self, name: str) -> Iterator[Sample]:
        modality, folder, ending, _, frame = self._present[name]
        read = getattr(self, f"_read_{modality}")
        named = set()
        for number, line in text_lines(self.path / f"{folder}.txt"):
            where = f"{folder}.txt:{number}"
            try:
                record, stamp_ns = parse_stamp_line(line)
                named.add(record)
                arrays, meta = read(self.path / folder / f"{record}{ending}")
            except UnreadableError as problem:
                self.reject(name, where, str(problem))
                continue
            yield Sample(name, modality, 0, stamp_ns, 0, frame, arrays, meta, "mid" if modality == "radar" else "start")
        for file in sorted(p for p in (self.path / folder).iterdir() if p.suffix == ending and p.stem not in named):
            self.reject(name, file.name, "no stamp listed for this file")

    @staticmethod
    def _read_camera(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        return dict(decode_image(read_bytes(file, "image"))), {}

    @staticmethod
    def _read_lidar(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        rows = _csv_rows(read_bytes(file, "scan"), columns=5)
        ring = rows[:, 4]
        if (ring < 0).any() or (ring > 127).any():
            raise UnreadableError("scan has a ring number outside 0..127")
        return {
            "points": np.ascontiguousarray(rows[:, :3], np.float32),
            "intensity": np.ascontiguousarray(rows[:, 3], np.float32),
            "ring": ring.astype(np.uint16),
        }, {}

    @staticmethod
    def _read_radar(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        data = read_bytes(file, "image")
        if picture_size(data) != (AZIMUTHS, RANGE_CELLS):
            raise UnreadableError(f"radar image is not {RANGE_CELLS} ranges x {AZIMUTHS} azimuths")
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise UnreadableError("image damaged")
        if picture.shape != (RANGE_CELLS, AZIMUTHS):  # turned by a note in the file
            raise UnreadableError(f"radar image is not {RANGE_CELLS} ranges x {AZIMUTHS} azimuths")
        azimuths = wrap_angle(-2 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS).astype(np.float32)
        return {"polar": np.ascontiguousarray(picture.T), "azimuths_rad": azimuths}, {
            "range_resolution_m": RANGE_RESOLUTION_M,
            "scan_s": SCAN_S,
        }

    @staticmethod
    def _read_imu(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        return parse_ins_record(read_bytes(file, "record").decode("utf-8", "replace"))

    def truth(self) -> Iterator[Truth]:
        self._forget(lambda stream: stream == "truth")
        file = self.path / "annotations" / "annotations.json"
        if not file.is_file() or "navtech_polar" not in self._present:
            return
        try:
            tracks = json.loads(file.read_bytes())
            if not isinstance(tracks, list):
                raise TypeError("expected a list of tracks")
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise SensorfuseError(f"{file}: cannot be read as RADIATE annotations: {error}") from None
        stamps: list[int | None] = []
        for number, line in text_lines(self.path / "Navtech_Polar.txt"):
            try:
                stamps.append(parse_stamp_line(line)[1])
            except UnreadableError as problem:
                self.reject("truth", f"Navtech_Polar.txt:{number}", str(problem))
                stamps.append(None)
        boxes = self._boxes(tracks, len(stamps))
        for index, stamp_ns in enumerate(stamps):
            if stamp_ns is not None:
                objects = _objects(boxes, stamps, index)
                yield Truth(stamp_ns, objects, complete=False, range_m=MAX_TRUTH_RANGE_M)

    def _boxes(self, tracks: list[Any], frames: int) -> dict[tuple[int, str], dict[int, NDArray[np.float64]]]:
        """Per track (id and class), the box in base_link at each radar frame that has one."""
        out: dict[tuple[int, str], dict[int, NDArray[np.float64]]] = {}
        for number, track in enumerate(tracks):
            try:
                key, listed = (int(track["id"]), str(track["class_name"])), list(track["bboxes"][:frames])
                if abs(key[0]) > MAX_TRACK_ID:
                    raise ValueError("no number of a track")
            except (KeyError, TypeError, ValueError, OverflowError):
                self.reject("truth", f"track {number}", "track damaged: needs id, class_name and bboxes")
                continue
            for index, box in enumerate(listed):
                if not box:
                    continue
                try:
                    row = np.array(box_to_base(box["position"], box["rotation"]))
                    if not np.isfinite(row).all():
                        raise ValueError("not finite")
                    out.setdefault(key, {})[index] = row
                except (KeyError, TypeError, ValueError, OverflowError):
                    self.reject("truth", f"track {key[0]}, radar frame {index}", "box damaged")
        return out


def _objects(
    boxes: dict[tuple[int, str], dict[int, NDArray[np.float64]]], stamps: list[int | None], index: int
) -> Detections:
    """Objects at the middle of radar frame `index`."""
    rows = [
        (track, CLASS_NAMES.get(name, name), _at_mid_scan(frames, stamps, index))
        for (track, name), frames in boxes.items()
        if index in frames
    ]
    if not rows:
        return Detections.empty()
    heights = np.array([HEIGHT_M.get(name, 1.6) for _, name, _ in rows])
    planar = np.array([box for _, _, box in rows])  # (N, 5) x, y, length, width, yaw
    classes = [CLASSES.index(name if name in CLASSES else "unknown") for _, name, _ in rows]
    return Detections(
        class_id=np.array(classes, np.uint8),
        score=np.ones(len(rows), np.float32),
        center=np.column_stack([planar[:, :2], heights / 2]),
        size=np.column_stack([planar[:, 2:4], heights]),
        yaw=planar[:, 4],
        velocity=np.full((len(rows), 2), np.nan),
        covariance=np.zeros((len(rows), 4, 4)),
        track_id=np.array([track for track, _, _ in rows], np.int64),
    )


def _at_mid_scan(frames: dict[int, NDArray[np.float64]], stamps: list[int | None], index: int) -> NDArray[np.float64]:
    """A box moved from the instant at which the antenna looked at it to the middle of the turn.

    Its motion relative to the radar is taken between the neighbouring frames; a lone box stays where it is.
    """
    known = [i for i in (index - 1, index, index + 1) if i in frames and 0 <= i < len(stamps) and stamps[i] is not None]
    box = frames[index].copy()
    if len(known) < 2:
        return box
    first, last = known[0], known[-1]
    dt_s = ((stamps[last] or 0) - (stamps[first] or 0)) / 1e9
    if dt_s <= 0:
        return box
    velocity = (frames[last][:2] - frames[first][:2]) / dt_s
    fraction = (-math.atan2(box[1], box[0]) % (2 * math.pi)) / (2 * math.pi)
    box[:2] += velocity * SCAN_S * (0.5 - fraction)
    return box


def parse_stamp_line(line: str) -> tuple[str, int]:
    """Record name and stamp of a line `Frame: 000017 Time: 1574859771.600898000`.

    Raises:
        UnreadableError: the line is of another form.
    """
    words = line.split()
    if len(words) == 4 and words[0] == "Frame:" and words[2] == "Time:" and words[1].isdigit():
        try:
            return words[1], seconds_to_ns(words[3])
        except ValueError:
            pass
    raise UnreadableError("stamp line damaged")


def _csv_rows(data: bytes, columns: int) -> NDArray[np.float64]:
    """Rows of numbers (N, columns).

    Raises:
        UnreadableError: a row has another number of fields, or one is no number.
    """
    lines = data.decode("ascii", "replace").split()
    if any(line.count(",") != columns - 1 for line in lines):
        raise UnreadableError(f"a row has not {columns} fields")
    try:
        return np.array(",".join(lines).split(","), dtype=np.float64).reshape(-1, columns)
    except ValueError:
        raise UnreadableError("a field is no number") from None


def parse_ins_record(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and meta of one INS record (see the module's head for axes).

    Raises:
        UnreadableError: lines or fields are missing, or hold no finite numbers.
    """
    try:
        lines = [[float(v) for v in line.split(",")] for line in text.split("\n") if line.strip()]
        rate, accel, velocity = lines[5], lines[6], lines[16]
        rotation = matrix_from_quaternion(lines[4])
    except (ValueError, IndexError):
        raise UnreadableError("record truncated or no numbers") from None
    if any(len(v) != 3 for v in (rate, accel, velocity)) or not np.isfinite([*rate, *accel, *velocity]).all():
        raise UnreadableError("record truncated or no numbers")
    flip = np.array([1.0, -1.0, -1.0])  # forward-right-down to forward-left-up
    north, east, down = velocity
    pitch = math.asin(max(-1.0, min(1.0, -rotation[2, 0])))
    roll = math.atan2(rotation[2, 1], rotation[2, 2])
    body = matrix_from_rpy([roll, pitch, 0.0]).T @ [math.hypot(north, east), 0.0, -down]
    meta: dict[str, Any] = {
        "gravity_removed": True,
        "course_rad": math.atan2(north, east),  # from east, left positive
    }
    if len(lines[0]) >= 2 and all(math.isfinite(v) for v in lines[0][:2]):
        meta["latitude_deg"], meta["longitude_deg"] = lines[0][:2]
    return {
        "gyro_radps": (np.array(rate) * flip)[None],
        "accel_mps2": (np.array(accel) * flip)[None],
        "time_ns": np.zeros(1, np.int64),
        "velocity_mps": body[None],
    }, meta


def box_to_base(position: list[float], rotation_deg: float) -> tuple[float, float, float, float, float]:
    """`x, y, length, width, yaw` in base_link (on the ground below the radar) of a box in the radar's Cartesian
    picture.

    `position` is left, top, width, height in pixels before the box is turned about its centre by `rotation_deg`,
    counter-clockwise as seen. Its upright side is the length and points along the heading, as the annotators drew it.
    """
    left, top, width, height = (float(v) for v in position)
    x = (CARTESIAN_PX / 2 - (top + height / 2)) * RANGE_RESOLUTION_M
    y = (CARTESIAN_PX / 2 - (left + width / 2)) * RANGE_RESOLUTION_M
    yaw = float(wrap_angle(math.radians(float(rotation_deg))))
    return x, y, height * RANGE_RESOLUTION_M, width * RANGE_RESOLUTION_M, yaw
