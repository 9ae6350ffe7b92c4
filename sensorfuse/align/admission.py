"""Who is let in: a bound on what one stream may cost, however much or however bad it is."""

from __future__ import annotations

FLOOD_FACTOR = 5
BURST_NS = 1_000_000_000  # a stall of five times this may be made up for at once
MIN_BURST = 16
MAX_REJECTS = 100  # in `REJECT_WINDOW_NS`; with more, none is admitted for as long
REJECT_WINDOW_NS = 1_000_000_000


class Admission:
    """A token bucket for one stream, in its virtual-scheduling form (ITU-T I.371): `FLOOD_FACTOR` times the nominal
    rate for as long as one likes, and a burst. What it lets through of a flood is spread evenly over time.

    A stream of which too much had to be rejected is disabled for a while. A message is let in where `free_ns`, when the
    bucket will be full again, is no more than `burst_ns` ahead, and puts it off by `step_ns`: whoever has many may do
    that without `admits`.
    """

    __slots__ = ("_rejects", "_window_ns", "burst_ns", "free_ns", "refused", "step_ns")

    def __init__(self, period_ns: int) -> None:
        self.step_ns = max(1, period_ns // FLOOD_FACTOR)
        self.burst_ns = max(BURST_NS, MIN_BURST * self.step_ns) - self.step_ns
        self.free_ns = 0
        self._window_ns = 0
        self._rejects = 0
        self.refused = 0

    def admits(self, now_ns: int) -> bool:
        """Whether one more message may come in now; takes its token."""
        free = self.free_ns
        if free <= now_ns:
            self.free_ns = now_ns + self.step_ns
            return True
        if free - now_ns > self.burst_ns:
            self.refused += 1
            return False
        self.free_ns = free + self.step_ns
        return True

    def note_reject(self, now_ns: int) -> bool:
        """A message could not be used. True when that was one too many: nothing more is admitted for a while."""
        if now_ns - self._window_ns > REJECT_WINDOW_NS:
            self._window_ns, self._rejects = now_ns, 0
        self._rejects += 1
        if self._rejects <= MAX_REJECTS:
            return False
        self._rejects = 0
        self.free_ns = now_ns + self.burst_ns + REJECT_WINDOW_NS
        return True
