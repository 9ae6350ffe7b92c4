"""A run made up by hand: 60 ticks at 10 Hz, the LiDAR away from tick 20 to 35, tick 50 never published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensorfuse.messages import CLASSES, LEDGER_REASONS, Detections, FusedFrame, Sample, SoundEvent, StreamUse
from sensorfuse.report.record import Event, RunRecord, Snapshot
from sensorfuse.rig import Rig

T0_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
TICKS, LOSS, MISSED = 60, range(20, 35), 50
AGE_MS = {"camera": 12.0, "lidar": 55.0, "radar": 20.0, "imu": 3.0, "microphones": 30.0}
SPEED = 9.0
EXCHANGE = {
    "state": "locked",
    "offset_ns": -2_500_123_000,
    "sigma_ns": 20_000,
    "bound_ns": 150_000,
    "skew_ppm": 12.5,
    "round_trip_ns": 300_000,
    "exchanges": 64,
    "refused": 2,
    "resets": 0,
}


@dataclass
class FakeRun:
    """What a run leaves: the record, its frames and a picture's worth of some ticks."""

    record: RunRecord
    frames: list[FusedFrame]
    snapshots: list[Snapshot]


def make_boxes(t_s: float, tracked: bool, seed: int = 0) -> Detections:
    """Five road users ahead, moving with time; truth has no noise (`seed` 0)."""
    noise = np.random.default_rng(seed).normal(0, 0.25 if seed else 0.0, (5, 2))
    xy = np.array([[14 + 1.5 * t_s, 3.5], [30.0 - 2 * t_s, -3.4], [22.0, 8.0], [8.0, -7.0], [48.0, 1.0]]) + noise
    size = np.array([[4.4, 1.8, 1.5], [8.5, 2.5, 3.2], [0.6, 0.6, 1.7], [1.8, 0.6, 1.7], [4.6, 1.9, 1.5]])
    velocity = np.array([[10.5, 0.0], [-7.0, 0.3], [0.0, -1.3], [4.0, 0.4], [np.nan, np.nan]])
    return Detections(
        class_id=np.array([CLASSES.index(n) for n in ("car", "truck", "pedestrian", "cyclist", "unknown")], np.uint8),
        score=np.full(5, 0.8, np.float32),
        center=np.column_stack([xy, size[:, 2] / 2]),
        size=size,
        yaw=np.array([0.0, np.pi, -np.pi / 2, 0.1, 0.02]),
        velocity=velocity,
        covariance=np.tile(np.eye(4) * 0.1, (5, 1, 1)),
        track_id=np.arange(5) + 7 if tracked else np.full(5, -1),
    )


def make_frame(rig: Rig, k: int, absent: tuple[str, ...] = ()) -> FusedFrame:
    uses = []
    for stream, sensor in rig.sensors.items():
        used = stream not in absent
        age = round(AGE_MS.get(stream, 10.0) * 1e6) + (k % 5) * 1_000_000
        weight = 1 / (len(rig.sensors) - len(absent)) if used else 0.0
        use = (age, age // 2, 4_000_000, weight) if used else (0, 0, 0, 0.0)
        uses.append(StreamUse(stream, sensor.modality, used, "" if used else "idle", *use))
    gone = [u.modality for u in uses if not u.used]
    return FusedFrame(
        tick_id=k,
        t_ref_ns=T0_NS + k * PERIOD_NS,
        detections=make_boxes(k / 10, False, seed=k + 1),
        tracks=make_boxes(k / 10, True, seed=1000 + k),
        twist=np.array([SPEED, 0.0, 0.0, 0.0, 0.0, 0.05]),
        twist_sigma=np.full(6, 0.1),
        pose=np.eye(4),
        sounds=[SoundEvent("siren", 0.6, 0.9)] if k > 40 else [],
        uses=uses,
        strategy="late",
        model="",
        engine="onnxruntime CPUExecutionProvider",
        precision="fp32",
        deadline_hit=k == LOSS.start,
        mode="full" if not gone else "no_" + "_".join(gone),
    )


def make_samples(rig: Rig, frame: FusedFrame) -> dict[str, Sample]:
    """Points on the ground and on the boxes, radar peaks on them, a gradient for a picture."""
    rng = np.random.default_rng(frame.tick_id)
    out = {}
    used = {u.stream: u for u in frame.uses if u.used}
    for stream, sensor in rig.sensors.items():
        if stream not in used or sensor.modality not in ("camera", "lidar", "radar"):
            continue
        stamp = frame.t_ref_ns - used[stream].age_ns
        T_sensor_base = sensor.T_base_sensor.transform().inverse()
        if sensor.modality == "camera":
            image = np.zeros((270, 480, 3), np.uint8)
            image[:135] = [120, 150, 185]
            image[135:] = [88, 88, 84]
            arrays = {"image": image}
        elif sensor.modality == "lidar":
            reach, angle = rng.uniform(3, 40, 6000), rng.uniform(-np.pi, np.pi, 6000)
            ground = np.column_stack([reach * np.cos(angle), reach * np.sin(angle), np.zeros(6000)])
            boxes = [
                c + rng.uniform(-0.5, 0.5, (200, 3)) * s
                for c, s in zip(frame.tracks.center, frame.tracks.size, strict=True)
            ]
            cloud = np.concatenate([ground, *boxes])
            arrays = {"points": (T_sensor_base @ cloud).astype(np.float32)}
        else:
            local = T_sensor_base @ frame.tracks.center
            reach = np.linalg.norm(local, axis=1)
            azimuth, elevation = np.arctan2(local[:, 1], local[:, 0]), np.arcsin(local[:, 2] / reach)
            rows = [reach, azimuth, elevation, np.zeros(5), np.full(5, 10.0)]
            arrays = {"detections": np.column_stack(rows).astype(np.float32)}
        out[stream] = Sample(stream, sensor.modality, frame.tick_id, stamp, stamp, sensor.frame, arrays)
    return out


def make_record(rig: Rig, ticks: int, frames_path: Path) -> RunRecord:
    rng = np.random.default_rng(3)
    n = max(0, ticks - 1)
    ledger = {s: dict.fromkeys(LEDGER_REASONS, 0) for s in rig.streams()}
    published = {}
    for stream in rig.streams():
        ledger[stream].update(fused=5 * ticks, superseded=ticks, no_tick=2)
        if stream == "lidar":
            ledger[stream]["transport_lost"] = 3
        published[stream] = sum(ledger[stream].values())
    wait, fuse, track, queue = (rng.gamma(4, scale, n) for scale in (9.0, 0.8, 0.4, 0.15))
    return RunRecord(
        rig=rig,
        strategy="late",
        engine="onnxruntime CPUExecutionProvider",
        model="",
        source="synthetic rig, scenario town, seed 0",
        command="sensorfuse demo --out out/demo",
        rate="live",
        deterministic=False,
        ticks_expected=ticks,
        published=published,
        received={s: n - ledger[s]["transport_lost"] for s, n in published.items()},
        ledger=ledger,
        timings_ms={
            "capture_to_fused": (wait + fuse + track + queue).tolist(),
            "align_wait": wait.tolist(),
            "queue": queue.tolist(),
            "fuse": fuse.tolist(),
            "track": track.tolist(),
            "publish": [],
            "overhead": (track + queue).tolist(),
        },
        events=[
            Event(T0_NS - 300_000_000, "supervisor", "started 9 processes"),
            Event(T0_NS + 1_980_000_000, "lidar", "killed on purpose, kept down for 1.5 s"),
            Event(T0_NS + 2_000_000_000, "lidar", "died (exit code -9)"),
            Event(T0_NS + 3_480_000_000, "lidar", "back after 1.50 s"),
        ],
        frames_path=frames_path,
        exchanges={"lidar": EXCHANGE, "radar": EXCHANGE | {"state": "learning", "exchanges": 3}},
    )
