"""Motion signatures against the synthetic rig's truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sensorfuse.align.aligner import Aligner
from sensorfuse.align.signature import SignatureExtractor, is_asked_for_motion
from sensorfuse.fusion.warm_up import typical_sample
from sensorfuse.messages import Sample
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sensor_config import SensorConfig
from sensorfuse.sim import SimulatedRig
from sensorfuse.wire import decode_meta, encode_meta, envelope_of


def test_radar_gives_the_velocity_of_its_own_place(synthetic_rig: Rig) -> None:
    sim = SimulatedRig(synthetic_rig)
    config = synthetic_rig.sensors["radar"]
    lever = config.T_base_sensor.transform().translation
    extractor = SignatureExtractor(config)
    errors = []
    for k in range(30, 600, 30):
        sample = sim.sample("radar", k)
        signature = extractor.measure(sample)
        if "ego_velocity_mps" in signature:
            twist = sim.truth(sample.stamp_ns).twist
            assert twist is not None
            real = twist[:3] + np.cross(twist[3:], lever)
            errors.append(np.array(signature["ego_velocity_mps"]) - real)
    assert len(errors) > 10
    assert np.percentile(np.abs(errors), 90, axis=0)[0] < 0.1
    assert np.percentile(np.abs(errors), 90, axis=0)[1] < 0.3


def test_tick_twist_is_that_of_the_base(synthetic_rig: Rig) -> None:
    sim = SimulatedRig(synthetic_rig)
    aligner = Aligner(synthetic_rig, 0)
    pushes = []
    for stream in ("radar", "imu"):
        config = synthetic_rig.sensors[stream]
        extractor = SignatureExtractor(config)
        for k in range(int(20 * config.message_rate_hz)):
            sample = sim.sample(stream, k)
            pushes.append((sample.recv_ns, envelope_of(sample, 0, 0, signature=extractor.measure(sample)), sample))
    ticks = []
    for now, envelope, sample in sorted(pushes, key=lambda p: p[0]):
        aligner.push(envelope, now, sample.arrays if sample.modality == "imu" else None)
        ticks += aligner.poll(now)
    errors = []
    for tick in ticks[20:]:
        real = sim.truth(tick.t_ref_ns).twist
        assert real is not None
        errors.append(tick.twist - real)
    p90 = np.percentile(np.abs(errors), 90, axis=0)
    assert p90[0] < 0.3, "forward velocity follows, braking included"
    assert p90[1] < 0.3, "the radar's lever arm does not leak into sideways velocity"
    assert p90[5] < 0.02, "yaw rate"


def test_levels(synthetic_rig: Rig) -> None:
    extractors = {n: SignatureExtractor(c) for n, c in synthetic_rig.sensors.items()}
    image = np.full((16, 16, 3), 40, np.uint8)
    assert extractors["camera"].measure(Sample("c", "camera", 0, 0, 0, "f", {"image": image})) == {"level": 40.0}
    tone = np.full((10, 2), 0.5, np.float32)
    assert extractors["microphones"].measure(Sample("m", "audio", 0, 0, 0, "f", {"pcm": tone})) == {"level": 0.5}
    points = {"points": np.ones((7, 3), np.float32)}
    assert extractors["lidar"].measure(Sample("l", "lidar", 0, 0, 0, "f", points)) == {"level": 7.0}


@pytest.mark.parametrize("name", ["synthetic", "radiate"])
def test_warming_up_leaves_no_trace(name: str) -> None:
    rig = shipped_rig(name)
    for stream, config in rig.sensors.items():
        extractor, sample = SignatureExtractor(config), typical_sample(rig, stream)
        extractor.warm_up(sample)
        assert extractor.measure(sample) == SignatureExtractor(config).measure(sample), stream


def _keys_while_warming(config: SensorConfig, sample: Sample) -> set[str]:
    keys: set[str] = set()
    measure = SignatureExtractor.measure

    def noted(self: SignatureExtractor, sample: Sample) -> dict[str, Any]:
        signature = measure(self, sample)
        keys.update(signature)
        return signature

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SignatureExtractor, "measure", noted)
        SignatureExtractor(config).warm_up(sample)
    return keys


def test_warm_up_runs_all_that_samples_run(synthetic_rig: Rig) -> None:
    """Its made-up samples must reach the last kernel of each modality, or the first real ones wait for a compiler."""
    reached = set()
    for stream, config in [*synthetic_rig.sensors.items(), ("polar", shipped_rig("radiate").sensors["radar"])]:
        rig = shipped_rig("radiate") if stream == "polar" else synthetic_rig
        sample = typical_sample(rig, "radar" if stream == "polar" else stream)
        reached |= {(stream, key) for key in _keys_while_warming(config, sample)}
    assert {("camera", "turn_rad"), ("lidar", "turn_rad"), ("polar", "turn_rad"), ("microphones", "onset")} <= reached


def test_signatures_travel(synthetic_rig: Rig) -> None:
    sim = SimulatedRig(synthetic_rig)
    for stream, config in synthetic_rig.sensors.items():
        extractor = SignatureExtractor(config)
        for k in range(2):
            sample = sim.sample(stream, k)
            envelope = envelope_of(sample, 0, 0, signature=extractor.measure(sample))
        again = decode_meta(encode_meta(envelope))
        assert again.signature == envelope.signature, stream


def test_nobody_measures_what_nobody_asks_for(synthetic_rig: Rig) -> None:
    assert [n for n in synthetic_rig.sensors if is_asked_for_motion(synthetic_rig, n)] == []
    for name, config in synthetic_rig.sensors.items():
        found = SignatureExtractor(config, motion=False)
        for k in range(3):
            sample = typical_sample(synthetic_rig, name)
            sample.stamp_ns += k * config.period_ns
            assert set(found.measure(sample)) <= {"level", "ego_velocity_mps", "ego_velocity_sigma_mps"}, name

    def uncertain(name: str) -> Rig:
        sensor = synthetic_rig.sensors[name].model_copy(update={"offset_sigma_s": 0.01})
        return synthetic_rig.model_copy(update={"sensors": {**synthetic_rig.sensors, name: sensor}})

    assert is_asked_for_motion(uncertain("camera"), "camera")
    assert not is_asked_for_motion(uncertain("camera"), "lidar")
    assert is_asked_for_motion(uncertain("microphones"), "camera")
    assert is_asked_for_motion(shipped_rig("handheld"), "lidar"), "no radar there: the LiDAR tells the velocity"
