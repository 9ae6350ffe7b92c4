from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sensorfuse.fusion.evaluation.corruptions import find_corruption
from sensorfuse.fusion.evaluation.robustness_play import Contestant, Player, Record
from sensorfuse.fusion.evaluation.robustness_runs import Condition, Run, make_runs
from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.messages import MODALITIES, Detections, Sample, Tick
from sensorfuse.rig import Rig


class Listener:
    """A fuser that finds nothing and keeps account of what it is asked."""

    strategy, model, engine, precision = "listener", "", "", ""

    def __init__(self, encoders: str = "listener") -> None:
        self.encoders = encoders
        self.encoded: Counter[tuple[str, int]] = Counter()
        self.fused: list[tuple[Tick, dict[str, list[Any]]]] = []
        self.forgot = 0

    def encode(self, sample: Sample) -> Any:
        self.encoded[sample.stream, sample.seq] += 1
        return ("seen", sample.stream, sample.seq)

    def fuse(self, tick: Tick, evidence: dict[str, list[Any]]) -> FusionResult:
        self.fused.append((tick, evidence))
        return FusionResult(Detections.empty(), {})

    def forget(self) -> None:
        self.forgot += 1


@pytest.fixture(scope="module")
def run(small_rig: Rig) -> Run:
    return next(iter(make_runs(small_rig, [("town", 5004)], 1, 3)))


def test_every_message_is_encoded_once_for_all_that_share_encoders(run: Run) -> None:
    late, hybrid, attention = Listener(), Listener("learned"), Listener("learned")
    player = Player({"late": late, "hybrid": hybrid, "cross_modal_attention": attention})
    assert player.kind["hybrid"] == player.kind["cross_modal_attention"] != player.kind["late"]
    player.encode(Condition(run))
    assert set(late.encoded.values()) == {1}
    assert hybrid.encoded + attention.encoded == late.encoded
    assert 0 in (len(hybrid.encoded), len(attention.encoded))


def test_only_what_is_touched_is_encoded_anew(run: Run) -> None:
    fuser = Listener()
    player = Player({"late": fuser})
    clean = player.encode(Condition(run))
    fuser.encoded.clear()
    evidence = player.encode(Condition(run, find_corruption("radar_drop"), 1.0), clean)
    assert {stream for stream, _ in fuser.encoded} == {"radar"}
    kind = player.kind["late"]
    assert evidence[kind][1]["lidar"] is clean[kind][1]["lidar"]


def test_a_contestant_gets_its_modalities_and_begins_anew(run: Run) -> None:
    fuser = Listener()
    player = Player({"late": fuser})
    condition = Condition(run)
    evidence = player.encode(condition)
    forgot = fuser.forgot
    outcomes = player.play(condition, evidence, Contestant("late", fuser, ("lidar", "audio")))
    assert fuser.forgot == forgot + 1
    assert len(outcomes) == len(fuser.fused) == 3
    for tick, held in fuser.fused:
        assert set(held) == {"lidar", "microphones"} == {s.stream for s in tick.streams}
        assert not tick.twist[3:].any()  # without an IMU nobody knows them
        assert {s.stream: s.seqs for s in tick.streams} == {n: [seq for _, _, seq in got] for n, got in held.items()}
    every = player.play(condition, evidence, Contestant("late", fuser, MODALITIES))
    assert every[0].scene.tick.twist[3:].any()


def test_a_record_of_nothing_found(run: Run) -> None:
    fuser = Listener()
    player = Player({"late": fuser})
    condition = Condition(run)
    record = Record()
    for outcome in player.play(condition, player.encode(condition), Contestant("late", fuser, MODALITIES)):
        record.add(outcome)
    scores = record.scores()
    assert scores["nds"] == scores["map"] == scores["map_ahead"] == 0
    assert set(record.latency_ms()) == {"p50", "p99"}
    assert record.nds_of_parts(3) == [0, 0, 0]
