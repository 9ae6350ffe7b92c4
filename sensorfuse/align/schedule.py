"""When the next tick is: the policies.

A schedule names one anchor at a time: the reference time of the next tick, from when on it may go out, and its
deadline. It hears of the samples of the streams that it follows (`follows`), and when a tick went out. Plain state
machines: what they answer follows from what they were told, never from a clock.
"""

from __future__ import annotations

import bisect
import heapq
from typing import NamedTuple, Protocol

from sensorfuse.rig import Rig

FAR_NS = 1 << 62
IDLE_PERIODS = 5  # three messages lost in a row, and jitter, are no silence
GONE_PERIODS = 10  # silent for so long, the reference stream is not waited for any more
IDLE_MIN_NS = 50_000_000
MAX_PENDING = 1024
MAX_DELAY_NS = 1_000_000_000
DELAY_UP, DELAY_DOWN = 0.25, 1 / 64  # how fast the usual delay is learned


class Anchor(NamedTuple):
    """The next tick: its reference time, when it may go out at the earliest, and when at the latest."""

    t_ns: int
    opens_ns: int
    deadline_ns: int


NEVER = Anchor(FAR_NS, FAR_NS, FAR_NS)


class Schedule(Protocol):
    """`least_gap_ns`: two ticks never lie closer together. `counted`: ids count ticks, instead of naming times."""

    follows: frozenset[str]
    least_gap_ns: int
    counted: bool

    def anchor(self) -> Anchor: ...

    def offer(self, at_ns: int, now_ns: int) -> bool:
        """A sample at `at_ns` of a stream that is followed came in; True when the anchor may have changed."""
        ...

    def miss(self, at_ns: int, now_ns: int) -> bool:
        """One came in after the ticks that it was for, as all do lately; True when the anchor may have changed."""
        ...

    def went_out(self, t_ns: int) -> None: ...


class RateSchedule:
    """Ticks at a fixed cadence from `origin_ns`; the `first` tick to come is a number on that grid."""

    follows: frozenset[str] = frozenset()
    counted = False

    def __init__(self, origin_ns: int, period_ns: int, deadline_ns: int, first: int) -> None:
        self.least_gap_ns = period_ns
        self._next_ns = origin_ns + first * period_ns
        self._deadline_ns = deadline_ns

    def anchor(self) -> Anchor:
        return Anchor(self._next_ns, self._next_ns, self._next_ns + self._deadline_ns)

    def offer(self, at_ns: int, now_ns: int) -> bool:
        return False

    def miss(self, at_ns: int, now_ns: int) -> bool:
        return False

    def went_out(self, t_ns: int) -> None:
        self._next_ns = t_ns + self.least_gap_ns


class ReferenceSchedule:
    """A tick per message of one stream, and a cadence of its own while that stream is silent.

    The cadence steps in where a message is overdue by more than it usually takes; it keeps behind the present by the
    usual delay, so that a stream that returns finds its place.
    """

    counted = True

    def __init__(self, stream: str, message_ns: int, origin_ns: int, period_ns: int, deadline_ns: int) -> None:
        self.follows = frozenset([stream])
        self.least_gap_ns = min(period_ns, message_ns // 2)
        self._message_ns = message_ns
        self._period_ns = period_ns
        self._deadline_ns = deadline_ns
        self._pending: list[tuple[int, int]] = []  # (reference time, arrival) of the messages to come, ascending
        self._last_ns = origin_ns - period_ns
        self._step_ns = period_ns
        self._delay_ns: float | None = None
        self._heard_ns = -FAR_NS

    def anchor(self) -> Anchor:
        if self._pending:
            at, arrived = self._pending[0]
            return Anchor(at, at, max(at, arrived) + self._deadline_ns)
        t = self._last_ns + self._step_ns
        due = t + round(self._delay_ns or 0)
        silent = self._heard_ns + max(GONE_PERIODS * self._message_ns, IDLE_MIN_NS)
        slack = min(self._deadline_ns, 3 * self._step_ns // 4)
        opens = min(due + slack, max(due, silent))
        return Anchor(t, opens, max(opens, t + self._deadline_ns))

    def offer(self, at_ns: int, now_ns: int) -> bool:
        if at_ns >= self._last_ns + self._message_ns // 2 and len(self._pending) < MAX_PENDING:
            bisect.insort(self._pending, (at_ns, now_ns))
        self._learn_delay(at_ns, now_ns)
        return True

    def miss(self, at_ns: int, now_ns: int) -> bool:
        self._learn_delay(at_ns, now_ns)
        return True

    def _learn_delay(self, at_ns: int, now_ns: int) -> None:
        self._heard_ns = now_ns
        delay = min(max(now_ns - at_ns, 0), MAX_DELAY_NS)
        if self._delay_ns is None:
            self._delay_ns = delay
        else:
            self._delay_ns += (DELAY_UP if delay > self._delay_ns else DELAY_DOWN) * (delay - self._delay_ns)

    def went_out(self, t_ns: int) -> None:
        followed = bool(self._pending) and self._pending[0][0] == t_ns
        self._step_ns = max(self._period_ns, self._message_ns) if followed else self._period_ns
        self._last_ns = t_ns
        del self._pending[: bisect.bisect_left(self._pending, (t_ns + self._message_ns // 2, 0))]


class AnySchedule:
    """A tick whenever any stream brought something newer than the last tick, but never sooner than a period after it:
    what comes in between is in the one that follows.
    """

    counted = True

    def __init__(self, streams: list[str], origin_ns: int, period_ns: int, deadline_ns: int) -> None:
        self.follows = frozenset(streams)
        self.least_gap_ns = period_ns
        self._deadline_ns = deadline_ns
        self._new: list[tuple[int, int]] = []  # heap of (reference time, arrival)
        self._last_ns = origin_ns - period_ns

    def anchor(self) -> Anchor:
        if not self._new:
            return NEVER
        at, arrived = self._new[0]
        t = max(at, self._last_ns + self.least_gap_ns)
        return Anchor(t, t, max(t, arrived) + self._deadline_ns)

    def offer(self, at_ns: int, now_ns: int) -> bool:
        if at_ns <= self._last_ns or len(self._new) >= MAX_PENDING * len(self.follows):
            return False
        heapq.heappush(self._new, (at_ns, now_ns))
        return self._new[0][0] == at_ns

    def miss(self, at_ns: int, now_ns: int) -> bool:
        return False

    def went_out(self, t_ns: int) -> None:
        self._last_ns = t_ns
        while self._new and self._new[0][0] <= t_ns:
            heapq.heappop(self._new)


def make_schedule(rig: Rig, origin_ns: int, first: int) -> Schedule:
    """The rig's policy from `origin_ns` on."""
    fusion = rig.fusion
    if fusion.policy == "reference":
        assert fusion.reference is not None
        message_ns = rig.sensors[fusion.reference].period_ns
        return ReferenceSchedule(fusion.reference, message_ns, origin_ns, fusion.period_ns, fusion.deadline_ns)
    if fusion.policy == "any":
        return AnySchedule(rig.fused_streams(), origin_ns, fusion.period_ns, fusion.deadline_ns)
    return RateSchedule(origin_ns, fusion.period_ns, fusion.deadline_ns, first)
