"""Content offsets while the streams run: signatures and gyro samples in, an offset per stream out.

A plain state machine of bounded memory: the same input gives the same offsets. The reference is a gyro (and where there
is an INS, its speed); a camera or a LiDAR is matched by how it turns, a scanning radar by its yaw alone, a Doppler
radar by its speed, a microphone by what the camera saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.content.offset_track import latest_jump
from sensorfuse.align.content.offset_tracker import OffsetState, OffsetTracker
from sensorfuse.align.content.onset_offset import onset_offset
from sensorfuse.align.content.rate_offset import mean_rates
from sensorfuse.align.content.reference import Floats, Reference, Spans, as_reference, as_spans
from sensorfuse.align.content.search import Gate
from sensorfuse.align.content.stream_history import History, numbers, span_of
from sensorfuse.align.content.stream_match import MAX_LAG_S, Match, matched_scalar, matched_turns, seen_axes

SECOND_NS = 1_000_000_000
WINDOW_S, CHECK_WINDOW_S, PATH_S = 15.0, 4.0, 60.0
EVERY_NS, CHECK_NS, ONSETS_NS = SECOND_NS, SECOND_NS // 2, 10 * SECOND_NS
BACK_NS = 5 * SECOND_NS  # time that runs back by more begins anew
LEAST_S = 3.0  # of motion before anything is said
SPEED_GATE = Gate(moving=0.2, sigma_s=0.02)
CHECK_GATE = Gate(rows=16)


@dataclass(frozen=True)
class ContentOffset:
    """`t_reference = t_stream + offset`: one sigma, the tracker's state and how often its output stepped (`epoch`).

    peak, gap, excitation and reason are those of the latest estimate (see `RateOffset`); excitation is the rms of the
    reference along its strongest axis.
    """

    offset_ns: int
    sigma_ns: int
    state: OffsetState
    epoch: int
    peak: float
    gap: float
    excitation: float
    reason: str


@dataclass
class _Stream:
    """One stream's history and track."""

    tracker: OffsetTracker
    R_base_sensor: Floats | None
    turns: History = field(default_factory=lambda: History(6))
    speeds: History = field(default_factory=lambda: History(2))
    motion: History = field(default_factory=lambda: History(1))
    onsets: History = field(default_factory=lambda: History(1))
    since_ns: int | None = None  # what is older belongs to another offset
    due_ns: int | None = None
    heard_ns: int | None = None
    check_ns: int | None = None
    pushed_s: float | None = None
    latest: Match | None = None
    judging: Match | None = None  # a new estimate, while its parts are looked at, one per call
    rotation: Floats | None = None

    def histories(self) -> tuple[History, ...]:
        """All that is kept of its signatures."""
        return self.turns, self.speeds, self.motion, self.onsets


class ContentSync:
    """Offsets of all streams against a gyro. Times are integer nanoseconds of the reference clock.

    Args:
        prior_sigmas_s: per stream, one sigma of the offset that the rig gives (which has been applied already).
        rotations: per stream, R_base_sensor (3, 3): the axis of a sensor that sees one alone, and what a turn that is
            found must roughly have; without it the axes are the base's and any mounting goes.
    """

    def __init__(self, prior_sigmas_s: Mapping[str, float], rotations: Mapping[str, Floats] | None = None) -> None:
        turned = rotations or {}
        self._streams = {
            name: _Stream(OffsetTracker(sigma), np.asarray(turned[name], dtype=np.float64) if name in turned else None)
            for name, sigma in prior_sigmas_s.items()
        }
        self._gyro = History(3)
        self._speed = History(1)
        self._base_ns: int | None = None
        self._newest_ns: int | None = None

    # ---- input

    def push_gyro(self, time_ns: NDArray[np.int64], gyro_radps: Floats) -> None:
        """The reference's samples: times (n,), rates (n, 3) in base axes."""
        times = np.asarray(time_ns, dtype=np.int64)
        self._gyro.push(np.stack([times, times], axis=1), np.asarray(gyro_radps, dtype=np.float64))

    def push_speed(self, time_ns: NDArray[np.int64], speed_mps: Floats) -> None:
        """The reference's speed, from an INS: times (n,), metres per second (n,)."""
        times = np.asarray(time_ns, dtype=np.int64)
        self._speed.push(np.stack([times, times], axis=1), np.asarray(speed_mps, dtype=np.float64)[:, None])

    def push_signature(self, stream: str, signature: Mapping[str, Any], shift_ns: int, stamp_ns: int) -> None:
        """What a stream's process measured of motion. Its times, of the device's clock, become reference times by
        `shift_ns`; `stamp_ns` is the sample's, of the reference clock. What is malformed is left out.
        """
        known = self._streams.get(stream)
        if known is None or abs(shift_ns) >= 2**62 or abs(stamp_ns) >= 2**62:
            return
        turn, sigma = numbers(signature, "turn_rad", 3), numbers(signature, "turn_sigma_rad", 3)
        span = span_of(signature, "turn_span_ns", shift_ns)
        if turn is not None and span is not None and np.isfinite(turn).all():
            known.turns.push(span, np.concatenate([turn, sigma if sigma is not None else np.ones(3)])[None])
        velocity = numbers(signature, "ego_velocity_mps", 3)
        spread = numbers(signature, "ego_velocity_sigma_mps", 3)
        if velocity is not None and spread is not None and np.isfinite(velocity[:2]).all():
            row = np.array([[np.hypot(*velocity[:2]), np.hypot(*spread[:2])]])
            known.speeds.push(np.array([[stamp_ns, stamp_ns]], dtype=np.int64), row)
        moved, during = signature.get("motion"), span_of(signature, "motion_span_ns", shift_ns)
        if isinstance(moved, int | float) and during is not None and np.isfinite(moved):
            known.motion.push(during, np.array([[float(moved)]]))
        self._push_onsets(known, signature, shift_ns)

    def _push_onsets(self, known: _Stream, signature: Mapping[str, Any], shift_ns: int) -> None:
        start, hop, onset = (signature.get(k) for k in ("onset_start_ns", "onset_hop_ns", "onset"))
        if type(start) is not int or type(hop) is not int or not isinstance(onset, list) or not 0 < hop < SECOND_NS:
            return
        values = numbers(signature, "onset", len(onset))
        if values is None or not np.isfinite(values).all() or abs(start) >= 2**62:
            return
        middle = start + shift_ns + hop // 2 + hop * np.arange(len(values), dtype=np.int64)
        known.onsets.push(np.stack([middle, middle], axis=1), values[:, None])

    def reset(self, stream: str) -> None:
        """Forget a stream's history: its clock has jumped. The offset found stays, as it belongs to the sensor."""
        known = self._streams[stream]
        for history in known.histories():
            history.clear()
        known.since_ns = known.judging = None

    # ---- output

    def offset(self, stream: str, t_ns: int) -> ContentOffset:
        """What is known of a stream's offset at `t_ns`; estimates nothing, costs next to nothing."""
        known = self._streams[stream]
        t_s = self._seconds(t_ns)
        tracker, latest = known.tracker, known.latest
        return ContentOffset(
            round(1e9 * tracker.offset_s(t_s)),
            round(1e9 * tracker.sigma_s(t_s)),
            tracker.state,
            tracker.epoch,
            latest.peak if latest else 0.0,
            latest.gap if latest else 0.0,
            latest.excitation if latest else 0.0,
            latest.reason if latest else "nothing measured yet",
        )

    def estimate(self, stream: str, t_ns: int) -> ContentOffset:
        """Estimate anew where that is due (once a second, and twice whether the offset moved), then `offset`."""
        if self._newest_ns is not None and t_ns < self._newest_ns - BACK_NS:
            self._begin_anew(t_ns)
        self._newest_ns = t_ns
        known = self._streams[stream]
        t_s = self._seconds(t_ns)
        due = known.due_ns is None or not 0 <= t_ns - known.due_ns < EVERY_NS
        self._judge(known, t_s, due)
        if known.check_ns is None or not 0 <= t_ns - known.check_ns < CHECK_NS:
            known.check_ns = t_ns
            short = self._match(known, t_ns, CHECK_WINDOW_S, CHECK_GATE)
            if short is not None:
                if known.tracker.restless(t_s):
                    self._take(known, short, CHECK_WINDOW_S)
                else:
                    move = (short.skew, short.skew_sigma)
                    known.tracker.check(short.at_s, short.offset_s, short.sigma_s, short.accepted, *move)
            if known.tracker.state == "reacquiring":
                self._reacquire(known, t_ns)
        if due:
            known.due_ns = t_ns
            if not known.tracker.restless(t_s):
                found = self._match(known, t_ns, WINDOW_S, Gate())
                if found is not None and found.parts is not None and known.pushed_s is not None:
                    known.judging = found
                elif found is not None:
                    self._take(known, found.judged(), WINDOW_S)
                elif known.pushed_s is not None and known.onsets.newest_ns is None:
                    known.tracker.look(t_s)
        if known.onsets.newest_ns is not None and (known.heard_ns is None or t_ns - known.heard_ns >= ONSETS_NS):
            known.heard_ns = t_ns
            found = self._match_onsets(known, t_ns)
            if found is not None:
                self._take(known, found, PATH_S)
        return self.offset(stream, t_ns)

    def _judge(self, known: _Stream, t_s: float, at_once: bool) -> None:
        """Look at one more part of a new estimate, so that no call takes long, and take the estimate in after the last;
        one from before the offset moved is dropped.
        """
        found = known.judging
        if found is None or found.parts is None or known.tracker.restless(t_s):
            known.judging = None
            return
        found.parts.step()
        if found.parts.done or at_once:
            known.judging = None
            self._take(known, found.judged(), WINDOW_S)

    def _begin_anew(self, t_ns: int) -> None:
        """The reference clock was set back: offsets belong to the sensors and stay, all else is forgotten."""
        last_s = self._seconds(self._newest_ns or 0)
        for known in self._streams.values():
            known.since_ns = known.judging = None
            tracker = OffsetTracker(known.tracker.sigma_s(last_s), known.tracker.offset_s(last_s))
            tracker.epoch = known.tracker.epoch
            known.tracker, known.pushed_s = tracker, None
            known.check_ns = known.due_ns = known.heard_ns = None
        histories = [h for known in self._streams.values() for h in known.histories()]
        for history in (self._gyro, self._speed, *histories):
            if history.newest_ns is not None and history.newest_ns > t_ns + BACK_NS:
                history.clear()  # of the time before
        self._base_ns = None

    def _take(self, known: _Stream, found: Match, window_s: float) -> None:
        fresh = 1.0 if known.pushed_s is None else (found.at_s - known.pushed_s) / window_s
        known.latest = replace(found, parts=None)
        move = (found.skew, found.skew_sigma)
        known.tracker.push(found.at_s, found.offset_s, found.sigma_s, found.accepted, fresh, *move)
        if found.accepted:
            known.pushed_s = found.at_s
            known.rotation = found.rotation if found.rotation is not None else known.rotation

    def _seconds(self, t_ns: int) -> float:
        if self._base_ns is None:
            self._base_ns = t_ns
        return (t_ns - self._base_ns) * 1e-9

    # ---- estimates

    def _match(self, known: _Stream, t_ns: int, window_s: float, gate: Gate) -> Match | None:
        """The newest `window_s` of a stream against the reference, along the track so far; None without both."""
        base_ns = self._base_ns or 0
        start_ns = t_ns - round(window_s * 1e9)
        if known.since_ns is not None:
            start_ns = max(start_ns, known.since_ns)
        gyro_start_ns = t_ns - round((window_s + 2 * MAX_LAG_S + 1.0) * 1e9)
        if known.turns.newest_ns is not None:
            span, row = known.turns.since(start_ns, base_ns)
            seen, axis = seen_axes(row[:, 3:])
            reference = self._reference(self._gyro, gyro_start_ns)
            if reference is None or len(span) == 0 or span[-1, 1] - span[0, 0] < LEAST_S:
                return None
            if axis is None:
                spans = mean_rates(span[seen], row[seen, :3], row[seen, 3:])
                mounted = known.R_base_sensor.T if known.R_base_sensor is not None else None
                return matched_turns(reference, spans, known.tracker, gate, mounted)
            sigma = row[seen, 3 + axis][:, None]
            spans = mean_rates(span[seen], np.repeat(row[seen, axis][:, None], 3, axis=1), np.repeat(sigma, 3, axis=1))
            way = (known.R_base_sensor if known.R_base_sensor is not None else np.eye(3))[:, axis]
            along = as_reference(reference.time_s, reference.value @ way)
            one = Spans(spans.start_s, spans.end_s, np.ascontiguousarray(spans.value[:, :1]), spans.weight)
            return matched_scalar(along, one, known.tracker, gate)
        if known.speeds.newest_ns is not None:
            reference = self._reference(self._speed, gyro_start_ns)
            span, row = known.speeds.since(start_ns, base_ns)
            if reference is None or len(span) == 0:
                return None
            variance = np.where(np.isfinite(row[:, 1]), row[:, 1], np.inf) ** 2 + 1e-4
            return matched_scalar(reference, as_spans(span, row[:, 0], 1 / variance), known.tracker, SPEED_GATE)
        return None

    def _match_onsets(self, known: _Stream, t_ns: int) -> Match | None:
        """A microphone against the first camera that tells of motion."""
        base_ns = self._base_ns or 0
        start_ns = t_ns - round(PATH_S * 1e9)
        heard_span, heard = known.onsets.since(start_ns, base_ns)
        for camera in self._streams.values():
            span, motion = camera.motion.since(start_ns, base_ns)
            if len(span) == 0:
                continue
            moved = camera.tracker.offset_s(self._seconds(t_ns))
            found = onset_offset(span + moved, motion, heard_span.mean(axis=1), heard, MAX_LAG_S)
            sigma = float(np.hypot(found.sigma_s, camera.tracker.sigma_s(self._seconds(t_ns))))
            at_s = float(heard_span.mean()) if len(heard_span) else self._seconds(t_ns)
            return Match(
                at_s, found.offset_s, sigma, found.accepted, found.peak, found.gap, 0.0, found.reason, 0.0, float("inf")
            )
        return None

    def _reference(self, history: History, start_ns: int) -> Reference | None:
        span, row = history.since(start_ns, self._base_ns or 0)
        return as_reference(span[:, 0], row) if len(span) > 1 else None

    def _reacquire(self, known: _Stream, t_ns: int) -> None:
        """The offset has moved: since when, the lag path over the last minute tells."""
        at_s, offset_s, sigma_s, skew, skew_sigma = known.tracker.newest_odd()
        base_ns, start_ns = self._base_ns or 0, t_ns - round(PATH_S * 1e9)
        known.since_ns = base_ns + round((at_s - CHECK_WINDOW_S / 2) * 1e9)
        reference = self._reference(self._gyro, start_ns)
        span, row = known.turns.since(start_ns, base_ns)
        if reference is not None and known.rotation is not None and len(span):
            spans = mean_rates(span, row[:, :3], row[:, 3:])
            reach_s = abs(offset_s - known.tracker.predicted_s(at_s)) + MAX_LAG_S / 2
            jumped_s = latest_jump(reference, spans, reach_s, offset_s, known.rotation)
            if jumped_s is not None:
                known.since_ns = base_ns + round(jumped_s * 1e9)
        known.tracker.reacquire(at_s, offset_s, sigma_s, skew, skew_sigma)
        known.pushed_s, known.judging = at_s, None
