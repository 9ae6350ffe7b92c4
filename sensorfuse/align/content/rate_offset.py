"""The offset of a sensor that turns with a gyro: camera, LiDAR or any other that gives its rotation between two times.

The sensor's mean rates over its spans are matched with the gyro's means over the same spans, at every lag and for the
best rotation between the two, so that neither extrinsic rotation nor gyro bias need be known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from sensorfuse.align.content.lag_scan import best_rotation
from sensorfuse.align.content.reference import INSTANT_S, Floats, Reference, Spans, as_reference, as_spans
from sensorfuse.align.content.search import Gate, search_lags
from sensorfuse.errors import SensorfuseError

MAX_LAG_S = 0.5


@dataclass(frozen=True)
class RateOffset:
    """`t_reference = t_sensor + offset_s`, one sigma of it, and how far it is to be trusted.

    peak: normalised correlation at the offset, 0 to 1. gap: peak less the best separate maximum. excitation: (3,) rms
    rate of the reference along its principal axes, rad/s, greatest first. rotation: (3, 3) R_sensor_reference; bias:
    (3,) of the reference, rad/s. upper_hz: the band of the motion. scatter_radps: rms residual per axis. rows: spans
    used. at_s: the sensor time that the offset belongs to; it grows by `skew` per second, if that was sought.
    Not accepted means unobservable here; `reason` says why.
    """

    offset_s: float
    sigma_s: float
    peak: float
    gap: float
    excitation: Floats
    rotation: Floats
    bias: Floats
    accepted: bool
    reason: str
    upper_hz: float = 0.0
    scatter_radps: float = float("inf")
    rows: int = 0
    at_s: float = 0.0
    skew: float = 0.0
    skew_sigma: float = 0.0


def mean_rates(spans_s: ArrayLike, turns_rad: ArrayLike, sigmas_rad: ArrayLike | None = None) -> Spans:
    """Mean rates over spans (K, 2) of turns (K, 3) in rad, weighed by their sigmas (K, 3); rows that are not finite, or
    have an axis without a finite sigma, are left out.

    Raises SensorfuseError where the shapes do not fit.
    """
    spans = np.asarray(spans_s, dtype=np.float64).reshape(-1, 2)
    turns = np.asarray(turns_rad, dtype=np.float64)
    turns = turns.reshape(0, 3) if turns.size == 0 else turns
    if turns.shape != (len(spans), 3):
        raise SensorfuseError(f"turns {turns.shape} for {len(spans)} spans; give (K, 3), one rotation vector per span")
    length = spans[:, 1] - spans[:, 0]
    length = np.where(length > INSTANT_S, length, np.nan)
    weight = None
    if sigmas_rad is not None:
        sigmas = np.asarray(sigmas_rad, dtype=np.float64)
        if sigmas.shape != turns.shape:
            raise SensorfuseError(f"sigmas {sigmas.shape} for turns {turns.shape}; give one per axis")
        variance = (sigmas**2).mean(axis=1) / length**2
        usual = float(np.median(variance[np.isfinite(variance)])) if np.isfinite(variance).any() else 1.0
        weight = np.where(np.isfinite(variance), 1 / np.clip(variance / (usual or 1.0), 0.1, np.inf), 0.0)
    return as_spans(spans, turns / length[:, None], weight)


def rate_offset(
    gyro_s: ArrayLike,
    gyro_radps: ArrayLike,
    spans_s: ArrayLike,
    turns_rad: ArrayLike,
    max_lag_s: float = MAX_LAG_S,
    *,
    sigmas_rad: ArrayLike | None = None,
    centre_s: float = 0.0,
    gate: Gate = Gate(),  # noqa: B008
    drift: bool = False,
) -> RateOffset:
    """The offset of a sensor against a gyro, searched within `centre_s` +- `max_lag_s`.

    gyro_s (N,), gyro_radps (N, 3): the reference, 100 Hz or more. spans_s (K, 2), turns_rad (K, 3): rotation vectors
    from the start to the end of each span, in sensor axes; sigmas_rad (K, 3) weighs them.
    drift: whether the offset may change over the spans.

    Raises SensorfuseError for shapes that do not fit or a `max_lag_s` that is not positive. Poor data raise nothing:
    the estimate is then not accepted.
    """
    reference = as_reference(gyro_s, gyro_radps)
    if reference.value.shape[1] != 3:
        raise SensorfuseError(f"gyro has {reference.value.shape[1]} channels; give (N, 3) in rad/s")
    return match_rates(reference, mean_rates(spans_s, turns_rad, sigmas_rad), max_lag_s, centre_s, gate, drift)


def match_rates(
    reference: Reference,
    spans: Spans,
    max_lag_s: float = MAX_LAG_S,
    centre_s: float = 0.0,
    gate: Gate = Gate(),  # noqa: B008
    drift: bool = False,
) -> RateOffset:
    """As `rate_offset`, from a reference and mean rates that are at hand."""
    search = search_lags(reference, spans, max_lag_s, centre_s, gate)
    none, upper_hz = np.zeros(3), search.band.upper_hz
    empty = RateOffset(centre_s, float("inf"), 0.0, 0.0, none, np.eye(3), none, False, search.reason, upper_hz)
    if search.scan is None:
        return empty
    rotation = best_rotation(search.scan.cross[int(np.argmax(search.scan.score))])
    fit = search.refined(rotation, drift)
    rates = search.reference.value
    spread = np.linalg.eigvalsh(np.cov(rates.T)) - search.band.noise**2
    return replace(
        empty,
        **search.found(fit, gate),
        excitation=np.sqrt(np.maximum(spread[::-1], 0.0)),
        rotation=fit.model,
        bias=fit.bias,
        scatter_radps=fit.scatter,
    )
