"""Samples of every kind, and a comparison of two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields

import cv2
import numpy as np
import pytest

from sensorfuse.log import LogWriter
from sensorfuse.messages import Detections, FusedFrame, Sample, SoundEvent, StreamHealth, StreamUse, Truth

START_NS = 1_700_000_000_123_456_789


def make_samples(count: int = 4, seed: int = 0) -> list[Sample]:
    """`count` messages of each of eight streams, in order of receipt, with awkward values in them."""
    rng = np.random.default_rng(seed)
    out: list[Sample] = []
    png = cv2.imencode(".png", rng.integers(0, 255, (6, 8, 3), np.uint8))[1].reshape(-1)
    for k in range(count):
        at = START_NS + k * 100_000_000
        points = rng.normal(0, 20, (50 + k, 3)).astype(np.float32)
        points[3] = np.nan
        entries = [
            ("cam", "camera", "optical", {"image": rng.integers(0, 255, (5, 7, 3), np.uint8)}, {"exposure_s": 0.003}),
            ("grey", "camera", "grey_optical", {"image_mono": rng.integers(0, 255, (5, 7), np.uint8)}, {}),
            ("packed", "camera", "packed_optical", {"jpeg": png.copy()}, {}),
            (
                "top",
                "lidar",
                "lidar_link",
                {
                    "points": points,
                    "intensity": rng.uniform(0, 255, len(points)).astype(np.float32),
                    "ring": rng.integers(0, 32, len(points)).astype(np.uint16),
                    "time_ns": np.linspace(-5, 99_999_999, len(points)).astype(np.int32),
                },
                {},
            ),
            ("front", "radar", "radar_link", {"detections": rng.normal(0, 9, (k, 5)).astype(np.float32)}, {}),
            (
                "spin",
                "radar",
                "spin_link",
                {
                    "polar": rng.integers(0, 255, (12, 9), np.uint8),
                    "azimuths_rad": -np.linspace(0, 6, 12).astype(np.float32),
                },
                {"range_resolution_m": 0.173611},
            ),
            (
                "imu",
                "imu",
                "imu_link",
                {
                    "gyro_radps": rng.normal(0, 1, (5, 3)),
                    "accel_mps2": rng.normal(0, 9, (5, 3)),
                    "time_ns": np.array([0, 5_000_001, 10_000_003, 9_000_000, 20_000_000]),
                    "velocity_mps": rng.normal(0, 9, (5, 3)),
                },
                {"gravity_removed": False},
            ),
            (
                "mic",
                "audio",
                "mic_link",
                {"pcm": rng.uniform(-1, 1, (16, 2)).astype(np.float32)},
                {"sample_rate_hz": 160},
            ),
        ]
        for i, (stream, modality, frame, arrays, meta) in enumerate(entries):
            out.append(
                Sample(stream, modality, k, at + i, at + 7_000_000 + 1000 * i, frame, arrays, meta, "mid", f"cal{i}")  # type: ignore[arg-type]
            )
    return out


def make_detections(count: int, seed: int) -> Detections:
    rng = np.random.default_rng(seed)
    velocity = rng.normal(0, 5, (count, 2))
    if count:
        velocity[0] = np.nan
    root = rng.normal(0, 1, (count, 4, 4))
    return Detections(
        rng.integers(0, 8, count).astype(np.uint8),
        rng.uniform(0, 1, count).astype(np.float32),
        rng.normal(0, 30, (count, 3)),
        rng.uniform(0.5, 5, (count, 3)),
        rng.uniform(-np.pi, np.pi, count),
        velocity,
        root @ root.transpose(0, 2, 1),
        rng.integers(-1, 2**40, count),
    )


def make_frame(seed: int = 0) -> FusedFrame:
    rng = np.random.default_rng(seed)
    return FusedFrame(
        tick_id=7 + seed,
        t_ref_ns=START_NS + seed * 100_000_000,
        detections=make_detections(3, seed),
        tracks=make_detections(seed % 3, seed + 1),
        twist=rng.normal(0, 9, 6),
        twist_sigma=np.array([0.1, np.inf, 0.3, 1e-300, 1 / 3, np.inf]),
        pose=np.eye(4) + rng.normal(0, 1e-3, (4, 4)),
        sounds=[SoundEvent("siren", 0.1 + 0.2, 0.7)],
        uses=[
            StreamUse("cam", "camera", True, "", 12_345_678_901, 3, 4, 0.1),
            StreamUse("top", "lidar", False, "invalid", -5, 0, 0, 0.0, 0.0, make_health()),
        ],
        strategy="late",
        model="",
        engine="numpy",
        precision="fp64",
        deadline_hit=True,
        mode="no_lidar",
        timings_ns={"fuse": 123},
        dispositions=[("cam", 2**60, 4, "fused"), ("top", 0, 1, "late")],
        expected_score=0.1 + 0.2,
        expected_figure="NDS",
        expected_ms=float("inf"),
    )


def make_health() -> StreamHealth:
    return StreamHealth("invalid", "frozen", 0.0, 100_000_003, 7, 40, 3, 2, 1)


def make_truth(k: int) -> Truth:
    return Truth(
        START_NS + k * 250_000_000,
        make_detections(2, k),
        np.eye(4) if k % 2 else None,
        None if k % 2 else np.arange(6) / 7,
        [SoundEvent("horn", -0.3, 1.0)],
        bool(k % 2),
        None if k % 2 else 80.0,
    )


def assert_same(a: object, b: object) -> None:
    """Equal in every field; arrays equal in dtype, shape and value, NaN where NaN is."""
    assert type(a) is type(b)
    for field in fields(a):  # type: ignore[arg-type]
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray):
            left, right = {"": left}, {"": right}
        if isinstance(left, Detections):
            assert_same(left, right)
        elif isinstance(left, dict) and any(isinstance(v, np.ndarray) for v in left.values()):
            assert left.keys() == right.keys()
            for name in left:
                assert left[name].dtype == right[name].dtype, name
                np.testing.assert_array_equal(left[name], right[name], err_msg=name)
        else:
            assert left == right, field.name


def write_log(path: object, samples: Iterable[Sample], **options: object) -> None:
    with LogWriter(path, **options) as writer:  # type: ignore[arg-type]
        for sample in samples:
            writer.write_sample(sample)


@pytest.fixture
def kit() -> dict[str, Callable]:
    """The builders above, for tests in files of their own."""
    return {
        "samples": make_samples,
        "frame": make_frame,
        "truth": make_truth,
        "same": assert_same,
        "write": write_log,
        "detections": make_detections,
    }
