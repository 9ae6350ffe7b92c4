"""What became of every stream at every tick, held in a few bytes per tick while frames stream by."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sensorfuse.messages import FusedFrame, StreamUse

STATES: dict[str, str] = {
    "used": "in the fused frame",
    "late": "came after the tick had to go out",
    "stale": "last sample too old",
    "idle": "silent for long, not waited for",
    "missing": "never seen",
    "suspect": "stamps quarantined",
    "invalid": "what it sends cannot be used",
    "recovering": "back, checked before it votes",
    "shed": "skipped, fusion was behind",
    "failed": "its encoder failed, or what was made of its samples",
}
"""A stream's state at a tick, as shown. An age limit and a deadline are the rig's."""

DATA_LATE = "data not here in time"  # the fusion process waited for the arrays in vain
SHED = "shed"  # how a reason begins when fusion was behind and went on without samples
MAX_POINTS = 600  # per stream in an age curve


def state_of(use: StreamUse) -> str:
    """One of STATES for what a frame says of a stream."""
    if use.used:
        return "used"
    if use.reason == DATA_LATE:
        return "late"
    if use.reason.startswith(SHED):
        return "shed"
    return use.reason if use.reason in STATES and use.reason != "used" else "failed"


@dataclass
class _Track:
    """One stream: parallel columns over the ticks that mention it."""

    modality: str
    ticks: array[int] = field(default_factory=lambda: array("q"))
    states: bytearray = field(default_factory=bytearray)
    age_ms: array[float] = field(default_factory=lambda: array("f"))
    bound_ms: array[float] = field(default_factory=lambda: array("f"))
    weight: array[float] = field(default_factory=lambda: array("f"))
    reasons: Counter[str] = field(default_factory=Counter)


class StateHistory:
    """Feed it every frame once; ask for runs of states, gaps, and ages at the end."""

    def __init__(self) -> None:
        self._names = list(STATES)
        self.streams: dict[str, _Track] = {}

    def add(self, frame: FusedFrame) -> None:
        for use in frame.uses:
            track = self.streams.setdefault(use.stream, _Track(use.modality))
            track.ticks.append(frame.tick_id)
            track.states.append(self._names.index(state_of(use)))
            track.age_ms.append(use.age_ns / 1e6)
            track.bound_ms.append(use.bound_ns / 1e6)
            track.weight.append(use.weight)
            if not use.used:
                track.reasons[use.reason or "unknown"] += 1

    def runs(self, stream: str) -> list[list[Any]]:
        """`[first tick, number of ticks, state]` of every stretch of successive ticks in one state."""
        track = self.streams[stream]
        out: list[list[Any]] = []
        for tick, code in sorted(zip(track.ticks, track.states, strict=True)):
            state = self._names[code]
            if out and out[-1][2] == state and out[-1][0] + out[-1][1] == tick:
                out[-1][1] += 1
            else:
                out.append([tick, 1, state])
        return out

    def used_ticks(self, streams: Iterable[str]) -> set[int]:
        """Ticks that used any of these streams."""
        code = self._names.index("used")
        return {
            tick
            for s in streams
            if s in self.streams
            for tick, state in zip(self.streams[s].ticks, self.streams[s].states, strict=True)
            if state == code
        }

    def use(self, stream: str) -> dict[str, Any]:
        """How a stream was used: ticks, reasons of absence, age and alignment bound in ms, mean weight."""
        track = self.streams[stream]
        used = np.frombuffer(track.states, dtype=np.uint8) == self._names.index("used")
        weight = np.asarray(track.weight)[used]
        return {
            "modality": track.modality,
            "ticks_used": int(used.sum()),
            "ticks_absent": int((~used).sum()),
            "absent_because": dict(sorted(track.reasons.items())),
            "age_ms": percentiles(np.asarray(track.age_ms)[used]),
            "bound_ms": percentiles(np.asarray(track.bound_ms)[used]),
            "weight_mean": float(weight.mean()) if len(weight) else None,
        }

    def age_curve(self, stream: str) -> list[list[float]]:
        """`[tick, age in ms]` where the stream was used, at most MAX_POINTS of them, evenly picked."""
        track = self.streams[stream]
        used = np.flatnonzero(np.frombuffer(track.states, dtype=np.uint8) == self._names.index("used"))
        if len(used) > MAX_POINTS:
            used = used[np.linspace(0, len(used) - 1, MAX_POINTS).round().astype(int)]
        return [[int(track.ticks[i]), round(float(track.age_ms[i]), 3)] for i in used]


def percentiles(values: Any) -> dict[str, Any]:
    """`n`, `p50`, `p99` and `max` (linear interpolation, as numpy's default); None for the figures of nothing."""
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[np.isfinite(kept)]
    if len(kept) == 0:
        return {"n": 0, "p50": None, "p99": None, "max": None}
    p50, p99 = np.percentile(kept, [50, 99])
    return {"n": len(kept), "p50": float(p50), "p99": float(p99), "max": float(kept.max())}
