"""Networks that stand in for strategies without weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sensorfuse.deploy import networks

from sensorfuse.bench.untrained import stand_ins
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import ENCODERS_FILE, weights_folder
from sensorfuse.fusion.strategies import strategy_names


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def export(name: str, folder: Path) -> Any:
        names.append(name)
        (folder / f"{name}.onnx").write_bytes(b"drawn")

    monkeypatch.setattr(networks, "export_untrained", export)
    return names


@pytest.fixture
def own_weights(tmp_path: Path) -> Path:
    """One network and its encoders, not the shipped ones."""
    folder, shipped = tmp_path / "own", weights_folder()
    folder.mkdir()
    for name in (ENCODERS_FILE, "cross_modal_attention.json"):
        shutil.copy(shipped / name, folder / name)
    (folder / "cross_modal_attention.onnx").write_bytes(b"own")
    return folder


def test_every_strategy_has_a_network_afterwards_but_those_that_need_none(
    exported: list[str], own_weights: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    stand_ins(strategy_names(), own_weights, made)
    assert set(exported) == set(strategy_names()) - {"late", "cross_modal_attention"}
    assert (made / "cross_modal_attention.onnx").read_bytes() == b"own", "those given stay as they are"
    card = json.loads((made / "hybrid.json").read_text())
    assert card["strategy"] == "hybrid"
    assert "accuracy" not in card


def test_without_any_network_there_are_no_encoders_to_take(exported: list[str], tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="no trained network lies there"):
        stand_ins(["hybrid"], tmp_path, tmp_path)
    assert exported == []
