"""Motion signatures against the synthetic rig's truth."""

from __future__ import annotations

import numpy as np

from sensorfuse.align.aligner import Aligner
from sensorfuse.align.signature import motion_signature
from sensorfuse.messages import Sample
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.wire import envelope_of


def test_radar_gives_the_velocity_of_its_own_place(synthetic_rig: Rig) -> None:
    sim = SimulatedRig(synthetic_rig)
    config = synthetic_rig.sensors["radar"]
    lever = config.T_base_sensor.transform().translation
    errors = []
    for k in range(30, 600, 30):
        sample = sim.sample("radar", k)
        signature = motion_signature(sample, config)
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
        for k in range(int(20 * config.message_rate_hz)):
            sample = sim.sample(stream, k)
            pushes.append(
                (sample.recv_ns, envelope_of(sample, 0, 0, signature=motion_signature(sample, config)), sample)
            )
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


def test_levels() -> None:
    from sensorfuse.rig import shipped_rig

    config = shipped_rig("synthetic").sensors["camera"]
    image = np.full((16, 16, 3), 40, np.uint8)
    assert motion_signature(Sample("c", "camera", 0, 0, 0, "f", {"image": image}), config) == {"level": 40.0}
    tone = np.full((10, 2), 0.5, np.float32)
    assert motion_signature(Sample("m", "audio", 0, 0, 0, "f", {"pcm": tone}), config) == {"level": 0.5}
