"""Conversion keeps everything: samples, truth, the origin of stamps, and the count of what could not be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import open_log
from sensorfuse.log.convert import convert
from sensorfuse.log.mcap_log import McapLogReader
from sensorfuse.messages import MessageTruth
from sensorfuse.rig import shipped_rig


def make_drive(root: Path) -> None:
    (root / "velodyne_points" / "data").mkdir(parents=True)
    for k in range(6):
        np.float32([[k, 2, 3, 0.5]]).tofile(root / f"velodyne_points/data/{k:010d}.bin")
    (root / "velodyne_points/data/0000000003.bin").write_bytes(b"x")


def test_convert_keeps_samples_notes_and_counts(tmp_path: Path, kit: dict) -> None:
    make_drive(tmp_path / "drive")
    result = convert(tmp_path / "drive", tmp_path / "out.mcap", rig=shipped_rig("kitti"))
    assert result["messages"] == {"velodyne": 5}
    assert result["rejected"] == {"velodyne: sweep truncated: its size is no multiple of 16 bytes": 1}
    assert result["bytes"] == (tmp_path / "out.mcap").stat().st_size
    with open_log(tmp_path / "drive") as a, open_log(tmp_path / "out.mcap") as b:
        assert b.streams()["velodyne"].stamp_source == "nominal"
        assert b.streams()["velodyne"].notes == a.streams()["velodyne"].notes
        assert b.streams()["velodyne"].count == 5
        for left, right in zip(a.samples(), b.samples(), strict=True):
            kit["same"](left, right)
    assert McapLogReader(tmp_path / "out.mcap").rig() == shipped_rig("kitti")


def test_truth_is_kept(tmp_path: Path, kit: dict) -> None:
    from sensorfuse.log import LogWriter

    truths = [kit["truth"](k) for k in range(3)]
    with LogWriter(tmp_path / "a.mcap") as writer:
        for sample in kit["samples"](3):
            writer.write_sample(sample)
        for truth in truths:
            writer.write_truth(truth)
    result = convert(tmp_path / "a.mcap", tmp_path / "b.mcap", streams=["cam", "imu"])
    assert result["truth"] == 3
    assert result["messages"] == {"cam": 3, "imu": 3}
    with open_log(tmp_path / "b.mcap") as reader:
        for a, b in zip(truths, reader.truth(), strict=True):
            kit["same"](a, b)


def test_truth_of_messages_is_kept(tmp_path: Path, kit: dict) -> None:
    from sensorfuse.log import LogWriter

    events = [MessageTruth("imu", k, k, 5 * k, 5 * k + 1, 5 * k + 2, 5 * k + 3, marks=("spike",)) for k in range(4)]
    with LogWriter(tmp_path / "a.mcap") as writer:
        for sample in kit["samples"](3):
            writer.write_sample(sample)
        for event in [*events, MessageTruth("cam", -1, 0, 1, 1, 1, 1, lost="drop")]:
            writer.write_event(event)
    convert(tmp_path / "a.mcap", tmp_path / "b.mcap", streams=["imu"])
    with open_log(tmp_path / "b.mcap") as reader:
        assert list(reader.events()) == events


def test_existing_target_is_kept_unless_forced(tmp_path: Path) -> None:
    make_drive(tmp_path / "drive")
    target = tmp_path / "out.mcap"
    target.write_bytes(b"precious")
    with pytest.raises(SensorfuseError, match="exists already"):
        convert(tmp_path / "drive", target)
    assert target.read_bytes() == b"precious"
    convert(tmp_path / "drive", target, force=True)
    assert target.stat().st_size > 100
    with pytest.raises(SensorfuseError, match="same file"):
        convert(target, target, force=True)


def test_failed_conversion_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.mcap").write_bytes(b"no log")
    target = tmp_path / "out.mcap"
    target.write_bytes(b"precious")
    with pytest.raises(SensorfuseError, match="known format"):
        convert(tmp_path / "bad.mcap", target, force=True)
    assert target.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.mcap", "out.mcap"]


@pytest.mark.data
@pytest.mark.parametrize("name", ["kitti", "radiate/tiny_foggy"])
def test_recordings_survive_conversion(data_dir: Path, tmp_path: Path, kit: dict, name: str) -> None:
    rig = shipped_rig("kitti" if name == "kitti" else "radiate")
    offsets = rig.clock_offsets_ns()
    result = convert(data_dir / name, tmp_path / "out.mcap", rig=rig, compression="lz4")
    with open_log(data_dir / name, offsets) as a, open_log(tmp_path / "out.mcap") as b:
        count = 0
        for left, right in zip(a.samples(), b.samples(), strict=True):
            kit["same"](left, right)
            count += 1
        assert count == sum(result["messages"].values())
        for before, after in zip(a.truth(), b.truth(), strict=True):
            kit["same"](before, after)
