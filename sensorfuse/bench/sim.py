"""How much faster than real time each sensor of a synthetic rig is simulated, on one core."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig


def measure(rig: Rig, duration_s: float) -> dict[str, Any]:
    """Simulate `duration_s` of every stream after a warm-up; times are of the processor, in milliseconds per message.

    `faster_than_real_time` is simulated seconds per second of one core: per stream, and of all streams together.
    """
    sim = SimulatedRig(rig)
    streams: dict[str, Any] = {}
    for stream, sensor in rig.sensors.items():
        count = max(2, round(duration_s * sensor.message_rate_hz))
        sim.sample(stream, 0)
        spent = np.empty(count)
        for k in range(count):
            started = time.process_time()
            sim.sample(stream, k)
            spent[k] = time.process_time() - started
        p50, p99 = np.percentile(1e3 * spent, [50, 99])
        factor = count / sensor.message_rate_hz / float(spent.sum())
        streams[stream] = {
            "messages": count,
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "faster_than_real_time": factor,
        }
    whole = 1.0 / sum(1.0 / row["faster_than_real_time"] for row in streams.values())
    return {
        "rig": rig.name,
        "scenario": sim.scenario_name,
        "duration_s": duration_s,
        "streams": streams,
        "faster_than_real_time": whole,
    }


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """A row per stream, and all together."""
    table = Table(title=f"{figures['rig']}, {figures['scenario']}: simulated seconds per second of one core")
    for name in ("stream", "messages", "p50 ms", "p99 ms", "factor"):
        table.add_column(name, justify="left" if name == "stream" else "right")
    for stream, row in figures["streams"].items():
        factor = f"{row['faster_than_real_time']:.1f}"
        table.add_row(stream, str(row["messages"]), f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", factor)
    table.add_section()
    table.add_row("all", "", "", "", f"{figures['faster_than_real_time']:.2f}")
    console.print(table)
