"""Another host's clock, from exchanges of stamps with it.

An exchange is four stamps: `t1` sent here, `t2` received there, `t3` answered there, `t4` received here. No delay is
negative, so the other clock is ahead of this one by at most `t2 - t1` (at `t1`) and by at least `t3 - t4` (at `t4`).
Two clocks of steady rates differ by a straight line in time, which all upper bounds lie above and all lower bounds lie
below: a corridor (as in Harrison and Newman, "TICSync: knowing when things happened", ICRA 2011). Its slope is the
one that makes it widest, its middle the offset. Either side is held by the exchanges that were quick in *its*
direction, so one that was slow on the way there still tells something by its way back. What the middle cannot show is a
difference between the least delays of both directions; it is at most the corridor's half width, which is `bound_ns`.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from sensorfuse.align.hull import lower_hull

WINDOW_NS = 60_000_000_000
MAX_KEPT = 256
GATE_NS = 50_000_000  # over the least round trip seen lately; what was slow one way still tells something by the other
LATELY = 20  # exchanges
JUMP_NS = 100_000_000
CONSISTENT = 5
MAX_SKEW = 500e-6
PRIOR_SKEW = 50e-6  # one sigma of the rate difference of two clocks of which nothing is known
WANDER = 1e-6  # by how much a rate may differ from what it was over the window
LOCKED_AFTER = 8
COASTING_NS = 5_000_000_000  # without an exchange
FIRST_PERIOD_NS, LAST_PERIOD_NS = 20_000_000, 1_000_000_000
UNKNOWN_NS = 1e18
RESOLUTION_NS = 1000  # stamps are no finer
BURST = 16  # exchanges at the first period
SLOWING = 1.1  # from then on, period over period

OFFSET_SPREAD, SKEW_SPREAD = 5.0, 5.0  # sigmas found in simulation, over the typical excess delay per exchange

Point = tuple[float, float]
ExchangeState = Literal["learning", "locked", "coasting"]


def ping_period_ns(exchanges: int) -> int:
    """How long to wait for the next exchange after so many: a burst, then ever slower down to one in a second."""
    return min(LAST_PERIOD_NS, round(FIRST_PERIOD_NS * SLOWING ** min(64, max(0, exchanges - BURST))))


@dataclass(frozen=True)
class _Exchange:
    """One exchange's bounds of the offset, each at the time (here) at which it holds, all ns."""

    sent_ns: int
    upper_ns: int
    received_ns: int
    lower_ns: int

    @property
    def round_trip_ns(self) -> int:
        return self.upper_ns - self.lower_ns

    @property
    def middle_ns(self) -> int:
        return (self.upper_ns + self.lower_ns) // 2

    def agrees_with(self, earlier: _Exchange) -> bool:
        """Whether one clock of a rate within reason can have made both."""
        apart = max(self.lower_ns - earlier.upper_ns, earlier.lower_ns - self.upper_ns)
        return apart <= MAX_SKEW * (self.received_ns - earlier.sent_ns)


@dataclass(frozen=True)
class OffsetLine:
    """Other clock less this one: `offset_ns` at `at_ns` on this clock, growing by `skew` seconds per second."""

    at_ns: int
    offset_ns: int
    skew: float

    def offset(self, local_ns: int) -> int:
        return self.offset_ns + round(self.skew * (local_ns - self.at_ns))


class TimeExchange:
    """Feed it every exchange with one other host; all times are integer nanoseconds.

    `exchanges` counts those taken in, `refused` those not (too slow, impossible, or at odds with the others), `resets`
    how often a clock has jumped: `CONSISTENT` exchanges in a row that agree, at odds with all before, begin anew.
    """

    def __init__(self) -> None:
        self.exchanges = 0
        self.refused = 0
        self.resets = 0
        self.line: OffsetLine | None = None
        self._kept: deque[_Exchange] = deque(maxlen=MAX_KEPT)
        self._round_trips: deque[int] = deque(maxlen=LATELY)
        self._odd: list[_Exchange] = []
        self._since_reset = 0
        self._prior_skew = 0.0
        self._skew_sigma = PRIOR_SKEW
        self._slack = MAX_SKEW  # by how much the rate may differ from `line.skew` at most
        self._sigma_ns = UNKNOWN_NS
        self._above_ns = self._below_ns = 0.0  # from the line to the corridor's sides at `line.at_ns`

    @property
    def skew(self) -> float:
        """Seconds per second by which the other clock runs faster."""
        return self.line.skew if self.line is not None else 0.0

    @property
    def round_trip_ns(self) -> int:
        """The least of late; 0 before the first exchange."""
        return min(self._round_trips, default=0)

    def offset_ns(self, local_ns: int) -> int:
        """Other clock less this one, at a time of this one; 0 before the first exchange."""
        return self.line.offset(local_ns) if self.line is not None else 0

    def sigma_ns(self, local_ns: int) -> int:
        """One sigma of `offset_ns`, less what a difference between the directions' least delays adds."""
        return round(math.hypot(self._sigma_ns, self._skew_sigma * self._age_ns(local_ns)))

    def bound_ns(self, local_ns: int) -> int:
        """`offset_ns` is wrong by no more than this, whichever way the delays differ."""
        if self.line is None:
            return round(UNKNOWN_NS)
        return max(1, math.ceil(max(self._above_ns, self._below_ns) + self._slack * self._age_ns(local_ns)))

    def state(self, local_ns: int) -> ExchangeState:
        if self._since_reset < LOCKED_AFTER:
            return "learning"
        return "coasting" if self._age_ns(local_ns) > COASTING_NS else "locked"

    def push(self, t1: int, t2: int, t3: int, t4: int) -> bool:
        """Take an exchange in; False where it tells nothing or is not believed."""
        exchange = _Exchange(t1, t2 - t1, t4, t3 - t4)
        last = self._kept[-1] if self._kept else None
        if not t1 <= t4 or not t2 <= t3 or exchange.round_trip_ns < 0 or (last is not None and t1 <= last.sent_ns):
            self.refused += 1
            return False
        self._round_trips.append(exchange.round_trip_ns)
        if exchange.round_trip_ns > self.round_trip_ns + GATE_NS or self._doubted(exchange):
            self.refused += 1
            return False
        self.exchanges += 1
        self._since_reset += 1
        self._kept.append(exchange)
        while self._kept[0].sent_ns < t1 - WINDOW_NS:
            self._kept.popleft()
        if len(self._kept) == 1:
            self._prior_skew = self.skew  # after a long silence: of all that was known this lasts
        self._fit()
        return True

    def _age_ns(self, local_ns: int) -> int:
        return max(0, local_ns - self.line.at_ns) if self.line is not None else 0

    def _doubted(self, exchange: _Exchange) -> bool:
        """Whether an exchange contradicts the corridor; enough that agree become what the corridor is made of."""
        if self.line is None:
            return False
        at = exchange.received_ns
        offset, slack = self.offset_ns(at), self._slack * self._age_ns(at)
        outside = max(
            exchange.lower_ns - offset - self._above_ns - slack, offset - self._below_ns - slack - exchange.upper_ns
        )
        if outside <= 0 and abs(exchange.middle_ns - offset) <= JUMP_NS:
            if self._odd and not exchange.agrees_with(self._odd[-1]):
                self._odd.clear()  # one slow enough to agree with both says nothing against them
            return False
        if self._odd and not exchange.agrees_with(self._odd[-1]):
            self._odd.clear()
        self._odd.append(exchange)
        if len(self._odd) < CONSISTENT:
            return True
        self.resets += 1
        self._since_reset = len(self._odd) - 1
        self._prior_skew = self.skew  # a clock that jumps keeps its rate
        self._kept.clear()
        self._kept.extend(self._odd[:-1])
        self._odd.clear()
        return False

    def _fit(self) -> None:
        """The widest corridor of one slope: linear programming in two unknowns, by the edges of two hulls."""
        at, base = self._kept[-1].received_ns, self._kept[-1].middle_ns
        upper = [(float(e.sent_ns - at), float(e.upper_ns - base)) for e in self._kept]
        lower = [(float(e.received_ns - at), float(e.lower_ns - base)) for e in self._kept]
        above, below = lower_hull(upper), [(x, -y) for x, y in lower_hull([(x, -y) for x, y in lower])]

        def sides(skew: float) -> tuple[float, float]:
            return min(y - skew * x for x, y in above), max(y - skew * x for x, y in below)

        def width(skew: float) -> float:
            high, low = sides(skew)
            return high - low

        edges = [(y1 - y0) / (x1 - x0) for hull in (above, below) for (x0, y0), (x1, y1) in pairwise(hull)]
        skew = max((s for s in edges if abs(s) <= MAX_SKEW), key=width, default=self._prior_skew)
        delay = math.hypot(
            _typical_excess([y - skew * x for x, y in upper]), _typical_excess([skew * x - y for x, y in lower])
        )
        count, times = len(upper), [x for x, _ in upper]
        spread = statistics.pstdev(times)
        found_sigma = SKEW_SPREAD * max(1.0, delay) / (count * spread) if spread > 0 else MAX_SKEW
        trust = PRIOR_SKEW**2 / (PRIOR_SKEW**2 + found_sigma**2)
        skew = self._prior_skew + trust * (skew - self._prior_skew)
        skew_sigma = trust**0.5 * found_sigma
        high, low = sides(skew)
        middle = (high + low) / 2
        self.line = OffsetLine(at, base + round(middle), skew)
        self._skew_sigma = math.hypot(skew_sigma, WANDER)
        spread_ns = math.hypot(OFFSET_SPREAD * delay, (high - low) / 2) / count
        self._sigma_ns = max(1.0, math.hypot(spread_ns, skew_sigma * statistics.fmean(times)))
        steepest, flattest = _feasible_slopes(above, below)
        self._slack = max(min(steepest, MAX_SKEW) - skew, skew - max(flattest, -MAX_SKEW), 0.0) + WANDER
        self._above_ns = min(y - skew * x - self._slack * x for x, y in above) - middle + RESOLUTION_NS
        self._below_ns = middle - max(y - skew * x + self._slack * x for x, y in below) + RESOLUTION_NS


def _typical_excess(delays: list[float]) -> float:
    """How far the lower quartile is above the least."""
    ordered = sorted(delays)
    return ordered[max(len(ordered) // 4, min(1, len(ordered) - 1))] - ordered[0]


def _feasible_slopes(above: list[Point], below: list[Point]) -> tuple[float, float]:
    """The greatest and the least slope of a line that passes between two hulls."""
    steepest, flattest = math.inf, -math.inf
    for x, y in above:
        for x0, y0 in below:
            if x > x0:
                steepest = min(steepest, (y - y0 + 2 * RESOLUTION_NS) / (x - x0))
            elif x < x0:
                flattest = max(flattest, (y - y0 + 2 * RESOLUTION_NS) / (x - x0))
    return steepest, flattest
