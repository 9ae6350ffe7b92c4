from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.corruptions import camera
from sensorfuse.messages import Sample


def sample_of(name: str, array: np.ndarray) -> Sample:  # type: ignore[type-arg]
    return Sample("camera", "camera", 0, 0, 0, "camera", {name: array})


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


GREY = np.full((60, 80, 3), 120, np.uint8)


def test_light() -> None:
    bright = camera.brightness(sample_of("image", GREY), 0.5, rng()).arrays["image"]
    assert (bright == 120 + 70).all()
    dark = camera.dark(sample_of("image", GREY), 1.0, rng()).arrays["image"]
    assert dark.mean() == pytest.approx(120 * camera.LEAST_LIGHT, abs=0.6)
    assert dark.std() > 2


def test_fog_hides_what_is_far_first_and_keeps_to_the_law() -> None:
    black = sample_of("image", np.zeros((60, 80, 3), np.uint8))
    rows = camera.fog(black, 0.4, rng()).arrays["image"].mean(axis=(1, 2))
    assert (np.diff(rows) <= 0).all()
    for row, away_m in ((0, 60), (44, 10), (-1, 5)):
        assert rows[row] == pytest.approx(200 * (1 - np.exp(-0.4 * np.log(20) / 50 * away_m)), abs=0.6)


def test_motion_blur_is_a_mean_along_a_line() -> None:
    dot = np.zeros((61, 161, 3), np.uint8)
    dot[30, 80] = 255
    blurred = camera.motion_blur(sample_of("image", dot), 1.0, rng()).arrays["image"][:, :, 0].astype(float)
    y, x = np.nonzero(blurred > 0)
    spread = np.linalg.eigvalsh(np.cov(np.array([x, y], float), aweights=blurred[y, x]))
    assert spread[1] == pytest.approx((161 / 16) ** 2 / 12, rel=0.3)
    assert spread[0] < 1
    flat = camera.motion_blur(sample_of("image", GREY), 1.0, rng()).arrays["image"]
    assert np.abs(flat.astype(int) - 120).max() <= 1


def test_salt_and_pepper_in_equal_shares() -> None:
    spoiled = camera.salt_and_pepper(sample_of("image", np.full((200, 200, 3), 90, np.uint8)), 1.0, rng())
    picture = spoiled.arrays["image"]
    assert ((picture == 90).all(axis=2) | (picture == 0).all(axis=2) | (picture == 255).all(axis=2)).all()
    assert (picture[..., 0] == 0).mean() == pytest.approx(0.15, abs=0.01)
    assert (picture[..., 0] == 255).mean() == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize("change", [camera.dark, camera.fog, camera.motion_blur, camera.salt_and_pepper, camera.jpeg])
def test_grey_and_compressed_pictures_are_taken_too(change) -> None:  # type: ignore[no-untyped-def]
    mono = change(sample_of("image_mono", GREY[:, :, 0].copy()), 0.5, rng())
    assert mono.arrays["image_mono"].shape == (60, 80)
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[..., 0] = 200  # red
    _, data = cv2.imencode(".png", picture[..., ::-1])
    plain = change(sample_of("image", picture), 0.5, rng())
    coded = change(sample_of("jpeg", data.reshape(-1)), 0.5, rng())
    assert np.array_equal(coded.arrays["image"], plain.arrays["image"])


def test_what_is_no_picture_is_said() -> None:
    with pytest.raises(SensorfuseError, match="jpeg"):
        camera.fog(sample_of("jpeg", np.zeros(10, np.uint8)), 0.5, rng())


def test_a_small_file_of_a_huge_picture_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It states 70 million pixels, and holds them all: zeros, packed by deflate."""
    width, height = 14_000, 5_000

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes((width + 1) * height), 1)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    assert len(data) < 1 << 20
    decode = cv2.imdecode
    sizes: list[int] = []
    monkeypatch.setattr(cv2, "imdecode", lambda *a: sizes.append(len(a[0])) or decode(*a))
    with pytest.raises(SensorfuseError, match="no readable JPEG or PNG"):
        camera.fog(sample_of("jpeg", np.frombuffer(data, np.uint8)), 0.5, rng())
    assert sizes == [], "judged by what it states, before anything is decoded"
