"""One plausible sample of each modality of the synthetic rig, drawn at random."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.messages import Sample


@pytest.fixture
def random_samples() -> dict[str, Sample]:
    rng = np.random.default_rng(0)
    azimuth, distance = rng.uniform(-np.pi, np.pi, 4000), rng.uniform(3, 60, 4000)
    points = np.column_stack([distance * np.cos(azimuth), distance * np.sin(azimuth), rng.uniform(-1.9, 2, 4000)])
    radar = [
        rng.uniform(3, 70, 40),
        rng.uniform(-1, 1, 40),
        np.zeros(40),
        rng.uniform(-20, 9, 40),
        rng.uniform(-5, 25, 40),
    ]
    arrays = {
        ("camera", "camera"): {"image": rng.integers(0, 256, (270, 480, 3), dtype=np.uint8)},
        ("lidar", "lidar"): {
            "points": points.astype(np.float32),
            "intensity": rng.uniform(0, 255, 4000).astype(np.float32),
        },
        ("radar", "radar"): {"detections": np.column_stack(radar).astype(np.float32)},
        ("imu", "imu"): {
            "gyro_radps": rng.normal(size=(10, 3)),
            "accel_mps2": rng.normal(size=(10, 3)),
            "time_ns": np.arange(10) * 5_000_000,
        },
        ("microphones", "audio"): {"pcm": rng.normal(0, 0.1, (800, 4)).astype(np.float32)},
    }
    return {s: Sample(s, m, 0, 0, 0, s, a) for (s, m), a in arrays.items()}  # type: ignore[arg-type]
