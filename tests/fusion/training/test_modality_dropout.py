import numpy as np
import pytest

from sensorfuse.fusion.training.modality_dropout import draw_dropout, draw_outages

RATES = (0.1, 0.3, 0.5)


def blocks(absent: np.ndarray) -> list[int]:
    """Lengths of the runs of True that neither the start nor the end cuts."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], absent, [False]]).astype(int)))
    return [int(b - a) for a, b in edges.reshape(-1, 2) if a > 0 and b < len(absent)]


def test_independent_draws_hold_their_rates_given_that_somebody_stays() -> None:
    keep = draw_dropout(np.random.default_rng(0), 40_000, RATES)
    assert keep.dtype == np.float32
    assert set(np.unique(keep)) == {0.0, 1.0}
    assert keep.any(axis=1).all()
    nobody = np.prod(RATES)
    expected = (np.array(RATES) - nobody) / (1 - nobody)  # drawn again where all are away
    assert 1 - keep.mean(axis=0) == pytest.approx(expected, abs=0.01)
    pair = ((keep[:, 0] == 0) & (keep[:, 1] == 0)).mean()
    assert pair == pytest.approx((RATES[0] * RATES[1] - nobody) / (1 - nobody), abs=0.005)


def test_somebody_stays_even_at_high_rates() -> None:
    rng = np.random.default_rng(1)
    assert draw_dropout(rng, 500, (0.95, 0.95)).any(axis=1).all()
    assert draw_outages(rng, 500, (0.9, 0.95), 8.0).any(axis=1).all()


@pytest.mark.parametrize("mean_length", [1.0, 5.0, 20.0])
def test_outages_have_the_asked_mean_length_and_share(mean_length: float) -> None:
    rates = (0.1, 0.25, 0.0)  # the third always stays, so that nobody has to be kept by force
    keep = draw_outages(np.random.default_rng(2), 30_000, rates, mean_length)
    assert 1 - keep.mean(axis=0) == pytest.approx(rates, abs=0.04)
    for m in (0, 1):
        lengths = blocks(keep[:, m] == 0)
        error = mean_length / np.sqrt(len(lengths))  # the standard deviation of a geometric length is about its mean
        assert np.mean(lengths) == pytest.approx(mean_length, abs=4 * error + 1e-9)


def test_where_all_would_be_away_the_one_with_the_lowest_rate_stays() -> None:
    keep = draw_outages(np.random.default_rng(3), 5000, (0.5, 0.3), 10.0)
    assert keep.any(axis=1).all()
    assert 1 - keep[:, 0].mean() == pytest.approx(0.5, abs=0.05)
    assert 1 - keep[:, 1].mean() == pytest.approx(0.3 * 0.5, abs=0.05)  # away only where the first is there


def test_same_seed_same_draws() -> None:
    for draw in (lambda rng: draw_dropout(rng, 50, RATES), lambda rng: draw_outages(rng, 50, RATES, 4.0)):
        assert np.array_equal(draw(np.random.default_rng(4)), draw(np.random.default_rng(4)))
        assert not np.array_equal(draw(np.random.default_rng(4)), draw(np.random.default_rng(5)))


def test_no_dropout_keeps_all() -> None:
    rng = np.random.default_rng(6)
    assert draw_dropout(rng, 20, (0.0, 0.0)).all()
    assert draw_outages(rng, 20, (0.0, 0.0), 5.0).all()
