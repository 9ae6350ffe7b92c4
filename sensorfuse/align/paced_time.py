"""The host's time at the pace of a log that is played: one second of it is one second of the log.

Clock models, deadlines and timers that are given this time instead of the host's see the log as it was recorded.
"""

from __future__ import annotations


class PacedTime:
    """The host's time itself until a rate is set; it goes on from there without a step at each new rate."""

    def __init__(self) -> None:
        self.rate = 1.0
        self.began = False  # whether it may differ from the host's time
        self._host_ns = self._paced_ns = 0

    def set_rate(self, rate: float, host_ns: int) -> None:
        """From `host_ns` on, time goes `rate` times as fast as the host's."""
        self.adopt(rate, host_ns, self.paced_ns(host_ns))

    def adopt(self, rate: float, host_ns: int, paced_ns: int) -> None:
        """Go by another's: it was `paced_ns` at `host_ns`, and goes `rate` times as fast as the host's."""
        self.rate, self._host_ns, self._paced_ns = rate, host_ns, paced_ns
        self.began = True

    def paced_ns(self, host_ns: int) -> int:
        since = host_ns - self._host_ns
        return self._paced_ns + since + round(since * (self.rate - 1.0))

    def host_ns(self, paced_ns: int) -> int:
        """When it will be, or was, `paced_ns`."""
        since = paced_ns - self._paced_ns
        return self._host_ns + since + round(since * (1.0 / self.rate - 1.0))
