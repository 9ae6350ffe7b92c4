"""The fusion process without its sockets: encode on arrival, fuse on tick, publish one frame per tick.

`add` takes samples as they come, `push_tick` takes ticks, `poll` gives the frames that are ready. A tick waits a
little for the data of samples that it names (headers travel faster than images); then it goes without them and says
so.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import first_line
from sensorfuse.fusion.degraded import Expectations, age, overdue_s
from sensorfuse.fusion.fuser import Fuser, FusionResult
from sensorfuse.fusion.model_files import weights_of
from sensorfuse.messages import Detections, FusedFrame, LedgerReason, Sample, StreamTick, StreamUse, Tick
from sensorfuse.rig import Rig
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.wire import Envelope

Key = tuple[str, int, int]  # stream, boot, seq

DATA_WAIT_NS = 30_000_000  # a tick waits so long for the data of samples it names
KEEP_NS = 2_500_000_000
MAX_HELD = 256  # samples held per stream
MAX_PENDING = 2  # raw camera, LiDAR or radar samples that wait for the encoder; older ones only if a tick names them
MAX_BEHIND = 2  # with so many ticks waiting, fuse what is encoded already and shed the rest
MAX_COASTED = 4  # with so many waiting, fuse nothing: tracks are carried to the tick, so that frames keep their cadence
MAX_FAILED = 20  # ticks in a row that strategy or tracker fail at: the last one's error ends the process
SHED = "shed: fusion was behind"


@dataclass
class _Held:
    """One sample: raw until it is encoded. `arrived_ns` is host time."""

    recv_ns: int  # on the reference clock; a device's own may jump
    arrived_ns: int
    sample: Sample | None
    value: Any = None
    encode_ns: int = 0
    failed: str = ""  # what failed at it
    closed: bool = False  # the ledger has its reason


@dataclass
class _Waiting:
    tick: Tick
    arrived_ns: int


@dataclass
class FrameTiming:
    """Wall-clock durations behind one frame, nanoseconds of host time. Not part of the frame: a replay would differ."""

    tick_id: int
    trigger_ns: int  # arrival of the last sample that the tick needed
    durations_ns: dict[str, int]


class FusionRunner:
    """Feeds a strategy and a tracker.

    Args:
        rig: streams and their order.
        fuser: the strategy.
        patient: wait for named data however long it takes (deterministic replay).
        lazy: encode only what a tick names (a standby).
    """

    def __init__(
        self, rig: Rig, fuser: Fuser, tracker: ObjectTracker, patient: bool = False, lazy: bool = False
    ) -> None:
        self.rig = rig
        self.fuser = fuser
        self.tracker = tracker
        self.patient = patient
        self.lazy = lazy
        self.last_tick_id = -1
        self._held: dict[str, OrderedDict[tuple[int, int], _Held]] = {s: OrderedDict() for s in rig.streams()}
        self._ticks: deque[_Waiting] = deque()
        self._wanted: dict[Key, int] = {}  # named by a tick, data not here: host time of the first wish
        self._closed: list[tuple[str, int, int, LedgerReason]] = []
        self.failures: deque[str] = deque(maxlen=100)  # of encoders and engines, for the process to report
        self._failed = 0  # ticks in a row that strategy or tracker failed at
        self._sound: tuple[Detections, NDArray[np.float64], int] | None = None  # tracks, pose and time of the last good
        self._encoded: deque[tuple[int, int]] = deque(maxlen=256)  # when encoders ran, monotonic time
        self._pending: OrderedDict[Key, None] = OrderedDict()  # raw samples to encode, oldest first
        trained = weights_of(rig) if fuser.model else None  # what has no networks scores the same beside any
        self._expectations = Expectations.read(fuser.strategy, fuser.model, trained)
        self._periods_ns = {n: c.period_ns for n, c in rig.sensors.items()}
        self._windowed = {n for n, c in rig.sensors.items() if c.modality in ("imu", "audio")}

    # ---- input

    def add(self, envelope: Envelope, sample: Sample, now_ns: int) -> None:
        """Hold a sample; `encode_next` turns it into features when there is time."""
        held = self._held[envelope.stream]
        key = (envelope.boot, envelope.seq)
        if key in held:
            return
        held[key] = _Held(sample.recv_ns, now_ns, sample)
        full = (envelope.stream, *key)
        if not self.lazy:
            self._pending[full] = None
            waiting = [k for k in self._pending if k[0] == envelope.stream]
            if envelope.stream not in self._windowed and len(waiting) > MAX_PENDING:
                del self._pending[waiting[0]]
        while len(held) > MAX_HELD or (len(held) > 1 and sample.recv_ns - next(iter(held.values())).recv_ns > KEEP_NS):
            old, _ = held.popitem(last=False)
            self._pending.pop((envelope.stream, *old), None)

    def encode_next(self) -> bool:
        """Encode one waiting sample, the newest first. False when none waits."""
        if not self._pending:
            return False
        (stream, boot, seq), _ = self._pending.popitem(last=True)
        self._encode(stream, self._held[stream][(boot, seq)])
        return True

    def push_tick(self, tick: Tick, now_ns: int) -> None:
        """Queue a tick; one that was fused already (a standby repeats some) is ignored."""
        newest = self._ticks[-1].tick.tick_id if self._ticks else self.last_tick_id
        if tick.tick_id > newest:
            self._ticks.append(_Waiting(tick, now_ns))

    def skip_to(self, tick_id: int) -> None:
        """Another process fused up to `tick_id`."""
        self.last_tick_id = max(self.last_tick_id, tick_id)
        while self._ticks and self._ticks[0].tick.tick_id <= tick_id:
            self._ticks.popleft()

    # ---- output

    def poll(self, now_ns: int) -> tuple[FusedFrame, FrameTiming] | None:
        """Fuse the next tick if its data is here or has been waited for long enough."""
        if not self._ticks:
            return None
        waiting = self._ticks[0]
        absent = [key for key in self._named(waiting.tick) if not self._here(key)]
        if absent and (self.patient or now_ns - waiting.arrived_ns < DATA_WAIT_NS):
            return None
        self._ticks.popleft()
        return self._fuse(waiting, set(absent), now_ns)

    def encoding_since(self, mono_ns: int) -> int:
        """Nanoseconds spent in encoders since a moment of monotonic time."""
        return sum(max(0, end - max(start, mono_ns)) for start, end in self._encoded)

    @property
    def backlog(self) -> int:
        return len(self._ticks)

    def close_remaining(self) -> list[tuple[str, int, int, LedgerReason]]:
        """At the end: what ticks named and never came is lost."""
        for stream, boot, seq in self._wanted:
            self._closed.append((stream, boot, seq, "transport_lost"))
        self._wanted.clear()
        closed, self._closed = self._closed, []
        return closed

    # ---- inside

    def _named(self, tick: Tick) -> list[Key]:
        return [(s.stream, s.boot, seq) for s in tick.streams for seq in s.seqs]

    def _here(self, key: Key) -> bool:
        return key[1:] in self._held[key[0]]

    def _encode(self, stream: str, held: _Held) -> None:
        if held.sample is None or held.failed:
            return
        start = time.monotonic_ns()
        try:
            held.value = self.fuser.encode(held.sample)
        except Exception as error:  # a strategy must not stop the pipeline: the tick goes on without this sample
            held.failed = "encoder failed"
            self.failures.append(f"{stream}: encoding sample {held.sample.seq} failed: {error!r}")
        self._hear()
        held.sample = None
        end = time.monotonic_ns()
        held.encode_ns = end - start
        self._encoded.append((start, end))

    def _fuse(self, waiting: _Waiting, absent: set[Key], now_ns: int) -> tuple[FusedFrame, FrameTiming]:
        tick = waiting.tick
        evidence: dict[str, list[Any]] = {}
        encode_ns = 0
        here: list[tuple[Key, _Held]] = []
        absent_streams: dict[str, str] = {}
        behind = not self.patient and len(self._ticks) >= MAX_BEHIND
        coasting = not self.patient and len(self._ticks) >= MAX_COASTED
        for stream in tick.streams:
            values, failed = [], ""
            for seq in stream.seqs:
                key = (stream.stream, stream.boot, seq)
                if key in absent:
                    self._wanted.setdefault(key, now_ns)
                    continue
                held = self._held[stream.stream][key[1:]]
                if coasting or (held.sample is not None and behind):
                    self._settle(key, held, "queue_full")
                    absent_streams[stream.stream] = SHED
                    continue
                if held.sample is not None:
                    self._pending.pop(key, None)
                    self._encode(stream.stream, held)
                encode_ns += held.encode_ns
                here.append((key, held))
                failed = failed or held.failed
                if not held.failed:
                    values.append(held.value)
            if values:
                evidence[stream.stream] = values
            elif stream.seqs and stream.stream not in absent_streams:
                absent_streams[stream.stream] = "data not here in time" if self._any(absent, stream) else failed
        model_start = time.perf_counter_ns()
        nothing = FusionResult(Detections.empty(), {})  # nobody looked
        try:
            result = nothing if coasting else self.fuser.fuse(tick, evidence)
            over_s = overdue_s(tick.streams, evidence, result.weights, self._periods_ns)
            for name in set(result.sources) - set(self._held) if over_s > 0 else ():  # a stream's own are moved singly
                result.sources[name] = age(result.sources[name], over_s)
            tracked_from = time.perf_counter_ns()
            tracks = self.tracker.update(tick.t_ref_ns, result.sources, tick.pose)
            self._failed = 0
        except Exception as error:  # of a sample that nobody foresaw: the tick goes on without any
            result, tracked_from = nothing, time.perf_counter_ns()
            tracks = self._carried_on(tick, error)
            absent_streams.update(dict.fromkeys(evidence, "fusion failed"))
            evidence = {}
            for _, held in here:
                held.failed = held.failed or "fusion failed"
        done = time.perf_counter_ns()
        self._sound = tracks, tick.pose, tick.t_ref_ns
        self._hear()
        for key, held in here:
            self._settle(key, held, "corrupt" if held.failed else "fused")
        self._give_up(now_ns)
        self.last_tick_id = tick.tick_id
        durations = {
            "queue": waiting.arrived_ns - tick.emit_ns,
            "data_wait": now_ns - waiting.arrived_ns,
            "encode": encode_ns,
            "fuse": tracked_from - model_start,
            "track": done - tracked_from,
        }
        frame = self._frame(tick, result, tracks, evidence, absent_streams)
        return frame, FrameTiming(tick.tick_id, tick.last_needed_recv_ns, durations)

    def _carried_on(self, tick: Tick, error: Exception) -> Detections:
        """Tracks at a tick that strategy or tracker failed at: the last good ones, moved on. What the strategy
        remembers is forgotten, as it may be what it fails at.

        Raises:
            Exception: that error, when it is one of many in a row and so no sample's fault.
        """
        self._failed += 1
        if self._failed >= MAX_FAILED:
            raise error
        self.failures.append(f"fusing tick {tick.tick_id} failed: {first_line(error)}; it goes out without samples")
        self.fuser.forget()
        if self._sound is not None:
            self.tracker.restore(*self._sound)
        return self.tracker.update(tick.t_ref_ns, {}, tick.pose)

    def _hear(self) -> None:
        """What failed in the strategy and was mended there is reported too."""
        while self.fuser.failures:
            self.failures.append(self.fuser.failures.popleft())

    def _any(self, keys: set[Key], stream: StreamTick) -> bool:
        return any(k[0] == stream.stream for k in keys)

    def _settle(self, key: Key, held: _Held, reason: LedgerReason) -> None:
        if not held.closed:
            held.closed = True
            self._wanted.pop(key, None)
            self._closed.append((*key, reason))

    def _give_up(self, now_ns: int) -> None:
        """Samples that a tick named: came after it and were never fused (late), or did not come at all (lost)."""
        for key, since in list(self._wanted.items()):
            if now_ns - since > KEEP_NS:
                del self._wanted[key]
                self._closed.append((*key, "late" if self._here(key) else "transport_lost"))

    def _frame(
        self,
        tick: Tick,
        result: FusionResult,
        tracks: Detections,
        evidence: dict[str, list[Any]],
        absent_streams: dict[str, str],
    ) -> FusedFrame:
        uses = []
        for s in tick.streams:
            used = s.stream in evidence
            reason = "" if used else absent_streams.get(s.stream, s.status)
            use = StreamUse(
                s.stream, s.modality, used, reason, age_ns=0, skew_ns=0, bound_ns=0, weight=0.0, health=s.health
            )
            if used:
                use.age_ns = -s.dt_ns
                use.skew_ns = 0 if s.method == "window" else abs(s.dt_ns)
                use.bound_ns, use.bound_m = use.skew_ns + s.bound_ns, s.bound_m
                use.weight = float(result.weights.get(s.stream, 0.0))
            uses.append(use)
        served = {u.modality for u in uses if u.used}
        gone = [m for m in self.rig.fusion.modalities if m not in served]
        closed, self._closed = self._closed, []
        expected = self._expectations.of(served)
        sigma = tick.twist_sigma if result.twist_sigma is None else result.twist_sigma
        return FusedFrame(
            tick_id=tick.tick_id,
            t_ref_ns=tick.t_ref_ns,
            detections=result.detections,
            tracks=tracks,
            twist=np.asarray(tick.twist if result.twist is None else result.twist, dtype=np.float64),
            twist_sigma=np.asarray(sigma, dtype=np.float64),
            pose=tick.pose,
            sounds=result.sounds,
            uses=uses,
            strategy=self.fuser.strategy,
            model=self.fuser.model,
            engine=self.fuser.engine,
            precision=self.fuser.precision,
            deadline_hit=tick.deadline_hit,
            mode="full" if not gone else "no_" + "_".join(gone),
            dispositions=closed,
            pose_covariance=tick.pose_covariance,
            expected_score=expected.score,
            expected_figure=expected.figure,
            expected_ms=expected.ms,
        )
