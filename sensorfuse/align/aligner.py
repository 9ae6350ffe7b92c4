"""The aligner: streams in, ticks out.

When ticks come is the schedule's matter (`schedule.py`); no sensor is privileged. A tick at `t` goes out at the first
of: every awaited stream is *settled* at `t`; the deadline. A stream is settled when its watermark has passed `t`, or
when it has samples so near `t` that nothing nearer can come (its known minimum period says so). Streams that are silent
for long are not awaited. Nothing is dropped without a reason: every sample that no tick chose is closed with one.

Where the streams are a log that somebody plays at another pace, time is told at that pace from when it is known on:
reference times are seconds of the log then, so that clocks, waits and the cadence are those of the recording.

A plain state machine: `push(envelope, now)`, `poll(now)`. It owns no clock, socket or thread, and what a tick holds
follows from the messages and their times, not from when it was polled.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from operator import itemgetter
from typing import Any

from numpy.typing import NDArray

from sensorfuse.align.own_motion import OwnMotion
from sensorfuse.align.paced_time import PacedTime
from sensorfuse.align.replay_rate import ReplayRate
from sensorfuse.align.schedule import FAR_NS, make_schedule
from sensorfuse.align.stream_buffer import Entry, StreamBuffer
from sensorfuse.align.uncertain_offsets import UncertainOffsets
from sensorfuse.errors import first_line
from sensorfuse.messages import LedgerReason, StreamTick, Tick
from sensorfuse.rig import Rig
from sensorfuse.wire import Envelope

SEQ = itemgetter(2)  # of an Entry
SAME_TIME_NS = 1_000_000  # to which the paced time of two twins agrees
MAX_CARRIED = 8192  # dispositions that one tick carries; more wait for the next
MAX_CLOSED = 200_000  # that wait; beyond, the oldest are left to the ledger, which counts them as lost


class Aligner:
    """Aligned sets from headers.

    Args:
        rig: sensors, policy, deadline.
        origin_ns: reference time of tick 0; with the policy `rate`, tick k lies at `origin_ns + k * period`.
        first_tick: number of the first tick to come; a standby that joins late begins at the running one.
    """

    def __init__(self, rig: Rig, origin_ns: int, first_tick: int = 0) -> None:
        self.rig = rig
        self.period_ns = rig.fusion.period_ns
        self.next_tick = first_tick
        self.incomplete = 0  # ticks left out for want of a required stream
        self.alerts: deque[str] = deque(maxlen=100)  # for the process to report
        self.schedule = make_schedule(rig, origin_ns, first_tick)
        self._streams = {n: StreamBuffer(n, rig) for n in rig.streams()}
        self._fused = {n: self._streams[n] for n in rig.fused_streams()}
        for name, stream in self._fused.items():
            stream.fused, stream.followed = True, name in self.schedule.follows
        self._closed: deque[tuple[str, int, int, LedgerReason]] = deque(maxlen=MAX_CLOSED)
        self.motion = OwnMotion(rig, self.alerts)
        self.offsets = UncertainOffsets(rig, self._streams)
        self._last_t_ns: int | None = None
        self._waited: StreamBuffer | None = None  # whom the next tick waits for
        self._slowest_first = sorted(self._fused.values(), key=lambda s: -s.nominal_ns)
        self._unsettled = iter(self._slowest_first)  # those after it are still to be looked at
        self._ready: list[Tick] = []  # decided while a later message was taken in, for the next poll
        self._time, self._pace = PacedTime(), ReplayRate(len(self._streams))
        self._open()

    # ---- input

    def push(self, envelope: Envelope, now_ns: int, arrays: dict[str, NDArray[Any]] | None = None) -> None:
        """Take one header (and an IMU's arrays). A tick that was due before the message was received goes without it.

        Unknown streams raise KeyError: the wire layer has checked the name.
        """
        if self._time.began:
            now_ns = self._time.paced_ns(now_ns)
            envelope = replace(envelope, recv_ns=self._time.paced_ns(envelope.recv_ns))
        if now_ns > self._due_ns and envelope.recv_ns > self._due_ns:
            self._run(min(now_ns, envelope.recv_ns) - 1, now_ns)
        if self.offsets.due:
            try:
                self.offsets.work()
            except Exception as error:  # of what came long before this message: it must not cost this one
                self.alerts.append(f"looking at what the streams saw of motion failed: {first_line(error)}")
        stream = self._streams[envelope.stream]
        stream.heard_ns = now_ns
        if not stream.take_expected(envelope, now_ns):
            self._judge(stream, envelope, now_ns, arrays)
            return
        if stream.followed and self.schedule.offer(stream.newest_ns, now_ns):
            self._open(now_ns, envelope.recv_ns)
        if stream.reach_ns >= stream.wanted_ns:
            self._note_waited(stream, envelope, now_ns)
        if arrays or envelope.signature:
            self.motion.hear(envelope, stream.entries[-1][3], arrays, self.offsets)

    def discard(self, envelope: Envelope) -> None:
        """Close a message that could not be taken in whole, unless it waits for its tick already."""
        stream = self._streams[envelope.stream]
        stream.tell_health()
        if not any(entry[1:3] == (envelope.boot, envelope.seq) for entry in stream.entries):
            self._closed.append((stream.name, envelope.boot, envelope.seq, "corrupt"))

    def _judge(
        self, stream: StreamBuffer, envelope: Envelope, now_ns: int, arrays: dict[str, NDArray[Any]] | None
    ) -> None:
        """Take a message that is not quite as was expected."""
        stream.tell_health()
        if envelope.end:
            stream.ended = True
            if stream is self._waited:
                self._note_waited(stream, envelope, now_ns)
            return
        boot, seq = envelope.boot, envelope.seq
        if not stream.sequence.is_new(boot, seq):
            return
        stream.received += 1
        recv_ns = self._time.host_ns(envelope.recv_ns)
        if self._pace.push(stream.name, envelope.stamp_ns, recv_ns - envelope.duration_ns):
            self.alerts.append(f"the streams are played at {self._pace.rate:.3g} times their own pace: time goes by it")
            self._time.set_rate(self._pace.rate, self._time.host_ns(now_ns))
            self._begin_anew()
        if not stream.admission.admits(now_ns):
            self._closed.append((stream.name, boot, seq, "queue_full"))
            return
        if envelope.problem:
            self._reject(stream, envelope, "corrupt", now_ns)
            return
        event = stream.time.event_ns(envelope, now_ns)
        if event is None:
            stream.suspect_ns = now_ns
            self._reject(stream, envelope, "quarantined", now_ns)
            return
        stream.record_ns = now_ns
        if stream.time.restarted:
            stream.time.restarted = False
            self._flush_stream(stream)
        if stream.fused:
            repeat, duration = envelope.repeat, envelope.duration_ns
            if repeat:
                at: int | None = stream.pass_over(event, duration, now_ns)
            else:
                at = stream.hold(boot, seq, event, duration, now_ns)
            if at is None:
                always = stream.health.note_late(now_ns)
                self._closed.append((stream.name, boot, seq, "late"))
                if always and stream.followed and self.schedule.miss(event, now_ns):
                    self._open(now_ns, envelope.recv_ns)
                return
            stream.tell_health_of(envelope, at, now_ns)
            if repeat:
                self._closed.append((stream.name, boot, seq, "no_tick"))
            elif stream.overfull:
                self._drop(stream, 1, "queue_full")
            if stream.followed and self.schedule.offer(at, now_ns):
                self._open(now_ns, envelope.recv_ns)
            if stream.reach_ns >= stream.wanted_ns or (repeat and stream is self._waited):
                self._note_waited(stream, envelope, now_ns)
        else:
            self._closed.append((stream.name, boot, seq, "no_tick"))
        if arrays or envelope.signature:
            self.motion.hear(envelope, event, arrays, self.offsets)

    def _reject(self, stream: StreamBuffer, envelope: Envelope, reason: LedgerReason, now_ns: int) -> None:
        self._closed.append((stream.name, envelope.boot, envelope.seq, reason))
        stream.health.refused += 1
        stream.tell_health_of(envelope, None, now_ns)
        if stream.admission.note_reject(now_ns):
            stream.suspect_ns = now_ns
            self.alerts.append(f"{stream.name}: disabled for a second, too many of its messages are {reason}")

    def _note_waited(self, stream: StreamBuffer, envelope: Envelope, now_ns: int) -> None:
        """A message of the stream that is waited for: it may settle it, or bring its being given up nearer."""
        if stream.settled(self._anchor.t_ns):
            self._settled_ns, self._trigger_ns = now_ns, envelope.recv_ns
            self._wait()
        else:
            self._wait_for(stream)

    # ---- output

    def poll(self, now_ns: int) -> list[Tick]:
        """The ticks that are due, in order."""
        if self._time.began:
            now_ns = self._time.paced_ns(now_ns)
        if now_ns >= self._due_ns:
            self._run(now_ns, now_ns)
        if not self._ready:
            return []
        ticks, self._ready = self._ready, []
        return ticks

    def next_due_ns(self) -> int:
        """When `poll` may next have something although nothing arrives."""
        return self._time.host_ns(self._due_ns)

    def flush(self, end_ns: int, now_ns: int) -> list[Tick]:
        """Every tick up to `end_ns`, whoever is missing: no more data will come."""
        end_ns, now_ns = self._time.paced_ns(end_ns), self._time.paced_ns(now_ns)
        while self._anchor.t_ns <= end_ns:
            self._emit(now_ns, now_ns, False, now_ns)
        ticks, self._ready = self._ready, []
        return ticks

    def close_remaining(self) -> list[tuple[str, int, int, LedgerReason]]:
        """At the end: close what no tick chose, and hand over the dispositions that no tick carried."""
        for stream in self._streams.values():
            self._flush_stream(stream)
        closed = list(self._closed)
        self._closed.clear()
        return closed

    def _begin_anew(self) -> None:
        """Time goes at another pace: what the streams showed of their clocks so far was told in other seconds."""
        for stream in self._streams.values():
            stream.begin_anew()
            self._flush_stream(stream)
        self.offsets = UncertainOffsets(self.rig, self._streams)

    def follow(self, tick: Tick) -> None:
        """A standby takes the active twin's time, and its dead-reckoned pose, so that both survive a takeover."""
        host_ns = tick.t_ref_ns + tick.shift_ns
        if tick.pace != self._time.rate or abs(self._time.paced_ns(host_ns) - tick.t_ref_ns) > SAME_TIME_NS:
            self._pace.rate = tick.pace
            self._time.adopt(tick.pace, host_ns, tick.t_ref_ns)
            self._begin_anew()
        self.motion.adopt(tick)

    def received(self) -> dict[str, int]:
        return {n: s.received for n, s in self._streams.items()}

    def counters(self) -> dict[str, dict[str, int]]:
        """Per stream, since the start: `copies`, `out_of_order`, `refused` for their rate, `clock_resets`, and what is
        now `held` and allowed in `lateness_ns`.
        """
        return {
            n: {
                "copies": s.sequence.copies,
                "out_of_order": s.lateness.out_of_order,
                "refused": s.admission.refused,
                "clock_resets": s.time.clock.epoch,
                "held": len(s.entries),
                "lateness_ns": s.lateness.allowed_ns,
            }
            for n, s in self._streams.items()
        }

    def _open(self, now_ns: int = -FAR_NS, recv_ns: int = 0) -> None:
        """Turn to the next anchor, which became known at `now_ns`: who is still awaited for it, and when it is due."""
        self._anchor = self.schedule.anchor()
        self._settled_ns, self._trigger_ns = now_ns, recv_ns
        self._unsettled = iter(self._slowest_first)
        self._wait()

    def _wait(self) -> None:
        """Turn to the next stream that is not settled, if there is any: one after the other is waited for."""
        t_ns = self._anchor.t_ns
        for stream in self._unsettled:
            if not stream.settled(t_ns):
                return self._wait_for(stream)
        return self._wait_for(None)

    def _wait_for(self, stream: StreamBuffer | None) -> None:
        """No tick goes out before this stream is settled or given up: messages of others only ever put that off."""
        if self._waited is not None:
            self._waited.wanted_ns = FAR_NS
        self._waited = stream
        t, opens, deadline = self._anchor
        self._due_ns = max(opens, self._settled_ns)
        if stream is not None:
            stream.want(t)
            self._due_ns = max(self._due_ns, min(deadline, stream.given_up_ns(t) + 1))

    def _decide(self) -> tuple[bool, int]:
        """Look at all streams: whether the next tick goes out for its deadline, and since when it could have."""
        t, _, deadline = self._anchor
        silent = -FAR_NS
        self._wait_for(None)
        for stream in self._slowest_first:
            if not stream.settled(t) and stream.given_up_ns(t) >= silent:
                silent = stream.given_up_ns(t) + 1
                self._wait_for(stream)
        self._unsettled = iter(self._slowest_first)
        if silent >= deadline:
            return True, deadline
        return False, silent if silent == self._due_ns else max(t, self._trigger_ns)

    def _run(self, until_ns: int, now_ns: int) -> None:
        """Send out what is due up to `until_ns`."""
        while self._due_ns <= until_ns:
            late, trigger = self._decide()
            if self._due_ns <= until_ns:
                self._emit(self._due_ns, now_ns, late, min(trigger, now_ns))

    def _emit(self, decided_ns: int, now_ns: int, deadline_hit: bool, trigger_ns: int) -> None:
        t_ns = self._anchor.t_ns
        for stream in self._fused.values():
            self._check_health(stream, t_ns, decided_ns)
        if self.rig.fusion.drop_incomplete and not all(self._holds(s, t_ns) for s in self._fused.values()):
            self.incomplete += 1
            self.next_tick += not self.schedule.counted
        else:
            streams = [self._choose(s, t_ns, decided_ns) for s in self._fused.values()]
            motion, host_ns = self.motion.at(t_ns), self._time.host_ns
            closed = [self._closed.popleft() for _ in range(min(MAX_CARRIED, len(self._closed)))]
            speed = motion.bound_mps()
            for s in streams:
                s.bound_m = speed * s.bound_ns / 1e9 if s.bound_ns else 0.0
            self._ready.append(
                Tick(
                    self.next_tick, t_ns, host_ns(now_ns), deadline_hit, streams, motion.pose, motion.twist,
                    motion.sigma, closed, host_ns(trigger_ns), motion.covariance, motion.times_ns, motion.motion,
                    self._time.rate, host_ns(t_ns) - t_ns,
                )
            )  # fmt: skip
            self.next_tick += 1
        self._last_t_ns = t_ns
        self.schedule.went_out(t_ns)
        self.offsets.went_out(t_ns)
        self._open()

    def _holds(self, stream: StreamBuffer, t_ns: int) -> bool:
        """Whether a tick at `t` would have something of a stream that it must have."""
        if not stream.config.required:
            return True
        if not stream.health.votes:
            return False
        return bool(stream.window(t_ns)) if stream.windowed else stream.nearest(t_ns, self.period_ns) is not None

    def _check_health(self, stream: StreamBuffer, t_ns: int, decided_ns: int) -> None:
        """Bring a stream's health up to a tick; what a stream without a vote holds so far is of no use to any."""
        health = stream.health
        stream.tell_health()
        if not stream.ended:
            health.poll(decided_ns, stream.age_ns(t_ns), stream.max_age_ns, stream.time.clock.epoch)
            if health.changed:
                self.alerts.append(f"{stream.name}: {health.changed}")
        if not health.votes:
            self._drop(stream, stream.window(t_ns), "no_tick")

    def _choose(self, stream: StreamBuffer, t_ns: int, decided_ns: int) -> StreamTick:
        name, modality = stream.name, stream.config.modality
        health = stream.health.report(decided_ns, stream.received)
        chosen: list[Entry] = []
        if stream.health.votes:
            chosen = self._window(stream, t_ns) if stream.windowed else self._nearest(stream, t_ns)
        if not chosen:
            if stream.consumed_ns is None:
                stream.floor_ns = t_ns - stream.max_age_ns - 1
            return StreamTick(name, modality, stream.why_absent(decided_ns), stream.boot, health=health)
        at, boot, _, event, stamp = chosen[-1]
        stream.consumed_ns = stream.floor_ns = at
        stream.lateness.review(stream.received)
        sigma, bound = stream.time.sigma_and_bound_ns(stamp)
        method, seqs = "window" if stream.windowed else "nearest", list(map(SEQ, chosen))
        spoken = (event - t_ns, sigma, event - stamp, method, bound)
        return StreamTick(name, modality, "ok", boot, seqs, *spoken, health=health)

    def _nearest(self, stream: StreamBuffer, t_ns: int) -> list[Entry]:
        """The sample nearest to `t`; all older ones can never be chosen again and are closed."""
        i = stream.nearest(t_ns, self.period_ns)
        if i is None:
            self._drop(stream, stream.expired(t_ns), "no_tick")
            return []
        self._drop(stream, i, "superseded")
        stream.chosen = stream.entries[0]
        return [stream.chosen]

    def _window(self, stream: StreamBuffer, t_ns: int) -> list[Entry]:
        """All samples that begin before `t` and were not taken by an earlier tick; of the newest incarnation alone."""
        if stream.entries and stream.entries[0][0] < stream.expires_ns(t_ns):
            self._drop(stream, stream.expired(t_ns), "no_tick")
        taken = stream.pull(stream.window(t_ns))
        if not stream.mixed:
            return taken
        stream.mixed = any(e[1] != stream.boot for e in stream.entries)
        older = [e for e in taken if e[1] != taken[-1][1]]
        self._close_all(stream, older, "superseded")
        return [e for e in taken if e not in older] if older else taken

    def _drop(self, stream: StreamBuffer, count: int, reason: LedgerReason) -> None:
        """The `count` oldest samples leave the buffer. What the last tick chose is closed by the fusion process, which
        knows if it was fused.
        """
        if count:
            self._close_all(stream, stream.pull(count), reason)

    def _flush_stream(self, stream: StreamBuffer) -> None:
        self._close_all(stream, stream.clear(), "no_tick")
        if self._last_t_ns is not None:
            stream.floor_ns = self._last_t_ns - stream.max_age_ns - 1

    def _close_all(self, stream: StreamBuffer, entries: list[Entry], reason: LedgerReason) -> None:
        for entry in entries:
            if entry is not stream.chosen:
                self._closed.append((stream.name, entry[1], entry[2], reason))
