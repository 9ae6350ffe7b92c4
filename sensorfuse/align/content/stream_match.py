"""One estimate for one stream along the track that it has so far: what is left is matched, the whole is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.content.doubts import AGAIN_S, ANY_GATE, Jackknife, implausible, implausible_gain
from sensorfuse.align.content.offset_tracker import OffsetTracker
from sensorfuse.align.content.rate_offset import RateOffset, match_rates
from sensorfuse.align.content.reference import Floats, Reference, Spans
from sensorfuse.align.content.scalar_offset import ScalarOffset, match_scalars
from sensorfuse.align.content.search import Gate

MAX_LAG_S = 0.5
FEW_AXES = 0.8  # of the rows: three axes are used where so many have them


@dataclass(frozen=True)
class Match:
    """An estimate for one moment; seconds from the base of the clock. `parts`: of an accepted one, to be judged by."""

    at_s: float
    offset_s: float
    sigma_s: float
    accepted: bool
    peak: float
    gap: float
    excitation: float
    reason: str
    skew: float
    skew_sigma: float
    rotation: Floats | None = None
    parts: Jackknife | None = None

    def judged(self) -> Match:
        """The estimate after its parts have been looked at: with the larger of its sigma and their spread, or refused
        where it hangs on one of them.
        """
        if self.parts is None:
            return self
        spread_s, doubt = self.parts.verdict()
        sigma_s = max(self.sigma_s, spread_s) if math.isfinite(spread_s) else self.sigma_s
        return replace(self, sigma_s=sigma_s, accepted=not doubt, reason=doubt, parts=None)


def seen_axes(sigma: Floats) -> tuple[NDArray[np.bool_], int | None]:
    """The rows (n,) to use of sigmas (n, 3): those with three axes, with None, or with the one that most rows have."""
    finite = np.isfinite(sigma) & (sigma > 0)
    whole = np.asarray(finite.all(axis=1))
    share = finite.mean(axis=0) if len(sigma) else np.zeros(3)
    if whole.sum() >= FEW_AXES * max(1, finite.any(axis=1).sum()):
        return whole, None
    axis = int(np.argmax(share))
    return np.asarray(finite[:, axis]), axis


def matched_turns(
    reference: Reference, spans: Spans, tracker: OffsetTracker, gate: Gate, mounted: Floats | None = None
) -> Match:
    """By rotations about three axes; `mounted`: R_sensor_reference (3, 3) where the rig says it."""
    moved, level, skew = _along(spans, tracker)
    m = match_rates(reference, moved, MAX_LAG_S, 0.0, gate, drift=True)
    still = _still(moved, m)
    if m.accepted:
        doubt = implausible(reference, still, m.offset_s, m.rotation, mounted)
        m = replace(m, accepted=not doubt, reason=doubt)
    parts = Jackknife(still, m, lambda part: match_rates(reference, part, AGAIN_S, m.offset_s, ANY_GATE))
    return _placed(m, float(m.excitation[0]), m.rotation, parts, level, skew)


def matched_scalar(reference: Reference, spans: Spans, tracker: OffsetTracker, gate: Gate) -> Match:
    """By one number that both know."""
    moved, level, skew = _along(spans, tracker)
    m = match_scalars(reference, moved, MAX_LAG_S, 0.0, gate, drift=True)
    if m.accepted:
        doubt = implausible_gain(m.gain)
        m = replace(m, accepted=not doubt, reason=doubt)
    again = replace(ANY_GATE, moving=gate.moving)
    parts = Jackknife(_still(moved, m), m, lambda part: match_scalars(reference, part, AGAIN_S, m.offset_s, again))
    return _placed(m, m.excitation, None, parts, level, skew)


def _still(spans: Spans, found: RateOffset | ScalarOffset) -> Spans:
    """The spans with the drift that was found taken out of their times."""
    drifted = found.skew * (spans.middle_s - found.at_s)
    return replace(spans, start_s=spans.start_s + drifted, end_s=spans.end_s + drifted)


def _along(spans: Spans, tracker: OffsetTracker) -> tuple[Spans, float, float]:
    """The spans on the reference's time as the track so far has them, with the offset at time 0 and the skew of it."""
    middle = float(spans.middle_s.mean()) if len(spans) else 0.0
    skew = tracker.predicted_s(middle + 0.5) - tracker.predicted_s(middle - 0.5)
    level = tracker.predicted_s(middle) - skew * middle
    start, end = (at + level + skew * at for at in (spans.start_s, spans.end_s))
    return Spans(start, end, spans.value / (1 + skew), spans.weight), level, skew


def _placed(
    m: RateOffset | ScalarOffset,
    excitation: float,
    rotation: Floats | None,
    parts: Jackknife,
    level: float,
    skew: float,
) -> Match:
    """An estimate of what was left along the track, as one of the whole offset."""
    at_s = (m.at_s - level) / (1 + skew)
    offset = level + skew * at_s + m.offset_s
    moves = (1 + skew) * (1 + m.skew) - 1
    sigma = m.skew_sigma if m.accepted and m.skew_sigma > 0 else float("inf")
    told = (m.peak, m.gap, excitation, m.reason, moves, sigma)
    return Match(at_s, offset, m.sigma_s, m.accepted, *told, rotation, parts if m.accepted else None)
