"""Following a warped series live."""

import numpy as np
import pytest

from sensorfuse.align import dtw
from sensorfuse.errors import SensorfuseError


def warped(n, d, seed, noise=0.1):
    """Sums of sines, and the same replayed up to 25 % faster and slower; and the true place of each live sample."""
    rng = np.random.default_rng(seed)
    freqs, phases = rng.uniform(5, 40, (4, d)), rng.uniform(0, 6, (4, d))

    def curve(at):
        return np.sin(2 * np.pi * at[:, None, None] * freqs + phases).sum(1)

    at = np.linspace(0, 1, n)
    moved = at + 0.04 * np.sin(2 * np.pi * at)
    reference = curve(at) + noise * rng.standard_normal((n, d))
    return reference, curve(moved) + noise * rng.standard_normal((n, d)), moved * (n - 1)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_follows_warped_sines_within_a_few_samples(d, seed):
    """From a little after its first `search` samples, in which it goes along the diagonal."""
    reference, live, truth = warped(1500, d, seed)
    follower = dtw.OnlineWarp(reference, search=150)
    error = np.abs(np.array([follower.push(sample) for sample in live]) - truth)[170:]
    assert error.mean() < 2.0
    assert np.median(error) <= 1.5
    assert error.max() < 25
    assert follower.num_samples == 1500


def test_follows_far_beyond_its_search():
    """Memory is a window; a replay at 0.8 times the speed ends 250 samples away from the diagonal."""
    at = np.linspace(0, 1, 1000)
    rng = np.random.default_rng(4)
    freqs = rng.uniform(10, 50, 4)
    reference = np.sin(2 * np.pi * at[:, None] * freqs)
    live = np.sin(2 * np.pi * np.linspace(0, 1, 1250)[:, None] * freqs)
    follower = dtw.OnlineWarp(reference, search=60)
    found = np.array([follower.push(sample) for sample in live])
    assert np.abs(found - 0.8 * np.arange(1250))[100:].max() < 10
    assert follower.frontier == 999


def test_the_past_decides_alone():
    reference, live, _ = warped(400, 2, 1)
    first, second = dtw.OnlineWarp(reference, 50), dtw.OnlineWarp(reference, 50)
    changed = live.copy()
    changed[300:] = 9.0
    a = [first.push(sample) for sample in live]
    b = [second.push(sample) for sample in changed]
    assert a[:300] == b[:300]


def test_a_missing_stretch_is_bridged():
    reference, live, truth = warped(800, 3, 2, noise=0.02)
    live[300:310] = np.nan
    follower = dtw.OnlineWarp(reference, search=100)
    found = np.array([follower.push(sample) for sample in live])
    assert np.abs(found - truth)[400:].max() < 20


def test_bad_input():
    with pytest.raises(SensorfuseError, match="search is 1"):
        dtw.OnlineWarp([1.0, 2.0], search=1)
    follower = dtw.OnlineWarp(np.eye(2), search=10)
    with pytest.raises(SensorfuseError, match="1 channels, the reference 2"):
        follower.push(1.0)
    with pytest.raises(SensorfuseError, match="live sample 0 is infinite"):
        follower.push([np.inf, -np.inf])
    assert follower.num_samples == 0
