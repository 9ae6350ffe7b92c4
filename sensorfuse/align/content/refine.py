"""An offset to a fraction of a sample: Gauss-Newton on rotation (or gain), bias and offset at once, with its sigma.

The estimate solves `sum Z (c - m) = 0`, with `c` what the sensor measured, `m` the reference's mean over the same span
moved by the offset, turned into sensor axes, and `Z` the derivative of `m` by the parameters smoothed to the band of
the motion: instruments (Reiersol 1945), so that the reference's noise is neither followed nor taken for motion.
Outliers weigh less (Huber 1964). Sigma is the greater of the one for white residuals, which for clean data is the
Cramer-Rao bound, and the one that allows for residuals that follow one another (Newey and West 1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensorfuse.align.content.band import gaussian
from sensorfuse.align.content.reference import Floats, Reference, Spans, means_at
from sensorfuse.geometry import exp_rotation

STEPS = 8
HUBER = 1.5
MAD = 1.4826
SETTLED_S = 1e-6
FOLLOW_S = 0.5  # residuals this far apart may still be alike
LEAST_ROWS = 8
MAX_SKEW = 0.1
LEAST_MOTION = 0.02  # of what looks like it; less is lost in the reference's noise


@dataclass(frozen=True)
class Fit:
    """`c = model (g - bias)` at `lag_s`; model: rotation (3, 3) or gain (1, 1). sigma_s is inf where nothing moves.

    scatter: rms of the residual per channel. rows: how many spans overlap. skew: by how much the lag grows per second
    around the mean of the spans' middles, `at_s`, to which `lag_s` belongs; 0 where none was sought.
    """

    lag_s: float
    sigma_s: float
    model: Floats
    bias: Floats
    scatter: float
    rows: int
    at_s: float = 0.0
    skew: float = 0.0
    skew_sigma: float = 0.0


def refine(
    reference: Reference,
    spans: Spans,
    lag_s: float,
    model: Floats,
    smooth_s: float,
    noise: float,
    reach_s: float,
    drift: bool = False,
) -> Fit:
    """From a lag that is right within a fraction of the motion's period, and a rotation (3, 3) or gain (1, 1).

    noise: the reference's white noise per sample. reach_s: a fit that leaves `lag_s` by more has failed (sigma inf).
    drift: whether the lag may change over the spans; then its skew is sought too.
    """
    start, d, skew = lag_s, spans.value.shape[1], 0.0
    turned = 3 if d == 3 else 1  # parameters of the model; then skew, if sought, and the lag
    failed = Fit(start, float("inf"), model, np.zeros(d), float("inf"), 0)
    for step in range(STEPS + 1):
        moved = _skewed(spans, skew)
        g, slope, known = means_at(reference, moved, lag_s)
        if step == 0 or not known.all():
            spans, moved, g, slope = spans.select(known), moved.select(known), g[known], slope[known]
            if len(spans) < LEAST_ROWS:
                return failed
            smoother = gaussian(spans, smooth_s, thin=False)
        mean_c, mean_g = _mean(moved.value, spans.weight), _mean(g, spans.weight)
        u = (g - mean_g) @ model.T
        jacobian = _jacobian(u, slope @ model.T, model)  # (K, d, p)
        if drift:
            away = spans.middle_s - np.average(spans.middle_s, weights=spans.weight)
            jacobian = np.insert(jacobian, turned, jacobian[:, :, -1] * away[:, None], axis=2)
        p = jacobian.shape[2]
        instruments = smoother(jacobian.reshape(len(u), d * p)).reshape(jacobian.shape)
        instruments -= _mean(instruments, spans.weight)
        residual = moved.value - mean_c - u
        length = np.sqrt((residual * residual).sum(axis=1))
        limit = HUBER * max(MAD * float(np.median(length)), 1e-12)
        weight = spans.weight * np.minimum(1.0, limit / np.maximum(length, 1e-12))
        residual = residual - _mean(residual, weight)
        weighted = weight[:, None, None] * instruments
        flat = weighted.reshape(-1, p).T
        bread = flat @ (jacobian - _mean(jacobian, weight)).reshape(-1, p)
        push = flat @ residual.reshape(-1)
        held = bread.copy()
        held[:turned, :turned] += 1e-6 * np.trace(bread[:turned, :turned]) * np.eye(turned)
        if not np.isfinite(held).all() or held[-1, -1] <= 0 or abs(np.linalg.det(held)) < 1e-300:
            return failed
        move = np.linalg.solve(held, push)
        if step == STEPS or abs(move[-1]) < SETTLED_S:
            break
        model = model @ exp_rotation(model.T @ move[:3]) if d == 3 else model + move[0]
        lag_s += float(move[-1])
        skew += float(move[turned]) if drift else 0.0
        if abs(lag_s - start) > reach_s or abs(skew) > MAX_SKEW:
            return failed
    weighted_square = float((weight[:, None] * residual * residual).sum())
    scatter = float(np.sqrt(weighted_square / (weight.sum() * d)))
    length_s = max(spans.length_s, reference.period_s)
    noise_part = 2 * float((model * model).sum()) * (noise / length_s) ** 2  # per row, of a difference of two samples
    noise_part *= max(smoother.own_less_next, 0.0) * float(weight.sum())
    reach = round(FOLLOW_S / max(spans.period_s, 1e-3))
    spread = weighted_square / max(len(u) * d - p - d, 1)  # of a channel of a row that weighs 1
    sigma_s, skew_sigma = (
        _sigma(held, instruments, residual, weight, spans.weight, spread, noise_part, reach, which)
        for which in (p - 1, turned)
    )
    bias = mean_g - np.linalg.pinv(model) @ mean_c
    at_s = float(np.average(spans.middle_s, weights=spans.weight))
    return Fit(lag_s, sigma_s, model, bias, scatter, len(spans), at_s, skew, skew_sigma if drift else 0.0)


def _skewed(spans: Spans, skew: float) -> Spans:
    """The spans with their times stretched about the middle of all."""
    if skew == 0.0:
        return spans
    away = skew * (spans.middle_s - np.average(spans.middle_s, weights=spans.weight))
    half = (spans.end_s - spans.start_s) * (1 + skew) / 2
    middle = spans.middle_s + away
    return Spans(middle - half, middle + half, spans.value / (1 + skew), spans.weight)


def _mean(rows: Floats, weight: Floats) -> Floats:
    return np.asarray((weight @ rows.reshape(len(rows), -1) / weight.sum()).reshape(rows.shape[1:]))


def _jacobian(u: Floats, slope: Floats, model: Floats) -> Floats:
    """Derivatives (K, d, p) of the modelled rows by a turn of the sensor's axes (or the gain), and by the offset."""
    if u.shape[1] != 3:
        return np.stack([u / model[0, 0], slope], axis=2)
    out = np.zeros((len(u), 3, 4))
    x, y, z = u.T
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = z, -y, x
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = -z, y, -x
    out[:, :, 3] = slope
    return out


def _sigma(
    bread: Floats,
    instruments: Floats,
    residual: Floats,
    weight: Floats,
    given: Floats,
    spread: float,
    noise_part: float,
    reach: int,
    which: int,
) -> float:
    """One sigma of a parameter.

    weight: of each row, as used; given: as it came, which says how far its variance is from `spread`. noise_part: what
    the reference's noise adds to the last element of `bread`. reach: how many rows apart residuals may be alike.
    """
    clean = bread.copy()
    clean[-1, -1] -= noise_part
    if clean[-1, -1] <= LEAST_MOTION * bread[-1, -1]:
        return float("inf")
    inverse = np.linalg.inv(clean)[which]
    lead = np.einsum("p,kdp->kd", inverse, instruments) * weight[:, None]
    white = float((lead * lead / given[:, None]).sum()) * spread
    score = (lead * residual).sum(axis=1)
    n, robust = len(score), float(score @ score)
    for k in range(1, min(reach, n // 8) + 1):
        robust += 2 * (1 - k / (reach + 1)) * float(score[k:] @ score[:-k])
    return float(np.sqrt(max(white, robust * n / max(n - len(bread), 1))))
