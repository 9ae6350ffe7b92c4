"""Turns between pictures that one texture gives under known rotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sensorfuse.align.signature import SignatureExtractor
from sensorfuse.geometry import exp_rotation
from sensorfuse.log import open_log
from sensorfuse.messages import Sample
from sensorfuse.rig import shipped_rig
from sensorfuse.sensor_config import SensorConfig

PERIOD_NS = 50_000_000


@pytest.fixture(scope="module")
def config() -> SensorConfig:
    return shipped_rig("synthetic").sensors["camera"]


@pytest.fixture(scope="module")
def texture() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).uniform(0, 255, (400, 600)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def _seen(texture: NDArray[np.uint8], config: SensorConfig, turn: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The picture (H, W) of things far away by a camera turned by `turn` (3,)."""
    i = config.intrinsics
    assert i is not None
    matrix = np.array([[i.fx, 0, i.cx], [0, i.fy, i.cy], [0, 0, 1.0]])
    middle = np.array([[1.0, 0, 60], [0, 1, 65], [0, 0, 1]])
    to_texture = middle @ matrix @ exp_rotation(turn) @ np.linalg.inv(matrix)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(texture, to_texture, (i.width, i.height), flags=flags), np.uint8)


def _sample(k: int, arrays: dict[str, NDArray[Any]], stamp_ns: int | None = None) -> Sample:
    at = k * PERIOD_NS if stamp_ns is None else stamp_ns
    return Sample("camera", "camera", k, at, at, "f", arrays, stamp="mid")


def test_turns_are_found_and_honest(config: SensorConfig, texture: NDArray[np.uint8]) -> None:
    rng, extractor = np.random.default_rng(1), SignatureExtractor(config)
    before, ratios = np.zeros(3), []
    extractor.measure(_sample(0, {"image_mono": _seen(texture, config, before)}))
    for k in range(1, 12):
        now = rng.normal(0, 0.02, 3)
        got = extractor.measure(_sample(k, {"image_mono": _seen(texture, config, now)}))
        turn = np.array(got["turn_rad"])
        assert np.abs(exp_rotation(turn) - exp_rotation(before).T @ exp_rotation(now)).max() < 1e-3
        assert got["turn_span_ns"] == [(k - 1) * PERIOD_NS, k * PERIOD_NS]
        true = cv2.Rodrigues(exp_rotation(before).T @ exp_rotation(now))[0][:, 0]
        ratios.append((turn - true) / np.array(got["turn_sigma_rad"]))
        before = now
    assert np.sqrt(np.mean(np.square(ratios))) < 2.0


def test_every_kind_of_picture(config: SensorConfig, texture: NDArray[np.uint8]) -> None:
    turn = np.array([0.01, 0.02, -0.01])
    grey = [_seen(texture, config, t) for t in (np.zeros(3), turn)]
    kinds = {
        "image": [np.repeat(g[:, :, None], 3, axis=2) for g in grey],
        "image_mono": grey,
        "jpeg": [cv2.imencode(".jpg", g)[1].ravel() for g in grey],
    }
    for name, pictures in kinds.items():
        extractor = SignatureExtractor(config)
        first = extractor.measure(_sample(0, {name: pictures[0]}))
        assert set(first) == {"level"}, name
        second = extractor.measure(_sample(1, {name: pictures[1]}))
        assert np.abs(np.array(second["turn_rad"]) - turn).max() < 1e-3, name
        assert second["motion"] > 1.0


def test_nothing_where_the_pictures_do_not_tell(config: SensorConfig, texture: NDArray[np.uint8]) -> None:
    first = _seen(texture, config, np.zeros(3))
    other = np.random.default_rng(2).integers(0, 255, first.shape, dtype=np.uint8)
    cases = {
        "cut": (other, PERIOD_NS),
        "dark": (np.random.default_rng(3).integers(0, 3, first.shape).astype(np.uint8), PERIOD_NS),
        "another size": (first[:, ::2].copy(), PERIOD_NS),
        "long after": (_seen(texture, config, np.full(3, 0.01)), 40 * PERIOD_NS),
        "before": (_seen(texture, config, np.full(3, 0.01)), -PERIOD_NS),
        "tiny": (first[:1, :1].copy(), PERIOD_NS),
    }
    for name, (picture, stamp_ns) in cases.items():
        extractor = SignatureExtractor(config)
        extractor.measure(_sample(0, {"image_mono": first}))
        assert "turn_rad" not in extractor.measure(_sample(1, {"image_mono": picture}, stamp_ns)), name
    damaged = {"jpeg": np.arange(50, dtype=np.uint8)}
    assert SignatureExtractor(config).measure(_sample(0, damaged)) == {}


def test_a_frozen_picture_counts_as_not_taken(config: SensorConfig, texture: NDArray[np.uint8]) -> None:
    extractor, turn = SignatureExtractor(config), np.array([0.0, 0.02, 0.0])
    first = _seen(texture, config, np.zeros(3))
    extractor.measure(_sample(0, {"image_mono": first}))
    assert "turn_rad" not in extractor.measure(_sample(1, {"image_mono": first}))
    got = extractor.measure(_sample(2, {"image_mono": _seen(texture, config, turn)}))
    assert got["turn_span_ns"] == [0, 2 * PERIOD_NS]
    assert np.abs(np.array(got["turn_rad"]) - turn).max() < 1e-3


def test_euroc_camera_turns_as_its_gyro(data_dir: Path) -> None:
    rig, folder = shipped_rig("euroc"), data_dir / "euroc"
    if not folder.is_dir():
        pytest.skip(f"no EuRoC recording at {folder}")
    extractor, spans, turns, times, rates = SignatureExtractor(rig.sensors["camera"]), [], [], [], []
    pictures = 0
    for sample in open_log(folder).samples():
        if sample.modality == "imu":
            times.append(sample.stamp_ns + sample.arrays["time_ns"])
            rates.append(sample.arrays["gyro_radps"])
        elif sample.stream == "cam0":
            pictures += 1
            got = extractor.measure(sample)
            if "turn_rad" in got:
                spans.append(got["turn_span_ns"])
                turns.append(got["turn_rad"])
        if pictures > 60:
            break
    t, rate = np.concatenate(times), np.concatenate(rates)
    start = t[0]
    at, angle = (t - start) / 1e9, np.zeros((len(t), 3))
    angle[1:] = np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(at)[:, None], axis=0)
    ends = (np.array(spans) - start) / 1e9
    inside = ends[:, 1] < at[-1]
    gyro = np.stack([np.interp(ends[:, 1], at, a) - np.interp(ends[:, 0], at, a) for a in angle.T], axis=1)
    rotation = rig.sensors["camera"].T_base_sensor.transform().rotation
    error = ((np.array(turns) - gyro @ rotation) / np.diff(ends, axis=1))[inside]
    assert inside.sum() > 50
    assert (error - np.median(error, axis=0)).std() < 0.005, "rad/s, beside the gyro's bias"
