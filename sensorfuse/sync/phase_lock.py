"""Whether stamps of one stream always fall on the same place between another's samples: then one trigger made both."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sync.reservoir import Reservoir

KEEP_NS = 2_000_000_000
LEAST_STAMPS = 20
LOCKED_SHARE = 0.05  # of the reference's step: the stamps' place scatters by no more (5th to 95th percentile)


@dataclass(frozen=True)
class PhaseReport:
    """Of a stream's stamps: `phase_ms` after the reference's nearest sample, with `spread_ms` between the 5th and 95th
    percentile. Stamps that two devices make by their own clocks may look locked as well: the clocks' pace tells.
    """

    reference: str
    phase_ms: float
    spread_ms: float
    locked: bool


class PhaseLock:
    """Compares streams by their own stamps with the times of a reference's samples, both in the order of receipt."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self._times: list[int] = []
        self._steps = Reservoir()
        self._step_ns = 0.0
        self._waiting: dict[str, list[int]] = {}
        self._phases: dict[str, Reservoir] = {}

    def push_reference(self, times_ns: NDArray[np.int64]) -> None:
        """Times (N,) of the reference's samples, on its device's clock."""
        times = times_ns.tolist()
        if self._times and times and times[0] <= self._times[-1]:
            times = [t for t in times if t > self._times[-1]]
        for before, after in zip([*self._times[-1:], *times], times, strict=False):
            if after > before:
                self._steps.push(after - before)
                if self._steps.count & (self._steps.count - 1) == 0:  # a power of two: the median is looked at again
                    self._step_ns = self._steps.quantile(0.5) or 0.0
        self._times += times
        if not self._times:
            return
        for stream, stamps in self._waiting.items():
            while stamps and stamps[0] <= self._times[-1]:
                self._place(stream, stamps.pop(0))
        del self._times[: bisect.bisect_left(self._times, self._times[-1] - KEEP_NS)]

    def push(self, stream: str, stamp_ns: int) -> None:
        waiting = self._waiting.setdefault(stream, [])
        if self._times and stamp_ns <= self._times[-1]:
            self._place(stream, stamp_ns)
        elif len(waiting) < 1000:
            bisect.insort(waiting, stamp_ns)

    def _place(self, stream: str, stamp_ns: int) -> None:
        after = bisect.bisect_left(self._times, stamp_ns)
        near = self._times[max(0, after - 1) : after + 1]
        distance = min((stamp_ns - t for t in near), key=abs, default=None)
        if distance is not None and abs(distance) <= self._step_ns:
            self._phases.setdefault(stream, Reservoir()).push(distance)

    def report(self, stream: str) -> PhaseReport | None:
        """None where too few stamps could be compared."""
        phases = self._phases.get(stream)
        if phases is None or phases.count < LEAST_STAMPS:
            return None
        low, middle, high = (phases.quantile(q) or 0.0 for q in (0.05, 0.5, 0.95))
        return PhaseReport(self.reference, middle / 1e6, (high - low) / 1e6, high - low <= LOCKED_SHARE * self._step_ns)
