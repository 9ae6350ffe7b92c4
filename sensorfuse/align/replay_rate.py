"""Whether what comes is a log that is played faster or slower than it was recorded, with its original stamps.

Then the clocks of all its devices seem to run fast or slow by the same factor, far more than any oscillator does. One
stream alone may have nominal stamps of a wrong rate; several that agree have a player behind them. A stream's pace is
the slope of the lower hull of its delays (Zhang, Liu and Xia, INFOCOM 2002), as in `clock_model.py` but without bounds
on it, and it counts only where both halves of the last seconds have it too: a player that pauses, or that plays as fast
as it can, has none.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sensorfuse.align.hull import lower_hull

WINDOW_NS = 10_000_000_000  # of receipts, from which a pace is told
LEAST_SPAN_NS = 4_000_000_000
LEAST_MESSAGES = 20
STEP_NS = 20_000_000  # messages of a stream that come closer are not needed
REVIEW_NS = 1_000_000_000
REVIEWS = 2  # that must agree before anything changes
MAX_BACK_NS = 1_000_000_000  # a stamp so far back is a log that begins again
MAX_CLOCK = 1e-3  # no device's clock is off by more
ROUND = 5e-4  # players are asked for round rates
ALONE = 1e-2  # by so much a single stream must be off: stamps of a wrong nominal rate are not
DOUBT_QUANTILE = 0.1


@dataclass(frozen=True)
class Pace:
    """Seconds of stamps per second of receipts, and by what share that may be wrong."""

    rate: float
    doubt: float

    def agrees(self, rate: float) -> bool:
        return abs(self.rate / rate - 1) <= MAX_CLOCK + self.doubt


class ReplayRate:
    """Feed it every message of every stream. `rate` is the log's seconds per second of the host: 1.0 for live sensors,
    and as long as nothing else is sure. `streams` are those that agree on it, where it is not 1. It is enough to feed
    it those messages that do not come as was expected: where most are played at another pace, those are.

    Args:
        count: how many streams there are, of which most must agree; by default, of those that are heard.
    """

    def __init__(self, count: int = 1) -> None:
        self._count = count
        self.rate = 1.0
        self.streams: tuple[str, ...] = ()
        self._heard: dict[str, deque[tuple[int, int]]] = {}  # stamp, receive time
        self._review_ns: int | None = None
        self._candidate, self._times = 1.0, 0

    def push(self, stream: str, stamp_ns: int, recv_ns: int) -> bool:
        """Take a message in; True when that changed `rate`."""
        heard = self._heard.setdefault(stream, deque())
        if heard and stamp_ns < heard[-1][0] - MAX_BACK_NS:
            heard.clear()
        if not heard or recv_ns - heard[-1][1] >= STEP_NS:
            heard.append((stamp_ns, recv_ns))
            while recv_ns - heard[0][1] > WINDOW_NS:
                heard.popleft()
        if self._review_ns is None:
            self._review_ns = recv_ns + REVIEW_NS
        if recv_ns < self._review_ns:
            return False
        self._review_ns = recv_ns + REVIEW_NS
        return self._review(recv_ns)

    def _review(self, now_ns: int) -> bool:
        paces = {}
        for stream, heard in self._heard.items():
            while heard and now_ns - heard[0][1] > WINDOW_NS:
                heard.popleft()
            pace = pace_of(list(heard))
            if pace is not None:
                paces[stream] = pace
        rate, streams = common_rate(paces, self._count)
        if rate is None:
            return False
        same = abs(rate / self._candidate - 1) <= MAX_CLOCK
        self._times = self._times + 1 if same else 1
        self._candidate = rate
        if self._times < REVIEWS or abs(rate / self.rate - 1) <= MAX_CLOCK / 2:
            return False
        self.rate, self.streams = _rounded(rate), tuple(sorted(streams))
        return True


def pace_of(messages: list[tuple[int, int]]) -> Pace | None:
    """The pace of one stream's messages (stamp, receive time), in order of receipt; None where it has no steady one."""
    if len(messages) < LEAST_MESSAGES or messages[-1][1] - messages[0][1] < LEAST_SPAN_NS:
        return None
    first_stamp, first_recv = messages[0]
    points = sorted((d - first_stamp, (r - first_recv) - (d - first_stamp)) for d, r in messages)
    span = points[-1][0] - points[0][0]
    if span <= 0:
        return None
    half = len(points) // 2
    slopes = [_slope(part) for part in (points, points[:half], points[half:])]
    if any(s is None or s <= -1 for s in slopes):
        return None
    slope, *halves = (s for s in slopes if s is not None)
    over = np.array([offset - slope * stamp for stamp, offset in points])
    doubt = float(np.quantile(over, DOUBT_QUANTILE) - over.min()) / span
    if any(abs(s - slope) > (MAX_CLOCK + 4 * doubt) * (1 + slope) for s in halves):
        return None
    return Pace(1 / (1 + slope), doubt)


def _slope(points: list[tuple[int, int]]) -> float | None:
    """Of the lower hull's edge over the middle."""
    middle = (points[0][0] + points[-1][0]) / 2
    for (x0, y0), (x1, y1) in pairwise(lower_hull(points)):
        if x0 <= middle <= x1 and x1 > x0:
            return (y1 - y0) / (x1 - x0)
    return None


def common_rate(paces: dict[str, Pace], count: int = 1) -> tuple[float | None, tuple[str, ...]]:
    """The rate that most streams have and who has it: 1.0 and nobody where that is a clock's; None where they differ,
    or one alone could be wrong. Most: of those that have one, and of the `count` that there are.
    """
    agreeing = [tuple(n for n, p in paces.items() if p.agrees(own.rate)) for own in paces.values()]
    streams = max(agreeing, key=len, default=())
    if 2 * len(streams) <= max(len(paces), count):
        return None, ()
    rate = float(np.median([paces[n].rate for n in streams]))
    if any(paces[n].agrees(1.0) for n in streams):
        return 1.0, ()
    if len(streams) == 1 and abs(rate - 1) <= ALONE:
        return None, ()
    return rate, streams


def _rounded(rate: float) -> float:
    """The rate of three digits that is within the error of the measured one, if there is one."""
    told = float(f"{rate:.3g}")
    return told if abs(told / rate - 1) <= ROUND else rate
