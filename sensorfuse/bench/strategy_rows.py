"""The figures of a strategy's rows: percentiles, what losing a sensor changes, and what the time goes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sensorfuse.bench.network_cost import Machine, NetworkCost
from sensorfuse.fusion.fuser import Fuser

LEAST_FOR_P999 = 1000
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}
FULL = "full"


@dataclass(frozen=True)
class Way:
    """How a strategy is run."""

    strategy: str
    backend: str
    precision: str


@dataclass
class Opened:
    """A strategy that runs: `evidence[tick]` is what its encoders made of the samples, by stream."""

    way: Way
    fuser: Fuser
    evidence: list[dict[str, list[Any]]]
    cold_ms: float
    memory_mb: float
    network: Callable[[], Any] | None
    cost: NetworkCost | None
    model_mb: float
    accuracy: dict[str, Any]
    encode_ms: dict[str, list[float]] = field(default_factory=dict)
    network_ms: list[float] = field(default_factory=list)
    tick_ms: dict[str, list[float]] = field(default_factory=dict)
    computed_ms: dict[str, list[float]] = field(default_factory=dict)
    joules: dict[str, float] = field(default_factory=dict)


def rows_of(one: Opened, states: dict[str, tuple[str, ...]], machine: Machine | None) -> Iterator[dict[str, Any]]:
    """The figures of one strategy run in one way, by presence state.

    `tick_ms` is the time on the wall, `computed_ms` the processor time of this process, median; `against_full` by how
    much either is above that with every sensor.
    """
    encoders = {m: summary(v) for m, v in one.encode_ms.items()}
    times = {"tick": one.tick_ms, "computed": one.computed_ms}
    network = float(np.median(one.network_ms)) if one.network_ms else None
    full = {n: float(np.median(v[FULL])) for n, v in times.items()} if FULL in one.tick_ms else {}
    for name, kept in states.items():
        took = summary(one.tick_ms[name])
        scores = one.accuracy.get("all" if name == FULL else name, {})
        joules = one.joules.get(name)
        yield {
            **vars(one.way),
            "presence": name,
            "tick_ms": took,
            "computed_ms": float(np.median(one.computed_ms[name])),
            "computed_p99_ms": float(np.percentile(one.computed_ms[name], 99)),
            "against_full": {n: float(np.median(times[n][name])) / v - 1.0 for n, v in full.items()},
            "network_ms": network,
            "encode_ms": {m: v for m, v in encoders.items() if m in kept},
            "cold_ms": one.cold_ms,
            "memory_mb": one.memory_mb,
            "model_mb": one.model_mb,
            "nds": scores.get("nds"),
            "map": scores.get("map"),
            "joules": None if joules is None else joules / len(one.tick_ms[name]),
            "limit": _limit(one, took["p50"], network, machine),
        }


def summary(values_ms: Sequence[float]) -> dict[str, Any]:
    """Percentiles, largest and jitter (p99 - p50) in milliseconds; the 99.9th percentile only of enough values."""
    values = np.asarray(values_ms)
    out: dict[str, Any] = {name: float(np.percentile(values, at)) for name, at in PERCENTILES.items()}
    if len(values) < LEAST_FOR_P999:
        out["p999"] = None
    return out | {"max": float(values.max()), "jitter": out["p99"] - out["p50"], "count": len(values)}


def _limit(one: Opened, tick_ms: float, network_ms: float | None, machine: Machine | None) -> dict[str, Any] | None:
    """What the tick's time goes to: outside the fusion network, or which of its limits takes longest by the count."""
    if network_ms is None:
        return {"name": "outside"}
    if one.cost is None or machine is None:
        return None
    parts = {name: 1e3 * s for name, s in machine.seconds(one.cost).items()}
    outside = max(0.0, tick_ms - network_ms)
    largest = max(parts, key=parts.__getitem__)
    return {
        "name": "outside" if outside > network_ms else largest,
        "outside_ms": outside,
        **{f"{name}_ms": ms for name, ms in parts.items()},
        "gflop": one.cost.operations / 1e9,
        "mb_moved": one.cost.bytes / 1e6,
        "operators": one.cost.operators,
    }
