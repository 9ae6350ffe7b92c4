"""Canonical warping recovers a warp between series that share no channel."""

import numpy as np
import pytest

from sensorfuse.align import dtw
from sensorfuse.errors import SensorfuseError


def mixed(seed, n=200, m=240):
    """Two latent curves; x mixes them into 3 channels, y the warped ones into 4, with noise. Truth of y per x."""
    rng = np.random.default_rng(seed)
    freqs, phases = rng.uniform(2, 6, (3, 2)), rng.uniform(0, 6, (3, 2))

    def latent(at):
        return np.sin(2 * np.pi * at[:, None, None] * freqs + phases).sum(1)

    at, moved = np.linspace(0, 1, n), np.linspace(0, 1, m)
    warped = moved + 0.06 * np.sin(2 * np.pi * moved)
    x = latent(at) @ rng.standard_normal((2, 3)) + 0.05 * rng.standard_normal((n, 3))
    y = latent(warped) @ rng.standard_normal((2, 4)) + 0.05 * rng.standard_normal((m, 4))
    return x, y, np.interp(at, warped, np.arange(m))


def path_error(path, truth):
    return np.abs(path[:, 1] - truth[path[:, 0]]).mean()


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_the_warp_where_dtw_on_the_channels_does_not(seed):
    x, y, truth = mixed(seed)
    found = dtw.canonical_warp(x, y, num_components=2)
    alone = dtw.align((x - x.mean(0)) / x.std(0), ((y - y.mean(0)) / y.std(0))[:, :3])
    assert path_error(found.path, truth) < 3.0
    assert path_error(found.path, truth) < 0.5 * path_error(alone.path, truth)
    assert found.correlation.min() > 0.97


def test_the_projections_give_what_the_result_says():
    x, y, _ = mixed(1)
    found = dtw.canonical_warp(x, y, num_components=2)
    u = ((x - found.mean_x) @ found.projection_x)[found.path[:, 0]]
    v = ((y - found.mean_y) @ found.projection_y)[found.path[:, 1]]
    np.testing.assert_allclose(u.std(0), 1)
    np.testing.assert_allclose(v.std(0), 1)
    np.testing.assert_allclose((u * v).mean(0), found.correlation, atol=1e-9)
    assert ((u - v) ** 2).mean() == pytest.approx(found.difference)


def test_channels_that_repeat_others_do_not_break_it():
    x, y, truth = mixed(2)
    found = dtw.canonical_warp(np.hstack([x, x]), np.hstack([y, 0 * y]), num_components=2)
    assert path_error(found.path, truth) < 5.0


def test_bad_input():
    x, y, _ = mixed(0)
    with pytest.raises(SensorfuseError, match="num_components is 4; the series allow 1 to 3"):
        dtw.canonical_warp(x, y, num_components=4)
    with pytest.raises(SensorfuseError, match="regularisation"):
        dtw.canonical_warp(x, y, regularisation=0)
    with pytest.raises(SensorfuseError, match="y is constant"):
        dtw.canonical_warp(x, np.ones((5, 2)))
    with pytest.raises(SensorfuseError, match="missing values"):
        dtw.canonical_warp(np.where(np.arange(len(x))[:, None] == 3, np.nan, x), y)
