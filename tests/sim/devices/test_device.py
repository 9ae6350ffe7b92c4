"""Devices within the synthetic rig: stamps are the clock's word on the true time, and content is of the true time."""

from __future__ import annotations

import zlib
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.messages import sample_problem
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.noise import message_rng
from sensorfuse.sim.sensors.imu import exact_imu
from sensorfuse.wire import decode_data, encode_data, envelope_of

EVERYTHING = str(Path(__file__).parents[1] / "devices.yaml")
EPOCH_NS, S = 1_700_000_000_123_456_789, 1_000_000_000
SEMANTICS = ("start", "mid", "end")


def semantics(rig: Rig, word: str) -> Rig:
    data = rig.model_dump()
    for stream in ("camera", "lidar", "radar"):
        data["sensors"][stream]["stamp"] = word
    data["sensors"]["camera"]["intrinsics"] |= {
        "exposure_s": 0.004,
        "readout_s": 0.012,
        "width": 96,
        "fx": 60,
        "fy": 60,
    }
    data["sensors"]["lidar"]["lidar"] |= {"rings": 4, "columns": 128}
    return Rig.model_validate(data)


@pytest.fixture(scope="module")
def sims(synthetic_rig: Rig) -> dict[str, SimulatedRig]:
    return {w: SimulatedRig(semantics(synthetic_rig, w), EVERYTHING, 0, EPOCH_NS) for w in SEMANTICS}


@pytest.mark.parametrize("word", SEMANTICS)
def test_event_time_and_model_give_the_stamp_to_the_nanosecond(sims: dict[str, SimulatedRig], word: str) -> None:
    """The model is written out here: integer oscillator, then the counter's events in order of time."""
    sim = sims[word]
    for stream, sensor in sim.rig.sensors.items():
        config = sim.world.scenario.devices[stream]
        oscillator = sim.clock(stream)

        def model(true_ns: int, config=config, oscillator=oscillator) -> int:  # type: ignore[no-untyped-def]
            t = true_ns - EPOCH_NS
            base = 0 if config.clock.counter_s is not None else EPOCH_NS - round((config.clock.offset_s or 0.0) * 1e9)
            free = t + round(oscillator.deviation_ns(t)[0])
            reading = free + round((config.clock.counter_s or 0.0) * 1e9)
            for fault in config.faults:
                if t >= fault.at_ns and fault.kind == "clock_jump":
                    reading += round(fault.jump_s * 1e9)
                if t >= fault.at_ns and fault.kind == "clock_reset":
                    base, reading = 0, free - fault.at_ns - round(oscillator.deviation_ns(fault.at_ns)[0])
            reading = reading // config.clock.resolution_ns * config.clock.resolution_ns
            if config.clock.wrap_bits:
                reading %= 2**config.clock.wrap_bits * config.clock.resolution_ns
            return base + reading

        for k in range(0, round(8 * sensor.message_rate_hz), 1 if stream == "imu" else 3):
            sample, event = sim.sample(stream, k), sim.event_ns(stream, k)
            assert sample.stamp_ns == sim.clock(stream).stamp_ns(event) == model(event)
            start, end = (EPOCH_NS + t for t in sim._device(stream).schedule.span_ns(k))
            assert end == sim.due_ns(stream, k)
            named = {"start": start, "mid": (start + end) / 2, "end": end}[sample.stamp]
            assert abs(event - named) <= 1
            assert sample.stamp == (word if stream in ("camera", "lidar", "radar") else "start")
            if stream == "imu" and sim._device(stream).content_k(k) == k:
                times = EPOCH_NS + sim._device(stream).schedule.imu_times_ns(k)
                assert sample.arrays["time_ns"].tolist() == [model(int(t)) - sample.stamp_ns for t in times]


def test_columns_of_a_sweep_are_stamped_by_the_devices_clock(sims: dict[str, SimulatedRig]) -> None:
    """Across the jump of the clock, too: within that sweep the points' times step by 0.4 s."""
    sim = sims["start"]
    schedule = sim._device("lidar").schedule
    (k,) = [k for k in range(80) if schedule.span_ns(k)[0] < 3.04e9 < schedule.span_ns(k)[1] - 1e7]
    for n, jumps in ((k - 1, False), (k, True)):
        times = np.unique(sim.sample("lidar", n).arrays["time_ns"])
        start, end = schedule.span_ns(n)
        columns = EPOCH_NS + start + np.round((end - start) * np.arange(128) / 128).astype(np.int64)
        possible = sim.clock("lidar").stamps_ns(columns) - sim.stamp_ns("lidar", n)
        assert np.isin(times, possible).all()
        assert len(times) > 100
        assert (np.diff(times).max() > 0.39 * S) == jumps


def test_the_imu_measures_the_motion_of_the_true_time(synthetic_rig: Rig) -> None:
    data = synthetic_rig.model_dump()
    data["sensors"]["imu"]["imu"] = {
        f"{kind}_{what}": 0.0 for kind in ("gyro", "accel") for what in ("noise_density", "random_walk")
    }
    sim = SimulatedRig(Rig.model_validate(data), EVERYTHING, 0)
    times = sim._device("imu").schedule.imu_times_ns(60)
    gyro, accel = exact_imu(sim.world, times / 1e9, synthetic_rig.sensors["imu"].T_base_sensor.transform())
    sample = sim.sample("imu", 60)
    np.testing.assert_allclose(sample.arrays["gyro_radps"], gyro, atol=1e-6)
    np.testing.assert_allclose(sample.arrays["accel_mps2"], accel, atol=1e-6)


def test_sound_is_sampled_at_the_true_times(synthetic_rig: Rig) -> None:
    """By a clock 2000 ppm fast a tone of f is heard at f / 1.002, and blocks join without a seam."""
    sim = SimulatedRig(synthetic_rig, EVERYTHING, 0)
    sim.sample("microphones", 0)
    model = sim._models["microphones"]
    tone_hz, taken = 440.0, []
    model.block = lambda phase, first, n, rng, taken_s: taken.append((n, taken_s)) or np.zeros((n, 1), np.float32)
    for k in range(200):
        sim.sample("microphones", k)
    pcm = np.concatenate([np.sin(2 * np.pi * tone_hz * (a + (b - a) * np.arange(n) / n)) for n, (a, b) in taken])
    late = pcm[-(1 << 15) :] * np.hanning(1 << 15)
    found = np.argmax(np.abs(np.fft.rfft(late, 1 << 21))) * 16_000 / (1 << 21)
    ppm = sim.clock("microphones").frequency_ppm(9 * S)[0]
    assert found == pytest.approx(tone_hz / (1 + ppm * 1e-6), abs=0.02)
    assert abs(found - tone_hz) > 0.5
    starts, ends = [t[0] for _, t in taken], [t[1] for _, t in taken]
    assert ends[:-1] == starts[1:]


def test_blocks_of_a_drifting_microphone_join_and_follow_true_time(synthetic_rig: Rig) -> None:
    """While a siren is loud: two blocks give what one over both does, and so do four times the samples in that time."""
    sim = SimulatedRig(synthetic_rig, EVERYTHING, 0)
    loudness = [np.abs(sim.sample("microphones", k).arrays["pcm"]).max() for k in range(0, 2400, 20)]
    k = 20 * int(np.argmax(loudness))
    model, schedule = sim._models["microphones"], sim._device("microphones").schedule

    class Silent(np.random.Generator):
        def standard_normal(self, size=None, *_):  # type: ignore[no-untyped-def,override]
            return np.zeros(size)

    quiet = Silent(np.random.PCG64(0))
    (first, middle), (_, end) = schedule.sound_samples(k), schedule.sound_samples(k + 1)
    a, b = schedule.block_s(k), schedule.block_s(k + 1)
    parts = [model.block(0.0, first, middle - first, quiet, a), model.block(0.0, middle, end - middle, quiet, b)]
    whole = model.block(0.0, first, end - first, quiet, (a[0], b[1]))
    dense = model.block(0.0, first, 4 * (end - first), quiet, (a[0], b[1]))[::4]
    loud = np.abs(whole).max()
    assert loud > 0.02
    np.testing.assert_allclose(np.vstack(parts), whole, atol=0.02 * loud)
    np.testing.assert_allclose(dense, whole, atol=0.05 * loud)  # the wind is another, sample by sample
    nominal = model.block(0.0, first, end - first, quiet, (a[0], a[0] + (end - first) / 16_000))
    assert np.abs(nominal - whole).max() > 0.1 * loud


def test_a_batch_over_the_wrap_of_its_counter_travels(sims: dict[str, SimulatedRig]) -> None:
    sim = sims["start"]
    (sample,) = [s for s in (sim.sample("imu", k) for k in range(100)) if s.arrays["time_ns"].min() < -4000 * S]
    envelope, back = decode_data(encode_data(envelope_of(sample, 0, 0), sample.arrays))
    assert envelope.duration_ns == 0
    np.testing.assert_array_equal(back.arrays["time_ns"], sample.arrays["time_ns"])


def test_frozen_messages_repeat_the_last_good_content_with_new_stamps(sims: dict[str, SimulatedRig]) -> None:
    sim = sims["mid"]
    for stream, at_s, for_s in (("camera", 4.0, 1.0), ("imu", 7.0, 0.5)):
        schedule = sim._device(stream).schedule
        count = round(8 * sim.rig.sensors[stream].message_rate_hz)
        frozen = [k for k in range(count) if at_s * S <= schedule.span_ns(k)[0] < (at_s + for_s) * S]
        good = sim.sample(stream, frozen[0] - 1)
        for k in (*frozen, frozen[0]):
            sample = sim.sample(stream, k)
            assert all(np.array_equal(sample.arrays[n], good.arrays[n]) for n in good.arrays)
            assert sample.stamp_ns == sim.clock(stream).stamp_ns(sim.event_ns(stream, k)) != good.stamp_ns
            assert sample.seq == k
        name = "image" if stream == "camera" else "accel_mps2"
        for k in (frozen[0] - 2, frozen[-1] + 1):
            assert not np.array_equal(sim.sample(stream, k).arrays[name], good.arrays[name])


def test_a_caller_who_writes_to_a_frozen_sample_changes_no_other(sims: dict[str, SimulatedRig]) -> None:
    sim = sims["start"]
    k = sim.first_due("camera", EPOCH_NS + round(4.5 * S))
    sim.sample("camera", k).arrays["image"][:] = 0
    assert sim.sample("camera", k).arrays["image"].any()


def test_every_message_is_valid_and_the_same_in_any_order(sims: dict[str, SimulatedRig], synthetic_rig: Rig) -> None:
    sim, other = sims["mid"], SimulatedRig(semantics(synthetic_rig, "mid"), EVERYTHING, 0, 0)
    for stream in sim.rig.streams():
        for k in (70, 45, 3):
            a, b = sim.sample(stream, k), other.sample(stream, k)
            assert sample_problem(a) is None
            assert all(np.array_equal(a.arrays[n], b.arrays[n]) for n in a.arrays)
            assert a.recv_ns - b.recv_ns == EPOCH_NS
    other.begin_at(EPOCH_NS)
    for stream in sim.rig.streams():
        assert other.stamp_ns(stream, 75) == sim.stamp_ns(stream, 75)


def test_one_device_leaves_the_others_alone(synthetic_rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text("devices: {radar: {clock: {skew_ppm: 90.0}, transport: {drop_share: 0.5}}}\n")
    (tmp_path / "none.yaml").write_text("description: nothing\n")
    some, none = (SimulatedRig(synthetic_rig, str(tmp_path / n), 0) for n in ("two.yaml", "none.yaml"))
    for stream in synthetic_rig.streams():
        same = list(islice(some.deliveries(stream), 50)) == list(islice(none.deliveries(stream), 50))
        assert same == (stream != "radar")
        assert (some.event_ns(stream, 500) == none.event_ns(stream, 500)) == (stream != "radar")


def test_deliveries_are_the_events_that_were_not_lost(sims: dict[str, SimulatedRig]) -> None:
    sim = sims["mid"]
    for stream in sim.rig.streams():
        events = list(sim.events(stream, sim.first_due(stream, EPOCH_NS + 8 * S)))
        arrived = [e for e in events if not e.lost]
        assert [e.seq for e in arrived] == list(range(len(arrived)))
        assert {e.seq for e in events if e.lost} <= {-1}
        delivered = list(islice(sim.deliveries(stream), len(arrived) - 10))
        assert delivered == [(e.recv_ns, e.k, e.copy) for e in arrived[: len(delivered)]]
        for e in events:
            assert e.stamp_ns == sim.clock(stream).stamp_ns(e.event_ns)
            assert e.end_ns == sim.due_ns(stream, e.k)
            if e.copy == 0 and e.k % 7 == 0:
                assert e.recv_ns == sim.sample(stream, e.k).recv_ns
        assert {e.k for e in events} == set(range(len({e.k for e in events})))
    assert any(e.frozen for e in sim.events("camera", 160))


def test_without_devices_stamps_are_phase_and_periods(synthetic_rig: Rig) -> None:
    """The plain formula, to the nanosecond: what a rig gets whose scenario says nothing of devices."""
    sim = SimulatedRig(synthetic_rig, "town", 3, EPOCH_NS)
    for stream, sensor in synthetic_rig.sensors.items():
        phase = zlib.crc32(f"3/{stream}".encode()) % sensor.period_ns
        for k in (0, 7, 301):
            start = phase + round(k * 1e9 / sensor.message_rate_hz)
            middle = start + (10_000_000 if stream == "radar" else 0)
            sample = sim.sample(stream, k)
            assert sample.stamp_ns == sim.event_ns(stream, k) == EPOCH_NS + middle
            assert sim.sample(stream, k).recv_ns > sim.due_ns(stream, k)
            if stream == "lidar":
                columns = sample.arrays["time_ns"] / (sensor.period_ns / 512)
                assert np.abs(columns - np.round(columns)).max() <= 512 / sensor.period_ns
            if stream == "imu":
                assert sample.arrays["time_ns"].tolist() == [5_000_000 * i for i in range(10)]
            if stream == "microphones":
                model = sim._model(stream, sensor)
                first, n = k * 800, 800
                plain = model.block(phase / 1e9, first, n, message_rng(3, stream, k))
                np.testing.assert_array_equal(sample.arrays["pcm"], plain)
        assert [d.k for d in islice(sim.deliveries(stream), 100)] == list(range(100))
