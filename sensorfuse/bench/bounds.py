"""Whether the error bound in each tick is honest: simulated devices whose true time of every message is known.

Headers alone run through the aligner: clocks, transport and motion are those of the synthetic rig; a camera's and a
LiDAR's turns are the true ones with noise. Offsets are drawn from what the rig file says of them.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sensorfuse.align.aligner import Aligner
from sensorfuse.bench.goals import Goal
from sensorfuse.messages import MessageTruth
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.wire import Envelope

OFFSET_SIGMA_S = {"camera": 8e-3, "lidar": 8e-3, "radar": 4e-3, "microphones": 2e-3}
TURN_SIGMA_RAD = {"camera": 1e-3, "lidar": 2e-3}
SETTLING_S = 20.0
WORLDS = ("town", "handheld", "drone")
Floats = NDArray[np.float64]


def uncertain_rig(seed: int) -> tuple[Rig, dict[str, Any]]:
    """A rig that knows its offsets to some sigma only, and devices whose true ones are drawn from that."""
    rng = np.random.default_rng((seed, 77))
    rig = shipped_rig("synthetic")
    sensors, devices = {}, {}
    for name, sensor in rig.sensors.items():
        sigma = OFFSET_SIGMA_S.get(name, 0.0)
        sensors[name] = sensor.model_copy(update={"offset_sigma_s": sigma})
        clock = {
            "offset_s": float(sensor.offset_s + sigma * rng.standard_normal()),
            "skew_ppm": float(rng.uniform(-50, 50)),
            "wander_ppm": 0.02,
            "resolution_ns": int(rng.choice([1000, 1_000_000])) if name != "imu" else 1000,
        }
        way = {"jitter_ms": float(rng.uniform(0.3, 2.0)), "spike_share": 0.01, "spike_ms": 20.0, "drop_share": 0.01}
        devices[name] = {"clock": clock, "transport": way}
    return rig.model_copy(update={"sensors": sensors}), devices


def _world(rig: Rig, world: str, devices: dict[str, Any], seed: int) -> SimulatedRig:
    ego = {"kind": "car" if world == "town" else world}
    scenario = {"description": "devices of a benchmark", "ego": ego, "devices": devices}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "devices.yaml"
        path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
        return SimulatedRig(rig, str(path), seed)


def _turn(sim: SimulatedRig, rig: Rig, stream: str, a_ns: int, b_ns: int, rng: np.random.Generator) -> list[float]:
    """The sensor's turn between two true times, with noise: rotation vector (3,) in its own axes."""
    R_base_sensor = rig.sensors[stream].T_base_sensor.transform().rotation
    steps = np.linspace(a_ns, b_ns, 9) / 1e9
    middle = 0.5 * (steps[1:] + steps[:-1])
    rate = sim.world.ego(middle).rate.mean(axis=0)  # turns are small: the mean rate is the turn over the time
    turn = R_base_sensor.T @ rate * (b_ns - a_ns) / 1e9
    return [float(v) for v in turn + TURN_SIGMA_RAD[stream] * rng.standard_normal(3)]


def _messages(sim: SimulatedRig, rig: Rig, end_ns: int, seed: int) -> Iterator[tuple[MessageTruth, Envelope, Any]]:
    """Headers in order of receipt, with the truth of each."""
    rng = np.random.default_rng((seed, 78))
    streams = [sim.events(name) for name in rig.streams()]
    before: dict[str, MessageTruth] = {}
    for event in heapq.merge(*streams, key=lambda e: (e.recv_ns, e.stream)):
        recv_ns, name = event.recv_ns, event.stream
        if recv_ns > end_ns:
            return
        if event.lost:
            continue
        sensor = rig.sensors[name]
        signature: dict[str, Any] = {}
        arrays = None
        last = before.get(name)
        if name in TURN_SIGMA_RAD and last is not None and event.event_ns > last.event_ns:
            signature = {
                "turn_rad": _turn(sim, rig, name, last.event_ns, event.event_ns, rng),
                "turn_sigma_rad": [TURN_SIGMA_RAD[name]] * 3,
                "turn_span_ns": [last.stamp_ns, event.stamp_ns],
            }
        if sensor.modality == "imu":
            arrays = sim.sample(name, event.k).arrays
        before[name] = event
        yield (
            event,
            Envelope(
                name, sensor.modality, event.seq, 0, event.stamp_ns, recv_ns, recv_ns, sensor.frame, sensor.stamp, "",
                {}, max(0, event.end_ns - event.event_ns), signature=signature,
            ),
            arrays,
        )  # fmt: skip


def errors_and_bounds(world: str, seed: int, duration_s: float) -> dict[str, tuple[Floats, Floats]]:
    """Per stream, over the ticks after `SETTLING_S`: error of its sample's time (N,) and its bound (N,), in ns."""
    rig, devices = uncertain_rig(seed)
    sim = _world(rig, world, devices, seed)
    aligner = Aligner(rig, sim.epoch_ns)
    truth: dict[tuple[str, int], MessageTruth] = {}
    found: dict[str, list[tuple[float, float]]] = {n: [] for n in rig.fused_streams()}
    for event, envelope, arrays in _messages(sim, rig, sim.epoch_ns + round(duration_s * 1e9), seed):
        truth[event.stream, event.seq] = event
        aligner.push(envelope, envelope.recv_ns, arrays)
        for tick in aligner.poll(envelope.recv_ns):
            if tick.t_ref_ns < sim.epoch_ns + SETTLING_S * 1e9:
                continue
            for s in tick.streams:
                if s.seqs:
                    error = tick.t_ref_ns + s.dt_ns - truth[s.stream, s.seqs[-1]].event_ns
                    found[s.stream].append((abs(error), s.bound_ns))
    return {n: (np.array([r[0] for r in rows]), np.array([r[1] for r in rows])) for n, rows in found.items()}


def measure(trials: int = 5, duration_s: float = 45.0) -> list[Goal]:
    """Coverage and tightness of the bound over all worlds, trials, streams and ticks."""
    rows = [errors_and_bounds(world, seed, duration_s) for world in WORLDS for seed in range(trials)]
    error = np.concatenate([e for row in rows for e, _ in row.values()])
    bound = np.concatenate([b for row in rows for _, b in row.values()])
    covered = float((error <= bound).mean())
    width = float(np.median(bound) / np.percentile(error, 95))
    return [
        Goal("error within its bound: share of samples", 0.95, covered, at_least=True),
        Goal("error within its bound: not by being too wide", 0.999, covered),
        Goal("median bound over the 95th percentile of errors", 3.0, width),
    ]
