"""The synthetic rig as a whole: every message is valid, repeatable, on time, and independent of other sensors."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import Sample, sample_problem
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig, scenarios


def same(a: Sample, b: Sample) -> bool:
    return a.arrays.keys() == b.arrays.keys() and all(np.array_equal(a.arrays[n], b.arrays[n]) for n in a.arrays)


def changed(rig: Rig, sensor: str, **values: object) -> Rig:
    data = rig.model_dump()
    data["sensors"][sensor].update(values)
    return Rig.model_validate(data)


@pytest.fixture(scope="module")
def sim(synthetic_rig: Rig) -> SimulatedRig:
    return SimulatedRig(synthetic_rig, "town", 0)


@pytest.mark.parametrize("scenario", scenarios())
def test_every_message_is_valid(synthetic_rig: Rig, scenario: str) -> None:
    sim = SimulatedRig(synthetic_rig, scenario, 3)
    assert sim.duration_s >= 120
    for stream, sensor in synthetic_rig.sensors.items():
        for k in (0, 7, int(1.5 * sim.duration_s * sensor.message_rate_hz)):
            sample = sim.sample(stream, k)
            assert sample_problem(sample) is None
            assert (sample.stream, sample.modality, sample.seq, sample.frame) == (
                stream,
                sensor.modality,
                k,
                sensor.frame,
            )
            assert sample.recv_ns > sim.due_ns(stream, k) >= sim.event_ns(stream, k)


def test_the_same_seed_gives_the_same_bytes_in_any_order(synthetic_rig: Rig, sim: SimulatedRig) -> None:
    again = SimulatedRig(synthetic_rig, "town", 0, epoch_ns=5_000_000_000)
    for stream in synthetic_rig.streams():
        late, early = again.sample(stream, 30), again.sample(stream, 2)
        assert same(sim.sample(stream, 2), early)
        assert same(sim.sample(stream, 30), late)
        assert late.stamp_ns - sim.sample(stream, 30).stamp_ns == 5_000_000_000
        assert late.recv_ns - sim.sample(stream, 30).recv_ns == 5_000_000_000


def test_another_seed_gives_another_world(synthetic_rig: Rig, sim: SimulatedRig) -> None:
    other = SimulatedRig(synthetic_rig, "town", 1)
    for stream in synthetic_rig.streams():
        assert not same(sim.sample(stream, 2), other.sample(stream, 2))


def test_one_sensors_settings_leave_the_others_alone(synthetic_rig: Rig, sim: SimulatedRig) -> None:
    rig = changed(synthetic_rig, "lidar", rate_hz=5.0, lidar={"rings": 16, "columns": 256, "range_noise_m": 0.1})
    other = SimulatedRig(rig, "town", 0)
    for stream in rig.streams():
        assert same(sim.sample(stream, 4), other.sample(stream, 4)) == (stream != "lidar")


def test_stamps_follow_the_rate_and_the_semantics(synthetic_rig: Rig, sim: SimulatedRig) -> None:
    for stream, sensor in synthetic_rig.sensors.items():
        stamps = [sim.sample(stream, k).stamp_ns for k in range(4)]
        assert np.abs(np.diff(stamps) - sensor.period_ns).max() <= 1
        assert 0 <= stamps[0] < 2 * sensor.period_ns
    lidar = sim.sample("lidar", 0)
    period = synthetic_rig.sensors["lidar"].period_ns
    assert 0 <= lidar.arrays["time_ns"].min() < lidar.arrays["time_ns"].max() < period
    ended = SimulatedRig(changed(synthetic_rig, "lidar", stamp="end"), "town", 0).sample("lidar", 0)
    assert ended.stamp_ns == lidar.stamp_ns + period
    np.testing.assert_array_equal(ended.arrays["time_ns"], lidar.arrays["time_ns"] - period)
    imu = sim.sample("imu", 3)
    assert imu.arrays["time_ns"].tolist() == [5_000_000 * i for i in range(10)]


def test_audio_blocks_tile_time_even_when_samples_do_not_divide(synthetic_rig: Rig) -> None:
    sim = SimulatedRig(changed(synthetic_rig, "microphones", rate_hz=30.0), "town", 0)
    total = 0
    start = sim.sample("microphones", 0).stamp_ns
    for k in range(7):
        sample = sim.sample("microphones", k)
        assert abs(sample.stamp_ns - start - total * 62_500) <= 1
        total += len(sample.arrays["pcm"])


def test_a_device_with_a_known_clock_offset_stamps_in_its_own_clock(synthetic_rig: Rig, sim: SimulatedRig) -> None:
    other = SimulatedRig(changed(synthetic_rig, "camera", offset_s=0.25), "town", 0)
    a, b = sim.sample("camera", 1), other.sample("camera", 1)
    assert b.stamp_ns + 250_000_000 == a.stamp_ns
    assert a.recv_ns == b.recv_ns
    assert same(a, b)


def test_wrong_requests_are_explained(synthetic_rig: Rig, sim: SimulatedRig) -> None:
    with pytest.raises(SensorfuseError, match="no stream 'sonar'"):
        sim.sample("sonar", 0)
    with pytest.raises(SensorfuseError, match="start at 0"):
        sim.due_ns("lidar", -1)
    with pytest.raises(SensorfuseError, match="no scenario is called 'mars'"):
        SimulatedRig(synthetic_rig, "mars")
    with pytest.raises(SensorfuseError, match="seed"):
        SimulatedRig(synthetic_rig, "town", -1)
    with pytest.raises(SensorfuseError, match="no `sim` block"):
        SimulatedRig(synthetic_rig.model_copy(update={"sim": None}))


def test_a_polar_radar_gives_a_picture(synthetic_rig: Rig) -> None:
    rig = changed(synthetic_rig, "radar", rate_hz=4.0, radar={"kind": "polar", "max_range_m": 100.0, "fov_deg": 360.0})
    sample = SimulatedRig(rig, "town", 0).sample("radar", 1)
    assert sample_problem(sample) is None
    assert sample.arrays["polar"].shape == (400, 576)
    assert sample.meta["range_resolution_m"] == pytest.approx(100 / 576)
