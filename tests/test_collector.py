"""What a run amounted to, counted from what the supervisor hears."""

from __future__ import annotations

import numpy as np

from sensorfuse.collector import Collector
from sensorfuse.messages import Tick

MS = 1_000_000


def a_tick(tick_id: int, trigger_ms: int, emit_ms: int) -> Tick:
    return Tick(
        tick_id, tick_id * 100 * MS, tick_id * 100 * MS + emit_ms * MS, False, [], np.eye(4), np.zeros(6), np.zeros(6),
        [("lidar", 1, tick_id, "superseded")], tick_id * 100 * MS + trigger_ms * MS,
    )  # fmt: skip


def durations(published_ms: int) -> dict[str, int]:
    spent = {"queue": 1, "data_wait": 2, "encode": 9, "encode_on_path": 3, "fuse": 4, "track": 1}
    return {**{k: v * MS for k, v in spent.items()}, "published_at": published_ms * MS}


def test_overhead_leaves_out_the_models_own_time() -> None:
    collector = Collector(["lidar"])
    collector.tick(a_tick(1, trigger_ms=20, emit_ms=25))
    collector.timing(1, durations(published_ms=140))
    timings = {k: v[0] for k, v in collector.timings_ms.items()}
    assert timings["capture_to_fused"] == 40
    assert timings["align_wait"] == 25
    assert timings["overhead"] == 40 - 20 - 3 - 4 - 1


def test_scaled_replay_counts_real_time() -> None:
    collector = Collector(["lidar"], rate=4.0)
    collector.tick(a_tick(1, trigger_ms=20, emit_ms=24))
    collector.timing(1, durations(published_ms=180))
    assert list(collector.timings_ms["capture_to_fused"]) == [20.0]
    assert list(collector.timings_ms["align_wait"]) == [6.0]
    assert list(collector.timings_ms["fuse"]) == [4.0], "work takes what it takes at any rate"


def test_without_a_clock_only_work_is_timed() -> None:
    collector = Collector(["lidar"], clocked=False)
    collector.tick(a_tick(1, 0, 0))
    collector.timing(1, durations(100))
    assert {k for k, v in collector.timings_ms.items() if v} == {"encode", "fuse", "track"}


def test_twins_receive_the_same_and_restarts_do_not_add_up() -> None:
    collector = Collector(["lidar"])
    collector.received("align.0:10", {"lidar": 50})
    collector.received("align.1:11", {"lidar": 80})
    assert collector.received_total() == {"lidar": 80}


def test_dispositions_from_ticks_and_unknown_words() -> None:
    collector = Collector(["lidar"])
    collector.tick(a_tick(0, 0, 0))
    collector.close([["lidar", 1, 5, "nonsense"], ["sonar", 1, 5, "fused"], ["lidar", 1, 1, "fused"]])
    collector.published("lidar", 1, 3)
    counts = collector.ledger.counts("lidar")
    assert (counts["superseded"], counts["fused"], counts["transport_lost"]) == (1, 1, 1)
