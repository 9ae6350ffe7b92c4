"""When a process that died is started again: with a growing delay, and after many deaths in a row not for a while.

A plain state machine in seconds of any steady clock.
"""

from __future__ import annotations

BACKOFF_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)  # before the first, second ... start after a death
CALM_S = 10.0  # a process that lived so long starts with no backoff again
BREAK_AFTER = 6  # deaths in a row; then the circuit is open
OPEN_S = 30.0  # so long the first time, twice as long each time after
MAX_OPEN_S = 600.0


class Restarts:
    """Backoff and circuit breaker (Nygard, "Release It!", 2007) of one process. `broken` while the circuit is open:
    the process is left alone. Then one start is tried; a process that stays up for `CALM_S` closes it again.
    """

    def __init__(self) -> None:
        self.deaths = 0  # in a row
        self.broken = False
        self.due_s = 0.0  # not to be started before
        self._opened = 0
        self._started_s = 0.0

    def started(self, now_s: float) -> None:
        self._started_s = now_s
        self.broken = False

    def died(self, now_s: float) -> bool:
        """Note a death; True when it opens the circuit."""
        self._calm_down(now_s)
        self.deaths += 1
        if self.deaths > BREAK_AFTER:
            self._open(now_s)
        else:
            self.due_s = now_s + BACKOFF_S[min(self.deaths, len(BACKOFF_S)) - 1]
        return self.broken

    def fail(self, now_s: float) -> None:
        """It said itself that another start would fail too: the circuit opens at once, however long it lived."""
        self._calm_down(now_s)
        self.deaths = BREAK_AFTER + 1
        self._open(now_s)

    def _calm_down(self, now_s: float) -> None:
        if now_s - self._started_s > CALM_S:
            self.deaths = self._opened = 0

    def _open(self, now_s: float) -> None:
        self.broken = True
        self.due_s = now_s + min(MAX_OPEN_S, OPEN_S * 2**self._opened)
        self._opened += 1

    def hold(self, until_s: float) -> None:
        """Somebody keeps it down."""
        self.due_s = max(self.due_s, until_s)
