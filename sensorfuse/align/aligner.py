"""The aligner: streams in, one tick per cadence out.

Ticks come at the rig's rate from the clock, not from any sensor. A tick at `t` is emitted at the first of: every
awaited stream is *settled* at `t`; the deadline. A stream is settled when its watermark has passed `t`, or when its
newest sample is so near `t` that nothing nearer can come (its known minimum period says when the next may be).
Streams that are silent for long are not awaited. Nothing is dropped without a reason: every sample that no tick chose
is closed with one.

A plain state machine: `push(envelope, now)`, `poll(now)`. It owns no clock, socket or thread.
"""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.clock_model import Counter
from sensorfuse.align.ego_motion import EgoMotion
from sensorfuse.align.gyro_bias import GyroBias
from sensorfuse.align.stream_clock import StreamClock
from sensorfuse.messages import LedgerReason, StreamStatus, StreamTick, Tick
from sensorfuse.rig import Rig, SensorConfig
from sensorfuse.wire import Envelope

IDLE_PERIODS = 3
IDLE_MIN_NS = 50_000_000
KEEP_NS = 2_000_000_000
MAX_BUFFERED = 4096  # samples held per stream; beyond, the oldest is closed as queue_full
SUSPECT_NS = 1_000_000_000
REMEMBERED = 4096


@dataclass(order=True)
class _Entry:
    """`at_ns` is what the choice goes by: the middle of what the sample covers, or for IMU and audio its beginning."""

    at_ns: int
    boot: int
    seq: int
    event_ns: int = field(compare=False)  # the stamp, on the reference clock
    duration_ns: int = field(compare=False)
    sigma_ns: int = field(compare=False)
    offset_ns: int = field(compare=False)
    chosen: bool = field(default=False, compare=False)


class _Stream:
    """What the aligner knows of one stream."""

    def __init__(self, name: str, config: SensorConfig, lateness_ns: int) -> None:
        self.name = name
        self.config = config
        self.windowed = config.modality in ("imu", "audio")
        self.clock = StreamClock(
            config.period_ns,
            config.offset_ns,
            round(config.offset_sigma_s * 1e9),
            counter=Counter(config.counter.turn_ns) if config.counter is not None else None,
        )
        self.lateness_ns = lateness_ns
        self.entries: list[_Entry] = []
        self.newest_ns: int | None = None
        self.newest_end_ns: int | None = None
        self.period_min_ns = round(0.8 * config.period_ns)
        self.consumed_ns: int | None = None  # at_ns of the newest sample that a tick chose
        self.last_push_ns: int | None = None
        self.suspect_ns: int | None = None
        self.ended = False
        self.boot = 0
        self.seen: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)  # (boot, seq) of the latest samples
        self.seen_set: set[tuple[int, int]] = set()
        self.received = 0

    def is_copy(self, boot: int, seq: int) -> bool:
        """Whether this very sample came before (the transport delivered it twice); remembers it."""
        key = (boot, seq)
        if key in self.seen_set:
            return True
        if len(self.seen) == REMEMBERED:
            self.seen_set.discard(self.seen[0])
        self.seen.append(key)
        self.seen_set.add(key)
        return False

    def idle(self, now_ns: int) -> bool:
        if self.last_push_ns is None:
            return True
        return now_ns - self.last_push_ns > max(IDLE_PERIODS * self.config.period_ns, IDLE_MIN_NS)

    def settled(self, t_ns: int) -> bool:
        """Nothing that would make a better choice for `t` can still come (within the allowed lateness)."""
        if self.ended:
            return True
        if self.newest_ns is None or self.newest_end_ns is None:
            return False
        if self.config.modality == "imu":
            return self.newest_end_ns - self.lateness_ns >= t_ns
        if self.config.modality == "audio":  # direction and kind of a sound bear one block of delay
            return self.newest_end_ns + self.config.period_ns - self.lateness_ns >= t_ns
        if self.newest_ns - self.lateness_ns >= t_ns:
            return True
        return self.lateness_ns == 0 and t_ns - self.newest_ns <= self.period_min_ns // 2

    def insert(self, entry: _Entry) -> None:
        if self.newest_ns is not None and entry.at_ns > self.newest_ns and not self.windowed:
            interval = entry.at_ns - self.newest_ns
            # learn the minimum period downwards at once, upwards slowly, within reason of the nominal one
            if interval < self.period_min_ns:
                self.period_min_ns = max(interval, self.config.period_ns // 4)
            else:
                self.period_min_ns += min(interval - self.period_min_ns, self.config.period_ns // 100)
                self.period_min_ns = min(self.period_min_ns, self.config.period_ns)
        bisect.insort(self.entries, entry)
        self.newest_ns = entry.at_ns if self.newest_ns is None else max(self.newest_ns, entry.at_ns)
        end = entry.event_ns + entry.duration_ns
        self.newest_end_ns = end if self.newest_end_ns is None else max(self.newest_end_ns, end)


class Aligner:
    """Aligned sets from headers.

    Args:
        rig: sensors, cadence, deadline.
        origin_ns: reference time of tick 0; tick k lies at `origin_ns + k * period`.
        first_tick: where to begin; a standby that joins late begins at the running tick.
    """

    def __init__(self, rig: Rig, origin_ns: int, first_tick: int = 0) -> None:
        self.rig = rig
        self.period_ns = rig.fusion.period_ns
        self.deadline_ns = rig.fusion.deadline_ns
        self.origin_ns = origin_ns
        self.next_tick = first_tick
        lateness = round(rig.fusion.lateness_ms * 1e6)
        self._streams = {n: _Stream(n, rig.sensors[n], lateness) for n in rig.streams()}
        self._fused = set(rig.fused_streams())
        self._closed: list[tuple[str, int, int, LedgerReason]] = []
        self._ego = EgoMotion()
        self._gyro_bias = {n: GyroBias() for n in rig.streams() if rig.sensors[n].modality == "imu"}
        self._last_t_ns: int | None = None
        self._trigger_ns = 0

    # ---- input

    def push(self, envelope: Envelope, now_ns: int, arrays: dict[str, NDArray[Any]] | None = None) -> None:
        """Take one header (and an IMU's arrays).

        Unknown streams raise KeyError: the wire layer has checked the name.
        """
        stream = self._streams[envelope.stream]
        stream.last_push_ns = now_ns
        if envelope.end:
            stream.ended = True
            return
        if stream.is_copy(envelope.boot, envelope.seq):
            return
        stream.received += 1
        key = (envelope.boot, envelope.seq)
        if envelope.problem:
            self._close(stream, *key, "corrupt")
            return
        epoch = stream.clock.epoch
        reading = stream.clock.read(envelope.stamp_ns, envelope.recv_ns, now_ns, envelope.duration_ns)
        if reading is None:
            stream.suspect_ns = now_ns
            self._close(stream, *key, "quarantined")
            return
        if reading.epoch != epoch:
            self._flush_stream(stream)
        if envelope.stream not in self._fused:
            self._close(stream, *key, "no_tick")
            self._feed_ego(stream, envelope, reading.event_ns, arrays)
            return
        at = reading.event_ns + (0 if stream.windowed else envelope.duration_ns // 2)
        if self._too_late(stream, at):
            self._close(stream, *key, "late")
            return
        while any(e.at_ns == at for e in stream.entries[-8:]):
            at += 1  # same stamp, other sample: kept, one nanosecond on
        stream.boot = envelope.boot
        entry = _Entry(at, *key, reading.event_ns, envelope.duration_ns, reading.sigma_ns, reading.offset_ns)
        t_next = self._t(self.next_tick)
        was_settled = stream.settled(t_next)
        stream.insert(entry)
        if not was_settled and stream.settled(t_next):
            self._trigger_ns = envelope.recv_ns  # the last one of these made the tick decidable
        if len(stream.entries) > MAX_BUFFERED:
            self._drop(stream, stream.entries.pop(0), "queue_full")
        self._feed_ego(stream, envelope, reading.event_ns, arrays)

    def _too_late(self, stream: _Stream, at_ns: int) -> bool:
        if stream.consumed_ns is not None:
            return at_ns <= stream.consumed_ns
        return self._last_t_ns is not None and at_ns < self._last_t_ns - stream.config.max_age_ns

    def _feed_ego(
        self, stream: _Stream, envelope: Envelope, event_ns: int, arrays: dict[str, NDArray[Any]] | None
    ) -> None:
        T_base_sensor = stream.config.T_base_sensor.transform()
        if arrays and "gyro_radps" in arrays:
            bias = self._gyro_bias[stream.name]
            if "accel_mps2" in arrays:
                bias.update(event_ns, arrays["gyro_radps"], arrays["accel_mps2"], self._ego.moves())
            gyro = (arrays["gyro_radps"] - bias.value) @ T_base_sensor.rotation.T
            times = event_ns + arrays["time_ns"]
            self._ego.push_rates(times, gyro)
            if "velocity_mps" in arrays:
                v = T_base_sensor.rotation @ arrays["velocity_mps"][-1]
                v = v - np.cross(gyro[-1], T_base_sensor.translation)
                self._ego.push_velocity(int(times[-1]), v, np.array([0.2, 0.2, 0.5]))
        velocity = envelope.signature.get("ego_velocity_mps")
        if velocity is not None:
            sigma = np.asarray(envelope.signature["ego_velocity_sigma_mps"], dtype=np.float64)
            rate, _ = self._ego.rate_at(event_ns)
            v = np.asarray(velocity, dtype=np.float64) - np.cross(rate, T_base_sensor.translation)
            self._ego.push_velocity(event_ns, v, sigma)

    # ---- output

    def poll(self, now_ns: int) -> list[Tick]:
        """The ticks that are due, in order."""
        ticks = []
        while (t := self._t(self.next_tick)) <= now_ns:
            settled = self._all_settled(t, now_ns)
            deadline = t + self.deadline_ns
            if not settled and now_ns < deadline:
                break
            trigger = max(t, self._trigger_ns if settled else deadline)
            ticks.append(self._emit(t, now_ns, not settled, min(trigger, now_ns)))
        return ticks

    def next_due_ns(self, now_ns: int) -> int:
        """When `poll` may next have something although nothing arrives: the next tick or its deadline."""
        t = self._t(self.next_tick)
        return t if now_ns < t else t + self.deadline_ns

    def flush(self, end_ns: int, now_ns: int) -> list[Tick]:
        """Every tick up to `end_ns`, whoever is missing: no more data will come."""
        ticks = []
        while (t := self._t(self.next_tick)) <= end_ns:
            ticks.append(self._emit(t, now_ns, False, now_ns))
        return ticks

    def close_remaining(self) -> list[tuple[str, int, int, LedgerReason]]:
        """At the end: close what no tick chose, and hand over the dispositions that no tick carried."""
        for stream in self._streams.values():
            self._flush_stream(stream)
        closed, self._closed = self._closed, []
        return closed

    def follow(self, tick: Tick) -> None:
        """A standby takes the active twin's dead-reckoned pose, so that the odometry frame survives a takeover."""
        self._ego.adopt(tick.pose, tick.t_ref_ns)

    def received(self) -> dict[str, int]:
        return {n: s.received for n, s in self._streams.items()}

    def _t(self, k: int) -> int:
        return self.origin_ns + k * self.period_ns

    def _all_settled(self, t_ns: int, now_ns: int) -> bool:
        return all(s.settled(t_ns) or s.idle(now_ns) for n, s in self._streams.items() if n in self._fused)

    def _emit(self, t_ns: int, now_ns: int, deadline_hit: bool, trigger_ns: int) -> Tick:
        streams = [self._choose(s, t_ns, now_ns) for n, s in self._streams.items() if n in self._fused]
        pose = self._ego.advance(t_ns)
        twist, sigma = self._ego.twist_at(t_ns)
        closed, self._closed = self._closed, []
        tick = Tick(self.next_tick, t_ns, now_ns, deadline_hit, streams, pose, twist, sigma, closed, trigger_ns)
        self.next_tick += 1
        self._last_t_ns = t_ns
        self._trigger_ns = 0
        return tick

    def _choose(self, stream: _Stream, t_ns: int, now_ns: int) -> StreamTick:
        config = stream.config
        out = StreamTick(stream.name, config.modality, "ok", stream.boot)
        chosen = self._window(stream, t_ns) if stream.windowed else self._nearest(stream, t_ns)
        if not chosen:
            out.status = self._why_absent(stream, now_ns)
            return out
        last = chosen[-1]
        out.boot = last.boot
        out.seqs = [e.seq for e in chosen if e.boot == last.boot]
        out.dt_ns = last.event_ns - t_ns
        out.sigma_ns, out.offset_ns = last.sigma_ns, last.offset_ns
        out.method = "window" if stream.windowed else "nearest"
        stream.consumed_ns = last.at_ns
        return out

    def _why_absent(self, stream: _Stream, now_ns: int) -> StreamStatus:
        if stream.suspect_ns is not None and now_ns - stream.suspect_ns < SUSPECT_NS:
            return "suspect"
        if stream.last_push_ns is None:
            return "missing"
        if stream.idle(now_ns):
            return "idle"
        return "stale" if stream.entries or stream.newest_ns is not None else "late"

    def _nearest(self, stream: _Stream, t_ns: int) -> list[_Entry]:
        """The sample nearest to `t`; all older ones can never be chosen again and are closed."""
        if not stream.entries:
            return []
        best = min(stream.entries, key=lambda e: (abs(e.at_ns - t_ns), e.at_ns))
        if abs(best.at_ns - t_ns) > stream.config.max_age_ns or best.at_ns > t_ns + self.period_ns:
            self._expire(stream, t_ns)
            return []
        while stream.entries[0] is not best:
            self._drop(stream, stream.entries.pop(0), "superseded")
        best.chosen = True
        return [best]

    def _window(self, stream: _Stream, t_ns: int) -> list[_Entry]:
        """All samples that begin up to `t` and were not taken by an earlier tick."""
        n = bisect.bisect_right(stream.entries, t_ns, key=lambda e: e.at_ns)
        taken, stream.entries = stream.entries[:n], stream.entries[n:]
        fresh = [e for e in taken if t_ns - e.at_ns <= max(KEEP_NS, stream.config.max_age_ns)]
        for entry in taken[: len(taken) - len(fresh)]:
            self._drop(stream, entry, "no_tick")
        boot = fresh[-1].boot if fresh else 0
        for entry in fresh:
            entry.chosen = entry.boot == boot
            self._drop(stream, entry, "superseded")
        return fresh

    def _expire(self, stream: _Stream, t_ns: int) -> None:
        while stream.entries and t_ns - stream.entries[0].at_ns > max(KEEP_NS, stream.config.max_age_ns):
            self._drop(stream, stream.entries.pop(0), "no_tick")

    def _drop(self, stream: _Stream, entry: _Entry, reason: LedgerReason) -> None:
        """An entry leaves the buffer. Chosen ones are closed by the fusion process, which knows if they were fused."""
        if not entry.chosen:
            self._close(stream, entry.boot, entry.seq, reason)

    def _flush_stream(self, stream: _Stream) -> None:
        for entry in stream.entries:
            self._drop(stream, entry, "no_tick")
        stream.entries.clear()
        stream.newest_ns = stream.newest_end_ns = stream.consumed_ns = None

    def _close(self, stream: _Stream, boot: int, seq: int, reason: LedgerReason) -> None:
        self._closed.append((stream.name, boot, seq, reason))
