"""A sample's contract: what is sound, and the words for what is not."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.messages import Detections, Sample, sample_problem

F4 = np.float32


def make(modality: str, **arrays: np.ndarray) -> Sample:
    return Sample("s", modality, 0, 0, 0, "f", arrays)


def imu(**changes: np.ndarray) -> Sample:
    arrays = {"gyro_radps": np.zeros((4, 3)), "accel_mps2": np.zeros((4, 3)), "time_ns": np.arange(4, dtype=np.int64)}
    return make("imu", **{**arrays, **changes})


@pytest.mark.parametrize(
    "sample",
    [
        make("camera", image=np.zeros((4, 5, 3), np.uint8)),
        make("camera", jpeg=np.zeros(9, np.uint8)),
        make("lidar", points=np.zeros((0, 3), F4)),
        make("lidar", points=np.array([[np.nan] * 3, [1, 2, 3]], F4)),
        make("radar", detections=np.zeros((0, 5), F4)),
        make("radar", polar=np.zeros((4, 9), np.uint8)),
        imu(),
        make("audio", pcm=np.zeros((8, 2), F4)),
    ],
)
def test_sound_samples(sample: Sample) -> None:
    assert sample_problem(sample) is None


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (make("sonar"), "unknown modality"),
        (make("camera"), "exactly one of"),
        (make("camera", image=np.zeros((4, 5, 3), np.uint8), jpeg=np.zeros(9, np.uint8)), "exactly one of"),
        (make("camera", image=np.zeros((4, 5), np.uint8)), "shape"),
        (make("camera", image=np.zeros((0, 5, 3), np.uint8)), "empty"),
        (make("camera", image=np.zeros((4, 5, 3), F4)), "dtype"),
        (make("lidar", points=np.full((3, 3), np.nan, F4)), "no finite point"),
        (make("lidar", points=np.zeros((3, 3), F4), intensity=np.zeros(2, F4)), "differ in length"),
        (make("lidar", cloud=np.zeros((3, 3), F4)), "unknown array"),
        (make("radar", detections=np.full((1, 5), np.inf, F4)), "NaN"),
        (make("radar", polar=np.zeros((4, 9), np.uint8), azimuths_rad=np.zeros(3, F4)), "differ in length"),
        (imu(gyro_radps=np.full((4, 3), np.nan)), "NaN"),
        (imu(time_ns=np.arange(3, dtype=np.int64)), "differ in length"),
        (make("imu", gyro_radps=np.zeros((4, 3))), "missing"),
        (make("audio", pcm=np.full((8, 2), np.nan, F4)), "NaN"),
    ],
)
def test_unsound_samples_say_why(sample: Sample, words: str) -> None:
    assert words in (sample_problem(sample) or "")


def test_detections_select_and_concatenate() -> None:
    rng = np.random.default_rng(0)
    d = Detections(
        np.arange(4, dtype=np.uint8), rng.random(4).astype(F4), rng.random((4, 3)), rng.random((4, 3)), rng.random(4),
        rng.random((4, 2)), rng.random((4, 4, 4)), np.arange(4),
    )  # fmt: skip
    again = Detections.concatenate([d.select(np.array([0, 1])), d.select(np.array([False, False, True, True]))])
    assert np.array_equal(again.center, d.center)
    assert len(Detections.concatenate([])) == 0


@pytest.mark.parametrize(
    ("name", "value"), [("gyro_radps", 1e200), ("accel_mps2", -1e9), ("time_ns", 1 << 61), ("time_ns", -(1 << 62))]
)
def test_what_no_imu_measures_is_damage(name: str, value: float) -> None:
    arrays = {"gyro_radps": np.zeros((2, 3)), "accel_mps2": np.ones((2, 3)), "time_ns": np.arange(2)}
    sample = Sample("imu", "imu", 0, 0, 0, "imu_link", arrays)
    assert sample_problem(sample) is None
    arrays[name][-1] = value
    assert "which no sensor measures" in str(sample_problem(sample))
