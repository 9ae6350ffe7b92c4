"""The pipeline benchmark: it measures a live run and says what it counted."""

from __future__ import annotations

import io
import tempfile

import pytest
from rich.console import Console

from sensorfuse.bench.pipeline import WARM_UP_TICKS, measure, print_figures
from sensorfuse.rig import Rig


def test_figures_of_a_short_live_run(synthetic_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    figures = measure(synthetic_rig, 4.0)
    assert figures["ticks"] == figures["ticks_expected"] > WARM_UP_TICKS + 10
    assert {"overhead", "capture_to_fused", "fuse", "track"} <= set(figures["latency_ms"])
    for row in figures["latency_ms"].values():
        assert row["p50"] <= row["p90"] <= row["p99"] <= row["max"]
    assert 0 <= figures["late"] <= 1
    assert 0 <= figures["shed"] <= 1
    assert figures["cadence_ms"]["p50"] == pytest.approx(100, abs=40)
    assert sum(figures["ledger"]["lidar"].values()) > 20
    assert {"fusion.0", "fusion.1", "align.0", "recorder", "camera"} <= set(figures["processes"])
    for used in figures["processes"].values():
        assert used["resident_mb"] > 10
    assert 0 <= figures["processors"]["stolen"] < figures["processors"]["busy"] <= 1
    out = io.StringIO()
    print_figures(figures, Console(file=out, width=120))
    assert "overhead" in out.getvalue()
    assert "p99" in out.getvalue()
