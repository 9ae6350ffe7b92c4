"""How well a sensor's spans match the reference at each lag of a grid.

With three axes the match is that of the best rotation: the sum of the singular values of the cross-covariance, the last
one signed by its determinant (Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976), over the
product of the norms. It needs no extrinsic rotation, and a constant bias falls out with the means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from sensorfuse.align.content.band import Smoother
from sensorfuse.align.content.reference import Floats, Reference, Spans, means_into

MIN_OVERLAP = 0.5  # of the rows that the sensor has, or that the reference could hold
MIN_ROWS = 8


@dataclass(frozen=True)
class Scan:
    """lag_s: (L,). score: (L,) in [-1, 1], -1 where too little overlaps. cross: (L, d, d) sensor times reference."""

    lag_s: Floats
    score: Floats
    cross: Floats

    def peak(self) -> tuple[float, float]:
        """Lag and height of the parabola through the best score and its neighbours."""
        i = int(np.argmax(self.score))
        if not 0 < i < len(self.score) - 1:
            return float(self.lag_s[i]), float(self.score[i])
        left, middle, right = self.score[i - 1 : i + 2]
        bend = left - 2 * middle + right
        move = 0.5 * (left - right) / bend if bend < 0 else 0.0
        step = self.lag_s[1] - self.lag_s[0]
        return float(self.lag_s[i] + move * step), float(middle - 0.25 * (left - right) * move)

    def at_edge(self) -> bool:
        """Whether the best score lies at an end of what was searched."""
        i = int(np.argmax(self.score))
        found = np.flatnonzero(self.score > -1)
        return len(found) == 0 or i in (found[0], found[-1])

    def rival(self, apart_s: float) -> float:
        """Height of the best local maximum farther than `apart_s` from the peak; 0 where there is none above."""
        s = self.score
        inner = np.flatnonzero((s[1:-1] >= s[:-2]) & (s[1:-1] >= s[2:])) + 1
        spots = np.concatenate([[0], inner, [len(s) - 1]])
        far = np.abs(self.lag_s[spots] - self.lag_s[np.argmax(s)]) > apart_s
        return max(0.0, float(s[spots[far]].max())) if far.any() else 0.0


@njit(cache=True, nogil=True)
def _moments(
    time: Floats,
    value: Floats,
    integral: Floats,
    holes: np.ndarray,
    start: Floats,
    end: Floats,
    seen: Floats,
    lags: Floats,
    first: np.ndarray,
    last: np.ndarray,
    begin: np.ndarray,
    centre: np.ndarray,
    weight: Floats,
    count: Floats,
    cross: Floats,
    norms: Floats,
) -> None:
    """Per lag: how many smoothed rows overlap, their cross-covariance (sensor times reference) and both variances."""
    d = value.shape[1]
    mean, slope = np.empty_like(seen), np.empty_like(seen)
    known = np.zeros(len(start), np.bool_)
    sums = np.empty((2, d))
    now = np.empty((2, d))
    for at in range(len(lags)):
        means_into(time, value, integral, holes, start, end, lags[at], mean, slope, known)
        n = 0.0
        sums[:] = 0.0
        for o in range(len(centre)):
            if not known[centre[o]]:
                continue
            total = 0.0
            now[:] = 0.0
            for k in range(first[o], last[o]):
                if known[k]:
                    w = weight[begin[o] + k - first[o]]
                    total += w
                    for c in range(d):
                        now[0, c] += w * seen[k, c]
                        now[1, c] += w * mean[k, c]
            n += 1
            for c in range(d):
                now[0, c] /= total
                now[1, c] /= total
                sums[0, c] += now[0, c]
                sums[1, c] += now[1, c]
                norms[at, 0] += now[0, c] * now[0, c]
                norms[at, 1] += now[1, c] * now[1, c]
            for c in range(d):
                for e in range(d):
                    cross[at, c, e] += now[0, c] * now[1, e]
        count[at] = n
        if n > 0:
            for c in range(d):
                norms[at, 0] -= sums[0, c] * sums[0, c] / n
                norms[at, 1] -= sums[1, c] * sums[1, c] / n
                for e in range(d):
                    cross[at, c, e] -= sums[0, c] * sums[1, e] / n


def scan_lags(reference: Reference, spans: Spans, lag_s: Floats, smoother: Smoother, min_share: float) -> Scan:
    """Match the spans, moved by each lag of a grid (L,), with the reference, both smoothed alike.

    A lag where less than `min_share` of the most overlapping rows overlap scores -1.
    """
    d = spans.value.shape[1]
    count, cross, norms = np.zeros(len(lag_s)), np.zeros((len(lag_s), d, d)), np.zeros((len(lag_s), 2))
    _moments(
        reference.time_s,
        reference.value,
        reference.integral,
        reference.holes,
        spans.start_s,
        spans.end_s,
        spans.value,
        lag_s,
        smoother.first,
        smoother.last,
        smoother.begin,
        smoother.centre,
        smoother.weight,
        count,
        cross,
        norms,
    )
    if d == 3:
        strength = np.linalg.svd(cross, compute_uv=False)
        strength[:, 2] *= np.sign(np.linalg.det(cross))
        match = strength.sum(axis=1)
    else:
        match = np.trace(cross, axis1=1, axis2=2)
    whole = np.sqrt(np.maximum(norms, 0.0).prod(axis=1))
    enough = (count >= max(3.0, min_share * count.max(initial=0.0))) & (whole > 0)
    score = np.where(enough, match / np.where(whole > 0, whole, 1.0), -1.0)
    return Scan(lag_s, score, cross)


def best_rotation(cross: Floats) -> Floats:
    """The rotation R (3, 3) that best takes reference to sensor axes, of their cross-covariance (Kabsch, 1976)."""
    u, _, vt = np.linalg.svd(cross)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return np.asarray(u @ sign @ vt)
