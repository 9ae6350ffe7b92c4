"""The matrix of faults and the soak: which rows there are, and what is counted."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from rich.console import Console

from sensorfuse.bench.faults import (
    KINDS,
    WORLD_S,
    all_rows,
    faults_of,
    few_rows,
    goals,
    make_world,
    measure,
    print_figures,
)
from sensorfuse.bench.soak import Looks, unexpected_deaths
from sensorfuse.inject.fault import check_faults
from sensorfuse.messages import MODALITIES
from sensorfuse.report.record import Event
from sensorfuse.rig import Rig


def test_every_modality_meets_every_kind_and_every_pair_is_killed(small_rig: Rig) -> None:
    rows = all_rows()
    assert len(rows) == len(set(rows)) == 5 * 6 + 10
    assert {(k, m) for k, ms in rows for m in ms if len(ms) == 1} == {(k, m) for k in KINDS for m in MODALITIES}
    assert set(few_rows()) <= set(rows)
    assert {m for _, ms in few_rows() for m in ms} == set(MODALITIES)
    for row in rows:
        check_faults(faults_of(row, small_rig), small_rig)
        assert max(f.end_s for f in faults_of(row, small_rig)) + 4 < WORLD_S


def test_a_short_matrix(small_rig: Rig, tmp_path: Path) -> None:
    log = tmp_path / "world.mcap"
    make_world(small_rig, log, 3.0)
    told: list[str] = []
    figures = measure(small_rig, [("30 % loss", ("radar",))], log, told.append)
    (row,) = figures["rows"]
    assert row["ticks"] == row["ticks_expected"] > 25
    assert row["ledger_off"] == 0
    assert len(told) == 2
    out = io.StringIO()
    print_figures(figures, Console(file=out, width=140))
    assert "30 % loss" in out.getvalue()
    assert goals(figures)[0].met


def test_deaths_on_purpose_are_not_counted() -> None:
    texts = [
        ("lidar", "killed on purpose"), ("lidar", "died (killed by SIGKILL)"), ("lidar", "back after 0.30 s"),
        ("imu", "said nothing for 5.0 s and was killed"), ("imu", "died (killed by SIGKILL)"),
        ("recorder", "stays down for now: no space"), ("recorder", "died (exit code 2: no space)"),
        ("nursery", "died; another one is started"),
    ]  # fmt: skip
    outcome = SimpleNamespace(events=[Event(0, p, w) for p, w in texts])
    assert unexpected_deaths(outcome) == 0  # type: ignore[arg-type]
    outcome.events.append(Event(0, "camera", "died (exit code 1: MemoryError)"))
    assert unexpected_deaths(outcome) == 1  # type: ignore[arg-type]


def test_growth_is_between_the_end_of_the_warm_up_and_the_end() -> None:
    looks = Looks()
    for t in np.arange(0.0, 100.0, 2.0):
        looks.at_s.append(float(t))
        looks.memory_mb.append(500.0 + t if t < 20 else 520.0 + (10.0 if t > 60 else 0.0))
    assert looks.early_and_late(looks.memory_mb, 100.0) == (520.0, 530.0)
