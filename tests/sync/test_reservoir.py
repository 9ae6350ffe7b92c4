"""Quantiles in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sync.reservoir import SIZE, Reservoir


def filled(values: list[int]) -> Reservoir:
    out = Reservoir()
    for value in values:
        out.push(value)
    return out


def test_few_values_exactly() -> None:
    values = np.random.default_rng(0).integers(0, 10**12, 500).tolist()
    found = filled(values)
    for q in (0.0, 0.05, 0.5, 0.99, 1.0):
        assert found.quantile(q) == pytest.approx(float(np.quantile(values, q)))
    assert (found.least, found.most, found.count) == (min(values), max(values), 500)
    assert Reservoir().quantile(0.5) is None


def test_many_values_nearly_whatever_pattern_they_come_in() -> None:
    values = [k % 2 * 1000 + k // 30 for k in range(6 * SIZE)]  # every second one is another
    found = filled(values)
    for q in (0.1, 0.5, 0.9):
        rank = np.mean(np.array(values) <= found.quantile(q))
        assert rank == pytest.approx(q, abs=0.02)
    assert found.most == max(values)


def test_deviations_from_the_median() -> None:
    assert filled([10, 12, 14, 20]).deviations().quantile(1.0) == 7.0
