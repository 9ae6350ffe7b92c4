"""The guard: what counts as slower, and what it is compared with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sensorfuse.bench.guard import LEAST_CHANGE, calibration, compare, items, last_run, machine_id, measure, record
from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import Rig


def run(median: float, sigma: float, machine: str = "m", rig: str = "r", **more: float) -> dict[str, Any]:
    figures = {"wire": {"median": median, "sigma": sigma}} | {n: {"median": v, "sigma": 0.0} for n, v in more.items()}
    return {"machine": machine, "rig": rig, "version": "1", "at": "then", "items": figures}


@pytest.mark.parametrize(
    ("now", "sigma", "slower"),
    [(1.04, 0.0, False), (1.06, 0.0, True), (1.25, 0.1, False), (1.6, 0.1, True), (0.5, 0.0, False)],
)
def test_slower_is_what_noise_does_not_explain(now: float, sigma: float, slower: bool) -> None:
    (change,) = compare(run(now, sigma), run(1.0, sigma))
    assert change.slower is slower
    assert change.change == pytest.approx(now - 1)
    assert change.noise >= LEAST_CHANGE


def test_an_item_or_a_machine_without_a_past_is_compared_with_nothing() -> None:
    assert [c.before for c in compare(run(1.0, 0.0, later=2.0), run(1.0, 0.0))] == [1.0, None]
    assert not any(c.slower for c in compare(run(9.0, 0.0), None))


def test_the_newest_run_of_the_same_machine_and_rig_counts(tmp_path: Path) -> None:
    history = tmp_path / "deep" / "history.jsonl"
    assert last_run(history, "m", "r") is None
    for figures in (run(1.0, 0.0), run(2.0, 0.0), run(3.0, 0.0, machine="another"), run(4.0, 0.0, rig="s")):
        record(history, figures)
    found = last_run(history, "m", "r")
    assert found is not None
    assert found["items"]["wire"]["median"] == 2.0
    history.write_text(json.dumps(run(1.0, 0.0)) + "\nnonsense\n")
    with pytest.raises(SensorfuseError, match=r"history.jsonl:2: not a recorded run"):
        last_run(history, "m", "r")


def test_a_rig_without_what_the_set_needs_is_refused_in_words(synthetic_rig: Rig) -> None:
    with pytest.raises(SensorfuseError, match=r"fuses no camera and no radar: .*--rig synthetic"):
        items(synthetic_rig.with_fusion(modalities=("lidar", "imu")))


def test_every_item_is_measured_beside_the_calibration(synthetic_rig: Rig) -> None:
    seen: list[float] = []
    figures = measure(synthetic_rig, rounds=2, progress=seen.append)
    assert set(figures["items"]) == set(items(synthetic_rig))
    assert all(v["median"] > 0 and v["sigma"] >= 0 for v in figures["items"].values())
    assert (figures["machine"], figures["rig"]) == (machine_id(), synthetic_rig.name)
    assert seen == [0.0, 0.5]
    assert not any(c.slower for c in compare(figures, figures))
    calibration()()
