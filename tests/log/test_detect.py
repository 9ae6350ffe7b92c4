"""Formats are told by content; everything else is refused with words."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import open_log


def refusal(path: Path) -> str:
    with pytest.raises(SensorfuseError) as caught:
        open_log(path)
    return str(caught.value)


def test_missing_empty_and_unknown(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.mcap").endswith("no.mcap: no such file or folder")
    assert "this folder is empty" in refusal(tmp_path)
    (tmp_path / "a.mcap").write_bytes(b"")
    assert "this file is empty" in refusal(tmp_path / "a.mcap")
    (tmp_path / "a.mcap").write_bytes(b"PK\3\4 something else")
    text = refusal(tmp_path / "a.mcap")
    assert "not a log of a known format" in text
    for word in ("MCAP", "ROS bag", "nuScenes", "RADIATE", "EuRoC", "KITTI", "GoPro"):
        assert word in text
    assert "neither a file nor a folder" in refusal(Path("/dev/null"))


def test_content_decides_not_the_name(tmp_path: Path, kit: dict) -> None:
    kit["write"](tmp_path / "drive.bag", kit["samples"](1))
    with open_log(tmp_path / "drive.bag") as reader:
        assert reader.format == "mcap"


def test_a_converted_log_beside_the_original_does_not_hide_it(tmp_path: Path, kit: dict) -> None:
    (tmp_path / "image_02" / "data").mkdir(parents=True)
    kit["write"](tmp_path / "converted.mcap", kit["samples"](1))
    with open_log(tmp_path) as reader:
        assert reader.format == "kitti"


def test_folder_of_another_data_set(tmp_path: Path) -> None:
    (tmp_path / "Skeleton").mkdir()
    (tmp_path / "Skeleton" / "a1_s1_t1_skeleton.mat").write_bytes(b"x")
    assert "not a log of a known format; looked for" in refusal(tmp_path)


def test_the_folder_next_to_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "drive" / "image_02" / "data").mkdir(parents=True)
    assert f"(but {tmp_path / 'drive'} is one)" in refusal(tmp_path)
    assert f"(but {tmp_path / 'drive'} is one)" in refusal(tmp_path / "drive" / "image_02")


@pytest.mark.parametrize("head", [b"\x89MCAP0\r\n", b"#ROSBAG V2.0\n", b"SQLite format 3\0", b"\0\0\0\x18ftypmp42"])
def test_nothing_but_a_head(tmp_path: Path, head: bytes) -> None:
    """A file that begins right and then ends: refused, or empty with a remark."""
    (tmp_path / "x.db3").write_bytes(head)
    if head == b"\x89MCAP0\r\n":
        with open_log(tmp_path / "x.db3") as reader:
            assert list(reader.samples()) == []
            assert "no end" in reader.notes[0]
    else:
        assert "x.db3: " in refusal(tmp_path / "x.db3")


def test_no_permission_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.mcap"
    file.write_bytes(b"x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(file) == f"{file}: no permission to read it"
