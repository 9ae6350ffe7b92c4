"""Features held in memory."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from synthetic import CELLS, CHANNELS, make_features  # noqa: E402


def test_the_typical_and_the_deviations_about_it() -> None:
    features = make_features(30, 0)
    typical = features.typical()
    assert typical.scale.shape == (5, CHANNELS)
    usual = typical.of_maps().numpy()
    for m, values in enumerate(features.values):
        x = values.float().numpy()
        about = x - usual[m] if m < 3 else x - x.mean(axis=0)
        over = (0, 2, 3) if m < 3 else (0,)
        assert typical.scale[m].numpy() == pytest.approx(np.sqrt(np.square(about).mean(axis=over)), rel=1e-3)
        if m < 3:
            coarse = x.mean(axis=0).reshape(CHANNELS, CELLS // 2, 2, CELLS // 2, 2).mean(axis=(2, 4))
            assert typical.maps[m].numpy() == pytest.approx(coarse, abs=1e-4)
        else:
            assert typical.vectors[m - 3].numpy() == pytest.approx(x.mean(axis=0), abs=1e-5)


def test_parts_are_whole_and_apart() -> None:
    features = make_features(10, 0)
    first, last = features.parted(3)
    assert (len(first), len(last)) == (7, 3)
    values, present = features.batch(np.array([8, 2]))
    assert torch.equal(values[0][0], last.values[0][1].float())
    assert torch.equal(values[4][1], first.values[4][2])
    assert present.shape == (2, 5)
