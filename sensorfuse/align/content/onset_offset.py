"""The offset of a microphone against a camera that sees what sounds: onsets matched with motion in the picture.

A hand that claps moves fastest before it is heard, so motion leads the onset by a little, and sound comes later by the
time it travels. Sigma is that of the delete-a-block jackknife (Efron and Stein 1981), which needs no model of noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sensorfuse.align.content.band import gaussian
from sensorfuse.align.content.lag_scan import MIN_OVERLAP, scan_lags
from sensorfuse.align.content.reference import Floats, Reference, Spans, as_reference, as_spans
from sensorfuse.align.content.search import Gate
from sensorfuse.errors import SensorfuseError

SOUND_MPS = 343.0
LEAD_S = 0.012  # by how much motion energy leads the sound of an impact
LEAD_SIGMA_S = 0.003
STEP_S = 0.005
APART_S = 0.15
NEAR_S = 0.06
BLOCKS = 12
LOUDEST = 8  # are cut to one strength, so that one bang does not decide
SMOOTH_S = 0.02
ONSET_GATE = Gate(peak=0.25, gap=0.08, sigma_s=0.015, rows=60)


@dataclass(frozen=True)
class OnsetOffset:
    """`t_camera = t_microphone + offset_s`, one sigma, correlation at the offset, and its lead over the best other."""

    offset_s: float
    sigma_s: float
    peak: float
    gap: float
    accepted: bool
    reason: str


def onset_offset(
    spans_s: ArrayLike,
    motion: ArrayLike,
    onset_s: ArrayLike,
    onset: ArrayLike,
    max_lag_s: float = 0.5,
    *,
    centre_s: float = 0.0,
    distance_m: float = 0.0,
    lead_s: float = LEAD_S,
    gate: Gate = ONSET_GATE,
) -> OnsetOffset:
    """The offset of a microphone, searched within `centre_s` +- `max_lag_s`.

    spans_s (K, 2), motion (K,): motion energy between pictures, on the camera's clock. onset_s (N,), onset (N,): onset
    strength at the middles of its hops, on the microphone's. distance_m: from the sound to the microphone.

    Raises SensorfuseError for shapes that do not fit or a `max_lag_s` that is not positive. Poor data raise nothing.
    """
    if not (max_lag_s > 0 and np.isfinite(max_lag_s) and np.isfinite(centre_s)):
        raise SensorfuseError(f"max_lag_s is {max_lag_s!r} around {centre_s!r}; give a positive and a finite number")
    seen, heard = as_spans(spans_s, motion), as_reference(onset_s, onset)
    if seen.value.shape[1] != 1 or heard.value.shape[1] != 1:
        raise SensorfuseError("motion and onset take one number each: give (K,) and (N,)")
    none = OnsetOffset(centre_s, float("inf"), 0.0, 0.0, False, "")
    if len(seen) < gate.rows or len(heard.time_s) < gate.rows:
        return _refused(none, f"only {min(len(seen), len(heard.time_s))} measurements, {gate.rows} are needed")
    seen = Spans(seen.start_s, seen.end_s, _events(seen.value), seen.weight)
    heard = as_reference(heard.time_s, _events(heard.value))
    towards_s = distance_m / SOUND_MPS + lead_s  # the sound's stamp is later by so much than the motion's, offset apart
    middle = towards_s - centre_s
    half = int(np.ceil(max_lag_s / STEP_S))
    lags = np.asarray(middle + STEP_S * np.arange(-half, half + 1))
    scan = scan_lags(heard, seen, lags, gaussian(seen, SMOOTH_S, thin=False), MIN_OVERLAP)
    if scan.score.max() <= 0:
        return _refused(none, "the streams do not overlap in time, or nothing moves or sounds")
    lag_s, peak = scan.peak()
    gap = peak - scan.rival(APART_S)
    spread_s = _jackknife(heard, seen, lag_s)
    sigma_s = float(np.hypot(spread_s, LEAD_SIGMA_S))
    reason = ""
    if peak < gate.peak:
        reason = f"sound and motion hardly agree: correlation {peak:.2f}, {gate.peak:g} is needed"
    elif scan.at_edge():
        reason = "the best match lies at the end of the search: the offset may be beyond it"
    elif gap < gate.gap:
        reason = f"the sounds repeat: another offset matches within {gap:.2f}"
    elif not sigma_s <= gate.sigma_s:
        reason = f"too few events: the offset is known +-{1e3 * sigma_s:.0f} ms, {1e3 * gate.sigma_s:g} ms is needed"
    return OnsetOffset(towards_s - lag_s, sigma_s, peak, gap, not reason, reason)


def _refused(none: OnsetOffset, reason: str) -> OnsetOffset:
    return OnsetOffset(none.offset_s, none.sigma_s, none.peak, none.gap, False, reason)


def _events(strength: Floats) -> Floats:
    """Strengths above the usual, cut at the loud ones, as amplitudes (N, 1)."""
    above = np.maximum(strength - np.median(strength), 0.0)
    top = float(np.sort(above, axis=None)[-min(LOUDEST, above.size)])
    return np.sqrt(np.minimum(above, top) if top > 0 else above)


def _jackknife(heard: Reference, seen: Spans, lag_s: float) -> float:
    """Spread of the lag when each of `BLOCKS` stretches of time is left out in turn."""
    near = round(NEAR_S / STEP_S)
    lags = np.asarray(lag_s + STEP_S * np.arange(-near, near + 1))
    block = np.minimum((BLOCKS * np.arange(len(seen))) // len(seen), BLOCKS - 1)
    found = []
    for b in range(BLOCKS):
        rest = seen.select(block != b)
        found.append(scan_lags(heard, rest, lags, gaussian(rest, SMOOTH_S, thin=False), MIN_OVERLAP).peak()[0])
    return float(np.sqrt((BLOCKS - 1) * np.var(found)))
