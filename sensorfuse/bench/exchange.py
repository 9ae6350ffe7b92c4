"""Another host's clock from two-way exchanges, on simulated links whose truth is known, beside two older methods."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.time_exchange import TimeExchange, ping_period_ns
from sensorfuse.bench.goals import Goal

AHEAD_S, SKEW, WANDER, WANDER_PERIOD_S = 3.0, 40e-6, 2e-6, 1800.0
ANSWERING_S = 1e-4
SETTLED_S = 60.0
RECOVERED_MS = 1.0
BEST_OF = 8
FIRST_GAIN, LAST_GAIN, GAINS_OVER = 0.05, 0.003, 500
FILTER_GATE_NS, FILTER_JUMP_NS, FILTER_PATIENCE = 10_000_000, 100_000_000, 5

Array = NDArray[np.float64]
Stamps = tuple[int, int, int, int]


@dataclass(frozen=True)
class LinkKind:
    """Delays of each direction: least, mean of the gamma distributed rest (shape 1.5), and with a chance of
    `spike_share` one uniformly drawn from `spike_s` more; seconds.
    """

    least_there_s: float
    least_back_s: float
    jitter_s: float
    spike_share: float
    spike_s: tuple[float, float]

    def delay_s(self, least_s: float, rng: np.random.Generator) -> float:
        spike = rng.uniform(*self.spike_s) if rng.random() < self.spike_share else 0.0
        return least_s + float(rng.gamma(1.5, self.jitter_s / 1.5)) + spike


LAN = LinkKind(1e-4, 1e-4, 3e-5, 0.02, (1e-3, 5e-3))
WIFI = LinkKind(1e-3, 1e-3, 1e-3, 0.3, (2e-3, 30e-3))
ASYMMETRIC = LinkKind(1e-3, 3e-3, 1e-3, 0.3, (2e-3, 30e-3))


def simulate_exchanges(
    kind: LinkKind, duration_s: float, seed: int, jump_at_s: float = math.inf, jump_s: float = 0.0
) -> tuple[list[Stamps], Array]:
    """Exchanges at the pace of the protocol with a clock 3 s ahead, 40 ppm fast, and 2 ppm more and less over half an
    hour, that jumps by `jump_s` at `jump_at_s`. Returns their stamps and the true offset (N,) ns at each one's end.
    """
    rng = np.random.default_rng(seed)
    stamps: list[Stamps] = []
    truth: list[float] = []

    def ahead_s(t: float) -> float:
        turn = 2 * math.pi / WANDER_PERIOD_S
        jumped = jump_s if t >= jump_at_s else 0.0
        return AHEAD_S + SKEW * t + WANDER / turn * (1 - math.cos(turn * t)) + jumped

    t = 0.0
    while t < duration_s:
        heard = t + kind.delay_s(kind.least_there_s, rng)
        answered = heard + float(rng.exponential(ANSWERING_S))
        back = answered + kind.delay_s(kind.least_back_s, rng)
        times = (t, heard + ahead_s(heard), answered + ahead_s(answered), back)
        t1, t2, t3, t4 = (round(1e9 * v) for v in times)
        stamps.append((t1, t2, t3, t4))
        truth.append(1e9 * ahead_s(back))
        t = max(back, t + ping_period_ns(len(stamps) - 1) / 1e9)
    return stamps, np.array(truth)


class LeastDelay:
    """The offset of the exchange of least delay among the last eight, as NTP's clock filter picks it (Mills, RFC 5905).

    In the place of the loop that disciplines the clock's rate stands the true mean rate.
    """

    def __init__(self) -> None:
        self._last: deque[tuple[int, float, int]] = deque(maxlen=BEST_OF)

    def push(self, t1: int, t2: int, t3: int, t4: int) -> float:
        self._last.append(((t4 - t1) - (t3 - t2), ((t2 - t1) + (t3 - t4)) / 2, t4))
        _, offset, at = min(self._last)
        return offset + SKEW * (t4 - at)


class GainFilter:
    """Offset and skew per exchange by an alpha-beta filter whose gains fall over its first 500 exchanges, with a gate
    on the round trip, begun anew after five deviations in a row: as flight controllers follow a companion computer.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._change, self._taken, self._odd = 0.0, 0, 0

    def push(self, t1: int, t2: int, t3: int, t4: int) -> float:
        seen = ((t2 - t1) + (t3 - t4)) / 2
        if self._offset is None or self._odd >= FILTER_PATIENCE:
            self._offset, self._change, self._taken, self._odd = seen, 0.0, 0, 0
        elif (t4 - t1) - (t3 - t2) <= FILTER_GATE_NS:
            if abs(seen - self._offset) > FILTER_JUMP_NS:
                self._odd += 1
                return self._offset
            self._odd = 0
            gain = FIRST_GAIN + (LAST_GAIN - FIRST_GAIN) * min(1.0, self._taken / GAINS_OVER)
            before, self._taken = self._offset, self._taken + 1
            self._offset = gain * seen + (1 - gain) * (before + self._change)
            self._change = gain * (self._offset - before) + (1 - gain) * self._change
        return self._offset


@dataclass(frozen=True)
class Followed:
    """Errors (N,) ms of the corridor at the end of each exchange, with its sigma and bound (N,) ms, and its skew."""

    error_ms: Array
    sigma_ms: Array
    bound_ms: Array
    resets: int


def follow(stamps: list[Stamps], truth_ns: Array) -> Followed:
    """What the corridor makes of a link's exchanges."""
    exchange, rows = TimeExchange(), []
    for (t1, t2, t3, t4), true in zip(stamps, truth_ns, strict=True):
        exchange.push(t1, t2, t3, t4)
        rows.append((exchange.offset_ns(t4) - true, exchange.sigma_ns(t4), exchange.bound_ns(t4)))
    error, sigma, bound = np.array(rows, dtype=np.float64).T / 1e6
    return Followed(error, sigma, bound, exchange.resets)


def errors_ms(push: Callable[[int, int, int, int], float], stamps: list[Stamps], truth_ns: Array) -> Array:
    """Errors (N,) of another method at the end of each exchange, in milliseconds."""
    found = [push(*s) - true for s, true in zip(stamps, truth_ns, strict=True)]
    return np.array(found) / 1e6


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def measure(trials: int = 5, duration_s: float = 600.0) -> list[Goal]:
    """The worst of `trials` links of each kind, from one minute on; against the better of the two other methods."""
    goals: list[Goal] = []
    covered, ratios = [], []
    for name, kind, first_ms, aim_ms in (
        ("LAN, 0.2 ms round trip", LAN, 0.02, 0.01),
        ("Wi-Fi, spikes of 2-30 ms", WIFI, 0.5, 0.25),
    ):
        first, settled, others = [], [], []
        for seed in range(trials):
            stamps, truth = simulate_exchanges(kind, duration_s, seed)
            at = np.array([s[3] for s in stamps]) / 1e9
            late, early = at >= SETTLED_S, (at >= 1.0) & (at < 10.0)
            mine = follow(stamps, truth)
            covered.append(np.abs(mine.error_ms) <= mine.bound_ms)
            settled.append(_rms(mine.error_ms[late]))
            first.append(_rms(mine.error_ms[early]))
            ratios.append(settled[-1] / _rms(mine.sigma_ms[late]))
            others.append(min(_rms(errors_ms(m.push, stamps, truth)[late]) for m in (LeastDelay(), GainFilter())))
        goals += [
            Goal(f"{name}: rms from 1 s to 10 s", first_ms, max(first), "ms"),
            Goal(f"{name}: rms after 60 s", aim_ms, max(settled), "ms"),
            Goal(f"{name}: rms after 60 s over the better of least-delay-of-8 and gain filter", 0.5,
                 max(a / b for a, b in zip(settled, others, strict=True))),
        ]  # fmt: skip
    bias, spread = [], []
    for seed in range(trials):
        stamps, truth = simulate_exchanges(ASYMMETRIC, duration_s, seed)
        mine = follow(stamps, truth)
        late = np.array([s[3] for s in stamps]) >= SETTLED_S * 1e9
        covered.append(np.abs(mine.error_ms) <= mine.bound_ms)
        bias.append(abs(float(mine.error_ms[late].mean()) + 1.0))
        spread.append(float(mine.error_ms[late].std()))
    goals += [
        Goal("ways of 1 and 3 ms: bias beside the unseen 1 ms", 0.25, max(bias), "ms"),
        Goal("ways of 1 and 3 ms: spread", 0.25, max(spread), "ms"),
        Goal("all links: errors within the bound", 1.0, float(np.mean(np.concatenate(covered))), at_least=True),
        Goal("equal ways: largest rms error over sigma", 1.3, max(ratios)),
        Goal("equal ways: least rms error over sigma", 0.25, min(ratios), at_least=True),
    ]
    for name, jump_s in (("100 ms and more", 1.5), ("20 ms", 0.02)):
        worst = 0.0
        for seed in range(trials):
            stamps, truth = simulate_exchanges(LAN, 200.0, seed, 120.0, jump_s)
            at = np.array([s[3] for s in stamps]) / 1e9
            off = np.flatnonzero((at >= 120.0) & (np.abs(follow(stamps, truth).error_ms) > RECOVERED_MS))
            worst = max(worst, float(at[min(off.max() + 1, len(at) - 1)] - 120.0) if len(off) else 0.0)
        goals.append(
            Goal(f"a jump of {name}, an exchange per second: until within {RECOVERED_MS:g} ms", 6.0, worst, "s")
        )
    return goals
