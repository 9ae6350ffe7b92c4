"""Headers of a small rig for the aligner's tests, and a driver that pushes them as they arrive."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np

from sensorfuse.align.aligner import Aligner
from sensorfuse.messages import StreamTick, Tick
from sensorfuse.rig import Rig, parse_rig
from sensorfuse.wire import Envelope

MS = 1_000_000
S = 1_000_000_000
T0 = 1000 * S

RIG = """
name: bench
sensors:
  camera: {modality: camera, rate_hz: 30, frame: c, T_base_sensor: {},
           intrinsics: {width: 64, height: 48, fx: 50, fy: 50, cx: 32, cy: 24}}
  lidar: {modality: lidar, rate_hz: 10, frame: l, T_base_sensor: {}}
  imu: {modality: imu, rate_hz: 200, frame: i, T_base_sensor: {}, imu: {samples_per_message: 5}}
fusion: {rate_hz: 10, modalities: [camera, lidar, imu], deadline_ms: 100}
"""
Message = tuple[int, Envelope, dict | None]


def make_rig(fusion: str = "", lidar: str = "") -> Rig:
    """The rig with more keys of `fusion` and of the LiDAR."""
    text = RIG.replace("deadline_ms: 100", f"deadline_ms: 100{fusion}")
    return parse_rig(text.replace("frame: l, T_base_sensor: {}", f"frame: l, T_base_sensor: {{}}{lidar}"))


def header(stream: str, modality: str, seq: int, stamp: int, recv: int, **more: object) -> Envelope:
    return Envelope(stream, modality, seq, 1, stamp, recv, recv, "f", "start", "", {}, **more)


def imu_arrays(n: int = 5) -> dict:
    return {
        "gyro_radps": np.zeros((n, 3)),
        "accel_mps2": np.tile([0.0, 0.0, 9.8], (n, 1)),
        "time_ns": np.arange(n, dtype=np.int64) * 5 * MS,
    }


def traffic(seconds: float, lidar_delay_ms: float = 60, jitter_ms: float = 0, seed: int = 0) -> list[Message]:
    """(arrival, header, arrays) of a camera, a LiDAR and an IMU, sorted by arrival."""
    rng = random.Random(seed)
    out = []
    specs = {
        "camera": ("camera", S // 30, 30.0, 0),
        "lidar": ("lidar", S // 10, lidar_delay_ms, 0),
        "imu": ("imu", 25 * MS, 26.0, 25 * MS),
    }
    for stream, (modality, period, delay, duration) in specs.items():
        for k in range(int(seconds * S // period)):
            stamp = T0 + k * period
            recv = stamp + round((delay + rng.random() * jitter_ms) * MS)
            arrays = imu_arrays() if modality == "imu" else None
            out.append((recv, header(stream, modality, k, stamp, recv, duration_ns=duration), arrays))
    return sorted(out, key=lambda m: m[0])


def drive(aligner: Aligner, messages: list[Message], until: int, step: int = MS) -> list[Tick]:
    """Push at arrival times and poll every `step`, as a process would."""
    ticks, now, i = [], T0, 0
    while now <= until:
        while i < len(messages) and messages[i][0] <= now:
            aligner.push(messages[i][1], messages[i][0], messages[i][2])
            ticks += aligner.poll(messages[i][0])
            i += 1
        ticks += aligner.poll(now)
        now += step
    return ticks


def reasons(ticks: list[Tick], aligner: Aligner) -> dict[str, Counter]:
    """Disposition counts per stream; chosen samples count as fused, as the fusion process would say."""
    out: dict[str, Counter] = {}
    chosen = {(s.stream, s.boot, q) for t in ticks for s in t.streams for q in s.seqs}
    for stream, _, _ in chosen:
        out.setdefault(stream, Counter())["fused"] += 1
    closed = [d for t in ticks for d in t.dispositions] + aligner.close_remaining()
    assert len({d[:3] for d in closed}) == len(closed), "closed once"
    assert not {d[:3] for d in closed} & chosen, "what a tick chose is not closed as unused"
    for stream, _, _, reason in closed:
        out.setdefault(stream, Counter())[reason] += 1
    return out


def by_stream(tick: Tick) -> dict[str, StreamTick]:
    return {s.stream: s for s in tick.streams}


def longest_gap_s(ticks: list[Tick]) -> float:
    return float(np.diff([t.emit_ns for t in ticks]).max()) / S


def content(ticks: list[Tick]) -> list:
    """What a tick says, apart from when it was emitted."""
    return [
        (t.tick_id, t.t_ref_ns, t.deadline_hit, [(s.stream, s.status, s.boot, s.seqs, s.dt_ns) for s in t.streams])
        for t in ticks
    ]
