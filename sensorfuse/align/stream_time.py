"""When the samples of one stream were, and how surely that is known: said here alone."""

from __future__ import annotations

import math

from sensorfuse.align.arrival_clock import ArrivalClock
from sensorfuse.align.clock_model import CONSISTENT, Counter
from sensorfuse.align.stream_clock import NOTHING, StreamClock
from sensorfuse.sensor_config import SensorConfig
from sensorfuse.wire import Envelope

MIN_STEPS = 4  # per period; fewer may be the regularity of the device, not the resolution of its clock


class StreamTime:
    """A stream's stamps on the reference clock: by its clock, or where its stamps stand still, by their receipt.

    `stamp_ns` is the stamp of the last message, a counter's unwrapped. `restarted`: the clock began anew, so that what
    came before does not compare with what comes; for the caller to clear. `step_ns`: the stamps are multiples of it,
    as far as seen; 1 where the stamps come too regularly to tell. `routine`: which messages move nothing but
    `stamp_ns`; whoever has many to place may do so without `event_ns`. After a restart there are none.
    """

    __slots__ = (
        "_arrival",
        "_common_ns",
        "_content_epoch",
        "_content_ns",
        "_content_sigma_ns",
        "_epoch",
        "_first_stamp_ns",
        "_period_ns",
        "_previous_stamp_ns",
        "_same_stamps",
        "clock",
        "restarted",
        "routine",
        "stamp_ns",
    )

    def __init__(self, config: SensorConfig) -> None:
        self.clock = StreamClock(
            config.period_ns,
            config.offset_ns,
            round(config.offset_sigma_s * 1e9),
            counter=Counter(config.counter.turn_ns) if config.counter is not None else None,
            shared=config.clock == "reference",
        )
        self.stamp_ns = 0
        self.restarted = False
        self._period_ns = config.period_ns
        self._previous_stamp_ns: int | None = None
        self._same_stamps = 0  # how many in a row; below 0: how many are still to differ before they are believed
        self._arrival: ArrivalClock | None = None
        self._epoch = 0
        self._first_stamp_ns: int | None = None
        self._common_ns = 0  # greatest common divisor of the stamps' distances
        self._content_ns = self._content_epoch = 0
        self._content_sigma_ns: int | None = None
        self.routine = NOTHING

    def event_ns(self, envelope: Envelope, now_ns: int) -> int | None:
        """When a message's stamped instant was, on the reference clock; None when its stamp is quarantined.

        Stamps that stand still say nothing: after `CONSISTENT` alike, the events come from receipt, until as many
        differ again.
        """
        stamp = envelope.stamp_ns
        end, least, most, base, over, skew, at = self.routine
        if self.stamp_ns < stamp < end and least <= envelope.recv_ns - stamp - envelope.duration_ns <= most:
            self.stamp_ns = stamp
            return stamp + base + round(over + skew * (stamp - at))
        return self._judge(envelope, now_ns)

    def _judge(self, envelope: Envelope, now_ns: int) -> int | None:
        stamp, clock = envelope.stamp_ns, self.clock
        self._tell_clock()
        self.routine = NOTHING
        if stamp == self._previous_stamp_ns or self._same_stamps:
            arrival = self._watch_stamps(stamp)
            if arrival is not None:
                self.stamp_ns = stamp
                return arrival.event_ns(envelope.seq, envelope.recv_ns - envelope.duration_ns)
        self._previous_stamp_ns = stamp
        event = clock.event_ns(stamp, envelope.recv_ns, now_ns, envelope.duration_ns)
        self.stamp_ns = clock.stamp_ns
        if clock.epoch != self._epoch:
            self._epoch = clock.epoch
            self.restarted = True
        if self._common_ns != 1:
            if self._first_stamp_ns is None:
                self._first_stamp_ns = stamp
            self._common_ns = math.gcd(self._common_ns, stamp - self._first_stamp_ns)
        if event is None:
            return None
        if not self._same_stamps:
            self.routine = clock.routine(self._content_ns)
        return event + self._content_ns

    def _tell_clock(self) -> None:
        """Of the routine messages that came since it was asked."""
        if self.routine is not NOTHING and self.stamp_ns != self.clock.stamp_ns:
            self._previous_stamp_ns = self.stamp_ns
            self.clock.pass_over(self.stamp_ns)

    @property
    def step_ns(self) -> int:
        return self._common_ns if 0 < self._common_ns < self._period_ns // MIN_STEPS else 1

    @property
    def shift_ns(self) -> int:
        """From the last stamp to its event without what content has shown."""
        return self.clock.offset_at(self.stamp_ns)

    def correct(self, offset_ns: int, sigma_ns: int, epoch: int) -> None:
        """Take in what content shows of the offset: what is missing of it, with one sigma. Another `epoch`: it has
        stepped.
        """
        self._tell_clock()
        self.routine = NOTHING
        self._content_ns, self._content_sigma_ns = offset_ns, sigma_ns
        if epoch != self._content_epoch:
            self._content_epoch = epoch
            self.restarted = True

    def _watch_stamps(self, stamp_ns: int) -> ArrivalClock | None:
        same = stamp_ns == self._previous_stamp_ns
        self._previous_stamp_ns = stamp_ns
        if self._arrival is None:
            self._same_stamps = self._same_stamps + 1 if same else 0
            if self._same_stamps >= CONSISTENT - 1:
                self._same_stamps = -CONSISTENT
                self._arrival = ArrivalClock(self._period_ns)
                self.restarted = True
        else:
            self._same_stamps = -CONSISTENT if same else self._same_stamps + 1
            if self._same_stamps == 0:
                self._arrival = None
                self.restarted = True
        return self._arrival

    def sigma_and_bound_ns(self, stamp_ns: int) -> tuple[int, int]:
        """One sigma of the event at a stamp; and what its error hardly exceeds: two sigma, and a step of the stamps, as
        clocks cut off what is less.
        """
        sigma = self._sigma_ns(stamp_ns)
        return sigma, 2 * sigma + self.step_ns - 1

    def _sigma_ns(self, stamp_ns: int) -> int:
        self._tell_clock()
        if self._arrival is not None:
            return self._arrival.sigma_ns
        if self._content_sigma_ns is None:
            return self.clock.sigma_at(stamp_ns)
        return round(math.hypot(self._content_sigma_ns, self.clock.drift_sigma_at(stamp_ns)))
