"""RADIATE: a tiny sequence made here, and the real one."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import open_log
from sensorfuse.log.images import UnreadableError
from sensorfuse.log.radiate import RANGE_RESOLUTION_M, SCAN_S, box_to_base, parse_ins_record
from sensorfuse.messages import CLASSES
from sensorfuse.rig import shipped_rig

INS = "55.89,-3.32,209.2 \n0,0,0 \n0,0,0 \n0,0,0 \n{q} \n{rate} \n{accel} \n" + "0,0,0 \n" * 9 + "{velocity} \n0,0,0 \n"


def ins(velocity: str = "0,10,0", q: str = "0,0,0,1", rate: str = "0.1,0.2,0.3", accel: str = "1,2,3") -> str:
    return INS.format(q=q, rate=rate, accel=accel, velocity=velocity)


def make_sequence(root: Path) -> None:
    """Three camera frames of which two exist, two sweeps, three radar turns 0.25 s apart with one object, INS pairs."""
    stamps = {
        "zed_left": [(1, "10.05"), (2, "10.15"), (3, "10.25")],
        "velo_lidar": [(2, "10.1")],
        "Navtech_Polar": [(1, "10.000000001"), (2, "10.25"), (3, "10.5")],
        "GPS_IMU_Twist": [(1, "76.0"), (2, "76.0"), (3, "75.7"), (4, "76.1")],
    }
    for folder, rows in stamps.items():
        (root / folder).mkdir(parents=True)
        lines = "".join(f"Frame: {n:06d} Time: {t}\n" for n, t in rows)
        (root / f"{folder}.txt").write_text(lines)
    for k in (1, 2):
        cv2.imwrite(str(root / f"zed_left/{k:06d}.png"), np.full((4, 6, 3), (1, 2, 3 * k), np.uint8))
        (root / f"velo_lidar/{k:06d}.csv").write_text("1,2,-1.5,7,0\n4.5,5,6,96,31\n")
    polar = np.zeros((576, 400), np.uint8)
    polar[100, 10] = 200  # range 100, a little clockwise of forward
    for k in (1, 2, 3):
        cv2.imwrite(str(root / f"Navtech_Polar/{k:06d}.png"), polar)
    for k in (1, 2, 3, 4):
        (root / f"GPS_IMU_Twist/{k:06d}.txt").write_text(ins())
    # ahead on the right, nearing at 8 m/s relative to the radar
    near = 8 * 0.25 / RANGE_RESOLUTION_M
    boxes = [{"position": [600, 300 + near * k, 10, 26], "rotation": 180} for k in range(3)]
    (root / "annotations").mkdir()
    (root / "annotations/annotations.json").write_text(
        json.dumps([{"id": 5, "class_name": "bus", "bboxes": boxes}, {"id": 6, "class_name": "car", "bboxes": [None]}])
    )


def test_small_sequence(tmp_path: Path) -> None:
    make_sequence(tmp_path)
    with open_log(tmp_path, {"gps_imu": -66_000_000_000}) as reader:
        back = list(reader.samples())
        assert reader.rejected == {
            ("zed_left", "image missing"): 1,
            ("velo_lidar", "no stamp listed for this file"): 1,
        }
    assert Counter(s.stream for s in back) == {"zed_left": 2, "velo_lidar": 1, "navtech_polar": 3, "gps_imu": 4}
    by = {(s.stream, s.seq): s for s in back}
    assert by[("navtech_polar", 0)].stamp_ns == 10_000_000_001  # exact to the nanosecond
    assert by[("zed_left", 1)].arrays["image"][0, 0].tolist() == [6, 2, 1]  # RGB
    assert by[("velo_lidar", 0)].arrays["ring"].tolist() == [0, 31]
    polar = by[("navtech_polar", 0)].arrays
    azimuth, cell = np.argwhere(polar["polar"])[0]
    assert cell == 100
    assert polar["azimuths_rad"][azimuth] == pytest.approx(-2 * math.pi * 10 / 400)  # clockwise is negative


def test_stamps_pass_and_receipt_never_goes_back(tmp_path: Path) -> None:
    make_sequence(tmp_path)
    with open_log(tmp_path, {"gps_imu": -66_000_000_000}) as reader:
        imu = list(reader.samples(["gps_imu"]))
    assert [s.stamp_ns for s in imu] == [76_000_000_000, 76_000_000_000, 75_700_000_000, 76_100_000_000]
    assert [s.recv_ns for s in imu] == [10_000_000_000, 10_000_000_000, 10_000_000_000, 10_100_000_000]


def test_a_lone_leap_does_not_hold_back_the_rest(tmp_path: Path) -> None:
    make_sequence(tmp_path)
    lines = [f"Frame: {k:06d} Time: {t}" for k, t in ((1, "76.0"), (2, "9999.0"), (3, "76.1"), (4, "76.2"))]
    (tmp_path / "GPS_IMU_Twist.txt").write_text("\n".join(lines))
    with open_log(tmp_path) as reader:
        imu = list(reader.samples(["gps_imu"]))
    assert imu[1].stamp_ns == 9_999_000_000_000
    assert [s.recv_ns for s in imu] == [76_000_000_000, 76_000_000_000, 76_100_000_000, 76_200_000_000]


def test_ins_axes() -> None:
    """Forward-right-down rates and north-east-down velocity become forward-left-up; the heading is the course."""
    arrays, meta = parse_ins_record(ins(velocity="-3,4,0"))
    assert arrays["gyro_radps"].tolist() == [[0.1, -0.2, -0.3]]
    assert arrays["accel_mps2"].tolist() == [[1, -2, -3]]
    np.testing.assert_allclose(arrays["velocity_mps"], [[5, 0, 0]])
    assert meta["course_rad"] == pytest.approx(math.atan2(-3, 4))
    # climbing at the pitch of the body: nothing is left across it
    half = math.radians(-10) / 2
    nose_up = f"0,{math.sin(half)},0,{math.cos(half)}"
    climb, _ = parse_ins_record(
        ins(velocity=f"{10 * math.cos(math.radians(10))},0,{-10 * math.sin(math.radians(10))}", q=nose_up)
    )
    np.testing.assert_allclose(climb["velocity_mps"], [[10, 0, 0]], atol=1e-9)


@pytest.mark.parametrize(
    "text", ["", "1,2\n", ins()[:60], ins(rate="a,b,c"), ins(velocity="nan,0,0"), ins(q="0,0,0,0")]
)
def test_damaged_ins_record(text: str) -> None:
    with pytest.raises(UnreadableError):
        parse_ins_record(text)


def test_box_geometry() -> None:
    """The radar is in the middle of 1152 x 1152 pixels; up is forward; rotation is counter-clockwise as seen."""
    x, y, length, width, yaw = box_to_base([576 - 20 - 5, 576 - 40 - 10, 10, 20], 30)
    assert (x, y) == (pytest.approx(40 * RANGE_RESOLUTION_M), pytest.approx(20 * RANGE_RESOLUTION_M))
    assert (length, width) == (pytest.approx(20 * RANGE_RESOLUTION_M), pytest.approx(10 * RANGE_RESOLUTION_M))
    assert yaw == pytest.approx(math.radians(30))


def test_truth_is_moved_to_the_middle_of_the_turn(tmp_path: Path) -> None:
    """The antenna looks ahead at the start of its turn; half a turn later the object is nearer."""
    make_sequence(tmp_path)
    with open_log(tmp_path) as reader:
        truth = list(reader.truth())
    assert [t.stamp_ns for t in truth] == [10_000_000_001, 10_250_000_000, 10_500_000_000]
    objects = truth[1].objects
    assert CLASSES[objects.class_id[0]] == "bus"
    assert objects.track_id.tolist() == [5]
    seen_x, seen_y, *_ = box_to_base([600, 300 + 8 * 0.25 / RANGE_RESOLUTION_M, 10, 26], 180)
    fraction = math.atan2(-seen_y, seen_x) / (2 * math.pi)
    assert objects.center[0, 0] == pytest.approx(seen_x - 8 * SCAN_S * (0.5 - fraction), abs=1e-6)
    assert objects.center[0, 2] == pytest.approx(objects.size[0, 2] / 2)  # stands on the ground
    assert abs(objects.yaw[0]) == pytest.approx(math.pi)
    assert not truth[1].complete
    assert truth[1].range_m == 100


@pytest.mark.parametrize(
    ("file", "content", "stream", "reason"),
    [
        ("velo_lidar/000002.csv", "1,2,3,4\n", "velo_lidar", "a row has not 5 fields"),
        ("velo_lidar/000002.csv", "1,2,x,4,5\n", "velo_lidar", "a field is no number"),
        ("velo_lidar/000002.csv", "1,2,3,4,-7\n", "velo_lidar", "scan has a ring number outside 0..127"),
        ("velo_lidar/000002.csv", "nan,2,3,4,5\n", "velo_lidar", "no finite point in the cloud"),
        ("velo_lidar/000002.csv", "", "velo_lidar", "scan is empty"),
        ("zed_left/000001.png", "no picture", "zed_left", "image damaged"),
        ("Navtech_Polar/000002.png", "no picture", "navtech_polar", "image damaged"),
        ("GPS_IMU_Twist/000003.txt", "1,2,3", "gps_imu", "record truncated or no numbers"),
        ("velo_lidar.txt", "Frame: 000002 Time: soon\n", "velo_lidar", "stamp line damaged"),
    ],
)
def test_damaged_records_are_counted(tmp_path: Path, file: str, content: str, stream: str, reason: str) -> None:
    make_sequence(tmp_path)
    (tmp_path / file).write_text(content)
    with open_log(tmp_path) as reader:
        count = sum(1 for _ in reader.samples())
        assert reader.rejected[(stream, reason)] == 1
        assert count == 9
        assert any(line.startswith(f"{stream}: ") and reason in line for line in reader.rejections)


def test_wrong_radar_size(tmp_path: Path) -> None:
    make_sequence(tmp_path)
    cv2.imwrite(str(tmp_path / "Navtech_Polar/000001.png"), np.zeros((400, 576), np.uint8))
    with open_log(tmp_path) as reader:
        list(reader.samples())
        assert reader.rejected[("navtech_polar", "radar image is not 576 ranges x 400 azimuths")] == 1


def test_damaged_annotations(tmp_path: Path) -> None:
    make_sequence(tmp_path)
    file = tmp_path / "annotations/annotations.json"
    file.write_text(json.dumps([{"id": 1}, {"id": 2, "class_name": "car", "bboxes": [{"position": [1]}]}]))
    with open_log(tmp_path) as reader:
        assert [len(t.objects) for t in reader.truth()] == [0, 0, 0]
        assert sum(reader.rejected.values()) == 2
    file.write_text("{")
    with open_log(tmp_path) as reader, pytest.raises(SensorfuseError, match="cannot be read as RADIATE annotations"):
        list(reader.truth())


@pytest.mark.data
def test_recording(data_dir: Path) -> None:
    """Counts, rates and traps of the real sequence."""
    folder = data_dir / "radiate" / "tiny_foggy"
    rig = shipped_rig("radiate")
    with open_log(folder, rig.clock_offsets_ns()) as reader:
        streams = reader.streams()
        assert {rig.sensors[n].log_stream for n in rig.sensors} <= set(streams)
        for sensor in rig.sensors.values():
            assert streams[str(sensor.log_stream)].frame == sensor.frame
            assert streams[str(sensor.log_stream)].modality == sensor.modality
        counts: Counter[str] = Counter()
        last, speeds, yaw_rates = 0, [], []
        for sample in reader.samples():
            counts[sample.stream] += 1
            assert sample.recv_ns >= last
            last = sample.recv_ns
            if sample.modality == "imu":
                speeds.append(sample.arrays["velocity_mps"][0])
                yaw_rates.append(sample.arrays["gyro_radps"][0, 2])
        assert counts == {"zed_left": 50, "zed_right": 50, "velo_lidar": 42, "navtech_polar": 18, "gps_imu": 250}
        assert reader.rejected == {
            ("zed_left", "image missing"): 50,
            ("velo_lidar", "no stamp listed for this file"): 18,
        }
        truth = list(reader.truth())
    body = np.array(speeds)
    assert body[0, 0] == pytest.approx(12.57, abs=0.05)
    assert np.abs(body[:, 1]).max() < 0.2
    assert np.abs(body[:, 2]).max() < 0.6
    assert np.mean(yaw_rates) == pytest.approx(-0.0255, abs=0.001)  # it turns right, which is negative
    assert len(truth) == 18
    bus = [t.objects.center[list(t.objects.track_id).index(1)] for t in truth]
    nearing = np.diff([b[0] for b in bus]).mean() * 4.06
    assert -13 < nearing < -8  # it is parked: it nears at the car's speed


@pytest.mark.data
def test_polar_picture_matches_the_data_sets_own_cartesian_one(data_dir: Path) -> None:
    """An independent check of azimuth zero and direction: resample ours and correlate; mirrored it does not fit."""
    folder = data_dir / "radiate" / "tiny_foggy"
    with open_log(folder) as reader:
        sample = next(reader.samples(["navtech_polar"]))
    own = cv2.imread(str(folder / "Navtech_Cartesian" / "000001.png"), cv2.IMREAD_GRAYSCALE)[::4, ::4]
    v, u = np.mgrid[0:1152:4, 0:1152:4]
    x, y = (576 - v) * RANGE_RESOLUTION_M, (576 - u) * RANGE_RESOLUTION_M

    def correlation(left: float) -> float:
        order = np.argsort(sample.arrays["azimuths_rad"])
        row = np.interp(np.arctan2(left * y, x), sample.arrays["azimuths_rad"][order], order).round().astype(int)
        cell = (np.hypot(x, y) / RANGE_RESOLUTION_M).round().astype(int)
        inside = cell < 576
        return float(np.corrcoef(sample.arrays["polar"][row[inside], cell[inside]], own[inside])[0, 1])

    assert correlation(1.0) > 0.75
    assert correlation(-1.0) < 0.5
