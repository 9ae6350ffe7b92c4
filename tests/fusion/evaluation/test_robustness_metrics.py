from __future__ import annotations

import math

import numpy as np
import pytest

from sensorfuse.fusion.evaluation.robustness_metrics import (
    interval95,
    mean_resistance,
    recovery_ticks,
    relative_resistance,
    resistance,
    tau_eff,
    tau_rel,
    tau_rel_of_clean,
)


def test_relative_robustness_is_the_integral() -> None:
    assert tau_rel([0, 1], [0.8, 0.2]) == pytest.approx(0.5)
    assert tau_rel([0, 0.25, 1], [0.8, 0.4, 0.4]) == pytest.approx(0.25 * 0.6 + 0.75 * 0.4)
    levels = np.linspace(0, 1, 2001)
    assert tau_rel(levels.tolist(), np.exp(-levels).tolist()) == pytest.approx(1 - math.exp(-1), abs=1e-6)
    assert tau_rel_of_clean([0, 1], [0.8, 0.2]) == pytest.approx(0.625)
    assert math.isnan(tau_rel_of_clean([0, 1], [0.0, 0.0]))


@pytest.mark.parametrize(
    ("levels", "scores"),
    [([0, 1], [1.0]), ([0, 0.5], [1.0, 1.0]), ([0, 0.7, 0.6, 1], [1.0] * 4), ([0.1, 1], [1.0] * 2)],
)
def test_levels_rise_from_0_to_1(levels: list[float], scores: list[float]) -> None:
    with pytest.raises(ValueError, match="rise from 0 to 1"):
        tau_rel(levels, scores)


def test_effective_robustness_ignores_the_clean_score_and_the_number_of_levels() -> None:
    late = [0.6, 0.5, 0.1]
    assert tau_eff(late, late) == 0
    assert tau_eff([x + 0.3 for x in late], late) == pytest.approx(0)
    assert tau_eff([0.9, 0.9, 0.9], late) == pytest.approx((0.1 + 0.5) / 3)
    fine = [0.6, 0.6, 0.5, 0.5, 0.1, 0.1]
    assert tau_eff([0.9] * 6, fine) == pytest.approx(tau_eff([0.9] * 3, late))


def test_resistance() -> None:
    assert resistance([0.8, 0.8, 0.4]) == pytest.approx(0.75)
    assert math.isnan(resistance([0.0, 0.1]))
    assert mean_resistance([0.5, 1.0, float("nan")]) == 0.75
    assert math.isnan(mean_resistance([]))
    assert relative_resistance([0.9, 0.6, 0.3], [0.9, 0.4, 0.2]) == pytest.approx(0.5)  # the clean one does not count
    assert relative_resistance([1, 0.3], [1, 0.3]) == pytest.approx(0)


def test_recovery_counts_from_the_end_of_the_gap_until_it_lasts() -> None:
    free = [0.8] * 8
    assert recovery_ticks([0.8, 0.1, 0.1, 0.8, 0.8, 0.8, 0.8, 0.8], free, 3) == 0
    assert recovery_ticks([0.8, 0.1, 0.1, 0.7, 0.755, 0.77, 0.8, 0.8], free, 3) == 2  # 0.76 is 95 %
    assert recovery_ticks([0.8, 0.1, 0.1, 0.8, 0.2, 0.8, 0.8, 0.8], free, 3) == 2
    assert recovery_ticks([0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], free, 3) is None
    assert recovery_ticks([0.1, 0.1, float("nan"), 0.8], [0.8, 0.8, float("nan"), 0.8], 2) == 0


def test_interval_covers_the_mean_19_times_of_20() -> None:
    rng = np.random.default_rng(0)
    trials = [interval95(rng.normal(3, 2, 5).tolist()) for _ in range(500)]
    assert np.mean([low <= 3 <= high for low, high in trials]) == pytest.approx(0.95, abs=0.025)
    assert all(math.isnan(v) for v in interval95([1.0]))
