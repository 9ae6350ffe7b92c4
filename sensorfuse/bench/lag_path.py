"""Error of the lag path against known offsets, on simulated angular rates with independent noise on both streams.

The figures rank methods and settings; they are not the accuracy to expect in the field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from sensorfuse.align import dtw
from sensorfuse.align.dtw.series import Floats

NOISES_RADPS = {"low": 0.05, "high": 0.3}
RATE_HZ = 50.0
DURATION_S = 60.0
TRIALS = 20


def angular_rates(rng: np.random.Generator, duration_s: float) -> CubicSpline:
    """Three channels of a hand's or a vehicle's angular rate, 0.5 rad/s rms, from 0.1 to 4 Hz, falling from 1 Hz on."""
    rate_hz, margin_s = 200.0, 5.0
    n = round((duration_s + 2 * margin_s) * rate_hz)
    freqs = np.fft.rfftfreq(n, 1 / rate_hz)[:, None]
    shape = ((freqs > 0.1) & (freqs < 4.0)) / (1 + freqs)
    spectrum = shape * (rng.standard_normal((len(freqs), 3)) + 1j * rng.standard_normal((len(freqs), 3)))
    rates = np.fft.irfft(spectrum, n, axis=0)
    return CubicSpline(np.arange(n) / rate_hz - margin_s, 0.5 * rates / rates.std())


OFFSETS: dict[str, Callable[[Floats], Floats]] = {
    "constant 47 ms": lambda t: np.full_like(t, 0.047),
    "drift 200 ppm": lambda t: 2e-4 * t,
    "sinus 60 ms / 30 s": lambda t: 0.06 * np.sin(2 * np.pi * t / 30),
    "step 100 ms": lambda t: np.where(t > DURATION_S / 2, 0.1, 0.0),
    "replay at 1.02": lambda t: 0.02 * t,
}


def offset_errors_ms(case: str, noise_radps: float, seed: int) -> tuple[Floats, Floats, float]:
    """Errors of the raw lag path and of the published map per sample, in ms, and the share of singular steps."""
    rng = np.random.default_rng(seed)
    rates = angular_rates(rng, DURATION_S + 2)
    n = round(DURATION_S * RATE_HZ)
    at_s = np.arange(n) / RATE_HZ
    offset_s = OFFSETS[case](at_s)
    y_s = np.arange(n + round(2 * RATE_HZ)) / RATE_HZ
    x = rates(at_s + offset_s) + noise_radps * rng.standard_normal((n, 3))
    y = rates(y_s) + noise_radps * rng.standard_normal((len(y_s), 3))
    centre = round(RATE_HZ * (offset_s.min() + offset_s.max()) / 2)
    found = dtw.lag_path(x, y, round(RATE_HZ), centre=centre)
    published = dtw.lag_to_map(found.lag, RATE_HZ).to_y(at_s) - at_s
    return 1e3 * (found.lag / RATE_HZ - offset_s), 1e3 * (published - offset_s), found.singular_share


def index_only_errors_ms(noise_radps: float, seed: int) -> Floats:
    """Errors per frame of a 30 Hz camera that has only frame counts and loses 5 bursts of 5 to 15 frames in 60 s."""
    rate_hz, count = 30.0, 1800
    rng = np.random.default_rng(seed)
    rates = angular_rates(rng, 70.0)
    kept = np.ones(2000, dtype=bool)
    for burst in range(5):
        start = 150 + 320 * burst + int(rng.integers(0, 200))
        kept[start : start + int(rng.integers(5, 16))] = False
    frames = np.flatnonzero(kept)[:count]
    x = rates(frames / rate_hz) + noise_radps * rng.standard_normal((count, 3))
    y = rates(np.arange(2000) / rate_hz) + noise_radps * rng.standard_normal((2000, 3))
    found = dtw.lag_path(x, y, 45, centre=40, half_window=15)
    return 1e3 * (found.lag - (frames - np.arange(count))) / rate_hz


def measure() -> list[dict[str, Any]]:
    """RMS errors, medians over trials."""
    errors: list[dict[str, Any]] = []
    for noise, noise_radps in NOISES_RADPS.items():
        for case in OFFSETS:
            trials = [offset_errors_ms(case, noise_radps, seed) for seed in range(TRIALS)]
            row: dict[str, Any] = {"case": case, "noise": noise}
            row["path_rms_ms"] = float(np.median([_rms(path) for path, _, _ in trials]))
            row["map_rms_ms"] = float(np.median([_rms(published) for _, published, _ in trials]))
            row["singular_share"] = float(np.median([share for _, _, share in trials]))
            if case.startswith("step"):
                row["settled_s"] = float(np.median([_settled_s(published) for _, published, _ in trials]))
            errors.append(row)
        lost = [index_only_errors_ms(noise_radps, seed) for seed in range(TRIALS)]
        errors.append(
            {
                "case": "index only, bursts lost",
                "noise": noise,
                "path_rms_ms": float(np.median([_rms(one) for one in lost])),
                "path_median_ms": float(np.median([np.median(np.abs(one)) for one in lost])),
            }
        )
    return errors


def _rms(errors: Floats) -> float:
    return float(np.sqrt(np.mean(errors * errors)))


def _settled_s(errors_ms: Floats) -> float:
    """Seconds after the step from which on the median error over each second stays within 5 ms."""
    half = len(errors_ms) // 2
    seconds = np.abs(errors_ms[half:]).reshape(-1, round(RATE_HZ))
    outside = np.flatnonzero(np.median(seconds, axis=1) > 5.0)
    return float(outside[-1] + 1) if len(outside) else 0.0
