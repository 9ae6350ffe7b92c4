"""What the commands that measure hand on to what measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sensorfuse.bench import faults, strategies, strategies_table, untrained
from sensorfuse.cli import app
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.strategies import strategy_names
from sensorfuse.rig import Rig


def without_world(rig: Rig, folder: Path) -> Path:
    file = folder / "rig.yaml"
    file.write_text(Rig.model_validate({**rig.model_dump(), "sim": None}).to_yaml())
    return file


def test_a_recorded_world_needs_no_rig_with_a_made_up_one(
    small_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def measure(rig: Rig, rows: Any, log: Path | None, on_row: Any) -> dict[str, Any]:
        seen.update(sim=rig.sim, log=log)
        return {}

    monkeypatch.setattr(faults, "measure", measure)
    monkeypatch.setattr(faults, "print_figures", lambda figures, console: None)
    rig = without_world(small_rig, tmp_path)
    found = CliRunner().invoke(app, ["bench", "faults", "--rig", str(rig), "--log", "world.mcap"])
    assert found.exit_code == 0, found.output
    assert seen == {"sim": None, "log": Path("world.mcap")}
    found = CliRunner().invoke(app, ["bench", "faults", "--rig", str(rig)])
    assert isinstance(found.exception, SensorfuseError)
    assert "no `sim` block" in str(found.exception)


def test_untrained_strategies_stand_beside_the_weights_that_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def stand_ins(names: list[str], weights: Path, folder: Path, progress: Any) -> None:
        seen.update(names=names, weights=weights, folder=folder)

    def measure(rig: Rig, *_: Any) -> dict[str, Any]:
        seen["used"] = Path(rig.fusion.weights)
        return {}

    monkeypatch.setattr(untrained, "stand_ins", stand_ins)
    monkeypatch.setattr(strategies, "measure", measure)
    monkeypatch.setattr(strategies_table, "print_figures", lambda figures, console: None)
    found = CliRunner().invoke(app, ["bench", "strategies", "--untrained", "--weights", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert seen["names"] == strategy_names()
    assert seen["weights"] == tmp_path.resolve()
    assert seen["used"] == seen["folder"] != tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threads", "65"], "fusion.threads"),
        (["--backend", "foo"], "fusion.engine"),
        (["--precision", "fp8"], "fusion.precision"),
    ],
)
def test_what_cannot_be_is_said_in_words(words: list[str], said: str) -> None:
    found = CliRunner().invoke(app, ["bench", "strategies", "-s", "hybrid", "--ticks", "3", "--cores", "0", *words])
    assert isinstance(found.exception, SensorfuseError)
    assert said in str(found.exception)
