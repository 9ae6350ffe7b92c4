"""What the fuzzer found, each in a few bytes: refused in words, or counted, and read on."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fuzz import log_seeds
from sensorfuse.log import open_log
from sensorfuse.log.gopro import GoproReader
from sensorfuse.log.images import UnreadableError, decode_image
from sensorfuse.messages import Sample
from sensorfuse.picture_file import decode_picture, image_size
from sensorfuse.sample_limits import MAX_COUNT, header_problem
from sensorfuse.wire import WireError, encode_data, envelope_of, pack


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_file_name_with_a_null_byte(tmp_path: Path) -> None:
    log_seeds.euroc(tmp_path)
    edit(tmp_path / "mav0/cam0/data.csv", "x.png", "x\0.png")
    with open_log(tmp_path) as reader:
        assert sum(1 for _ in reader.samples(["cam0"])) == 1
        assert reader.rejected == {("cam0", "image has no possible file name"): 1}


def png_of_size(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("size", [(30_000, 30_000), (1 << 31, 1), (0, 5), (60_000, 600)])
def test_a_picture_that_states_a_huge_size_is_not_allocated(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableError, match=r"impossible size|damaged"):
        decode_image(png_of_size(*size))
    jpeg = bytearray(log_seeds.jpeg())
    at = jpeg.index(b"\xff\xc0")
    struct.pack_into(">HH", jpeg, at + 5, size[1] & 0xFFFF, size[0] & 0xFFFF)
    with pytest.raises(UnreadableError, match=r"impossible size|damaged"):
        decode_image(bytes(jpeg))


def test_a_png_chunk_that_states_four_gigabytes_is_not_made_room_for() -> None:
    data = log_seeds.png()
    at = data.index(b"IDAT") - 4
    with pytest.raises(UnreadableError, match="damaged"):
        decode_image(data[:at] + struct.pack(">I", 0xF8000022) + data[at + 4 :])
    lying = np.frombuffer(data[:at] + struct.pack(">I", 0xF8000022) + data[at + 4 :], np.uint8)
    assert decode_picture(lying, 1) is None
    sound = decode_picture(np.frombuffer(data, np.uint8), 1)
    assert sound is not None
    assert sound.shape == (4, 6, 3)


def test_sizes_are_read_as_the_pictures_have_them() -> None:
    for data in log_seeds.pictures():
        assert image_size(data) == (6, 4)
    assert decode_image(log_seeds.png())["image"].tolist() == log_seeds.picture()[..., ::-1].tolist()


def test_an_mp4_track_that_no_decoder_knows(tmp_path: Path) -> None:
    log_seeds.mp4(tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    for kind in (b"mp4a", b"mp4v"):
        file = tmp_path / "b.mp4"
        file.write_bytes(data.replace(kind, b"zzzz"))
        with GoproReader(file) as reader:
            assert set(reader.streams()) == {"camera", "microphones"}
            list(reader.samples())


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [("category", '"vehicle.car"', "5.5"), ("sensor", '"camera"', "[]"), ("sample_data", '"cCAM"', "{}")],
)
def test_a_nuscenes_field_of_another_type(tmp_path: Path, table: str, old: str, new: str) -> None:
    log_seeds.nuscenes(tmp_path)
    edit(tmp_path / f"v1.0-mini/{table}.json", old, new)
    with pytest.raises(SensorfuseError, match="expected text in the fields"), open_log(tmp_path) as reader:
        list(reader.truth())


def test_a_nuscenes_sample_without_a_time_has_no_truth(tmp_path: Path) -> None:
    log_seeds.nuscenes(tmp_path)
    edit(tmp_path / "v1.0-mini/sample.json", '"timestamp"', '"timestampx"')
    edit(tmp_path / "v1.0-mini/sample_data.json", '"timestamp": 1', '"timestamp": 1' + "0" * 40)
    with open_log(tmp_path) as reader:
        assert list(reader.truth()) == []
        assert len(list(reader.samples())) == 2
        assert "no timestamp" in reader.notes[0]


@pytest.mark.parametrize(("old", "new"), [('"id": 5', f'"id": {10**30}'), ("600", "1" + "0" * 400)])
def test_a_radiate_number_beyond_any_type(tmp_path: Path, old: str, new: str) -> None:
    log_seeds.radiate(tmp_path)
    edit(tmp_path / "annotations/annotations.json", old, new)
    with open_log(tmp_path) as reader:
        assert len(list(reader.truth())) == 2
        assert sum(reader.rejected.values()) == 1


def test_a_stamp_beyond_any_clock_is_counted(tmp_path: Path) -> None:
    log_seeds.radiate(tmp_path)
    edit(tmp_path / "velo_lidar.txt", "10.05", "9" * 30)
    with open_log(tmp_path) as reader:
        assert list(reader.samples(["velo_lidar"])) == []
        assert reader.rejected["velo_lidar", "stamp or receive time is beyond any clock"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"stamp_ns": MAX_COUNT + 1},
        {"frame": "x" * 300},
        {"frame": "a\nb"},
        {"meta": {"x": 1 << 70}},
        {"meta": {"x": [[[[[1]]]]]}},
        {"meta": {"x": list(range(300))}},
        {"meta": {"x": "\ud800"}},
        {"meta": {"sample_rate_hz": 0}},
        {"meta": {"sample_rate_hz": "48000"}},
        {"meta": {"sample_rate_hz": float("nan")}},
    ],
)
def test_headers_that_cannot_travel_are_named(changes: dict[str, object]) -> None:
    fields: dict = {"meta": {"sample_rate_hz": 8000, "more": [1, {"a": None}]}, **changes}
    base = {"stream": "mic", "modality": "audio", "seq": 0, "stamp_ns": 0, "recv_ns": 0, "frame": "f"}
    pcm = {"arrays": {"pcm": np.zeros((4, 1), np.float32)}}
    good = Sample(**{**base, **pcm, "meta": {"sample_rate_hz": 8000, "more": [1, {"a": None}]}})
    assert header_problem(good) is None
    encode_data(envelope_of(good, 0, 0), good.arrays)
    assert header_problem(Sample(**{**base, **pcm, **fields}))


@pytest.mark.parametrize("value", [1 << 70, "\ud800", {"x": object()}])
def test_what_does_not_travel_is_said_in_words(value: object) -> None:
    with pytest.raises(WireError):
        pack({"x": value})
