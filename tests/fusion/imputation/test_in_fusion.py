"""A learned strategy on a rig that imputes: the network is given what is made up, and says so. Torch is not needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sensorfuse.fusion.learned as learned
from sensorfuse.fusion.evaluation.robustness_runs import Condition, make_runs
from sensorfuse.fusion.explain.tapped import TappedFusion
from sensorfuse.fusion.imputation.imputer import Filled
from sensorfuse.messages import MODALITIES
from sensorfuse.rig import Rig

SHAPES = {m: (24, 64, 64) if m in MODALITIES[:3] else (24,) for m in MODALITIES}


class Ones:
    """An imputer that makes up ones."""

    model = "impute_ones-0"

    def __init__(self, method: str, weights: Path | None = None, threads: int = 1) -> None:
        self.method = method

    def fill(self, features: dict[str, np.ndarray]) -> Filled:
        made = {m: features.get(m, np.ones(SHAPES[m], np.float32)) for m in MODALITIES}
        return Filled(made, {}, set(MODALITIES) - set(features))  # type: ignore[arg-type]


def test_only_what_the_rig_should_have_is_made_up(small_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "Imputer", Ones)
    fused = tuple(m for m in MODALITIES if m != "camera")
    rig = small_rig.with_fusion(impute="retrieval", modalities=fused)
    (scene,) = Condition(next(make_runs(rig, [("town", 5000)], 1, 1))).scenes(("radar", "imu"))
    fuser = TappedFusion(rig, "hybrid")
    evidence = {n: [fuser.encode(s) for s in got] for n, got in scene.samples.items()}
    result = fuser.fuse(scene.tick, evidence)
    given = fuser.tap.inputs
    assert given["present"][0].tolist() == [0, 1, 1, 1, 1]
    assert (given["lidar"] == 1).all()
    assert (given["audio"] == 1).all()
    assert not given["camera"].any()
    assert (given["radar"] != 1).any()
    assert set(result.weights) == set(evidence)  # nobody votes who was not there
    assert sum(result.weights.values()) == pytest.approx(1)
    assert fuser.model.endswith("+impute_ones-0")
    plain = TappedFusion(small_rig.with_fusion(modalities=fused), "hybrid")
    plain.fuse(scene.tick, evidence)
    assert plain.tap.inputs["present"][0].tolist() == [0, 0, 1, 1, 0]
    assert np.array_equal(plain.tap.inputs["radar"], given["radar"])
