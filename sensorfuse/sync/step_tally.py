"""The steps between a stream's stamps: period, jitter, gaps, copies, order, resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sensorfuse.sync.reservoir import Reservoir

GAP_PERIODS = 1.5
FIRST_STEPS = 64  # so many are held back until their median is the period by which gaps are told
STUCK_SHARE = 0.8  # of stamps equal to the one before: the clock stands


@dataclass(frozen=True)
class StepReport:
    """Stamps of one stream. `jitter_ms` is how far steps lie from the median step, gaps left out.

    A gap is a step of more than 1.5 periods; `missing` counts the messages that would have filled the gaps. A stamp
    older than the newest is out of order, by `late_ms`; `steps_back` counts stamps older than the one before.
    `resolution_ns` is the largest unit of which all steps are multiples.
    """

    count: int
    duration_s: float
    rate_hz: float | None
    period_ms: float | None
    jitter_ms: dict[str, float]
    gaps: int
    missing: int
    longest_gap_s: float
    duplicates: int
    out_of_order: int
    late_ms: dict[str, float]
    steps_back: int
    resolution_ns: int

    @property
    def stuck(self) -> bool:
        return self.count > 2 and self.duplicates >= STUCK_SHARE * (self.count - 1)


class StepTally:
    """Feed it a stream's stamps in the order of receipt; `restart` where a clock jumped."""

    def __init__(self) -> None:
        self._count = self._duplicates = self._out_of_order = self._steps_back = 0
        self._gaps = self._missing = self._longest_ns = self._covered_ns = 0
        self._resolution_ns = 0
        self._first: list[int] | None = []  # steps held back until the period is known
        self._period_ns = 0.0
        self._steps, self._late = Reservoir(), Reservoir()
        self._last_ns: int | None = None
        self._newest_ns: int | None = None

    def restart(self) -> None:
        """The next stamp follows on no other."""
        self._last_ns = self._newest_ns = None

    def push(self, stamp_ns: int) -> None:
        self._count += 1
        last, newest = self._last_ns, self._newest_ns
        self._last_ns = stamp_ns
        if last is None or newest is None:
            self._newest_ns = stamp_ns
            return
        self._resolution_ns = math.gcd(self._resolution_ns, abs(stamp_ns - last))
        if stamp_ns == last:
            self._duplicates += 1
            return
        self._steps_back += stamp_ns < last
        if stamp_ns <= newest:
            self._out_of_order += 1
            self._late.push(newest - stamp_ns)
            return
        self._newest_ns = stamp_ns
        self._covered_ns += stamp_ns - newest
        self._step(stamp_ns - newest)

    def _step(self, step_ns: int) -> None:
        if self._first is not None:
            self._first.append(step_ns)
            if len(self._first) == FIRST_STEPS:
                self._believe()
            return
        if step_ns <= GAP_PERIODS * self._period_ns:
            self._steps.push(step_ns)
            if self._steps.count & (self._steps.count - 1) == 0:  # a power of two: the median is looked at again
                self._period_ns = self._steps.quantile(0.5) or self._period_ns
            return
        self._gaps += 1
        self._missing += max(1, round(step_ns / self._period_ns) - 1)
        self._longest_ns = max(self._longest_ns, step_ns)

    def _believe(self) -> None:
        held, self._first = self._first or [], None
        if held:
            self._period_ns = float(sorted(held)[len(held) // 2])
        for step in held:
            self._step(step)

    def report(self) -> StepReport:
        """What came so far; afterwards the tally goes on."""
        if self._first is not None:
            self._believe()
        steps = self._steps.count + self._gaps
        median = self._steps.quantile(0.5)
        deviations = self._steps.deviations()
        return StepReport(
            count=self._count,
            duration_s=self._covered_ns / 1e9,
            rate_hz=steps / (self._covered_ns / 1e9) if self._covered_ns else None,
            period_ms=None if median is None else median / 1e6,
            jitter_ms=_quantiles_ms(deviations, (0.5, 0.95, 0.99)),
            gaps=self._gaps,
            missing=self._missing,
            longest_gap_s=self._longest_ns / 1e9,
            duplicates=self._duplicates,
            out_of_order=self._out_of_order,
            late_ms=_quantiles_ms(self._late, (0.5, 0.99)) | _most_ms(self._late),
            steps_back=self._steps_back,
            resolution_ns=self._resolution_ns,
        )


def _quantiles_ms(values: Reservoir, shares: tuple[float, ...]) -> dict[str, float]:
    """`{"p50": ...}` in milliseconds; empty where there are no values."""
    found = {f"p{100 * q:g}": values.quantile(q) for q in shares}
    return {name: value / 1e6 for name, value in found.items() if value is not None}


def _most_ms(values: Reservoir) -> dict[str, float]:
    return {} if values.most is None else {"max": values.most / 1e6}
