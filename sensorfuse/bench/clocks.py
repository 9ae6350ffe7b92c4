"""Clock models from one-way stamps, on simulated links whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.clock_model import ClockModel
from sensorfuse.bench.goals import Goal

LEAST_DELAY_S = 3e-3
SPIKE_SHARE, SPIKE_S = 0.01, 0.02
SKEW, WANDER, WANDER_PERIOD_S = 40e-6, 2e-6, 1800.0
RECOVERED_MS = 5.0


@dataclass(frozen=True)
class Link:
    """Messages of one device: its stamps and their receipt in nanoseconds, and the true host time (ns) of each stamp,
    later by the least delay, which no one-way method sees.
    """

    stamp_ns: NDArray[np.int64]
    recv_ns: NDArray[np.int64]
    truth_ns: NDArray[np.int64]


def simulate_link(
    rate_hz: float, jitter_s: float, duration_s: float, seed: int, device_reset_s: float = 0.0, host_step_s: float = 0.0
) -> Link:
    """A device 40 ppm slow, and 2 ppm more and less over half an hour; delays of at least 3 ms with a gamma distributed
    rest of mean `jitter_s` (shape 1.5), one in a hundred 20 ms longer; messages keep their order.

    At `device_reset_s` the device's clock starts again at 0; at `host_step_s` the host's is set 1.5 s forward.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    wander = WANDER * np.cumsum(np.sin(2 * np.pi * t / WANDER_PERIOD_S)) / rate_hz
    device = t * (1 - SKEW) - wander + 10.0
    if device_reset_s:
        after = t >= device_reset_s
        device[after] -= device[after][0]
    delay = LEAST_DELAY_S + rng.gamma(1.5, jitter_s / 1.5, len(t)) + SPIKE_S * (rng.random(len(t)) < SPIKE_SHARE)
    step = np.where(t >= host_step_s, 1.5, 0.0) if host_step_s else np.zeros(len(t))
    received = np.maximum.accumulate(t + delay) + step
    return Link(*(np.round(1e9 * v).astype(np.int64) for v in (device, received, t + LEAST_DELAY_S + step)))


def clock_errors_ms(link: Link) -> NDArray[np.float64]:
    """Errors (N,) of the clock model's estimate at each message of a link, in milliseconds."""
    model = ClockModel()
    pairs = zip(link.stamp_ns.tolist(), link.recv_ns.tolist(), strict=True)
    found = np.array([model.push(stamp, recv).host_ns for stamp, recv in pairs], dtype=np.int64)
    return np.asarray((found - link.truth_ns) / 1e6)


def measure(trials: int = 5, duration_s: float = 1200.0) -> list[Goal]:
    """The clock goals: the worst of `trials` links of each kind."""
    goals: list[Goal] = []
    for name, rate_hz, jitter_s in (
        ("camera 30 Hz", 30.0, 2e-3),
        ("IMU 200 Hz", 200.0, 4e-3),
        ("LiDAR 10 Hz", 10.0, 1e-3),
    ):
        settled, first = [], []
        for seed in range(trials):
            error = clock_errors_ms(simulate_link(rate_hz, jitter_s, duration_s, seed))
            settled.append(error[round(60 * rate_hz) :])
            first.append(float(np.sqrt(np.mean(error[round(rate_hz) : round(10 * rate_hz)] ** 2))))
        goals += [
            Goal(f"{name}: spread after 60 s", 0.025, max(float(e.std()) for e in settled), "ms"),
            Goal(f"{name}: bias over the least delay", 0.030, max(abs(float(e.mean())) for e in settled), "ms"),
            Goal(f"{name}: largest error", 0.150, max(float(np.abs(e).max()) for e in settled), "ms"),
            Goal(f"{name}: rms from 1 s to 10 s", 0.150, max(first), "ms"),
        ]
    for name, event in (("device reset", {"device_reset_s": 600.0}), ("host step", {"host_step_s": 600.0})):
        worst = 0.0
        for seed in range(trials):
            error = clock_errors_ms(simulate_link(30.0, 2e-3, 700.0, seed, **event))
            off = np.flatnonzero(np.abs(error[18_000:]) > RECOVERED_MS)
            worst = max(worst, (off.max() + 1) / 30.0 if len(off) else 0.0)
        goals.append(Goal(f"{name} at 30 Hz: until within {RECOVERED_MS:g} ms", 0.2, worst, "s"))
    return goals
