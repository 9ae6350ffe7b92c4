"""One stream's health: a plain state machine over its messages.

    ok -> late -> stale -> lost       by what is overdue, too old, silent
    any -> invalid                    by content, stamps or calibration that cannot be used
    lost, invalid -> recovering -> ok by messages that are sound, for long enough: the stream votes again then
    late, stale -> ok                 by a few messages in time

Thresholds follow the stream's own period and jitter. Downwards a state is left at once, upwards only after several good
messages and some time, so that jitter and single losses change nothing.
"""

from __future__ import annotations

import math

from sensorfuse.health.pace import Pace
from sensorfuse.messages import HealthState, StreamHealth
from sensorfuse.sensor_config import SensorConfig
from sensorfuse.wire import Envelope

LATE_PERIODS, LATE_JITTERS, LATE_SLACK_NS = 2.5, 6.0, 10_000_000
LOST_PERIODS, LOST_MIN_S = 12, 1.5
INVALID_AFTER = 3  # messages in a row that cannot be used
UNDATED_AFTER = 10  # as many before the first that can: a device that knows no date is learned by its first ones
LATE_AFTER = 3  # messages in a row that came after the ticks they were for
MISSING_ON, MISSING_OFF = 0.15, 0.08
DRIFT_ON, DRIFT_OFF = 0.10, 0.05
PUNCTUAL, PUNCTUAL_NS = 3, 300_000_000
RETURNED = 5  # sound messages in a row, fewer of a slow stream
MIN_FADE = 0.1
STAMPS = "its stamps cannot be right"
SILENT, NEVER_HEARD = "silent", "not heard since the start"
BACK, CLOCK_ANEW = "back, being checked", "its clock began anew"
SEVERITY: dict[HealthState, int] = {"ok": 0, "late": 1, "stale": 2}


class HealthMonitor:
    """Feed it every message; ask at every tick.

    Messages come one by one, or where nothing is odd about them many at once (`hear_run`).

    Args:
        config: of the sensor.
    """

    __slots__ = (
        "_any_ns", "_calibration", "_clock_epoch", "_config", "_fade_from_ns", "_good", "_good_since_ns", "_heard_ns",
        "_late", "_lost_ns", "_nominal_ns", "_reason", "_suspect", "_trouble", "_unusable", "changed", "doubted",
        "pace", "refused", "state",
    )  # fmt: skip

    def __init__(self, config: SensorConfig) -> None:
        self.pace = Pace(config.period_ns)
        self.state: HealthState = "ok"
        self.refused = self.doubted = 0
        self.changed = ""  # what the last poll changed, in words
        self._config = config.health
        self._nominal_ns = config.period_ns
        self._lost_ns = None if config.health.lost_s is None else round(config.health.lost_s * 1e9)
        self._any_ns: int | None = None  # the last message of any kind; the beginning, before the first
        self._heard_ns: int | None = None  # the last sound one
        self._late = 0  # messages in a row that came after the ticks they were for
        self._good = 0  # sound messages since the last trouble
        self._good_since_ns = 0
        self._unusable = 0  # messages in a row that were refused
        self._trouble = ""  # of the last that was
        self._suspect = ""
        self._reason = ""
        self._calibration: str | None = None
        self._clock_epoch = 0
        self._fade_from_ns: int | None = None

    # ---- input

    def push(self, envelope: Envelope, event_ns: int | None, now_ns: int) -> None:
        """A message that came at `now_ns`. `event_ns`: when it measured what it holds, None for a message that was
        refused, for `envelope.problem` or for its stamp.
        """
        problem = envelope.problem
        self._any_ns = now_ns if self._any_ns is None else max(self._any_ns, now_ns)
        if event_ns is None:
            problem = problem or STAMPS
        elif self._calibration is None:
            self._calibration = envelope.calibration
        elif envelope.calibration != self._calibration:
            self.refused += 1
            problem = f"its calibration is {envelope.calibration!r}, was {self._calibration!r}"
        if problem or event_ns is None:
            self._unusable += 1
            self._trouble = problem
            self._good = 0
            return
        self._unusable = self._late = 0
        self._heard_ns = now_ns if self._heard_ns is None else max(self._heard_ns, now_ns)
        if not self._good:
            self._good_since_ns = now_ns
        self._good += 1
        self._suspect = envelope.suspect
        self.doubted += bool(envelope.suspect)
        self.pace.hear(envelope.seq, event_ns, now_ns - event_ns - envelope.duration_ns)

    def hear_run(
        self, before: tuple[int, int] | None, seq: int, event_ns: int, delay_ns: int, now_ns: int, count: int
    ) -> None:
        """`count` messages with nothing odd about them came, up to one at `now_ns` with this number, event and delay;
        `before` is number and event of the one before it, where there was one in the run.
        """
        self._unusable = self._late = 0
        self._suspect = ""
        self._any_ns = now_ns if self._any_ns is None or now_ns > self._any_ns else self._any_ns
        self._heard_ns = now_ns if self._heard_ns is None or now_ns > self._heard_ns else self._heard_ns
        if not self._good:
            self._good_since_ns = now_ns
        self._good += count
        if before is None:
            self.pace.hear(seq, event_ns, delay_ns)
        else:
            self.pace.hear_run(before, seq, event_ns, delay_ns, count)

    @property
    def calibration(self) -> str | None:
        """That of the stream's first sound message, which all others must have."""
        return self._calibration

    def note_late(self, now_ns: int) -> bool:
        """A message came after the ticks that it was for; True when all do lately."""
        self._late += 1
        self._any_ns = now_ns if self._any_ns is None else max(self._any_ns, now_ns)
        return self._late >= LATE_AFTER

    # ---- output

    @property
    def votes(self) -> bool:
        """Whether ticks may be made of it."""
        return self.state in SEVERITY

    def poll(self, now_ns: int, age_ns: int | None, max_age_ns: int, clock_epoch: int = 0) -> HealthState:
        """Judge. `age_ns`: how long before the tick its newest data ends (None: there is
        none); data older than `max_age_ns` is of no use to a tick. `clock_epoch` counts how often its clock began anew.
        """
        if self._any_ns is None:
            self._any_ns = now_ns
        known = self._heard_ns is not None
        before = self.state
        if clock_epoch != self._clock_epoch:
            self._clock_epoch = clock_epoch
            if known:
                self._turn("recovering", CLOCK_ANEW)
                self._good = min(self._good, 1)
                self._good_since_ns = now_ns
        state, reason = self._condition(now_ns, age_ns, max_age_ns)
        if state not in SEVERITY:
            self._turn(state, reason)
        elif not self.votes:
            self._return(state, now_ns)
        elif SEVERITY[state] > SEVERITY[self.state]:
            self._turn(state, reason)
        elif state != "ok" and state == self.state:
            self._good, self._reason = 0, reason
        elif self._good >= PUNCTUAL and now_ns - self._good_since_ns >= PUNCTUAL_NS:
            self._turn(state, reason)
        if self.state == "ok":
            self._reason = self._oddity()
        self.changed = "" if self.state == before else f"{before} -> {self.state}" + (
            f": {self._reason}" if self._reason else ""
        )  # fmt: skip
        return self.state

    def report(self, now_ns: int, heard: int) -> StreamHealth:
        """What is known of the stream; `heard` messages came so far."""
        pace = self.pace
        return StreamHealth(
            self.state,
            self._reason,
            self._weight(now_ns),
            pace.period_ns if pace.known else 0,
            pace.jitter_ns,
            heard,
            pace.missed,
            self.refused,
            self.doubted,
        )

    # ---- inside

    def _condition(self, now_ns: int, age_ns: int | None, max_age_ns: int) -> tuple[HealthState, str]:
        """What the stream would be called for this moment alone."""
        pace = self.pace
        silence = now_ns - (self._any_ns or 0)
        if silence >= self._lost_after_ns():
            return "lost", NEVER_HEARD if self._heard_ns is None else SILENT
        if self._unusable >= (UNDATED_AFTER if self._heard_ns is None else INVALID_AFTER):
            return "invalid", self._trouble
        if self._suspect and self._config.suspect == "exclude":
            return "invalid", self._suspect
        if self._late >= LATE_AFTER:
            return "late", "comes after the ticks that it is for"
        if self._heard_ns is None:
            return "ok", ""
        late_after = LATE_PERIODS * pace.period_ns + LATE_JITTERS * pace.jitter_ns + LATE_SLACK_NS
        if age_ns is not None and age_ns > max_age_ns + late_after:
            return "stale", "its newest data is too old"
        if silence >= late_after:
            return "late", "overdue"
        if pace.missing >= (MISSING_OFF if self.state == "late" else MISSING_ON):
            return "late", f"{math.ceil(pace.missing * 10) * 10} % of its messages are missing"
        return "ok", ""

    def _lost_after_ns(self) -> float:
        if self._lost_ns is not None:
            return self._lost_ns
        return max(LOST_MIN_S * 1e9, LOST_PERIODS * max(self.pace.period_ns, self._nominal_ns))

    def _return(self, state: HealthState, now_ns: int) -> None:
        """Nothing is wrong with it now, but it has no vote yet."""
        if not self._good:
            return
        if self.state != "recovering":
            self._turn("recovering", BACK)
            self._good, self._good_since_ns = 1, now_ns
        wait_ns = self._config.recover_s * 1e9
        enough = min(RETURNED, math.ceil(wait_ns / self._nominal_ns) + 1)
        if state != "stale" and self._good >= enough and now_ns - self._good_since_ns >= wait_ns:
            self._fade_from_ns = now_ns
            self._turn(state, "")

    def _turn(self, state: HealthState, reason: str) -> None:
        if state != self.state:
            if state in ("stale", "lost", "invalid") or reason == CLOCK_ANEW:
                self.pace.begin_anew()
            if state not in ("ok", "recovering"):
                self._good = 0
            self.state = state
        self._reason = reason

    def _oddity(self) -> str:
        """What is odd of a stream that is ok."""
        if self._suspect:
            return self._suspect
        drift = self.pace.drift
        told = self._reason.startswith("a message every")
        if abs(drift) > (DRIFT_OFF if told else DRIFT_ON):
            return f"a message every {self.pace.period_ns / 1e6:.2g} ms, the rig says {self._nominal_ns / 1e6:.3g} ms"
        return ""

    def _weight(self, now_ns: int) -> float:
        if not self.votes:
            return 0.0
        weight = self._config.suspect_weight if self._suspect and self._config.suspect == "downweight" else 1.0
        if self._fade_from_ns is not None:
            share = (now_ns - self._fade_from_ns) / max(1.0, self._config.fade_s * 1e9)
            if share >= 1:
                self._fade_from_ns = None
            else:
                weight *= max(MIN_FADE, share)
        return weight
