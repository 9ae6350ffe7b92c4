"""Content offsets on simulated recordings whose truth is known: error, honesty of sigma, offsets that move.

    sensorfuse bench align

`compare()` has the errors of other estimators beside ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sensorfuse.align.content.content_sync import ContentSync
from sensorfuse.align.content.offset_track import track_offsets
from sensorfuse.align.content.rate_offset import RateOffset, rate_offset
from sensorfuse.bench.goals import Goal
from sensorfuse.bench.offset_baselines import BASELINES
from sensorfuse.bench.turning import (
    CASES,
    HIDDEN_CASES,
    STEP_AT_S,
    Case,
    Floats,
    Turning,
    counted_recording,
    moving_recording,
    recording,
)

GROSS_MS = 10.0
WITHIN_MS = 5.0
LOW_NOISE_RADPS = 0.05
SECOND_NS = 1_000_000_000
EPOCH_NS = 1_700_000_000 * SECOND_NS
DELAY_S = 0.05  # from the end of a picture's exposure to its arrival


@dataclass(frozen=True)
class Errors:
    """Errors and sigmas of trials in milliseconds, (n,) each, and which were accepted."""

    error_ms: Floats
    sigma_ms: Floats
    accepted: np.ndarray

    def ratio(self) -> float:
        """The rms of the accepted errors over their usual sigma."""
        kept = self.error_ms[self.accepted]
        return float(np.sqrt(np.mean(kept**2)) / np.median(self.sigma_ms[self.accepted])) if len(kept) else np.inf


def found_offset(made: Turning) -> RateOffset:
    """Our estimate for a recording."""
    return rate_offset(made.gyro_s, made.gyro_radps, made.spans_s, made.turns_rad)


def errors_of(case: Case, trials: int) -> Errors:
    """Our errors on recordings of a case."""
    made = [recording(case, seed) for seed in range(trials)]
    found = [found_offset(m) for m in made]
    error = np.array([1e3 * (f.offset_s - m.offset_s[0]) for f, m in zip(found, made, strict=True)])
    return Errors(error, np.array([1e3 * f.sigma_s for f in found]), np.array([f.accepted for f in found]))


def tracked_rms_ms(offset: str, seed: int) -> float:
    """The rms error of the track of a moving offset."""
    made = moving_recording(offset, LOW_NOISE_RADPS, seed)
    track = track_offsets(
        made.gyro_s, made.gyro_radps, made.spans_s, made.turns_rad, 1.0, centre_s=float(made.offset_s.mean())
    )
    return float(np.sqrt(np.mean((1e3 * (track.at(made.spans_s.mean(axis=1)) - made.offset_s)) ** 2)))


def counted_errors_ms(seed: int) -> Floats:
    """Errors per frame of a camera that only counts its frames and loses bursts of them."""
    made = counted_recording(LOW_NOISE_RADPS, seed)
    track = track_offsets(made.gyro_s, made.gyro_radps, made.spans_s, made.turns_rad, 1.5, centre_s=1.3, jumps=True)
    return np.asarray(1e3 * (track.at(made.spans_s.mean(axis=1)) - made.offset_s))


def online_errors_ms(made: Turning) -> tuple[Floats, Floats]:
    """Seconds, and errors of the offset that the online object gives at each frame as it arrives, in milliseconds."""
    sync = ContentSync({"camera": 0.01})
    ends, at = EPOCH_NS + np.round(1e9 * made.spans_s).astype(np.int64), 0
    gyro_ns = EPOCH_NS + np.round(1e9 * made.gyro_s).astype(np.int64)
    error = np.zeros(len(ends))
    for k, (span, turn) in enumerate(zip(ends.tolist(), made.turns_rad.tolist(), strict=True)):
        now_ns = span[1] + round((made.offset_s[k] + DELAY_S) * 1e9)
        until = int(np.searchsorted(gyro_ns, now_ns))
        sync.push_gyro(gyro_ns[at:until], made.gyro_radps[at:until])
        at = until
        signature = {"turn_rad": turn, "turn_sigma_rad": [1e-3, 1e-3, 1e-3], "turn_span_ns": span}
        sync.push_signature("camera", signature, 0, span[1])
        error[k] = sync.estimate("camera", now_ns).offset_ns / 1e6 - 1e3 * made.offset_s[k]
    return made.spans_s[:, 1], error


def seconds_to_recover(seed: int) -> float:
    """From a step of 100 ms until the online offset is within 5 ms of the truth for good."""
    t, error = online_errors_ms(moving_recording("step 100 ms", LOW_NOISE_RADPS, seed))
    off = np.flatnonzero(np.abs(error) > WITHIN_MS)
    return max(0.0, float(t[off[-1]]) - STEP_AT_S) if len(off) else 0.0


def measure(trials: int = 60, most_trials: int = 200, moving_trials: int = 6) -> list[Goal]:
    """The goals of content offsets."""
    camera, clean = "camera 30 Hz, 20 s, 0.1 rad/s", "camera 30 Hz, 20 s, 0.02 rad/s"
    lidar = "LiDAR 10 Hz, 20 s, 0.05 rad/s"
    errors = {name: errors_of(case, most_trials if name in (camera, lidar) else trials) for name, case in CASES.items()}
    size = {name: np.abs(e.error_ms) for name, e in errors.items()}
    goals = [
        Goal(f"{camera}: median error", 0.5, float(np.median(size[camera])), "ms"),
        Goal(f"{camera}: 95 % of errors", 1.3, float(np.quantile(size[camera], 0.95)), "ms"),
        Goal(f"{camera}: errors beyond {GROSS_MS:g} ms", 0, float((size[camera] > GROSS_MS).sum())),
        Goal(f"{clean}: 95 % of errors", 0.25, float(np.quantile(size[clean], 0.95)), "ms"),
        Goal(f"{lidar}: median error", 0.3, float(np.median(size[lidar])), "ms"),
        Goal(f"{lidar}: 95 % of errors", 1.0, float(np.quantile(size[lidar], 0.95)), "ms"),
    ]
    ratios = [e.ratio() for e in errors.values()]
    sigmas = np.concatenate([np.abs(e.error_ms / e.sigma_ms)[e.accepted] for e in errors.values()])
    hidden = [errors_of(case, trials).accepted for case in HIDDEN_CASES.values()]
    goals += [
        Goal("rms error over sigma, the greatest of all cases", 1.3, max(ratios)),
        Goal("rms error over sigma, the least of all cases", 0.25, min(ratios), at_least=True),
        Goal("accepted estimates within 3 sigma", 0.99, float((sigmas <= 3).mean()), at_least=True),
        Goal("still, or slow yaw alone: said to be unobservable", 1.0, 1 - float(np.mean(hidden)), at_least=True),
    ]
    for name, aim in (("sinus 60 ms / 30 s", 3.0), ("replay at 1.02", 2.5)):
        rms = [tracked_rms_ms(name, seed) for seed in range(moving_trials)]
        goals.append(Goal(f"{name}: rms error of the track", aim, float(np.median(rms)), "ms"))
    slowest = max(seconds_to_recover(seed) for seed in range(moving_trials))
    goals.append(Goal(f"step of 100 ms, online: until within {WITHIN_MS:g} ms, the slowest", 6.0, slowest, "s"))
    lost = "frames only counted, bursts lost"
    counted = [counted_errors_ms(seed) for seed in range(moving_trials)]
    goals += [
        Goal(f"{lost}: rms error", 50.0, _median([np.sqrt(np.mean(e**2)) for e in counted]), "ms"),
        Goal(f"{lost}: median error", 10.0, _median([np.median(np.abs(e)) for e in counted]), "ms"),
    ]
    return goals


def _median(values: list[Any]) -> float:
    return float(np.median(values))


def compare(trials: int = 60) -> list[dict[str, Any]]:
    """Median and 95 % of the errors in milliseconds, of ours and of the baselines: a row per case and method."""
    rows: list[dict[str, Any]] = []
    for name, case in CASES.items():
        made = [recording(case, seed) for seed in range(trials)]
        methods = {"ours": lambda m: found_offset(m).offset_s, **BASELINES}
        for method, estimate in methods.items():
            size = np.abs([1e3 * (estimate(m) - m.offset_s[0]) for m in made])
            quantiles = {"median_ms": float(np.median(size)), "p95_ms": float(np.quantile(size, 0.95))}
            rows.append({"case": name, "method": method, **quantiles})
    return rows
