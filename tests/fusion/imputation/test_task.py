"""What imputers are trained on, and with."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from synthetic import CELLS, CHANNELS, make_features  # noqa: E402

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.imputation.task import ImputationTask, spread, typical_of, with_one_gone  # noqa: E402
from sensorfuse.fusion.training.feature_rows import row_width  # noqa: E402
from sensorfuse.fusion.training.modality_dropout import draw_dropout  # noqa: E402


def test_the_typical_and_the_deviations_about_it() -> None:
    features = make_features(30, 0)
    typical = typical_of(features, np.arange(30))
    assert typical.scale.shape == (5, CHANNELS)
    usual = typical.of_maps().numpy()
    values, present = features.batch(np.arange(30))
    assert present.shape == (30, 5)
    assert sum(v[0].numel() for v in values) == row_width(CHANNELS, CELLS)
    for m, x in enumerate(v.numpy() for v in values):
        about = x - usual[m] if m < 3 else x - x.mean(axis=0)
        over = (0, 2, 3) if m < 3 else (0,)
        assert typical.scale[m].numpy() == pytest.approx(np.sqrt(np.square(about).mean(axis=over)), rel=1e-3)
        if m < 3:
            coarse = x.mean(axis=0).reshape(CHANNELS, CELLS // 2, 2, CELLS // 2, 2).mean(axis=(2, 4))
            assert typical.maps[m].numpy() == pytest.approx(coarse, abs=1e-4)
        else:
            assert typical.vectors[m - 3].numpy() == pytest.approx(x.mean(axis=0), abs=1e-5)


def test_there_is_always_something_to_tell() -> None:
    rng = np.random.default_rng(0)
    keep = with_one_gone(draw_dropout(rng, 500, (0.35,) * 5), rng)
    assert keep.min(axis=1).max() == 0
    assert keep.max(axis=1).min() == 1


def test_the_last_ticks_are_left_for_what_is_set_after_training() -> None:
    task = ImputationTask(make_features(100, 0), make_features(10, 1))
    assert len(task) == 85
    batch = task.batch(np.array([3, 84]), np.ones((2, 5), np.float32), np.random.default_rng(0))
    assert torch.equal(batch.values[4][1], task.training.batch(np.array([84]))[0][4][0])
    assert batch.keep.sum(dim=1).tolist() == [4, 4]
    with pytest.raises(SensorfuseError, match="'guess' is no way to impute"):
        task.make_model(("guess",))


def test_ticks_are_spread_evenly() -> None:
    assert spread(10, 4).tolist() == [0, 3, 6, 9]
    assert spread(3, 9).tolist() == [0, 1, 2]
