"""The offset of a sensor that measures one number which the reference knows too: a yaw rate, a speed, a norm."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from sensorfuse.align.content.reference import Reference, Spans, as_reference, as_spans, means_at
from sensorfuse.align.content.search import Gate, search_lags
from sensorfuse.errors import SensorfuseError

MAX_LAG_S = 0.5


@dataclass(frozen=True)
class ScalarOffset:
    """`t_reference = t_sensor + offset_s`, one sigma of it, and how far it is to be trusted.

    peak: correlation at the offset. gap: peak less the best separate maximum. excitation: rms of the reference's
    motion, its own unit. gain, bias: `value = gain (reference - bias)`. rows: measurements used. at_s: the sensor time
    that the offset belongs to; it grows by `skew` per second, if that was sought. Not accepted means unobservable here;
    `reason` says why.
    """

    offset_s: float
    sigma_s: float
    peak: float
    gap: float
    excitation: float
    gain: float
    bias: float
    accepted: bool
    reason: str
    upper_hz: float = 0.0
    scatter: float = float("inf")
    rows: int = 0
    at_s: float = 0.0
    skew: float = 0.0
    skew_sigma: float = 0.0


def scalar_offset(
    reference_s: ArrayLike,
    reference: ArrayLike,
    spans_s: ArrayLike,
    values: ArrayLike,
    max_lag_s: float = MAX_LAG_S,
    *,
    sigmas: ArrayLike | None = None,
    centre_s: float = 0.0,
    gate: Gate = Gate(),  # noqa: B008
    drift: bool = False,
) -> ScalarOffset:
    """The offset of a sensor's values against a reference, searched within `centre_s` +- `max_lag_s`.

    reference_s (N,), reference (N,): the reference signal. spans_s (K, 2): when each value was measured, start and end
    (alike for an instant); values (K,): the mean over the span, with the reference's sign, up to a positive gain and a
    bias; sigmas (K,) weighs them. drift: whether the offset may change over the spans. `gate.moving` is in the
    reference's unit.

    Raises SensorfuseError for shapes that do not fit or a `max_lag_s` that is not positive. Poor data raise nothing.
    """
    weight = None
    if sigmas is not None:
        variance = np.asarray(sigmas, dtype=np.float64) ** 2
        weight = np.where(np.isfinite(variance) & (variance > 0), 1 / np.where(variance > 0, variance, 1.0), 0.0)
    whole = as_reference(reference_s, reference)
    spans = as_spans(spans_s, values, weight)
    if whole.value.shape[1] != 1 or spans.value.shape[1] != 1:
        raise SensorfuseError("a scalar offset takes one number per sample: give values (K,) and a reference (N,)")
    return match_scalars(whole, spans, max_lag_s, centre_s, gate, drift)


def match_scalars(
    reference: Reference,
    spans: Spans,
    max_lag_s: float = MAX_LAG_S,
    centre_s: float = 0.0,
    gate: Gate = Gate(),  # noqa: B008
    drift: bool = False,
) -> ScalarOffset:
    """As `scalar_offset`, from a reference and spans of one channel that are at hand."""
    search = search_lags(reference, spans, max_lag_s, centre_s, gate)
    upper_hz, moving = search.band.upper_hz, search.band.moving
    empty = ScalarOffset(centre_s, float("inf"), 0.0, 0.0, moving, 0.0, 0.0, False, search.reason, upper_hz)
    if search.scan is None:
        return empty
    if search.peak <= 0:
        return replace(
            empty, reason=f"the streams hardly agree: correlation {search.peak:.2f}, {gate.peak:g} is needed"
        )
    fit = search.refined(np.full((1, 1), _gain(search.reference, search.spans, search.scan.peak()[0])), drift)
    return replace(
        empty,
        **search.found(fit, gate),
        gain=float(fit.model[0, 0]),
        bias=float(fit.bias[0]),
        scatter=fit.scatter,
    )


def _gain(reference: Reference, spans: Spans, lag_s: float) -> float:
    """The slope of the values over the reference at a lag."""
    mean, _, known = means_at(reference, spans, lag_s)
    g, c = mean[known, 0], spans.value[known, 0]
    spread = float(g.var())
    slope = float(((g - g.mean()) * (c - c.mean())).mean()) / spread if spread > 0 else 0.0
    return slope if slope > 0 else float(c.std() / (g.std() or 1.0)) or 1.0
