"""How ways of doing without a modality are judged."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sensorfuse.fusion.imputation.evaluate import evaluate, table  # noqa: E402
from sensorfuse.fusion.imputation.imputer import Filled  # noqa: E402
from sensorfuse.messages import MODALITIES, Modality  # noqa: E402
from sensorfuse.rig import Rig  # noqa: E402

SHAPES = {m: (24, 64, 64) if m in MODALITIES[:3] else (24,) for m in MODALITIES}


class Nothing:
    """An imputer that knows nothing: zeros."""

    def __init__(self) -> None:
        self.asked: list[set[Modality]] = []

    def fill(self, features: dict[Modality, np.ndarray]) -> Filled:
        gone: set[Modality] = {m for m in MODALITIES if m not in features}
        self.asked.append(gone)
        return Filled({m: features.get(m, np.zeros(SHAPES[m], np.float32)) for m in MODALITIES}, {}, gone)


def test_every_modality_goes_away_in_turn(small_rig: Rig) -> None:
    nothing = Nothing()
    scores = evaluate(small_rig, "hybrid", {"nothing": nothing}, [("town", 5000)], 2, 0.2)  # type: ignore[dict-item]
    assert list(scores) == ["all", *(f"no {m}" for m in MODALITIES)]
    assert nothing.asked == 2 * [{m} for m in MODALITIES]
    lidar = scores["no lidar"]
    assert list(lidar) == ["masked", "mean", "hold", "nothing"]
    assert lidar["masked"]["heat_loss"] > scores["all"]["all present"]["heat_loss"]
    assert "mse" not in lidar["masked"]
    assert 0 < lidar["hold"]["mse"] < lidar["nothing"]["mse"]
    assert len(table(scores).splitlines()) == 1 + 1 + 4 * len(MODALITIES)
