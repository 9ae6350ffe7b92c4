"""KITTI raw: a tiny drive made here, with and without stamps, and the real one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sensorfuse.log import open_log


def make_drive(root: Path, stamped: bool) -> None:
    for folder in ("image_02", "velodyne_points", "oxts"):
        (root / folder / "data").mkdir(parents=True)
        if stamped:
            lines = [f"2011-09-26 13:02:{25 + k}.123456789" for k in range(3)]
            (root / folder / "timestamps.txt").write_text("\n".join(lines))
    for k in range(3):
        cv2.imwrite(str(root / f"image_02/data/{k:010d}.png"), np.full((4, 6, 3), (10, 20, 30), np.uint8))
        np.float32([[1, 2, 3, 0.5], [4, 5, 6, 1]]).tofile(root / f"velodyne_points/data/{k:010d}.bin")
        fields = " ".join(str(v) for v in range(30))
        (root / f"oxts/data/{k:010d}.txt").write_text(fields)


def test_stamped_drive(tmp_path: Path) -> None:
    make_drive(tmp_path, stamped=True)
    with open_log(tmp_path) as reader:
        assert {i.stamp_source for i in reader.streams().values()} == {"host"}
        back = list(reader.samples())
        assert not reader.rejected
    assert len(back) == 9
    by = {(s.stream, s.seq): s for s in back}
    assert by[("velodyne", 1)].stamp_ns - by[("velodyne", 0)].stamp_ns == 10**9
    assert by[("velodyne", 1)].stamp_ns % 10**9 == 123_456_789
    assert by[("velodyne", 0)].arrays["intensity"].tolist() == [127.5, 255.0]
    assert by[("image_02", 0)].arrays["image"][0, 0].tolist() == [30, 20, 10]
    imu = by[("oxts", 2)].arrays
    assert imu["accel_mps2"].tolist() == [[11, 12, 13]]
    assert imu["gyro_radps"].tolist() == [[17, 18, 19]]
    assert imu["velocity_mps"].tolist() == [[8, 9, 10]]


def test_nominal_stamps_are_called_nominal(tmp_path: Path) -> None:
    """They follow the frame's number, so a missing file leaves a gap."""
    make_drive(tmp_path, stamped=False)
    (tmp_path / "velodyne_points/data/0000000001.bin").unlink()
    with open_log(tmp_path) as reader:
        info = reader.streams()["velodyne"]
        assert info.stamp_source == "nominal"
        assert "nominal" in info.notes[0]
        assert [s.stamp_ns for s in reader.samples(["velodyne"])] == [0, 200_000_000]


def test_faults_are_counted(tmp_path: Path) -> None:
    make_drive(tmp_path, stamped=True)
    (tmp_path / "velodyne_points/data/0000000001.bin").write_bytes(b"x" * 33)
    (tmp_path / "image_02/data/0000000002.png").unlink()
    (tmp_path / "oxts/data/0000000000.txt").write_text("1 2 3")
    (tmp_path / "oxts/data/0000000009.txt").write_text("1 2 3")
    stamps = tmp_path / "image_02/timestamps.txt"
    stamps.write_text("noon\n" + "\n".join(stamps.read_text().split("\n")[1:]))
    with open_log(tmp_path) as reader:
        count = sum(1 for _ in reader.samples())
        assert reader.rejected == {
            ("velodyne", "sweep truncated: its size is no multiple of 16 bytes"): 1,
            ("image_02", "file missing"): 1,
            ("image_02", "stamp line damaged"): 1,
            ("oxts", "record truncated or not finite"): 1,
            ("oxts", "no stamp listed for this file"): 1,
        }
    assert count == 5


@pytest.mark.data
def test_recording(data_dir: Path) -> None:
    with open_log(data_dir / "kitti") as reader:
        assert set(reader.streams()) == {"image_02", "velodyne"}
        back = list(reader.samples())
        assert not reader.rejected
    assert len(back) == 20
    assert {s.arrays["image"].shape for s in back if s.modality == "camera"} == {(375, 1242, 3)}
    sweep = next(s for s in back if s.modality == "lidar").arrays
    assert len(sweep["points"]) > 100_000
    ground = sweep["points"][np.hypot(*sweep["points"][:, :2].T) < 10][:, 2]
    assert np.percentile(ground, 10) == pytest.approx(-1.73, abs=0.15)
