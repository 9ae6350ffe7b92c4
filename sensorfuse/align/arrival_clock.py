"""Time for a device whose stamps stand still: from receipt alone."""

from __future__ import annotations

from collections import deque

SLACK = 1e-3  # by how much the true period may be longer than the nominal one
STALL_PERIODS = 10  # so far behind receipt, the events are not late but the estimate
REMEMBERED = 200


class ArrivalClock:
    """The instants of measurements from their receipt and the nominal period.

    An event lies a period after the one before it, or at its receipt if that is earlier: jitter only ever delays. What
    is left is the least delay, which nothing tells, and the jitter that fell on the earliest ones.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._event_ns: int | None = None
        self._seq = 0
        self._delays: deque[int] = deque(maxlen=REMEMBERED)
        self.sigma_ns = period_ns // 2

    def event_ns(self, seq: int, recv_ns: int) -> int:
        """When sample `seq`, received at `recv_ns`, was measured."""
        event = recv_ns
        if self._event_ns is not None and seq > self._seq:
            due = self._event_ns + round((seq - self._seq) * self._period_ns * (1 + SLACK))
            if recv_ns - due < STALL_PERIODS * self._period_ns:
                event = min(recv_ns, due)
        self._event_ns, self._seq = event, seq
        self._delays.append(recv_ns - event)
        if len(self._delays) >= REMEMBERED // 10:
            self.sigma_ns = max(1, sorted(self._delays)[int(0.95 * len(self._delays))])
        return event
