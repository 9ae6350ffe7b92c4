"""What the aligner holds and knows of one stream."""

from __future__ import annotations

import bisect

from sensorfuse.align.admission import Admission
from sensorfuse.align.lateness import Lateness
from sensorfuse.align.schedule import FAR_NS, IDLE_MIN_NS, IDLE_PERIODS
from sensorfuse.align.sequence import Sequence
from sensorfuse.align.stream_time import StreamTime
from sensorfuse.health.monitor import HealthMonitor
from sensorfuse.messages import StreamStatus
from sensorfuse.rig import Rig
from sensorfuse.wire import Envelope

KEEP_NS = 2_000_000_000
SUSPECT_NS = 1_000_000_000
DELAYS = 200  # messages, of which the longest delay is taken
LEAST_INTERVAL = 1 / 8  # of the period; what comes sooner is a copy under another number, not the device's rate
MAX_BUFFERED = 4096  # samples held per stream, each of some 200 bytes: beyond, the oldest is closed as queue_full

Entry = tuple[int, int, int, int, int]
"""A sample that waits for its tick: at_ns, boot, seq, event_ns, stamp_ns.

`at_ns` is what the choice goes by: the middle of what the sample covers, or for IMU and audio its beginning. `event_ns`
is the stamped instant on the reference clock.
"""


class StreamBuffer:
    """One stream: its clock, its samples in order of time, and what can still come of it.

    `floor_ns`: samples up to there come too late for any tick. `wanted_ns`: the least reach that is of note to the next
    tick. `time` says when its samples were; `health` how the stream is, of what it was told (`tell_health`).
    """

    __slots__ = (
        "_delay_borne_ns",
        "_delays_ns",
        "_longest_ns",
        "_review_at",
        "_run",
        "admission",
        "boot",
        "calibration",
        "chosen",
        "config",
        "consumed_ns",
        "duration_ns",
        "ended",
        "entries",
        "floor_ns",
        "followed",
        "fused",
        "health",
        "heard_ns",
        "idle_after_ns",
        "lateness",
        "max_age_ns",
        "mixed",
        "name",
        "newest_ns",
        "nominal_ns",
        "period_min_ns",
        "reach_ns",
        "received",
        "record_ns",
        "sequence",
        "suspect_ns",
        "time",
        "wanted_ns",
        "windowed",
    )

    def __init__(self, name: str, rig: Rig) -> None:
        config = rig.sensors[name]
        self.name = name
        self.config = config
        self.max_age_ns = config.max_age_ns
        self.windowed = config.modality in ("imu", "audio")
        lateness_ms = config.lateness_ms if config.lateness_ms is not None else rig.fusion.lateness_ms
        fixed = None if lateness_ms is None else round(lateness_ms * 1e6)
        self.lateness = Lateness(fixed, rig.fusion.deadline_ns)
        self.admission = Admission(config.period_ns)
        self.sequence = Sequence()
        self.health = HealthMonitor(config)
        self.calibration: str | None = None  # of the messages so far
        self._run = 0  # messages taken as expected since `health` was told
        self.entries: list[Entry] = []
        self.chosen: Entry | None = None  # what the last tick holds of it, while that is still here
        self.received = 0
        self.boot = 0
        self.mixed = False  # the samples may be of several incarnations
        self.ended = False
        self.fused = False  # ticks are made of it
        self.followed = False  # the schedule hears of its samples
        self.wanted_ns = FAR_NS
        self.newest_ns = self.reach_ns = self.floor_ns = -FAR_NS  # reach: how far the samples cover time
        self.consumed_ns: int | None = None  # at_ns of the newest sample that a tick chose
        self.heard_ns: int | None = None  # the last message, good or bad
        self.record_ns = -FAR_NS  # the last one that counted
        self.duration_ns = 0  # what that covers
        self.suspect_ns: int | None = None
        self.idle_after_ns = max(IDLE_PERIODS * config.period_ns, IDLE_MIN_NS)
        self._delay_borne_ns = config.period_ns if config.modality == "audio" else 0
        self.nominal_ns = config.period_ns
        self._review_at = DELAYS
        self.begin_anew()

    # ---- input

    def take_expected(self, envelope: Envelope, now_ns: int) -> bool:
        """Take a message that is as was expected in every respect: nearly all are. False, with nothing changed, where
        anything needs judgement: then it is for `sequence`, `admission`, `time` and `hold`, one after the other, which
        would have done the same with what is taken here.
        """
        sequence, admission, time, entries = self.sequence, self.admission, self.time, self.entries
        boot, seq, stamp, duration = envelope.boot, envelope.seq, envelope.stamp_ns, envelope.duration_ns
        if seq != sequence.next_seq or boot != self.boot or boot != sequence.boot or envelope.problem or envelope.end:
            return False
        if envelope.suspect or envelope.repeat or envelope.calibration != self.calibration:
            return False
        end, least, most, base, over, skew, at = time.routine
        if not (time.stamp_ns < stamp < end and least <= envelope.recv_ns - stamp - duration <= most):
            return False
        event = stamp + base + round(over + skew * (stamp - at))
        windowed = self.windowed
        at = event if windowed else event + duration // 2
        if at <= self.newest_ns or at <= self.floor_ns or len(entries) >= MAX_BUFFERED or not self.fused:
            return False
        free = admission.free_ns
        if free < now_ns:
            free = now_ns
        elif free - now_ns > admission.burst_ns:
            return False
        admission.free_ns = free + admission.step_ns
        sequence.next_seq = seq + 1
        time.stamp_ns = stamp
        self.received += 1
        self.record_ns, self.duration_ns = now_ns, duration
        if windowed:
            reach = at + duration
        else:
            reach = at
            self._learn_pace(at, now_ns)
        self.newest_ns = at
        entries.append((at, boot, seq, event, stamp))
        self._run += 1
        if reach > self.reach_ns:
            self.reach_ns = reach
        return True

    def tell_health(self) -> None:
        """Let `health` know of the messages that were taken as expected since the last time."""
        count = self._run
        if count:
            self._run = 0
            at, _, seq, _, _ = self.entries[-1]
            before = (self.entries[-2][2], self.entries[-2][0]) if count > 1 else None
            self.health.hear_run(before, seq, at, self.record_ns - at - self.duration_ns, self.record_ns, count)

    def tell_health_of(self, envelope: Envelope, at_ns: int | None, now_ns: int) -> None:
        """The same of one that needed judgement, after those before it; `at_ns` is None for one that was refused."""
        self.health.push(envelope, at_ns, now_ns)
        self.calibration = self.health.calibration

    def hold(self, boot: int, seq: int, event_ns: int, duration_ns: int, now_ns: int) -> int | None:
        """Put a sample that arrived `now` in its place, and say where; None when it comes too late for any tick."""
        at = event_ns if self.windowed else event_ns + duration_ns // 2
        if at <= self.floor_ns:
            return None
        if boot != self.boot:
            self.boot, self.mixed = boot, True
        if at <= self.newest_ns:
            at = self._free_instant(at)
        if at > self.newest_ns:
            if not self.windowed:
                self._learn_pace(at, now_ns)
            self.newest_ns = at
            self.entries.append((at, boot, seq, event_ns, self.time.stamp_ns))
        else:
            self.lateness.note(self.received, self.newest_ns - at)
            bisect.insort(self.entries, (at, boot, seq, event_ns, self.time.stamp_ns))
        reach = at + duration_ns if self.windowed else at
        if reach > self.reach_ns:
            self.reach_ns = reach
        return at

    def pass_over(self, event_ns: int, duration_ns: int, now_ns: int) -> int:
        """Hold nothing of a sample that repeats what came before, and say where it would be: nothing new came of the
        stream up to there.
        """
        at = event_ns if self.windowed else event_ns + duration_ns // 2
        if at > self.newest_ns:
            if not self.windowed:
                self._learn_pace(at, now_ns)
            self.newest_ns = at
        return at

    def begin_anew(self) -> None:
        """Know nothing of the clock, of delays and of intervals: at the start, and when time goes at another pace."""
        self.time = StreamTime(self.config)
        self.period_min_ns = round(0.8 * self.nominal_ns)
        self._longest_ns = 0  # from the middle of a measurement to its arrival, of the last messages
        self._delays_ns = (0, 0)  # the same of those before, and before those

    @property
    def overfull(self) -> bool:
        return len(self.entries) > MAX_BUFFERED

    def _learn_pace(self, at_ns: int, now_ns: int) -> None:
        """The longest delay, and the least period: downwards at once, upwards slowly, within reason of the nominal
        one.
        """
        if self.received >= self._review_at:
            self._review_at = self.received + DELAYS
            self._delays_ns = self._delays_ns[1], self._longest_ns
            self._longest_ns = 0
        if now_ns - at_ns > self._longest_ns:
            self._longest_ns = now_ns - at_ns
        nominal, interval_ns = self.nominal_ns, at_ns - self.newest_ns
        if interval_ns < nominal * LEAST_INTERVAL or interval_ns > FAR_NS:  # a first sample has no interval
            return
        if interval_ns < self.period_min_ns:
            self.period_min_ns = max(interval_ns, nominal // 4)
        elif self.period_min_ns < nominal:
            self.period_min_ns = min(
                nominal, self.period_min_ns + min(interval_ns - self.period_min_ns, nominal // 100)
            )

    def _free_instant(self, at_ns: int) -> int:
        """`at_ns`, or where samples lie there and next to it, the first nanosecond after: same stamp, other sample."""
        i = self.window(at_ns)
        while i < len(self.entries) and self.entries[i][0] == at_ns:
            at_ns += 1
            i += 1
        return at_ns

    # ---- what can still come

    def want(self, t_ns: int) -> None:
        """From now on whatever reaches so far that it may settle a tick at `t`, or bring nearer when this stream is
        given up for it, is of note.
        """
        self.wanted_ns = t_ns - (self._delay_borne_ns if self.windowed else 2 * self.nominal_ns)

    def settled(self, t_ns: int) -> bool:
        """Nothing that would make a better choice for `t` can still come, within the allowed lateness."""
        if self.ended:
            return True
        watermark = t_ns + self.lateness.allowed_ns
        if self.windowed:  # a sound's direction and kind bear one block of delay
            return self.reach_ns + self._delay_borne_ns >= watermark
        newest = self.newest_ns
        if watermark == t_ns:  # in order: what comes is after the newest
            return newest >= t_ns - self.period_min_ns // 2
        return newest >= t_ns and self._surrounded(t_ns)

    def given_up_ns(self, t_ns: int) -> int:
        """When the wait for this stream ends if nothing comes: when it falls idle, or, sooner, when the last of its
        samples that could be nearer to `t` is overdue by more than any was lately. It counts as lost then.
        """
        idle = self.record_ns + self.idle_after_ns
        newest, nominal = self.newest_ns, self.nominal_ns
        if self.windowed or not t_ns - 2 * nominal <= newest < t_ns or 10 * self.period_min_ns < 9 * nominal:
            return idle
        overdue = newest + 2 * (t_ns - newest) // nominal * nominal
        delay = max(*self._delays_ns, self._longest_ns)
        return min(idle, overdue + delay + self.lateness.allowed_ns + nominal // 16)

    def _surrounded(self, t_ns: int) -> bool:
        """Whether no sample that is still on its way, out of order, can be nearer to `t` than what is here: the
        watermark has passed all that would be, or samples lie so near that none fits in between.
        """
        i = self.window(t_ns)
        after = self.entries[i][0] - t_ns if i < len(self.entries) else FAR_NS
        before = t_ns - self.entries[i - 1][0] if i else FAR_NS
        best, period = min(before, after), self.period_min_ns
        if best <= period // 2 or before + after < 3 * period // 2:
            return True
        return self.newest_ns - self.lateness.allowed_ns > t_ns + best

    # ---- output

    def nearest(self, t_ns: int, ahead_ns: int) -> int | None:
        """Index of the sample nearest to `t` (of two, the older); None when it is too old, or more than `ahead_ns`
        after.
        """
        entries = self.entries
        i = self.window(t_ns)
        if i and (i == len(entries) or t_ns - entries[i - 1][0] <= entries[i][0] - t_ns):
            i -= 1
        if i == len(entries):
            return None
        distance = entries[i][0] - t_ns
        return None if abs(distance) > self.max_age_ns or distance > ahead_ns else i

    def window(self, t_ns: int) -> int:
        """How many of the oldest samples begin before `t`."""
        return bisect.bisect_left(self.entries, (t_ns,))

    def expired(self, t_ns: int) -> int:
        """How many of the oldest samples are too old for any tick from `t` on."""
        return self.window(self.expires_ns(t_ns))

    def expires_ns(self, t_ns: int) -> int:
        """What lies before is too old for any tick from `t` on."""
        return t_ns - max(KEEP_NS, self.max_age_ns)

    def pull(self, count: int) -> list[Entry]:
        """Take out the `count` oldest samples."""
        taken = self.entries[:count]
        del self.entries[:count]
        return taken

    def clear(self) -> list[Entry]:
        """Take everything out and forget what it said of time."""
        self.tell_health()
        taken, self.entries = self.entries, []
        self.newest_ns = self.reach_ns = -FAR_NS
        self.consumed_ns = None
        return taken

    def age_ns(self, t_ns: int) -> int | None:
        """How long before `t` its newest data ends; None without any."""
        return t_ns - self.reach_ns if self.reach_ns > -FAR_NS else None

    def why_absent(self, t_ns: int) -> StreamStatus:
        """The status of a stream of which a tick that is decided at `t` has nothing."""
        if self.suspect_ns is not None and t_ns - self.suspect_ns < SUSPECT_NS:
            return "suspect"
        if self.health.state == "invalid" or self.health.state == "recovering":
            return self.health.state
        if self.heard_ns is None:
            return "missing"
        if self.heard_ns + self.idle_after_ns < t_ns:
            return "idle"
        return "late" if self.newest_ns == -FAR_NS else "stale"
