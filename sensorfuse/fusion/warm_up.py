"""Warm-up: run a strategy once on made-up samples, so that no kernel compiles and no engine starts while ticks wait."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.fusion.fuser import Fuser
from sensorfuse.messages import Sample, StreamTick, Tick
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import AudioConfig, ImuConfig, RadarConfig
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.track.tracker_config import TrackerConfig

TICKS = 3
PERIOD_NS = 100_000_000
TWIST = np.array([8.0, 0.0, 0.0, 0.0, 0.0, 0.1])  # moves, so that what moves evidence to the tick's time runs too


def typical_sample(rig: Rig, stream: str, stamp_ns: int = 0) -> Sample:
    """A sample of the stream's kind and size whose content exercises detectors: ground, two box-like objects, a tone.

    It depicts nothing; it only has the right shapes.
    """
    config = rig.sensors[stream]
    rng = np.random.default_rng(0)
    meta: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]]
    if config.modality == "camera":
        assert config.intrinsics is not None
        size = (config.intrinsics.height, config.intrinsics.width, 3)
        arrays = {"image": rng.integers(0, 255, size, dtype=np.uint8)}
    elif config.modality == "lidar":
        height = config.T_base_sensor.transform().translation[2]
        angle, reach = rng.uniform(-np.pi, np.pi, 4000), rng.uniform(3.0, 40.0, 4000)
        ground = np.stack([reach * np.cos(angle), reach * np.sin(angle), np.full(4000, -max(height, 0.5))], axis=1)
        sides = [
            np.stack([x + rng.uniform(0, 0.1, 300), rng.uniform(-1, 1, 300), rng.uniform(-1, 0, 300)], axis=1)
            for x in (8, 15)
        ]
        points = np.concatenate([ground, *sides]).astype(np.float32)
        n = len(points)
        arrays = {
            "points": points,
            "intensity": np.full(n, 20, np.float32),
            "ring": np.zeros(n, np.uint16),
            "time_ns": np.linspace(0, 0.9 * config.period_ns, n).astype(np.int32),
        }
    elif config.modality == "radar" and (config.radar or RadarConfig()).kind == "polar":
        arrays = {"polar": rng.integers(0, 60, (400, 576), dtype=np.uint8)}
        arrays["polar"][100:104, 200:206] = 220
        arrays["azimuths_rad"] = np.linspace(np.pi, -np.pi, 400, endpoint=False).astype(np.float32)
        meta = {"range_resolution_m": 0.17}
    elif config.modality == "radar":
        azimuth = rng.uniform(-0.9, 0.9, 40)
        rows = [rng.uniform(5, 50, 40), azimuth, np.zeros(40), -8 * np.cos(azimuth), rng.uniform(0, 20, 40)]
        arrays = {"detections": np.stack(rows, axis=1).astype(np.float32)}
    elif config.modality == "imu":
        n = (config.imu or ImuConfig()).samples_per_message
        arrays = {
            "gyro_radps": np.zeros((n, 3)),
            "accel_mps2": np.tile([0.0, 0.0, 9.81], (n, 1)),
            "time_ns": np.arange(n, dtype=np.int64) * round(1e9 / config.rate_hz),
        }
    else:
        audio = config.audio or AudioConfig()
        n = round(audio.sample_rate_hz / config.rate_hz)
        tone = 0.3 * np.sin(2 * np.pi * 900 * np.arange(n) / audio.sample_rate_hz)
        noise = rng.normal(0, 0.01, (n, len(audio.microphones_m)))
        arrays = {"pcm": (tone[:, None] + noise).astype(np.float32)}
        meta = {"sample_rate_hz": audio.sample_rate_hz}
    return Sample(stream, config.modality, 0, stamp_ns, stamp_ns, config.frame, arrays, meta, config.stamp)


def warm_up(rig: Rig, fuser: Fuser) -> None:
    """Encode, fuse and track a few made-up ticks; a strategy keeps nothing of them but their sound, which the first
    real block, of another time, clears.
    """
    tracker = ObjectTracker(TrackerConfig.from_rig(rig))
    for k in range(TICKS):
        t_ns = k * PERIOD_NS
        samples = [typical_sample(rig, s, t_ns) for s in rig.fused_streams()]
        streams = [StreamTick(s.stream, s.modality, "ok", 0, [0], -PERIOD_NS // 2, method="nearest") for s in samples]
        tick = Tick(k, t_ns, t_ns, False, streams, np.eye(4), TWIST, np.full(6, 0.1))
        evidence = {s.stream: [fuser.encode(s)] for s in samples}
        result = fuser.fuse(tick, evidence)
        tracker.update(t_ns, result.sources, tick.pose)
        fuser.fuse(tick, {})
