"""How far out of order a stream delivers."""

from __future__ import annotations

import bisect
from collections import deque

WINDOW = 10_000  # messages
SHARE = 0.001  # of the messages that may come later than what is waited for


class Lateness:
    """The allowed lateness of one stream: `fixed_ns`, or where that is None the 99.9th percentile of what was measured
    over its last messages, at most `cap_ns`. A stream that delivers in order has none.

    A message is out of order by as much as it is older than the newest one before it.
    """

    __slots__ = ("_ascending", "_cap_ns", "_fixed", "_seen", "allowed_ns", "out_of_order")

    def __init__(self, fixed_ns: int | None, cap_ns: int) -> None:
        self._fixed = fixed_ns is not None
        self._cap_ns = cap_ns
        self._seen: deque[tuple[int, int]] = deque()  # (number of the message, by how much)
        self._ascending: list[int] = []
        self.allowed_ns = fixed_ns or 0
        self.out_of_order = 0

    def note(self, number: int, by_ns: int) -> None:
        """The `number`th message was out of order by `by_ns`."""
        self.out_of_order += 1
        if not self._fixed:
            by_ns = min(by_ns, self._cap_ns)
            self._seen.append((number, by_ns))
            bisect.insort(self._ascending, by_ns)
            self.review(number)

    def review(self, number: int) -> None:
        """Forget what is long ago; `number` messages have come so far."""
        if not self._seen:
            return
        while self._seen and self._seen[0][0] <= number - WINDOW:
            _, by_ns = self._seen.popleft()
            del self._ascending[bisect.bisect_left(self._ascending, by_ns)]
        beyond = int(SHARE * min(number, WINDOW))
        self.allowed_ns = self._ascending[-1 - beyond] if len(self._ascending) > beyond else 0
