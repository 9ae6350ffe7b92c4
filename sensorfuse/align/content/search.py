"""The search that every content offset begins with, and what an estimate must reach to be accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sensorfuse.align.content.band import FINE_SMOOTHING, SMOOTHING, Band, gaussian, motion_band
from sensorfuse.align.content.lag_scan import MIN_OVERLAP, Scan, scan_lags
from sensorfuse.align.content.reference import Floats, Reference, Spans
from sensorfuse.align.content.refine import Fit, refine
from sensorfuse.errors import SensorfuseError

STEPS_PER_PERIOD = 8  # lags searched per period of the band's upper edge
CLIP = 3.0  # times the usual rate, where it is also more than the reference ever saw
REACH = 0.25  # of that period: a fine estimate farther from the coarse one has gone astray


@dataclass(frozen=True)
class Gate:
    """What an estimate must reach to be accepted."""

    peak: float = 0.5
    gap: float = 0.1
    sigma_s: float = 5e-3
    rows: int = 24
    moving: float = 3e-3


@dataclass(frozen=True)
class Search:
    """The coarse part of an estimate: a scan over lags, or none and the reason why."""

    reference: Reference
    spans: Spans
    band: Band
    smooth_s: float = 0.0
    scan: Scan | None = None
    peak: float = 0.0
    gap: float = 0.0
    reason: str = ""

    def refined(self, model: Floats, drift: bool) -> Fit:
        """The fine part, from a rotation (3, 3) or gain (1, 1); with `drift`, the lag may change over the spans."""
        assert self.scan is not None
        period_s = 1 / self.band.upper_hz
        fine_s, reach_s = FINE_SMOOTHING * period_s, REACH * period_s
        lag_s, noise = self.scan.peak()[0], self.band.noise
        return refine(self.reference, self.spans, lag_s, model, fine_s, noise, reach_s, drift)

    def found(self, fit: Fit, gate: Gate) -> dict[str, Any]:
        """What every estimate says of a fit, by the names of its fields."""
        reason = self.verdict(fit, gate)
        return {
            "offset_s": fit.lag_s,
            "sigma_s": fit.sigma_s,
            "peak": self.peak,
            "gap": self.gap,
            "accepted": not reason,
            "reason": reason,
            "rows": fit.rows,
            "at_s": fit.at_s,
            "skew": fit.skew,
            "skew_sigma": fit.skew_sigma,
        }

    def verdict(self, fit: Fit, gate: Gate) -> str:
        """Why the estimate is not to be trusted, in words; empty where it is."""
        assert self.scan is not None
        if self.peak < gate.peak:
            return f"the streams hardly agree: correlation {self.peak:.2f}, {gate.peak:g} is needed"
        if self.scan.at_edge():
            return "the best match lies at the end of the search: the offset may be beyond it"
        if self.gap < gate.gap:
            return f"the motion repeats: another offset matches within {self.gap:.2f}"
        if fit.rows < gate.rows:
            return f"only {fit.rows} measurements overlap with the reference, {gate.rows} are needed"
        if not fit.sigma_s <= gate.sigma_s:
            known = f"+-{1e3 * fit.sigma_s:.1f} ms" if np.isfinite(fit.sigma_s) else "not at all"
            return f"too little changes of motion: the offset is known {known}, {1e3 * gate.sigma_s:g} ms is needed"
        return ""


def search_lags(
    reference: Reference, spans: Spans, max_lag_s: float, centre_s: float, gate: Gate, min_share: float = MIN_OVERLAP
) -> Search:
    """Scan the lags within `centre_s` +- `max_lag_s`, in the band in which the reference moves.

    Raises SensorfuseError for a `max_lag_s` that is not positive, or a centre that is not finite.
    """
    if not (max_lag_s > 0 and np.isfinite(max_lag_s) and np.isfinite(centre_s)):
        raise SensorfuseError(f"max_lag_s is {max_lag_s!r} around {centre_s!r}; give a positive and a finite number")
    if len(spans):
        margin_s = max_lag_s + 1.0
        first, last = spans.start_s.min() + centre_s - margin_s, spans.end_s.max() + centre_s + margin_s
        reference = reference.between(first, last)
    band = motion_band(reference, spans.length_s)
    if len(spans) < gate.rows:
        return Search(reference, spans, band, reason=f"only {len(spans)} measurements, {gate.rows} are needed")
    if len(reference.time_s) < gate.rows:
        return Search(reference, spans, band, reason="the reference has too few samples in that time")
    if band.upper_hz <= 0 or band.moving < gate.moving:
        return Search(reference, spans, band, reason=f"no motion: {band.moving:.3g} rms, {gate.moving:g} is needed")
    spans = _clipped(reference, spans)
    smooth_s = SMOOTHING / band.upper_hz
    step_s = min(1 / (STEPS_PER_PERIOD * band.upper_hz), max_lag_s / 8)
    half = int(np.ceil(max_lag_s / step_s))
    lags = centre_s + max_lag_s * np.arange(-half, half + 1) / half
    scan = scan_lags(reference, spans, lags, gaussian(spans, smooth_s, thin=True), min_share)
    if scan.score.max() <= -1:
        return Search(reference, spans, band, reason="the streams do not overlap in time, or one of them is constant")
    peak = min(scan.peak()[1], 1.0)
    gap = peak - scan.rival(1 / band.upper_hz)
    return Search(reference, spans, band, smooth_s, scan, peak, gap)


def _clipped(reference: Reference, spans: Spans) -> Spans:
    """Rows that are far longer than usual, and longer than any the reference saw, cut to the longest it saw."""
    middle = np.median(spans.value, axis=0)
    away = spans.value - middle
    length = np.sqrt((away * away).sum(axis=1))
    seen = reference.value - np.median(reference.value, axis=0)
    limit = max(CLIP * float(np.median(length)), float(np.sqrt((seen * seen).sum(axis=1).max(initial=0.0))))
    if limit <= 0 or (length <= limit).all():
        return spans
    return replace(spans, value=middle + away * np.minimum(1.0, limit / np.maximum(length, 1e-12))[:, None])
