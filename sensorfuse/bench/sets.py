"""How good the aligner's sets are and how soon they come, beside ROS's ApproximateTime; that bad stamps do not stop
the output; and that the same log gives the same sets at any speed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np

from sensorfuse.align.aligner import Aligner
from sensorfuse.bench import header_rate
from sensorfuse.bench.goals import Goal
from sensorfuse.bench.set_scenarios import (
    SCENARIOS,
    START_NS,
    Score,
    drive,
    envelopes,
    make_traffic,
    our_sets,
    rig_of,
    ros_sets,
    score,
)
from sensorfuse.messages import Tick
from sensorfuse.wire import Envelope

QUEUES = (10, 100)
SPEEDS = (0.5, 1.0, 4.0)
POLL_NS = 1_000_000  # of the host's time
MEAN_WAIT_MS, P99_WAIT_MS = 1.0, 15.0


def compare(name: str, duration_s: float, trials: int) -> dict[str, Score]:
    """Mean scores of ours and of ROS's policy with queues of 10 and 100, by name."""
    rig = rig_of()
    found: dict[str, list[Score]] = {}
    for seed in range(trials):
        traffic = make_traffic(SCENARIOS[name], duration_s, seed)
        found.setdefault("ours", []).append(score(traffic, our_sets(traffic, rig), rig))
        for queue in QUEUES:
            found.setdefault(f"ROS q={queue}", []).append(score(traffic, ros_sets(traffic, queue), rig))
    return {
        who: Score(**{f.name: float(np.mean([getattr(s, f.name) for s in scores])) for f in fields(Score)})
        for who, scores in found.items()
    }


def _beside(found: dict[str, Score], field: str, digits: int = 3) -> str:
    others = ", ".join(f"{who} {getattr(s, field):.{digits}f}" for who, s in found.items() if who != "ours")
    return f"({others})"


def set_goals(duration_s: float, trials: int) -> list[Goal]:
    """Members nearest to the reference, and how long after the last of them the set is there."""
    goals = []
    for name in SCENARIOS:
        found = compare(name, duration_s, trials)
        ours = found["ours"]
        if name.startswith("S4"):
            goals.append(Goal(f"{name}: sets {_beside(found, 'emitted')}", 0.999, ours.emitted, at_least=True))
            goals.append(Goal(f"{name}: and who is missing is right", 0.999, ours.mask, at_least=True))
        else:
            least = 0.99 if name.startswith("S5") else 0.999
            goals.append(Goal(f"{name}: nearest {_beside(found, 'nearest')}", least, ours.nearest, at_least=True))
        if name[:2] in ("S1", "S2", "S3"):
            mean, p99 = _beside(found, "wait_mean_ms", 1), _beside(found, "wait_p99_ms", 1)
            goals.append(Goal(f"{name}: wait, mean {mean}", MEAN_WAIT_MS, ours.wait_mean_ms, "ms"))
            goals.append(Goal(f"{name}: wait, p99 {p99}", P99_WAIT_MS, ours.wait_p99_ms, "ms"))
    return goals


def _loop(log: list[Envelope]) -> None:
    half = log[len(log) // 2].recv_ns
    for header in log:
        if header.recv_ns > half:
            header.stamp_ns -= 30_000_000_000


def _future(stream: str) -> Callable[[list[Envelope]], None]:
    def spoil(log: list[Envelope]) -> None:
        own = [h for h in log if h.stream == stream]
        own[len(own) // 2].stamp_ns += 1_000_000_000_000

    return spoil


BAD_STAMPS = {
    "all stamps set back by 30 s": _loop,
    "one LiDAR stamp 1000 s ahead": _future("lidar"),
    "one IMU stamp 1000 s ahead": _future("imu"),
}


def gap_goals(duration_s: float) -> list[Goal]:
    """The longest time without output, the worse of the policies that give one at 10 Hz."""
    goals = []
    for what, spoil in BAD_STAMPS.items():
        worst = 0.0
        for policy in ("rate", "reference"):
            rig = rig_of(policy)
            for name in ("S1 equal delays", "S2 LiDAR 60 ms, camera 30 ms"):
                log = envelopes(make_traffic(SCENARIOS[name], duration_s, 0), rig)
                spoil(log)
                out = np.array([t.emit_ns for t in drive(Aligner(rig, START_NS), log)])
                worst = max(worst, float(np.diff(out).max()) / 1e9)
        goals.append(Goal(f"longest gap in the output, {what}", 0.25, worst, "s"))
    return goals


def _content(ticks: list[Tick]) -> list[tuple[object, ...]]:
    return [
        (t.tick_id, t.t_ref_ns, t.deadline_hit, [(s.stream, s.status, s.boot, s.seqs, s.dt_ns) for s in t.streams])
        for t in ticks
    ]


def speed_goals(duration_s: float) -> list[Goal]:
    """One log at several speeds: polled every millisecond of the host's time."""
    goals = []
    for policy in ("rate", "reference", "any"):
        rig = rig_of(policy)
        differ = 0
        for scenario in SCENARIOS.values():
            log = envelopes(make_traffic(scenario, duration_s, 0), rig)
            runs = [_content(drive(Aligner(rig, START_NS), log, round(POLL_NS * speed))) for speed in SPEEDS]
            length = min(map(len, runs))  # the last ones may still be waiting when the log ends
            differ += sum(any(r[i] != runs[0][i] for r in runs) for i in range(length))
            differ += max(map(len, runs)) - length > 1
        goals.append(Goal(f"sets that differ at 0.5x, 1x, 4x, policy {policy}", 0, differ))
    return goals


def measure(duration_s: float = 60.0, trials: int = 8) -> list[Goal]:
    """All of it, over the scenarios S1 to S6."""
    return [
        *set_goals(duration_s, trials),
        *gap_goals(min(duration_s, 20.0)),
        *speed_goals(min(duration_s, 20.0)),
        *header_rate.measure(),
    ]
