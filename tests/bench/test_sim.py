"""The simulator's benchmark counts what it says."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sensorfuse.bench.sim import measure, print_figures
from sensorfuse.rig import Rig


def test_figures_of_half_a_second(synthetic_rig: Rig) -> None:
    figures = measure(synthetic_rig, 0.5)
    assert list(figures["streams"]) == synthetic_rig.streams()
    for stream, row in figures["streams"].items():
        assert row["messages"] == round(0.5 * synthetic_rig.sensors[stream].message_rate_hz)
        assert row["p50_ms"] <= row["p99_ms"]
    each = [row["faster_than_real_time"] for row in figures["streams"].values()]
    assert 1 / figures["faster_than_real_time"] == pytest.approx(sum(1 / f for f in each))
    out = io.StringIO()
    print_figures(figures, Console(file=out, width=120))
    assert all(name in out.getvalue() for name in [*synthetic_rig.streams(), "factor"])
