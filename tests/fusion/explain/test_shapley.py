"""Exact Shapley shares: their axioms, and against the definition by orders."""

from itertools import permutations

import numpy as np
import pytest

from sensorfuse.fusion.explain.shapley import members_of, shapley_shares, subset_of, subset_table

SEEDS = range(5)


def by_orders(table: np.ndarray, members: int) -> np.ndarray:
    """The mean over all orders of what the value rises by when a member comes."""
    shares = np.zeros((members, *table.shape[1:]))
    orders = list(permutations(range(members)))
    for order in orders:
        there = [False] * members
        for m in order:
            before = table[subset_of(there)]
            there[m] = True
            shares[m] += table[subset_of(there)] - before
    return shares / len(orders)


@pytest.mark.parametrize("members", [1, 2, 3, 4, 5])
def test_agrees_with_all_orders(members: int) -> None:
    for seed in SEEDS:
        table = np.random.default_rng(seed).normal(size=(2**members, 3))
        assert np.allclose(shapley_shares(table), by_orders(table, members), atol=1e-12)


def test_shares_add_up_to_what_all_bring() -> None:
    table = np.random.default_rng(0).normal(size=(32, 7))
    assert np.allclose(shapley_shares(table).sum(axis=0), table[-1] - table[0], atol=1e-12)


def test_alike_members_get_alike_shares() -> None:
    rng = np.random.default_rng(1)
    worth = rng.normal(size=(3, 3, 3))  # by how many of members 0 and 1 are there, and by members 2 and 3
    shares = shapley_shares(subset_table(4, lambda s: worth[s[0] + s[1], int(s[2]), int(s[3])]))
    assert shares[0] == pytest.approx(shares[1], abs=1e-12)
    assert abs(shares[2] - shares[3]) > 1e-3


def test_who_changes_nothing_gets_nothing() -> None:
    table = subset_table(5, lambda s: np.sin(3 * s[0] + s[2] * 5 + 7 * s[4] * s[0]) + s[3])
    shares = shapley_shares(table)
    assert shares[1] == pytest.approx(0, abs=1e-15)
    assert shares[3] == pytest.approx(1)


def test_shares_of_a_sum_are_sums_of_shares() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 16))
    assert np.allclose(shapley_shares(2 * a - 3 * b), 2 * shapley_shares(a) - 3 * shapley_shares(b), atol=1e-12)


def test_subsets_are_told_who_is_there() -> None:
    asked: list[tuple[bool, ...]] = []
    table = subset_table(3, lambda s: asked.append(s) or float(s[1]))  # type: ignore[func-returns-value]
    assert len(set(asked)) == len(table) == 8
    assert [subset_of(s) for s in asked] == list(range(8))
    assert members_of(0b101, 3) == (True, False, True)


def test_an_incomplete_table_is_refused() -> None:
    with pytest.raises(ValueError, match="2\\^M rows, got 7"):
        shapley_shares(np.zeros(7))
