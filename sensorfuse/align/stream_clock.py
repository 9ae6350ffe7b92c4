"""From a sensor's stamps to the reference clock, and the quarantine for stamps that cannot be.

The map is `event = stamp + offset`. The offset is the rig's known one until the device's clock jumps for good: after
`CONSISTENT` stamps in a row that agree with each other but not with the map, the map is re-anchored on the receive
time and the typical delay, a new *epoch*. A single odd stamp never moves anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CONSISTENT = 5
MAX_AHEAD_NS = 2_000_000_000
MAX_BACK_NS = 1_000_000_000


@dataclass(frozen=True)
class ClockReading:
    """A stamp on the reference clock with its one-sigma uncertainty; `epoch` counts re-anchorings."""

    event_ns: int
    sigma_ns: int
    offset_ns: int
    epoch: int


@dataclass
class StreamClock:
    """One stream's map. `period_ns` is the nominal time between messages.

    The known offset and its sigma come from the rig.
    """

    period_ns: int
    offset_ns: int = 0
    sigma_ns: int = 0
    epoch: int = 0
    _delay_ns: int = 0  # typical recv - event
    _last_ns: int | None = None  # last accepted event
    _odd: list[int] = field(default_factory=list)  # stamps of the current run of disbelieved ones

    def read(self, stamp_ns: int, recv_ns: int, now_ns: int) -> ClockReading | None:
        """Map a stamp, or None when it is quarantined.

        A stamp is disbelieved when it is negative, lies further ahead of `now_ns` than the larger of 2 s and 10
        periods, or more than 1 s behind the newest event of its stream while its receive time did not go back as
        well.
        """
        if stamp_ns < 0:
            return None
        event = stamp_ns + self.offset_ns
        ahead = event - max(now_ns, recv_ns)
        back = self._last_ns - event if self._last_ns is not None else 0
        late_by = recv_ns - event - self._delay_ns
        if ahead <= max(MAX_AHEAD_NS, 10 * self.period_ns) and not (back > MAX_BACK_NS and late_by > MAX_BACK_NS):
            self._odd.clear()
            self._accept(event, recv_ns)
            return ClockReading(event, self.sigma_ns, self.offset_ns, self.epoch)
        if self._odd and not 0 < stamp_ns - self._odd[-1] <= max(MAX_BACK_NS, 10 * self.period_ns):
            self._odd.clear()
        self._odd.append(stamp_ns)
        if len(self._odd) < CONSISTENT:
            return None
        self._odd.clear()
        self.offset_ns = recv_ns - self._delay_ns - stamp_ns
        self.sigma_ns = max(self.sigma_ns, self.period_ns // 2)  # the new offset is known to the delay's jitter at best
        self.epoch += 1
        self._last_ns = None
        event = stamp_ns + self.offset_ns
        self._accept(event, recv_ns)
        return ClockReading(event, self.sigma_ns, self.offset_ns, self.epoch)

    def _accept(self, event_ns: int, recv_ns: int) -> None:
        delay = recv_ns - event_ns
        self._delay_ns = delay if self._last_ns is None else self._delay_ns + (delay - self._delay_ns) // 16
        self._last_ns = event_ns if self._last_ns is None else max(self._last_ns, event_ns)
