"""nuScenes: a miniature data set made here, with everything known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import open_log
from sensorfuse.log.images import UnreadableError
from sensorfuse.log.nuscenes import parse_pcd
from sensorfuse.messages import CLASSES

START_US = 1_532_402_927_000_000
YAW = 0.5  # of the ego in the world


def wxyz(yaw: float) -> list[float]:
    return [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]


def radar_pcd(rows: list[tuple[float, ...]]) -> bytes:
    """Rows of x, y, z, dyn_prop, id, rcs, vx, vy."""
    dtype = np.dtype("<f4,<f4,<f4,i1,<i2,<f4,<f4,<f4")
    text = (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z dyn_prop id rcs vx vy\n"
        "SIZE 4 4 4 1 2 4 4 4\nTYPE F F F I I F F F\nCOUNT 1 1 1 1 1 1 1 1\n"
        f"WIDTH {len(rows)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(rows)}\nDATA binary\n"
    )
    return text.encode() + np.array(rows, dtype).tobytes()


def make_set(root: Path) -> None:
    """Three key frames 0.5 s apart. The ego drives along its heading at 10 m/s, a car 20 m ahead of it at 4 m/s."""
    tables: dict[str, list] = {n: [] for n in ("sensor", "calibrated_sensor", "sample_data", "ego_pose", "sample")}
    tables |= {"sample_annotation": [], "instance": [], "category": []}
    for channel, modality in (("CAM_FRONT", "camera"), ("LIDAR_TOP", "lidar"), ("RADAR_FRONT", "radar")):
        tables["sensor"].append({"token": f"s_{channel}", "channel": channel, "modality": modality})
        tables["calibrated_sensor"].append({"token": f"c_{channel}", "sensor_token": f"s_{channel}"})
    tables["category"] = [{"token": "cat", "name": "vehicle.car"}, {"token": "ped", "name": "human.pedestrian.adult"}]
    tables["instance"] = [{"token": "i0", "category_token": "ped"}, {"token": "i1", "category_token": "cat"}]
    forward = np.array([math.cos(YAW), math.sin(YAW), 0])
    for k in range(3):
        time = START_US + 500_000 * k
        ego = 100 * np.ones(3) + forward * 10 * 0.5 * k
        tables["ego_pose"].append({"token": f"p{k}", "translation": ego.tolist(), "rotation": wxyz(YAW)})
        tables["sample"].append({"token": f"k{k}", "timestamp": time})
        car = 100 * np.ones(3) + forward * (20 + 4 * 0.5 * k)
        tables["sample_annotation"].append(
            {
                "token": f"a{k}",
                "sample_token": f"k{k}",
                "instance_token": "i1",
                "translation": car.tolist(),
                "size": [1.9, 4.5, 1.6],
                "rotation": wxyz(YAW + 0.1),
                "prev": f"a{k - 1}" if k else "",
                "next": f"a{k + 1}" if k < 2 else "",
            }
        )
        for channel, suffix, data in (
            ("CAM_FRONT", "jpg", b"\xff\xd8 jpeg"),
            ("LIDAR_TOP", "pcd.bin", np.float32([[1, 2, 3, 50, 7], [4, 5, 6, 60, 31]]).tobytes()),
            ("RADAR_FRONT", "pcd", radar_pcd([(3, 4, 0, 1, k, 12.5, 3, 4), (0, -2, 0, 1, k, -5, 9, 1)])),
        ):
            name = f"samples/{channel}/{k}.{suffix}"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
            tables["sample_data"].append(
                {
                    "token": f"{channel}{k}",
                    "sample_token": f"k{k}",
                    "ego_pose_token": f"p{k}",
                    "calibrated_sensor_token": f"c_{channel}",
                    "timestamp": time + (7000 if channel == "CAM_FRONT" else 0),
                    "filename": name,
                    "is_key_frame": True,
                }
            )
    tables["sample_data"].reverse()  # the tables are in no order
    (root / "v1.0-mini").mkdir()
    for name, rows in tables.items():
        (root / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))


def test_samples(tmp_path: Path) -> None:
    make_set(tmp_path)
    with open_log(tmp_path) as reader:
        assert {n: (i.modality, i.count) for n, i in reader.streams().items()} == {
            "cam_front": ("camera", 3),
            "lidar_top": ("lidar", 3),
            "radar_front": ("radar", 3),
        }
        back = list(reader.samples())
        assert not reader.rejected
    assert [s.recv_ns for s in back] == sorted(s.recv_ns for s in back)
    by = {(s.stream, s.seq): s for s in back}
    assert by[("cam_front", 1)].stamp_ns == (START_US + 507_000) * 1000
    assert by[("cam_front", 1)].arrays["jpeg"].tobytes() == b"\xff\xd8 jpeg"
    assert by[("lidar_top", 2)].stamp == "end"
    assert by[("lidar_top", 2)].arrays["points"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert by[("lidar_top", 2)].arrays["ring"].tolist() == [7, 31]
    # range 5 at atan2(4, 3), moving straight away at 5 m/s; the other one sits right of the sensor, vy is towards it
    np.testing.assert_allclose(
        by[("radar_front", 0)].arrays["detections"],
        [[5, math.atan2(4, 3), 0, 5, 12.5], [2, -math.pi / 2, 0, -1, -5]],
        rtol=1e-6,
    )


def test_truth(tmp_path: Path) -> None:
    make_set(tmp_path)
    with open_log(tmp_path) as reader:
        truth = list(reader.truth())
    assert [t.stamp_ns for t in truth] == [(START_US + 500_000 * k) * 1000 for k in range(3)]
    for k, instant in enumerate(truth):
        objects = instant.objects
        assert CLASSES[objects.class_id[0]] == "car"
        assert objects.track_id.tolist() == [1]
        np.testing.assert_allclose(objects.center, [[20 - 3 * k, 0, 0]], atol=1e-9)  # 4 m/s against 10 m/s
        np.testing.assert_allclose(objects.size, [[4.5, 1.9, 1.6]])
        np.testing.assert_allclose(objects.yaw, [0.1])
        np.testing.assert_allclose(objects.velocity, [[4, 0]], atol=1e-9)
        assert instant.pose is not None
        np.testing.assert_allclose(instant.pose[:2, 0], [math.cos(YAW), math.sin(YAW)])


def test_faults_are_counted(tmp_path: Path) -> None:
    make_set(tmp_path)
    (tmp_path / "samples/CAM_FRONT/0.jpg").unlink()
    (tmp_path / "samples/LIDAR_TOP/1.pcd.bin").write_bytes(b"x" * 39)
    pcd = tmp_path / "samples/RADAR_FRONT/2.pcd"
    pcd.write_bytes(pcd.read_bytes()[:-3])
    file = tmp_path / "v1.0-mini/sample_data.json"
    rows = json.loads(file.read_text())
    rows[0]["filename"] = "../../../etc/hostname"
    file.write_text(json.dumps(rows))
    with open_log(tmp_path) as reader:
        count = sum(1 for _ in reader.samples())
        assert count + sum(reader.rejected.values()) == 9
        assert reader.rejected[("cam_front", "image missing")] == 1
        assert reader.rejected[("lidar_top", "sweep truncated: its size is no multiple of 20 bytes")] == 1
        assert ("radar_front", "file name leads out of the data set") in reader.rejected


def test_damaged_table_is_named(tmp_path: Path) -> None:
    make_set(tmp_path)
    (tmp_path / "v1.0-mini/ego_pose.json").write_text("[{]")
    with (
        pytest.raises(SensorfuseError, match=r"ego_pose.json: cannot be read as a nuScenes table"),
        open_log(tmp_path) as r,
    ):
        list(r.truth())


@pytest.mark.parametrize("length", [0, 5, 60, 120, 200, 230, 242])
def test_cut_pcd_is_refused(length: int) -> None:
    data = radar_pcd([(3, 4, 0, 1, 0, 12.5, 3, 4)])
    assert length < len(data)
    with pytest.raises(UnreadableError):
        parse_pcd(data[:length])
