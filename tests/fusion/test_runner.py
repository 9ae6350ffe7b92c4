"""The fusion runner: encode on arrival, wait a little, go without, and close every sample that a tick named."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.fusion.runner import DATA_WAIT_NS, KEEP_NS, MAX_FAILED, FusionRunner
from sensorfuse.fusion.strategies import make_fuser
from sensorfuse.messages import Detections, Sample, StreamTick, Tick
from sensorfuse.rig import Rig, parse_rig, shipped_rig
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.wire import Envelope, envelope_of

MS = 1_000_000

RIG = """
name: r
sensors:
  lidar: {modality: lidar, rate_hz: 10, frame: l, T_base_sensor: {}}
  radar: {modality: radar, rate_hz: 10, frame: r, T_base_sensor: {}}
fusion: {modalities: [lidar, radar]}
"""


class RecordingFuser:
    """Encodes a sample to its seq; remembers what it was asked to fuse."""

    strategy, model, engine, precision = "test", "m1", "none", "float64"

    def __init__(self) -> None:
        self.failures: deque[str] = deque()
        self.encoded: list[int] = []
        self.asked: list[dict[str, list[Any]]] = []

    def encode(self, sample: Sample) -> int:
        if sample.meta.get("bad"):
            raise RuntimeError("cannot")
        self.encoded.append(sample.seq)
        return sample.seq

    def fuse(self, tick: Tick, evidence: dict[str, list[Any]]) -> FusionResult:
        self.asked.append(evidence)
        return FusionResult(Detections.empty(), {}, weights={s: 1.0 / len(evidence) for s in evidence})


class QuietTracker:
    def update(self, *_: object) -> Detections:
        return Detections.empty()


@pytest.fixture
def rig() -> Rig:
    return parse_rig(RIG)


def runner_of(rig: Rig, **more: Any) -> tuple[FusionRunner, RecordingFuser]:
    fuser = RecordingFuser()
    return FusionRunner(rig, fuser, QuietTracker(), **more), fuser  # type: ignore[arg-type]


def sample(stream: str, seq: int, **meta: object) -> tuple[Envelope, Sample]:
    modality = "lidar" if stream == "lidar" else "radar"
    made = Sample(stream, modality, seq, seq * 100 * MS, seq * 100 * MS, "f", {}, dict(meta))
    return envelope_of(made, 1, 0), made


def tick(tick_id: int, **seqs: list[int]) -> Tick:
    streams = [
        StreamTick(
            s,
            "lidar" if s == "lidar" else "radar",
            "ok" if seqs.get(s) else "idle",
            1,
            seqs.get(s, []),
            -5 * MS,
            2 * MS,
            bound_ns=4 * MS,
            bound_m=0.06,
        )
        for s in ("lidar", "radar")
    ]
    return Tick(tick_id, tick_id * 100 * MS, 0, False, streams, np.eye(4), np.zeros(6), np.ones(6))


def test_encodes_on_arrival_and_fuses_what_the_tick_names(rig: Rig) -> None:
    runner, fuser = runner_of(rig)
    for seq in range(3):
        runner.add(*sample("lidar", seq), now_ns=0)
    assert runner.encode_next()
    assert fuser.encoded == [2], "the newest first"
    runner.push_tick(tick(0, lidar=[1]), 0)
    made = runner.poll(0)
    assert made is not None
    frame, _ = made
    assert fuser.asked == [{"lidar": [1]}]
    assert frame.mode == "no_radar"
    uses = {u.stream: u for u in frame.uses}
    assert uses["lidar"].used
    assert uses["lidar"].age_ns == 5 * MS
    assert (uses["lidar"].skew_ns, uses["lidar"].bound_ns, uses["lidar"].bound_m) == (5 * MS, 9 * MS, 0.06)
    assert (uses["radar"].bound_ns, uses["radar"].weight) == (0, 0.0)
    assert (uses["radar"].used, uses["radar"].reason) == (False, "idle")
    assert frame.dispositions == [("lidar", 1, 1, "fused")]


def test_waits_for_data_then_goes_without_and_says_so(rig: Rig) -> None:
    runner, _ = runner_of(rig)
    runner.push_tick(tick(0, lidar=[4]), 0)
    assert runner.poll(DATA_WAIT_NS - 1) is None
    made = runner.poll(DATA_WAIT_NS)
    assert made is not None
    assert {u.stream: u.reason for u in made[0].uses}["lidar"] == "data not here in time"
    assert made[0].dispositions == []
    assert runner.close_remaining() == [("lidar", 1, 4, "transport_lost")]


def test_patient_runner_waits_for_ever(rig: Rig) -> None:
    runner, _ = runner_of(rig, patient=True)
    runner.push_tick(tick(0, lidar=[4]), 0)
    assert runner.poll(10**15) is None
    runner.add(*sample("lidar", 4), now_ns=0)
    assert runner.poll(0) is not None


def test_data_that_comes_after_its_tick_is_late_and_lost_data_is_lost(rig: Rig) -> None:
    runner, _ = runner_of(rig)
    runner.push_tick(tick(0, lidar=[4], radar=[9]), 0)
    assert runner.poll(DATA_WAIT_NS) is not None
    runner.add(*sample("lidar", 4), now_ns=DATA_WAIT_NS)
    runner.push_tick(tick(1), 2 * KEEP_NS)
    made = runner.poll(2 * KEEP_NS)
    assert made is not None
    assert sorted(made[0].dispositions) == [("lidar", 1, 4, "late"), ("radar", 1, 9, "transport_lost")]


def test_failing_encoder_stops_nothing_and_is_told(rig: Rig) -> None:
    runner, fuser = runner_of(rig)
    runner.add(*sample("lidar", 0, bad=True), now_ns=0)
    runner.add(*sample("radar", 0), now_ns=0)
    runner.push_tick(tick(0, lidar=[0], radar=[0]), 0)
    made = runner.poll(0)
    assert made is not None
    assert fuser.asked == [{"radar": [0]}]
    assert {d[0]: d[3] for d in made[0].dispositions} == {"lidar": "corrupt", "radar": "fused"}
    assert "cannot" in runner.failures[0]


class Fragile(RecordingFuser):
    """Fails at one sample's features, whatever else a tick holds."""

    def __init__(self, *poison: int) -> None:
        super().__init__()
        self.poison = set(poison)
        self.forgotten = 0

    def fuse(self, tick: Tick, evidence: dict[str, list[Any]]) -> FusionResult:
        if self.poison & set(evidence.get("lidar", [])):
            raise np.linalg.LinAlgError("Singular matrix\nsomewhere deep")
        return super().fuse(tick, evidence)

    def forget(self) -> None:
        self.forgotten += 1


def test_a_sample_that_fusion_fails_at_costs_one_tick_its_samples_and_no_more(rig: Rig) -> None:
    fuser = Fragile(1)
    tracker = ObjectTracker()
    runner = FusionRunner(rig, fuser, tracker)  # type: ignore[arg-type]
    frames = []
    for k, seqs in enumerate(([0], [1], [1], [2])):
        for stream in ("lidar", "radar"):
            runner.add(*sample(stream, k), now_ns=0)
        runner.push_tick(tick(k, lidar=seqs, radar=[k]), 0)
        made = runner.poll(0)
        assert made is not None
        frames.append(made[0])
    assert [f.tick_id for f in frames] == [0, 1, 2, 3]
    uses = [{u.stream: (u.used, u.reason) for u in f.uses} for f in frames]
    good, failed = (True, ""), (False, "fusion failed")
    assert [u["lidar"] for u in uses] == [good, failed, failed, good]
    assert [u["radar"] for u in uses] == [good, failed, good, good]
    assert [f.mode for f in frames] == ["full", "no_lidar_radar", "no_lidar", "full"]
    closed = {d[:3]: d[3] for f in frames for d in f.dispositions}
    assert {k[2]: r for k, r in closed.items() if k[0] == "lidar"} == {0: "fused", 1: "corrupt", 2: "fused"}
    assert list(runner.failures) == ["fusing tick 1 failed: Singular matrix; it goes out without samples"]
    assert fuser.forgotten == 1


def test_tracks_live_through_what_fusion_fails_at(rig: Rig) -> None:
    fuser = Fragile(6)
    car = Detections(
        np.zeros(1, np.uint8), np.array([0.9], np.float32), np.array([[10.0, 2, 0]]), np.array([[4.0, 2, 1.5]]),
        np.zeros(1), np.zeros((1, 2)), 0.1 * np.eye(4)[None], np.array([-1]),
    )  # fmt: skip
    seen = fuser.fuse
    fuser.fuse = lambda t, e: FusionResult(  # type: ignore[method-assign]
        seen(t, e).detections, {"lidar": replace(car)}, weights={"lidar": 1.0}
    )
    runner = FusionRunner(rig, fuser, ObjectTracker())  # type: ignore[arg-type]
    tracks = []
    for k in range(9):
        runner.add(*sample("lidar", k), now_ns=0)
        runner.push_tick(tick(k, lidar=[k]), 0)
        made = runner.poll(0)
        assert made is not None
        tracks.append(made[0].tracks)
    assert [len(t) for t in tracks[4:]] == [1] * 5
    assert len({int(t.track_id[0]) for t in tracks[4:]}) == 1
    assert np.abs(tracks[6].center[0, :2] - [10, 2]).max() < 0.3


def test_a_strategy_that_always_fails_ends_the_process(rig: Rig) -> None:
    runner = FusionRunner(rig, Fragile(*range(100)), ObjectTracker())  # type: ignore[arg-type]
    for k in range(MAX_FAILED):
        runner.add(*sample("lidar", k), now_ns=0)
        runner.push_tick(tick(k, lidar=[k]), 0)
        if k < MAX_FAILED - 1:
            assert runner.poll(0) is not None
    with pytest.raises(np.linalg.LinAlgError):
        runner.poll(0)


def test_a_sample_used_twice_is_fused_once_in_the_ledger(rig: Rig) -> None:
    runner, _ = runner_of(rig)
    runner.add(*sample("lidar", 0), now_ns=0)
    closed = []
    for k in range(2):
        runner.push_tick(tick(k, lidar=[0]), 0)
        made = runner.poll(0)
        assert made is not None
        closed += made[0].dispositions
    assert closed == [("lidar", 1, 0, "fused")]


def test_repeated_and_fused_ticks_are_skipped(rig: Rig) -> None:
    runner, _ = runner_of(rig)
    for k in (0, 1, 1, 0, 2):
        runner.push_tick(tick(k), 0)
    assert runner.backlog == 3
    runner.skip_to(1)
    made = runner.poll(0)
    assert made is not None
    assert made[0].tick_id == 2


def test_standby_encodes_nothing_until_a_tick_needs_it(rig: Rig) -> None:
    runner, fuser = runner_of(rig, lazy=True)
    for seq in range(5):
        runner.add(*sample("lidar", seq), now_ns=0)
    assert not runner.encode_next()
    runner.push_tick(tick(0, lidar=[3]), 0)
    assert runner.poll(0) is not None
    assert fuser.encoded == [3]


def test_memory_is_bounded(rig: Rig) -> None:
    runner, _ = runner_of(rig)
    for seq in range(2000):
        runner.add(*sample("lidar", seq), now_ns=0)
    held = runner._held["lidar"]
    assert len(held) <= 256
    span = next(reversed(held.values())).recv_ns - next(iter(held.values())).recv_ns
    assert span <= KEEP_NS
    assert len(runner._pending) <= len(held)


def test_behind_it_sheds_what_is_not_encoded_and_says_so(rig: Rig) -> None:
    runner, fuser = runner_of(rig)
    for seq in range(6):
        runner.add(*sample("lidar", seq), now_ns=0)
        runner.push_tick(tick(seq, lidar=[seq]), 0)
    frames = []
    while (made := runner.poll(0)) is not None:
        frames.append(made[0])
    assert [f.tick_id for f in frames] == list(range(6)), "the cadence stays whole"
    reasons = [f.uses[0].reason for f in frames]
    assert reasons == ["shed: fusion was behind"] * 4 + ["", ""], "once it has caught up it encodes again"
    assert [d[3] for f in frames for d in f.dispositions] == ["queue_full"] * 4 + ["fused"] * 2
    assert fuser.encoded == [4, 5]


def test_far_behind_it_carries_tracks_on_and_fuses_nothing(rig: Rig) -> None:
    runner, fuser = runner_of(rig)
    fused: list[int] = []
    plain = fuser.fuse
    fuser.fuse = lambda t, evidence: (fused.append(t.tick_id), plain(t, evidence))[1]  # type: ignore[method-assign]
    for seq in range(9):
        runner.add(*sample("lidar", seq), now_ns=0)
        runner.encode_next()
        runner.push_tick(tick(seq, lidar=[seq]), 0)
    frames = []
    while (made := runner.poll(0)) is not None:
        frames.append(made[0])
    assert [f.tick_id for f in frames] == list(range(9)), "the cadence stays whole"
    assert fused == [5, 6, 7, 8], "those with four or more behind them are not fused"
    assert [f.uses[0].reason for f in frames] == ["shed: fusion was behind"] * 5 + [""] * 4
    assert [d[3] for f in frames for d in f.dispositions] == ["queue_full"] * 5 + ["fused"] * 4


def test_in_a_deterministic_replay_nothing_is_left_out_however_far_behind(rig: Rig) -> None:
    runner, _ = runner_of(rig, patient=True)
    for seq in range(9):
        runner.add(*sample("lidar", seq), now_ns=0)
        runner.push_tick(tick(seq, lidar=[seq]), 0)
    frames = []
    while (made := runner.poll(0)) is not None:
        frames.append(made[0])
    assert all(f.uses[0].used for f in frames)


def test_frames_say_what_the_cards_of_the_rigs_own_weights_expect(rig: Rig, tmp_path: Path) -> None:
    conditions = {"all": {"nds": 0.7}, "no_lidar": {"nds": 0.4}, "no_radar": {"nds": 0.6}}
    card = {"accuracy": {"model": "m1", "conditions": conditions, "median_ms": {"fuse": 2.0, "encode_lidar": 3.0}}}
    (tmp_path / "test.json").write_text(json.dumps(card))
    own = rig.with_fusion(weights=str(tmp_path))
    for given, expected in ((own, 0.6), (rig, None)):
        runner, _ = runner_of(given)
        runner.add(*sample("lidar", 0), now_ns=0)
        runner.push_tick(tick(0, lidar=[0]), 0)
        made = runner.poll(0)
        assert made is not None
        assert made[0].expected_score == (pytest.approx(expected) if expected else pytest.approx(np.nan, nan_ok=True))
        assert made[0].expected_ms == pytest.approx(5.0 if expected else np.nan, nan_ok=True)


def test_a_strategy_without_networks_is_expected_the_same_beside_any_weights(tmp_path: Path) -> None:
    rig = shipped_rig("synthetic")
    for given in (rig, rig.with_fusion(weights=str(tmp_path))):
        runner = FusionRunner(given, make_fuser(given, "late"), QuietTracker())  # type: ignore[arg-type]
        assert runner._expectations.of(given.fusion.modalities).score > 0


def test_only_the_newest_wait_for_the_encoder(rig: Rig) -> None:
    runner, fuser = runner_of(rig)
    for seq in range(10):
        runner.add(*sample("lidar", seq), now_ns=0)
    while runner.encode_next():
        pass
    assert fuser.encoded == [9, 8]
