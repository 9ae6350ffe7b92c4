"""What a run amounted to, counted from what the supervisor hears."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.aligner import Aligner
from sensorfuse.bench.header_rate import START_NS, eight_streams, headers
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
    collector.received("align.0", 10, {"lidar": 50})
    collector.received("align.1", 11, {"lidar": 80})
    assert collector.received_total() == {"lidar": 80}


def test_what_was_received_and_ended_by_nobody_is_not_accounted_for() -> None:
    collector = Collector(["lidar", "radar"])
    for stream in ("lidar", "radar"):
        collector.published(stream, 1, 10)
        collector.close([[stream, 1, seq, "fused"] for seq in range(6)])
    collector.received("align.0", 10, {"lidar": 6, "radar": 9})
    assert collector.ledger.counts("lidar")["transport_lost"] == collector.ledger.counts("radar")["transport_lost"] == 4
    assert collector.unaccounted({}) == {"lidar": 0, "radar": 3}, "nine came, six were ended"
    assert collector.unaccounted({"radar": 2}) == {"lidar": 0, "radar": 1}
    collector.close([["radar", 1, 6, "transport_lost"]])
    assert collector.unaccounted({})["radar"] == 2, "what fusion says that it never got is accounted for"


def test_what_one_of_two_twins_missed_may_be_lost() -> None:
    collector = Collector(["lidar"])
    collector.published("lidar", 1, 10)
    collector.close([["lidar", 1, seq, "fused"] for seq in range(6)])
    collector.received("align.0", 10, {"lidar": 6})
    collector.received("align.1", 11, {"lidar": 10})
    assert collector.unaccounted({}) == {"lidar": 0}
    collector.received("align.0", 12, {"lidar": 1})
    assert collector.unaccounted({}) == {"lidar": 4}, "one that was restarted did not miss it on the way"


def test_dispositions_from_ticks_and_unknown_words() -> None:
    collector = Collector(["lidar"])
    collector.tick(a_tick(0, 0, 0))
    collector.close([["lidar", 1, 5, "nonsense"], ["sonar", 1, 5, "fused"], ["lidar", 1, 1, "fused"]])
    collector.published("lidar", 1, 3)
    counts = collector.ledger.counts("lidar")
    assert (counts["superseded"], counts["fused"], counts["transport_lost"]) == (1, 1, 1)


def test_when_frames_went_out_is_known_tick_by_tick() -> None:
    collector = Collector(["lidar"])
    for tick_id, published_ms in ((1, 140), (3, 345)):
        collector.tick(a_tick(tick_id, trigger_ms=20, emit_ms=25))
        collector.timing(tick_id, durations(published_ms))
    assert list(collector.published_ns) == [140 * MS, 345 * MS]
    assert len(collector.timings_ms["capture_to_fused"]) == 2


@pytest.mark.parametrize(("lost", "forgotten"), [(0, False), (7, False), (7, True)])
def test_a_real_aligners_account_is_off_only_where_a_word_of_it_is_lost(lost: int, forgotten: bool) -> None:
    rig = eight_streams()
    aligner, collector = Aligner(rig, START_NS), Collector(rig.streams())
    for n, header in enumerate(headers(rig, 1.0)):
        collector.published(header.stream, header.boot, header.seq + 1)
        if n % 50 == 0 and n < 50 * lost:
            continue  # lost on the way
        aligner.push(header, header.recv_ns)
        for tick in aligner.poll(header.recv_ns):
            if forgotten and tick.tick_id == 5:
                tick.dispositions = tick.dispositions[1:]
            collector.tick(tick)
            for stream in tick.streams:
                collector.close([(stream.stream, stream.boot, seq, "fused") for seq in stream.seqs])
    collector.close(aligner.close_remaining())
    collector.received("align.0", 1, aligner.received())
    counts = [collector.ledger.counts(s)["transport_lost"] for s in rig.streams()]
    assert sum(counts) == lost + forgotten, "the reasons add up either way"
    assert sum(collector.unaccounted({}).values()) == forgotten
