"""Traffic of four streams with the delays of real rigs, and how good the sets are that a policy makes of it.

A LiDAR at 10 Hz, a camera at 30 Hz, an IMU at 200 Hz and audio at 50 Hz, all as point measurements: the sets are wanted
at the LiDAR's stamps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.aligner import Aligner
from sensorfuse.bench.approximate_time import ApproximateTime, Message
from sensorfuse.messages import Tick
from sensorfuse.rig import Rig, parse_rig
from sensorfuse.wire import Envelope

RATES_HZ = {"lidar": 10, "camera": 30, "imu": 200, "audio": 50}
STREAMS = tuple(RATES_HZ)
NEAR_NS = 1_000_000  # as good as the nearest, or as the smallest span
RATE_ERROR = 200e-6
START_NS = 1_000_000_000_000
SETTLE_NS = 2_000_000_000  # at both ends, left out of the score


@dataclass(frozen=True)
class Scenario:
    """Delays in milliseconds (mean, standard deviation) per stream; what is not named has 5 ms.

    `late_share` of all messages come `late_ms` later than they would, out of order; `dead_s`: the camera is silent.
    """

    delays_ms: dict[str, tuple[float, float]] = field(default_factory=dict)
    drop_share: float = 0.0
    late_share: float = 0.0
    late_ms: float = 0.0
    dead_s: tuple[float, float] | None = None


USUAL = {"lidar": (60.0, 15.0), "camera": (30.0, 8.0)}
SCENARIOS = {
    "S1 equal delays": Scenario(),
    "S2 LiDAR 60 ms, camera 30 ms": Scenario(USUAL),
    "S3 the same, 10 % dropped": Scenario(USUAL, drop_share=0.1),
    "S4 the same, camera dead for 10 s": Scenario(USUAL, dead_s=(20.0, 30.0)),
    "S5 the same, 5 % late by 60 ms": Scenario(USUAL, late_share=0.05, late_ms=60.0),
    "S6 LiDAR 400 ms late": Scenario({**USUAL, "lidar": (400.0, 15.0)}),
}


@dataclass(frozen=True)
class Traffic:
    """Per stream the stamps (N,) that arrive at all, by number, and `arrivals`: (arrival, stream, number), in order."""

    stamps_ns: dict[str, NDArray[np.int64]]
    arrival_ns: dict[str, NDArray[np.int64]]

    def arrivals(self) -> Iterator[tuple[int, str, int]]:
        rows = [(int(t), s, k) for s in STREAMS for k, t in enumerate(self.arrival_ns[s])]
        return iter(sorted(rows))


def make_traffic(scenario: Scenario, duration_s: float, seed: int) -> Traffic:
    """Messages of each stream from a phase of its own; all but the late ones come in order."""
    rng = np.random.default_rng(seed)
    stamps: dict[str, NDArray[np.int64]] = {}
    arrivals: dict[str, NDArray[np.int64]] = {}
    for stream, rate in RATES_HZ.items():
        count = round(duration_s * rate)
        period_ns = 1e9 / rate * (1 + rng.uniform(-RATE_ERROR, RATE_ERROR))  # so that the phases drift past each other
        t = START_NS + np.round((np.arange(count) + rng.random()) * period_ns).astype(np.int64)
        mean, spread = scenario.delays_ms.get(stream, (5.0, 0.0))
        delay = np.maximum(1.0, rng.normal(mean, spread, count)) * 1e6
        received = np.maximum.accumulate(t + np.round(delay).astype(np.int64))
        received = received + (rng.random(count) < scenario.late_share) * round(scenario.late_ms * 1e6)
        kept = rng.random(count) >= scenario.drop_share
        if stream == "camera" and scenario.dead_s is not None:
            since_s = (t - START_NS) / 1e9
            kept &= (since_s < scenario.dead_s[0]) | (since_s >= scenario.dead_s[1])
        stamps[stream], arrivals[stream] = t[kept], received[kept]
    return Traffic(stamps, arrivals)


@dataclass(frozen=True)
class SetMade:
    """What a policy gave out: per stream the number of the member (-1: none), and when."""

    members: dict[str, int]
    emit_ns: int


def rig_of(policy: str = "reference", rate_hz: float = 10.0) -> Rig:
    """The four streams, all chosen by nearness. One that was silent votes again as soon as it may: the check of what
    returns would leave it out of ticks that have a sample of it.
    """
    kinds = {name: "lidar" if name == "lidar" else "radar" for name in STREAMS}
    sensors = "".join(
        f"  {n}: {{modality: {kinds[n]}, rate_hz: {hz}, frame: {n}, T_base_sensor: {{}}, clock: reference, "
        f"health: {{recover_s: 0}}}}\n"
        for n, hz in RATES_HZ.items()
    )
    reference = ", reference: lidar" if policy == "reference" else ""
    fusion = f"fusion: {{policy: {policy}{reference}, rate_hz: {rate_hz}, modalities: [lidar, radar]}}\n"
    return parse_rig(f"name: sets\nsensors:\n{sensors}{fusion}")


def envelopes(traffic: Traffic, rig: Rig) -> list[Envelope]:
    """The headers in the order of their arrival."""
    return [
        Envelope(
            s, rig.sensors[s].modality, k, 0, int(traffic.stamps_ns[s][k]), now, now, s, "mid", "", {}, duration_ns=0
        )
        for now, s, k in traffic.arrivals()
    ]  # fmt: skip


def drive(aligner: Aligner, headers: list[Envelope], poll_ns: int | None = None) -> list[Tick]:
    """Ticks of a log: polled whenever one is due, or every `poll_ns` alone."""
    ticks: list[Tick] = []
    next_poll = headers[0].recv_ns
    for header in headers:
        now = header.recv_ns
        if poll_ns is None:
            while (due := aligner.next_due_ns()) < now:
                ticks += aligner.poll(due)
        while poll_ns is not None and next_poll < now:
            ticks += aligner.poll(next_poll)
            next_poll += poll_ns
        aligner.push(header, now)
        if poll_ns is None:
            ticks += aligner.poll(now)
    return ticks + aligner.poll(headers[-1].recv_ns)


def our_sets(traffic: Traffic, rig: Rig) -> list[SetMade]:
    """What the aligner makes of it: a set per tick that holds a LiDAR message."""
    sets = []
    for tick in drive(Aligner(rig, START_NS), envelopes(traffic, rig)):
        members = {s.stream: s.seqs[0] if s.seqs else -1 for s in tick.streams}
        sets.append(SetMade(members, tick.emit_ns))
    return sets


def ros_sets(traffic: Traffic, queue: int) -> list[SetMade]:
    """What ROS's policy makes of it."""
    policy = ApproximateTime(len(STREAMS), queue)
    sets = []
    for now, stream, number in traffic.arrivals():
        message = Message(int(traffic.stamps_ns[stream][number]), number)
        for members in policy.add(STREAMS.index(stream), message):
            sets.append(SetMade({s: m.number for s, m in zip(STREAMS, members, strict=True)}, now))
    return sets


@dataclass(frozen=True)
class Score:
    """Shares of the LiDAR's messages: with a set; with the nearest members; with the smallest span; with a right mask
    (a stream is left out when it has nothing that is not stale, and only then). `wait_ms`: from the arrival of a set's
    last member to the set.
    """

    emitted: float
    nearest: float
    span: float
    mask: float
    wait_mean_ms: float
    wait_p99_ms: float


def score(traffic: Traffic, sets: list[SetMade], rig: Rig) -> Score:
    """How good the sets are, the ends of the log aside."""
    stamps = traffic.stamps_ns
    by_lidar = {s.members["lidar"]: s for s in reversed(sets) if s.members["lidar"] >= 0}  # the first set of each
    begin, end = START_NS + SETTLE_NS, int(stamps["lidar"][-1]) - SETTLE_NS
    wanted = [k for k, t in enumerate(stamps["lidar"].tolist()) if begin <= t <= end]
    counts = dict.fromkeys(("emitted", "nearest", "span", "mask"), 0)
    waits = []
    for k in wanted:
        made = by_lidar.get(k)
        if made is None:
            continue
        t = int(stamps["lidar"][k])
        counts["emitted"] += 1
        waits.append(made.emit_ns - max(int(traffic.arrival_ns[s][i]) for s, i in made.members.items() if i >= 0))
        found = {s: abs(int(stamps[s][i]) - t) if i >= 0 else None for s, i in made.members.items()}
        least = {s: _least_distance(stamps[s], t) for s in STREAMS}
        fresh = {s: least[s] <= rig.sensors[s].max_age_ns for s in STREAMS}
        counts["mask"] += all((found[s] is not None) == fresh[s] for s in STREAMS)
        counts["nearest"] += all((d is None and not fresh[s]) or (d is not None and d <= least[s] + NEAR_NS)
                                 for s, d in found.items())  # fmt: skip
        if all(i >= 0 for i in made.members.values()):
            at = [int(stamps[s][i]) for s, i in made.members.items()]
            counts["span"] += max(at) - min(at) <= _least_span(stamps, t) + NEAR_NS
    shares = {name: n / len(wanted) for name, n in counts.items()}
    spent = np.array(waits or [0]) / 1e6
    return Score(**shares, wait_mean_ms=float(spent.mean()), wait_p99_ms=float(np.percentile(spent, 99)))


def _least_distance(stamps: NDArray[np.int64], t_ns: int) -> int:
    i = int(np.searchsorted(stamps, t_ns))
    return int(np.abs(stamps[max(0, i - 1) : i + 1] - t_ns).min())


def _least_span(stamps: dict[str, NDArray[np.int64]], t_ns: int) -> int:
    """The smallest span of a set with the LiDAR's message at `t`: for each first member, the earliest of all others."""
    others = [stamps[s] for s in STREAMS if s != "lidar"]
    first = np.concatenate(
        [s[np.searchsorted(s, t_ns - 100_000_000) : np.searchsorted(s, t_ns, "right")] for s in others]
    )
    first = np.append(first, t_ns)
    last = np.full(len(first), t_ns)
    for s in others:
        i = np.searchsorted(s, first)
        last = np.maximum(last, np.where(i < len(s), s[np.minimum(i, len(s) - 1)], np.iinfo(np.int64).max))
    return int((last - first).min())
