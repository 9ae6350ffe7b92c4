"""A stream's pace, learned from the stream itself."""

from __future__ import annotations

from collections import deque

WINDOW = 64  # messages
LEAST = 8  # before which the nominal period counts
PERIOD_QUANTILE = 0.4  # not the median: where every third message is missing, half of the steps are double
ENOUGH = 24  # messages, before a share of them is told
REVIEW = 8  # messages between two looks at the quantiles
MAX_HOLE = 4  # messages; a longer one is a silence, which is told of itself
MIN_STEP = 1 / 20  # of the period; what comes sooner is a copy, not the device's rate


class Pace:
    """Period and jitter of a stream as quantiles of its last messages, so that neither a lost nor a delayed one moves
    them: the period is about the median step from one number's event to the next, the jitter by how much the 95th
    percentile of the delays from measurement to arrival exceeds their median. `missing` is the share of messages that
    should have come and did not.

    What is lost before it gets a number leaves a hole in time, what is lost after it a hole in the numbers: both count.
    """

    __slots__ = (
        "_came", "_delays", "_holes", "_last", "_lost", "_nominal_ns", "_review", "_steps", "jitter_ns", "missed",
        "period_ns",
    )  # fmt: skip

    def __init__(self, nominal_ns: int) -> None:
        self._nominal_ns = nominal_ns
        self._steps: deque[int] = deque(maxlen=WINDOW)
        self._delays: deque[int] = deque(maxlen=WINDOW)
        self._holes: deque[tuple[int, int]] = deque()  # messages lost and come, of the last runs
        self._lost = self._came = 0  # the sums of them
        self._last: tuple[int, int] | None = None  # seq and event of the newest
        self._review = REVIEW
        self.period_ns = nominal_ns
        self.jitter_ns = 0
        self.missed = 0

    def hear(self, seq: int, event_ns: int, delay_ns: int) -> None:
        """A message that counts, `delay_ns` after what it measured. Events may come out of order."""
        if self._last is None:
            self._last = seq, event_ns
            self._delays.append(delay_ns)
        else:
            self.hear_run(self._last, seq, event_ns, delay_ns, 1)

    def hear_run(self, before: tuple[int, int], seq: int, event_ns: int, delay_ns: int, count: int) -> None:
        """The last of `count` messages in a row; `before` is number and event of the one before it."""
        self._delays.append(delay_ns)
        if self._last is not None:
            step, span = event_ns - before[1], event_ns - self._last[1]
            if seq <= before[0] or seq <= self._last[0] or step < 0 or span < 0:
                return
            if step >= MIN_STEP * self.period_ns:
                if self.known:
                    missed = max(0, round(span / self.period_ns) - count)
                    self.missed += missed
                    self._count(min(missed, MAX_HOLE), count)
                self._steps.append(step // (seq - before[0]))
        self._last = seq, event_ns
        self._review -= 1
        if self._review <= 0:
            self._learn()

    def begin_anew(self) -> None:
        """What comes does not compare with what came: another incarnation, another epoch, or the end of a silence."""
        self._last = None
        self._delays.clear()
        self._holes.clear()
        self._lost = self._came = 0

    def _count(self, lost: int, came: int) -> None:
        self._holes.append((lost, came))
        self._lost += lost
        self._came += came
        if len(self._holes) > WINDOW:
            lost, came = self._holes.popleft()
            self._lost -= lost
            self._came -= came

    def _learn(self) -> None:
        self._review = REVIEW
        if len(self._steps) >= LEAST:
            self.period_ns = max(1, sorted(self._steps)[int(PERIOD_QUANTILE * len(self._steps))])
        if len(self._delays) >= LEAST:
            ascending = sorted(self._delays)
            self.jitter_ns = ascending[len(ascending) * 95 // 100] - ascending[len(ascending) // 2]

    @property
    def known(self) -> bool:
        """Whether `period_ns` is learned."""
        return len(self._steps) >= LEAST

    @property
    def missing(self) -> float:
        """Share of the last messages that did not come, 0..1."""
        return self._lost / (self._lost + self._came) if self._lost and self._came >= ENOUGH else 0.0

    @property
    def drift(self) -> float:
        """By what share the period is longer (above 0) or shorter than the nominal one."""
        return self.period_ns / self._nominal_ns - 1 if self.known else 0.0
