"""A device's clock against the host's, from one-way stamps alone.

A message stamped `d` by the device is received at `r = h(d) + delay`, where `h` is the device's clock on the host's and
the delay is never less than a minimum. So the points `(d, r - d)` lie on or above a line: skew is its slope, and the
line is found as an edge of the lower convex hull of the points (Zhang, Liu and Xia, "Clock synchronization algorithms
for network measurements", INFOCOM 2002). Here the hull is taken over the minima of one-second blocks of the last
minute, so that it follows a clock whose skew wanders and forgets what was before a jump.

The minimum delay itself cannot be seen from one side: the line is the clock plus that constant.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sensorfuse.align.hull import extend_hull, lower_hull

BLOCK_NS = 1_000_000_000
WINDOW_BLOCKS = 60
WINDOW_NS = WINDOW_BLOCKS * BLOCK_NS
SETTLED_NS = 10_000_000_000  # with less than this, the slope leans on what it was before
MAX_SKEW = 300e-6
STEADY_NS = 20_000_000_000  # from so much on, skew changes by no more than an oscillator's that warms up
MAX_SKEW_RATE = 0.5e-6  # per second; what seems faster is a delay that has grown
JUMP_NS = 250_000_000
AGREE_NS = 50_000_000
CONSISTENT = 5
RECENT_BLOCKS = 10  # of which the spread of minima tells the line's sigma
FIRST_SIGMA_NS = 1_000_000.0
WANDER = 1e-6  # by how much skew may change while nothing is heard

ClockState = Literal["learning", "locked", "suspect"]


@dataclass(frozen=True)
class ClockEstimate:
    """A stamp on the host's clock, later by the unseen minimum delay, and one sigma of it."""

    host_ns: int
    sigma_ns: int
    state: ClockState


class ClockModel:
    """One device's clock. Feed it every message; all times are integer nanoseconds.

    `resets` counts how often the device's or the host's clock jumped; `skew` is seconds per second by which the host's
    clock runs faster than the device's.

    The line is `offset(d) = base_ns + over_ns + skew * (d - at_ns)`. A message stamped before `block_end_ns` within
    `JUMP_NS` of the line, with an offset of at least `block_least_ns`that follows no `suspect` one moves nothing but
    `last_ns`: nearly all are such, and whoever has many to place may do so without `take`.
    """

    __slots__ = (
        "_begun",
        "_blocks",
        "_closed_hull",
        "_first_ns",
        "_odd",
        "_sigma_ns",
        "at_ns",
        "base_ns",
        "block_end_ns",
        "block_least_ns",
        "last_ns",
        "over_ns",
        "resets",
        "skew",
    )

    def __init__(self) -> None:
        self.resets = 0
        self.skew = 0.0
        self._begun = False
        self.base_ns = 0  # apart: floats would not hold nanoseconds of an epoch
        self.at_ns = 0
        self.over_ns = 0.0
        self._blocks: deque[tuple[int, int]] = deque(maxlen=WINDOW_BLOCKS)  # (stamp, offset) of each block's least
        self._closed_hull: list[tuple[int, int]] = []  # of all blocks but the newest
        self.block_end_ns = 0
        self.block_least_ns = 0  # the newest block's least offset, base and all
        self._first_ns = 0
        self._odd: deque[tuple[int, int]] = deque(maxlen=CONSISTENT)  # the run of disbelieved (stamp, offset)
        self.last_ns: int | None = None  # the newest stamp taken
        self._sigma_ns = FIRST_SIGMA_NS

    @property
    def in_doubt(self) -> bool:
        """Whether the last message was `suspect`."""
        return bool(self._odd)

    def offset_ns(self, stamp_ns: int) -> int:
        """Host less device at a stamp, with the minimum delay; 0 before the first message."""
        return self.base_ns + round(self.over_ns + self.skew * (stamp_ns - self.at_ns))

    def sigma_ns(self, stamp_ns: int) -> int:
        """One sigma of `offset_ns`; it grows with the time since the last message."""
        away = abs(stamp_ns - self.last_ns) if self.last_ns is not None else 0
        return round(self._sigma_ns + WANDER * away)

    def push(self, stamp_ns: int, recv_ns: int) -> ClockEstimate:
        """Take a message in and give its stamp on the host's clock.

        A stamp that is far from the line changes nothing and is `suspect`, until `CONSISTENT` in a row agree: then the
        clock has jumped and the model starts anew from there.
        """
        believed = self.take(stamp_ns, recv_ns)
        settled = stamp_ns - self._first_ns >= SETTLED_NS
        state: ClockState = ("locked" if settled else "learning") if believed else "suspect"
        return ClockEstimate(stamp_ns + self.offset_ns(stamp_ns), self.sigma_ns(stamp_ns), state)

    def take(self, stamp_ns: int, recv_ns: int) -> bool:
        """Take a message in. False when its stamp is far from the line."""
        offset = recv_ns - stamp_ns
        if not self._begun:
            self._begin(stamp_ns, offset, 0.0)
        elif self._disbelieved(stamp_ns, offset):
            return False
        else:
            self._take(stamp_ns, offset - self.base_ns)
        self.last_ns = stamp_ns
        return True

    def restart(self, messages: Sequence[tuple[int, int]]) -> None:
        """Begin anew after a jump that the caller has seen, from messages (stamp, receive time) that agree. The skew
        stays what it was until it is known better.
        """
        self._begin(messages[-1][0], min(r - d for d, r in messages), self.skew)
        self.resets += 1

    def _begin(self, stamp_ns: int, offset: int, skew: float) -> None:
        self._begun = True
        self.base_ns = self.block_least_ns = offset
        self._blocks.clear()
        self._blocks.append((stamp_ns, 0))
        self._closed_hull.clear()
        self.block_end_ns = stamp_ns + BLOCK_NS
        self._first_ns = self.last_ns = self.at_ns = stamp_ns
        self.over_ns, self.skew = 0.0, skew
        self._sigma_ns = FIRST_SIGMA_NS
        self._odd.clear()

    def _disbelieved(self, stamp_ns: int, offset: int) -> bool:
        """Whether a stamp is too far from the line to be taken; begins anew when enough of them agree."""
        if abs(offset - self.offset_ns(stamp_ns)) <= JUMP_NS:
            self._odd.clear()
            return False
        self._odd.append((stamp_ns, offset))
        offsets = [o for _, o in self._odd]
        spread = max(offsets) - min(offsets)
        # messages held back and let go all at once come nearer to the line as fast as their stamps go on
        if len(self._odd) < CONSISTENT or spread > min(AGREE_NS, (stamp_ns - self._odd[0][0]) // 2):
            return True
        self._begin(stamp_ns, min(offsets), self.skew)
        self.resets += 1
        return False

    def _take(self, stamp_ns: int, offset: int) -> None:
        blocks = self._blocks
        if stamp_ns >= self.block_end_ns:
            self.block_end_ns = stamp_ns - (stamp_ns - self.block_end_ns) % BLOCK_NS + BLOCK_NS
            self._closed_hull = lower_hull(blocks)
            self._fit(self._closed_hull)
            blocks.append((stamp_ns, offset))
        elif offset < blocks[-1][1] and (len(blocks) < 2 or stamp_ns > blocks[-2][0]):
            blocks[-1] = (stamp_ns, offset)
        else:
            return
        self.block_least_ns = self.base_ns + offset
        if offset < self.over_ns + self.skew * (stamp_ns - self.at_ns):
            hull = self._closed_hull.copy()
            extend_hull(hull, blocks[-1])
            self._fit(hull)

    def _fit(self, hull: list[tuple[int, int]]) -> None:
        """The hull's edge over the middle of the window gives the slope; a feasible support line of that slope, the
        offset.
        """
        first_ns, at_ns = hull[0][0], hull[-1][0]
        span = at_ns - first_ns
        if span:
            i = bisect.bisect_left(hull, (first_ns + span / 2,))
            (x0, y0), (x1, y1) = hull[i - 1], hull[i]
            slope = min(max((y1 - y0) / (x1 - x0), -MAX_SKEW), MAX_SKEW)
            change = min(1.0, span / SETTLED_NS) ** 2 * (slope - self.skew)
            if span > STEADY_NS:
                most = MAX_SKEW_RATE * (at_ns - self.at_ns) / 1e9
                change = min(max(change, -most), most)
            self.skew += change
        skew = self.skew
        self.at_ns, self.over_ns = at_ns, min([y - skew * (x - at_ns) for x, y in hull])
        recent = list(self._blocks)[-1 - RECENT_BLOCKS : -1]
        if len(recent) >= 3:
            above = [y - self.over_ns - skew * (x - at_ns) for x, y in recent]
            mean = sum(above) / len(above)
            spread = (sum([(v - mean) ** 2 for v in above]) / (len(above) - 1)) ** 0.5
            self._sigma_ns = max(spread / len(above) ** 0.5, 1.0)


class Counter:
    """A device counter that wraps after `turn_ns`, as time.

    A wrap is told from a message out of order by the time of receipt, so none of those adds a whole turn.
    """

    def __init__(self, turn_ns: int) -> None:
        self._turn_ns = turn_ns
        self._last: tuple[int, int] | None = None  # unwrapped reading, receive time

    def unwrap_ns(self, reading_ns: int, recv_ns: int) -> int:
        """Nanoseconds since the turn of the first reading began."""
        whole = reading_ns
        if self._last is not None:
            expected = self._last[0] + recv_ns - self._last[1]
            whole += round((expected - reading_ns) / self._turn_ns) * self._turn_ns
        if self._last is None or whole > self._last[0]:
            self._last = (whole, recv_ns)
        return whole
