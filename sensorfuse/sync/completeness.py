"""How long a tick must wait for its streams: computed from a log's own arrivals, for every deadline at once.

For each tick and stream there is one right sample: the nearest to the tick, or for an IMU and audio the one that covers
it. What the tick has to wait for it is its receipt less the tick's time. Counting those waits answers, for any
deadline, how many ticks would have been complete.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sync.stream_plan import StreamPlan

REACH_MS = 300
GRID_MS = 5
HORIZON_NS = 2_000_000_000  # nothing is awaited for longer
WARM_UP_NS = 1_000_000_000
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class WaitReport:
    """Waits of one stream, or of all together. `share` (at each of the grid's waiting times) and `never` (no fitting
    sample at all) are of all ticks; the deadlines, in ms, are the shortest with which 99 % and 99.9 % are complete of
    those ticks for which there was a sample; None where even the longest wait is too short.
    """

    share: tuple[float, ...]
    never: float
    deadline_99_ms: int | None
    deadline_999_ms: int | None


@dataclass(frozen=True)
class CompletenessReport:
    """`grid_ms` are the waiting times after the tick; `all` is of the ticks that have every stream."""

    ticks: int
    rate_hz: float
    grid_ms: tuple[int, ...]
    all: WaitReport
    streams: dict[str, WaitReport]


class _Arrivals:
    """The latest samples of one stream in the order of their time."""

    def __init__(self, plan: StreamPlan) -> None:
        self._plan = plan
        self._windowed = plan.modality in ("imu", "audio")
        self._lag_ns = plan.period_ns if plan.modality == "audio" else 0  # sound bears one block of delay
        self._entries: list[tuple[int, int, int]] = []  # begin or middle, end, receipt

    def push(self, event_ns: int, span_ns: int, recv_ns: int) -> None:
        at = event_ns if self._windowed else event_ns + span_ns // 2
        bisect.insort(self._entries, (at, event_ns + span_ns, recv_ns))

    def wait_ns(self, t_ns: int) -> int | None:
        """How long after `t` the right sample came, 0 if before; None when there is none."""
        if self._windowed:
            t_sample = t_ns - self._lag_ns
            slack = self._plan.period_ns // 2
            n = bisect.bisect_right(self._entries, (t_sample + slack,))
            held = [r for _, end, r in self._entries[:n] if end + slack >= t_sample]
            covering = [r for at, end, r in self._entries[:n] if at <= t_sample <= end]
            receipts = covering or held
            return max(0, min(receipts) - t_ns) if receipts else None
        if not self._entries:
            return None
        at, _, recv = min(self._entries, key=lambda e: (abs(e[0] - t_ns), e[2]))
        return max(0, recv - t_ns) if abs(at - t_ns) <= self._plan.max_age_ns else None

    def forget(self, before_ns: int) -> None:
        del self._entries[: bisect.bisect_left(self._entries, (before_ns,))]


class _Waits:
    """Counts by whole milliseconds, rounded up."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(REACH_MS + 2, np.int64)  # the last: longer than the reach
        self._never = 0

    def push(self, wait_ns: int | None) -> None:
        if wait_ns is None:
            self._never += 1
        else:
            self._counts[min(-(-wait_ns // 1_000_000), REACH_MS + 1)] += 1

    def report(self) -> WaitReport:
        possible = int(self._counts.sum())
        ticks = max(possible + self._never, 1)
        arrived = np.cumsum(self._counts[: REACH_MS + 1])
        share = tuple(float(v) / ticks for v in arrived[::GRID_MS])
        return WaitReport(share, self._never / ticks, *(_shortest(arrived, possible, s) for s in (0.99, 0.999)))


def _shortest(arrived: NDArray[np.int64], possible: int, share: float) -> int | None:
    enough = np.flatnonzero(arrived >= share * possible) if possible else np.zeros(0)
    return int(enough[0]) if len(enough) else None


class Completeness:
    """Feed it every message in the order of receipt. Ticks come at the rig's cadence, one in each period, at every
    phase of it in turn: a live run's ticks begin at no particular one.
    """

    def __init__(self, plans: Mapping[str, StreamPlan], period_ns: int) -> None:
        self._period_ns = period_ns
        self._arrivals = {name: _Arrivals(plan) for name, plan in plans.items()}
        self._waits = {name: _Waits() for name in plans}
        self._all = _Waits()
        self._origin_ns: int | None = None
        self._next = 0
        self._ticks = 0

    def push(self, stream: str, event_ns: int, span_ns: int, recv_ns: int) -> None:
        if self._origin_ns is None:
            self._origin_ns = recv_ns + WARM_UP_NS
        self._arrivals[stream].push(event_ns, span_ns, recv_ns)
        while (t := self._t(self._next)) < recv_ns - HORIZON_NS:
            self._judge(t)

    def _t(self, k: int) -> int:
        assert self._origin_ns is not None
        return self._origin_ns + k * self._period_ns + int((k * GOLDEN % 1.0) * self._period_ns)

    def _judge(self, t_ns: int) -> None:
        self._next += 1
        self._ticks += 1
        waits = []
        for name, arrivals in self._arrivals.items():
            arrivals.forget(t_ns - HORIZON_NS)
            wait = arrivals.wait_ns(t_ns)
            self._waits[name].push(wait)
            waits.append(wait)
        known = [w for w in waits if w is not None]
        self._all.push(max(known) if len(known) == len(waits) and known else None)

    def report(self, end_ns: int) -> CompletenessReport | None:
        """Judges the ticks up to `end_ns` (of receipt) less the longest wait. None for a log too short for a tick."""
        while self._origin_ns is not None and (t := self._t(self._next)) < end_ns - REACH_MS * 1_000_000:
            self._judge(t)
        if not self._ticks:
            return None
        grid = tuple(range(0, REACH_MS + 1, GRID_MS))
        streams = {name: waits.report() for name, waits in self._waits.items()}
        return CompletenessReport(self._ticks, 1e9 / self._period_ns, grid, self._all.report(), streams)
