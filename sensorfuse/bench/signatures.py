"""Motion signatures on simulated rigs: what one sample costs, and how near the measured turn is to the true one.

python -m sensorfuse.bench.signatures
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sensorfuse.align.signature import SignatureExtractor
from sensorfuse.fusion.warm_up import typical_sample
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sensor_config import SensorConfig
from sensorfuse.sim import SimulatedRig

RIGS = ("synthetic", "handheld", "drone")
START_S = 10.0

Array = NDArray[np.float64]


def _true_motion(sim: SimulatedRig, config: SensorConfig, span_ns: list[int]) -> tuple[Array, Array]:
    """Rotation vector of a sensor between two times, and its mean velocity in base axes at the middle (3,) each.

    The rigs here have ideal clocks: a device's time is the reference time less the sensor's offset.
    """
    a, b = ((t + config.offset_ns - sim.epoch_ns) / 1e9 for t in span_ns)
    ego, pose = sim.world.ego(np.array([a, (a + b) / 2, b])), config.T_base_sensor.transform()
    first, middle, last = ego.rotation
    places = ego.at(pose.translation)[0]
    turn = Rotation.from_matrix((first @ pose.rotation).T @ last @ pose.rotation).as_rotvec()
    return turn, middle.T @ (places[2] - places[0]) / (b - a)


def _rms(values: list[Array]) -> list[float]:
    """Root mean square per axis of rows (N, 3), NaN left out."""
    rows = np.array(values).reshape(-1, 3)
    return [float(np.sqrt(np.mean(v[np.isfinite(v)] ** 2))) if np.isfinite(v).any() else float("nan") for v in rows.T]


def measure_stream(rig: Rig, stream: str, seconds: float) -> dict[str, Any]:
    """Cost per sample in ms (process time, p50 and p99) and errors against truth of one simulated stream."""
    sim, config = SimulatedRig(rig), rig.sensors[stream]
    extractor = SignatureExtractor(config)
    extractor.warm_up(typical_sample(rig, stream))
    costs, turns, rates, sigmas, velocities, velocity_sigmas = [], [], [], [], [], []
    count = max(3, round(seconds * config.message_rate_hz))
    first = round(START_S * config.message_rate_hz)
    for k in range(first, first + count):
        sample = sim.sample(stream, k)
        begun = time.process_time_ns()
        signature = extractor.measure(sample)
        costs.append((time.process_time_ns() - begun) / 1e6)
        if "turn_rad" not in signature:
            continue
        span_s = (signature["turn_span_ns"][1] - signature["turn_span_ns"][0]) / 1e9
        turn, velocity = _true_motion(sim, config, signature["turn_span_ns"])
        sigma = np.array(signature["turn_sigma_rad"])
        error = np.where(np.isfinite(sigma), np.array(signature["turn_rad"]) - turn, np.nan)
        turns.append(error)
        rates.append(error / span_s)
        sigmas.append(error / sigma)
        if "ego_velocity_mps" in signature:
            spread = np.array(signature["ego_velocity_sigma_mps"])
            off = np.where(np.isfinite(spread), np.array(signature["ego_velocity_mps"]) - velocity, np.nan)
            velocities.append(off)
            velocity_sigmas.append(off / spread)
    figures: dict[str, Any] = {
        "samples": count,
        "cost_ms_p50": float(np.percentile(costs, 50)),
        "cost_ms_p99": float(np.percentile(costs, 99)),
    }
    if turns:
        figures |= {"turns": len(turns), "turn_rms_rad": _rms(turns), "rate_rms_radps": _rms(rates)}
        figures["turn_rms_over_sigma"] = _rms(sigmas)
    if velocities:
        figures |= {"velocity_rms_mps": _rms(velocities), "velocity_rms_over_sigma": _rms(velocity_sigmas)}
    return figures


def measure(seconds: float = 5.0, rigs: tuple[str, ...] = RIGS) -> dict[str, dict[str, Any]]:
    """Figures by `rig/stream`, of all but inertial streams."""
    return {
        f"{name}/{stream}": measure_stream(rig, stream, seconds)
        for name in rigs
        for rig in [shipped_rig(name)]
        for stream, config in rig.sensors.items()
        if config.modality != "imu"
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
