"""The transport benchmark: every way brings every message, and the table says what was left out."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sensorfuse.bench import transport_ways
from sensorfuse.bench.transport import SIZES, measure, print_figures
from sensorfuse.errors import SensorfuseError


@pytest.mark.alone
def test_every_way_brings_every_message() -> None:
    done: list[int] = []
    big = "picture 1920 x 1080, 6.2 MB"
    figures = measure([big], messages=5, pace_hz=400, progress=lambda size, k: done.append(k))
    names = [w.name for w in transport_ways.WAYS if not w.missing()]
    assert [r["way"] for r in figures["rows"]] == names
    for row in figures["rows"]:
        assert row["lost"] == 0
        assert row["bytes"] == SIZES[big]
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
    assert done[-1] == 5
    if "iceoryx2" in names:
        reference = next(r for r in figures["rows"] if r["way"] == "iceoryx2")
        assert reference["p50_ratio"] == reference["p99_ratio"] == 1.0
    else:
        assert "pip install" in figures["left_out"]["iceoryx2"]
    out = io.StringIO()
    print_figures(figures, Console(file=out, width=160))
    assert all(name in out.getvalue() for name in names)


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(SensorfuseError, match="no 'huge'; choose of 64 B"):
        measure(["huge"])
