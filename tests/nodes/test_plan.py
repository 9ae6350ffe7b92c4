"""What a run amounted to, as its plan's outcome tells it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sensorfuse.nodes.plan import HELD_S, Outcome

from sensorfuse.collector import Collector
from sensorfuse.report.record import Event
from sensorfuse.rig import Rig


def outcome_of(rig: Rig, events: list[Event], received: int) -> Outcome:
    """Of a run in which one stream published 100 messages, of which nobody ended any."""
    collector = Collector(rig.streams())
    collector.published("lidar", 1, 100)
    collector.received("align.0", 10, {"lidar": received})
    for tick in (0, 1, 5, 6, 12):
        collector.frame_ids.add(tick)
    return Outcome(collector, events, 10, 0, [Path("fused.mcap")], {}, [], {})


def test_ticks_missed_and_the_longest_gap(small_rig: Rig) -> None:
    outcome = outcome_of(small_rig, [], 0)
    assert (outcome.ticks_missed, outcome.longest_gap) == (6, 3)


@pytest.mark.parametrize(
    ("process", "what", "counts"),
    [
        ("align.0", "died (killed by SIGKILL)", True),
        ("fusion.1", "died (exit code 1)", True),
        ("fusion.0", "did not stop when told and was killed", True),
        ("supervisor", "took over 9 of 9 processes from 77", True),
        ("align.1", "took over from align.0", False),
        ("lidar", "died (killed by SIGKILL)", False),
    ],
)
def test_only_what_a_process_held_when_it_was_killed_may_be_lost(
    small_rig: Rig, process: str, what: str, counts: bool
) -> None:
    assert outcome_of(small_rig, [], 100).unaccounted(small_rig)["lidar"] == 100, "all were received"
    assert outcome_of(small_rig, [], 20).unaccounted(small_rig)["lidar"] == 20
    killed = outcome_of(small_rig, [Event(0, process, what)], 100).unaccounted(small_rig)["lidar"]
    held = round(HELD_S * 1e9 / small_rig.sensors["lidar"].period_ns)
    assert killed == (100 - held if counts else 100)
