"""How well a score holds as sensors are corrupted. Scores are such that more is better; levels lie in [0, 1].

- Relative robustness, the integral of f over the level; and that as a share of f(0), which a strategy with a lower
  clean score can compare. Effective robustness: how far the curve lies above that of late fusion shifted to the same
  clean score, as the mean over the levels (after Liang et al., "MultiBench", NeurIPS 2021, who take the sum; and Taori
  et al., NeurIPS 2020).
- Resistance ability RA of a corruption: the mean of the scores at levels above 0, over the clean one; mRA its mean over
  corruptions. Relative to a base strategy, RRA: the sum of the scores over the base's, less 1 (Beemelmanns et al.,
  "MultiCorrupt", IV 2024).
- Recovery: ticks after a gap until the score is back, and stays, within 95 % of what it would have been.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

RECOVERED = 0.95


def tau_rel(levels: Sequence[float], scores: Sequence[float]) -> float:
    """Integral of the curve from level 0 to level 1, by the trapezoid rule.

    Raises:
        ValueError: the levels do not rise from 0 to 1, or their number is not the scores'.
    """
    x, y = np.asarray(levels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if x.shape != y.shape or len(x) < 2 or x[0] != 0 or x[-1] != 1 or (np.diff(x) <= 0).any():
        msg = f"expected levels that rise from 0 to 1, one per score; got {list(levels)} for {len(y)} scores"
        raise ValueError(msg)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)


def tau_rel_of_clean(levels: Sequence[float], scores: Sequence[float]) -> float:
    """`tau_rel` over the clean score; NaN where that is 0."""
    return _ratio(tau_rel(levels, scores), scores[0])


def tau_eff(scores: Sequence[float], late: Sequence[float]) -> float:
    """Mean over the levels, the first of which is clean, of f - (late + f(0) - late(0))."""
    f, base = np.asarray(scores, dtype=np.float64), np.asarray(late, dtype=np.float64)
    return float(np.mean((f - f[0]) - (base - base[0])))


def resistance(scores: Sequence[float]) -> float:
    """RA: mean score at the levels after the first over the first, which is clean; NaN where that is 0."""
    return _ratio(float(np.mean(scores[1:])), scores[0])


def mean_resistance(by_corruption: Sequence[float]) -> float:
    """mRA: the mean of the corruptions' RA; NaN without any."""
    known = [r for r in by_corruption if np.isfinite(r)]
    return float(np.mean(known)) if known else float("nan")


def relative_resistance(scores: Sequence[float], base: Sequence[float]) -> float:
    """RRA: sum of the scores at the levels after the first over the base strategy's, less 1."""
    return _ratio(float(np.sum(scores[1:])), float(np.sum(base[1:]))) - 1


def recovery_ticks(scores: Sequence[float], undisturbed: Sequence[float], end: int) -> int | None:
    """Ticks from the first one after a gap, number `end`, until the score is back within 95 % of the undisturbed one at
    the same ticks for good: 0 is at once; None is not before the record ends. Ticks without a score (NaN) do not count.
    """
    pairs = list(zip(scores, undisturbed, strict=True))[end:]
    low = [n for n, (score, free) in enumerate(pairs) if score < RECOVERED * free]  # false where either is NaN
    back = low[-1] + 1 if low else 0
    return back if back < len(pairs) else None


def interval95(values: Sequence[float]) -> tuple[float, float]:
    """95 % confidence interval of the mean of independent values, by Student's t; NaN of fewer than two."""
    known = np.asarray(values, dtype=np.float64)
    if len(known) < 2:
        return float("nan"), float("nan")
    half = float(student.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return float(known.mean() - half), float(known.mean() + half)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
