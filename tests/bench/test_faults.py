"""The matrix of faults and the soak: which rows there are, and what is counted."""

from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from sensorfuse.bench import faults, soak
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
from sensorfuse.shared_memory import count_rings, shared_folder


def test_every_modality_meets_every_kind_and_every_pair_is_killed(small_rig: Rig) -> None:
    rows = all_rows()
    assert len(rows) == len(set(rows)) == 5 * 6 + 10
    assert {(k, m) for k, ms in rows for m in ms if len(ms) == 1} == {(k, m) for k in KINDS for m in MODALITIES}
    assert set(few_rows()) <= set(rows)
    assert {m for _, ms in few_rows() for m in ms} == set(MODALITIES)
    for row in rows:
        check_faults(faults_of(row, small_rig), small_rig)
        assert max(f.end_s for f in faults_of(row, small_rig)) + 4 < WORLD_S


@pytest.mark.alone
def test_a_short_matrix(small_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "AT_S", 1.0)
    monkeypatch.setattr(faults, "FOR_S", 1.0)
    log = tmp_path / "world.mcap"
    make_world(small_rig, log, 3.0)
    told: list[str] = []
    figures = measure(small_rig, [("killed", ("radar",))], log, told.append)
    (row,) = figures["rows"]
    assert row["ticks"] == row["ticks_expected"] > 25
    assert row["ledger_off"] == 0
    assert figures["fault_s"] == [1.0, 2.0]
    assert 0 <= row["used_share"] < 0.9, "it was really killed"
    assert len(told) == 2
    out = io.StringIO()
    print_figures(figures, Console(file=out, width=140))
    assert "killed" in out.getvalue()
    assert goals(figures)[0].met
    json.dumps(figures, allow_nan=False)


def test_a_stream_that_never_came_back_is_said_so() -> None:
    back = {
        "kind": "killed", "modalities": ["radar"], "ticks": 30, "ticks_expected": 30, "longest_gap": 0, "ticks_late": 0,
        "used_share": 0.25, "recovered": True, "recovery_s": 0.5, "nds": [0.5, None, 0.25], "ledger_off": 0,
    }  # fmt: skip
    never = {**back, "recovered": False, "recovery_s": None}
    unknown = {**back, "used_share": None, "recovered": None, "recovery_s": None}
    figures = {"strategy": "late", "fault_s": [5.0, 9.0], "baseline": {**unknown, "kind": "nothing", "modalities": []}}
    for rows, words, measured in (
        ([back], "0.5 s", 0.5),
        ([back, never], "never", math.inf),
        ([unknown], "–", math.nan),
    ):
        found = {**figures, "rows": rows}
        out = io.StringIO()
        print_figures(found, Console(file=out, width=140))
        assert words in out.getvalue()
        assert "inf" not in out.getvalue()
        assert "nan" not in out.getvalue()
        goal = goals(found)[2]
        np.testing.assert_equal(goal.measured, measured)
        assert goal.met is (measured == 0.5)


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


def test_a_ring_that_is_left_behind_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, other, root = tmp_path / "run", tmp_path / "other", tmp_path / "shm"
    for folder in (run, other, root):
        folder.mkdir()
    monkeypatch.setattr(soak, "count_rings", lambda folder: count_rings(folder, root))
    looks, pids = Looks(), {"supervisor": os.getpid()}
    looks.look(0.0, pids, 1, run)
    (shared_folder(run, root) / "camera-1.ring").touch()
    (shared_folder(other, root) / "camera-2.ring").touch()
    (run / "camera").touch()
    looks.look(1.0, pids, 1, run)
    looks.look(2.0, pids, 2, run)
    assert looks.shared == [0, 1], "those of another run do not count, nor while a process is missing"
    assert looks.sockets == [0, 1]
