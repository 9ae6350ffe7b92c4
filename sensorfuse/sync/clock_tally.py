"""A stream's clock against the host's, as the aligner's own clock model sees it: offset, skew, sigma, jumps, delays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sensorfuse.align.stream_clock import ClockReading, StreamClock
from sensorfuse.sync.reservoir import Reservoir

ReceiveTimes = Literal["recorded", "none", "stamps"]
"""Whether the log has receive times: recorded; none (computed from the stamps); or they are the stamps themselves."""

SAME_SHARE = 0.95  # of messages with one and the same delay: then receive times were computed
SETTLED_NS = 10_000_000_000  # before, the model's slope leans on nothing
LEAST_SPAN_NS = 2_000_000_000  # of a stream whose skew is spoken of
CURVE_POINTS = 600
CURVE_STEP_NS = 200_000_000
MAX_JUMPS = 100
PACE_PPM = 2.0  # what the line of a clock may be off


@dataclass(frozen=True)
class Jump:
    """The device's clock was set by `by_s` (forward: positive), first believed at `at_s` from the log's beginning."""

    at_s: float
    by_s: float


@dataclass(frozen=True)
class CurvePoint:
    """From `at_s` on: how far the clock has drifted (jumps taken out), and the delays over the least."""

    at_s: float
    drift_ms: float
    least_delay_ms: float
    most_delay_ms: float


@dataclass(frozen=True)
class ClockReport:
    """One device's clock. `offset_s` is host less device at the stream's last message, with the least delay in it, and
    `sigma_ms` its one sigma; `skew_ppm` by how much the host's clock runs faster, over the stream's longest time
    without a jump.

    `least_delay_ms` is what is left for the least delay if the rig's offset is right. `delay_ms` is over that least.
    `undated`: its stamps lay nowhere near their receipt, so they were anchored on it. Where the log has no receive
    times, most of this is None: nothing is known of the host's clock.
    """

    receive_times: ReceiveTimes
    offset_s: float | None = None
    sigma_ms: float | None = None
    skew_ppm: float | None = None
    skew_sigma_ppm: float | None = None
    jumps: tuple[Jump, ...] = ()
    jump_count: int = 0
    undated: bool = False
    quarantined: int = 0
    least_delay_ms: float | None = None
    delay_ms: dict[str, float] | None = None
    curve: tuple[CurvePoint, ...] = ()


class _Curve:
    """At most `CURVE_POINTS` points: neighbours are joined when there are more."""

    def __init__(self) -> None:
        self._step_ns = CURVE_STEP_NS
        self._points: list[tuple[int, int, int, int]] = []  # bin, drift, least and most delay

    def push(self, at_ns: int, drift_ns: int, delay_ns: int) -> None:
        self._join((at_ns // self._step_ns, drift_ns, delay_ns, delay_ns))
        if len(self._points) > CURVE_POINTS:
            self._step_ns *= 2
            points, self._points = self._points, []
            for place, drift, least, most in points:
                self._join((place // 2, drift, least, most))

    def _join(self, point: tuple[int, int, int, int]) -> None:
        if self._points and self._points[-1][0] == point[0]:
            _, _, least, most = self._points[-1]
            self._points[-1] = (point[0], point[1], min(least, point[2]), max(most, point[3]))
        else:
            self._points.append(point)

    def points(self) -> tuple[CurvePoint, ...]:
        return tuple(
            CurvePoint(b * self._step_ns / 1e9, drift / 1e6, least / 1e6, most / 1e6)
            for b, drift, least, most in self._points
        )


class ClockTally:
    """Feed it every message in the order of receipt.

    Args:
        clock: the aligner's map for this stream.
        has_recv: False where the reader is known to compute receive times from stamps.
    """

    def __init__(self, clock: StreamClock, has_recv: bool) -> None:
        self.clock = clock
        self._has_recv = has_recv
        self._common: tuple[int, int] = (0, 0)  # a delay, and by how many votes it leads (Boyer and Moore)
        self._equal = self._count = self._quarantined = 0
        self._undated = False
        self._jumps: list[Jump] = []
        self._jump_count = 0
        self._delays = Reservoir()
        self._curve = _Curve()
        self._offset_ns: int | None = None  # the model's, at the last believed message
        self._sigma_ns = self._least_ns = 0
        self._drift_ns = 0  # at the last believed message, jumps taken out
        self._run: list[tuple[int, int]] = []  # (stamp, drift) of this epoch's settled beginning and its end so far
        self._epoch_ns: int | None = None  # stamp of this epoch's first message
        self._longest: tuple[int, float] = (0, 0.0)  # span of the longest run, and its skew

    def push(self, stamp_ns: int, recv_ns: int, span_ns: int, at_ns: int) -> ClockReading | None:
        """Take a message in; `at_ns` is its receipt since the log's beginning. None where its stamp is disbelieved."""
        self._count += 1
        delay = recv_ns - span_ns - stamp_ns
        self._vote(delay)
        self._equal += recv_ns == stamp_ns or delay == 0
        epoch = self.clock.epoch
        reading = self.clock.read(stamp_ns, recv_ns, recv_ns, span_ns)
        if reading is None:
            self._quarantined += 1
            return None
        stamp = reading.event_ns - reading.offset_ns  # of a counter: unwrapped
        offset = self.clock.model.offset_ns(stamp)
        if reading.epoch != epoch:
            self._new_epoch(offset, at_ns)
        if self._offset_ns is not None and self._epoch_ns is not None:
            self._drift_ns += offset - self._offset_ns
        self._offset_ns, self._sigma_ns = offset, self.clock.model.sigma_ns(stamp)
        self._least_ns = offset - reading.offset_ns
        self._extend(stamp)
        over = max(0, recv_ns - span_ns - stamp - offset)
        self._delays.push(over)
        self._curve.push(at_ns, self._drift_ns, over)
        return reading

    def _vote(self, delay_ns: int) -> None:
        value, lead = self._common
        if lead == 0:
            self._common = (delay_ns, 1)
        else:
            self._common = (value, lead + 1 if delay_ns == value else lead - 1)

    def _new_epoch(self, offset_ns: int, at_ns: int) -> None:
        if self._offset_ns is None:
            self._undated = True
        else:
            self._jump_count += 1
            if len(self._jumps) < MAX_JUMPS:
                self._jumps.append(Jump(at_ns / 1e9, (self._offset_ns - offset_ns) / 1e9))
        self._close_run()
        self._offset_ns, self._epoch_ns = offset_ns, None

    def _extend(self, stamp_ns: int) -> None:
        if self._epoch_ns is None:
            self._epoch_ns = stamp_ns
        point = (stamp_ns, self._drift_ns)
        if not self._run or stamp_ns - self._epoch_ns < SETTLED_NS:
            self._run = [point, point]
        self._run[1] = point

    def _close_run(self) -> None:
        """The skew of the run that ends: by its drift where it is long, else by the model's slope."""
        if not self._run or self._epoch_ns is None:
            return
        (first, drift), (last, drifted) = self._run
        span = last - self._epoch_ns
        if span >= LEAST_SPAN_NS and span > self._longest[0]:
            settled = last - first
            skew = (drifted - drift) / settled if settled >= SETTLED_NS else self.clock.model.skew
            self._longest = (span, skew)
        self._run = []

    def _receive_times(self) -> ReceiveTimes:
        if self._count and self._equal >= SAME_SHARE * self._count:
            return "stamps" if self._has_recv else "none"
        constant = self._count > 2 and self._common[1] >= (2 * SAME_SHARE - 1) * self._count
        return "none" if constant or not self._has_recv else "recorded"

    def report(self) -> ClockReport:
        """What came so far. Call it once, at the end."""
        self._close_run()
        times = self._receive_times()
        if times != "recorded" or self._offset_ns is None:
            return ClockReport(times, undated=self._undated and times == "recorded", quarantined=self._quarantined)
        span, skew = self._longest
        quantiles = {f"p{100 * q:g}": (self._delays.quantile(q) or 0.0) / 1e6 for q in (0.5, 0.95, 0.99)}
        return ClockReport(
            times,
            offset_s=self._offset_ns / 1e9,
            sigma_ms=self._sigma_ns / 1e6,
            skew_ppm=skew * 1e6 if span else None,
            skew_sigma_ppm=math.sqrt(2) * self._sigma_ns / span * 1e6 if span else None,
            jumps=tuple(self._jumps),
            jump_count=self._jump_count,
            undated=self._undated,
            quarantined=self._quarantined,
            least_delay_ms=None if self._undated else self._least_ns / 1e6,
            delay_ms=quantiles | {"max": (self._delays.most or 0) / 1e6},
            curve=self._curve.points(),
        )


def same_pace(a: ClockReport, b: ClockReport) -> bool:
    """Whether two clocks may be one: nothing is known of the pace of either, or it is the same."""
    if a.skew_ppm is None or b.skew_ppm is None or a.skew_sigma_ppm is None or b.skew_sigma_ppm is None:
        return True
    return abs(a.skew_ppm - b.skew_ppm) <= max(PACE_PPM, 3 * math.hypot(a.skew_sigma_ppm, b.skew_sigma_ppm))
