"""Any sensors at the start, down to a single one: every tick comes, made of those."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sensorfuse.align.aligner import Aligner
from sensorfuse.align.signature import SignatureExtractor, is_asked_for_motion
from sensorfuse.fusion.runner import FusionRunner
from sensorfuse.fusion.strategies import make_fuser
from sensorfuse.messages import FusedFrame, Sample
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.track.tracker_config import TrackerConfig
from sensorfuse.wire import Envelope, envelope_of

EPOCH_NS, TICKS = 1_700_000_000_000_000_000, 8
Message = tuple[Envelope, Sample]


@pytest.fixture(scope="module")
def messages(small_rig: Rig) -> list[Message]:
    """What all sensors publish in the first ticks, in order of receipt."""
    sim = SimulatedRig(small_rig, epoch_ns=EPOCH_NS)
    out = []
    for stream, config in small_rig.sensors.items():
        signature = SignatureExtractor(config, is_asked_for_motion(small_rig, stream))
        for k in range(sim.first_due(stream, EPOCH_NS + TICKS * small_rig.fusion.period_ns)):
            sample = sim.sample(stream, k)
            out.append((envelope_of(sample, 0, sample.recv_ns, signature=signature.measure(sample)), sample))
    return sorted(out, key=lambda m: m[0].recv_ns)


def play(rig: Rig, messages: list[Message], streams: tuple[str, ...]) -> list[FusedFrame]:
    """Frames of a run in which only `streams` ever speak."""
    aligner = Aligner(rig, EPOCH_NS)
    runner = FusionRunner(rig, make_fuser(rig, "late"), ObjectTracker(TrackerConfig.from_rig(rig)), patient=True)
    frames, ticks = [], []
    for envelope, sample in (m for m in messages if m[0].stream in streams):
        now = envelope.recv_ns
        runner.add(envelope, sample, now)
        aligner.push(envelope, now, sample.arrays if sample.modality == "imu" else None)
        ticks += aligner.poll(now)
    end_ns = EPOCH_NS + (TICKS - 1) * rig.fusion.period_ns
    ticks += aligner.flush(end_ns, end_ns)
    for tick in ticks:
        runner.push_tick(tick, tick.emit_ns)
        while (made := runner.poll(tick.emit_ns)) is not None:
            frames.append(made[0])
    return frames


def test_every_subset_of_sensors_makes_every_tick(small_rig: Rig, messages: list[Message]) -> None:
    names = small_rig.streams()
    for count in range(1, len(names) + 1):
        for streams in itertools.combinations(names, count):
            frames = play(small_rig, messages, streams)
            assert [f.tick_id for f in frames[:TICKS]] == list(range(TICKS)), streams
            used = {u.stream for f in frames for u in f.uses if u.used}
            assert used == set(streams), streams
            last = frames[TICKS - 1]
            assert {u.stream for u in last.uses} == set(names)
            assert {u.reason for u in last.uses if u.stream not in streams} <= {"missing"}, streams
            heard = {small_rig.sensors[s].modality for s in streams}
            absent = [m for m in small_rig.fusion.modalities if m not in heard]
            assert last.mode == ("full" if not absent else "no_" + "_".join(absent)), streams
            assert np.isfinite(last.tracks.center).all()


def test_numbers_that_nobody_caught_cost_no_tick_and_do_not_stay(small_rig: Rig, messages: list[Message]) -> None:
    """An IMU whose rates are no numbers, past every check of payloads: own motion begins anew."""
    aligner = Aligner(small_rig, EPOCH_NS)
    ticks = []
    for n, (envelope, sample) in enumerate(messages):
        arrays = sample.arrays if sample.modality == "imu" else None
        if arrays is not None and len(messages) // 3 < n < len(messages) // 2:
            arrays = {**arrays, "gyro_radps": np.full_like(arrays["gyro_radps"], np.nan)}
        aligner.push(envelope, envelope.recv_ns, arrays)
        ticks += aligner.poll(envelope.recv_ns)
    assert len(ticks) >= TICKS - 2
    assert all(np.isfinite(t.pose).all() and np.isfinite(t.twist).all() for t in ticks)
    assert any("begins anew" in alert for alert in aligner.alerts)
    broken = ticks[-1]
    broken.pose = np.full((4, 4), np.nan)
    aligner.follow(broken)
    assert all(np.isfinite(t.pose).all() for t in aligner.flush(broken.t_ref_ns + 10**9, broken.emit_ns + 10**9))
