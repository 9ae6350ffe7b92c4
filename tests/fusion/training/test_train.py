"""From data to files that a robot runs."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.evaluation.accuracy import evaluate  # noqa: E402
from sensorfuse.fusion.model_files import ENCODERS_FILE, read_card, weights_folder  # noqa: E402
from sensorfuse.fusion.training.dataset import DataConfig, make_data  # noqa: E402
from sensorfuse.fusion.training.loop import TrainConfig  # noqa: E402
from sensorfuse.fusion.training.train import train_driving  # noqa: E402
from sensorfuse.rig import Rig  # noqa: E402


def test_a_strategy_trained_on_shipped_encoders_runs_beside_them(synthetic_rig: Rig, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for _ in make_data(DataConfig(scenarios=("highway",), worlds=2, held_out=1, ticks=2), data):
        pass
    out.mkdir()
    encoders = weights_folder() / ENCODERS_FILE
    train_driving(TrainConfig(strategies=("early",), epochs=1, batch=2), data, out, "the command", encoders)
    card = read_card(out, "early")
    assert card["command"] == "the command"
    assert card["parity"] < 1e-4
    assert len(card["history"]) == 1
    scores = evaluate(synthetic_rig, ["early"], [("highway", 5000)], 1, out)
    assert scores["strategies"]["early"]["model"].startswith("early-")
    (out / ENCODERS_FILE).write_bytes(b"others")
    with pytest.raises(SensorfuseError, match="other encoders"):
        read_card(out, "early")
