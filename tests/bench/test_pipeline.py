"""The pipeline benchmark: it measures a live run and says what it counted."""

from __future__ import annotations

import io
import tempfile

import pytest
from rich.console import Console

from sensorfuse.bench.pipeline import WARM_UP_TICKS, cadence_ms, measure, print_figures
from sensorfuse.bench.pipeline_load import print_overload
from sensorfuse.rig import Rig


@pytest.mark.alone
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


def test_a_missing_tick_shows_in_the_cadence() -> None:
    published = [n * 100_000_000 for n in range(60) if n != 30]
    cadence = cadence_ms(published)
    assert cadence["max"] == 200
    assert cadence["p50"] == 100
    assert cadence_ms(published[:1]) == {}


def test_what_was_shed_is_said_the_right_way_round() -> None:
    out = io.StringIO()
    found = {"rate_hz": 20.0, "ticks": 9, "ticks_expected": 10, "age_ms": {}, "cadence_ms": {}, "shed": 0.3}
    print_overload({**found, "ledger": {}}, Console(file=out, width=120))
    assert "frames that say that something was shed: 30%" in out.getvalue()
