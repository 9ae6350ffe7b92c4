"""An offset that varies: steps, drifts, a replay at another rate, stamps that only count.

First the lag of every moment by time warping in the lag domain (`sensorfuse.align.dtw.lag`), which tells where the
offset is within some milliseconds. Then the residual by correlation in short windows along that path, and both into one
smooth line (Rauch, Tung and Striebel 1965) between the jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.align.content.lag_scan import best_rotation
from sensorfuse.align.content.rate_offset import match_rates, mean_rates
from sensorfuse.align.content.reference import Floats, Reference, Spans, as_reference, means_at
from sensorfuse.align.content.search import Gate
from sensorfuse.align.dtw.lag import MAX_SKEW, lag_path, lag_to_map
from sensorfuse.errors import SensorfuseError

GRID_HZ = 50.0
KNOT_S = 0.5
WINDOW_S = 4.0
LEAN_WINDOW_S = 6.0
ROUNDS = 2
RESIDUAL_S = 0.08
PATH_SIGMA_S = 0.015
JUMP_S = 0.03  # between knots; faster is no drift
SKEW_WANDER = 2e-3  # per square root of a second
HOLE_PERIODS = 2.5
LEAST_S = 4.0
SHARE_FOLLOWED = 0.35  # of moments at which the lag changes; a path with more follows noise
WIDE_GATE = Gate(sigma_s=0.02, rows=16)
LEAN_GATE = Gate(sigma_s=0.01, rows=16, gap=0.05)


@dataclass(frozen=True)
class OffsetTrack:
    """`t_reference = t_sensor + offset`: knots at sensor times `time_s` (K,) with offset and one sigma, (K,) each.

    rotation: (3, 3) R_sensor_reference, or None where only the norms were matched. measured: (K,) where a correlation
    was accepted; elsewhere the path alone tells. singular_share: share of moments at which the path's lag changed.
    reason: why there is no track (then K is 0), or "".
    """

    time_s: Floats
    offset_s: Floats
    sigma_s: Floats
    measured: NDArray[np.bool_]
    rotation: Floats | None
    singular_share: float
    reason: str = ""

    def at(self, time_s: ArrayLike) -> Floats:
        """Offsets at sensor times; beyond the outer knots that of the nearest holds."""
        return np.asarray(np.interp(np.asarray(time_s, dtype=np.float64), self.time_s, self.offset_s))


def track_offsets(
    gyro_s: ArrayLike,
    gyro_radps: ArrayLike,
    spans_s: ArrayLike,
    turns_rad: ArrayLike,
    max_lag_s: float = 0.5,
    *,
    centre_s: float = 0.0,
    sigmas_rad: ArrayLike | None = None,
    rotation: ArrayLike | None = None,
    jumps: bool = False,
) -> OffsetTrack:
    """The offset of a turning sensor over the whole recording, within `centre_s` +- `max_lag_s`.

    gyro_s (N,), gyro_radps (N, 3), spans_s (K, 2), turns_rad (K, 3), sigmas_rad (K, 3): as for `rate_offset`. rotation:
    (3, 3) R_sensor_reference where it is known. jumps: whether the offset may jump, as where frames were lost that the
    stamps do not show.

    Raises SensorfuseError for shapes that do not fit or a `max_lag_s` that is not positive. Poor data raise nothing.
    """
    if not (max_lag_s > 0 and np.isfinite(max_lag_s) and np.isfinite(centre_s)):
        raise SensorfuseError(f"max_lag_s is {max_lag_s!r} around {centre_s!r}; give a positive and a finite number")
    reference, spans = as_reference(gyro_s, gyro_radps), mean_rates(spans_s, turns_rad, sigmas_rad)
    if reference.value.shape[1] != 3:
        raise SensorfuseError(f"gyro has {reference.value.shape[1]} channels; give (N, 3) in rad/s")
    if len(spans) < WIDE_GATE.rows or len(reference.time_s) < 2 or spans.end_s[-1] - spans.start_s[0] < LEAST_S:
        return _nothing(f"too little data: {len(spans)} measurements, {LEAST_S:g} s are needed")
    found = np.asarray(rotation, dtype=np.float64) if rotation is not None else None
    if found is None:
        found = _common_rotation(reference, spans, max_lag_s, centre_s)
    path = _path(reference, spans, max_lag_s, centre_s, found, jumps)
    if path is None:
        return _nothing("the streams do not overlap in time, or one of them is constant")
    knots, offset, singular_share = path
    sigma = np.full(len(knots), PATH_SIGMA_S)
    measured = np.zeros(len(knots), np.bool_)
    pieces = _pieces(offset, jumps)
    for turn in range(ROUNDS):
        seen, spread, measured = _residuals(reference, spans, knots, offset, pieces, curved=turn > 0)
        lines = [_smooth(knots[p], seen[p], spread[p]) for p in pieces]
        offset = np.concatenate([line for line, _ in lines])
        sigma = np.concatenate([one for _, one in lines])
    return OffsetTrack(knots, offset, sigma, measured, found, singular_share)


def latest_jump(
    reference: Reference, spans: Spans, max_lag_s: float, centre_s: float, rotation: Floats
) -> float | None:
    """When (sensor time) the offset last jumped, by the lag path; None where it did not, or the path says nothing."""
    if len(spans) < WIDE_GATE.rows or len(reference.time_s) < 2 or spans.end_s[-1] - spans.start_s[0] < LEAST_S:
        return None
    path = _path(reference, spans, max_lag_s, centre_s, rotation, jumps=True)
    if path is None or path[2] > SHARE_FOLLOWED:
        return None
    knots, offset, _ = path
    last = _pieces(offset, jumps=True)[-1]
    return float(knots[last.start]) if last.start > 0 else None


def _nothing(reason: str) -> OffsetTrack:
    none = np.zeros(0)
    return OffsetTrack(none, none, none, np.zeros(0, np.bool_), None, 0.0, reason)


def _common_rotation(reference: Reference, spans: Spans, max_lag_s: float, centre_s: float) -> Floats | None:
    """The rotation that most windows agree on; None where none is sure of its own."""
    found, trust = [], []
    middles = spans.middle_s
    for start in np.arange(middles[0], middles[-1] - LEAST_S / 2, LEAN_WINDOW_S / 2):
        window = spans.select((middles >= start) & (middles < start + LEAN_WINDOW_S))
        match = match_rates(reference, window, max_lag_s, centre_s, WIDE_GATE)
        if match.accepted:
            found.append(match.rotation)
            trust.append(1 / match.sigma_s**2)
    if not found:
        return None
    all_found, weight = np.array(found), np.array(trust)
    alike = np.einsum("aij,bij->ab", all_found, all_found)  # 3 where equal, 1 + 2 cos of the angle between
    centre = int(np.argmax((np.clip(alike, 1.0, 3.0) * weight).sum(axis=1)))
    near = alike[centre] > 1 + 2 * np.cos(0.35)
    return best_rotation(np.tensordot(weight[near], all_found[near], axes=(0, 0)))


def _path(
    reference: Reference, spans: Spans, max_lag_s: float, centre_s: float, rotation: Floats | None, jumps: bool
) -> tuple[Floats, Floats, float] | None:
    """Knots in sensor time, the path's offset there, and its share of singular steps."""
    start_s = spans.middle_s[0]
    n = int((spans.middle_s[-1] - start_s) * GRID_HZ) + 1
    at = start_s + np.arange(n) / GRID_HZ
    x = np.stack([np.interp(at, spans.middle_s, v) for v in spans.value.T], axis=1)
    after = np.clip(np.searchsorted(spans.middle_s, at), 1, len(spans) - 1)
    apart = spans.middle_s[after] - spans.middle_s[after - 1]
    x[apart > HOLE_PERIODS * spans.period_s] = np.nan
    reach = max(1, int(np.ceil(max_lag_s * GRID_HZ)))
    first = round(centre_s * GRID_HZ) - reach
    there = start_s + (first + np.arange(n + 2 * reach)) / GRID_HZ
    half_s = spans.length_s / 2
    y, _, known = means_at(reference, Spans(there - half_s, there + half_s, np.zeros((len(there), 3)), there), 0.0)
    y[~known] = np.nan
    if rotation is not None:
        x = x @ rotation
    else:
        x, y = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    try:
        path = lag_path(x, y, reach, centre=reach)
    except SensorfuseError:  # no overlap, or one constant
        return None
    fastest = np.inf if jumps else MAX_SKEW
    mapped = lag_to_map(path.lag + float(first), GRID_HZ, max_skew=fastest, knot_s=KNOT_S)
    return start_s + mapped.x_s, mapped.y_s - mapped.x_s, path.singular_share


def _pieces(offset: Floats, jumps: bool) -> list[slice]:
    """Stretches of knots without a jump."""
    cuts = np.flatnonzero(np.abs(np.diff(offset)) > JUMP_S) + 1 if jumps else np.zeros(0, np.int64)
    edges = [0, *cuts.tolist(), len(offset)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _residuals(
    reference: Reference, spans: Spans, knots: Floats, offset: Floats, pieces: list[slice], curved: bool
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Offset and sigma at each knot from a window around it, moved along the path there: as a straight line, or
    `curved` as it is. Where nothing is accepted, the path's.
    """
    seen, sigma, measured = offset.copy(), np.full(len(knots), PATH_SIGMA_S), np.zeros(len(knots), np.bool_)
    middles = spans.middle_s
    share = KNOT_S / WINDOW_S
    for piece in pieces:
        t, o = knots[piece], offset[piece]
        for k in range(piece.start, piece.stop):
            low = max(knots[k] - WINDOW_S / 2, t[0])
            high = min(low + WINDOW_S, t[-1])
            low = max(min(low, high - WINDOW_S), t[0])
            window = spans.select((middles >= low) & (middles <= high))
            if len(window) < LEAN_GATE.rows:
                continue
            inside = (t >= low) & (t <= high)
            level, slope = o[k - piece.start], 0.0
            if inside.sum() > 1 and not curved:
                slope, level = np.polyfit(t[inside] - knots[k], o[inside], 1)
            start, end = (
                at + (np.interp(at, t, o) if curved else level + slope * (at - knots[k]))
                for at in (window.start_s, window.end_s)
            )
            stretch = np.maximum(end - start, 1e-6) / np.maximum(window.end_s - window.start_s, 1e-6)
            moved = Spans(start, end, window.value / stretch[:, None], window.weight)
            match = match_rates(reference, moved, RESIDUAL_S, 0.0, LEAN_GATE)
            if match.accepted:
                seen[k] = level + match.offset_s
                sigma[k] = match.sigma_s / np.sqrt(share)
                measured[k] = True
    return seen, sigma, measured


def _smooth(t: Floats, seen: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """The smooth line through estimates, and its sigma: offset and skew, the skew a random walk."""
    n = len(t)
    x, cov = np.zeros((n, 2)), np.zeros((n, 2, 2))
    ahead_x, ahead_cov, moves = x.copy(), cov.copy(), cov.copy()
    state, spread = np.array([seen[0], 0.0]), np.diag([1.0, 0.1**2])
    for k in range(n):
        step = t[k] - t[k - 1] if k else 0.0
        move = np.array([[1.0, step], [0.0, 1.0]])
        noise = SKEW_WANDER**2 * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        state, spread = move @ state, move @ spread @ move.T + noise
        ahead_x[k], ahead_cov[k], moves[k] = state, spread, move
        gain = spread[:, 0] / (spread[0, 0] + sigma[k] ** 2)
        state = state + gain * (seen[k] - state[0])
        spread = spread - np.outer(gain, spread[0])
        x[k], cov[k] = state, spread
    for k in range(n - 2, -1, -1):
        back = cov[k] @ moves[k + 1].T @ np.linalg.inv(ahead_cov[k + 1])
        x[k] = x[k] + back @ (x[k + 1] - ahead_x[k + 1])
        cov[k] = cov[k] + back @ (cov[k + 1] - ahead_cov[k + 1]) @ back.T
    return x[:, 0], np.sqrt(np.maximum(cov[:, 0, 0], 0.0))
