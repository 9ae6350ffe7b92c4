"""From a sensor's stamps to the reference clock, and the quarantine for stamps that cannot be.

The map is `event = stamp + offset`. It begins with the rig's known offset. From then on the clock model follows the
device's drift against the host; what it cannot see, the least delay from event to receipt, is taken to stay what it was
when the offset was known. When the device's clock jumps for good, the map is re-anchored by that least delay: a new
*epoch*. A single odd stamp never moves anything. A device that knows no date (it counts from its power-up) is anchored
on the receive time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from sensorfuse.align.clock_model import CONSISTENT, JUMP_NS, SETTLED_NS, WINDOW_NS, ClockModel, Counter

MAX_AHEAD_NS = 2_000_000_000
MAX_BACK_NS = 1_000_000_000
SLACK_NS = 1_000_000  # more than a line's offset changes within a block
MAX_LATE_NS = 10_000_000_000  # a device whose first stamps are older than this on receipt knows no date


@dataclass(frozen=True)
class ClockReading:
    """A stamp on the reference clock with its one-sigma uncertainty; `epoch` counts re-anchorings."""

    event_ns: int
    sigma_ns: int
    offset_ns: int
    epoch: int


class Routine(NamedTuple):
    """Messages that need no judgement: they are as was expected, and move nothing in the clock model. Nearly all are.

    Stamped before `end_ns`, the measurement's end received `least_ns` to `most_ns` later. What is added to their stamps
    is `base_ns + over_ns + skew * (stamp - at_ns)`.
    """

    end_ns: int
    least_ns: int
    most_ns: int
    base_ns: int
    over_ns: float
    skew: float
    at_ns: int


NOTHING = Routine(-1, 0, 0, 0, 0.0, 0.0, 0)


@dataclass(slots=True)
class StreamClock:
    """One stream's map. `period_ns` is the nominal time between messages.

    `offset_ns` and `sigma_ns` are the rig's: what was known of the clock before the first message.
    """

    period_ns: int
    offset_ns: int = 0
    sigma_ns: int = 0
    epoch: int = 0
    counter: Counter | None = None  # of a device whose stamps wrap
    shared: bool = False  # the device keeps the reference clock: its offset is what is known, until it jumps
    model: ClockModel = field(default_factory=ClockModel)
    stamp_ns: int = 0  # the last one read
    _least_delay_ns: int = 0  # from the end of a measurement to its receipt
    _first_ns: int | None = None  # stamp of the first message, while the least delay is being learned from the offset
    _newest_ns: int | None = None  # newest accepted event
    _odd: list[tuple[int, int]] = field(default_factory=list)  # the current run of disbelieved (stamp, receive time)

    def read(self, stamp_ns: int, recv_ns: int, now_ns: int, span_ns: int = 0) -> ClockReading | None:
        """Map a stamp, or None when it is quarantined: `event_ns` with all that is known of it."""
        event = self.event_ns(stamp_ns, recv_ns, now_ns, span_ns)
        if event is None:
            return None
        return ClockReading(event, self.sigma_at(self.stamp_ns), event - self.stamp_ns, self.epoch)

    def event_ns(self, stamp_ns: int, recv_ns: int, now_ns: int, span_ns: int = 0) -> int | None:
        """When the stamped instant was, on the reference clock, or None when the stamp is quarantined; `span_ns`: from
        the stamped instant to the measurement's end. `self.stamp_ns` is then the stamp, a counter's unwrapped.

        A stamp is disbelieved when it is negative, lies further ahead of `now_ns` than the larger of 2 s and 10
        periods, more than 1 s behind the newest event of its stream while its receive time did not go back as well, or
        when it says that it was received 0.25 s before it can have been; before any was believed, also when it is older
        than 10 s on receipt.
        """
        if stamp_ns < 0:
            return None
        if self.counter is not None:
            stamp_ns = self.counter.unwrap_ns(stamp_ns, recv_ns)
        self.stamp_ns = stamp_ns
        return self._judge(stamp_ns, recv_ns - span_ns, now_ns)

    def routine(self, more_ns: int) -> Routine:
        """Which messages need no judgement now; `more_ns` is added to their stamps besides."""
        line, stamp, first = self.model, self.stamp_ns, self._first_ns
        if self.counter is not None or self._newest_ns is None or self._odd or line.in_doubt:
            return NOTHING
        if self.offset_at(stamp) - line.block_least_ns > MAX_AHEAD_NS - SLACK_NS:
            return NOTHING
        end = line.block_end_ns if first is None else min(line.block_end_ns, first + WINDOW_NS)
        least, most = line.block_least_ns, line.offset_ns(stamp) + JUMP_NS - SLACK_NS
        if self.shared:
            return Routine(end, least, most, self.offset_ns + more_ns, 0.0, 0.0, 0)
        base = line.base_ns - self._least_delay_ns + more_ns
        return Routine(end, least, most, base, line.over_ns, line.skew, line.at_ns)

    def pass_over(self, stamp_ns: int) -> None:
        """Routine messages came, in the order of their stamps up to this one."""
        self.stamp_ns = self.model.last_ns = stamp_ns
        self._newest_ns = max(self._newest_ns or 0, stamp_ns + self.offset_at(stamp_ns))

    def _judge(self, stamp_ns: int, recv_ns: int, now_ns: int) -> int | None:
        """The event of a stamp that may be odd, or that the clock model learns from."""
        offset = self.offset_at(stamp_ns)
        event = stamp_ns + offset
        ahead = event - max(now_ns, recv_ns)
        back = self._newest_ns - event if self._newest_ns is not None else 0
        late_by = recv_ns - event - self._least_delay_ns
        undated = self._newest_ns is None and self.epoch == 0 and late_by > max(MAX_LATE_NS, 10 * self.period_ns)
        if undated or ahead > max(MAX_AHEAD_NS, 10 * self.period_ns) or (back > MAX_BACK_NS and late_by > MAX_BACK_NS):
            return self._doubt(stamp_ns, recv_ns)
        self._odd.clear()
        resets = self.model.resets
        if not self.model.take(stamp_ns, recv_ns) and late_by < -JUMP_NS:
            return None
        if self.model.resets != resets:
            self._new_epoch()
        elif self._first_ns is None and self.epoch == 0 and self._newest_ns is None:
            self._first_ns = stamp_ns
        if self._first_ns is not None:
            self._least_delay_ns = self.model.offset_ns(self._first_ns) - self.offset_ns
            if stamp_ns - self._first_ns > WINDOW_NS:
                self._first_ns = None
        return self._believe(stamp_ns)

    def offset_at(self, stamp_ns: int) -> int:
        """What is added to a stamp."""
        if self.shared or (self._newest_ns is None and self.epoch == 0):
            return self.offset_ns
        return self.model.offset_ns(stamp_ns) - self._least_delay_ns

    def _doubt(self, stamp_ns: int, recv_ns: int) -> int | None:
        """Remember a stamp that cannot be; believe it when enough of them agree with each other."""
        if self._odd and not 0 < stamp_ns - self._odd[-1][0] <= max(MAX_BACK_NS, 10 * self.period_ns):
            self._odd.clear()
        self._odd.append((stamp_ns, recv_ns))
        if len(self._odd) < CONSISTENT:
            return None
        if self._newest_ns is None and self.epoch == 0:  # nothing is known of this clock but that it runs
            self.sigma_ns = max(self.sigma_ns, self.period_ns // 2)
        self.model.restart(self._odd)
        self._odd.clear()
        self._new_epoch()
        return self._believe(stamp_ns)

    def _new_epoch(self) -> None:
        self.epoch += 1
        self.shared = False
        self._first_ns = self._newest_ns = None

    def _believe(self, stamp_ns: int) -> int:
        event = stamp_ns + self.offset_at(stamp_ns)
        self._newest_ns = event if self._newest_ns is None else max(self._newest_ns, event)
        return event

    def sigma_at(self, stamp_ns: int) -> int:
        """One sigma of the event at a stamp: the known offset's and the drift's."""
        return round(math.hypot(self.sigma_ns, self.drift_sigma_at(stamp_ns)))

    def drift_sigma_at(self, stamp_ns: int) -> float:
        """The model's sigma: of the drift since the offset was known, so at first a share of it."""
        if self.shared:
            return 0.0
        share = 1.0
        if self._first_ns is not None:
            share = min(1.0, max(0.0, (stamp_ns - self._first_ns) / SETTLED_NS))
        return share * self.model.sigma_ns(stamp_ns)
